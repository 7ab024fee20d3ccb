"""Displacements of the targets, of charged molecules and of all charge, without the drift of the system."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float

from gdyn.errors import InputError
from gdyn.logs import progress
from gdyn.statistics.lag import lagged_frames
from gdyn.statistics.shapes import Probabilities, Segment
from gdyn.store import States
from gdyn.store.trajectory import Atoms
from gdyn.store.walk import Integers, Stretch, Trajectories, atoms_of_ids, each_trajectory
from gdyn.trajectory.elements import masses_of
from gdyn.trajectory.targets import select_first

BLOCK_BYTES = 64 * 2**20
NEUTRAL_E = 0.01  # net charge up to which a molecule counts as neutral
SAME_VOLUME = 1e-3  # relative
FRAMES = ("barycentric", "solvent")  # of reference of a transference number

Vectors = Float[np.ndarray, "frames 3"]
Walkers = Float[np.ndarray, "frames walkers 3"]
OfAtoms = Float[np.ndarray, " atoms"]
Molecule = tuple[Integers, Float[np.ndarray, " members"]]
"""Its atoms, and their shares of its mass."""


@dataclass
class Paths:
    """Where things are in the frames of the states, unwrapped, relative to the reference; A.

    targets : (frames, target sets, 3), NaN where a set is not present
    dipole : (frames, 3) of all charges, e A; None where charges are unknown, or ions differ between trajectories
    target_dipole : (frames, 3) of the targets' charges, e A
    target_charge : (frames,) their sum, e
    centres : {frame of reference: (frames, 3)}: ``barycentric``, the centre of mass of all atoms, and ``solvent``, that
        of the neutral molecules, where there are any
    ions : {net charge in e: (frames, molecules, 3)} of the molecules that are charged
    volume_A3 : mean volume
    flags : caveats
    """

    targets: Float[np.ndarray, "frames targets 3"]
    dipole: Vectors | None
    target_dipole: Vectors
    target_charge: Float[np.ndarray, " frames"]
    centres: dict[str, Vectors]
    ions: dict[float, Walkers]
    volume_A3: float
    flags: list[str]
    charge_flags: list[str] = field(default_factory=list)


def read_paths(states: States, trajectories: Trajectories, reference: str) -> Paths:
    """Follow the targets through the frames of the states.

    Parameters
    ----------
    states : States
    trajectories : those of the system, in the order of their numbers.
    reference : MDAnalysis selection of the atoms whose centre of mass is taken to be at rest.

    Raises
    ------
    InputError : a trajectory could not be unwrapped, or the selection is wrong.
    """
    n_frames, n_sets = states.probabilities.shape[:2]
    empty = np.zeros((n_frames, 3)), np.zeros((n_frames, 3)), np.zeros(n_frames)
    centres = {name: np.full((n_frames, 3), np.nan) for name in FRAMES}
    paths = Paths(np.full((n_frames, n_sets, 3), np.nan), *empty, centres, {}, 0.0, [])
    volumes: list[float] = []
    contents: list[dict[float, int]] = []
    flags: set[str] = set()
    for part in each_trajectory(states, trajectories):
        store = part.store
        if store.unwrapped == "no":
            raise InputError(
                f"{store.source}: atoms move so far between two frames that they cannot be unwrapped, and "
                f"displacements are meaningless; dump xu yu zu or image flags, or leave out the section transport"
            )
        if store.unwrapped == "rebuilt":
            flags.add("positions were unwrapped by nearest images, since the dump has no unwrapped ones")
        volume = np.abs(np.linalg.det(store.cells()[part.stored]))
        if np.ptp(volume) > SAME_VOLUME * volume.mean():
            flags.add(
                "the volume changes, and displacements of unwrapped coordinates contain a part of the changes of the "
                "box that grows with time: use a production run at constant volume"
            )
        volumes.append(float(volume.mean()))
        contents.append(_follow(paths, part, states, reference, flags))
    paths.volume_A3 = float(np.mean(volumes))
    if np.ptp(volumes) > SAME_VOLUME * paths.volume_A3:
        flags.add(
            f"the volumes of the trajectories are from {min(volumes):.0f} to {max(volumes):.0f} A^3: conductivities "
            f"refer to their mean, and describe none of them"
        )
    if any(content != contents[0] for content in contents):
        flags.add("the trajectories have different ions, so there is no collective conductivity of all of them")
        paths.dipole = None
    if paths.dipole is None:
        paths.ions = {}
    paths.centres = {name: centre for name, centre in centres.items() if np.isfinite(centre).all()}
    paths.flags = sorted(flags)
    return paths


def _follow(paths: Paths, part: Stretch, states: States, reference: str, flags: set[str]) -> dict[float, int]:
    """Fill in the frames of one trajectory; return its number of ions of each charge."""
    store, frames, stored = part.store, part.frames, part.stored
    atoms = store.atoms
    still = select_first(store, reference, "transport.reference")
    mass = masses(atoms, flags)
    still_mass = mass[still] / mass[still].sum()
    here = np.flatnonzero(states.present[frames].any(0))
    members = states.target_ids[here]
    index = atoms_of_ids(store, members)
    share = np.where(members >= 0, mass[index], 0.0)
    share /= share.sum(1, keepdims=True)
    charge = atoms.charge_e
    molecules = _charged_molecules(atoms, charge, mass) if charge is not None else {}
    solvent = _neutral(atoms, charge) if charge is not None else np.zeros(len(atoms), bool)
    weights_of = {"barycentric": mass / mass.sum()}
    if solvent.any():
        weights_of["solvent"] = np.where(solvent, mass, 0.0) / mass[solvent].sum()
    if charge is not None:
        paths.charge_flags = _flag_charges(atoms, charge, paths.charge_flags)
    content = {net: len(weights) for net, weights in molecules.items()}
    step = max(1, BLOCK_BYTES // (12 * len(atoms)))
    if charge is None:
        paths.dipole = None
    for begin in progress(range(0, len(frames), step), "displacements"):
        chosen = frames[begin : begin + step]
        at = stored[begin : begin + step]
        x = store.positions(slice(at[0], at[-1] + 1)).astype(np.float64)[at - at[0]]
        x -= np.einsum("fax,a->fx", x[:, still], still_mass)[:, None]
        paths.targets[np.ix_(chosen, here)] = np.einsum("ftkx,tk->ftx", x[:, index], share)
        if charge is None or paths.dipole is None:
            continue
        paths.dipole[chosen] = np.einsum("fax,a->fx", x, charge)
        member_charge = np.where(members >= 0, charge[index], 0.0)
        paths.target_dipole[chosen] = np.einsum("ftkx,tk->fx", x[:, index], member_charge)
        paths.target_charge[chosen] = member_charge.sum()
        for name, of_atoms in weights_of.items():
            paths.centres[name][chosen] = np.einsum("fax,a->fx", x, of_atoms)
        for net, weights in molecules.items():
            if net not in paths.ions:
                paths.ions[net] = np.full((len(states.time_ps), len(weights), 3), np.nan)
            if paths.ions[net].shape[1] == len(weights):
                paths.ions[net][chosen] = np.stack(
                    [np.einsum("fax,a->fx", x[:, rows], w) for rows, w in weights], axis=1
                )
    paths.targets[frames] = np.where(states.present[frames][..., None], paths.targets[frames], np.nan)
    return content


def _flag_charges(atoms: Atoms, charge_e: OfAtoms, known: list[str]) -> list[str]:
    """Caveats about the charges of a trajectory, added to those already known."""
    sentences = list(known)
    if abs(charge_e.sum()) > NEUTRAL_E * np.sqrt(len(atoms)):
        sentences.append(
            f"the cell has a net charge of {charge_e.sum():.3g} e: its collective conductivity and transference "
            f"numbers depend on what is taken to be at rest, and are not reliable"
        )
    if not atoms.has_molecules:
        sentences.append("molecules are not known, so every charged atom counts as an ion in the Nernst-Einstein sum")
    return list(dict.fromkeys(sentences))


def _neutral(atoms: Atoms, charge_e: OfAtoms) -> Bool[np.ndarray, " atoms"]:
    """The atoms of neutral molecules of several atoms, which are the solvent of the others: (atoms,) bool."""
    number = atoms.molecule_index
    return ((np.abs(np.bincount(number, charge_e)) <= NEUTRAL_E) & (np.bincount(number) > 1))[number]


def _charged_molecules(atoms: Atoms, charge_e: OfAtoms, mass: OfAtoms) -> dict[float, list[Molecule]]:
    """{net charge: list of (atoms, shares of mass)} of molecules that have one, and of atoms that are in none."""
    number = atoms.molecule_index
    net = np.bincount(number, charge_e).round(3)
    molecules: dict[float, list[Molecule]] = {}
    for molecule in np.flatnonzero(np.abs(net) > NEUTRAL_E):
        rows = np.flatnonzero(number == molecule)
        molecules.setdefault(float(net[molecule]), []).append((rows, mass[rows] / mass[rows].sum()))
    return molecules


def masses(atoms: Atoms, flags: set[str]) -> OfAtoms:
    """Masses, u; all 1, with a sentence in ``flags``, where a store has none and a name is not an element."""
    try:
        return masses_of(atoms)
    except InputError as error:
        flags.add(f"all masses are taken as equal where a centre of mass is needed, because {error}")
        return np.ones(len(atoms))


def transition_sums(
    probabilities: Probabilities, segment: Segment, positions: Float[np.ndarray, "frames targets 3"], lag_frames: int
) -> list[np.ndarray]:
    """What transitions have their means from, of all pairs of frames and targets (equations 21, 22, docs/theory.md).

    The means are ``P_ij = <p_i(t) p_j(t + lag)>`` and ``S_ij = <p_i(t) p_j(t + lag) |dr|^2>``; see :func:`mean_of`.

    Parameters
    ----------
    probabilities : (frames, targets, states), NaN where a target is not present
    segment : (frames,) pairs stay within a segment
    positions : (frames, targets, 3), A
    lag_frames : int

    Returns
    -------
    (2, states, states) sums of ``p_i(t) p_j(t + lag)``, and of that times ``|dr|^2`` in A^2; and the number of pairs
    """
    first = lagged_frames(segment, lag_frames)
    x, y = (probabilities[f].astype(np.float64) for f in (first, first + lag_frames))
    square = np.square(positions[first + lag_frames] - positions[first]).sum(-1)
    both = ~(np.isnan(x[..., 0]) | np.isnan(y[..., 0]))
    x, y, square = x[both], y[both], square[both]
    return [np.stack([x.T @ y, (x * square[:, None]).T @ y]), np.array(float(len(x)))]


def square_sums(
    positions: Walkers,
    segment: Segment,
    lag_frames: int,
    others: Walkers | None = None,
) -> list[np.ndarray]:
    """Sum of the squared displacements, or of their product with those of ``others``, and how many there are.

    Parameters
    ----------
    positions, others : (frames, walkers, 3)
    """
    first = lagged_frames(segment, lag_frames)
    moved = positions[first + lag_frames] - positions[first]
    moved_beside = moved if others is None else others[first + lag_frames] - others[first]
    product = (moved * moved_beside).sum(-1)
    known = ~np.isnan(product)
    return [np.array(product[known].sum(dtype=np.float64)), np.array(float(known.sum()))]


def mean_square(
    positions: Walkers,
    segment: Segment,
    lag_frames: int,
    others: Walkers | None = None,
) -> float:
    """Mean of the squared displacements, or of their product with those of ``others``; NaN where there are no pairs."""
    return float(mean_of(square_sums(positions, segment, lag_frames, others)))


def mean_of(sums: Sequence[np.ndarray]) -> np.ndarray:
    """A mean from a sum and a number; NaN where that is zero."""
    total, number = sums
    return np.asarray(total / number if number > 0 else np.full(np.shape(total), np.nan))
