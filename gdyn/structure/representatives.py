"""For each state, the moments in which the surroundings of a target are most like those of the state on the average."""

from dataclasses import dataclass

import numpy as np

from gdyn.files import whole_file
from gdyn.store.walk import heights_of, moment

CANDIDATES = 200  # of each state
COARSE_A = 0.5  # shells in which surroundings are compared
SEED = 2019


@dataclass
class Configuration:
    """The surroundings of one target at one moment.

    elements, positions : of the atoms within reach, relative to the target, which comes first; A
    coordinating : (atoms,) bool, of these
    """

    state: int
    probability: float
    trajectory: int
    time_ps: float
    target_id: int
    first_shell_A: float
    elements: list
    positions: np.ndarray
    coordinating: np.ndarray


def representatives(states, trajectories, around, frames, structure, first_shell_A):
    """Typical surroundings: ``structure.representatives`` for each state, the most typical first.

    Among the samples that are most certainly of a state, those are taken whose counts of atoms of every element in
    shells of 0.5 A are nearest to the mean of all of them.

    Parameters
    ----------
    states : States
    trajectories : paths of the trajectory stores.
    around : {number of a trajectory: its Surroundings}
    frames : (frames,) those to choose from.
    structure : that section of a system.
    first_shell_A : where the first shell ends.
    """
    rng = np.random.default_rng(SEED)
    found = []
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
            found.append(
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
    return found


def _look(states, trajectories, around, frame, target, structure):
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


def _describe(elements, positions, kinds, reach_A):
    bins = int(np.ceil(reach_A / COARSE_A))
    counts = np.zeros((len(kinds), bins))
    place = (np.linalg.norm(positions[1:], axis=1) / COARSE_A).astype(int)
    np.add.at(counts, ([kinds.index(element) for element in elements[1:]], np.minimum(place, bins - 1)), 1.0)
    return (counts / np.maximum(np.arange(bins) + 0.5, 1.0)).ravel()  # far shells hold more, and mean less


def write_extxyz(path, configurations):
    """Write configurations as extended XYZ, one frame each, the target first."""
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for one in configurations:
            about = " ".join(
                f"{name}={getattr(one, name):.6g}" if name != "target_id" else f"{name}={one.target_id}"
                for name in ("state", "probability", "trajectory", "time_ps", "target_id", "first_shell_A")
            )
            print(len(one.elements), file=file)
            print(f'Properties=species:S:1:pos:R:3:coordinating:I:1 pbc="F F F" {about}', file=file)
            for element, (x, y, z), binds in zip(one.elements, one.positions, one.coordinating, strict=True):
                print(f"{element} {x:.4f} {y:.4f} {z:.4f} {int(binds)}", file=file)
