"""Molecules with their force field, packed into a box, as a LAMMPS data file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

import numpy as np
from jaxtyping import Float

# Parameters of bonded terms, by the classes of their atoms.
Terms = Mapping[tuple[str, ...], tuple[float, ...]]


@dataclass
class Molecule:
    """A molecule: which atoms, where they are, and which are bonded.

    types : names of the atom types, one per atom
    positions : (atoms, 3), A
    bonds : list of pairs of atoms
    """

    types: list[str]
    positions: Float[np.ndarray, "atoms 3"]
    bonds: list[tuple[int, int]]

    def neighbors(self) -> list[list[int]]:
        near: list[list[int]] = [[] for _ in self.types]
        for a, b in self.bonds:
            near[a].append(b)
            near[b].append(a)
        return near

    def angles(self) -> list[tuple[int, int, int]]:
        """All (a, b, c) with a and c bonded to b."""
        return [(a, b, c) for b, near in enumerate(self.neighbors()) for i, a in enumerate(near) for c in near[i + 1 :]]

    def dihedrals(self) -> list[tuple[int, int, int, int]]:
        """All (a, b, c, d) of three bonds in a row."""
        near = self.neighbors()
        return [(a, b, c, d) for b, c in self.bonds for a in near[b] if a != c for d in near[c] if d not in (b, a)]


@dataclass(frozen=True)
class AtomType:
    """One type of atom of a force field: its class in bonded terms, and its nonbonded parameters."""

    element: str
    kind: str
    mass: float
    charge_e: float
    epsilon_kcal_mol: float
    sigma_A: float


@dataclass(frozen=True)
class ForceField:
    """Atom types by name, and bonded parameters by the classes of their atoms, in LAMMPS's real units.

    bonds : pair of classes to (K, r0); angles : triple to (K, theta0); dihedrals : four to (V1, V2, V3, V4), styles
    ``harmonic``, ``harmonic`` and ``opls``.
    """

    atoms: dict[str, AtomType]
    bonds: Terms
    angles: Terms
    dihedrals: Terms

    def find(self, table: Terms, atoms: Sequence[str]) -> tuple[str, ...]:
        """The key of a bonded term in a table, read in either direction.

        Raises
        ------
        KeyError : the force field has no such term.
        """
        kinds = tuple(self.atoms[name].kind for name in atoms)
        for key in (kinds, kinds[::-1]):
            if key in table:
                return key
        raise KeyError(f"no parameters for {'-'.join(kinds)}")


def write_data(
    file: TextIO, title: str, molecules: Sequence[Molecule], cell_A: Sequence[float], force_field: ForceField
) -> None:
    """Write molecules at their positions as a LAMMPS data file of atom style ``full``, coefficients included.

    Parameters
    ----------
    file : open text file.
    title : its first line.
    molecules : list of Molecule.
    cell_A : (3,) edges of the box, whose corner is 0.
    force_field : ForceField; only what the molecules need of it is written.
    """
    names = [name for name in force_field.atoms if any(name in molecule.types for molecule in molecules)]
    terms: dict[str, list[tuple[tuple[str, ...], list[int]]]] = {"bond": [], "angle": [], "dihedral": []}
    tables = {"bond": force_field.bonds, "angle": force_field.angles, "dihedral": force_field.dihedrals}
    atoms, offset = [], 0
    for number, molecule in enumerate(molecules, start=1):
        for name, position in zip(molecule.types, molecule.positions, strict=True):
            atoms.append((number, names.index(name) + 1, force_field.atoms[name].charge_e, *position))
        bonded: dict[str, Sequence[tuple[int, ...]]] = {
            "bond": molecule.bonds,
            "angle": molecule.angles(),
            "dihedral": molecule.dihedrals(),
        }
        for kind, groups in bonded.items():
            for group in groups:
                key = force_field.find(tables[kind], [molecule.types[i] for i in group])
                terms[kind].append((key, [i + offset + 1 for i in group]))
        offset += len(molecule.types)
    keys = {kind: sorted({key for key, _ in rows}) for kind, rows in terms.items()}
    put = lambda *words: print(*words, file=file)  # noqa: E731
    put(f"LAMMPS data file: {title}\n")
    put(f"{len(atoms)} atoms\n{len(names)} atom types")
    for kind, rows in terms.items():
        put(f"{len(rows)} {kind}s\n{len(keys[kind])} {kind} types")
    put()
    for axis, edge in zip("xyz", cell_A, strict=True):
        put(f"0.0 {edge:.6f} {axis}lo {axis}hi")
    put("\nMasses\n")
    for i, name in enumerate(names, start=1):
        put(f"{i} {force_field.atoms[name].mass:.4f} # {force_field.atoms[name].element} {name}")
    put("\nPair Coeffs # lj/cut/coul/long\n")
    for i, name in enumerate(names, start=1):
        put(f"{i} {force_field.atoms[name].epsilon_kcal_mol:.6f} {force_field.atoms[name].sigma_A:.5f} # {name}")
    for kind, style in (("bond", "harmonic"), ("angle", "harmonic"), ("dihedral", "opls")):
        if keys[kind]:
            put(f"\n{kind.capitalize()} Coeffs # {style}\n")
        for i, key in enumerate(keys[kind], start=1):
            put(i, *(f"{value:g}" for value in tables[kind][key]), "#", "-".join(key))
    put("\nAtoms # full\n")
    for i, (molecule, kind, charge, *position) in enumerate(atoms, start=1):
        put(i, molecule, kind, f"{charge:.6f}", *(f"{x:.5f}" for x in position))
    for kind, rows in terms.items():
        if rows:
            put(f"\n{kind.capitalize()}s\n")
        for i, (key, members) in enumerate(rows, start=1):
            put(i, keys[kind].index(key) + 1, *members)


def total_mass(molecules: Sequence[Molecule], force_field: ForceField) -> float:
    """In g/mol."""
    counts = Counter(name for molecule in molecules for name in molecule.types)
    return sum(number * force_field.atoms[name].mass for name, number in counts.items())
