"""From a trajectory store to graph shards."""

import numpy as np

from gdyn.errors import InputError
from gdyn.graphs.neighbors import nearest_neighbors
from gdyn.logs import LOG, progress
from gdyn.store import TrajectoryStore
from gdyn.store import graphs as graph_store
from gdyn.trajectory.targets import target_sets

BLOCK_BYTES = 32 * 2**20


def build_shard(store, shard, trajectory, part, graphs, targets):
    """Write the graphs of one stretch of a trajectory.

    Parameters
    ----------
    store : path of the trajectory store.
    shard : path of the graph shard to write.
    trajectory : number of the trajectory in the system.
    part : number of the stretch, from 0 to ``graphs.shards - 1``.
    graphs, targets : those sections of a system.

    Raises
    ------
    InputError : the targets cannot be chosen, or the trajectory is shorter than its shards are many.
    """
    with TrajectoryStore.open(store) as source:
        n_frames = len(source)
        begin, end = (n_frames * k // graphs.shards for k in (part, part + 1))
        if begin == end:
            raise InputError(
                f"{source.source}: {n_frames} frames cannot be divided into {graphs.shards} shards; lower graphs.shards"
            )
        sets = target_sets(source.atoms, source.positions(0), source.cells(0), targets)
        LOG.info(
            "frames %d to %d: %d target sets of %s, %d neighbors",
            begin,
            end - 1,
            len(sets),
            targets.selection,
            graphs.neighbors,
        )
        block = max(1, BLOCK_BYTES // (len(source.atoms) * (12 + 12 * graphs.neighbors)))
        with graph_store.write(
            shard,
            elements=source.atoms.element,
            target_atoms=sets,
            target_ids=np.where(sets < 0, -1, source.atoms.id[sets]),
            trajectory=trajectory,
            trajectory_frames=n_frames,
            frame_interval_ps=source.frame_interval_ps,
            source_checksum=source.checksum,
        ) as append:
            for first in progress(range(begin, end, block), "neighbors"):
                frames = slice(first, min(first + block, end))
                positions, cells = source.positions(frames), source.cells(frames)
                found = [nearest_neighbors(x, cell, graphs.neighbors) for x, cell in zip(positions, cells, strict=True)]
                append(
                    neighbors=np.stack([neighbors for neighbors, _ in found]),
                    distances_A=np.stack([distances for _, distances in found]),
                    frame=np.arange(frames.start, frames.stop),
                    time_ps=source.time_ps[frames],
                    segment=source.segment[frames],
                )
