"""Where networks are trained: all that differs between a CPU and a GPU, of whatever maker.

No other module asks torch for a kind of device. Whatever is not the CPU is a GPU, and is spoken to by the interface
that torch has for all of them (``torch.get_device_module``).
"""

import contextlib
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from gdyn.errors import InputError
from gdyn.logs import LOG

LARGEST_PIECE = 1e9  # bytes embedded at once on a GPU; more gains nothing
BACKENDS = {"cuda": "nccl", "xpu": "xccl"}  # how processes with GPUs of their own exchange sums; others use gloo


def pick_device(name: str) -> torch.device:
    """The torch device for ``auto``, ``cpu`` or ``cuda`` (GPUs of AMD too); of several processes, the GPU of this one.

    Raises
    ------
    InputError : a GPU is asked for and torch finds none.
    """
    found = torch.accelerator.current_accelerator(check_available=True) if name != "cpu" else None
    if found is not None and found.type == "mps":  # it has no numbers of 64 bits, which covariances need
        found = None
    if name == "cuda" and found is None:
        raise InputError("device: cuda is asked for, but torch finds no GPU here; set it to auto or cpu")
    return torch.device("cpu") if found is None else torch.device(found.type, _module(found).current_device())


def share_out(number: int, name: str) -> None:
    """Of several jobs that share the GPUs of this machine, each with a number, let this one use one of them."""
    device = pick_device(name)
    if on_gpu(device):
        _module(device).set_device(number % _module(device).device_count())


def claim(rank: int, processes: int, name: str) -> None:
    """Of several processes on this machine, each with a number, give this one a GPU of its own.

    Raises
    ------
    InputError : there are fewer GPUs than processes.
    """
    device = pick_device(name)
    if not on_gpu(device):
        return
    module = _module(device)
    if processes > module.device_count():
        raise InputError(
            f"training.processes: {processes} processes on this machine train together, but torch finds "
            f"{module.device_count()} GPUs here; set it to at most as many, or device: cpu"
        )
    module.set_device(rank)


def on_gpu(device: torch.device) -> bool:
    return device.type != "cpu"


def device_name(device: torch.device) -> str:
    """As its maker calls it."""
    return str(_module(device).get_device_name(device)) if on_gpu(device) else "CPU"


def backend_of(device: torch.device) -> str:
    """What processes exchange sums by that are on such devices."""
    return BACKENDS.get(device.type, "gloo")


def memory_of(device: torch.device, memory_mb: float, shared: bool) -> float:
    """Bytes that a job may use: on a GPU of its own what is free there, elsewhere what its settings say."""
    if not on_gpu(device):
        return 1e6 * memory_mb
    free = float(_module(device).mem_get_info(device)[0])
    return min(free, 1e6 * memory_mb) if shared else free


def work_bytes(device: torch.device, of_memory: float) -> float:
    """How much of some memory is used to embed frames at once."""
    return min(of_memory, LARGEST_PIECE) if on_gpu(device) else of_memory


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, of the GPU or of this process."""
    if on_gpu(device):
        return float(_module(device).max_memory_allocated(device)) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on a device; what comes to a GPU comes by way of pinned memory, and is not waited for."""
    if tensor.device.type == device.type:
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


class Receiver:
    """Brings small tensors from a device to the host: one copy, and one wait."""

    def __init__(self, like: Tensor) -> None:
        self.device = like.device
        self.host = torch.empty_like(like, device="cpu", pin_memory=on_gpu(self.device))
        self.done = _module(self.device).Event() if on_gpu(self.device) else None

    def __call__(self, tensor: Tensor) -> Tensor:
        """Its values on the host, until the next call."""
        self.host.copy_(tensor, non_blocking=True)
        if self.done is not None:
            self.done.record()
            self.done.synchronize()
        return self.host


class Sender:
    """Brings small tensors from the host to a device, without waiting; one is to be used before the next is sent."""

    def __init__(self, like: Tensor) -> None:
        self.device, self.there = like.device, torch.empty_like(like)
        self.host = torch.empty_like(like, device="cpu", pin_memory=on_gpu(self.device))

    def __call__(self, tensor: Tensor) -> Tensor:
        """Its values on the device, until the next call, before which the host has to have waited for the device."""
        self.host.copy_(tensor)
        return self.there.copy_(self.host, non_blocking=True)


class Side:
    """A queue of work beside the main one, where batches are prepared while others are worked on.

    On a CPU there is none: what is done in its block is done as usual.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = _module(device).Stream(device=device) if on_gpu(device) else None
        if self._stream is not None:  # what lies on the device already may still be on its way
            self._stream.wait_stream(_module(device).current_stream(device))

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        """Inside, work is queued here."""
        if self._stream is None:
            yield
        else:
            with _module(self.device).stream(self._stream):
                yield

    def mark(self) -> Any:
        """A mark behind the work that this thread has queued here so far."""
        return None if self._stream is None else self._stream.record_event()

    def handed_over(self, mark: Any) -> Callable[[Tensor], Tensor]:
        """Let the main queue wait for a mark; return what every tensor from here is passed through to be used there."""
        if self._stream is None:
            return lambda tensor: tensor
        main = _module(self.device).current_stream(self.device)
        main.wait_event(mark)

        def used(tensor: Tensor) -> Tensor:
            if on_gpu(tensor.device):
                tensor.record_stream(main)
            return tensor

        return used


class Clock:
    """How long parts of some work took, on the device's own clock: that of the host does not know what a GPU does."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._marks: dict[str, list[tuple[Any, Any]]] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count the time inside the block under a name."""
        begin = self._mark()
        yield
        self._marks.setdefault(name, []).append((begin, self._mark()))

    def read(self) -> dict[str, float]:
        """Seconds of all parts since the last reading, once the device has done them."""
        marks, self._marks = self._marks, {}
        if on_gpu(self.device):
            _module(self.device).synchronize(self.device)
            return {name: sum(a.elapsed_time(b) for a, b in pairs) / 1e3 for name, pairs in marks.items()}
        return {name: sum(b - a for a, b in pairs) for name, pairs in marks.items()}

    def _mark(self) -> Any:
        if not on_gpu(self.device):
            return time.monotonic()
        event = _module(self.device).Event(enable_timing=True)
        event.record()
        return event


def fits(work: Callable[[], None]) -> bool:
    """Do some work; return whether the memory of the device was enough. If not, what it held is free again."""
    try:
        work()
    except torch.OutOfMemoryError:
        return False
    return True


@contextlib.contextmanager
def told_where_full(device: torch.device) -> Iterator[None]:
    """Say in a sentence that a device is full, where nothing smaller can be tried.

    Raises
    ------
    InputError : it is.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise InputError(
            f"device: the memory of {device_name(device)} is full: not even what every size needs fits. Others may be "
            f"using it; wait for them, or set device: cpu"
        ) from None


def forget_unused(device: torch.device) -> None:
    """Give memory back that torch keeps for later."""
    if on_gpu(device):
        _module(device).empty_cache()
        LOG.debug("memory that torch kept on %s is given back", device)


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)
