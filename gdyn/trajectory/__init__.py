"""From LAMMPS to frames: running it, reading its dumps, choosing target atoms, pairing frames."""
