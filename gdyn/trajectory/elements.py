"""Masses of the atoms of a trajectory, and which chemical element a mass belongs to."""

import numpy as np
from jaxtyping import Float

from gdyn.config.elements import ELEMENTS
from gdyn.errors import InputError
from gdyn.store.trajectory import Atoms

SMALLEST_TOLERANCE_U = 0.012
RELATIVE_TOLERANCE = 3e-4


def masses_of(atoms: Atoms) -> Float[np.ndarray, " atoms"]:
    """Masses of atoms, u: those of the trajectory store, else those of their elements.

    Parameters
    ----------
    atoms : Atoms

    Returns
    -------
    (atoms,) float64

    Raises
    ------
    InputError : the store has no masses, and a species in it is not a chemical element.
    """
    if atoms.mass_u is not None:
        return np.asarray(atoms.mass_u, np.float64)
    unknown = sorted(set(atoms.element) - ELEMENTS.keys())
    if unknown:
        raise InputError(
            f"{unknown[0]} is not a chemical element, and this trajectory store has no masses; declare it with its "
            f"mass under trajectory.species, and read the trajectory again"
        )
    return np.array([ELEMENTS[element] for element in atoms.element], np.float64)


def element_of_mass(mass_u: float) -> str | None:
    """The element of this atomic mass, or None where none is within 0.012 u (or 0.03 %).

    Wide enough for rounded masses, too narrow to call a united atom CH2 (14.027) a nitrogen (14.007). Elements
    without a standard atomic weight, such as technetium, are never guessed.
    """
    name = min(_WEIGHTS, key=lambda name: abs(_WEIGHTS[name] - mass_u))
    tolerance = max(SMALLEST_TOLERANCE_U, RELATIVE_TOLERANCE * mass_u)
    return name if abs(_WEIGHTS[name] - mass_u) <= tolerance else None


_WEIGHTS = {name: mass for name, mass in ELEMENTS.items() if mass != int(mass)}
