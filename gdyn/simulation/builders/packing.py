"""Placing molecules in a box without overlaps, by packmol."""

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from gdyn.errors import InputError
from gdyn.simulation.builders.molecules import Molecule
from gdyn.simulation.lammps import executable

AVOGADRO_PER_A3 = 0.602214076  # g/mol in an A^3 at 1 g/cm^3
TOLERANCE_A = 2.0


def edge_of(mass: float, density_g_cm3: float) -> float:
    """Edge of the cube in which a mass (g/mol) has a density, A."""
    return (mass / (AVOGADRO_PER_A3 * density_g_cm3)) ** (1 / 3)


def pack(molecules: Sequence[Molecule], edge_A: float, seed: int) -> list[Molecule]:
    """Place molecules at random in a cube, no two atoms of different ones nearer than 2 A: a list of Molecule.

    Raises
    ------
    InputError : packmol is not installed, or finds no room.
    """
    with tempfile.TemporaryDirectory(prefix="gdyn-") as folder:
        lines = [f"tolerance {TOLERANCE_A}", "filetype xyz", "output packed.xyz", f"seed {seed}"]
        inside = f"inside box 0. 0. 0. {3 * (f' {edge_A - TOLERANCE_A:.3f}')}"
        for i, molecule in enumerate(molecules):
            Path(folder, f"{i}.xyz").write_text(_xyz(molecule.positions))
            lines += [f"structure {i}.xyz", "  number 1", f"  {inside}", "end structure"]
        try:
            program = executable("packmol")
        except InputError:
            raise InputError("packmol cannot be started; install gdyn[builders]") from None
        script = Path(folder, "packmol.inp")  # it reads its input twice, so a pipe will not do
        script.write_text("\n".join(lines) + "\n")
        with open(script) as file:
            run = subprocess.run(program, stdin=file, cwd=folder, capture_output=True, text=True, check=False)
        packed = Path(folder, "packed.xyz")
        if run.returncode != 0 or not packed.exists():
            last = (run.stdout + run.stderr).strip().splitlines()
            raise InputError(
                f"packmol found no room for the molecules in a cube of {edge_A:.1f} A ({last[-1:] or 'no message'}); "
                f"lower simulate.structure.density_g_cm3"
            )
        positions = np.loadtxt(packed, skiprows=2, usecols=(1, 2, 3))
    placed, at = [], 0
    for molecule in molecules:
        n = len(molecule.types)
        placed.append(Molecule(molecule.types, positions[at : at + n], molecule.bonds))
        at += n
    return placed


def _xyz(positions: Float[np.ndarray, "atoms 3"]) -> str:
    rows = "\n".join(f"C {x:.5f} {y:.5f} {z:.5f}" for x, y, z in positions)
    return f"{len(positions)}\n\n{rows}\n"
