"""Gathering the graphs of some frames, which lie one after the other, into one graph ordered by shells.

On the host by compiled loops; for graphs that stay on a device, by the same steps as tensor operations there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from gdyn.kernels.layout import Edges, Incoming

# Of all frames, one after the other: species (nodes,), neighbors and distance_mA (rows, M).
GraphsOnHost = tuple[np.ndarray, np.ndarray, np.ndarray]


class GraphBatch(NamedTuple):
    """The receptive fields of some frames as one graph, the nodes ordered by their hops to the targets.

    Nodes that are equally many hops away are a shell; within a shell, the nodes are in the order of the frames.

    species : (nodes,) int64, index of the element
    neighbors : (rows, M) int32, indices of nodes; row ``i`` is node ``i``
    distance_mA : (rows, M) int32; on a device they may be int16, the bits of unsigned numbers
    targets : (targets, k) int64, indices of nodes; -1 where a set has fewer than k atoms
    starts : (shells, frames + 1) int64 numpy, where the nodes of each frame begin in each shell, and the shell ends
    incoming : of all nodes, where a device needs them
    """

    species: Int64[Tensor, " nodes"]
    neighbors: Int32[Tensor, "rows M"]
    distance_mA: Int[Tensor, "rows M"]
    targets: Int64[Tensor, "targets k"]
    starts: Int64[np.ndarray, "shells ends"]
    incoming: Incoming | None = None

    @property
    def counts(self) -> list[int]:
        """Numbers of nodes within 0, 1 ... hops."""
        return self.starts[:, -1].tolist()

    def edges(self, hops: int) -> Edges:
        """Of the nodes within some hops."""
        n, n_near = self.counts[hops : hops + 2]
        incoming = self.incoming and Incoming(
            self.incoming.begin[:n_near], self.incoming.end[:n_near], self.incoming.edges
        )
        return Edges(self.neighbors[:n], self.distance_mA[:n], self.starts[: hops + 1], incoming)

    def on(self, move: Callable[[Tensor], Tensor]) -> "GraphBatch":
        """The same with ``move`` applied to every tensor."""
        incoming = self.incoming and Incoming(*map(move, self.incoming))
        species, neighbors, distance_mA, targets = map(
            move, (self.species, self.neighbors, self.distance_mA, self.targets)
        )
        return GraphBatch(species, neighbors, distance_mA, targets, self.starts, incoming)


def ranges(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """``begin, begin + 1 ...`` for every begin and length, one after the other."""
    begin, length = begins.ravel(), lengths.ravel()
    return np.arange(length.sum()) + (begin - np.cumsum(length) + length).repeat(length)


def starts_of(counts: Int64[np.ndarray, "frames shells"]) -> Int64[np.ndarray, "shells frames+1"]:
    """Where the nodes of each frame begin in each shell of a batch: (shells, frames + 1), from ``counts`` (frames,
    shells), numbers of nodes within 0, 1 ... hops.
    """  # noqa: D205
    lengths = np.diff(counts, axis=1, prepend=0).T
    starts = np.zeros((len(lengths), lengths.shape[1] + 1), np.int64)
    np.cumsum(lengths, axis=1, out=starts[:, 1:])
    starts[1:] += np.cumsum(starts[:-1, -1])[:, None]
    return starts


def gather(
    graphs: GraphsOnHost,
    node_start: np.ndarray,
    row_start: np.ndarray,
    counts: np.ndarray,
    starts: np.ndarray,
) -> tuple[Tensor, Tensor, Tensor]:
    """Species, neighbors and distances of a batch, on the host.

    Parameters
    ----------
    graphs : (species (all nodes,), neighbors and distance_mA (all rows, M)), frame after frame.
    node_start, row_start : (frames,) where the nodes and the rows of each frame begin there.
    counts : (frames, shells) int64
    starts : of the batch, by :func:`starts_of`.
    """
    species, neighbors, distance_mA = graphs
    n_rows, m = starts[-2, -1], neighbors.shape[1]
    out = np.empty(starts[-1, -1], np.int64), np.empty((n_rows, m), np.int32), np.empty((n_rows, m), np.int32)
    _gather(node_start, row_start, counts, starts, species, neighbors, distance_mA, *out)
    return torch.from_numpy(out[0]), torch.from_numpy(out[1]), torch.from_numpy(out[2])


@numba.njit(nogil=True, cache=True)
def _gather(
    node_start: np.ndarray,
    row_start: np.ndarray,
    counts: np.ndarray,
    starts: np.ndarray,
    species: np.ndarray,
    neighbors: np.ndarray,
    distance_mA: np.ndarray,
    to_species: np.ndarray,
    to_neighbors: np.ndarray,
    to_mA: np.ndarray,
) -> None:
    n_shells = counts.shape[1]
    shift = np.zeros(n_shells, np.int64)  # of the nodes of each shell, from their place in a frame to that in the batch
    for i in range(len(counts)):
        for shell in range(n_shells):
            begin = counts[i, shell - 1] if shell else 0
            shift[shell] = starts[shell, i] - begin
            for j in range(begin, counts[i, shell]):
                to_species[j + shift[shell]] = species[node_start[i] + j]
        for shell in range(n_shells - 1):
            for j in range(counts[i, shell - 1] if shell else 0, counts[i, shell]):
                row, into = row_start[i] + j, j + shift[shell]
                for p in range(neighbors.shape[1]):
                    node = np.int64(neighbors[row, p])
                    away = 0
                    while node >= counts[i, away]:
                        away += 1
                    to_neighbors[into, p] = node + shift[away]
                    to_mA[into, p] = distance_mA[row, p]
