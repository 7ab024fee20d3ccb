"""Rigid water: SPC/E of Berendsen, Grigera, Straatsma, J. Phys. Chem. 91, 6269 (1987)."""

import numpy as np

from gdyn.simulation.builders.molecules import AtomType, ForceField, Molecule

FORCE_FIELD = ForceField(
    atoms={
        "o_water": AtomType("O", "OW", 15.9994, -0.8476, 0.1553, 3.166),
        "h_water": AtomType("H", "HW", 1.008, 0.4238, 0.0, 0.0),
    },
    # The molecule is rigid: these hold it together until SHAKE does.
    bonds={("OW", "HW"): (1000.0, 1.0)},
    angles={("HW", "OW", "HW"): (100.0, 109.47)},
    dihedrals={},
)


def molecule() -> Molecule:
    """One water molecule."""
    half = np.radians(109.47 / 2)
    sides = [[np.sin(half), np.cos(half), 0.0], [-np.sin(half), np.cos(half), 0.0]]
    return Molecule(["o_water", "h_water", "h_water"], np.array([[0.0, 0.0, 0.0], *sides]), [(0, 1), (0, 2)])
