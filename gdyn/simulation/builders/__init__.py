"""Starting structures of the systems that are simulated here, as LAMMPS data files."""

from gdyn.simulation.builders.build import build

__all__ = ["build"]
