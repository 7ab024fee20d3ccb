"""Graphs of many frames, gathered into batches for a network."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from gdyn.errors import InputError
from gdyn.store import GraphShard
from gdyn.trajectory.lag import split_frames


class GraphBatch(NamedTuple):
    """The graphs of some frames as one graph; nodes are the atoms of all frames, one frame after another.

    species : (nodes,) int64, index of the element
    neighbors : (nodes, M) int64, indices of nodes
    distance_mA : (nodes, M) int64
    targets : (frames x target sets, k) int64, indices of nodes; -1 where a set has fewer than k atoms
    """

    species: torch.Tensor
    neighbors: torch.Tensor
    distance_mA: torch.Tensor
    targets: torch.Tensor

    def to(self, device):
        return GraphBatch(*(tensor.to(device, non_blocking=True) for tensor in self))


@dataclass
class GraphDataset:
    """The frames of one split of all trajectories, in memory.

    neighbors, distance_mA : (frames, atoms, M)
    species : (atoms,) index into ``elements``
    target_atoms, target_ids : (target sets, k)
    time_ps, trajectory, segment : (frames,); segments are numbered over all trajectories
    checksum : of the shards that the frames came from
    """

    neighbors: np.ndarray
    distance_mA: np.ndarray
    elements: list
    species: np.ndarray
    target_atoms: np.ndarray
    target_ids: np.ndarray
    time_ps: np.ndarray
    trajectory: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    checksum: list

    @classmethod
    def load(cls, shards, fractions, elements=None):
        """Read a split of a system from its shards.

        Parameters
        ----------
        shards : paths, in any order.
        fractions : (begin, end) of the split, as fractions of every trajectory.
        elements : names whose position is a species' index; by default those found, sorted.

        Raises
        ------
        InputError : trajectories do not have the same atoms and targets, the split is empty, or an
            element is not among ``elements``.
        """

        def choose(frame, n_frames):
            split = split_frames(n_frames, fractions)
            return slice(*np.searchsorted(frame, [split.start, split.stop]))

        parts = [GraphShard.read(path, choose) for path in sorted(map(str, shards))]
        parts.sort(key=lambda part: (part.trajectory, part.frame[0] if len(part.frame) else -1))
        first = parts[0]
        for part in parts:
            if not (
                np.array_equal(part.elements, first.elements) and np.array_equal(part.target_atoms, first.target_atoms)
            ):
                raise InputError(
                    f"trajectories {first.trajectory} and {part.trajectory} differ in their atoms or targets; "
                    f"trajectories of one system must have the same ones"
                )
        elements = sorted(set(first.elements)) if elements is None else list(elements)
        unknown = sorted(set(first.elements) - set(elements))
        if unknown:
            raise InputError(
                f"the element {unknown[0]} is not among those the model was trained on ({', '.join(elements)})"
            )
        trajectory = np.concatenate([np.full(len(part.frame), part.trajectory) for part in parts])
        if len(trajectory) == 0:
            raise InputError(f"the split {list(fractions)} holds no frame; widen it under splits")
        inner = np.concatenate([part.segment for part in parts])
        changed = (np.diff(trajectory) != 0) | (np.diff(inner) != 0)
        return cls(
            neighbors=np.concatenate([part.neighbors for part in parts]),
            distance_mA=np.concatenate([part.distance_mA for part in parts]),
            elements=elements,
            species=np.array([elements.index(name) for name in first.elements]),
            target_atoms=first.target_atoms.astype(np.int64),
            target_ids=first.target_ids,
            time_ps=np.concatenate([part.time_ps for part in parts]),
            trajectory=trajectory,
            segment=np.concatenate([[0], np.cumsum(changed)]),
            frame_interval_ps=first.frame_interval_ps,
            checksum=[part.checksum for part in parts],
        )

    def __len__(self):
        return len(self.time_ps)

    @property
    def n_targets(self):
        return len(self.target_atoms)

    def batch(self, frames):
        """Gather the graphs of ``frames`` (indices into this dataset), one after another."""
        n_frames, n_atoms = len(frames), len(self.species)
        offset = torch.arange(n_frames).mul_(n_atoms).view(-1, 1, 1)
        neighbors = torch.from_numpy(self.neighbors[frames].astype(np.int64)).add_(offset)
        distance_mA = torch.from_numpy(self.distance_mA[frames].astype(np.int64))
        targets = torch.from_numpy(self.target_atoms)
        targets = torch.where(targets < 0, targets, targets + offset)
        return GraphBatch(
            species=torch.from_numpy(self.species).repeat(n_frames),
            neighbors=neighbors.flatten(0, 1),
            distance_mA=distance_mA.flatten(0, 1),
            targets=targets.flatten(0, 1),
        )
