"""Starting structures for LAMMPS, and runs whose frames are kept whatever interrupts them."""
