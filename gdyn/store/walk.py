"""Going through the frames of states together with their trajectory stores.

Analyses of several trajectories ask first what all of them hold, and then go through them; nothing may be taken from
the first one alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from os import PathLike

import numpy as np
from jaxtyping import Float, Int

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.logs import progress
from gdyn.store.states import States
from gdyn.store.trajectory import TrajectoryStore

Trajectories = Sequence[FilePath | TrajectoryStore]
"""The trajectories of a system in the order of their numbers: paths of stores, or open stores."""
Integers = Int[np.ndarray, "..."]


def opened(trajectory: FilePath | TrajectoryStore) -> AbstractContextManager[TrajectoryStore]:
    """A trajectory for reading: one that is open stays so."""
    return nullcontext(trajectory) if isinstance(trajectory, TrajectoryStore) else TrajectoryStore.open(trajectory)


def numbered(trajectories: Trajectories, number: int) -> FilePath | TrajectoryStore:
    """The trajectory of a number, from 0 on.

    Raises
    ------
    InputError : there is none, or one trajectory is given in place of all of them.
    """
    if isinstance(trajectories, str | PathLike | TrajectoryStore):
        raise InputError("trajectories: give all of them in a list, a single one as [trajectory]")
    if not 0 <= number < len(trajectories):
        raise InputError(
            f"trajectories: the states are of number {number}, counted from 0, and {len(trajectories)} are given"
        )
    return trajectories[number]


@dataclass
class Stretch:
    """Some frames of one trajectory.

    number : of the trajectory in the system
    store : TrajectoryStore, open
    frames : (n,) indices into the states
    stored : (n,) indices of the same frames in the store
    """

    number: int
    store: TrajectoryStore
    frames: Integers
    stored: Integers


@dataclass
class Moment:
    """One frame of the states with its store.

    number, store : as of a Stretch
    frame, at : index into the states, and into the store
    targets : indices of the atoms of all targets that are present
    sets : the target set that each of them belongs to
    """

    number: int
    store: TrajectoryStore
    frame: int
    at: int
    targets: Integers
    sets: Integers

    @property
    def positions(self) -> Float[np.ndarray, "atoms 3"]:
        """Positions of the atoms: (atoms, 3), A, unwrapped."""
        return self.store.positions(self.at)

    @property
    def cell(self) -> Float[np.ndarray, "3 3"]:
        """Lattice vectors in rows: (3, 3), A."""
        return self.store.cells(self.at)


def each_trajectory(
    states: States, trajectories: Trajectories, frames: Integers | Sequence[int] | None = None
) -> Iterator[Stretch]:
    """Open the trajectories of some frames, one after the other: yield a :class:`Stretch` of each.

    Parameters
    ----------
    states : States
    trajectories : those of the system, in the order of their numbers.
    frames : indices into the states, by default all.

    Raises
    ------
    InputError : the states are of another trajectory.
    """
    chosen = np.arange(len(states.time_ps)) if frames is None else np.asarray(frames)
    for number in np.unique(states.trajectory[chosen]).tolist():
        here = chosen[states.trajectory[chosen] == number]
        with opened(numbered(trajectories, number)) as store:
            yield Stretch(number, store, here, stored_frames(store, states, here))


def each_frame(
    states: States, trajectories: Trajectories, frames: Integers | Sequence[int] | None = None, what: str | None = None
) -> Iterator[Moment]:
    """Go through some frames of all trajectories: yield a :class:`Moment` of each.

    Parameters
    ----------
    states, trajectories, frames : as of :func:`each_trajectory`.
    what : a name for the progress, if it is to be shown.
    """
    for stretch in each_trajectory(states, trajectories, frames):
        pairs = list(zip(stretch.frames.tolist(), stretch.stored.tolist(), strict=True))
        for frame, at in progress(pairs, what) if what else pairs:
            yield Moment(stretch.number, stretch.store, frame, at, *targets_of(stretch.store, states, frame))


@contextmanager
def moment(states: States, trajectories: Trajectories, frame: int) -> Iterator[Moment]:
    """The :class:`Moment` of a single frame, its store open inside the block."""
    number = int(states.trajectory[frame])
    with opened(numbered(trajectories, number)) as store:
        (at,) = stored_frames(store, states, np.array([frame])).tolist()
        yield Moment(number, store, int(frame), at, *targets_of(store, states, frame))


def stored_frames(store: TrajectoryStore, states: States, frames: Integers) -> Integers:
    """Indices in a store of some frames of states, found by their times."""
    times = states.time_ps[frames]
    tolerance_ps = 1e-3 * states.frame_interval_ps
    indices = np.minimum(np.searchsorted(store.time_ps, times - tolerance_ps), len(store) - 1)
    if not len(store) or (np.abs(store.time_ps[indices] - times) > tolerance_ps).any():
        there = f"from {store.time_ps[0]:g} to {store.time_ps[-1]:g} ps" if len(store) else "none"
        raise InputError(
            f"{store.source}: the states are not of this trajectory, as they are from {times.min():g} to "
            f"{times.max():g} ps and its frames ({there}) at other times; give States.of the times of the frames "
            f"(time_ps), or let the workflow remake the states (--forcerun predict)"
        )
    return indices


def targets_of(store: TrajectoryStore, states: States, frame: int) -> tuple[Integers, Integers]:
    """The atoms of the targets that are present in a frame, and the target sets that they belong to."""
    sets, place = np.nonzero((states.target_ids >= 0) & states.present[frame][:, None])
    return atoms_of_ids(store, states.target_ids[sets, place]), sets


def atoms_of_ids(store: TrajectoryStore, ids: Integers) -> Integers:
    """Indices in a store of atoms with these ids, of any shape; of -1, which stands for no atom, that of some atom.

    Raises
    ------
    InputError : there is no atom of such an id.
    """
    there = store.atoms.id
    index = np.searchsorted(there, ids).clip(max=len(there) - 1)
    missing = ids[(there[index] != ids) & (ids >= 0)]
    if len(missing):
        raise InputError(
            f"target_ids: {store.source} has no atom with the id {missing.flat[0]}; give the ids of the targets as "
            f"they are in the dump"
        )
    return index


def heights_of(cell: Float[np.ndarray, "*frames 3 3"]) -> Float[np.ndarray, "*frames 3"]:
    """Heights of a cell (3, 3) or of cells (frames, 3, 3) along each lattice vector: (..., 3), A."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=-2)
