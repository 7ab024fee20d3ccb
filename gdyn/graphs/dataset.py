"""Graphs of many frames, gathered into batches for a network."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import torch

from gdyn.config.models import Splits
from gdyn.device import on_gpu
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.graphs import resident
from gdyn.graphs.gather import GraphBatch, GraphsOnHost, gather, starts_of
from gdyn.graphs.pairs import LaggedFrames
from gdyn.statistics.lag import split_frames
from gdyn.store import GraphShard
from gdyn.store.graphs import lengths_of
from gdyn.trajectory.targets import target_atoms

SHUFFLE_SEED = 2019  # of the targets, where they are what is divided into splits


@dataclass
class GraphDataset(LaggedFrames):
    """The frames of one split of all trajectories, their graphs in memory or left in the shards.

    parts : GraphShards in the order of the frames
    species_of : for each part, the species of its atoms
    counts : (frames, hops + 1), numbers of nodes within 0, 1 ... hops
    elements : names whose position is a species' index
    target_ids : (target sets, k) LAMMPS ids; trajectories with the same targets share them, others
        have sets of their own
    present : (windows, target sets) bool, which of them there are
    window : (frames,) row of ``present``
    time_ps, trajectory, segment : (frames,); segments are numbered over all trajectories
    checksum : of the shards that the frames came from
    """

    parts: list[GraphShard]
    species_of: list[np.ndarray]
    counts: np.ndarray
    elements: list[str]
    target_ids: np.ndarray
    target_nodes: np.ndarray
    present: np.ndarray
    window: np.ndarray
    time_ps: np.ndarray
    trajectory: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    checksum: list[str]

    def __post_init__(self) -> None:
        lengths = [len(part.frame) for part in self.parts]
        self._part = np.repeat(np.arange(len(lengths)), lengths)
        self._in_part = np.concatenate([np.arange(length) for length in lengths])
        self._starts_in_parts = [_begins(part.counts) for part in self.parts]
        sizes = self.present.sum(1)
        self._target_start = np.concatenate([[0], np.cumsum(sizes)])
        self._targets_in_frame = sizes[self.window]
        self._graphs: GraphsOnHost | resident.Resident | None = None

    @classmethod
    def load(
        cls,
        shards: Iterable[FilePath],
        splits: Splits,
        name: str,
        elements: Sequence[str] | None = None,
        memory_mb: float = np.inf,
    ) -> "GraphDataset":
        """Open a split of a system, and read its graphs where they need no more than ``memory_mb``.

        Parameters
        ----------
        shards : paths, in any order.
        splits : that section of a system.
        name : of the split.
        elements : names whose position is a species' index; by default those found, sorted.
        memory_mb : graphs that need more memory are read from the shards whenever they are needed.

        Raises
        ------
        InputError : the split is empty, or an element is not among ``elements``.
        """
        fractions = splits.as_dict()[name]
        shards = sorted(map(str, shards))
        lengths = lengths_of(shards)
        n_trajectories = 1 + max(lengths)
        chosen = range(n_trajectories)[split_frames(n_trajectories, fractions)] if splits.by == "trajectory" else None

        def choose(trajectory: int, frame: np.ndarray) -> slice:
            if splits.by == "time":
                split = split_frames(lengths[trajectory], fractions)
                return slice(*np.searchsorted(frame, [split.start, split.stop]))
            return slice(0, len(frame) if chosen is None or trajectory in chosen else 0)

        opened = [GraphShard.open(path, choose) for path in shards]
        parts = sorted((part for part in opened if len(part.frame)), key=lambda part: (part.trajectory, part.frame[0]))
        if not parts:
            raise InputError(f"splits.{name}: {list(fractions)} holds no frame; widen it")
        names = sorted({element for part in parts for element in part.elements})
        elements = names if elements is None else list(elements)
        unknown = sorted(set(names) - set(elements))
        if unknown:
            raise InputError(
                f"the element {unknown[0]} is not among those that the model was trained on ({', '.join(elements)})"
            )
        trajectory = np.concatenate([np.full(len(part.frame), part.trajectory) for part in parts])
        inner = np.concatenate([part.segment for part in parts])
        changed = (np.diff(trajectory) != 0) | (np.diff(inner) != 0)
        species = np.uint8 if len(elements) < 256 else np.int32
        data = cls(
            parts=parts,
            species_of=[np.array([elements.index(name) for name in part.elements], species) for part in parts],
            counts=np.concatenate([part.counts for part in parts]),
            elements=elements,
            **_targets(parts, opened, fractions if splits.by == "target" else None),
            time_ps=np.concatenate([part.time_ps for part in parts]),
            trajectory=trajectory,
            segment=np.concatenate([[0], np.cumsum(changed)]),
            frame_interval_ps=parts[0].frame_interval_ps,
            checksum=[part.checksum for part in parts],
        )
        if data.nbytes <= memory_mb * 1e6:
            data.read()
        return data

    @property
    def n_neighbors(self) -> int:
        return self.parts[0].neighbors.shape[1]

    @property
    def hops(self) -> int:
        """How many convolutions the graphs are good for."""
        return self.counts.shape[1] - 1

    @property
    def nbytes(self) -> int:
        """Memory that the graphs need, or would need."""
        return sum(part.nodes.nbytes + part.neighbors.nbytes + part.distance_mA.nbytes for part in self.parts)

    @property
    def in_memory(self) -> bool:
        return self._graphs is not None

    def read(self, device: torch.device | str = "cpu") -> None:
        """Read all graphs, once, into the memory of ``device``."""
        parts, device = self.parts, torch.device(device)
        if on_gpu(device):
            self._graphs = resident.read(parts, self.species_of, device)
        else:
            species = _joined([part.nodes for part in parts], self.species_of)
            neighbors = _joined([part.neighbors for part in parts])
            self._graphs = species, neighbors, _joined([part.distance_mA for part in parts])
        self._starts = _begins(self.counts)

    def bytes_on(self, device: torch.device) -> int:
        """Memory that the graphs need, or would need, on a device."""
        n_edges = sum(part.neighbors.shape[0] * self.n_neighbors for part in self.parts)
        return resident.bytes_on(device, self.nbytes, sum(part.nodes.shape[0] for part in self.parts), n_edges)

    def batch(self, frames: np.ndarray, hops: int) -> GraphBatch:
        """Gather the graphs of ``frames`` (indices into this dataset) for a network of ``hops`` convolutions.

        Targets come frame after frame, those present in a frame in the order of ``target_ids``.
        """
        frames = np.ascontiguousarray(frames, np.int64)
        counts = np.ascontiguousarray(self.counts[frames, : hops + 1], np.int64)
        starts = starts_of(counts)
        places = np.empty((self._targets_in_frame[frames].sum(), self.target_nodes.shape[1]), np.int64)
        _gather_targets(self.window[frames], counts[:, 0], self._target_start, self.target_nodes, places)
        targets = torch.from_numpy(places)
        if self._graphs is None:
            graphs, node_start, row_start = self._fetch(frames, counts)
        else:
            node_start, row_start = (start[frames] for start in self._starts)
            if isinstance(self._graphs, resident.Resident):
                stored = np.asarray(self.counts[frames], np.int64)
                return resident.gather(self._graphs, node_start, row_start, stored, counts, starts, targets)
            graphs = self._graphs
        return GraphBatch(*gather(graphs, node_start, row_start, counts, starts), targets, starts)

    def _fetch(self, frames: np.ndarray, counts: np.ndarray) -> tuple[GraphsOnHost, np.ndarray, np.ndarray]:
        """Read what ``counts`` needs of some frames from their shards."""
        species: list[np.ndarray] = []
        neighbors: list[np.ndarray] = []
        distance_mA: list[np.ndarray] = []
        for frame, count in zip(frames, counts, strict=True):
            part, of = self.parts[self._part[frame]], self.species_of[self._part[frame]]
            node, row = (start[self._in_part[frame]] for start in self._starts_in_parts[self._part[frame]])
            species.append(of[part.nodes.read(slice(node, node + count[-1]))])
            neighbors.append(part.neighbors.read(slice(row, row + count[-2])))
            distance_mA.append(part.distance_mA.read(slice(row, row + count[-2])))
        graphs = np.concatenate(species), np.concatenate(neighbors), np.concatenate(distance_mA)
        return graphs, *_begins(counts)


def _begins(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the nodes, and where the rows, of each frame begin that lie frame after frame: two arrays (frames,)."""
    nodes, rows = (np.cumsum(counts[:, place], dtype=np.int64) - counts[:, place] for place in (-1, -2))
    return nodes, rows


def _joined(stretches: Sequence[Any], lookups: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """The rows of all stretches as one array, or what ``lookups`` hold for them."""
    ends = np.cumsum([0] + [rows.shape[0] for rows in stretches])
    kind = np.result_type(*(rows.dtype for rows in (lookups or stretches)))
    joined = np.empty((ends[-1], *stretches[0].shape[1:]), kind)
    for i, rows in enumerate(stretches):
        values = rows.read()
        joined[ends[i] : ends[i + 1]] = lookups[i][values] if lookups else values
    return joined


def _targets(
    parts: list[GraphShard], opened: list[GraphShard], fractions: tuple[float, float] | None
) -> dict[str, np.ndarray]:
    """The target sets of all trajectories: their ids, their nodes, and when they are present.

    ``parts`` are the shards of the split, in the order of its frames; ``opened`` all shards, of which those of a
    trajectory know all of its sets only together.

    ``target_nodes`` (sets present in each window, k) are the places of their atoms among the first nodes
    of a frame, window after window.
    """
    sets_of = {
        trajectory: _all_sets([shard for shard in opened if shard.trajectory == trajectory])
        for trajectory in sorted({part.trajectory for part in parts})
    }
    ids = [sets[1] for sets in sets_of.values()]
    shared = all(np.array_equal(some, ids[0]) for some in ids)
    k = max(some.shape[1] for some in ids)
    sizes = [0 if shared else len(some) for some in ids]
    begin = dict(zip(sets_of, np.cumsum(sizes) - sizes, strict=True))
    n_sets = len(ids[0]) if shared else sum(sizes)
    target_ids = np.full((n_sets, k), -1, np.int64)
    kept = np.zeros(n_sets, bool)
    for trajectory, (_, of, _) in sets_of.items():
        columns = slice(begin[trajectory], begin[trajectory] + len(of))
        target_ids[columns, : of.shape[1]] = of
        order = np.random.default_rng(SHUFFLE_SEED).permutation(len(of))
        kept[columns] = fractions is None
        if fractions is not None:
            kept[columns][order[split_frames(len(of), fractions)]] = True
    number: dict[tuple[int, bytes], int] = {}
    windows: list[np.ndarray] = []
    nodes: list[np.ndarray] = []
    window: list[np.ndarray] = []
    for part in parts:
        atoms, of, rows = sets_of[part.trajectory]
        columns = slice(begin[part.trajectory], begin[part.trajectory] + len(of))
        places = np.zeros(len(part.present), np.int64)
        for one in np.unique(part.window):
            there = np.zeros(len(of), bool)
            there[rows[id(part)][part.present[one]]] = True
            key = (part.trajectory, there.tobytes())
            if key not in number:
                number[key] = len(windows)
                row = np.zeros(n_sets, bool)
                row[columns] = there & kept[columns]
                windows.append(row)
                sets = atoms[there & kept[columns]]
                place = np.full((len(sets), k), -1, np.int64)
                place[:, : sets.shape[1]] = np.where(sets < 0, -1, np.searchsorted(target_atoms(atoms[there]), sets))
                nodes.append(place)
            places[one] = number[key]
        window.append(places[part.window])
    return {
        "target_ids": target_ids[kept],
        "target_nodes": np.concatenate(nodes),
        "present": np.array(windows)[:, kept],
        "window": np.concatenate(window),
    }


def _all_sets(shards: list[GraphShard]) -> tuple[np.ndarray, np.ndarray, dict[int, np.ndarray]]:
    """The target sets of one trajectory in all of its shards, which know those of their own frames and before.

    Returns
    -------
    (target sets, k) indices of their atoms, as many LAMMPS ids, and, by the ``id`` of each shard, which of them are its
    own.
    """
    most = max(shards, key=lambda shard: len(shard.target_atoms))
    atoms, ids = most.target_atoms, most.target_ids
    if not all(np.array_equal(shard.target_atoms, atoms) for shard in shards):
        known: dict[tuple[int, ...], np.ndarray] = {}
        for shard in shards:
            known |= {
                tuple(of[of >= 0].tolist()): some[of >= 0]
                for of, some in zip(shard.target_atoms, shard.target_ids, strict=True)
            }
        atoms, ids = (np.full((len(known), max(map(len, known))), -1, np.int64) for _ in range(2))
        for i, (of, some) in enumerate(sorted(known.items(), key=lambda item: item[0])):
            atoms[i, : len(of)], ids[i, : len(of)] = of, some
    number = {tuple(of[of >= 0].tolist()): i for i, of in enumerate(atoms)}
    rows = {
        id(shard): np.array([number[tuple(of[of >= 0].tolist())] for of in shard.target_atoms], np.int64)
        for shard in shards
    }
    return atoms, ids, rows


@numba.njit(cache=True)
def _gather_targets(
    window: np.ndarray, first_counts: np.ndarray, start: np.ndarray, nodes: np.ndarray, out: np.ndarray
) -> None:
    at = 0
    shift = 0
    for i in range(len(window)):
        for row in range(start[window[i]], start[window[i] + 1]):
            for p in range(nodes.shape[1]):
                node = nodes[row, p]
                out[at, p] = node if node < 0 else node + shift
            at += 1
        shift += first_counts[i]
