"""A graph shard: the surroundings of the targets in a stretch of frames of one trajectory.

Of every frame there is the receptive field of its targets: the atoms from which something can reach a
target in ``hops`` convolutions, and the neighbors of those up to ``hops - 1`` hops away.

Format ``gdyn-graphs``, version 2.

=====================  ==========================  =============================================
``counts``             (frames, hops + 1) int32    numbers of nodes within 0, 1 ... ``hops`` hops
``nodes``              (all nodes,) uint16         indices of atoms, frame after frame; within a frame
                       or uint32                   the atoms of the targets first, ascending, then
                                                   those one hop away, and so on
``neighbors``          (all rows, M) uint16        the M nearest neighbors of the nodes up to
                       or uint32                   ``hops - 1`` hops away, nearest first, frame after
                                                   frame, as indices into the nodes of that frame
``distance_mA``        (all rows, M) uint16        their distances in whole 0.001 A, at most 65.535 A
``frame``              (frames,) int64             number of the frame in its trajectory
``time_ps``            (frames,) float64
``segment``            (frames,) int32             as in the trajectory store
``window``             (frames,) int32             row of ``targets/present``
``atoms/element``      (atoms,) text
``targets/atoms``      (target sets, k) int32      indices of the atoms of each target set; rows of
                                                   fewer than k atoms are filled up with -1
``targets/id``         (target sets, k) int64      their LAMMPS ids, filled up with -1
``targets/present``    (windows, target sets) bool which target sets there are, for selections that
                                                   change in time
=====================  ==========================  =============================================

Attributes of the file: ``format``, ``version``, ``gdyn_version``, ``trajectory`` (its number in the
system), ``frame_interval_ps``, ``hops``, ``n_neighbors``, ``selection``, ``source_checksum`` (of the trajectory's
files, as far as the shard goes) and ``checksum`` (SHA-256 of ``counts``, ``nodes``, ``neighbors`` and ``distance_mA``).

Distances are whole numbers because the network looks its radial functions up in a table with one
row per 0.001 A: exact for what is stored, half the size of float32, and off by at most 0.0005 A.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.store import hdf5

FORMAT = "gdyn-graphs"
VERSION = 2
LARGEST_DISTANCE_A = 65.535

# Which frames to open, by the trajectory's number and the frames' (frames,).
Choose = Callable[[int, np.ndarray], slice]
# Nodes, counts, neighbors and distances of a frame, from gdyn.graphs.neighbors.receptive_field.
Field = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Numbers = Sequence[float] | np.ndarray


class Append(Protocol):
    """A function that appends the graphs of some frames, and what else is known of each frame."""

    def __call__(
        self, fields: Sequence[Field], frame: Numbers, time_ps: Numbers, segment: Numbers, window: Numbers
    ) -> None: ...


@dataclass
class GraphShard:
    """The graphs of a stretch of frames; fields as in the format.

    ``nodes``, ``neighbors`` and ``distance_mA`` are arrays, or stay in the file as :class:`gdyn.store.hdf5.Rows`.
    """

    counts: Int[np.ndarray, "frames shells"]
    nodes: UInt[np.ndarray, " nodes"] | hdf5.Rows
    neighbors: UInt[np.ndarray, "rows m"] | hdf5.Rows
    distance_mA: UInt[np.ndarray, "rows m"] | hdf5.Rows
    frame: Int[np.ndarray, " frames"]
    time_ps: Float[np.ndarray, " frames"]
    segment: Int[np.ndarray, " frames"]
    window: Int[np.ndarray, " frames"]
    elements: Shaped[np.ndarray, " atoms"]
    target_atoms: Int[np.ndarray, "targets k"]
    target_ids: Int[np.ndarray, "targets k"]
    present: Bool[np.ndarray, "windows targets"]
    trajectory: int
    frame_interval_ps: float
    source_checksum: str
    checksum: str = ""

    @classmethod
    def open(cls, path: FilePath, choose: Choose | None = None) -> Self:
        """Open the frames that ``choose`` picks, or all of them; the graphs themselves stay in the file.

        Parameters
        ----------
        path : the shard.
        choose : function of the trajectory's number and of the frame numbers (frames,) that returns a slice of the
            frames, or None for all.

        Raises
        ------
        InputError : not a whole shard of this version.
        """
        with hdf5.read(path, FORMAT, VERSION) as file:
            attrs = file.attrs
            numbers = file["frame"][:]
            frames = slice(0, len(numbers))
            if choose is not None:
                frames = choose(int(attrs["trajectory"]), numbers)
            counts = file["counts"][:]
            nodes, rows = (_slice(counts[:, place], frames) for place in (-1, -2))
            descriptor = hdf5.Descriptor(path)
            return cls(
                counts=counts[frames],
                nodes=hdf5.Rows(file["nodes"], descriptor, nodes),
                neighbors=hdf5.Rows(file["neighbors"], descriptor, rows),
                distance_mA=hdf5.Rows(file["distance_mA"], descriptor, rows),
                frame=numbers[frames],
                time_ps=file["time_ps"][frames],
                segment=file["segment"][frames],
                window=file["window"][frames],
                elements=file["atoms/element"].asstr()[:],
                target_atoms=file["targets/atoms"][:],
                target_ids=file["targets/id"][:],
                present=file["targets/present"][:],
                trajectory=int(attrs["trajectory"]),
                frame_interval_ps=float(attrs["frame_interval_ps"]),
                source_checksum=attrs["source_checksum"],
                checksum=attrs["checksum"],
            )

    @classmethod
    def read(cls, path: FilePath, choose: Choose | None = None) -> Self:
        """The same as :meth:`open`, with the graphs in memory."""
        shard = cls.open(path, choose)
        return replace(shard, **{name: getattr(shard, name).read() for name in ("nodes", "neighbors", "distance_mA")})


def lengths_of(paths: Iterable[FilePath]) -> dict[int, int]:
    """Numbers of frames of the trajectories that shards are of, by the trajectories' numbers."""
    lengths: dict[int, int] = {}
    for path in paths:
        with hdf5.read(path, FORMAT, VERSION) as file:
            trajectory, end = int(file.attrs["trajectory"]), int(file["frame"][-1]) + 1
            lengths[trajectory] = max(end, lengths.get(trajectory, 0))
    return lengths


def _slice(lengths: Int[np.ndarray, " frames"], frames: slice) -> slice:
    """Where the entries of a slice of frames lie in an array that holds them frame after frame."""
    ends = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return slice(int(ends[frames.start]), int(ends[max(frames.start, frames.stop)]))


@contextmanager
def write(
    path: FilePath,
    elements: Sequence[str] | np.ndarray,
    target_atoms: Sequence[Sequence[int]] | np.ndarray,
    target_ids: Sequence[Sequence[int]] | np.ndarray,
    present: Sequence[Sequence[bool]] | np.ndarray,
    **attributes: Any,
) -> Iterator[Append]:
    """Yield a function that appends frames.

    ``append(fields, frame, time_ps, segment, window)``, where ``fields`` is a list of what
    :func:`gdyn.graphs.neighbors.receptive_field` returns for each frame. ``attributes`` are those of the format.

    Raises
    ------
    InputError : a neighbor is farther than the format can hold.
    """
    index = np.uint16 if len(elements) <= 2**16 else np.uint32
    digest = hashlib.sha256()
    with hdf5.create(path, FORMAT, VERSION) as file:
        file.create_dataset("atoms/element", data=list(elements), dtype=hdf5.TEXT)
        file["targets/atoms"] = np.asarray(target_atoms, np.int32)
        file["targets/id"] = np.asarray(target_ids, np.int64)
        file["targets/present"] = np.asarray(present, bool)

        def append(
            fields: Sequence[Field], frame: Numbers, time_ps: Numbers, segment: Numbers, window: Numbers
        ) -> None:
            nodes, counts, neighbors, distances = zip(*fields, strict=True)
            distances_A = np.concatenate(distances)
            farthest = distances_A.max(initial=0.0)
            if farthest > LARGEST_DISTANCE_A:
                raise InputError(
                    f"{path}: in frame {int(frame[0])} or shortly after, fewer than {distances_A.shape[1]} neighbors "
                    f"can be reached: the next one is {farthest:.1f} A away and a shard holds {LARGEST_DISTANCE_A} A "
                    f"at most; lower graphs.neighbors"
                )
            values = {
                "counts": np.stack(counts).astype(np.int32),
                "nodes": np.concatenate(nodes).astype(index),
                "neighbors": np.concatenate(neighbors).astype(index),
                "distance_mA": np.rint(distances_A * 1000.0).astype(np.uint16),
            }
            for name, value in values.items():
                digest.update(np.ascontiguousarray(value).data)
                hdf5.append(file, name, value)
            hdf5.append(file, "frame", np.asarray(frame, np.int64))
            hdf5.append(file, "time_ps", np.asarray(time_ps, np.float64))
            hdf5.append(file, "segment", np.asarray(segment, np.int32))
            hdf5.append(file, "window", np.asarray(window, np.int32))

        yield append
        file.attrs.update(attributes)
        file.attrs["checksum"] = f"sha256:{digest.hexdigest()}"
