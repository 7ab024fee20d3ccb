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
the file, or of the checksums of several), ``notes`` (text, a line for each deviation from one
uninterrupted run), ``unwrapped`` (text) and ``largest_step`` (float).

``content`` (text) is the SHA-256 of all that has frames.

``unwrapped`` is ``yes`` where the files had unwrapped positions; ``rebuilt`` where they were put
together from steps to the nearest image, each of at most ``largest_step`` of a lattice vector; ``no``
where such a step was too long to be certain, so that displacements are meaningless.

Atoms keep one order, by id, in every frame.

A trajectory that is simulated here is stored part by part, each in a file of its own with the attribute
``first_frame`` (int, its place in the whole). A file that puts them together (:func:`join`) holds positions and all
else that has frames as virtual datasets of these files, which lie beside it under the names ``parts`` (list of text),
with the ``content`` of each as ``part_contents``. Where one of them is missing, HDF5 itself reads NaN for its
positions; :meth:`TrajectoryStore.open` says so.
"""

import hashlib
import os
import secrets
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import h5py
import numpy as np
from jaxtyping import Float, Int, Shaped

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.store import hdf5

FORMAT = "gdyn-trajectory"
VERSION = 2
Index = int | slice | np.ndarray | list[int]
OF_FRAMES = {
    "position": np.float32, "cell": np.float64, "step": np.int64, "time_ps": np.float64, "segment": np.int32,
}  # fmt: skip


@dataclass
class Atoms:
    """What does not change from frame to frame; every array is (atoms,).

    ``molecule`` are the ids of LAMMPS, where 0 says that an atom is in no molecule; see :attr:`molecule_index`.
    """

    id: Int[np.ndarray, " atoms"]
    type: Int[np.ndarray, " atoms"]
    element: Shaped[np.ndarray, " atoms"]
    molecule: Int[np.ndarray, " atoms"] | None = None
    charge_e: Float[np.ndarray, " atoms"] | None = None
    mass_u: Float[np.ndarray, " atoms"] | None = None

    def __len__(self) -> int:
        return len(self.id)

    @property
    def has_molecules(self) -> bool:
        """Whether any atom is known to be in a molecule."""
        return self.molecule is not None and bool((self.molecule > 0).any())

    @property
    def molecule_index(self) -> Int[np.ndarray, " atoms"]:
        """Numbers of the molecules from 0, (atoms,) int64; an atom in no molecule is one by itself."""
        ids = np.zeros(len(self), np.int64) if self.molecule is None else np.asarray(self.molecule, np.int64)
        alone = ids.max(initial=0) + 1 + np.arange(len(self))
        return np.unique(np.where(ids > 0, ids, alone), return_inverse=True)[1].astype(np.int64)


@dataclass
class TrajectoryStore:
    """A trajectory file opened for reading by :meth:`open`."""

    atoms: Atoms
    step: Int[np.ndarray, " frames"]
    time_ps: Float[np.ndarray, " frames"]
    segment: Int[np.ndarray, " frames"]
    frame_interval_ps: float
    unwrapped: str
    periodic: tuple[bool, ...]
    source: str
    checksum: str
    notes: list[str]
    largest_step: float
    first_frame: int
    is_part: bool
    _file: h5py.File = field(repr=False)

    @classmethod
    @contextmanager
    def open(cls, path: FilePath, *more: FilePath) -> Iterator[Self]:
        """Yield the store at ``path``, or that of several parts of a trajectory together.

        Raises
        ------
        InputError : not a whole trajectory store of this version, or the parts do not follow each other.
        """
        with _temporary([path, *more]) if more else hdf5.read(path, FORMAT, VERSION) as file:
            if not more:
                _check_parts(file, path)
            yield cls._of_file(file)

    @classmethod
    def keep_open(cls, path: FilePath, at_end: Callable[[], None]) -> Self:
        """The store at a path, open as long as it is referenced; then ``at_end`` is called.

        Raises
        ------
        InputError : as of :meth:`open`.
        """
        stack = ExitStack()
        stack.callback(at_end)
        store = stack.enter_context(cls.open(path))
        weakref.finalize(store, stack.close)
        return store

    @classmethod
    def of(
        cls,
        positions: Float[np.ndarray, "frames atoms 3"],
        cell: Float[np.ndarray, "3 3"] | Float[np.ndarray, "frames 3 3"],
        atoms: Atoms | Sequence[str],
        frame_interval_ps: float,
        periodic: Sequence[bool] = (True, True, True),
        unwrapped: str = "yes",
        source: str = "arrays",
    ) -> Self:
        """A store from arrays, in memory, without any gap.

        Parameters
        ----------
        positions : (frames, atoms, 3), A, unwrapped by default.
        cell : lattice vectors in rows, A, of all frames or of each.
        atoms : what is known of the atoms; or only their elements.
        frame_interval_ps : time from frame to frame.
        periodic : by lattice vector.
        unwrapped : as in the format; ``no`` where displacements are meaningless.
        source : what to call it in messages.

        Raises
        ------
        InputError : shapes do not fit.
        """
        positions = np.asarray(positions)
        n = len(positions)
        if not isinstance(atoms, Atoms):
            atoms = Atoms(np.arange(1, len(atoms) + 1), np.ones(len(atoms), int), np.array(atoms))
        if positions.shape[1:] != (len(atoms), 3) or not n:
            raise InputError(f"positions: should be (frames, {len(atoms)} atoms, 3), not of shape {positions.shape}")
        if not np.isfinite(positions).all():
            raise InputError(f"positions: frame {np.argwhere(~np.isfinite(positions))[0, 0]} holds NaN or infinity")
        if np.shape(cell) not in ((3, 3), (n, 3, 3)):
            raise InputError(
                f"cell: should be lattice vectors in rows, (3, 3) or ({n}, 3, 3); of a box, np.diag(edges)"
            )
        if np.shape(periodic) != (3,):
            raise InputError(f"periodic: should be three of True or False, one for each lattice vector, not {periodic}")
        if unwrapped not in ("yes", "rebuilt", "no"):
            raise InputError(f"unwrapped: should be 'yes', 'rebuilt' or 'no', not {unwrapped!r}")
        if not 0 < frame_interval_ps < np.inf:
            raise InputError(f"frame_interval_ps: should be a time in ps, not {frame_interval_ps}")
        file = h5py.File(f"memory-{secrets.token_hex(8)}", "w", driver="core", backing_store=False)
        writer = _begin(file, atoms, frame_interval_ps, source)
        frames = np.arange(n)
        cells = np.broadcast_to(cell, (n, 3, 3))
        writer.append(positions, cells, frames, frames * frame_interval_ps, np.zeros(n, int))
        writer.finish(notes="", unwrapped=unwrapped, periodic=tuple(periodic), checksum="", largest_step=0.0)
        return cls._of_file(file)

    @classmethod
    def _of_file(cls, file: h5py.File) -> Self:
        atoms = {name: column[:] for name, column in file["atoms"].items()}
        atoms["element"] = file["atoms/element"].asstr()[:]
        return cls(
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
            largest_step=float(file.attrs["largest_step"]),
            first_frame=int(file.attrs.get("first_frame", 0)),
            is_part="first_frame" in file.attrs,
            _file=file,
        )

    def __len__(self) -> int:
        return len(self.step)

    def positions(self, frames: Index = slice(None), atoms: Index = slice(None)) -> np.ndarray:
        """Positions (frames, atoms, 3), A; give at most one index list, ascending."""
        return self._file["position"][frames, atoms]

    def cells(self, frames: Index = slice(None)) -> np.ndarray:
        """Lattice vectors (frames, 3, 3), A."""
        return self._file["cell"][frames]


class TrajectoryWriter:
    """An unfinished trajectory store, from :func:`write`."""

    def __init__(self, file: h5py.File) -> None:
        self._file, self._content = file, hashlib.sha256()

    def append(
        self,
        position: Float[np.ndarray, "frames atoms 3"],
        cell: Float[np.ndarray, "frames 3 3"],
        step: Sequence[int] | np.ndarray,
        time_ps: Sequence[float] | np.ndarray,
        segment: Sequence[int] | np.ndarray,
    ) -> None:
        """Append frames; every argument has time as its first axis."""
        for (name, kind), values in zip(OF_FRAMES.items(), (position, cell, step, time_ps, segment), strict=True):
            stored = np.ascontiguousarray(values, kind)
            self._content.update(stored.data)
            hdf5.append(self._file, name, stored)

    def position(self, frame: int) -> Float[np.ndarray, "atoms 3"]:
        """Positions of a frame that has been appended: (atoms, 3), A."""
        return self._file["position"][frame]

    def finish(self, **attributes: Any) -> None:
        """Set the attributes that are known only at the end."""
        self._file.attrs.update(attributes | {"content": f"sha256:{self._content.hexdigest()}"})


@contextmanager
def write(path: FilePath, atoms: Atoms, frame_interval_ps: float, source: str) -> Iterator[TrajectoryWriter]:
    """Yield a :class:`TrajectoryWriter`; the file appears under its name once the block has ended well."""
    with hdf5.create(path, FORMAT, VERSION) as file:
        yield _begin(file, atoms, frame_interval_ps, source)


def _begin(file: h5py.File, atoms: Atoms, frame_interval_ps: float, source: str) -> TrajectoryWriter:
    """Write what does not change from frame to frame."""
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
    return TrajectoryWriter(file)


def join(parts: Sequence[FilePath], path: FilePath) -> None:
    """Write a store that joins the parts of one trajectory without copying them; paths, in their order.

    Raises
    ------
    InputError : they do not follow each other.
    """
    with hdf5.create(path, FORMAT, VERSION) as file:
        _put_together(file, parts, [os.path.relpath(part, Path(path).parent) for part in parts])
        file.attrs.pop("first_frame", None)  # it is the whole trajectory


@contextmanager
def _temporary(parts: Sequence[FilePath]) -> Iterator[h5py.File]:
    """Yield a file that puts parts together for as long as it is read.

    It is opened for reading only: HDF5 opens the parts as it has opened the file that refers to them, and a part
    opened for writing is locked against every other job.
    """
    with TemporaryDirectory(prefix="gdyn-") as folder:
        path = os.path.join(folder, "parts.h5")
        with h5py.File(path, "w") as file:
            _put_together(file, parts, [os.path.abspath(part) for part in parts])
        with h5py.File(path, "r") as file:
            yield file


def _put_together(file: h5py.File, parts: Sequence[FilePath], names: Sequence[str]) -> None:
    with ExitStack() as stack:
        files = [stack.enter_context(hdf5.read(part, FORMAT, VERSION)) for part in parts]
        lengths = [len(part["step"]) for part in files]
        begins = np.concatenate([[0], np.cumsum(lengths)]).tolist()
        for (before, part), path, begin in zip(pairwise([files[0], *files]), parts, begins, strict=False):
            same = np.array_equal(part["atoms/id"][:], before["atoms/id"][:])
            if int(part.attrs.get("first_frame", 0)) != begin or not same:
                raise InputError(
                    f"{path}: is not the part of the trajectory that follows {begin} frames; delete it and let the "
                    f"workflow remake it"
                )
        for name in OF_FRAMES:
            first = files[0][name]
            layout = h5py.VirtualLayout((begins[-1], *first.shape[1:]), first.dtype)
            for part, source, (begin, end) in zip(files, names, pairwise(begins), strict=True):
                layout[begin:end] = h5py.VirtualSource(source.replace("%", "%%"), name, part[name].shape)
            file.create_virtual_dataset(name, layout, fillvalue=np.nan if first.dtype.kind == "f" else -1)
        file.copy(files[0]["atoms"], "atoms")
        attributes = [dict(part.attrs) for part in files]
        unwrapped = [of["unwrapped"] for of in attributes]
        file.attrs.update(attributes[0])
        file.attrs.update(
            unwrapped="no" if "no" in unwrapped else unwrapped[0],
            largest_step=max(of["largest_step"] for of in attributes),
            notes="\n".join(dict.fromkeys(line for of in attributes for line in of["notes"].splitlines())),
            checksum=combined([of["checksum"] for of in attributes]),
            parts=names,
            content=combined([of["content"] for of in attributes]),
            part_contents=[of["content"] for of in attributes],
        )


def is_store(path: FilePath) -> bool:
    """Whether a file is a trajectory store, of any version; all are named ``.h5``, so no other file is opened.

    Raises
    ------
    InputError : it is named ``.h5`` and cannot be opened.
    """
    if Path(path).suffix != ".h5":
        return False
    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("format") == FORMAT
    except OSError as error:
        raise InputError(f"{path}: cannot be opened as HDF5 ({error})") from None


def combined(checksums: Sequence[str]) -> str:
    """One checksum of several files in their order; that of the file, if there is only one."""
    if len(checksums) == 1:
        return checksums[0]
    return f"sha256:{hashlib.sha256(' '.join(checksums).encode()).hexdigest()}"


def _check_parts(file: h5py.File, path: FilePath) -> None:
    """Refuse a file whose parts are not those that it was put together from."""
    for name, content in zip(file.attrs.get("parts", ()), file.attrs.get("part_contents", ()), strict=True):
        part = Path(path).parent / name
        try:
            with hdf5.read(part, FORMAT, VERSION) as stored:
                same = stored.attrs["content"] == content
        except InputError as error:
            raise InputError(f"{path}: a part of it is missing or damaged: {error}") from None
        if not same:
            raise InputError(
                f"{path}: {part} is no longer the part that it was put together from; delete both and let the workflow "
                f"remake them"
            )
