"""Batches prepared ahead of their use."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import torch
from torch import Tensor

from gdyn.device import Side, send

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
    device : torch device; what comes to a GPU comes by way of pinned memory, in a queue beside the main one.
    threads : that prepare batches.
    """

    def __init__(self, device: torch.device, threads: int = 1) -> None:
        self.device, self.waited_s, self._side = device, 0.0, Side(device)
        self._pool = ThreadPoolExecutor(max(1, min(threads, AHEAD)))

    def __call__(self, prepare: Callable[[Request], Prepared], requests: Iterable[Request]) -> Iterator[Prepared]:
        """Yield ``prepare(request)`` for every request, on the device; at most :data:`AHEAD` lie ready.

        Parameters
        ----------
        prepare : function that returns something with a method ``on``, such as a GraphBatch.
        requests : iterable of its arguments.
        """
        requests = iter(requests)
        ready: deque[Future[tuple[Prepared, Any]]] = deque()
        try:
            while True:
                while len(ready) < AHEAD and (request := next(requests, None)) is not None:
                    ready.append(self._pool.submit(self._prepare, prepare, request))
                if not ready:
                    return
                begin = time.monotonic()
                batch, mark = ready.popleft().result()
                self.waited_s += time.monotonic() - begin
                yield batch.on(self._side.handed_over(mark))
        finally:
            for left in ready:
                left.cancel()

    def _prepare(self, prepare: Callable[[Request], Prepared], request: Request) -> tuple[Prepared, Any]:
        with self._side.block():
            return prepare(request).on(lambda tensor: send(tensor, self.device)), self._side.mark()
