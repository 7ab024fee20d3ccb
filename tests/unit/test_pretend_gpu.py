"""The pretend GPU catches each mistake that it is for, and gives the host's numbers to what is right."""

import copy
import io
import threading

import numpy as np
import pytest
import torch
from pretend_gpu import pretend, pretend_gpu  # noqa: F401 - a fixture
from torch import nn

GPU = "pretend"


@pytest.fixture
def gpu(pretend):  # noqa: F811 - the fixture
    torch.manual_seed(0)
    return pretend


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.SiLU(), nn.Linear(8, 3))


def trained(device, steps=5, **settings):
    model = network().to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, **settings)
    x = torch.linspace(-1, 1, 40).reshape(10, 4).to(device)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).softmax(-1).square().sum().backward()
        optimizer.step()
    return model


def test_it_is_only_there_while_it_is_on():
    def found():
        return torch.accelerator.is_available(), torch.accelerator.current_accelerator(check_available=True)

    assert found() == (False, None)
    with pretend_gpu(devices=2):
        assert found() == (True, torch.device(GPU))
        assert torch.get_device_module(GPU).device_count() == torch.accelerator.device_count() == 2
        kept = torch.ones(3, device=GPU)
        with pytest.raises(RuntimeError, match="on already"), pretend_gpu():
            pass
    assert found() == (False, None)
    for use in (lambda: torch.ones(3, device=GPU), lambda: torch.ones(3).to(GPU), lambda: kept + 1):
        with pytest.raises(RuntimeError, match="Found no pretend GPU"):
            use()
    assert not torch.ones(3).is_pinned()
    assert torch.accelerator.current_accelerator() is not None  # torch knows no way back from that


@pytest.mark.parametrize(
    "mixing",
    [
        lambda gpu, host: gpu + host,
        lambda gpu, host: host.add_(gpu),
        lambda gpu, host: gpu @ host,
        lambda gpu, host: torch.cat([gpu, host]),
        lambda gpu, host: nn.functional.layer_norm(gpu, (3,), host[0]),
        lambda gpu, host: gpu.index_select(0, torch.tensor([0])),
        lambda gpu, host: host[torch.tensor([0], device=GPU)],
        lambda gpu, host: host.sum().add_(gpu.sum()),
        lambda gpu, host: gpu.addmm(gpu, host),
        lambda gpu, host: torch.where(gpu > 0, gpu, host),
    ],
)
def test_devices_are_not_mixed(gpu, mixing):
    host = torch.rand(3, 3)
    with pytest.raises(RuntimeError, match=r"Expected all tensors to be on the same device.* pretend:0 and cpu!"):
        mixing(host.to(GPU), host)


def test_what_torch_lets_lie_on_the_host(gpu):
    x = torch.rand(3, 3, device=GPU)
    with gpu.counting() as counts:
        x + torch.tensor(2.0)
        torch.where(x > 0, x, torch.tensor(0.0))
        x.fill_(torch.tensor(2.0))
    assert not counts.syncs
    with gpu.counting() as counts:
        assert x[torch.tensor([0, 2])].shape == x[[0, 2]].shape == (2, 3)
    assert counts.syncs == {"copy to device, pageable": 2}


def test_two_devices_are_not_mixed():
    with pretend_gpu(devices=2):
        one, other = torch.ones(2, device=f"{GPU}:0"), torch.ones(2, device=f"{GPU}:1")
        with pytest.raises(RuntimeError, match="pretend:1 and pretend:0"):
            one + other
        assert (one + other.to(one.device)).tolist() == [2, 2]
        with torch.get_device_module(GPU).device(1):
            assert torch.ones(2, device=GPU).device == other.device
        other.requires_grad_()
        (2 * other).sum().backward()
        assert other.grad.device == other.device
        with pytest.raises(RuntimeError, match="invalid device ordinal"):
            torch.ones(2, device=f"{GPU}:2")


@pytest.mark.parametrize(
    ("waiting", "reason"),
    [
        (lambda x: x.sum().item(), "_local_scalar_dense"),
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: bool(x.sum() > 0), "_local_scalar_dense"),
        (lambda x: f"{x.sum():.3f}", "_local_scalar_dense"),
        (lambda x: x.nonzero(), "nonzero"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: x[x > 0], "index by a mask"),
        (lambda x: torch.unique(x), "_unique2"),
        (lambda x: torch.equal(x, x), "equal"),
        (lambda x: torch.linalg.cholesky(x), "_linalg_check_errors"),
        (lambda x: torch.linalg.cholesky_ex(x, check_errors=True), "linalg_cholesky_ex"),
        (lambda x: x.repeat_interleave(torch.arange(3, device=GPU), 0), "repeat_interleave"),
        (lambda x: x.cpu(), "copy to host"),
        (lambda x: x.tolist(), "copy to host"),
        (lambda x: torch.empty(3, 3).copy_(x, non_blocking=True), "copy to host, pageable"),
        (lambda x: torch.empty(3, 3, pin_memory=True).copy_(x), "copy to host"),
        (lambda x: torch.eye(3).to(GPU), "copy to device, pageable"),
        (lambda x: torch.eye(3).to(GPU, non_blocking=True), "copy to device, pageable"),
        (lambda x: torch.eye(3).pin_memory().to(GPU), "copy to device, blocking"),
        (
            lambda x: x.copy_(torch.eye(3).double().pin_memory(), non_blocking=True),
            "copy to device, converted on the host",
        ),
        (lambda x: torch.tensor([1.0, 2.0], device=GPU), "copy to device, pageable"),
        (lambda x: torch.get_device_module(GPU).synchronize(), "synchronize"),
        (lambda x: torch.accelerator.synchronize(), "synchronize"),
        (lambda x: torch.get_device_module(GPU).current_stream().synchronize(), "stream.synchronize"),
        (lambda x: torch.get_device_module(GPU).current_stream().record_event().synchronize(), "event.synchronize"),
    ],
)
def test_waiting_is_counted(gpu, waiting, reason):
    x = torch.eye(3, device=GPU)
    with gpu.counting() as counts:
        waiting(x)
    assert counts.syncs == {reason: 1}
    assert [place.split(":")[0] for _, place in counts.places] == ["test_pretend_gpu.py"]


def test_what_does_not_wait(gpu):
    x, sizes = torch.eye(3, device=GPU), torch.arange(3, device=GPU)
    pinned = torch.empty(3, 3, pin_memory=True)
    with gpu.counting() as counts:
        x.repeat_interleave(sizes, 0, output_size=3)
        torch.linalg.cholesky_ex(x)
        x[sizes] = 2 * x
        x[x > 1] = 0.0
        pinned.copy_(x, non_blocking=True)
        x.to("cpu", non_blocking=True)
        torch.eye(3).pin_memory().to(GPU, non_blocking=True)
        x.record_stream(torch.accelerator.current_stream())
    assert not counts.syncs


def test_launches_and_bytes(gpu):
    x = torch.zeros(10, 10, device=GPU)
    with gpu.counting() as counts:
        y = x[:5].T.unsqueeze(0).detach().reshape(10, 5)
        torch.empty(100, device=GPU)
        torch.zeros(0, device=GPU) + 1
    assert counts.launches.total() == counts.bytes.total() == 0
    with gpu.counting() as counts:
        y + y
        y += 1
        y.zero_()
        y.sort()
    assert counts.launches == {"add": 1, "add_": 1, "zero_": 1, "sort": 3}
    # add reads y twice and writes, add_ reads and writes, zero_ writes, sort reads and writes values and places.
    assert counts.bytes.total() == 600 + 400 + 200 + 800
    gpu.reset()
    assert gpu.launches.total() == 0


def test_memory_is_that_of_storages(gpu):
    module = torch.get_device_module(GPU)
    with gpu.counting() as counts:
        x = torch.zeros(1000, device=GPU)
        view = x[:10].view(2, 5)
        assert counts.live == module.memory_allocated() == 4000
        del x
        assert counts.live == 4000
        torch.zeros(500, device=GPU)
        del view
        assert (counts.live, counts.peak) == (0, 6000)
        assert module.mem_get_info() == (80e9, 80e9)
    module.reset_peak_memory_stats()
    assert module.max_memory_allocated() == 0
    trained(GPU)
    assert counts.live == 0


def test_out_of_memory():
    with pretend_gpu(capacity_bytes=1e6) as gpu:
        kept = torch.zeros(200_000, device=GPU)
        with pytest.raises(torch.OutOfMemoryError, match=r"out of memory. Tried to allocate .* GPU 0 has a total cap"):
            kept * 2
        assert torch.get_device_module(GPU).mem_get_info() == (200_000, 1_000_000)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(10**14, device=GPU)
        assert gpu.live == 800_000
        del kept
        torch.zeros(200_000, device=GPU)


def test_a_tensor_on_the_gpu_is_neither_saved_nor_given_to_numpy(gpu):
    x = torch.rand(3, device=GPU)
    for keep in (lambda: torch.save({"x": x}, io.BytesIO()), lambda: torch.save(network().to(GPU), io.BytesIO())):
        with pytest.raises(TypeError, match="move it to the host first"):
            keep()
    for share in (x.numpy, lambda: np.asarray(x), lambda: torch.from_numpy(x)):
        with pytest.raises((TypeError, RuntimeError)):
            share()
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        x.pin_memory()


def test_pinned_memory(gpu):
    x = torch.rand(4, 3).T
    pinned = x.pin_memory()
    assert pinned.is_pinned()
    assert pinned[1:].is_pinned()
    assert torch.from_numpy(pinned.numpy()[1:]).is_pinned()
    assert pinned.stride() == x.stride()
    assert torch.equal(pinned, x)
    assert not x.is_pinned()
    assert torch.zeros(3, dtype=torch.bfloat16, pin_memory=True).is_pinned()
    assert x.new_zeros(3, pin_memory=True).is_pinned()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool])
def test_pinned_memory_is_not_read_too_soon(gpu, dtype):
    x = torch.ones(3, dtype=dtype, device=GPU)
    wrong = torch.empty(3, dtype=dtype, pin_memory=True).copy_(x, non_blocking=True)
    also_wrong = x.to("cpu", non_blocking=True)
    done = torch.Event()
    done.record()
    late = x.to("cpu", non_blocking=True)
    assert not (wrong == 1).any()
    assert not (also_wrong == 1).any()
    done.synchronize()
    assert (wrong == 1).all()
    assert (also_wrong == 1).all()
    assert not (late == 1).any()
    done = torch.accelerator.current_stream().record_event()
    assert not done.query()
    assert done.query()
    assert (late == 1).all()
    assert not gpu.races


def test_pinned_memory_is_not_changed_while_it_is_copied(gpu):
    pinned = torch.ones(3).pin_memory()
    x = pinned.to(GPU, non_blocking=True)
    torch.accelerator.synchronize()
    pinned.add_(1)
    assert not gpu.races
    x.copy_(pinned, non_blocking=True)
    pinned.numpy()[0] = 7
    assert len(gpu.races) == 1
    assert "the host changed pinned memory of 12 bytes" in gpu.races[0]


def pipeline(wait=True, record=True):
    """Copies on one stream, computes on another; the sum of all squares."""
    module = torch.get_device_module(GPU)
    loading, batches = module.Stream(), [torch.full((4, 4), float(i)).pin_memory() for i in range(5)]
    total = torch.zeros((), device=GPU)
    for batch in batches:
        with module.stream(loading):
            x = batch.to(GPU, non_blocking=True)
            copied = loading.record_event()
        if wait:
            module.current_stream().wait_event(copied)
        if record:
            x.record_stream(module.current_stream())
        total += x.square().sum()
        del x
    result = total.to("cpu", non_blocking=True)
    module.current_stream().record_event().synchronize()
    return float(result)


def test_a_right_pipeline(gpu):
    assert pipeline() == 16 * (1 + 4 + 9 + 16)
    assert not gpu.races
    assert gpu.syncs == {"event.synchronize": 1}


def test_a_pipeline_that_does_not_wait(gpu):
    pipeline(wait=False)
    assert gpu.races
    assert all("reads what a copy to the device on stream 1 wrote, without waiting" in race for race in gpu.races)


def test_a_pipeline_that_lets_memory_go(gpu):
    pipeline(record=False)
    assert gpu.races
    assert all("was freed without record_stream while stream 0 still used it" in race for race in gpu.races)


def test_memory_may_go_once_its_stream_has_waited(gpu):
    x, side = torch.zeros(10, device=GPU), torch.Stream(GPU)
    side.wait_stream(torch.accelerator.current_stream())
    with side:
        y = x + 1
    torch.accelerator.current_stream().wait_stream(side)
    del x
    assert y.sum() == 10
    assert not gpu.races


def test_one_stream_overwrites_what_another_reads(gpu):
    x, side = torch.zeros(10, device=GPU), torch.Stream(GPU)
    side.wait_stream(torch.accelerator.current_stream())
    with side:
        y = x[:5] + 1
    x[5:] += 1  # other bytes
    assert not gpu.races
    x[:5] += 1
    assert gpu.races == ["add_ on stream 0 writes what add on stream 1 reads, without waiting for it"]
    y.record_stream(torch.accelerator.current_stream())


def test_pretend_times(gpu):
    module = torch.get_device_module(GPU)
    start, end = (module.Event(enable_timing=True) for _ in range(2))
    x = torch.empty(3_000_000, device=GPU)
    start.record()
    x.fill_(1.0)
    end.record()
    with pytest.raises(RuntimeError, match="not ready"):
        start.elapsed_time(end)
    end.synchronize()
    assert start.elapsed_time(end) == pytest.approx(0.005 + 12e6 / 3e12 * 1e3)


def test_kernels(gpu):
    @gpu.kernel(writes=["out"])
    def scaled(x, out, by):
        out.copy_(x * by)

    @gpu.kernel
    def doubled(x):
        x.numpy()[:] *= 2
        return x.sum()

    x, out, side = torch.ones(10, device=GPU), torch.empty(10, device=GPU), torch.Stream(GPU)
    with gpu.counting() as counts:
        scaled(x, out, by=3.0)
    assert (counts.launches, counts.bytes) == ({"scaled": 1}, {"scaled": 80})
    assert float(doubled(out)) == 60
    with pytest.raises(ValueError, match="scaled: a tensor is on cpu"):
        scaled(x, torch.empty(10), 2.0)
    side.wait_stream(torch.accelerator.current_stream())
    with side:
        doubled(x)
    assert not gpu.races
    scaled(x, out, 2.0)
    assert gpu.races == ["scaled on stream 0 reads what doubled on stream 1 wrote, without waiting for it"]


@pytest.mark.parametrize("settings", [{"foreach": False}, {"foreach": True}, {"fused": True}, {}])
def test_a_training_gives_the_numbers_of_the_host(gpu, settings):
    host = trained("cpu", **(settings or {"foreach": True}))
    with gpu.counting() as counts:
        model = trained(GPU, **settings)
    for name, value in model.state_dict().items():
        assert value.device.type == GPU
        assert torch.equal(value.cpu(), host.state_dict()[name]), name
    assert set(counts.syncs) == {"copy to device, pageable"}
    assert not gpu.races
    adam = {(): "_foreach_lerp_", ("foreach",): "_foreach_lerp_", ("fused",): "_fused_adam_"}
    name = "lerp_" if settings == {"foreach": False} else adam[tuple(settings)]
    assert counts.launches[name] == (5 * 6 if name == "lerp_" else 5)


def test_models_are_copied_changed_and_loaded(gpu):
    model = network().to(GPU)
    (model(torch.ones(2, 4, device=GPU)).sum()).backward()
    other = copy.deepcopy(model)
    assert torch.equal(other[0].weight.grad.cpu(), model[0].weight.grad.cpu())
    with torch.no_grad():
        other[0].weight.zero_()
    assert model[0].weight.any()
    assert isinstance(other[0].weight, nn.Parameter)
    other.load_state_dict(network().state_dict())
    assert torch.equal(other[0].weight.cpu(), network()[0].weight)
    x = torch.rand(5, 4, dtype=torch.float64)
    assert torch.equal(other.double()(x.to(GPU)).cpu(), network().double()(x))
    assert torch.equal(other.cpu()(x), network().double()(x))


def test_operations_give_the_numbers_of_the_host(gpu):
    def numbers(device):
        torch.manual_seed(3)
        x = torch.rand(6, 4, dtype=torch.float64).to(device).requires_grad_()
        index = torch.tensor([0, 2, 2, 5]).to(device)
        table = x.index_select(0, index)
        y = torch.zeros(6, 4, dtype=torch.float64, device=device).index_add(0, index, table)
        z = torch.einsum("ij,kj->ik", y, x) + torch.arange(6, device=device)
        out = torch.empty(0, dtype=torch.float64, device=device)
        torch.cat([z.detach(), z.detach()], out=out)
        assert out.shape == (12, 6)
        e = nn.functional.embedding(index, x).square().sum() + torch.logsumexp(z, 0).sum() + x[x > 0.5].sum()
        (grad,) = torch.autograd.grad(e + z.std() + z.softmax(1).var(), x)
        eigen = torch.linalg.eigvalsh(y.T @ y)
        return [value.detach().cpu() for value in (y, z, e, grad, out, eigen, x.detach().clone().t_())]

    for mine, expected in zip(numbers(GPU), numbers("cpu"), strict=True):
        assert torch.equal(mine, expected)


def test_random_numbers_are_the_devices_own(gpu):
    torch.manual_seed(5)
    host = torch.rand(3)
    first = torch.rand(3, device=GPU)
    torch.manual_seed(5)
    nn.functional.dropout(torch.ones(3, device=GPU))
    assert torch.equal(torch.rand(3), host)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3, device=GPU).cpu(), first.cpu())
    with pytest.raises(RuntimeError, match="device type for generator"):
        torch.rand(3, device=GPU, generator=torch.Generator())


def test_backward_runs_in_another_thread_on_the_stream_of_the_call(gpu):
    seen = []

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return 2 * x

        @staticmethod
        def backward(ctx, grad):
            seen.append((threading.current_thread(), torch.accelerator.current_stream()))
            return 2 * grad

    x, side = torch.ones(3, device=GPU, requires_grad=True), torch.Stream(GPU)
    side.wait_stream(torch.accelerator.current_stream())
    with side:
        Doubled.apply(x).sum().backward()
    ((thread, stream),) = seen
    assert thread is not threading.current_thread()
    assert stream == side
    assert not gpu.races
    assert x.grad.tolist() == [2, 2, 2]
    assert gpu.races == ["a copy to the host on stream 0 reads what mul on stream 1 wrote, without waiting for it"]


def test_threads(gpu):
    found = [None] * 4

    def work(i):
        found[i] = trained(GPU)[0].weight.detach().cpu()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    with gpu.counting() as counts:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(torch.isfinite(weight).all() for weight in found)
    assert counts.launches["_foreach_lerp_"] == 4 * 5
    assert counts.live == 0


def test_autocast(gpu):
    model, x = network().to(GPU), torch.rand(5, 4, device=GPU)
    with gpu.counting() as counts, torch.autocast(GPU, torch.bfloat16):
        y = model[0](x)
        assert y.dtype is (x @ x.T).dtype is torch.bmm(x[None], x.T[None]).dtype is torch.bfloat16
        assert torch.addmm(x, x[:, :4], torch.eye(4, device=GPU)).dtype is torch.bfloat16
        assert torch.einsum("ij,kj->ik", x, x).dtype is torch.bfloat16
        assert y.softmax(-1).dtype is nn.functional.layer_norm(y, (8,)).dtype is y.exp().dtype is torch.float32
        assert y.sum().dtype is torch.cat([y, y.float()]).dtype is torch.float32
        assert (x.double() @ x.double().T).dtype is torch.float64
        model[0](x)
    assert counts.syncs.total() == 0
    y.float().sum().backward()
    assert model[0].weight.grad.dtype is torch.float32
    expected = nn.functional.linear(x.cpu().bfloat16(), *(p.detach().cpu().bfloat16() for p in model[0].parameters()))
    assert torch.equal(y.detach().cpu(), expected)
    assert model[0](x).dtype is torch.float32
