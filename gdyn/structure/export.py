"""States as columns of a LAMMPS dump, to colour atoms by in OVITO or VMD."""

import numpy as np

from gdyn.files import whole_file
from gdyn.logs import progress
from gdyn.store import States, TrajectoryStore
from gdyn.structure.analysis import centres_of


def export_dump(states, trajectories, dump):
    """Write the targets of all test frames as a LAMMPS text dump.

    Columns are ``id type element xu yu zu state p0 p1 ...``, lengths in A from the corner of the box; ``state`` is the
    number of the most probable state as in the columns, counted from 0. Frames of several trajectories follow each
    other, so steps may begin again.

    Parameters
    ----------
    states : path of the states of the test frames.
    trajectories : paths of the trajectory stores, in the order of their numbers.
    dump : path to write.
    """
    states = States.read(states)
    names = " ".join(f"p{i}" for i in range(states.probabilities.shape[-1]))
    with whole_file(dump) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for number in np.unique(states.trajectory):
            frames = np.flatnonzero(states.trajectory == number)
            with TrajectoryStore.open(trajectories[number]) as store:
                stored = np.searchsorted(store.time_ps, states.time_ps[frames] - 1e-6)
                for frame, at in zip(progress(frames, "export"), stored, strict=True):
                    atoms, owner = centres_of(store, states, frame)
                    file.write(f"ITEM: TIMESTEP\n{store.step[at]}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n")
                    file.write(_box(store.cells(at), store.periodic))
                    file.write(f"ITEM: ATOMS id type element xu yu zu state {names}\n")
                    positions, probabilities = store.positions(at)[atoms], states.probabilities[frame, owner]
                    for i, (x, y, z), p in zip(atoms, positions, probabilities, strict=True):
                        values = " ".join(f"{value:.4f}" for value in p)
                        file.write(
                            f"{store.atoms.id[i]} {store.atoms.type[i]} {store.atoms.element[i]} "
                            f"{x:.4f} {y:.4f} {z:.4f} {p.argmax()} {values}\n"
                        )


def _box(cell, periodic):
    """The box of a frame; a tilted one as its three lattice vectors, which LAMMPS calls general triclinic."""
    sides = " ".join("pp" if p else "ff" for p in periodic)
    if np.allclose(cell, np.diag(np.diag(cell))):
        return f"ITEM: BOX BOUNDS {sides}\n" + "".join(f"0.0 {edge:.8f}\n" for edge in np.diag(cell))
    rows = "".join(" ".join(f"{x:.8f}" for x in vector) + " 0.0\n" for vector in cell)
    return f"ITEM: BOX BOUNDS abc origin {sides}\n{rows}"
