"""Graphs of many frames that stay on a device, and the batches that are gathered from them there."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, Int32, Int64
from torch import Tensor

from gdyn.device import send
from gdyn.graphs.gather import GraphBatch, Incoming, ranges
from gdyn.kernels import kernels_of
from gdyn.kernels.layout import frames_table, incoming_of, longest_stretch, unsigned

BYTES_AT_A_TIME = 16e6  # on their way from the shards to the device
EDGE_BYTES = NODE_BYTES = 4  # of the lists of incoming edges


class Resident(NamedTuple):
    """Graphs on a device, frame after frame, as they are in the shards.

    species : (nodes,) uint8 or int32
    neighbors, distance_mA : (rows, M) int32, or the bits of unsigned 16, of which torch has no arithmetic, as int16
    incoming, incoming_begin : lists of edges as :func:`gdyn.kernels.triton_kernels.gather` needs them; None where
        nothing does
    """

    species: Int[Tensor, " nodes"]
    neighbors: Int[Tensor, "rows M"]
    distance_mA: Int[Tensor, "rows M"]
    incoming: Int32[Tensor, " edges"] | None
    incoming_begin: Int32[Tensor, " nodes"] | None


def bytes_on(device: torch.device, as_stored: int, n_nodes: int, n_edges: int) -> int:
    """Memory that graphs need there, from what they need as they are stored."""
    return as_stored + (EDGE_BYTES * n_edges + NODE_BYTES * n_nodes if kernels_of(device) else 0)


def read(parts: Sequence[Any], species_of: Sequence[np.ndarray], device: torch.device) -> Resident:
    """Bring the graphs of all parts to a device, some frames at a time, so that few are ever on the host.

    Parameters
    ----------
    parts : shards (:class:`gdyn.store.GraphShard`) in the order of their frames.
    species_of : of each, the species of its atoms.
    """
    n_nodes, n_rows = (sum(getattr(part, name).shape[0] for part in parts) for name in ("nodes", "neighbors"))
    m = parts[0].neighbors.shape[1]
    kinds = {
        name: np.result_type(*(getattr(part, name).dtype for part in parts)) for name in ("neighbors", "distance_mA")
    }
    species = torch.empty(n_nodes, dtype=_signed(np.result_type(*species_of)), device=device)
    neighbors, distance_mA = (torch.empty((n_rows, m), dtype=_signed(kind), device=device) for kind in kinds.values())
    listed = kernels_of(device) is not None
    incoming = torch.empty(n_rows * m, dtype=torch.int32, device=device) if listed else None
    begin = torch.empty(n_nodes, dtype=torch.int32, device=device) if listed else None
    node = row = 0
    for part, of, counts, nodes, rows in _stretches(parts):
        into_nodes = slice(node, node := node + nodes.stop - nodes.start)
        into_rows = slice(row, row := row + rows.stop - rows.start)
        species[into_nodes].copy_(_sent(species_of[of][part.nodes.read(nodes)], device))
        near = part.neighbors.read(rows)
        neighbors[into_rows].copy_(_sent(near.astype(kinds["neighbors"], copy=False), device))
        distance = part.distance_mA.read(rows)
        distance_mA[into_rows].copy_(_sent(distance.astype(kinds["distance_mA"], copy=False), device))
        if incoming is not None and begin is not None:
            of_frames = _lists(neighbors[into_rows], counts)
            incoming[into_rows.start * m : into_rows.stop * m].copy_(of_frames[0])
            begin[into_nodes].copy_(of_frames[1])
    return Resident(species, neighbors, distance_mA, incoming, begin)


def gather(
    graphs: Resident,
    node_start: np.ndarray,
    row_start: np.ndarray,
    stored: np.ndarray,
    counts: np.ndarray,
    starts: np.ndarray,
    targets: Tensor,
) -> GraphBatch:
    """A batch of frames, the same as :func:`gdyn.graphs.gather.gather` gives on the host.

    Parameters
    ----------
    node_start, row_start : (frames,) where the nodes and the rows of each frame begin.
    stored : (frames, shells) numbers of nodes within 0, 1 ... hops as they are stored.
    counts : (frames, shells) the same of as many hops as the network has.
    starts : of the batch, by :func:`gdyn.graphs.gather.starts_of`.
    targets : of the batch, on the host.
    """
    device = graphs.species.device
    targets = send(targets, device)
    kernels = kernels_of(device)
    if kernels is None or graphs.incoming is None:
        return GraphBatch(*_gather_plain(graphs, node_start, row_start, counts, starts), targets, starts)
    n, n_rows, m = int(starts[-1, -1]), int(starts[-2, -1]), graphs.neighbors.shape[1]
    stored_nodes, stored_rows = stored[:, -1], stored[:, -2]
    table = frames_table(node_start, row_start, counts, starts, stored_nodes, stored_rows, m)
    species = torch.empty(n, dtype=torch.int64, device=device)
    neighbors = torch.empty((n_rows, m), dtype=torch.int32, device=device)
    distance_mA = torch.empty((n_rows, m), dtype=graphs.distance_mA.dtype, device=device)
    sizes = (n, n, int(stored_rows.sum()) * m)
    incoming = Incoming(*(torch.empty(size, dtype=torch.int32, device=device) for size in sizes))
    kernels.gather(
        *graphs,
        send(torch.from_numpy(table), device),
        longest_stretch(counts, stored_rows, m),
        species,
        neighbors,
        distance_mA,
        incoming.edges,
        incoming.begin,
        incoming.end,
    )
    return GraphBatch(species, neighbors, distance_mA, targets, starts, incoming)


def with_incoming(batch: GraphBatch) -> GraphBatch:
    """The same with its lists of incoming edges, made where it is, if something there needs them."""
    if batch.incoming is not None or kernels_of(batch.species.device) is None:
        return batch
    return batch._replace(incoming=incoming_of(batch.neighbors, len(batch.species)))


def _stretches(parts: Sequence[Any]) -> Iterator[tuple[Any, int, np.ndarray, slice, slice]]:
    """Some frames of a part at a time: the part, its number, their counts, and where their nodes and rows are in it."""
    for number, part in enumerate(parts):
        counts = np.asarray(part.counts, np.int64)
        nodes, rows = (np.concatenate([[0], np.cumsum(counts[:, place])]) for place in (-1, -2))
        a_row = part.neighbors.shape[1] * (part.neighbors.dtype.itemsize + part.distance_mA.dtype.itemsize)
        chunk = rows[:-1] // max(1, int(BYTES_AT_A_TIME / a_row))
        edges = np.concatenate([[0], 1 + np.flatnonzero(np.diff(chunk)), [len(counts)]])
        for begin, end in pairwise(edges):
            yield part, number, counts[begin:end], slice(nodes[begin], nodes[end]), slice(rows[begin], rows[end])


def _lists(
    neighbors: Int[Tensor, "rows M"], counts: np.ndarray
) -> tuple[Int32[Tensor, " edges"], Int32[Tensor, " nodes"]]:
    """The edges of some whole frames, sorted by the node of the frame to which they point, and where those of each node
    begin in the list of its frame.
    """  # noqa: D205
    device, m = neighbors.device, neighbors.shape[1]
    nodes, rows = counts[:, -1], counts[:, -2]
    of_rows = torch.from_numpy(np.stack([np.cumsum(nodes) - nodes, np.cumsum(rows) - rows]).repeat(rows, axis=1))
    node_start, row_start = send(of_rows, device)
    key = unsigned(neighbors) + node_start.unsqueeze(1).int()
    sorted_keys, order = key.view(-1).sort(stable=True)
    # From the number of an edge among these frames to that in its frame.
    edges = order - row_start[order // m] * m
    every = torch.arange(int(nodes.sum()), dtype=torch.int32, device=device)
    first = send(torch.from_numpy(((np.cumsum(rows) - rows) * m).repeat(nodes)), device)
    return edges.int(), torch.searchsorted(sorted_keys, every, out_int32=True) - first.int()


def _gather_plain(
    graphs: Resident, node_start: np.ndarray, row_start: np.ndarray, counts: np.ndarray, starts: np.ndarray
) -> tuple[Int64[Tensor, " nodes"], Int32[Tensor, "rows M"], Int32[Tensor, "rows M"]]:
    """Species, neighbors and distances of a batch, operation by operation."""
    device, n_shells = graphs.species.device, counts.shape[1]
    begins = np.concatenate([np.zeros((len(counts), 1), np.int64), counts[:, :-1]], axis=1).T
    lengths = np.diff(starts, axis=1)
    nodes, rows = ranges(node_start + begins, lengths), ranges((row_start + begins)[:-1], lengths[:-1])
    frame = np.tile(np.arange(len(counts)), n_shells - 1).repeat(lengths[:-1].ravel())
    shifts = starts[:, :-1].T - begins.T
    sent = send(torch.from_numpy(np.concatenate([nodes, rows, frame, counts.ravel(), shifts.ravel()])), device)
    sizes = [len(nodes), len(rows), len(frame), counts.size, counts.size]
    of_nodes, of_rows, of_frame, bounds, shift = sent.split(sizes)
    local = unsigned(graphs.neighbors.index_select(0, of_rows))
    bounds = bounds.view(-1, n_shells).index_select(0, of_frame)
    shell = sum(((local >= bounds[:, hop, None]).int() for hop in range(n_shells - 1)), torch.zeros_like(local))
    shift = shift.view(-1, n_shells).index_select(0, of_frame)
    near = (local + shift.gather(1, shell.long())).int()
    return (
        graphs.species.index_select(0, of_nodes).long(),
        near,
        unsigned(graphs.distance_mA.index_select(0, of_rows)),
    )


def _signed(kind: np.dtype) -> torch.dtype:
    """Of the tensor that holds the bits of such numbers."""
    return {1: torch.uint8, 2: torch.int16, 4: torch.int32}[np.dtype(kind).itemsize]


def _sent(array: np.ndarray, device: torch.device) -> Tensor:
    """The bits of an array on a device."""
    array = np.ascontiguousarray(array)
    return send(torch.from_numpy(array if array.itemsize == 1 else array.view(f"i{array.itemsize}")), device)
