"""Batches prepared ahead of their use."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

AHEAD = 2  # batches that wait at most


@runtime_checkable
class Movable(Protocol):
    """What can be prepared: something that holds tensors."""

    def on(self, move: Callable[[Tensor], Tensor]) -> Self:
        """The same with ``move`` applied to every tensor."""
        ...


Request = TypeVar("Request")
Prepared = TypeVar("Prepared", bound=Movable)


class Loader:
    """Prepares batches in threads while others are worked on, and hands them out in order, on the device.

    Parameters
    ----------
    device : torch device; what comes to a GPU comes by way of pinned memory.
    threads : that prepare batches.
    """

    def __init__(self, device: torch.device, threads: int = 1) -> None:
        self.device, self.waited_s = device, 0.0
        self._pool = ThreadPoolExecutor(max(1, min(threads, AHEAD)))

    def __call__(self, prepare: Callable[[Request], Prepared], requests: Iterable[Request]) -> Iterator[Prepared]:
        """Yield ``prepare(request)`` for every request, on the device; at most :data:`AHEAD` lie ready.

        Parameters
        ----------
        prepare : function that returns something with a method ``on``, such as a GraphBatch.
        requests : iterable of its arguments.
        """
        requests = iter(requests)
        ready: deque[Future[Prepared]] = deque()
        try:
            while True:
                while len(ready) < AHEAD and (request := next(requests, None)) is not None:
                    ready.append(self._pool.submit(self._prepare, prepare, request))
                if not ready:
                    return
                begin = time.monotonic()
                batch = ready.popleft().result()
                self.waited_s += time.monotonic() - begin
                yield batch.on(self._move)
        finally:
            for left in ready:
                left.cancel()

    def _prepare(self, prepare: Callable[[Request], Prepared], request: Request) -> Prepared:
        batch = prepare(request)
        return batch.on(self._pin) if self.device.type == "cuda" else batch

    @staticmethod
    def _pin(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_cuda else tensor.pin_memory()

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, non_blocking=True)
