"""Known sites: assignment by cores, and the dynamics of the whole site network from the local states."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy
from jaxtyping import Float, Int

from gdyn.config import Sites
from gdyn.errors import InputError

OfSites = Float[np.ndarray, "sites sites"]


@dataclass
class SiteNetwork:
    """The sites of a periodic cell and their bonds.

    types : names of the site types
    fractional : (sites, 3) in fractions of the lattice vectors
    type_of : (sites,) index into ``types``
    radius_A : (sites,) of the cores
    bonds : (sites, sites) number of bonds between two sites, periodic images counted
    """

    types: list[str]
    fractional: Float[np.ndarray, "sites 3"]
    type_of: Int[np.ndarray, " sites"]
    radius_A: Float[np.ndarray, " sites"]
    bonds: Int[np.ndarray, "sites sites"]

    @classmethod
    def of(cls, settings: Sites, cell: Float[np.ndarray, "3 3"]) -> Self:
        """Build the network from the ``sites`` section of a system and the cell (3, 3) in A.

        Raises
        ------
        InputError : sites of one type have different numbers of bonds to another type, so that they
            are not equivalent.
        """
        types = list(settings.types)
        fractional = np.concatenate([np.array(settings.types[name].fractional) for name in types])
        type_of = np.concatenate([np.full(len(settings.types[name].fractional), i) for i, name in enumerate(types)])
        radius = np.array([settings.types[types[i]].core_radius_A for i in type_of])
        bonds = np.zeros((len(type_of), len(type_of)), int)
        for bond in settings.bonds:
            a, b = (types.index(name) for name in bond.between)
            between = (type_of[:, None] == a) & (type_of == b)
            bonds += np.where(between | between.T, _images_within(fractional, cell, bond.within_A), 0)
        network = cls(types, fractional, type_of, radius, bonds)
        for a in range(len(types)):
            counts = network.bonds_of_type(bonds[type_of == a])
            if (counts != counts[0]).any():
                raise InputError(
                    f"sites: the {types[a]} sites have different numbers of bonds ({counts.tolist()}); give sites with "
                    f"different surroundings different types, or correct sites.bonds"
                )
        return network

    def bonds_of_type(self, bonds: Int[np.ndarray, "rows sites"]) -> Int[np.ndarray, "rows types"]:
        """Sum rows of bonds over the types of the other end: (rows, types)."""
        return np.stack([bonds[:, self.type_of == b].sum(1) for b in range(len(self.types))], axis=1)

    def assign(
        self, positions: Float[np.ndarray, "frames targets 3"], cells: Float[np.ndarray, "frames 3 3"]
    ) -> Int[np.ndarray, "frames targets"]:
        """Assign positions to sites by cores.

        Within the core of a site a target belongs to it; elsewhere it belongs to the site whose core it
        left last (before the first arrival: where it arrives first). Crossing the border between
        two sites and turning back is no hop, so the assignment has the memory that a dividing
        surface lacks.

        Parameters
        ----------
        positions : (frames, targets, 3), A
        cells : (frames, 3, 3), A

        Returns
        -------
        (frames, targets) int64, the site

        Raises
        ------
        InputError : a target never comes into any core.
        """
        inverse = np.linalg.inv(cells)
        n_frames, n_targets = positions.shape[:2]
        site = np.full((n_frames, n_targets), -1)
        nearest = np.full((n_frames, n_targets), np.inf)
        for number, (where, radius) in enumerate(zip(self.fractional, self.radius_A, strict=True)):
            offset = np.einsum("fti,fij->ftj", positions, inverse) - where
            offset -= np.rint(offset)
            distance = np.linalg.norm(np.einsum("fti,fij->ftj", offset, cells), axis=-1)
            inside = (distance < radius) & (distance < nearest)
            site[inside] = number
            nearest[inside] = distance[inside]
        frames = np.arange(n_frames)[:, None]
        last = np.maximum.accumulate(np.where(site >= 0, frames, -1), axis=0)
        first = np.argmax(site >= 0, axis=0)
        if (site[first, np.arange(n_targets)] < 0).any():
            raise InputError("sites: a target never comes into the core of any site; widen sites.types.*.core_radius_A")
        return np.take_along_axis(site, np.where(last < 0, first, last), axis=0)

    def rebuild(self, local: Float[np.ndarray, "types types"], lag_ps: float) -> tuple[OfSites, OfSites]:
        """The Koopman matrix of all sites from that of the site types, two ways.

        With ``c_ab`` bonds from a site of type a to sites of type b, ``m`` of them to one site
        (equation 16 of docs/theory.md): the transition matrix ``K_ss' = m K_ab / c_ab``, which allows
        one hop in a lag time, and ``expm(lag Q)`` with the generator ``Q_ss' = m L_ab / c_ab``,
        ``L = logm(K) / lag``, which allows any number. What the matrix of types does not determine stays unknown:
        hops between sites of one type, and, in the first form, how types that are not bonded exchange targets in one
        hop.

        Parameters
        ----------
        local : (types, types) Koopman matrix of the types of site
        lag_ps : float

        Returns
        -------
        matrix, generator : (sites, sites); NaN where a form does not exist.
        """
        n_types, n_sites = len(self.types), len(self.type_of)
        unknown = np.full((n_sites, n_sites), np.nan)
        counts = np.stack([self.bonds_of_type(self.bonds[self.type_of == a])[0] for a in range(n_types)])
        if counts.trace() or not counts.any():
            return unknown, unknown
        pair = np.ix_(self.type_of, self.type_of)
        share = self.bonds / np.maximum(counts[pair], 1)
        stay = np.eye(n_sites, dtype=bool)
        bonded = (counts > 0) | np.eye(n_types, dtype=bool)
        matrix = np.where(stay, local[pair], local[pair] * share) if bonded.all() else unknown

        rate = scipy.linalg.logm(local) / lag_ps
        if np.iscomplexobj(rate) and np.abs(rate.imag).max() > 1e-9 * np.abs(rate).max():
            return matrix, unknown
        rate = np.where(bonded, np.real(rate), 0.0)
        np.fill_diagonal(rate, 0.0)
        np.fill_diagonal(rate, -rate.sum(1))
        return matrix, scipy.linalg.expm(lag_ps * np.where(stay, rate[pair], rate[pair] * share))

    @property
    def cannot_be_rebuilt(self) -> str:
        """Why the dynamics on all sites does not follow from that on the types, or nothing."""
        if not self.bonds.any():
            return "no sites are bonded"
        for i, name in enumerate(self.types):
            if self.bonds[np.ix_(self.type_of == i, self.type_of == i)].any():
                return (
                    f"{name} sites are bonded to each other, and hops between sites of one type do not show in the "
                    f"states"
                )
        return ""


def _images_within(
    fractional: Float[np.ndarray, "sites 3"], cell: Float[np.ndarray, "3 3"], cutoff_A: float
) -> Int[np.ndarray, "sites sites"]:
    """Number of images of each site within a distance of each other site: (sites, sites) int."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.ceil(cutoff_A / heights).astype(int) + 1
    images = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
    offsets = fractional[None, :, None] - fractional[:, None, None] + images
    distances = np.linalg.norm(offsets @ cell, axis=-1)
    return ((distances < cutoff_A) & (distances > 1e-6)).sum(-1)
