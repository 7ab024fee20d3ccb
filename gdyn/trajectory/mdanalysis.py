"""A drop-in reader of LAMMPS dumps for MDAnalysis; it needs nothing else of gdyn.

``import gdyn.trajectory.mdanalysis`` and every ``MDAnalysis.Universe`` of the format ``LAMMPSDUMP``
(files ``*.lammpstrj``, ``*.lammpsdump``, ``*.dump`` with ``format="LAMMPSDUMP"``) is read by it, with
the same keywords as before. Beyond speed it differs where MDAnalysis 2.11 is wrong or stops: scaled
coordinates in a box that does not begin at 0 together with image flags, image flags in a triclinic
box, general triclinic boxes, ``ITEM: UNITS`` and ``ITEM: TIME``, zstd, a last frame that is cut off.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from MDAnalysis.coordinates.base import ReaderBase
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.core import topologyattrs
from MDAnalysis.core.topology import Topology
from MDAnalysis.lib.mdamath import triclinic_box, triclinic_vectors
from MDAnalysis.lib.util import store_init_arguments
from MDAnalysis.topology.base import TopologyReaderBase, squash_by

from gdyn.files import FilePath
from gdyn.trajectory.columns import COORDINATES, IMAGES, STATIC
from gdyn.trajectory.dump import Dump, positions
from gdyn.trajectory.frames import Frame

_CONVENTIONS = {
    "unscaled": COORDINATES[2],
    "scaled": COORDINATES[3],
    "unwrapped": COORDINATES[0],
    "scaled_unwrapped": COORDINATES[1],
}
_VELOCITIES, _FORCES = ("vx", "vy", "vz"), ("fx", "fy", "fz")
_TEXT = ("element", "typelabel")
_FORMATS = ["LAMMPSDUMP", "LAMMPSTRJ"]


class LAMMPSDumpReader(ReaderBase):
    """Reads LAMMPS text dumps, like ``MDAnalysis.coordinates.LAMMPS.DumpReader``, but correctly and fast.

    Positions are relative to the origin of the box, and turned with it where a general triclinic box
    does not lie along the axes as MDAnalysis has it.

    Parameters
    ----------
    filename : str
    lammps_coordinate_convention : ``auto`` (the first found of the others), ``unscaled``, ``scaled``,
        ``unwrapped`` or ``scaled_unwrapped``.
    unwrap_images : bool, whether to add image flags times lattice vectors.
    additional_columns : list of number columns to put into ``ts.data``, or True for all of them.

    Raises
    ------
    ValueError : a keyword does not fit the file.
    gdyn.errors.InputError : the file is damaged; one sentence with file, frame and line.
    """

    format = _FORMATS
    units: ClassVar = {"time": "ps", "length": "Angstrom"}

    @store_init_arguments
    def __init__(
        self,
        filename: FilePath,
        lammps_coordinate_convention: str = "auto",
        unwrap_images: bool = False,
        additional_columns: Sequence[str] | bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(filename, **kwargs)
        self.lammps_coordinate_convention = lammps_coordinate_convention
        self._unwrap = unwrap_images
        self._dump = Dump(self.filename, lambda columns, path: self._choose_columns(columns, additional_columns))
        self.n_atoms = self._dump.n_atoms
        self.ts = self._Timestep(
            self.n_atoms, velocities=self._has_velocities, forces=self._has_forces, **self._ts_kwargs
        )
        self.ts.frame = -1
        self._read_next_timestep()

    def _choose_columns(self, columns: list[str], additional: Sequence[str] | bool | None) -> list[str]:
        """Settle which columns of the dump are read, and what they are."""
        fitting = [name for name, c in _CONVENTIONS.items() if set(columns).issuperset(c.names)]
        if self.lammps_coordinate_convention == "auto":
            if not fitting:
                raise ValueError(f"{self.filename}: no coordinates among the columns {' '.join(columns)}")
            self.lammps_coordinate_convention = fitting[0]
        if self.lammps_coordinate_convention not in fitting:
            raise ValueError(
                f"{self.filename}: lammps_coordinate_convention={self.lammps_coordinate_convention!r} does not fit the "
                f"columns {' '.join(columns)}; choose among {', '.join(fitting) or 'none'}"
            )
        if self._unwrap and not set(columns).issuperset(IMAGES):
            raise ValueError(f"{self.filename}: unwrap_images needs the columns ix iy iz")
        self._coordinates = _CONVENTIONS[self.lammps_coordinate_convention]
        self._has_velocities = set(columns).issuperset(_VELOCITIES)
        self._has_forces = set(columns).issuperset(_FORCES)
        parsed = {"id", *_VELOCITIES, *_FORCES, *(name for c in COORDINATES for name in c.names)}
        if isinstance(additional, bool):
            additional = [name for name in columns if name not in parsed and name not in _TEXT] if additional else []
        self._additional = [name for name in additional or () if name in columns]
        wanted = [*self._coordinates.names, *(IMAGES if self._unwrap else ())]
        wanted += [*(_VELOCITIES if self._has_velocities else ()), *(_FORCES if self._has_forces else ())]
        return [*wanted, *(name for name in self._additional if name not in wanted)]

    @property
    def n_frames(self) -> int:
        return self._dump.n_frames

    def _reopen(self) -> None:
        if self._dump.closed:
            self._dump = Dump(self.filename, self._dump.wanted)
        self._dump.rewind()
        self.ts.frame = -1

    def close(self) -> None:
        if hasattr(self, "_dump"):
            self._dump.close()

    def _read_frame(self, number: int) -> Timestep:
        if self._dump.closed:
            self._reopen()
        frame = self._dump.frame(number)
        self.ts.frame = number
        return self._fill(frame)

    def _read_next_timestep(self, ts: Timestep | None = None) -> Timestep:
        try:
            frame = next(self._dump)
        except StopIteration:
            raise EOFError from None
        self.ts.frame += 1
        return self._fill(frame)

    def _fill(self, frame: Frame) -> Timestep:
        ts, cell = self.ts, frame.box.cell
        ts.dimensions = triclinic_box(*cell)
        turn = None
        if cell[0, 1] or cell[0, 2] or cell[1, 2]:
            turn = np.linalg.solve(cell, triclinic_vectors(ts.dimensions, np.float64))
        x = positions(self._dump, frame, self._coordinates, self._unwrap)
        ts.positions = x if turn is None else x @ turn
        for present, names, attribute in (
            (self._has_velocities, _VELOCITIES, "velocities"),
            (self._has_forces, _FORCES, "forces"),
        ):
            if present:
                vectors = np.stack([self._dump.column(frame, name) for name in names], 1)
                setattr(ts, attribute, vectors if turn is None else vectors @ turn)
        ts.data["step"] = frame.step
        ts.data["time"] = frame.step * ts.dt if frame.time is None else frame.time
        for name in self._additional:
            ts.data[name] = self._dump.column(frame, name).copy()
        return ts


class LAMMPSDumpParser(TopologyReaderBase):
    """The topology of a dump: ids, types, and elements, masses, charges and molecules where it has them."""

    format = _FORMATS

    def parse(self, **kwargs: Any) -> Topology:
        with Dump(self.filename, lambda columns, path: [name for name in STATIC if name in columns]) as dump:
            numbers = {name: dump.column(dump.first, name) for name in dump.wanted}
            ids = dump.ids
            elements = dump.text("element") if "element" in dump.columns else None
        n = len(ids)
        residue, residues = squash_by(numbers.get("mol", np.ones(n)).astype(np.int64))[:2]
        attributes = [
            topologyattrs.Atomids(ids),
            topologyattrs.Atomtypes(numbers.get("type", np.ones(n)).astype(np.int64).astype(str).astype(object)),
            topologyattrs.Resids(residues),
            topologyattrs.Resnums(residues.copy()),
            topologyattrs.Segids(np.array(["SYSTEM"], dtype=object)),
        ]
        if elements is not None:
            attributes.append(topologyattrs.Elements(elements.astype(object)))
        if "mass" in numbers:
            attributes.append(topologyattrs.Masses(numbers["mass"]))
        if "q" in numbers:
            attributes.append(topologyattrs.Charges(numbers["q"]))
        return Topology(n, len(residues), 1, attrs=attributes, atom_resindex=residue)
