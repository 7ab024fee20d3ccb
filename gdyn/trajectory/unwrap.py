"""Unwrapped coordinates rebuilt from wrapped ones."""

import numpy as np

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

    def __init__(self):
        self.largest, self.where = 0.0, None
        self._before = self._cell = self._images = None

    def go_on(self, position, cell, periodic, largest):
        """Take up where another one has ended.

        Parameters
        ----------
        position : (atoms, 3), A, the unwrapped positions of its last frame.
        cell : (3, 3), A, of that frame.
        periodic : (3,) bool
        largest : its longest step.
        """
        # In one image again, as positions far from it would move with a cell that changes.
        self._images = np.floor(position @ np.linalg.inv(cell)) * np.asarray(periodic)
        self._before, self._cell = position - self._images @ cell, cell
        self.largest = largest

    def follow(self, position, cell, periodic, new_segment, number):
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
            self._images = np.zeros(position.shape)
        else:
            inverse = np.linalg.inv(cell)
            # The identity, unless LAMMPS has flipped a tilted box to other vectors of the same lattice.
            self._images = self._images @ np.rint(self._cell @ inverse)
            fraction = (position - self._before) @ inverse
            crossed = np.rint(fraction) * np.asarray(periodic)
            rest = np.abs(fraction - crossed) * np.asarray(periodic)
            self._images -= crossed
            longest = rest.max()
            if longest > self.largest:
                self.largest = float(longest)
                self.where = (number, int(rest.max(1).argmax()))
        self._before, self._cell = position, cell
        return position + self._images @ cell

    @property
    def trusted(self):
        return self.largest <= LARGEST_STEP


def same_positions(one, other, cell, tolerance_A=0.02):
    """Whether two sets of positions are the same but for whole lattice vectors."""
    step = one - other
    step = step - np.rint(step @ np.linalg.inv(cell)) @ cell
    return bool(np.abs(step).max() <= tolerance_A)
