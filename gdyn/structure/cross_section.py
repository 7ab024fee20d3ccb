"""One frame seen from the side: where its atoms are, and in which states its targets."""

import numpy as np
import pandas as pd

from gdyn.config import Structure
from gdyn.store import States
from gdyn.store.walk import Trajectories, heights_of, moment
from gdyn.trajectory.targets import AXES

THICKNESS_A = 12.0  # of the slice that is shown, from the middle of the cell


def cross_section(states: States, trajectories: Trajectories, frame: int, structure: Structure) -> pd.DataFrame:
    """The atoms of a slice through the cell in one frame.

    Parameters
    ----------
    states : States
    trajectories : those of the system, in the order of their numbers.
    frame : index into the states.
    structure : that section of a system; its ``profile`` is the lattice vector that is seen from left to right.

    Returns
    -------
    DataFrame : ``element``, ``along_A`` and ``across_A`` (in the cell, along two lattice vectors), ``target`` and, NaN
        for other atoms, ``p1``, ``p2`` ... the probabilities of the states.
    """
    with moment(states, trajectories, frame) as now:
        cell, atoms = now.cell, now.store.atoms
        fractional = now.positions @ np.linalg.inv(cell)
        fractional -= np.where(now.store.periodic, np.floor(fractional), 0.0)
        centres, owner = now.targets, now.sets
    along = AXES.index(structure.profile)
    across, depth = [axis for axis in range(3) if axis != along]
    heights = heights_of(cell)
    probabilities = np.full((len(atoms), states.probabilities.shape[-1]), np.nan)
    probabilities[centres] = states.probabilities[frame, owner]
    shown = np.abs(fractional[:, depth] - 0.5) * heights[depth] <= 0.5 * THICKNESS_A
    columns = {f"p{s + 1}": p for s, p in enumerate(probabilities.T)}
    table = pd.DataFrame(
        {
            "time_ps": states.time_ps[frame],
            "element": atoms.element,
            "along_A": fractional[:, along] * heights[along],
            "across_A": fractional[:, across] * heights[across],
            "target": np.isin(np.arange(len(atoms)), centres),
        }
        | columns
    )
    return table[shown]
