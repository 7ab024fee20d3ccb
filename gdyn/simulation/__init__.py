"""Running LAMMPS, so that what was simulated is kept whatever happens."""
