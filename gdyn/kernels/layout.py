"""How the arrays of the kernels (:mod:`gdyn.kernels.triton_kernels`) lie in memory; this module needs no Triton."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float32, Int, Int32, Int64
from torch import Tensor

BYTES_TOGETHER = 16  # that a GPU reads in one go
MOST_PROGRAMS = 1056
ATOMS_OF_A_PROGRAM = 8
SENTINEL = 2**31 - 1  # no edge
FRAME_COLUMNS = 5


class Incoming(NamedTuple):
    """The edges that point to each node; an edge is numbered ``row M + place among the neighbors``.

    begin, end : (nodes,) int32, where those of each node lie in ``edges``
    edges : int32, of each node in ascending order; numbers that no row has are none
    """

    begin: Int32[Tensor, " nodes"]
    end: Int32[Tensor, " nodes"]
    edges: Int32[Tensor, " edges"]


def incoming_of(neighbors: Int32[Tensor, "updated M"], n_nodes: int) -> Incoming:
    """The lists of a graph of so many nodes, made where its neighbors are."""
    node, order = neighbors.view(-1).sort(stable=True)
    nodes = torch.arange(n_nodes, dtype=torch.int32, device=node.device)
    begin, end = (torch.searchsorted(node, nodes, right=right, out_int32=True) for right in (False, True))
    return Incoming(begin, end, order.int())


class Edges(NamedTuple):
    """What one convolution needs of a graph: the neighbors of the first nodes, which are updated.

    neighbors : (updated, M) int32, indices of nodes
    distance_mA : (updated, M) int32; int16 are the bits of unsigned numbers
    starts : (shells, frames + 1) int64 numpy, of the updated nodes; nodes of different frames are never neighbors
    incoming : of all nodes that are neighbors, where a device needs them
    """

    neighbors: Int32[Tensor, "updated M"]
    distance_mA: Int[Tensor, "updated M"]
    starts: Int64[np.ndarray, "shells ends"]
    incoming: Incoming | None = None


class Norm(NamedTuple):
    """A layer norm of the messages, and what it is added to: ``out = features + norm(messages)``.

    features : (at least n, W); not read by the backward kernels, nor is ``out``
    weight, bias : (W,)
    eps : added to the variance
    out : (n, W)
    """

    features: Float32[Tensor, "nodes width"]
    weight: Float32[Tensor, " width"]
    bias: Float32[Tensor, " width"]
    eps: float
    out: Float32[Tensor, "updated width"]


def row_stride(width: int, dtype: torch.dtype = torch.float32) -> int:
    """Numbers from one row to the next where a row is ``width`` numbers, a logit, and zeros up to 16 bytes."""
    together = BYTES_TOGETHER // dtype.itemsize
    return -(-(width + 1) // together) * together


def programs(n: int) -> int:
    """Programs among which ``n`` atoms are divided where each adds up something of its own.

    As many on any device, since rounding depends on it: 8 for each of 132 processors, fewer for few atoms.
    """
    return max(1, min(MOST_PROGRAMS, -(-n // ATOMS_OF_A_PROGRAM)))


def frames_table(
    node_start: Int64[np.ndarray, " frames"],
    row_start: Int64[np.ndarray, " frames"],
    counts: Int64[np.ndarray, "frames shells"],
    starts: Int64[np.ndarray, "shells ends"],
    stored_nodes: Int64[np.ndarray, " frames"],
    stored_rows: Int64[np.ndarray, " frames"],
    n_neighbors: int,
) -> Int64[np.ndarray, "frames columns"]:
    """What the kernel ``gather`` has to know of every frame of a batch.

    Columns: where the nodes and the rows of the frame begin in the resident arrays; where its list of edges begins
    in the batch's; how many nodes and rows of it are stored; then for each shell the number of nodes up to its end
    (``counts``); then for each shell where its nodes begin in the batch (``starts``).

    Parameters
    ----------
    node_start, row_start : where the nodes and the rows of each frame begin in the resident arrays.
    counts : numbers of nodes within 0, 1 ... hops, as many as the network has.
    starts : of the batch, by :func:`gdyn.graphs.gather.starts_of`.
    stored_nodes, stored_rows : of each frame; more than the batch needs if the network has fewer hops.
    n_neighbors : M.

    Raises
    ------
    OverflowError : an edge of the batch would need a number that no int32 holds.
    """
    edges = np.asarray(stored_rows, np.int64) * n_neighbors
    if edges.sum() > SENTINEL:
        raise OverflowError(f"a batch of {edges.sum()} edges is too large; an edge is numbered in 31 bits")
    lists = np.cumsum(edges) - edges
    columns = [node_start, row_start, lists, stored_nodes, stored_rows, *counts.T, *starts[:, :-1]]
    return np.ascontiguousarray(np.stack(columns, 1), np.int64)


def longest_stretch(
    counts: Int64[np.ndarray, "frames shells"], stored_rows: Int64[np.ndarray, " frames"], n_neighbors: int
) -> int:
    """Most numbers that the kernel ``gather`` copies one after the other for a shell of a frame."""
    rows = np.diff(counts[:, :-1], axis=1, prepend=0).max(initial=0)
    beyond = (stored_rows - counts[:, -2]).max(initial=0)
    nodes = (counts[:, -1] - counts[:, -2]).max(initial=0)
    return max(int(max(rows, beyond)) * n_neighbors, int(nodes), 1)


def unsigned(values: Int[Tensor, "..."]) -> Int32[Tensor, "..."]:
    """Numbers from the bits of unsigned ones."""
    return values.int() & 0xFFFF if values.dtype == torch.int16 else values
