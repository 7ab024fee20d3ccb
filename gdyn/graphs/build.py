"""From a trajectory store to graph shards."""

from collections.abc import Sequence

import numpy as np

from gdyn.config.models import Graphs, Targets
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.graphs.neighbors import receptive_field
from gdyn.logs import LOG, progress
from gdyn.store import TrajectoryStore
from gdyn.store import graphs as graph_store
from gdyn.trajectory.targets import choose_targets

BLOCK_BYTES = 32 * 2**20


def build_shard(
    stores: Sequence[FilePath],
    shard: FilePath,
    trajectory: int,
    number: int,
    hops: int,
    graphs: Graphs,
    targets: Targets,
) -> None:
    """Write the graphs of one stretch of a trajectory.

    Parameters
    ----------
    stores : paths of the trajectory store, or of those of its parts up to the one that the stretch is in.
    shard : path of the graph shard to write.
    trajectory : number of the trajectory in the system.
    number : of the shard; each part has ``graphs.shards`` of them.
    hops : how many convolutions the deepest network has.
    graphs, targets : those sections of a system.

    Raises
    ------
    InputError : the targets cannot be chosen, the trajectory has fewer frames than shards, or
        there are fewer neighbors than asked for.
    """
    with TrajectoryStore.open(stores[-1]) as part:
        first_frame, n_frames = part.first_frame, len(part)
    with TrajectoryStore.open(*stores) as source:
        begin, end = (first_frame + n_frames * (number % graphs.shards + k) // graphs.shards for k in (0, 1))
        if begin == end:
            raise InputError(
                f"{source.source}: {n_frames} frames cannot be divided into {graphs.shards} shards; lower graphs.shards"
            )
        chosen = choose_targets(source, targets)
        LOG.info(
            "frames %d to %d: %d target sets of %s, %d neighbors, %d hops",
            begin,
            end - 1,
            len(chosen.sets),
            targets.selection,
            graphs.neighbors,
            hops,
        )
        block = max(1, BLOCK_BYTES // (len(source.atoms) * (12 + 12 * graphs.neighbors)))
        first_nodes = [chosen.atoms_of(window) for window in range(len(chosen.present))]
        with graph_store.write(
            shard,
            elements=source.atoms.element,
            target_atoms=chosen.sets,
            target_ids=np.where(chosen.sets < 0, -1, source.atoms.id[chosen.sets]),
            present=chosen.present,
            trajectory=trajectory,
            frame_interval_ps=source.frame_interval_ps,
            hops=hops,
            n_neighbors=graphs.neighbors,
            selection=targets.selection,
            source_checksum=source.checksum,
        ) as append:
            for first in progress(range(begin, end, block), "neighbors"):
                frames = slice(first, min(first + block, end))
                positions, cells, windows = source.positions(frames), source.cells(frames), chosen.window[frames]
                append(
                    [
                        receptive_field(x, cell, graphs.neighbors, first_nodes[window], hops, source.periodic)
                        for x, cell, window in zip(positions, cells, windows, strict=True)
                    ],
                    frame=np.arange(frames.start, frames.stop),
                    time_ps=source.time_ps[frames],
                    segment=source.segment[frames],
                    window=windows,
                )
