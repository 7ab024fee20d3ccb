"""LAMMPS text dumps, read through MDAnalysis, in the dump's own units.

MDAnalysis 2.11 misreads some dumps: scaled coordinates in a box that does not begin at 0, image
flags in a triclinic box, and headers with UNITS or TIME. Those are refused here with a sentence.
"""

import bz2
import gzip
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gdyn.errors import InputError
from gdyn.logs import LOG

_OPENERS = {".gz": gzip.open, ".bz2": bz2.open}
_UNREADABLE = (ValueError, IndexError, KeyError, EOFError, OSError)


@dataclass
class Frame:
    """One frame in the dump's own units, its atoms ordered by id."""

    step: int
    position: np.ndarray
    cell: np.ndarray


@dataclass
class Dump:
    """A LAMMPS text dump of style atom or custom; use :func:`open_dump`."""

    path: str
    columns: list
    unwrapped: bool
    n_frames: int
    _universe: object

    @property
    def atoms(self):
        """Columns that do not change: id, type, and element, mol and q where the dump has them."""
        group = self._universe.atoms
        found = {"id": group.ids, "type": group.types.astype(np.int32)}
        if "element" in self.columns:
            found["element"] = group.elements
        if "mol" in self.columns:
            found["mol"] = group.resids
        if "q" in self.columns:
            found["q"] = group.charges.astype(float)
        return found

    def frame(self, number):
        """Read one frame.

        Raises
        ------
        InputError : the frame is damaged, or its atoms are not those of the first frame.
        """
        try:
            timestep = self._universe.trajectory[number]
        except _UNREADABLE as error:
            raise InputError(
                f"{self.path}, frame {number} (counted from 0): cannot be read ({error}); "
                f"every frame has to hold the same {len(self._universe.atoms)} atoms, with numbers for coordinates"
            ) from None
        position = timestep.positions.copy()
        step = int(timestep.data["step"])
        if not np.isfinite(position).all():
            atom = self._universe.atoms.ids[np.argwhere(~np.isfinite(position))[0, 0]]
            raise InputError(
                f"{self.path}, frame {number} (step {step}): the position of atom id {atom} is not a number; "
                f"the simulation has failed there, cut the dump before this frame"
            )
        return Frame(step, position, timestep.triclinic_dimensions.astype(float))


@contextmanager
def open_dump(path):
    """Yield the :class:`Dump` at ``path``.

    A last frame that is cut off is left out, with a warning.

    Raises
    ------
    InputError : not a dump that can be read.
    """
    import MDAnalysis

    header = _read_header(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            universe = MDAnalysis.Universe(
                str(path),
                format="LAMMPSDUMP",
                topology_format="LAMMPSDUMP",
                lammps_coordinate_convention=header.convention,
                unwrap_images=header.unwrap_images,
                dt=1.0,
                to_guess=(),
            )
            n_frames = _whole_frames(path, universe.trajectory)
        except _UNREADABLE as error:
            raise InputError(f"{path}: cannot be read ({error}); is the file cut off or damaged?") from None
    try:
        if n_frames < 1:
            raise InputError(f"{path}: there is not one whole frame in it")
        yield Dump(str(path), header.columns, header.unwrapped, n_frames, universe)
    finally:
        universe.trajectory.close()


def _open(path):
    return _OPENERS.get(Path(path).suffix, open)(path, "rb")


def _whole_frames(path, reader):
    """Number of frames without a last one that is cut off; MDAnalysis counts that if its last line has begun."""
    n_frames = len(reader)
    with _open(path) as file:
        file.seek(reader._offsets[-1])
        rest = file.read()
    lines = 9 + reader.n_atoms
    if rest.count(b"\n") < lines:
        n_frames -= 1
    elif rest.count(b"\n") == lines and rest.endswith(b"\n"):
        return n_frames
    LOG.warning("%s ends within a frame: that last frame is left out, %d are whole", path, n_frames)
    return n_frames


@dataclass
class _Header:
    columns: list
    convention: str
    unwrap_images: bool

    @property
    def unwrapped(self):
        return self.unwrap_images or self.convention in ("unwrapped", "scaled_unwrapped")


def _read_header(path):
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such file; check trajectory.files")
    try:
        with _open(path) as file:
            lines = [file.readline().decode("utf-8", "replace").strip() for _ in range(9)]
    except (OSError, EOFError) as error:
        raise InputError(f"{path}: cannot be read ({error}); check the file") from None
    if not any(lines):
        raise InputError(f"{path}: the file is empty; point trajectory.files at a dump with frames in it")
    if lines[0] in ("ITEM: UNITS", "ITEM: TIME"):
        raise InputError(
            f"{path}, line 1: {lines[0]!r} headers cannot be read yet; write the dump without dump_modify units or time"
        )
    for number, start in (
        (1, "ITEM: TIMESTEP"),
        (3, "ITEM: NUMBER OF ATOMS"),
        (5, "ITEM: BOX BOUNDS"),
        (9, "ITEM: ATOMS"),
    ):
        if not lines[number - 1].startswith(start):
            raise InputError(
                f"{path}, line {number}: {lines[number - 1][:60]!r} stands where a LAMMPS text dump has {start!r}; "
                f"give a whole dump of style atom or custom"
            )
    boundary = lines[4].split()[3:]
    if "abc" in boundary:
        raise InputError(
            f"{path}, line 5: general triclinic boxes cannot be read yet; write the dump without triclinic/general"
        )
    if [flags for flags in boundary if flags not in ("pp", "xy", "xz", "yz")]:
        raise InputError(
            f"{path}, line 5: the boundaries are {' '.join(boundary)}, "
            f"but gdyn needs a box that is periodic in all directions (pp pp pp)"
        )
    columns = lines[8].split()[2:]
    for name in ("id", "type"):
        if name not in columns:
            raise InputError(
                f"{path}, line 9: there is no column {name!r} among {' '.join(columns)}; add it to the dump command"
            )
    try:
        bounds = np.array([[float(word) for word in line.split()] for line in lines[5:8]])
    except ValueError:
        raise InputError(f"{path}, lines 6 to 8: a box bound is not a number; the header is damaged") from None
    return _Header(columns, *_coordinates(path, set(columns), bounds))


def _coordinates(path, columns, bounds):
    """Choose the coordinates that MDAnalysis reads rightly, unwrapped ones first."""
    orthogonal, begins_at_0 = bounds.shape[1] == 2, not bounds[:, 0].any()
    if columns.issuperset(("xu", "yu", "zu")):
        return "unwrapped", False
    if columns.issuperset(("x", "y", "z")):
        return "unscaled", orthogonal and columns.issuperset(("ix", "iy", "iz"))
    for convention, names in (("scaled_unwrapped", ("xsu", "ysu", "zsu")), ("scaled", ("xs", "ys", "zs"))):
        if columns.issuperset(names):
            if not begins_at_0:
                raise InputError(
                    f"{path}: scaled coordinates ({' '.join(names)}) in a box that does not begin at 0 "
                    f"cannot be read yet; dump xu yu zu"
                )
            return convention, False
    raise InputError(
        f"{path}, line 9: there are no coordinates among the columns {' '.join(sorted(columns))}; dump xu yu zu"
    )
