"""The trajectory store: one trajectory in gdyn's units, in one HDF5 file.

Format ``gdyn-trajectory``, version 2. Lengths in A, times in ps, charges in e, masses in u.

=====================  ==========================  =============================================
``position``           (frames, atoms, 3) float32  relative to the origin of the box; see ``unwrapped``
``cell``               (frames, 3, 3) float64      lattice vectors, one per row
``step``               (frames,) int64             LAMMPS time step
``time_ps``            (frames,) float64           step times timestep; where the steps begin again, it
                                                   is counted on from the frame before
``segment``            (frames,) int32             number of the stretch without a gap that the
                                                   frame belongs to; no lagged pair crosses one
``atoms/id``           (atoms,) int64              LAMMPS atom ids, ascending
``atoms/type``         (atoms,) int32              LAMMPS atom types
``atoms/element``      (atoms,) text               element, or a declared species
``atoms/mass_u``       (atoms,) float64            absent in older files: then as the elements have it
``atoms/molecule``     (atoms,) int64              LAMMPS molecule ids (0: in none); absent where unknown
``atoms/charge_e``     (atoms,) float64            absent where unknown
=====================  ==========================  =============================================

Attributes of the file: ``format``, ``version``, ``gdyn_version``, ``frame_interval_ps`` (float),
``periodic`` ((3,) bool, by lattice vector), ``source`` (text, the files), ``checksum`` (text, SHA-256 of
the file, or of the checksums of several), ``notes`` (text, a line for each thing that is not as in one
run without a break), ``unwrapped`` (text) and ``largest_step`` (float).

``unwrapped`` is ``yes`` where the files had unwrapped positions; ``rebuilt`` where they were put
together from steps to the nearest image, each of at most ``largest_step`` of a lattice vector; ``no``
where such a step was too long to be sure, so that displacements mean nothing.

Atoms keep one order, by id, in every frame.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from gdyn.store import hdf5

FORMAT = "gdyn-trajectory"
VERSION = 2


@dataclass
class Atoms:
    """What does not change from frame to frame; every array is (atoms,).

    ``molecule`` are the ids of LAMMPS, where 0 says that an atom is in no molecule; see :attr:`molecule_index`.
    """

    id: np.ndarray
    type: np.ndarray
    element: np.ndarray
    molecule: np.ndarray | None = None
    charge_e: np.ndarray | None = None
    mass_u: np.ndarray | None = None

    def __len__(self):
        return len(self.id)

    @property
    def has_molecules(self):
        """Whether any atom is known to be in a molecule."""
        return self.molecule is not None and bool((self.molecule > 0).any())

    @property
    def molecule_index(self):
        """Numbers of the molecules from 0, (atoms,) int64; an atom that is in none is one of its own."""
        ids = np.zeros(len(self), np.int64) if self.molecule is None else np.asarray(self.molecule, np.int64)
        alone = ids.max(initial=0) + 1 + np.arange(len(self))
        return np.unique(np.where(ids > 0, ids, alone), return_inverse=True)[1].astype(np.int64)


@dataclass
class TrajectoryStore:
    """A trajectory file opened for reading by :meth:`open`."""

    atoms: Atoms
    step: np.ndarray
    time_ps: np.ndarray
    segment: np.ndarray
    frame_interval_ps: float
    unwrapped: str
    periodic: tuple
    source: str
    checksum: str
    notes: list
    _file: object = field(repr=False)

    @classmethod
    @contextmanager
    def open(cls, path):
        """Yield the store at ``path``.

        Raises
        ------
        InputError : not a whole trajectory store of this version.
        """
        with hdf5.read(path, FORMAT, VERSION) as file:
            atoms = {name: column[:] for name, column in file["atoms"].items()}
            atoms["element"] = file["atoms/element"].asstr()[:]
            yield cls(
                atoms=Atoms(**atoms),
                step=file["step"][:],
                time_ps=file["time_ps"][:],
                segment=file["segment"][:],
                frame_interval_ps=float(file.attrs["frame_interval_ps"]),
                unwrapped=file.attrs["unwrapped"],
                periodic=tuple(map(bool, file.attrs["periodic"])),
                source=file.attrs["source"],
                checksum=file.attrs["checksum"],
                notes=file.attrs["notes"].splitlines(),
                _file=file,
            )

    def __len__(self):
        return len(self.step)

    def positions(self, frames=slice(None), atoms=slice(None)):
        """Positions (frames, atoms, 3), A; give at most one index list, ascending."""
        return self._file["position"][frames, atoms]

    def cells(self, frames=slice(None)):
        """Lattice vectors (frames, 3, 3), A."""
        return self._file["cell"][frames]


class TrajectoryWriter:
    """An unfinished trajectory store, from :func:`write`."""

    def __init__(self, file):
        self._file = file

    def append(self, position, cell, step, time_ps, segment):
        """Append frames; every argument has time as its first axis."""
        hdf5.append(self._file, "position", np.asarray(position, np.float32))
        hdf5.append(self._file, "cell", np.asarray(cell, np.float64))
        hdf5.append(self._file, "step", np.asarray(step, np.int64))
        hdf5.append(self._file, "time_ps", np.asarray(time_ps, np.float64))
        hdf5.append(self._file, "segment", np.asarray(segment, np.int32))

    def position(self, frame):
        """Positions of a frame that has been appended: (atoms, 3), A."""
        return self._file["position"][frame]

    def finish(self, **attributes):
        """Set the attributes that are known only at the end."""
        self._file.attrs.update(attributes)


@contextmanager
def write(path, atoms, frame_interval_ps, source):
    """Yield a :class:`TrajectoryWriter`; the file appears under its name once the block has ended well."""
    with hdf5.create(path, FORMAT, VERSION) as file:
        file.attrs["frame_interval_ps"] = frame_interval_ps
        file.attrs["source"] = source
        file["atoms/id"] = np.asarray(atoms.id, np.int64)
        file["atoms/type"] = np.asarray(atoms.type, np.int32)
        file.create_dataset("atoms/element", data=list(atoms.element), dtype=hdf5.TEXT)
        if atoms.molecule is not None:
            file["atoms/molecule"] = np.asarray(atoms.molecule, np.int64)
        if atoms.charge_e is not None:
            file["atoms/charge_e"] = np.asarray(atoms.charge_e, np.float64)
        if atoms.mass_u is not None:
            file["atoms/mass_u"] = np.asarray(atoms.mass_u, np.float64)
        yield TrajectoryWriter(file)
