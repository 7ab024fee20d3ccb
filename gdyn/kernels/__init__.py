"""Fused kernels of the graph convolution, for devices that have them, and the plain operations that they stand for."""

import contextlib
import functools
from collections.abc import Callable, Iterator
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
_GIVEN_UP: dict[str, str] = {}  # types of devices that do without, and why


def kernels_of(device: torch.device) -> Any | None:
    """The fused kernels for a device, functions as in :mod:`gdyn.kernels.triton_kernels`; None where there are none."""
    return None if device.type not in KERNELS or device.type in _GIVEN_UP else _found(device.type)[0]


def why_plain(device: torch.device) -> str:
    """Why a device that should have kernels does without; empty if it has them, or is of a type without."""
    if device.type not in KERNELS:
        return ""
    return _GIVEN_UP.get(device.type) or _found(device.type)[1]


def give_up(device: torch.device, error: Exception) -> None:
    """Do without kernels on such devices from now on, because of an error, which is logged."""
    _GIVEN_UP[device.type] = _told(error)


@contextlib.contextmanager
def without_kernels(device: torch.device) -> Iterator[None]:
    """Inside the block, plain operations do on such devices."""
    _GIVEN_UP[device.type] = "asked for"
    try:
        yield
    finally:
        del _GIVEN_UP[device.type]


@functools.cache
def _found(type_: str) -> tuple[Any | None, str]:
    try:
        return KERNELS[type_](torch.device(type_)), ""
    except torch.OutOfMemoryError:
        raise
    except Exception as error:
        return None, _told(error)


def _told(error: Exception) -> str:
    """An error in a few words, after it was logged."""
    said = str(error).strip().splitlines()
    why = f"{type(error).__name__}{f' ({said[0]})' if said else ''}"
    LOG.warning("the fused kernels cannot be used on this GPU: %s; plain operations do, several times slower", why)
    LOG.debug("the fused kernels", exc_info=error)
    return why
