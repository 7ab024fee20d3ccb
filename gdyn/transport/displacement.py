"""Displacements of the targets, of charged molecules and of all charge, without the drift of the system."""

from dataclasses import dataclass, field

import numpy as np

from gdyn.errors import InputError
from gdyn.logs import progress
from gdyn.statistics.lag import lagged_frames
from gdyn.store.walk import each_trajectory
from gdyn.trajectory.elements import masses_of
from gdyn.trajectory.targets import select_first

BLOCK_BYTES = 64 * 2**20
NEUTRAL_E = 0.01  # net charge of a molecule that counts as none
SAME_VOLUME = 1e-3  # relative
FRAMES = ("barycentric", "solvent")  # of reference of a transference number


@dataclass
class Paths:
    """Where things are in the frames of the states, unwrapped, relative to the reference; A.

    targets : (frames, target sets, 3), not numbers where a set is not present
    dipole : (frames, 3) of all charges, e A; None where charges are unknown, or ions differ between trajectories
    target_dipole : (frames, 3) of the targets' charges, e A
    target_charge : (frames,) their sum, e
    centres : {frame of reference: (frames, 3)}: ``barycentric``, the centre of mass of all atoms, and ``solvent``, that
        of the neutral molecules, where there are any
    ions : {net charge in e: (frames, molecules, 3)} of the molecules that are charged
    volume_A3 : mean volume
    flags : what is not to be trusted
    """

    targets: np.ndarray
    dipole: np.ndarray | None
    target_dipole: np.ndarray
    target_charge: np.ndarray
    centres: dict
    ions: dict
    volume_A3: float
    flags: list
    charge_flags: list = field(default_factory=list)


def read_paths(states, trajectories, reference):
    """Follow the targets through the frames of the states.

    Parameters
    ----------
    states : States
    trajectories : paths of the trajectory stores, in the order of their numbers.
    reference : MDAnalysis selection of the atoms whose centre of mass is taken to be at rest.

    Raises
    ------
    InputError : a trajectory could not be unwrapped, or the selection is wrong.
    """
    n_frames, n_sets = states.probabilities.shape[:2]
    empty = np.zeros((n_frames, 3)), np.zeros((n_frames, 3)), np.zeros(n_frames)
    centres = {name: np.full((n_frames, 3), np.nan) for name in FRAMES}
    paths = Paths(np.full((n_frames, n_sets, 3), np.nan), *empty, centres, {}, 0.0, [])
    volumes, contents, flags = [], [], set()
    for part in each_trajectory(states, trajectories):
        store = part.store
        if store.unwrapped == "no":
            raise InputError(
                f"{store.source}: atoms move so far between two frames that they cannot be unwrapped, and "
                f"displacements mean nothing; dump xu yu zu or image flags, or leave out the section transport"
            )
        if store.unwrapped == "rebuilt":
            flags.add("positions were unwrapped by nearest images, as the dump has no unwrapped ones")
        volume = np.abs(np.linalg.det(store.cells()[part.stored]))
        if np.ptp(volume) > SAME_VOLUME * volume.mean():
            flags.add(
                "the volume changes, and displacements of unwrapped coordinates hold a part of the changes of the "
                "box that grows with time: take the production run at constant volume"
            )
        volumes.append(volume.mean())
        contents.append(_follow(paths, part, states, reference, flags))
    paths.volume_A3 = float(np.mean(volumes))
    if np.ptp(volumes) > SAME_VOLUME * paths.volume_A3:
        flags.add(
            f"the volumes of the trajectories are from {min(volumes):.0f} to {max(volumes):.0f} A^3: conductivities "
            f"are of their mean, and of none of them"
        )
    if any(content != contents[0] for content in contents):
        flags.add("the trajectories hold other ions, so there is no collective conductivity of all of them")
        paths.dipole = None
    if paths.dipole is None:
        paths.ions = {}
    paths.centres = {name: found for name, found in centres.items() if np.isfinite(found).all()}
    paths.flags = sorted(flags)
    return paths


def _follow(paths, part, states, reference, flags):
    """Fill in the frames of one trajectory; return how many ions of which charge it has."""
    store, frames, stored = part.store, part.frames, part.stored
    atoms = store.atoms
    still = select_first(store, reference, "transport.reference")
    mass = masses(atoms, flags)
    still_mass = mass[still] / mass[still].sum()
    here = np.flatnonzero(states.present[frames].any(0))
    members = states.target_ids[here]
    index = np.searchsorted(atoms.id, np.maximum(members, atoms.id[0]))
    share = np.where(members >= 0, mass[index], 0.0)
    share /= share.sum(1, keepdims=True)
    charge = atoms.charge_e
    molecules = _charged_molecules(atoms, mass) if charge is not None else {}
    solvent = _neutral(atoms, charge) if charge is not None else np.zeros(len(atoms), bool)
    weights_of = {"barycentric": mass / mass.sum()}
    if solvent.any():
        weights_of["solvent"] = np.where(solvent, mass, 0.0) / mass[solvent].sum()
    if charge is not None:
        paths.charge_flags = _about_charges(atoms, charge, paths.charge_flags)
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
        own = np.where(members >= 0, charge[index], 0.0)
        paths.target_dipole[chosen] = np.einsum("ftkx,tk->fx", x[:, index], own)
        paths.target_charge[chosen] = own.sum()
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


def _about_charges(atoms, charge_e, known):
    """What is to be said of the charges of a trajectory, besides what is said already."""
    found = list(known)
    if abs(charge_e.sum()) > NEUTRAL_E * np.sqrt(len(atoms)):
        found.append(
            f"the cell has a net charge of {charge_e.sum():.3g} e: its collective conductivity and transference "
            f"numbers depend on what is taken to be at rest, and mean little"
        )
    if not atoms.has_molecules:
        found.append("no molecules are known, so every charged atom counts as an ion in the Nernst-Einstein sum")
    return list(dict.fromkeys(found))


def _neutral(atoms, charge_e):
    """The atoms of neutral molecules of several atoms, which are the solvent of the others: (atoms,) bool."""
    number = atoms.molecule_index
    return ((np.abs(np.bincount(number, charge_e)) <= NEUTRAL_E) & (np.bincount(number) > 1))[number]


def _charged_molecules(atoms, mass):
    """{net charge: list of (atoms, shares of mass)} of molecules that have one, and of atoms that are in none."""
    number = atoms.molecule_index
    net = np.bincount(number, atoms.charge_e).round(3)
    found = {}
    for molecule in np.flatnonzero(np.abs(net) > NEUTRAL_E):
        rows = np.flatnonzero(number == molecule)
        found.setdefault(float(net[molecule]), []).append((rows, mass[rows] / mass[rows].sum()))
    return found


def masses(atoms, flags):
    """Masses, u; where a store without them has a name that is no element all are 1, and ``flags`` says so."""
    try:
        return masses_of(atoms)
    except InputError as error:
        flags.add(f"all masses are taken as equal where a centre of mass is needed, because {error}")
        return np.ones(len(atoms))


def by_transition(probabilities, segment, positions, lag_frames):
    """Joint probabilities and squared displacements of all transitions at a lag (equations 21 and 22, docs/theory.md).

    Parameters
    ----------
    probabilities : (frames, targets, states), NaN where a target is not present
    segment : (frames,) pairs stay within a segment
    positions : (frames, targets, 3), A
    lag_frames : int

    Returns
    -------
    (2, states, states) : ``P_ij = <p_i(t) p_j(t + lag)>``, and ``S_ij = <p_i(t) p_j(t + lag) |dr|^2>`` in A^2

    Raises
    ------
    numpy.linalg.LinAlgError : there is no pair of frames.
    """
    first = lagged_frames(segment, lag_frames)
    x, y = (probabilities[f].astype(np.float64) for f in (first, first + lag_frames))
    square = np.square(positions[first + lag_frames] - positions[first]).sum(-1)
    both = ~(np.isnan(x[..., 0]) | np.isnan(y[..., 0]))
    if not both.any():
        raise np.linalg.LinAlgError("there is no pair of frames")
    x, y, square = x[both], y[both], square[both]
    return np.stack([x.T @ y, (x * square[:, None]).T @ y]) / len(x)


def mean_square(positions, segment, lag_frames, others=None):
    """Mean of the squared displacements, or of their product with those of ``others``; NaN where there are no pairs.

    Parameters
    ----------
    positions, others : (frames, walkers, 3)
    """
    first = lagged_frames(segment, lag_frames)
    moved = positions[first + lag_frames] - positions[first]
    other = moved if others is None else others[first + lag_frames] - others[first]
    product = (moved * other).sum(-1)
    return product[~np.isnan(product)].mean() if (~np.isnan(product)).any() else np.nan
