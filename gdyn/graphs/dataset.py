"""Graphs of many frames, gathered into batches for a network."""

from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np
import torch

from gdyn.errors import InputError
from gdyn.store import GraphShard
from gdyn.store.graphs import trajectory_of
from gdyn.trajectory.lag import split_frames
from gdyn.trajectory.targets import target_atoms

SHUFFLE_SEED = 2019  # of the targets, where they are what is divided into splits


class GraphBatch(NamedTuple):
    """The receptive fields of some frames as one graph, the nodes ordered by their hops to the targets.

    species : (nodes,) int64, index of the element
    neighbors : (rows, M) int32, indices of nodes; row ``i`` is node ``i``
    distance_mA : (rows, M) int32
    targets : (targets, k) int64, indices of nodes; -1 where a set has fewer than k atoms
    counts : numbers of nodes within 0, 1 ... hops
    """

    species: torch.Tensor
    neighbors: torch.Tensor
    distance_mA: torch.Tensor
    targets: torch.Tensor
    counts: tuple

    def to(self, device):
        return GraphBatch(*(tensor.to(device, non_blocking=True) for tensor in self[:-1]), self.counts)


@dataclass
class GraphDataset:
    """The frames of one split of all trajectories, in memory.

    counts : (frames, hops + 1); species : (all nodes,); neighbors, distance_mA : (all rows, M), frame after
        frame as in the shards
    elements : names whose position is a species' index
    target_ids : (target sets, k) LAMMPS ids; trajectories with the same targets share them, others
        have sets of their own
    present : (windows, target sets) bool, which of them there are
    window : (frames,) row of ``present``
    time_ps, trajectory, segment : (frames,); segments are numbered over all trajectories
    checksum : of the shards that the frames came from
    """

    counts: np.ndarray
    species: np.ndarray
    neighbors: np.ndarray
    distance_mA: np.ndarray
    elements: list
    target_ids: np.ndarray
    target_nodes: np.ndarray
    present: np.ndarray
    window: np.ndarray
    time_ps: np.ndarray
    trajectory: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    checksum: list

    def __post_init__(self):
        self._node_start = np.concatenate([[0], np.cumsum(self.counts[:, -1], dtype=np.int64)])
        self._row_start = np.concatenate([[0], np.cumsum(self.counts[:, -2], dtype=np.int64)])
        sizes = self.present.sum(1)
        self._target_start = np.concatenate([[0], np.cumsum(sizes)])
        self._targets_in_frame = sizes[self.window]
        self.always_present = bool(self.present[self.window].all())

    @classmethod
    def load(cls, shards, splits, name, elements=None):
        """Read a split of a system from its shards.

        Parameters
        ----------
        shards : paths, in any order.
        splits : that section of a system.
        name : of the split.
        elements : names whose position is a species' index; by default those found, sorted.

        Raises
        ------
        InputError : the split is empty, or an element is not among ``elements``.
        """
        fractions = splits.as_dict()[name]
        shards = sorted(map(str, shards))
        n_trajectories = 1 + max(map(trajectory_of, shards))

        def choose(trajectory, frame, n_frames):
            if splits.by == "time":
                split = split_frames(n_frames, fractions)
                return slice(*np.searchsorted(frame, [split.start, split.stop]))
            chosen = range(n_trajectories)
            if splits.by == "trajectory":
                chosen = chosen[split_frames(n_trajectories, fractions)]
            return slice(0, len(frame) if trajectory in chosen else 0)

        parts = [part for path in shards if len((part := GraphShard.read(path, choose)).frame)]
        parts.sort(key=lambda part: (part.trajectory, part.frame[0]))
        if not parts:
            raise InputError(f"splits.{name}: {list(fractions)} holds no frame; widen it")
        found = sorted({element for part in parts for element in part.elements})
        elements = found if elements is None else list(elements)
        unknown = sorted(set(found) - set(elements))
        if unknown:
            raise InputError(
                f"the element {unknown[0]} is not among those the model was trained on ({', '.join(elements)})"
            )
        trajectory = np.concatenate([np.full(len(part.frame), part.trajectory) for part in parts])
        inner = np.concatenate([part.segment for part in parts])
        changed = (np.diff(trajectory) != 0) | (np.diff(inner) != 0)
        return cls(
            counts=np.concatenate([part.counts for part in parts]),
            species=np.concatenate([_species(part, elements) for part in parts]),
            neighbors=np.concatenate([part.neighbors for part in parts]),
            distance_mA=np.concatenate([part.distance_mA for part in parts]),
            elements=elements,
            **_targets(parts, fractions if splits.by == "target" else None),
            time_ps=np.concatenate([part.time_ps for part in parts]),
            trajectory=trajectory,
            segment=np.concatenate([[0], np.cumsum(changed)]),
            frame_interval_ps=parts[0].frame_interval_ps,
            checksum=[part.checksum for part in parts],
        )

    def __len__(self):
        return len(self.time_ps)

    @property
    def n_targets(self):
        return len(self.target_ids)

    @property
    def hops(self):
        """How many convolutions the graphs are good for."""
        return self.counts.shape[1] - 1

    def batch(self, frames, hops):
        """Gather the graphs of ``frames`` (indices into this dataset) for a network of ``hops`` convolutions.

        Targets come frame after frame, those present in a frame in the order of ``target_ids``.
        """
        frames = np.ascontiguousarray(frames, np.int64)
        counts = np.ascontiguousarray(self.counts[frames, : hops + 1], np.int64)
        totals = counts.sum(0)
        m, k = self.neighbors.shape[1], self.target_nodes.shape[1]
        species = np.empty(totals[-1], np.int64)
        neighbors = np.empty((totals[-2], m), np.int32)
        distance_mA = np.empty((totals[-2], m), np.int32)
        targets = np.empty((self._targets_in_frame[frames].sum(), k), np.int64)
        _gather_nodes(self._node_start[frames], counts, self.species, species)
        _gather_rows(self._row_start[frames], counts, self.neighbors, self.distance_mA, neighbors, distance_mA)
        _gather_targets(self.window[frames], counts[:, 0], self._target_start, self.target_nodes, targets)
        return GraphBatch(
            species=torch.from_numpy(species),
            neighbors=torch.from_numpy(neighbors),
            distance_mA=torch.from_numpy(distance_mA),
            targets=torch.from_numpy(targets),
            counts=tuple(totals.tolist()),
        )

    def both_present(self, first, lag_frames):
        """Which target sets there are in a frame and a lag later: (frames, target sets) bool."""
        return self.present[self.window[first]] & self.present[self.window[first + lag_frames]]

    def pairs(self, values, first, lag_frames):
        """Divide what a network gives for a batch of ``first`` and of the frames a lag later into pairs.

        Parameters
        ----------
        values : (targets of the batch, ...), of the frames ``first`` and then those a lag later.
        first : (frames,); lag_frames : int

        Returns
        -------
        two tensors (targets that are present in both, ...)
        """
        if self.always_present:
            return values.chunk(2)
        both = self.both_present(first, lag_frames)
        here, later = self.present[self.window[first]], self.present[self.window[first + lag_frames]]
        x, y = values[: here.sum()], values[here.sum() :]
        device = values.device
        return x[torch.from_numpy(both[here]).to(device)], y[torch.from_numpy(both[later]).to(device)]


def _species(part, elements):
    """The species of every node of a shard."""
    lookup = np.array([elements.index(name) for name in part.elements], np.uint8 if len(elements) < 256 else np.int32)
    return lookup[part.nodes]


def _targets(parts, fractions):
    """The target sets of all trajectories: their ids, their nodes, and when they are present.

    ``target_nodes`` (sets present in each window, k) are the places of their atoms among the first nodes
    of a frame, window after window.
    """
    firsts = {part.trajectory: part for part in reversed(parts)}
    ids = [firsts[trajectory].target_ids for trajectory in sorted(firsts)]
    shared = all(np.array_equal(other, ids[0]) for other in ids)
    k = max(found.shape[1] for found in ids)
    begin, offset = {}, 0
    for trajectory, found in zip(sorted(firsts), ids, strict=True):
        begin[trajectory] = 0 if shared else offset
        offset += len(found)
    n_sets = len(ids[0]) if shared else offset
    target_ids = np.full((n_sets, k), -1, np.int64)
    kept = np.zeros(n_sets, bool)
    first_window, windows, nodes = {}, [], []
    for trajectory, part in sorted(firsts.items()):
        columns = slice(begin[trajectory], begin[trajectory] + len(part.target_ids))
        target_ids[columns, : part.target_ids.shape[1]] = part.target_ids
        mine = np.ones(len(part.target_ids), bool)
        if fractions is not None:
            order = np.random.default_rng(SHUFFLE_SEED).permutation(len(mine))
            mine = np.isin(np.arange(len(mine)), order[split_frames(len(mine), fractions)])
        kept[columns] = mine
        first_window[trajectory] = len(windows)
        for present in part.present:
            atoms = target_atoms(part.target_atoms[present])
            sets = part.target_atoms[present & mine]
            places = np.full((len(sets), k), -1, np.int64)
            places[:, : sets.shape[1]] = np.where(sets < 0, -1, np.searchsorted(atoms, sets))
            nodes.append(places)
            row = np.zeros(n_sets, bool)
            row[columns] = present & mine
            windows.append(row)
    return {
        "target_ids": target_ids[kept],
        "target_nodes": np.concatenate(nodes),
        "present": np.array(windows)[:, kept],
        "window": np.concatenate([part.window + first_window[part.trajectory] for part in parts]),
    }


@numba.njit(cache=True)
def _gather_nodes(start, counts, species, out):
    """Nodes of all frames: all targets first, then all nodes one hop away, and so on."""
    at = 0
    for hop in range(counts.shape[1]):
        for i in range(len(start)):
            begin = counts[i, hop - 1] if hop else 0
            for j in range(begin, counts[i, hop]):
                out[at] = species[start[i] + j]
                at += 1


@numba.njit(cache=True)
def _gather_rows(start, counts, neighbors, distance_mA, out_neighbors, out_distance_mA):
    """Neighbor lists in the order of :func:`_gather_nodes`, renumbered."""
    n_hops = counts.shape[1]
    shift = np.zeros(n_hops, np.int64)  # of the nodes of each hop, from their place in a frame to that in the batch
    base = np.zeros(n_hops, np.int64)
    for hop in range(1, n_hops):
        base[hop] = counts[:, hop - 1].sum()
    before = np.zeros(n_hops, np.int64)
    for i in range(len(start)):
        for hop in range(n_hops):
            begin = counts[i, hop - 1] if hop else 0
            shift[hop] = base[hop] + before[hop] - begin
            before[hop] += counts[i, hop] - begin
        hop = 0
        for j in range(counts[i, n_hops - 2]):
            while j >= counts[i, hop]:
                hop += 1
            row, into = start[i] + j, j + shift[hop]
            for p in range(neighbors.shape[1]):
                node = np.int64(neighbors[row, p])
                away = 0
                while node >= counts[i, away]:
                    away += 1
                out_neighbors[into, p] = node + shift[away]
                out_distance_mA[into, p] = distance_mA[row, p]


@numba.njit(cache=True)
def _gather_targets(window, first_counts, start, nodes, out):
    at = 0
    shift = 0
    for i in range(len(window)):
        for row in range(start[window[i]], start[window[i] + 1]):
            for p in range(nodes.shape[1]):
                node = nodes[row, p]
                out[at, p] = node if node < 0 else node + shift
            at += 1
        shift += first_counts[i]
