"""What a run of LAMMPS begins with, and running it, so that what was simulated is kept whatever happens."""
