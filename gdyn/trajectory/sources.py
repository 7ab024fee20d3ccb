"""Files of frames: LAMMPS dumps by gdyn's own reader, every other format through MDAnalysis."""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.logs import LOG
from gdyn.provenance import file_checksum
from gdyn.trajectory.columns import STATIC, choose_coordinates, numbers_of
from gdyn.trajectory.dump import Dump, positions
from gdyn.trajectory.frames import Frame, NotADumpError
from gdyn.trajectory.identity import Topology
from gdyn.units import UNIT_STYLES

# Formats whose lengths are those of the LAMMPS run; MDAnalysis converts the others to A.
_RAW_LENGTHS = ("DCD", "XYZ", "EXTXYZ")
_UNREADABLE = (ValueError, TypeError, IndexError, KeyError, EOFError, OSError, AttributeError, NotImplementedError)


@dataclass
class RawFrame:
    """One frame of any format, in A and ps, its atoms ordered by id.

    step : LAMMPS time step; time_ps : elapsed time where the file itself gives it, else None.
    position : (atoms, 3) relative to the origin of the box; cell : (3, 3); periodic : (3,) bool.
    columns : mapping of a name in ``STATIC`` to its values in this frame.
    """

    number: int
    step: int
    time_ps: float | None
    position: Float[np.ndarray, "atoms 3"]
    cell: Float[np.ndarray, "3 3"]
    periodic: tuple[bool, ...]
    columns: dict[str, np.ndarray]


class DumpSource:
    """A LAMMPS text dump as a source of frames; see :class:`RawFrame`.

    Attributes
    ----------
    columns : mapping with ``id``, and ``element`` and those of ``STATIC`` where the dump has them.
    unwrapped : whether the positions are.
    """

    def __init__(self, path: FilePath, trajectory: Trajectory, between: tuple[int, int] | None = None) -> None:
        self.path = str(path)
        self._style = UNIT_STYLES[trajectory.units]
        self._dump = Dump(path, numbers_of, checksum=True, between=between)
        try:
            self._check(trajectory)
        except InputError:
            self.close()
            raise
        names = self._dump.columns
        self._coordinates, self._images = choose_coordinates(names, path)
        self._static = [name for name in STATIC if name in names]
        self.unwrapped = self._coordinates.unwrapped or self._images
        self.n_atoms = self._dump.n_atoms
        self.columns = {"id": self._dump.ids, **self._statics(self._dump.first)}
        if "element" in names:
            self.columns["element"] = self._dump.text("element").astype(object)

    def _check(self, trajectory: Trajectory) -> None:
        names, units = self._dump.columns, self._dump.units
        if units is not None and units != trajectory.units:
            raise InputError(
                f"{self.path}: the dump says that its units are {units}, but trajectory.units is {trajectory.units}; "
                f"correct that key"
            )
        if "type" not in names and "element" not in names:
            raise InputError(
                f"{self.path}: there is neither a column type nor a column element among {' '.join(names)}; add one to "
                f"the dump command"
            )

    def _statics(self, frame: Frame) -> dict[str, np.ndarray]:
        columns = {name: self._dump.column(frame, name) for name in self._static}
        for name in ("type", "mol"):
            if name in columns:
                columns[name] = columns[name].astype(np.int64)
        return columns

    def frames(self) -> Iterator[RawFrame]:
        style = self._style
        for frame in self._dump:
            yield RawFrame(
                number=frame.number,
                step=frame.step,
                time_ps=None if frame.time is None else frame.time * style.time_ps,
                position=positions(self._dump, frame, self._coordinates, self._images) * style.length_A,
                cell=frame.box.cell * style.length_A,
                periodic=frame.box.periodic,
                columns=self._statics(frame),
            )

    @property
    def n_cut_off(self) -> int:
        """Frames that were cut off, and left out."""
        return self._dump.n_cut_off

    @property
    def fraction_read(self) -> float:
        return self._dump.raw_position / self._dump.raw_size

    def checksum(self) -> str:
        return self._dump.checksum()

    def close(self) -> None:
        self._dump.close()


class MDAnalysisSource:
    """Any other format as a source of frames, see :class:`DumpSource`; whether it is unwrapped is not known."""

    unwrapped = False
    n_cut_off = 0

    def __init__(
        self, path: FilePath, trajectory: Trajectory, topology: Topology | None, must_name_atoms: bool = True
    ) -> None:
        import MDAnalysis

        from gdyn.trajectory import extxyz  # noqa: F401 registers the format

        self.path = str(path)
        self._trajectory = trajectory
        form = "EXTXYZ" if _suffix(path) in ("xyz", "extxyz") else None
        names_atoms = topology is None and (form or _suffix(path).upper() in MDAnalysis._PARSERS)
        size = {} if topology is None else {"n_atoms": len(topology.id)}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if names_atoms:
                    atoms = MDAnalysis.Universe(
                        self.path, format=form, topology_format=form and "XYZ", to_guess=()
                    ).atoms
                    self._reader = atoms.universe.trajectory
                else:
                    atoms, self._reader = None, MDAnalysis.coordinates.core.reader(self.path, format=form, **size)
        except _UNREADABLE as error:
            raise InputError(self._unreadable(error, topology)) from None
        self.n_atoms = self._reader.n_atoms
        self.kind = self._reader.format if isinstance(self._reader.format, str) else self._reader.format[0]
        self._length_A = UNIT_STYLES[trajectory.units].length_A if self.kind in _RAW_LENGTHS else 1.0
        if topology is not None and len(topology.id) != self.n_atoms:
            raise InputError(
                f"{path}: there are {self.n_atoms} atoms in a frame, but {len(topology.id)} in {topology.path}; "
                f"trajectory.topology must be that of the same simulation"
            )
        self.columns = {"id": np.arange(1, self.n_atoms + 1) if topology is None else topology.id}
        if atoms is not None:
            self._name_atoms(atoms)
        if topology is None and must_name_atoms and len(self.columns) == 1:
            raise InputError(
                f"{path}: this format does not contain the atoms; name the LAMMPS data file of the run "
                f"under trajectory.topology"
            )

    def _name_atoms(self, atoms: Any) -> None:
        """Take elements, or LAMMPS types where numbers stand for them, from the file itself."""
        for attribute in ("elements", "names"):
            names = getattr(atoms, attribute, None)
            if names is None:
                continue
            if hasattr(atoms, "names"):  # which MDAnalysis leaves where it knows no such element
                names = np.where(names == "", atoms.names, names)
            if all(str(name).isdigit() for name in names):
                self.columns["type"] = names.astype(np.int64)
            else:
                self.columns["element"] = names.astype(object)
            return

    def _unreadable(self, error: Exception, topology: Topology | None) -> str:
        reason = " ".join(str(error).split())[:200]
        remedy = "check the file"
        if topology is None:
            remedy += ", and whether its format needs the LAMMPS data file of the run under trajectory.topology"
        return f"{self.path}: cannot be read by MDAnalysis ({reason}); {remedy}"

    def frames(self) -> Iterator[RawFrame]:
        from MDAnalysis.lib.mdamath import triclinic_vectors

        reader = self._reader
        for number in range(len(reader)):
            self._number = number
            where = f"{self.path}, frame {number} (counted from 0)"
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    frame = reader[number]
            except _UNREADABLE as error:
                raise InputError(
                    f"{where}: cannot be read ({' '.join(str(error).split())[:200]}); cut the file before this frame"
                ) from None
            if frame.dimensions is None or not frame.volume > 0:
                raise InputError(
                    f"{where}: there is no periodic box in it; write the "
                    f"trajectory in a format that has one, such as dump custom, xtc or extxyz"
                )
            position = frame.positions.astype(np.float64)
            if not np.isfinite(position).all():
                atom = self.columns["id"][np.argwhere(~np.isfinite(position))[0, 0]]
                raise InputError(
                    f"{where}: the position of atom id {atom} is not a number; "
                    f"the simulation has failed there; cut the file before this frame"
                )
            yield RawFrame(
                number=number,
                step=self._step(frame, number),
                time_ps=None,
                position=position * self._length_A,
                cell=triclinic_vectors(frame.dimensions, np.float64) * self._length_A,
                periodic=frame.data.get("periodic", (True, True, True)),
                columns={},
            )

    def _step(self, frame: Any, number: int) -> int:
        """The LAMMPS time step, by the steps or times of the file; without them, frames are an interval apart."""
        header = getattr(getattr(self._reader, "_file", None), "header", None)
        if isinstance(header, dict) and header.get("nsavc"):
            return int(header["istart"]) + number * int(header["nsavc"])
        if "step" in frame.data:
            return int(frame.data["step"])
        if "time" in frame.data:
            return round(float(frame.data["time"]) / self._trajectory.timestep_ps)
        if number == 0:
            LOG.warning(
                "%s: neither steps nor times are in this file; its frames are taken to be "
                "trajectory.frame_interval_ps apart, without a gap",
                self.path,
            )
        return number * self._trajectory.steps_per_frame

    @property
    def n_frames(self) -> int:
        return len(self._reader)

    @property
    def fraction_read(self) -> float:
        return self._number / len(self._reader)

    def checksum(self) -> str:
        return file_checksum(self.path)

    def close(self) -> None:
        self._reader.close()


Source = DumpSource | MDAnalysisSource


def open_source(
    path: FilePath, trajectory: Trajectory, topology: Topology | None, between: tuple[int, int] | None = None
) -> Source:
    """Open a file of frames.

    Parameters
    ----------
    path : a LAMMPS dump, or a file in any format of MDAnalysis, known by its suffix.
    trajectory : that section of a system.
    topology : Topology or None; formats that do not name their atoms need it.
    between : of a plain dump, the bytes to which to keep; see :class:`gdyn.trajectory.dump.Dump`.

    Raises
    ------
    InputError : the file cannot be read.
    """
    try:
        return DumpSource(path, trajectory, between)
    except NotADumpError:
        if between or _suffix(path) in ("", "lammpstrj", "lammpsdump", "dump", "lammpstraj"):
            raise
    return MDAnalysisSource(path, trajectory, topology)


def _suffix(path: FilePath) -> str:
    name = re.sub(r"\.(gz|bz2|zst)$", "", Path(path).name.lower())
    return name.rpartition(".")[2] if "." in name else ""
