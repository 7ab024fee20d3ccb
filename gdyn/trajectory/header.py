"""The header of a frame of a LAMMPS text dump: its lines up to ``ITEM: ATOMS``."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float

BLANK = b" \t\r\n\0"


@dataclass(frozen=True)
class Box:
    """A simulation box: lattice vectors in the rows of ``cell``, ``origin``, and which directions are periodic."""

    cell: Float[np.ndarray, "3 3"]
    origin: Float[np.ndarray, " 3"]
    periodic: tuple[bool, ...]


@dataclass(frozen=True)
class Header:
    """What a header says.

    units, time : None where the dump has none (``dump_modify units yes``, ``dump_modify time yes``).
    lines, size : its length in lines, with blank ones before it, and in bytes.
    """

    step: int
    n_atoms: int
    box: Box
    columns: list[str]
    units: str | None
    time: float | None
    lines: int
    size: int


class DamageError(Exception):
    """What is wrong with a header, and at which of its lines, counted from 0."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(line, what)
        self.line, self.what = line, what


def parse_header(text: bytes) -> Header | None:
    """Parse a header; None if the text ends before the header does.

    Raises
    ------
    DamageError : there is a line that no header has, a line is missing, or a value cannot be read.
    """
    lines = text.split(b"\n")
    n_whole = len(lines) - 1
    step: int | None = None
    n_atoms: int | None = None
    box: Box | None = None
    units: str | None = None
    time: float | None = None
    at = 0
    while at < n_whole and not lines[at].strip(BLANK):
        at += 1
    while at < n_whole:
        line = lines[at].strip()
        if line.startswith(b"ITEM: ATOMS"):
            if step is None or n_atoms is None or box is None:
                absent = "TIMESTEP" if step is None else "NUMBER OF ATOMS" if n_atoms is None else "BOX BOUNDS"
                raise DamageError(at, f"there is no 'ITEM: {absent}' before this line; the file is damaged")
            size = sum(map(len, lines[: at + 1])) + at + 1
            return Header(step, n_atoms, box, _text(line).split()[2:], units, time, lines=at + 1, size=size)
        n_values = 3 if line.startswith(b"ITEM: BOX BOUNDS") else 1
        if at + n_values >= n_whole:
            return None
        values = lines[at + 1 : at + 1 + n_values]
        try:
            if line == b"ITEM: TIMESTEP":
                step = int(values[0])
            elif line == b"ITEM: NUMBER OF ATOMS":
                n_atoms = int(values[0])
            elif n_values == 3:
                box = _parse_box((line, *values), at + 1)
            elif line == b"ITEM: UNITS":
                units = _text(values[0].strip())
            elif line == b"ITEM: TIME":
                time = float(values[0])
            else:
                raise DamageError(
                    at,
                    f"{_text(line[:40]).strip()!r} stands where a header line of a LAMMPS dump should; the file is "
                    f"damaged",
                )
        except ValueError:
            word = _text(values[0].strip()[:40])
            raise DamageError(at + 1, f"{word!r} stands below {_text(line)!r}; the header is damaged") from None
        if n_atoms is not None and n_atoms < 1:
            raise DamageError(at + 1, "the frame has no atoms; dump a group that has some")
        at += 1 + n_values
    return None


@lru_cache(maxsize=16)  # most boxes are that of the frame before
def _parse_box(lines: tuple[bytes, ...], at: int) -> Box:
    """The box of ``ITEM: BOX BOUNDS`` and the three lines below it, the first of which is line ``at`` of the header."""
    words = _text(lines[0]).split()[3:]
    try:
        numbers = np.array([[float(word) for word in line.split()] for line in lines[1:]])
    except ValueError:
        raise DamageError(at, "a box bound is not a number; the header is damaged") from None
    general, tilted = words[:2] == ["abc", "origin"], words[:3] == ["xy", "xz", "yz"]
    boundary = words[2:] if general else words[3:] if tilted else words
    if numbers.shape != (3, 4 if general else 3 if tilted else 2):
        raise DamageError(at, f"these are not the bounds of a box of the kind {' '.join(words)!r}")
    if general:
        cell, origin = numbers[:, :3], numbers[:, 3]
    elif tilted:
        xy, xz, yz = numbers[:, 2]
        low, high = numbers[:, 0].copy(), numbers[:, 1].copy()
        low[:2] -= min(0.0, xy, xz, xy + xz), min(0.0, yz)
        high[:2] -= max(0.0, xy, xz, xy + xz), max(0.0, yz)
        cell, origin = np.diag(high - low), low
        cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
    else:
        cell, origin = np.diag(numbers[:, 1] - numbers[:, 0]), numbers[:, 0]
    upright = general or (np.diag(cell) > 0).all()
    if not (np.isfinite(numbers).all() and upright and np.linalg.det(cell) > 0):
        raise DamageError(
            at,
            f"the box has no volume, or a negative one: its lattice vectors are {cell.tolist()}; "
            f"cut the dump before this frame",
        )
    return Box(cell, origin, tuple(flags == "pp" for flags in boundary) or (True, True, True))


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
