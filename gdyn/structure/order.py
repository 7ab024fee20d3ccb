"""A bond order parameter beside the learned states: where the two agree on what is crystal and what is liquid."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped

from gdyn.config import Kinetics, OrderParameter, Structure
from gdyn.errors import InputError
from gdyn.kinetics.koopman import blocks_of
from gdyn.result import Result, Sentences, Share, Table
from gdyn.statistics.interval import HALF, PROBABILITY, Interval, jackknife_weight
from gdyn.statistics.uncertainty import Blocks
from gdyn.store import States
from gdyn.store.walk import Integers, Trajectories, each_frame
from gdyn.structure.analysis import block_of_samples, frames_of
from gdyn.structure.groups import select_in_all
from gdyn.structure.profile import Profile

BINS = 100  # of the order parameter, from -1 to 1
VALLEY = 0.8  # of the lower of two peaks


def bond_order(
    positions: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    periodic: Sequence[bool] | np.ndarray,
    atoms: Int[np.ndarray, " some"],
    degree: int,
    neighbors: int,
) -> Float[np.ndarray, " some"]:
    """How far the surroundings of neighbors have the same orientation: the correlation of their Steinhardt vectors.

    ``(-1)^l / n sum_j Re(q_l(i) . q_l(j)*) / |q_l(i)| |q_l(j)|`` over the nearest neighbors (equation 26 of
    docs/theory.md): 1 in a crystal whose neighbors are related by inversion, as diamond is, about 0 in a liquid.

    Parameters
    ----------
    positions : (atoms, 3), A, of any image.
    cell : (3, 3), A, lattice vectors in rows.
    periodic : (3,) bool
    atoms : indices of the atoms to analyse, as centres and as neighbors.
    degree : l.
    neighbors : number of nearest neighbors.

    Returns
    -------
    (len(atoms),) float

    Raises
    ------
    InputError : there are too few atoms, or the cell is too small for freud.
    """
    import freud

    edges = np.linalg.qr(cell.T)[1]  # lattice vectors in columns, turned so that the first is along x
    edges *= np.sign(np.diag(edges))[:, None]
    fractional = positions[atoms] @ np.linalg.inv(cell)
    fractional -= np.where(periodic, np.floor(fractional), 0.0) + 0.5
    box = freud.box.Box.from_matrix(edges)
    box.periodic = [bool(along) for along in periodic]
    points = (fractional @ edges.T).astype(np.float32)
    try:
        query = freud.locality.AABBQuery(box, points).query(points, {"num_neighbors": neighbors, "exclude_ii": True})
        near = query.toNeighborList()
        if (np.bincount(near.query_point_indices, minlength=len(points)) < neighbors).any():
            raise ValueError("too few are within half a cell")
        vectors = freud.order.Steinhardt(l=degree).compute((box, points), neighbors=near).particle_harmonics
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"structure.order_parameter: {neighbors} neighbors of each of {len(atoms)} atoms cannot be found "
            f"({error}); lower neighbors or widen atoms"
        ) from None
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1.0)
    i, j = near.query_point_indices, near.point_indices
    alike = np.real((unit[i] * unit[j].conj()).sum(1))
    return (-1) ** degree * np.bincount(i, alike, minlength=len(points)) / neighbors


class Order(Result):
    """A threshold on the bond order parameter compared with the learned states.

    Every atom counts for its most probable state. A state is ordered where most of its atoms are above the threshold;
    an atom on which the two disagree is above it in a state that is not, or below it in one that is.
    """

    degree: int
    neighbors: int
    threshold: float
    ordered: list[bool]
    """(states,)"""
    mean: Share
    """(states,), of the order parameter."""
    disagreement: Share
    disagreement_by_state: Share
    """(states,)"""
    frames: int
    flags: Sentences
    distribution: Table
    """Distribution of the order parameter, by state."""
    profile: Table
    """Shares along an axis of what is ordered by the threshold, by its state, and for which the two disagree."""


def order_by_state(states: States, trajectories: Trajectories, structure: Structure, kinetics: Kinetics) -> Order:
    """Compare the learned states with a threshold on the bond order parameter.

    Parameters
    ----------
    states : of the test frames.
    trajectories : those of the system, in the order of their numbers.
    structure, kinetics : those sections of a system, the first with an ``order_parameter``.

    Raises
    ------
    InputError : a selection is wrong, or there are no neighbors.
    """
    settings = structure.order_parameter
    if settings is None:
        raise InputError("structure.order_parameter: is not set; give its degree and its number of neighbors")
    blocks = blocks_of(states, kinetics)
    frames = frames_of(states, structure)
    along = Profile(states, trajectories, structure, 0)
    counts = count(states, trajectories, frames, along, settings, blocks)
    centre = (np.arange(BINS) + 0.5) / BINS * 2.0 - 1.0
    threshold, flags = settings.threshold, list(along.flags)
    if threshold is None:
        threshold, separate = between_two(counts.sum((0, 1, 2)), centre)
        if not separate:
            flags.append("the order parameter has no two peaks: its threshold between them means little")
    above, by_state = centre > threshold, counts.sum((0, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        ordered = by_state[:, above].sum(1) > 0.5 * by_state.sum(1)
    wrong = np.where(ordered[:, None, None], ~above, above)  # (states, 1, order)
    of_states = np.broadcast_to(ordered[:, None, None], counts.shape[1:])
    along_axis = {
        name: share(counts, part, (0, 2))
        for name, part in (("by_order", above), ("by_states", of_states), ("disagreement", wrong))
    }
    return Order(
        degree=settings.degree,
        neighbors=settings.neighbors,
        threshold=threshold,
        ordered=ordered.tolist(),
        mean=share(counts, centre, (1, 2), (-1.0, 1.0)),
        disagreement=share(counts, wrong, (0, 1, 2)),
        disagreement_by_state=share(counts, wrong, (1, 2)),
        frames=len(frames),
        flags=flags,
        distribution=distribution_table(by_state, centre),
        profile=profile_table(along, structure.profile, along_axis, counts.sum((0, 1, 3))),
    )


def count(
    states: States,
    trajectories: Trajectories,
    frames: Integers,
    along: Profile,
    settings: OrderParameter,
    blocks: Blocks,
) -> Float[np.ndarray, "blocks states bins order"]:
    """How many targets there are by block, state, place along the axis and order: (blocks + 1, states, bins, BINS).

    Raises
    ------
    InputError : no target is among the atoms to analyse.
    """
    n_states, of_block = states.probabilities.shape[-1], block_of_samples(states, blocks)
    counts = np.zeros((len(blocks) + 1, n_states, along.bins, BINS))
    key = "structure.order_parameter.atoms"
    selected = select_in_all(states, trajectories, frames, {key: settings.atoms})
    for now in each_frame(states, trajectories, frames, "order parameter"):
        looked_at = selected[now.number][key]
        known = looked_at[now.targets]
        if not known.any():
            continue
        atoms, centres, owner = np.flatnonzero(looked_at), now.targets[known], now.sets[known]
        positions, cell = now.positions, now.cell
        order = bond_order(positions, cell, now.store.periodic, atoms, settings.degree, settings.neighbors)
        of_targets = order[np.searchsorted(atoms, centres)]
        place = (positions[centres] @ np.linalg.inv(cell)[:, along.axis]) % 1.0
        state = states.probabilities[now.frame, owner].argmax(-1)
        at_bin = np.minimum((place * along.bins).astype(int), along.bins - 1)
        value = np.clip((0.5 * (of_targets + 1.0) * BINS).astype(int), 0, BINS - 1)
        np.add.at(counts, (of_block[now.frame, owner], state, at_bin, value), 1.0)
    if not counts.sum():
        raise InputError(
            "structure.order_parameter.atoms: no target is among these atoms; select the targets and their neighbors"
        )
    return counts


def share(
    counts: Float[np.ndarray, "blocks states bins order"],
    weights: Shaped[np.ndarray, "..."],
    axes: tuple[int, ...],
    within: tuple[float, float] = PROBABILITY,
) -> Interval:
    """Mean of weights over some axes of counts, with its interval from each block counting for a half in turn.

    Parameters
    ----------
    counts : (blocks + 1, states, bins, BINS); the last block is of samples that are in none.
    weights : broadcast against (states, bins, BINS).
    axes : of these three, those that are summed over.
    """
    whole = counts.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        each = (whole, *(whole - HALF * block for block in counts[:-1]))
        values = [(c * weights).sum(axes) / c.sum(axes) for c in each]
    return Interval.of(values[0], values[1:], within=within, weight=jackknife_weight(len(values) - 1))


def distribution_table(
    by_state: Float[np.ndarray, "states order"], centre: Float[np.ndarray, " order"]
) -> pd.DataFrame:
    """Density of the order parameter, (states, BINS) counts, a table for each state below another."""
    width = 2.0 / BINS
    return pd.concat(
        pd.DataFrame({"state": s + 1, "order": centre, "density": of_state / max(by_state.sum(), 1.0) / width})
        for s, of_state in enumerate(by_state)
    )


def profile_table(
    along: Profile, axis: str, shares: dict[str, Interval], samples: Float[np.ndarray, " bins"]
) -> pd.DataFrame:
    """Shares along the axis, each with its interval, and how many samples they rest on."""
    columns = {"axis": axis, "place_A": (np.arange(along.bins) + 0.5) / along.bins * along.height_A}
    for name, values in shares.items():
        columns |= values.columns(name)
    return pd.DataFrame(columns | {"samples": samples})


def between_two(counts: Float[np.ndarray, " order"], centre: Float[np.ndarray, " order"]) -> tuple[float, bool]:
    """The value that divides a distribution best into two parts of different mean (Otsu 1979).

    Returns
    -------
    threshold : float
    separate : whether there is a valley between two peaks around it.
    """
    below = np.cumsum(counts)[:-1]
    above = counts.sum() - below
    first = np.cumsum(counts * centre)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.nan_to_num(below * above * (first[:-1] / below - (first[-1] - first[:-1]) / above) ** 2)
    cut = int(np.argmax(apart))
    smooth = np.convolve(counts, np.ones(5) / 5.0, mode="same")
    low, high = smooth[: cut + 1].max(), smooth[cut + 1 :].max()
    left, right = int(smooth[: cut + 1].argmax()), cut + 1 + int(smooth[cut + 1 :].argmax())
    separate = bool(smooth[left : right + 1].min() < VALLEY * min(low, high))
    return float(0.5 * (centre[cut] + centre[cut + 1])), separate
