"""A graph shard: the neighbors of every atom in a stretch of frames of one trajectory.

Format ``gdyn-graphs``, version 1.

=====================  ==========================  =============================================
``neighbors``          (frames, atoms, M) uint16   indices of the M nearest neighbors, nearest
                       or uint32                   first; uint32 where there are over 65 536 atoms
``distance_mA``        (frames, atoms, M) uint16   their distances in whole 0.001 A, at most 65.535 A
``frame``              (frames,) int64             number of the frame in its trajectory
``time_ps``            (frames,) float64
``segment``            (frames,) int32             as in the trajectory store
``atoms/element``      (atoms,) text
``targets/atoms``      (target sets, k) int32      indices of the atoms of each target set; rows of
                                                   fewer than k atoms are filled up with -1
``targets/id``         (target sets, k) int64      their LAMMPS ids, filled up with -1
=====================  ==========================  =============================================

Attributes of the file: ``format``, ``version``, ``gdyn_version``, ``trajectory`` (its number in the
system), ``trajectory_frames`` (its length), ``frame_interval_ps``, ``source_checksum`` (of the dump)
and ``checksum`` (SHA-256 of ``neighbors`` and ``distance_mA``).

Distances are whole numbers because the network looks its radial functions up in a table with one
row per 0.001 A: exact for what is stored, half the size of float32, and off by at most 0.0005 A.
"""

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from gdyn.errors import InputError
from gdyn.store import hdf5

FORMAT = "gdyn-graphs"
VERSION = 1
LARGEST_DISTANCE_A = 65.535


@dataclass
class GraphShard:
    """The graphs of a stretch of frames, in memory; fields as in the format."""

    neighbors: np.ndarray
    distance_mA: np.ndarray
    frame: np.ndarray
    time_ps: np.ndarray
    segment: np.ndarray
    elements: np.ndarray
    target_atoms: np.ndarray
    target_ids: np.ndarray
    trajectory: int
    trajectory_frames: int
    frame_interval_ps: float
    source_checksum: str
    checksum: str = ""

    @classmethod
    def read(cls, path, choose=None):
        """Read the frames for which ``choose(frame, trajectory_frames)`` holds, or all of them.

        Parameters
        ----------
        path : the shard.
        choose : function of the frame numbers (frames,) and the trajectory's length that returns a
            slice of the frames, or None for all.

        Raises
        ------
        InputError : not a whole shard of this version.
        """
        with hdf5.read(path, FORMAT, VERSION) as file:
            attrs = file.attrs
            frames = slice(None)
            if choose is not None:
                frames = choose(file["frame"][:], int(attrs["trajectory_frames"]))
            return cls(
                neighbors=file["neighbors"][frames],
                distance_mA=file["distance_mA"][frames],
                frame=file["frame"][frames],
                time_ps=file["time_ps"][frames],
                segment=file["segment"][frames],
                elements=file["atoms/element"].asstr()[:],
                target_atoms=file["targets/atoms"][:],
                target_ids=file["targets/id"][:],
                trajectory=int(attrs["trajectory"]),
                trajectory_frames=int(attrs["trajectory_frames"]),
                frame_interval_ps=float(attrs["frame_interval_ps"]),
                source_checksum=attrs["source_checksum"],
                checksum=attrs["checksum"],
            )


@contextmanager
def write(path, elements, target_atoms, target_ids, trajectory, trajectory_frames, frame_interval_ps, source_checksum):
    """Yield a function that appends frames: ``append(neighbors, distances_A, frame, time_ps, segment)``.

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

        def append(neighbors, distances_A, frame, time_ps, segment):
            if distances_A.max() > LARGEST_DISTANCE_A:
                raise InputError(
                    f"{path}: in frame {int(frame[0])} or shortly after, a neighbor is {distances_A.max():.1f} A "
                    f"away and a shard holds {LARGEST_DISTANCE_A} A at most; ask for fewer graphs.neighbors"
                )
            neighbors = np.ascontiguousarray(neighbors, index)
            distance_mA = np.rint(distances_A * 1000.0).astype(np.uint16)
            digest.update(neighbors)
            digest.update(distance_mA)
            hdf5.append(file, "neighbors", neighbors)
            hdf5.append(file, "distance_mA", distance_mA)
            hdf5.append(file, "frame", np.asarray(frame, np.int64))
            hdf5.append(file, "time_ps", np.asarray(time_ps, np.float64))
            hdf5.append(file, "segment", np.asarray(segment, np.int32))

        yield append
        file.attrs["trajectory"] = trajectory
        file.attrs["trajectory_frames"] = trajectory_frames
        file.attrs["frame_interval_ps"] = frame_interval_ps
        file.attrs["source_checksum"] = source_checksum
        file.attrs["checksum"] = f"sha256:{digest.hexdigest()}"
