"""Through the frames of states and of the trajectory stores that they belong to: where frames are found.

Analyses of several trajectories ask first what all of them hold, and then go through them; nothing may be taken from
the first one alone.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gdyn.errors import InputError
from gdyn.logs import progress
from gdyn.store.trajectory import TrajectoryStore


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
    frames: np.ndarray
    stored: np.ndarray


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
    targets: np.ndarray
    sets: np.ndarray

    @property
    def positions(self):
        """Of the atoms: (atoms, 3), A, unwrapped."""
        return self.store.positions(self.at)

    @property
    def cell(self):
        """Lattice vectors in rows: (3, 3), A."""
        return self.store.cells(self.at)


def each_trajectory(states, trajectories, frames=None):
    """Open the trajectories of some frames, one after the other: yield a :class:`Stretch` of each.

    Parameters
    ----------
    states : States
    trajectories : paths of the trajectory stores, in the order of their numbers.
    frames : indices into the states, by default all.

    Raises
    ------
    InputError : the states are of another trajectory.
    """
    frames = np.arange(len(states.time_ps)) if frames is None else np.asarray(frames)
    for number in np.unique(states.trajectory[frames]).tolist():
        mine = frames[states.trajectory[frames] == number]
        with TrajectoryStore.open(trajectories[number]) as store:
            yield Stretch(number, store, mine, stored_frames(store, states, mine))


def each_frame(states, trajectories, frames=None, what=None):
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
def moment(states, trajectories, frame):
    """The :class:`Moment` of a single frame, its store open inside the block."""
    number = int(states.trajectory[frame])
    with TrajectoryStore.open(trajectories[number]) as store:
        (at,) = stored_frames(store, states, np.array([frame])).tolist()
        yield Moment(number, store, int(frame), at, *targets_of(store, states, frame))


def stored_frames(store, states, frames):
    """Indices in a store of some frames of states, found by their times."""
    times = states.time_ps[frames]
    found = np.searchsorted(store.time_ps, times - 1e-6)
    near = np.minimum(found, len(store) - 1)
    if not len(store) or (np.abs(store.time_ps[near] - times) > 1e-3 * states.frame_interval_ps).any():
        raise InputError(
            f"{store.source}: the states are not of this trajectory, which has no frame at some of their times; let "
            f"the workflow make the states anew (--forcerun predict)"
        )
    return found


def targets_of(store, states, frame):
    """The atoms of the targets that are present in a frame, and the target sets that they belong to."""
    sets, place = np.nonzero((states.target_ids >= 0) & states.present[frame][:, None])
    return np.searchsorted(store.atoms.id, states.target_ids[sets, place]), sets


def heights_of(cell):
    """Of a cell (3, 3) or cells (frames, 3, 3) along each lattice vector: (..., 3), A."""
    return 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=-2)
