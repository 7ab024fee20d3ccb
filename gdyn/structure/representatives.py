"""For each state, the moments in which the surroundings of a target are most like the average of the state."""

import numpy as np
from jaxtyping import Float, Int

from gdyn.config import Structure
from gdyn.store import States
from gdyn.store.walk import Integers, Trajectories, heights_of, moment
from gdyn.structure.configurations import Configuration, Configurations
from gdyn.structure.groups import Surroundings

CANDIDATES = 200  # of each state
COARSE_A = 0.5  # shells in which surroundings are compared
SEED = 2019


def representatives(
    states: States,
    trajectories: Trajectories,
    around: dict[int, Surroundings],
    frames: Integers,
    structure: Structure,
    first_shell_A: float,
) -> Configurations:
    """Typical surroundings: ``structure.representatives`` for each state, the most typical first.

    Among the samples that are most certainly in a state, those are taken whose counts of atoms of every element in
    shells of 0.5 A are nearest to the mean of all of these samples.

    Parameters
    ----------
    states : States
    trajectories : those of the system, in the order of their numbers.
    around : {number of a trajectory: its Surroundings}
    frames : (frames,) those to choose from.
    structure : that section of a system.
    first_shell_A : where the first shell ends.
    """
    rng = np.random.default_rng(SEED)
    configurations = Configurations()
    for state in range(states.probabilities.shape[-1]):
        sure = np.nan_to_num(states.probabilities[frames, :, state], nan=-1.0)
        order = np.argsort(-sure, axis=None)
        best = order[: max(CANDIDATES, int(0.2 * (states.probabilities[frames].argmax(-1) == state).sum()))]
        best = best[sure.flat[best] > 0.5]
        chosen = rng.permutation(best)[:CANDIDATES]
        seen = [
            _look(states, trajectories, around, frames[i // sure.shape[1]], i % sure.shape[1], structure)
            for i in chosen
        ]
        if not seen:
            continue
        kinds = sorted({element for elements, *_ in seen for element in elements})
        counts = np.array([_describe(*one[:2], kinds, structure.max_A) for one in seen])
        unlike = np.square(counts - counts.mean(0)).sum(1)
        for nearest in np.argsort(unlike)[: structure.representatives]:
            frame, target = frames[chosen[nearest] // sure.shape[1]], chosen[nearest] % sure.shape[1]
            elements, positions, atoms = seen[nearest]
            configurations.append(
                Configuration(
                    state=state + 1,
                    probability=float(states.probabilities[frame, target, state]),
                    trajectory=int(states.trajectory[frame]),
                    time_ps=float(states.time_ps[frame]),
                    target_id=int(states.target_ids[target, 0]),
                    first_shell_A=first_shell_A,
                    elements=elements,
                    positions=positions,
                    coordinating=around[int(states.trajectory[frame])].atoms[2][atoms],
                )
            )
    return configurations


def _look(
    states: States,
    trajectories: Trajectories,
    around: dict[int, Surroundings],
    frame: int,
    target: int,
    structure: Structure,
) -> tuple[list[str], Float[np.ndarray, "atoms 3"], Int[np.ndarray, " atoms"]]:
    """Elements, positions and indices of the atoms around a target, nearest first; periodic images are atoms too."""
    with moment(states, trajectories, frame) as now:
        store, cell = now.store, now.cell
        members = now.targets[now.sets == target]
        counted = members[around[now.number].centres[members]]
        centre = int((counted if len(counted) else members)[0])
        fractional = now.positions @ np.linalg.inv(cell)
        fractional -= fractional[centre]
        periodic = np.array(store.periodic)
        fractional -= np.where(periodic, np.rint(fractional), 0.0)
        heights = heights_of(cell)
        reach = np.where(periodic, np.floor(structure.max_A / heights + 0.5), 0).astype(int)
        shifts = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 3)
        positions = (fractional[:, None] + shifts).reshape(-1, 3) @ cell
        elements = np.repeat(store.atoms.element, len(shifts))
        distance = np.linalg.norm(positions, axis=1)
        near = np.argsort(distance)[: (distance < structure.max_A).sum()]
        return elements[near].tolist(), positions[near], near // len(shifts)


def _describe(
    elements: list[str], positions: Float[np.ndarray, "atoms 3"], kinds: list[str], reach_A: float
) -> Float[np.ndarray, " numbers"]:
    """How many atoms of each element there are in each shell around the first one, by the size of the shells."""
    bins = int(np.ceil(reach_A / COARSE_A))
    counts = np.zeros((len(kinds), bins))
    place = (np.linalg.norm(positions[1:], axis=1) / COARSE_A).astype(int)
    np.add.at(counts, ([kinds.index(element) for element in elements[1:]], np.minimum(place, bins - 1)), 1.0)
    return (counts / np.maximum(np.arange(bins) + 0.5, 1.0)).ravel()  # far shells hold more atoms and matter less
