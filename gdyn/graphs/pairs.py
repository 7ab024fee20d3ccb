"""What a training needs of a split: frames, some of which are pairs a lag apart, and batches of them."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@runtime_checkable
class Batch(Protocol):
    """What a network reads at once: some frames of a dataset, in their order.

    starts : (shells, frames + 1) int64 numpy, where the nodes of each frame begin in each shell
    """

    @property
    def starts(self) -> np.ndarray: ...

    def on(self, move: Callable[[Tensor], Tensor]) -> Self:
        """The same with ``move`` applied to every tensor."""
        ...


class PairBatch(NamedTuple):
    """The graphs of lagged pairs.

    graph : a :class:`Batch`, of the dataset
    ends : (pairs, 2) int64, of each pair the target in the graph, and the same a lag later
    uses : (frames,) numpy, in how many pairs of frames each frame of the graph is
    """

    graph: Any
    ends: Tensor
    uses: np.ndarray

    def on(self, move: Callable[[Tensor], Tensor]) -> "PairBatch":
        """The same with ``move`` applied to every tensor."""
        return PairBatch(self.graph.on(move), move(self.ends), self.uses)

    def uses_of_nodes(self) -> Tensor:
        """In how many pairs of frames the frame of each node is: (nodes,) int64, on the host."""
        starts = self.graph.starts
        return torch.from_numpy(np.tile(self.uses, len(starts)).repeat(np.diff(starts).ravel()))


@runtime_checkable
class Dataset(Protocol):
    """The frames of one split of a system, as training and prediction need them, whatever the network reads of them.

    elements : names whose position is a species' index, or those of the target atoms
    target_ids : (target sets, k) int64, LAMMPS ids, filled up with -1
    present : (windows, target sets) bool, which target sets there are
    window : (frames,) row of ``present``
    time_ps : (frames,), ps
    trajectory, segment : (frames,) their numbers; segments are numbered over all trajectories
    frame_interval_ps : between frames of a segment, ps
    checksum : of the files that the frames came from
    """

    elements: list[str]
    target_ids: np.ndarray
    present: np.ndarray
    window: np.ndarray
    time_ps: np.ndarray
    trajectory: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    checksum: list[str]

    def __len__(self) -> int:
        """How many frames there are."""
        ...

    @property
    def n_targets(self) -> int:
        """How many target sets there are."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory that all that a network reads needs, or would need, in bytes."""
        ...

    def bytes_on(self, device: torch.device) -> int:
        """The same on a device, where there may be more to keep."""
        ...

    def read(self, device: torch.device) -> None:
        """Move all of that into the memory of ``device``."""
        ...

    def both_present(self, first: np.ndarray, lag_frames: int) -> np.ndarray:
        """Which target sets there are in the frames ``first`` and a lag later: (frames, target sets) bool."""
        ...

    def pairs(self, first: np.ndarray, lag_frames: int, hops: int) -> PairBatch:
        """What a network reads of the frames ``first`` (pairs,) and of those a lag later, each frame once."""
        ...

    def batch(self, frames: np.ndarray, hops: int) -> Batch:
        """What a network that sees ``hops`` neighbors far reads of ``frames``, indices into this dataset."""
        ...


class LaggedFrames:
    """What every :class:`Dataset` may share: frames of a split, some of which are pairs a lag apart."""

    target_ids: np.ndarray
    present: np.ndarray
    window: np.ndarray
    time_ps: np.ndarray

    def batch(self, frames: np.ndarray, hops: int) -> Any:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.time_ps)

    @property
    def n_targets(self) -> int:
        return len(self.target_ids)

    def both_present(self, first: np.ndarray, lag_frames: int) -> np.ndarray:
        """Which target sets there are in a frame and a lag later: (frames, target sets) bool."""
        return self.present[self.window[first]] & self.present[self.window[first + lag_frames]]

    def pairs(self, first: np.ndarray, lag_frames: int, hops: int) -> PairBatch:
        """Gather the graphs of the frames ``first`` and of those a lag later, each frame once, as a PairBatch."""
        frames, place = np.unique(np.concatenate([first, first + lag_frames]), return_inverse=True)
        present = self.present[self.window[frames]]
        row = np.cumsum(present).reshape(present.shape) - 1  # of each target among those of the batch
        both = self.both_present(first, lag_frames)
        ends = np.stack([row[part][both] for part in np.split(place, 2)], axis=1)
        return PairBatch(self.batch(frames, hops), torch.from_numpy(ends), np.bincount(place))
