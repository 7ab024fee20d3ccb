"""What the machine can do, and what kernels and steps of training do of that."""

import copy
import os
import shutil
import subprocess
import time
from importlib import metadata, util
from pathlib import Path

import numpy as np
import plain_kernels
import torch
from benchmarks import record
from gpu.meters import Meter, Operations, Recorder, difference, kernels_instead, profiled, tensors, waits
from gpu.systems import some_batches, steps, trainer_of
from torch import nn

from gdyn.device import device_name, on_gpu, peak_memory_mb
from gdyn.graphs.resident import unsigned, with_incoming
from gdyn.kernels import KERNELS, kernels_of, why_plain
from gdyn.kernels.plain import attend_plain
from gdyn.networks.arithmetic import arithmetic
from gdyn.networks.attention import attend

# A float32 is exact to 6e-8; some 100 000 of them are summed up in another order than the reference, and near zero a
# ReLU may go either way. Arithmetic of 10 bits would be off by 1e-3.
KERNEL_ERROR = 2e-5
# The same through a whole step, where near zero a ReLU may go either way; the bound of tests/unit/test_gpu.py.
GRADIENT_ERROR = 2e-4
SCORE_ERROR = 1e-4  # states of a new network hardly vary, so that rounding is large beside that
# tests/unit/test_gpu.py allows 100 by the count of the pretend GPU; torch's own number differs by some.
MOST_LAUNCHES = 120
MOST_WAITS = 2  # of a step: its moments, and those of a centre that was too far off
LAUNCH_US = 5.0  # what a launch costs where a GPU has too little to do; for the prediction alone
EPOCH_PAIRS, EPOCH_FLOOR_S = 40_000, 0.18  # pairs of frames; what memory of 4.3 TB/s allows for the large case
NOT_ROUND = (1.0, 0.51, 0.33, 0.26, 0.11)  # shares of a batch, whose sizes divide by different numbers


def machine(setting, report):
    """What is here, and how fast it is at the simplest things."""
    device, small, gpu = setting.device, setting.small, setting.gpu
    module, meter = torch.get_device_module(device), Meter(device, small)
    report.content["machine"] = {"device": device_name(device), "host": record.machine(), **versions()}
    for line in report.content["machine"].items():
        report.note("{}: {}".format(*line))
    if gpu:
        about = module.get_device_properties(device)
        report.number("memory", about.total_memory / 1e9, "GB")
        processors = getattr(about, "multi_processor_count", getattr(about, "gpu_subslice_count", None))
        report.number("multiprocessors", processors, "")
        report.number("GPUs", module.device_count(), "")
    nbytes = 2**24 if small else 2**30 if gpu else 2**28
    report.number("copy in memory", meter.copying_speed(nbytes), "GB/s")
    if gpu:
        host, there = torch.empty(nbytes // 4, pin_memory=True), torch.empty(nbytes // 4, device=device)
        ms = meter.on_device_ms(lambda: there.copy_(host, non_blocking=True), calls=1)
        report.number("pinned host to device", 1e-6 * host.nbytes / ms, "GB/s")
    else:
        report.number("pinned host to device", None, "GB/s")
    n = 256 if small else 8192 if gpu else 1024
    one, two = torch.rand(2, n, n).to(device)
    for precision in ("float32", "tf32"):
        with arithmetic(device, precision):
            ms = meter.on_device_ms(lambda: one @ two, calls=2)
        report.number(f"matrix products, {precision}", 2e-9 * n**3 / ms, "TFLOP/s")
    few, times = torch.zeros(64, device=device), 100 if small else 1000
    launch = meter.wall_ms(lambda: [few.add_(1.0) for _ in range(times)]) / times
    report.number("an empty launch", 1e3 * launch, "us")
    waited = meter.wall_ms(lambda: few.add_(1.0), repeats=50) - launch
    report.number("a synchronisation", 1e3 * waited if gpu else None, "us")
    report.check("the device computes", bool((one @ two).isfinite().all()))


def versions():
    found = {"torch": torch.__version__, "CUDA": torch.version.cuda, "HIP": torch.version.hip, "driver": driver()}
    for name in ("triton", "pytorch-triton-rocm", "pytorch-triton-xpu"):
        if name in {one.metadata["Name"] for one in metadata.distributions()}:
            found[name] = metadata.version(name)
    return {name: str(value or "none") for name, value in found.items()}


def driver():
    for command in (
        ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
        ["rocm-smi", "--showdriverversion"],
    ):
        if shutil.which(command[0]):
            run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
            return " ".join(run.stdout.split()) or None
    return None


def kernels(setting, report):
    """The fused kernels, or the attention of a device without: right, the same each time, and how fast."""
    device, meter = setting.device, Meter(setting.device, setting.small)
    begin = time.perf_counter()
    found = kernels_of(device)
    if device.type in KERNELS:
        report.number("first use, with compilation and trial", time.perf_counter() - begin, "s")
        report.check("the fused kernels are used", found is not None, why=why_plain(device))
        if found is None:
            report.note(f"plain operations do instead: {why_plain(device)}")
    else:
        report.note("a device of this type has no fused kernels; the attention that it has is measured instead")
    copying = meter.copying_speed(2**24 if setting.small else 2**30 if on_gpu(device) else 2**28)
    report.number("copy in memory", copying, "GB/s")
    for name in ("toy", "big"):
        trainer = trainer_of(name, setting)
        few, many = (batch_of(trainer, pairs) for pairs in (3, 10**9))
        convolution(report, trainer, few, many, name)
        if found is not None:
            each_kernel(report, found, trainer, name)
            speeds(report, meter, found, trainer, many, name, copying)
        speed_of_layer(report, meter, trainer, many, name, copying)


def batch_of(trainer, pairs):
    first = np.sort(trainer.pieces(next(trainer.state.pairs))[0])[:pairs]
    (batch,) = trainer.loader(trainer.pairs_of, [first])
    return batch


def layer_of(trainer, batch):
    """The first convolution of a network, which updates the most, with features and edges as it has them."""
    graph, hops = with_incoming(batch.graph), trainer.network.hops
    random = torch.Generator().manual_seed(0)
    features = torch.randn(graph.counts[hops], trainer.network.arguments["width"], generator=random)
    return trainer.network.convolutions[0], features.to(trainer.device).requires_grad_(), graph.edges(hops - 1)


def there_and_back(layer, features, edges, radial, along):
    out = layer(features, edges, radial)
    return [out, *torch.autograd.grad((out * along).sum(), [features, *layer.parameters()])]


def convolution(report, trainer, few, many, name):
    layer, features, edges = layer_of(trainer, few)
    along = torch.randn(len(edges.neighbors), features.shape[1], generator=torch.Generator().manual_seed(1))
    radial = trainer.network.radial
    found = there_and_back(layer, features, edges, radial, along.to(trainer.device))
    there = features.detach().cpu().double().requires_grad_()
    on_cpu = edges._replace(
        neighbors=edges.neighbors.cpu(), distance_mA=unsigned(edges.distance_mA).cpu(), incoming=None
    )
    plain = Plain(copy.deepcopy(layer).cpu().double())
    exact = there_and_back(plain, there, on_cpu, radial.cpu().double(), along.double())
    error = max(difference(ours, theirs) for ours, theirs in zip(found, exact, strict=True))
    why = "float32, sums in another order"
    report.check(f"{name}: a convolution and its gradient, against float64", error, most=KERNEL_ERROR, why=why)
    layer, features, edges = layer_of(trainer, many)
    along = torch.ones(len(edges.neighbors), features.shape[1], device=trainer.device)
    one, two = (there_and_back(layer, features, edges, radial, along) for _ in range(2))
    same = all(torch.equal(ours, theirs) for ours, theirs in zip(one, two, strict=True))
    bound_to_be = kernels_of(trainer.device) is not None or not on_gpu(trainer.device)
    if bound_to_be:
        report.check(f"{name}: the same bits twice", same)
    else:
        report.note(f"{name}: the same bits twice by plain operations: {same}")


class Plain(nn.Module):
    """A convolution by plain operations."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, features, edges, radial):
        layer, updated = self.layer, features[: len(edges.neighbors)]
        rows = layer.atom(updated), layer.neighbor(features), layer.distance(radial)
        return updated + layer.norm(attend_plain(*rows, edges.neighbors, edges.distance_mA))


def each_kernel(report, found, trainer, name):
    """Every kernel that a few frames need, against the same in float64 on the CPU, from what it was given."""
    errors, unknown = {}, set()

    def compared(call):
        exact = getattr(plain_kernels, call.name, None)
        given = exactly((call.args, call.options))
        result = call.again()
        if exact is None:
            unknown.add(call.name)
            return result
        returned = exact(*given[0], **given[1])
        pairs = zip(tensors((call.args, call.options, result)), tensors((*given, returned)), strict=True)
        errors[call.name] = max([errors.get(call.name, 0.0), *(difference(*pair) for pair in pairs)])
        return result

    with kernels_instead(trainer.device, Recorder(found, compared)):
        whole_network(trainer, batch_of(trainer, 3))
    for kernel, error in errors.items():
        report.check(
            f"{name}: {kernel}, against float64", error, most=KERNEL_ERROR, why="float32, sums in another order"
        )
    for kernel in sorted(unknown):
        report.note(
            f"{name}: {kernel} has no counterpart in tests/plain_kernels.py and is judged within the step alone"
        )


def exactly(tree):
    """The same on the CPU in float64."""
    if isinstance(tree, torch.Tensor):
        there = tree.detach().cpu().clone()
        return there.double() if there.is_floating_point() else there
    if isinstance(tree, dict):
        return {key: exactly(value) for key, value in tree.items()}
    if isinstance(tree, tuple):
        parts = map(exactly, tree)
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return tree


def whole_network(trainer, batch):
    parameters = list(trainer.network.parameters())
    out = trainer.network(batch.graph)
    torch.autograd.grad(out.square().sum(), parameters, materialize_grads=True)


def speeds(report, meter, found, trainer, batch, name, copying):
    """Of every kernel: the time of all its calls in a pass there and back, by the bytes that they have to move."""
    recorder = Recorder(found)
    with kernels_instead(trainer.device, recorder):
        whole_network(trainer, batch_of(trainer, 10**9))
    for kernel in dict.fromkeys(call.name for call in recorder.calls):
        calls = [call for call in recorder.calls if call.name == kernel]
        ms = sum(meter.on_device_ms(call.again) for call in calls)
        rate = 1e-6 * sum(call.nbytes for call in calls) / ms
        report.number(f"{name}: {kernel}, {len(calls)} calls", ms, "ms")
        report.number(f"{name}: {kernel}, of the speed of a copy", 100 * rate / copying, "%")


def speed_of_layer(report, meter, trainer, batch, name, copying):
    layer, features, edges = layer_of(trainer, batch)
    along = torch.ones(len(edges.neighbors), features.shape[1], device=trainer.device)
    ms = meter.on_device_ms(lambda: there_and_back(layer, features, edges, trainer.network.radial, along), calls=3)
    n_edges = edges.neighbors.numel()
    report.number(f"{name}: largest convolution there and back, {n_edges} edges", ms, "ms")
    report.number(f"{name}: the same", 1e6 * ms / n_edges, "ns an edge")
    if kernels_of(trainer.device) is None:
        updated = features[: len(edges.neighbors)]
        with torch.no_grad():
            rows = layer.atom(updated), layer.neighbor(features), layer.distance(trainer.network.radial)
            inner = (*rows, edges.neighbors, unsigned(edges.distance_mA))
            ms = meter.on_device_ms(lambda: attend(*inner, edges.starts), calls=2)
            nbytes = sum(one.numel() * one.element_size() for one in (*inner, updated))
        report.number(f"{name}: attend", ms, "ms")
        report.number(f"{name}: attend, of the speed of a copy", 100 * 1e-6 * nbytes / ms / copying, "%")


def step(setting, report):
    """A step of training: right, how long, and what it asks of the device and of the host."""
    meter = Meter(setting.device, setting.small)
    copying = meter.copying_speed(2**24 if setting.small else 2**30 if setting.gpu else 2**28)
    for name in ("toy", "big"):
        gradient(setting, report, name)
        trainer = trainer_of(name, setting)
        steps(trainer, some_batches(trainer, 2))
        times(setting, report, meter, trainer, name)
        costs(setting, report, meter, trainer, name, copying)
        compilations(report, trainer, name)


def gradient(setting, report, name):
    here = trainer_of(name, setting, torch.device("cpu"), double=True)
    there = trainer_of(name, setting)
    with torch.no_grad():
        here.flat.values.copy_(there.flat.values.detach().cpu().double())
    scores = [steps(trainer, some_batches(trainer, 1))[0] for trainer in (here, there)]
    error = difference(there.flat.gradient, here.flat.gradient)
    why = "float32 through a whole step; near zero a ReLU may go either way"
    report.check(f"{name}: gradient of a step, against float64 on the CPU", error, most=GRADIENT_ERROR, why=why)
    report.check(f"{name}: score of a step, the same", abs(scores[0] - scores[1]), most=SCORE_ERROR, why="float32")


def times(setting, report, meter, trainer, name):
    stretches, each = (3, 2) if setting.few else (9, 10)
    wall, on_device, history = [], [], trainer.state.history
    trainer.clock.read()
    frames = history.frames
    for _ in range(stretches):
        meter.synchronise()
        begin, mark = time.perf_counter(), meter.mark()
        steps(trainer, some_batches(trainer, each))
        end = meter.mark()
        meter.synchronise()
        wall.append(1e3 * (time.perf_counter() - begin) / each)
        on_device.append(meter.between(mark, end) / each)
    parts = trainer.clock.read()
    ms, n = float(np.median(wall)), stretches * each
    report.number(f"{name}: a step", ms, "ms")
    report.number(f"{name}: a step, by events of the device", np.median(on_device), "ms")
    for part, seconds in parts.items():
        report.number(f"{name}: of it, {part[:-2]}", 1e3 * seconds / n, "ms")
    report.number(f"{name}: frames", (history.frames - frames) / (1e-3 * sum(wall) * each), "1/s")
    with waits(setting.device) as waited:
        meter.synchronise()
        begin, loading = time.perf_counter(), trainer.loader.waited_s
        steps(trainer, some_batches(trainer, each))
        host = 1e3 * (time.perf_counter() - begin - (trainer.loader.waited_s - loading)) - waited.event_ms
    report.number(f"{name}: of a step, the host at work", host / each, "ms")
    pieces = len(some_batches(trainer, 1)[0])
    report.number(f"{name}: pieces of a batch", pieces, "")
    if setting.gpu:
        number = (waited.events + (waited.warned or 0)) / each
        report.check(f"{name}: waits for the device in a step", number, most=MOST_WAITS, why="as on the pretend GPU")
        if waited.warned is None:
            report.note("torch does not say here where it waits: only waits for events are counted")
    pairs = sum(map(len, some_batches(trainer, 1)[0]))
    epoch = 1e-3 * ms * EPOCH_PAIRS / pairs
    report.number(f"{name}: an epoch of {EPOCH_PAIRS} pairs of frames", epoch, "s")
    if name == "big" and not setting.small:
        report.number(
            f"{name}: an epoch, as a multiple of the floor of {EPOCH_FLOOR_S} s", epoch / EPOCH_FLOOR_S, "times"
        )
    report.content.setdefault("step_ms", {})[name] = ms


def costs(setting, report, meter, trainer, name, copying):
    """Operations, bytes and memory of a step, and the time that these let expect."""
    device, found = setting.device, kernels_of(setting.device)
    recorder = Recorder(found)
    batches = some_batches(trainer, 1)
    if on_gpu(device):
        meter.module.reset_peak_memory_stats(device)
    steps(trainer, some_batches(trainer, 2))
    report.number(f"{name}: peak memory", peak_memory_mb(device), "MB")
    if found is not None:
        with kernels_instead(device, recorder), Operations(device) as operations:
            steps(trainer, batches)
    else:
        with Operations(device) as operations:
            steps(trainer, batches)
    nbytes = operations.bytes + sum(call.nbytes for call in recorder.calls)
    number = operations.number + len(recorder.calls)
    report.number(f"{name}: operations in a step", number, "")
    report.number(f"{name}: bytes that these read and write", nbytes / 1e6, "MB")
    seen = profiled(device, lambda: steps(trainer, some_batches(trainer, 2)))
    if seen == []:
        report.note(f"{name}: the profiler has seen nothing of what the GPU does")
    if seen:
        launches = [one for one in seen if not one[0].startswith(("Memcpy", "Memset"))]
        number = len(launches) / 2
        report.number(f"{name}: copies and fills in a step", (len(seen) - len(launches)) / 2, "")
        report.number(f"{name}: device busy in a step", sum(us for _, us in seen) / 2e3, "ms")
        if found is not None:
            most = MOST_LAUNCHES * len(batches[0])
            report.check(
                f"{name}: kernels launched in a step", number, most=most, why="as on the pretend GPU, and some"
            )
        else:
            report.number(f"{name}: kernels launched in a step", number, "")
        by_name = {}
        for one, us in seen:
            by_name[one[:60]] = by_name.get(one[:60], 0.0) + us / 2e3
        slowest = sorted(by_name.items(), key=lambda one: -one[1])[:10]
        report.content.setdefault("slowest, ms a step", {})[name] = dict(slowest)
    if on_gpu(device):
        expected = 1e-3 * LAUNCH_US * number + 1e-6 * nbytes / copying
        report.number(f"{name}: a step as launches and bytes let expect", expected, "ms")
        report.number(f"{name}: found to expected", report.content["step_ms"][name] / expected, "times")


def compilations(report, trainer, name):
    """How often Triton compiles a kernel for batches of other sizes."""
    if kernels_of(trainer.device) is None or not util.find_spec("triton") or "TRITON_CACHE_DIR" not in os.environ:
        report.note(f"{name}: nothing is compiled by Triton here")
        return
    before = compiled()
    for share in NOT_ROUND:
        (first,) = some_batches(trainer, 1)[0][:1]
        steps(trainer, [[first[: max(2, int(share * len(first)))]]])
    report.check(f"{name}: compilations for {len(NOT_ROUND)} other sizes of batches", compiled() - before, most=0,
                 why="sizes are no constants of the kernels")  # fmt: skip


def compiled():
    """How many kernels Triton has compiled into its folder, which the part began with empty."""
    return len(list(Path(os.environ["TRITON_CACHE_DIR"]).glob("*/*.ttir")))
