"""States as columns of a LAMMPS dump, to colour atoms by in OVITO or VMD."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from gdyn.files import FilePath, whole_file
from gdyn.store import States
from gdyn.store.walk import Trajectories, each_frame


def export_dump(states: States, trajectories: Trajectories, dump: FilePath) -> None:
    """Write the targets of all test frames as a LAMMPS text dump.

    Columns are ``id type element xu yu zu state p0 p1 ...``, lengths in A from the corner of the box; ``state`` is the
    number of the most probable state, from 1 as everywhere else, and ``p0`` the probability of state 1. Shares of
    ``state`` are populations by most probable states (``populations_assigned`` in the summary). Frames of several
    trajectories follow each other, so steps may begin again.

    Parameters
    ----------
    states : of the test frames.
    trajectories : those of the system, in the order of their numbers.
    dump : path to write.
    """
    names = " ".join(f"p{i}" for i in range(states.probabilities.shape[-1]))
    with whole_file(dump) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for now in each_frame(states, trajectories, what="export"):
            atoms, known = now.targets, now.store.atoms
            file.write(f"ITEM: TIMESTEP\n{now.store.step[now.at]}\nITEM: NUMBER OF ATOMS\n{len(atoms)}\n")
            file.write(_box(now.cell, now.store.periodic))
            file.write(f"ITEM: ATOMS id type element xu yu zu state {names}\n")
            positions, probabilities = now.positions[atoms], states.probabilities[now.frame, now.sets]
            for i, (x, y, z), p in zip(atoms, positions, probabilities, strict=True):
                values = " ".join(f"{value:.4f}" for value in p)
                file.write(
                    f"{known.id[i]} {known.type[i]} {known.element[i]} "
                    f"{x:.4f} {y:.4f} {z:.4f} {p.argmax() + 1} {values}\n"
                )


def _box(cell: Float[np.ndarray, "3 3"], periodic: Sequence[bool]) -> str:
    """The box of a frame; a tilted one as its three lattice vectors, which LAMMPS calls general triclinic."""
    sides = " ".join("pp" if p else "ff" for p in periodic)
    if np.allclose(cell, np.diag(np.diag(cell))):
        return f"ITEM: BOX BOUNDS {sides}\n" + "".join(f"0.0 {edge:.8f}\n" for edge in np.diag(cell))
    rows = "".join(" ".join(f"{x:.8f}" for x in vector) + " 0.0\n" for vector in cell)
    return f"ITEM: BOX BOUNDS abc origin {sides}\n{rows}"
