"""Poly(ethylene oxide) with hydroxyl ends, and LiTFSI: molecules, and their force field.

Parameters, in LAMMPS's real units (``K`` is half of the force constants of papers that write ``k/2``):

- ethers and alcohols: OPLS-AA, Jorgensen, Maxwell, Tirado-Rives, J. Am. Chem. Soc. 118, 11225 (1996); torsions of
  ethers also Price, Ostrovsky, Jorgensen, J. Comput. Chem. 22, 1340 (2001);
- TFSI: CL&P, Canongia Lopes, Padua, J. Phys. Chem. B 108, 16893 (2004);
- Li: Aqvist, J. Phys. Chem. 94, 8021 (1990).

All with geometric mixing and half of the interactions of 1-4 neighbors.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gdyn.simulation.builders.molecules import AtomType, ForceField, Molecule

Vector = Float[np.ndarray, " 3"]

FORCE_FIELD = ForceField(
    atoms={
        "li": AtomType("Li", "LI", 6.941, 1.0, 0.018279, 2.12645),
        "o_ether": AtomType("O", "OS", 15.999, -0.40, 0.140, 2.90),
        "c_ether": AtomType("C", "CT", 12.011, 0.14, 0.066, 3.50),
        "h_ether": AtomType("H", "HC", 1.008, 0.03, 0.030, 2.50),
        "o_hydroxyl": AtomType("O", "OH", 15.999, -0.683, 0.170, 3.12),
        "c_hydroxyl": AtomType("C", "CT", 12.011, 0.145, 0.066, 3.50),
        "h_carbinol": AtomType("H", "HC", 1.008, 0.06, 0.030, 2.50),
        "h_hydroxyl": AtomType("H", "HO", 1.008, 0.418, 0.0, 0.0),
        "n_tfsi": AtomType("N", "NBT", 14.007, -0.66, 0.170, 3.25),
        "s_tfsi": AtomType("S", "SBT", 32.06, 1.02, 0.250, 3.55),
        "o_tfsi": AtomType("O", "OBT", 15.999, -0.53, 0.210, 2.96),
        "c_tfsi": AtomType("C", "CBT", 12.011, 0.35, 0.066, 3.50),
        "f_tfsi": AtomType("F", "F1", 18.998, -0.16, 0.053, 2.95),
    },
    bonds={
        ("CT", "CT"): (268.0, 1.529),
        ("CT", "HC"): (340.0, 1.090),
        ("CT", "OS"): (320.0, 1.410),
        ("CT", "OH"): (320.0, 1.410),
        ("OH", "HO"): (553.0, 0.945),
        ("CBT", "F1"): (441.92, 1.323),
        ("CBT", "SBT"): (233.03, 1.818),
        ("SBT", "OBT"): (637.07, 1.442),
        ("NBT", "SBT"): (372.01, 1.570),
    },
    angles={
        ("HC", "CT", "HC"): (33.0, 107.8),
        ("CT", "CT", "HC"): (37.5, 110.7),
        ("CT", "CT", "OS"): (50.0, 109.5),
        ("CT", "CT", "OH"): (50.0, 109.5),
        ("HC", "CT", "OS"): (35.0, 109.5),
        ("HC", "CT", "OH"): (35.0, 109.5),
        ("CT", "OS", "CT"): (60.0, 109.5),
        ("CT", "OH", "HO"): (55.0, 108.5),
        ("F1", "CBT", "F1"): (93.33, 107.1),
        ("F1", "CBT", "SBT"): (82.93, 111.8),
        ("CBT", "SBT", "OBT"): (103.97, 102.6),
        ("OBT", "SBT", "OBT"): (115.80, 118.5),
        ("NBT", "SBT", "OBT"): (94.29, 113.6),
        ("CBT", "SBT", "NBT"): (97.51, 100.2),
        ("SBT", "NBT", "SBT"): (80.19, 125.6),
    },
    dihedrals={
        ("HC", "CT", "CT", "HC"): (0.0, 0.0, 0.318, 0.0),
        ("HC", "CT", "CT", "OS"): (0.0, 0.0, 0.468, 0.0),
        ("HC", "CT", "CT", "OH"): (0.0, 0.0, 0.468, 0.0),
        ("OS", "CT", "CT", "OS"): (-0.550, 0.0, 0.0, 0.0),
        ("OS", "CT", "CT", "OH"): (4.319, 0.0, 0.0, 0.0),
        ("OH", "CT", "CT", "OH"): (9.508, 0.0, 0.0, 0.0),
        ("CT", "CT", "OS", "CT"): (0.650, -0.250, 0.670, 0.0),
        ("HC", "CT", "OS", "CT"): (0.0, 0.0, 0.760, 0.0),
        ("CT", "CT", "OH", "HO"): (-0.356, -0.174, 0.492, 0.0),
        ("HC", "CT", "OH", "HO"): (0.0, 0.0, 0.450, 0.0),
        ("F1", "CBT", "SBT", "OBT"): (0.0, 0.0, 0.3468, 0.0),
        ("F1", "CBT", "SBT", "NBT"): (0.0, 0.0, 0.3160, 0.0),
        ("CBT", "SBT", "NBT", "SBT"): (7.8329, -2.4904, -0.7636, 0.0),
        ("OBT", "SBT", "NBT", "SBT"): (0.0, 0.0, -0.0036, 0.0),
    },
)
IONS = ("li", "n_tfsi", "s_tfsi", "o_tfsi", "c_tfsi", "f_tfsi")
TRANS, GAUCHE = 180.0, 65.0
TETRAHEDRAL = 109.5
NEAREST_A = 3.2  # of two atoms of the backbone that are four bonds apart or more


def molecules(chains: int, degree_of_polymerisation: int, li_per_eo: float, seed: int) -> list[Molecule]:
    """Chains of PEO in random coils, TFSI and Li, none of them placed yet.

    Parameters
    ----------
    chains : number of chains.
    degree_of_polymerisation : repeat units of each.
    li_per_eo : Li ions for each ether oxygen, and as many TFSI.
    seed : of the coils.
    """
    rng = np.random.default_rng(seed)
    salts = max(1, round(li_per_eo * chains * degree_of_polymerisation))
    return [
        *(peo(degree_of_polymerisation, rng) for _ in range(chains)),
        *(tfsi() for _ in range(salts)),
        *(Molecule(["li"], np.zeros((1, 3)), []) for _ in range(salts)),
    ]


def force_field(charge_scale: float) -> ForceField:
    """The force field with the charges of the ions scaled."""
    atoms = {
        name: atom if name not in IONS else AtomType(**{**vars(atom), "charge_e": charge_scale * atom.charge_e})
        for name, atom in FORCE_FIELD.atoms.items()
    }
    return ForceField(atoms, FORCE_FIELD.bonds, FORCE_FIELD.angles, FORCE_FIELD.dihedrals)


def peo(repeat_units: int, rng: np.random.Generator) -> Molecule:
    """HO-(CH2-CH2-O)n-H as a random coil that does not cross itself."""
    kinds = ["o_hydroxyl"]
    for unit in range(repeat_units):
        first, last = unit == 0, unit == repeat_units - 1
        kinds += ["c_hydroxyl" if first else "c_ether", "c_hydroxyl" if last else "c_ether"]
        kinds.append("o_hydroxyl" if last else "o_ether")
    backbone = _coil(kinds, rng)
    types, positions = list(kinds), list(backbone)
    bonds = [(i, i + 1) for i in range(len(kinds) - 1)]

    def add(kind: str, position: Vector, to: int) -> None:
        bonds.append((to, len(types)))
        types.append(kind)
        positions.append(position)

    for i in (0, len(kinds) - 1):
        inner = (i + 1, i + 2) if i == 0 else (i - 1, i - 2)
        add("h_hydroxyl", attach(backbone[inner[1]], backbone[inner[0]], backbone[i], 0.945, 108.5, TRANS), i)
    for i, kind in enumerate(kinds):
        if kind.startswith("c_"):
            a, b = backbone[i - 1] - backbone[i], backbone[i + 1] - backbone[i]
            out = -_unit(_unit(a) + _unit(b))
            side = _unit(np.cross(a, b))
            for sign in (1.0, -1.0):
                hydrogen = backbone[i] + 1.09 * (
                    np.cos(np.radians(54.0)) * out + sign * np.sin(np.radians(54.0)) * side
                )
                add("h_ether" if kind == "c_ether" else "h_carbinol", hydrogen, i)
    return Molecule(types, np.array(positions), bonds)


def _coil(kinds: Sequence[str], rng: np.random.Generator) -> Float[np.ndarray, "atoms 3"]:
    """Positions of a backbone with O-C-C-O torsions gauche, others mostly trans."""
    length = {"c": 1.53, "o": 1.41}
    places = [np.zeros(3), np.array([1.41, 0.0, 0.0]), np.array([1.41 + 1.53 * 0.33, 1.44, 0.0])]
    tries, set_back = 0, 0
    while len(places) < len(kinds):
        i = len(places)
        bond = length["c"] if kinds[i][0] == kinds[i - 1][0] == "c" else length["o"]
        around_carbons = kinds[i - 1][0] == kinds[i - 2][0] == "c"
        torsion = rng.choice([GAUCHE, -GAUCHE, TRANS], p=[0.45, 0.45, 0.1] if around_carbons else [0.12, 0.12, 0.76])
        a, b, c = places[-3:]
        place = attach(a, b, c, bond, TETRAHEDRAL + 2.0, torsion + rng.normal(0.0, 8.0))
        far = np.linalg.norm(np.array(places[:-3]).reshape(-1, 3) - place, axis=1)
        if (far < NEAREST_A).any():
            tries += 1
            if tries > 20:
                set_back = min(set_back + 3, 30)
                places, tries = places[: max(3, len(places) - set_back)], 0
            continue
        tries = 0
        places.append(place)
    return np.array(places)


def tfsi() -> Molecule:
    """N(SO2CF3)2 with its CF3 groups on opposite sides."""
    nitrogen = np.zeros(3)
    half = np.radians(125.6 / 2)
    types, positions, bonds = ["n_tfsi"], [nitrogen], []
    for sign in (1.0, -1.0):
        sulfur = 1.57 * np.array([sign * np.sin(half), np.cos(half), 0.0])
        opposite = 1.57 * np.array([-sign * np.sin(half), np.cos(half), 0.0])
        s = len(types)
        types.append("s_tfsi")
        positions.append(sulfur)
        bonds.append((0, s))
        carbon = attach(opposite, nitrogen, sulfur, 1.818, 100.2, 95.0)
        for kind, place in (
            ("c_tfsi", carbon),
            ("o_tfsi", attach(opposite, nitrogen, sulfur, 1.442, 113.6, 95.0 + 113.0)),
            ("o_tfsi", attach(opposite, nitrogen, sulfur, 1.442, 113.6, 95.0 - 113.0)),
        ):
            bonds.append((s, len(types)))
            types.append(kind)
            positions.append(place)
        for torsion in (60.0, 180.0, 300.0):
            bonds.append((s + 1, len(types)))
            types.append("f_tfsi")
            positions.append(attach(nitrogen, sulfur, carbon, 1.323, 111.8, torsion))
    return Molecule(types, np.array(positions), bonds)


def attach(
    a: Vector,
    b: Vector,
    c: Vector,
    length: float,
    angle: float,
    torsion: float,
) -> Vector:
    """Where an atom is that is bonded to ``c``: length in A, angle b-c-d and torsion a-b-c-d in degrees."""
    angle, torsion = np.radians([angle, torsion])
    axis = _unit(c - b)
    normal = _unit(np.cross(b - a, axis))
    local = length * np.array([-np.cos(angle), np.sin(angle) * np.cos(torsion), np.sin(angle) * np.sin(torsion)])
    return c + local @ np.array([axis, np.cross(normal, axis), normal])


def _unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)
