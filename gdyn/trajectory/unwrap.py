"""Unwrapped coordinates rebuilt from wrapped ones."""

import numpy as np

LARGEST_STEP = 0.45  # of a lattice vector, beyond which the nearest image is a guess


class Unwrapper:
    """Adds up the displacements from frame to frame, each to the nearest image.

    Displacements are those of the wrapped positions, so that the fluctuations of a box under constant
    pressure are not multiplied by the number of boxes that an atom has crossed (von Bulow, Bullerjahn
    and Hummer, J. Chem. Phys. 153, 021101, 2020; section "Unwrapping" of docs/theory.md).

    Attributes
    ----------
    largest : the largest displacement so far, as a fraction of a lattice vector.
    where : (frame, atom index) of it.
    """

    def __init__(self):
        self.largest, self.where = 0.0, None
        self._before = self._unwrapped = None

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
            self._unwrapped = position
        else:
            step = position - self._before
            fraction = step @ np.linalg.inv(cell)
            images = np.rint(fraction) * np.asarray(periodic)
            rest = np.abs(fraction - images) * np.asarray(periodic)
            if rest.max() > self.largest:
                self.largest = float(rest.max())
                self.where = (number, int(rest.max(1).argmax()))
            self._unwrapped = self._unwrapped + (step - images @ cell)
        self._before = position
        return self._unwrapped

    @property
    def trusted(self):
        return self.largest <= LARGEST_STEP


def same_positions(one, other, cell, tolerance_A=0.02):
    """Whether two sets of positions are the same but for whole lattice vectors."""
    step = one - other
    step = step - np.rint(step @ np.linalg.inv(cell)) @ cell
    return bool(np.abs(step).max() <= tolerance_A)
