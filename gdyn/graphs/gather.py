"""Gathering the graphs of some frames, which lie one after the other, into one graph ordered by shells.

On the host by compiled loops; for graphs that stay on a device, by the same steps as tensor operations there.
"""

from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
import torch
from jaxtyping import Int32, Int64
from torch import Tensor

# Of all frames, one after the other: species (nodes,), neighbors and distance_mA (rows, M).
GraphsOnHost = tuple[np.ndarray, np.ndarray, np.ndarray]
GraphsOnDevice = tuple[Tensor, Tensor, Tensor]


class GraphBatch(NamedTuple):
    """The receptive fields of some frames as one graph, the nodes ordered by their hops to the targets.

    Nodes that are equally many hops away are a shell; within a shell, the nodes are in the order of the frames.

    species : (nodes,) int64, index of the element
    neighbors : (rows, M) int32, indices of nodes; row ``i`` is node ``i``
    distance_mA : (rows, M) int32
    targets : (targets, k) int64, indices of nodes; -1 where a set has fewer than k atoms
    starts : (shells, frames + 1) int64 numpy, where the nodes of each frame begin in each shell, and the shell ends
    """

    species: Int64[Tensor, " nodes"]
    neighbors: Int32[Tensor, "rows M"]
    distance_mA: Int32[Tensor, "rows M"]
    targets: Int64[Tensor, "targets k"]
    starts: Int64[np.ndarray, "shells ends"]

    @property
    def counts(self) -> list[int]:
        """Numbers of nodes within 0, 1 ... hops."""
        return self.starts[:, -1].tolist()

    def on(self, move: Callable[[Tensor], Tensor]) -> "GraphBatch":
        """The same with ``move`` applied to every tensor."""
        return GraphBatch(
            move(self.species), move(self.neighbors), move(self.distance_mA), move(self.targets), self.starts
        )


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


def gather_on_device(
    graphs: GraphsOnDevice,
    node_start: np.ndarray,
    row_start: np.ndarray,
    counts: np.ndarray,
    starts: np.ndarray,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same as :func:`gather` where the graphs are tensors on a device.

    Neighbors and distances are kept as the 16 or 32 bits of the shards; torch has no arithmetic of unsigned numbers.
    """
    species, neighbors, distance_mA = graphs
    device = species.device
    n_shells = counts.shape[1]
    begins = np.concatenate([np.zeros((len(counts), 1), np.int64), counts[:, :-1]], axis=1).T
    lengths = np.diff(starts, axis=1)
    nodes = _ranges(node_start + begins, lengths, device)
    rows = _ranges((row_start + begins)[:-1], lengths[:-1], device)
    frame = torch.from_numpy(np.tile(np.arange(len(counts)), n_shells - 1)).to(device)
    frame = frame.repeat_interleave(torch.from_numpy(lengths[:-1].ravel()).to(device))
    local = _unsigned(neighbors[rows])
    bounds = torch.from_numpy(counts).to(device)[frame]  # (rows, shells)
    shell = sum(((local >= bounds[:, hop, None]).int() for hop in range(n_shells - 1)), torch.zeros_like(local))
    shift = torch.from_numpy((starts[:, :-1] - begins).T.copy()).to(device)[frame]
    return species[nodes].long(), (local + shift.gather(1, shell.long())).int(), _unsigned(distance_mA[rows])


def _ranges(begins: np.ndarray, lengths: np.ndarray, device: torch.device) -> Tensor:
    """``begin, begin + 1 ...`` for every begin and length, one after the other."""
    begin, length = (torch.from_numpy(np.ascontiguousarray(x).ravel()).to(device) for x in (begins, lengths))
    end = length.cumsum(0)
    return torch.arange(int(end[-1]), device=device) + (begin - end + length).repeat_interleave(length)


def as_signed(array: np.ndarray) -> Tensor:
    """The bits of an array of unsigned integers as a tensor of signed ones."""
    return torch.from_numpy(array.view(f"i{array.itemsize}"))


def _unsigned(values: Tensor) -> Tensor:
    return values.int() & 0xFFFF if values.dtype == torch.int16 else values
