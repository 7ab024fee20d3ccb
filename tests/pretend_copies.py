"""Copies between the host and the pretend GPU (pretend_gpu.py) that are under way, and pinned memory."""

import weakref

import numpy as np
import torch

# Pinned memory is known by its addresses, so that views of it, numpy's too, are pinned.
PINNED = {}


def pinned_empty(shape, dtype):
    n = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    array = np.empty(max(n, 1), np.uint8)
    PINNED[array.ctypes.data] = array.ctypes.data + n
    weakref.finalize(array, PINNED.pop, array.ctypes.data, None)
    return torch.from_numpy(array)[:n].view(dtype).view(shape)


def is_pinned(tensor):
    start = tensor.untyped_storage().data_ptr()
    return start in PINNED or any(low <= start < high for low, high in list(PINNED.items()))


def span(tensor):
    """The bytes of its storage that a host tensor shows: first, and one after the last."""
    if not tensor.numel():
        return 0, 0
    reach = sum((n - 1) * stride for n, stride in zip(tensor.shape, tensor.stride(), strict=True))
    start = tensor.storage_offset() * tensor.element_size()
    return start, start + (reach + 1) * tensor.element_size()


def together(one, other):
    """Whether two host tensors share bytes."""
    if one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr():
        return False
    (a, b), (c, d) = span(one), span(other)
    return a < d and c < b


class Copy:
    """A copy under way between pinned memory and the device."""

    def __init__(self, stream, tick, host, values=None):
        self.stream, self.tick, self.host, self.values = stream, tick, host.data, values
        if values is None:
            self.before = bytes_of(host)
        else:  # not there before somebody has waited for it
            self.host.copy_(torch.full_like(values, torch.nan) if values.is_floating_point() else wrong(values))

    def spoilt(self):
        return self.values is None and not np.array_equal(self.before, bytes_of(self.host))


def wrong(values):
    if values.is_complex():
        return torch.full_like(values, complex("nan"))
    return values.logical_not() if values.dtype is torch.bool else values.bitwise_not()


def bytes_of(tensor):
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().copy()
