"""Fused kernels of the graph convolution, for devices that have them, and the plain operations that they stand for."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from gdyn.logs import LOG


def _triton(device: torch.device) -> Any:
    """The kernels of Triton, once they have shown that they run and are right here.

    Raises
    ------
    Exception : of any kind, if they do not run.
    """
    try:
        from gdyn.kernels import triton_kernels
    except ImportError as error:
        raise RuntimeError(f"Triton cannot be imported: {error}") from None
    from gdyn.kernels.probe import probe

    probe(triton_kernels, device)
    return triton_kernels


# For each type of device, how its kernels are found. A device of any other type does with plain operations.
KERNELS: dict[str, Callable[[torch.device], Any]] = {"cuda": _triton, "xpu": _triton}


def kernels_of(device: torch.device) -> Any | None:
    """The fused kernels for a device, functions as in :mod:`gdyn.kernels.triton_kernels`; None where there are none."""
    return _found(device.type)[0] if device.type in KERNELS else None


def why_plain(device: torch.device) -> str:
    """Why a device that should have kernels does without; empty if it has them, or is of a type without."""
    return _found(device.type)[1] if device.type in KERNELS else ""


@functools.cache
def _found(type_: str) -> tuple[Any | None, str]:
    try:
        return KERNELS[type_](torch.device(type_)), ""
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        said = str(error).strip().splitlines()
        why = f"{type(error).__name__}{f' ({said[0]})' if said else ''}"
        LOG.warning("the fused kernels cannot be used on this GPU: %s; plain operations do, several times slower", why)
        LOG.debug("the fused kernels", exc_info=error)
        return None, why
