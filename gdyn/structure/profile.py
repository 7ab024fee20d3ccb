"""Where along a lattice vector each state is found."""

import numpy as np
import pandas as pd

from gdyn.statistics.interval import PROBABILITY, Interval, jackknife_weight
from gdyn.store.walk import each_trajectory, heights_of
from gdyn.trajectory.targets import AXES

SAME_HEIGHT = 0.02


class Profile:
    """How often each state is found along one lattice vector, in fractions of it.

    ``height_A`` is the mean height of the cells of all trajectories; ``flags`` say where they differ.
    """

    def __init__(self, states, trajectories, structure, n_blocks):
        self.axis = AXES.index(structure.profile)
        parts = each_trajectory(states, trajectories)
        heights = [heights_of(part.store.cells())[part.stored, self.axis] for part in parts]
        self.height_A = float(np.concatenate(heights).mean())
        means, self.flags = [float(part.mean()) for part in heights], []
        if np.ptp(means) > SAME_HEIGHT * self.height_A:
            self.flags.append(
                f"the cells of the trajectories are from {min(means):.1f} to {max(means):.1f} A high along "
                f"{structure.profile}: places along it are fractions of the cell, times their mean"
            )
        self.bins = max(1, round(self.height_A / structure.profile_bin_A))
        self.counts = np.zeros((n_blocks, states.probabilities.shape[-1], self.bins))

    def add(self, positions, cell, probabilities, block):
        along = (positions @ np.linalg.inv(cell)[:, self.axis]) % 1.0
        np.add.at(
            self.counts, (block, slice(None), np.minimum((along * self.bins).astype(int), self.bins - 1)), probabilities
        )

    def table(self):
        """Of each state along the axis, in A of the mean cell: its probability there, and its share in all samples."""
        whole = self.counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = [c / c.sum(0) for c in (whole, *(whole - block for block in self.counts[:-1]))]
            of_all = whole / whole.sum()
        found = Interval.of(share[0], share[1:], within=PROBABILITY, weight=jackknife_weight(len(share) - 1))
        place = (np.arange(self.bins) + 0.5) / self.bins * self.height_A
        return pd.concat(
            pd.DataFrame(
                {"state": s + 1, "axis": AXES[self.axis], "place_A": place, "probability": found.value[s]}
                | {"low": found.low[s], "high": found.high[s], "share": of_all[s]}
            )
            for s in range(len(whole))
        )
