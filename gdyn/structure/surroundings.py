"""Counting the atoms around the targets, weighted by the probabilities of their states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numba
import numpy as np
from jaxtyping import Bool, Float, Int

from gdyn.statistics.interval import HALF
from gdyn.store.walk import heights_of

Edges = Float[np.ndarray, " edges"]
PerShell = Float[np.ndarray, " bins"]
# Of each atom: its charge, the number of its molecule, and whether it makes its molecule count.
OfAtoms = tuple[Float[np.ndarray, " atoms"], Int[np.ndarray, " atoms"], Bool[np.ndarray, " atoms"]]


@dataclass
class Shells:
    """Sums over frames and targets, each kept apart for every block of the data.

    edges_A : (bins + 1,) of the shells
    weight : (blocks, states) sum of the probabilities
    counts : (blocks, states, groups, bins) of the atoms of each group, times the probabilities
    density : (blocks, states, groups) of the number density of the group without the target, times the probabilities
    charge_e : (blocks, states, bins) of the charges of atoms, times the probabilities
    molecule_charge_e : likewise, of whole molecules, in the shell where their nearest coordinating atom is
    """

    edges_A: Edges
    weight: Float[np.ndarray, "*blocks states"]
    counts: Float[np.ndarray, "*blocks states groups bins"]
    density: Float[np.ndarray, "*blocks states groups"]
    charge_e: Float[np.ndarray, "*blocks states bins"]
    molecule_charge_e: Float[np.ndarray, "*blocks states bins"]

    @classmethod
    def empty(cls, edges_A: Edges, n_blocks: int, n_states: int, n_groups: int) -> Self:
        """Nothing counted yet."""
        bins = len(edges_A) - 1
        shapes: tuple[tuple[int, ...], ...] = ((), (n_groups, bins), (n_groups,), (bins,), (bins,))
        return cls(np.asarray(edges_A, float), *(np.zeros((n_blocks, n_states, *shape)) for shape in shapes))

    def add(
        self,
        positions: Float[np.ndarray, "atoms 3"],
        cell: Float[np.ndarray, "3 3"],
        periodic: Sequence[bool] | np.ndarray,
        centres: Int[np.ndarray, " targets"],
        probabilities: Float[np.ndarray, "targets states"],
        block: Int[np.ndarray, " targets"],
        groups: Bool[np.ndarray, "groups atoms"],
        atoms: OfAtoms,
        sets: Int[np.ndarray, " atoms"] | None = None,
    ) -> None:
        """Add one frame.

        Parameters
        ----------
        positions : (atoms, 3), A, of any image.
        cell : (3, 3), A, lattice vectors in rows; it may be tilted in any way.
        periodic : (3,) bool, along which lattice vectors the cell repeats.
        centres : (targets,) atoms that are counted from.
        probabilities : (targets, states)
        block : (targets,) int, that each target belongs to in this frame; -1 to leave it out.
        groups : (groups, atoms) bool, which atoms are counted.
        atoms : (charge_e, molecule, coordinating), each (atoms,): charges, numbers of molecules from 0 (-1 where
            unknown), and whether an atom makes its molecule count.
        sets : (atoms,) int, number of the target set of each atom, -1 for none; those of a centre's own set are part
            of the target, not of its surroundings. By default every centre is a target of its own.
        """
        charge, molecule, coordinating = atoms
        if sets is None:
            sets = np.full(len(positions), -1)
            sets[centres] = np.arange(len(centres))
        heights = heights_of(cell)
        images = np.where(periodic, np.floor(self.edges_A[-1] / heights + 0.5), 0).astype(np.int64)
        fractional = np.asarray(positions, float) @ np.linalg.inv(cell)
        volume = abs(np.linalg.det(cell))
        used = np.flatnonzero(block >= 0)
        weights = probabilities[used].astype(float)
        here = sets >= 0
        of_set = np.stack(
            [np.bincount(sets[here], group[here], sets.max(initial=0) + 1) for group in [*groups, charge]]
        )
        of_target = of_set[:, sets[centres[used]]]
        in_target, itself = of_target[:-1].T, of_target[-1]
        per_target = weights[:, :, None] * ((groups.sum(1) - in_target) / volume)[:, None, :]
        np.add.at(self.weight, block[used], weights)
        np.add.at(self.density, block[used], per_target)
        molecules = np.bincount(molecule[molecule >= 0], charge[molecule >= 0], minlength=molecule.max(initial=-1) + 1)
        whole = np.array([molecules[m] if m >= 0 else q for m, q in zip(molecule[centres[used]], itself, strict=True)])
        for sums, of_centre in ((self.charge_e, itself), (self.molecule_charge_e, whole)):
            np.add.at(sums[..., 0], block[used], weights * of_centre.reshape(-1, 1))
        _count(
            fractional, np.asarray(cell, float), np.asarray(periodic, bool), images,
            centres[used], weights, block[used],
            np.ascontiguousarray(groups.T), charge, molecule, molecules, coordinating, np.asarray(sets, np.int64),
            self.edges_A[-1], (len(self.edges_A) - 1) / self.edges_A[-1],
            self.counts, self.charge_e, self.molecule_charge_e,
        )  # fmt: skip

    def part(self, blocks: slice | Sequence[int], halved: int | None = None) -> "Shells":
        """The sums over some blocks, a slice or a list, of which one may count for a half."""

        def total(sums: np.ndarray) -> np.ndarray:
            return sums[blocks].sum(0) - (0.0 if halved is None else HALF * sums[halved])

        return Shells(self.edges_A, *(total(getattr(self, name)) for name in list(vars(self))[1:]))

    def rdf(self) -> Float[np.ndarray, "states groups bins"]:
        """State-weighted radial distribution functions, of summed blocks: (states, groups, bins).

        ``sum p n_A / sum p rho_A V_shell`` (equation 19 of docs/theory.md).
        """
        volume = 4 / 3 * np.pi * np.diff(self.edges_A**3)
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.counts / (self.density[..., None] * volume)

    def coordination(self) -> Float[np.ndarray, "states groups bins"]:
        """Running coordination numbers up to the outer edge of each shell: (states, groups, bins)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return self.counts.cumsum(-1) / self.weight[..., None, None]

    def charge(self, whole_molecules: bool) -> Float[np.ndarray, "states bins"]:
        """Charge within the outer edge of each shell, that of the target included: (states, bins), e.

        Equation 20 of docs/theory.md; of atoms, or of every molecule that has a coordinating atom within.
        """
        sums = self.molecule_charge_e if whole_molecules else self.charge_e
        with np.errstate(invalid="ignore", divide="ignore"):
            return sums.cumsum(-1) / self.weight[..., None]


@numba.njit(cache=True)
def _count(
    fractional: np.ndarray, cell: np.ndarray, periodic: np.ndarray, images: np.ndarray,
    centres: np.ndarray, weights: np.ndarray, block: np.ndarray,
    member: np.ndarray, charge: np.ndarray, molecule: np.ndarray, total: np.ndarray, coordinating: np.ndarray,
    sets: np.ndarray, reach: float, per_A: float,
    counts: np.ndarray, charges: np.ndarray, molecule_charges: np.ndarray,
) -> None:  # fmt: skip
    n_states, n_groups = weights.shape[1], member.shape[1]
    nearest = np.empty(len(total))
    offset = np.empty(3)
    for t in range(len(centres)):
        centre, b = centres[t], block[t]
        nearest[:] = np.inf
        for a in range(len(fractional)):
            if sets[a] == sets[centre]:
                continue
            for k in range(3):
                offset[k] = fractional[a, k] - fractional[centre, k]
                if periodic[k]:
                    offset[k] -= np.rint(offset[k])
            for i in range(-images[0], images[0] + 1):
                for j in range(-images[1], images[1] + 1):
                    for k in range(-images[2], images[2] + 1):
                        square = 0.0
                        for x in range(3):
                            d = (offset[0] + i) * cell[0, x] + (offset[1] + j) * cell[1, x]
                            d += (offset[2] + k) * cell[2, x]
                            square += d * d
                        if square >= reach * reach:
                            continue
                        distance = np.sqrt(square)
                        place = min(int(distance * per_A), counts.shape[3] - 1)
                        for s in range(n_states):
                            charges[b, s, place] += weights[t, s] * charge[a]
                            for g in range(n_groups):
                                if member[a, g]:
                                    counts[b, s, g, place] += weights[t, s]
                        m = molecule[a]
                        if m >= 0 and m != molecule[centre] and coordinating[a] and distance < nearest[m]:
                            nearest[m] = distance
        for m in range(len(total)):
            if nearest[m] < reach:
                place = min(int(nearest[m] * per_A), counts.shape[3] - 1)
                for s in range(n_states):
                    molecule_charges[b, s, place] += weights[t, s] * total[m]
