"""Batches prepared ahead of their use."""

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor

AHEAD = 2  # batches that wait at most


class Loader:
    """Prepares batches in threads while others are worked on, and hands them out in order, on the device.

    Parameters
    ----------
    device : torch device; what comes to a GPU comes by way of pinned memory.
    threads : that prepare batches.
    """

    def __init__(self, device, threads=1):
        self.device, self.waited_s = device, 0.0
        self._pool = ThreadPoolExecutor(max(1, min(threads, AHEAD)))

    def __call__(self, prepare, requests):
        """Yield ``prepare(request)`` for every request, on the device; at most :data:`AHEAD` lie ready.

        Parameters
        ----------
        prepare : function that returns something with a method ``on``, such as a GraphBatch.
        requests : iterable of its arguments.
        """
        requests = iter(requests)
        ready = deque()
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

    def _prepare(self, prepare, request):
        batch = prepare(request)
        return batch.on(self._pin) if self.device.type == "cuda" else batch

    @staticmethod
    def _pin(tensor):
        return tensor if tensor.is_cuda else tensor.pin_memory()

    def _move(self, tensor):
        return tensor.to(self.device, non_blocking=True)
