"""In how many bits a network computes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from gdyn.kernels.convolve import Precision


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Inside the block, everything is done in the arithmetic of the weights."""
    return torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext()


@contextmanager
def arithmetic(device: torch.device, precision: str) -> Iterator[None]:
    """The arithmetic of a network inside the block; probabilities of states are made in float32 in any case.

    Parameters
    ----------
    device : of the network.
    precision : ``float32``, ``tf32`` (matrix products of float32 with 10 bits, on a GPU) or ``bfloat16``.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest" if precision == "float32" else "high")
    try:
        with torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext():
            yield
    finally:
        torch.set_float32_matmul_precision(before)


def precision_of(device: torch.device) -> Precision:
    """What :func:`arithmetic` means for fused kernels."""
    rows = torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
    exact = torch.get_float32_matmul_precision() == "highest" or torch.version.hip  # AMD has no tf32 on all its GPUs
    return Precision(rows, "ieee" if exact else "tf32")
