"""The extended XYZ format for MDAnalysis, whose own XYZ reader has no box."""

import re

import numpy as np
from MDAnalysis.coordinates.timestep import Timestep
from MDAnalysis.coordinates.XYZ import XYZReader
from MDAnalysis.lib.mdamath import triclinic_box, triclinic_vectors


class ExtendedXYZReader(XYZReader):
    """Reads XYZ files with ``Lattice="..."`` in the comment line, as ``dump extxyz`` of LAMMPS writes them.

    ``Timestep`` and ``pbc`` are put into ``ts.data`` as ``step`` and ``periodic``. Positions are turned
    with the lattice where it does not lie along the axes as MDAnalysis has it.
    """

    format = "EXTXYZ"

    def _read_next_timestep(self, ts: Timestep | None = None) -> Timestep:
        ts = self.ts if ts is None else ts
        count = self.xyzfile.readline()
        if not count.strip():
            raise EOFError
        if int(count) != self.n_atoms:
            raise ValueError(f"there are {int(count)} atoms, but {self.n_atoms} in the first frame")
        comment = self.xyzfile.readline()
        rows = [self.xyzfile.readline().split() for _ in range(self.n_atoms)]
        if not rows[-1]:
            raise EOFError
        words = [row[0] for row in rows]
        if words != self.__dict__.setdefault("_words", words):
            raise ValueError("the order of the atoms changes; write the dump with dump_modify sort id")
        position = np.array([row[1:4] for row in rows], dtype=np.float64)
        fields = dict(re.findall(r'(\w+)=(?:"([^"]*)"|\S+)', comment))
        ts.dimensions = None
        if fields.get("Lattice"):
            cell = np.array(fields["Lattice"].split(), dtype=np.float64).reshape(3, 3)
            ts.dimensions = triclinic_box(*cell)
            position = position @ np.linalg.solve(cell, triclinic_vectors(ts.dimensions, np.float64))
        step = re.search(r"[Tt]imestep=(\d+)", comment)
        if step:
            ts.data["step"] = int(step[1])
        if fields.get("pbc"):
            ts.data["periodic"] = tuple(flag in ("T", "1", "True", "true") for flag in fields["pbc"].split())
        ts.positions = position
        ts.frame += 1
        return ts
