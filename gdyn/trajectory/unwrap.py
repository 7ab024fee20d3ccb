"""Unwrapped coordinates rebuilt from wrapped ones."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

LARGEST_STEP = 0.45  # of a lattice vector, beyond which the nearest image is a guess


class Unwrapper:
    """Counts the lattice vectors that atoms cross, taking each step from frame to frame to its nearest image.

    Unwrapped positions are then the wrapped ones plus whole lattice vectors of their own frame, as LAMMPS
    has them in ``xu`` (section "Unwrapping" of docs/theory.md).

    Attributes
    ----------
    largest : the longest step so far, as a fraction of a lattice vector.
    where : (frame, atom index) of it.
    """

    def __init__(self) -> None:
        self.largest = 0.0
        self.where: tuple[int, int] | None = None
        # Of the frame before: wrapped positions, cell, and the lattice vectors that are added; none of the first one.
        self._before: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def go_on(
        self,
        position: Float[np.ndarray, "atoms 3"],
        cell: Float[np.ndarray, "3 3"],
        periodic: Sequence[bool],
        largest: float,
    ) -> None:
        """Continue where another one has ended.

        Parameters
        ----------
        position : (atoms, 3), A, the unwrapped positions of its last frame.
        cell : (3, 3), A, of that frame.
        periodic : (3,) bool
        largest : its longest step.
        """
        # In one image again, as positions far from it would move with a cell that changes.
        images = np.floor(position @ np.linalg.inv(cell)) * np.asarray(periodic)
        self._before = position - images @ cell, cell, images
        self.largest = largest

    def follow(
        self,
        position: Float[np.ndarray, "atoms 3"],
        cell: Float[np.ndarray, "3 3"],
        periodic: Sequence[bool],
        new_segment: bool,
        number: int,
    ) -> Float[np.ndarray, "atoms 3"]:
        """Return the unwrapped positions of the next frame: (atoms, 3) float64, A.

        Parameters
        ----------
        position : (atoms, 3), A, in any image.
        cell : (3, 3), A, lattice vectors in rows.
        periodic : (3,) bool
        new_segment : whether the frame does not follow the one before.
        number : of the frame, for ``where``.
        """
        if self._before is None or new_segment:
            images = np.zeros(position.shape)
        else:
            before, cell_before, images = self._before
            inverse = np.linalg.inv(cell)
            # The identity, unless LAMMPS has flipped a tilted box to other vectors of the same lattice.
            images = images @ np.rint(cell_before @ inverse)
            fraction = (position - before) @ inverse
            crossed = np.rint(fraction) * np.asarray(periodic)
            rest = np.abs(fraction - crossed) * np.asarray(periodic)
            images -= crossed
            longest = rest.max()
            if longest > self.largest:
                self.largest = float(longest)
                self.where = (number, int(rest.max(1).argmax()))
        self._before = position, cell, images
        return position + images @ cell

    @property
    def trusted(self) -> bool:
        return self.largest <= LARGEST_STEP


def same_positions(
    one: Float[np.ndarray, "atoms 3"],
    other: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    tolerance_A: float = 0.02,
) -> bool:
    """Whether two sets of positions are the same apart from whole lattice vectors."""
    step = one - other
    step = step - np.rint(step @ np.linalg.inv(cell)) @ cell
    return bool(np.abs(step).max() <= tolerance_A)
