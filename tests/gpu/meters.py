"""How long things take on any device, what they ask of it, and which kernels are called with what.

Nothing here knows a kind of device, but for two things that torch has for some: warnings of waiting, and the profiler.
"""

import contextlib
import inspect
import time
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gdyn import kernels as kernels_module
from gdyn.device import on_gpu

AHEAD_BYTES, AHEAD = 2**27, 16  # copies that a GPU is kept busy with while the host queues what is measured
# Change nothing on the device, or only say where things are.
FREE = {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "detach", "_unsafe_view", "resize_",
        "set_", "is_pinned", "_pin_memory", "record_stream", "lift_fresh"}  # fmt: skip
GATHERED = 6  # the last arguments of the kernel that gathers a batch: what it writes, and reads as much of


class Meter:
    """Times on a device: by its own clock where it has one, which the host's queueing does not disturb."""

    def __init__(self, device, small=False):
        self.device, self.gpu, self.small = device, on_gpu(device), small
        self.module = torch.get_device_module(device)
        self._busy = torch.empty(2, (1 << 16 if small else AHEAD_BYTES) // 4, device=device) if self.gpu else None

    def synchronise(self):
        if self.gpu:
            self.module.synchronize(self.device)

    def mark(self):
        if not self.gpu:
            return time.perf_counter()
        event = self.module.Event(enable_timing=True)
        event.record()
        return event

    def between(self, begin, end):
        """Milliseconds between two marks; the device has to have passed both."""
        return begin.elapsed_time(end) if self.gpu else 1e3 * (end - begin)

    def on_device_ms(self, work, repeats=7, calls=10, warm=3):
        """Of one call, median; several follow each other while the device is kept busy, so that none is waited for."""
        repeats, calls, warm = (2, 1, 1) if self.small else (repeats, calls, warm)
        for _ in range(warm):
            work()
        times = []
        for _ in range(repeats):
            for _ in range(AHEAD if self.gpu else 0):
                self._busy[0].copy_(self._busy[1])
            begin = self.mark()
            for _ in range(calls):
                work()
            end = self.mark()
            self.synchronise()
            times.append(self.between(begin, end) / calls)
        return float(np.median(times))

    def wall_ms(self, work, repeats=7, warm=2):
        """Of one call and the wait for its end, median."""
        repeats, warm, times = min(repeats, 3) if self.small else repeats, min(warm, 1) if self.small else warm, []
        for _ in range(warm + repeats):
            self.synchronise()
            begin = time.perf_counter()
            work()
            self.synchronise()
            times.append(1e3 * (time.perf_counter() - begin))
        return float(np.median(times[warm:]))

    def copying_speed(self, nbytes):
        """GB/s that a copy within the memory of the device reads and writes."""
        one, two = torch.empty(2, nbytes // 4, device=self.device).fill_(1.0)
        return 2e-6 * one.nbytes / self.on_device_ms(lambda: two.copy_(one))


@dataclass
class Waits:
    """How often, and how long, the host waited: for events, and where torch warns that it waits (None: it cannot)."""

    events: int = 0
    event_ms: float = 0.0
    warned: int | None = None


@contextlib.contextmanager
def waits(device):
    """Count what the host waits for inside the block."""
    found = Waits()
    if not on_gpu(device):
        yield found
        return
    module = torch.get_device_module(device)
    wait, warn = module.Event.synchronize, getattr(module, "set_sync_debug_mode", None)

    def counted(event):
        begin = time.perf_counter()
        wait(event)
        found.events += 1
        found.event_ms += 1e3 * (time.perf_counter() - begin)

    module.Event.synchronize = counted
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            if warn:
                warn("warn")
            try:
                yield found
            finally:
                if warn:
                    warn("default")
                    found.warned = sum("called a synchronizing" in str(one.message) for one in seen)
    finally:
        module.Event.synchronize = wait


class Operations(TorchDispatchMode):
    """Counts what torch does on a device within: operations that are no views, and the bytes of their tensors."""

    def __init__(self, device):
        super().__init__()
        self.kind, self.number, self.bytes = device.type, 0, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        there = [one for one in tree_leaves((args, kwargs, out)) if isinstance(one, torch.Tensor)]
        there = [one for one in there if one.device.type == self.kind]
        if there and not function.is_view and function._schema.name.split("::")[1] not in FREE:
            self.number += 1
            self.bytes += sum(one.numel() * one.element_size() for one in {id(one): one for one in there}.values())
        return out


@dataclass
class Call:
    """A call of a kernel."""

    name: str
    function: object
    args: tuple
    options: dict

    def again(self):
        return self.function(*self.args, **self.options)

    @property
    def nbytes(self):
        """Of all tensors, each read or written once; of the resident graphs, what the batch takes."""
        there = tensors(self.args[-GATHERED:]) if self.name == "gather" else tensors((self.args, self.options))
        distinct = {(one.data_ptr(), one.numel()): one.numel() * one.element_size() for one in there}
        return sum(distinct.values()) * (2 if self.name == "gather" else 1)


def tensors(tree):
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


class Recorder:
    """The kernels of a device, whatever they are, which notes every call of them.

    Parameters
    ----------
    kernels : of :func:`gdyn.kernels.kernels_of`.
    around : a function that is given each call and has to carry it out, by ``call.again()``.
    """

    def __init__(self, kernels, around=Call.again):
        self.kernels, self.around, self.calls = kernels, around, []

    def __getattr__(self, name):
        function = getattr(self.kernels, name)
        if not callable(function) or inspect.isclass(function):
            return function

        def launch(*args, **options):
            call = Call(name, function, args, options)
            self.calls.append(call)
            return self.around(call)

        return launch


@contextlib.contextmanager
def kernels_instead(device, kernels):
    """Let the kernels of a device be others."""
    before = kernels_module.KERNELS[device.type]
    known = kernels_module.kernels_of(device)
    kernels_module.KERNELS[device.type] = lambda _: kernels
    kernels_module._found.cache_clear()
    try:
        yield
    finally:
        # Those that were found are right, and need no other trial.
        kernels_module.KERNELS[device.type] = lambda _: known
        kernels_module._found.cache_clear()
        kernels_module.kernels_of(device)
        kernels_module.KERNELS[device.type] = before


def difference(found, exact):
    """Of two tensors relative to the second; both may have what nobody wrote, NaN too, in the same places."""
    found, exact = found.detach().cpu(), exact.detach().cpu()
    if not exact.is_floating_point():
        return 0.0 if torch.equal(found, exact) else float("inf")
    found, exact = found.double(), exact.double()
    same = (found == exact) | (found.isnan() & exact.isnan())
    apart = torch.where(same, 0.0, found - exact).norm()
    return float(apart / torch.where(exact.isnan(), 0.0, exact).norm().clamp_min(1e-30)) if apart else 0.0


def profiled(device, work):
    """Names and microseconds of all that a GPU did in some work, by torch's profiler; None where it cannot tell."""
    from torch.profiler import ProfilerActivity, profile

    activity = getattr(ProfilerActivity, device.type.upper(), None)
    if device.type == "cpu" or activity is None:
        return None
    with profile(activities=[ProfilerActivity.CPU, activity]) as seen:
        work()
        torch.get_device_module(device).synchronize(device)
    own = [event for event in seen.events() if str(event.device_type) == f"DeviceType.{device.type.upper()}"]
    return [(event.name, event.device_time_total) for event in own if not event.name.startswith("ProfilerStep")]
