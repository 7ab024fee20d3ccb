"""Where along a lattice vector each state is found."""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gdyn.config import Structure
from gdyn.statistics.interval import HALF, PROBABILITY, Interval, jackknife_weight
from gdyn.store import States
from gdyn.store.walk import Trajectories, each_trajectory, heights_of
from gdyn.trajectory.targets import AXES

SAME_HEIGHT = 0.02


class Profile:
    """How often each state is found along one lattice vector, in fractions of it.

    ``height_A`` is the mean height of the cells of all trajectories; ``flags`` say where they differ.
    """

    def __init__(self, states: States, trajectories: Trajectories, structure: Structure, n_blocks: int) -> None:
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

    def add(
        self,
        positions: Float[np.ndarray, "targets 3"],
        cell: Float[np.ndarray, "3 3"],
        probabilities: Float[np.ndarray, "targets states"],
        block: Int[np.ndarray, " targets"],
    ) -> None:
        """Count some targets.

        Parameters
        ----------
        positions : (targets, 3), A
        cell : (3, 3), A, lattice vectors in rows.
        probabilities : (targets, states)
        block : (targets,) int, that each target belongs to.
        """
        along = (positions @ np.linalg.inv(cell)[:, self.axis]) % 1.0
        place = np.minimum((along * self.bins).astype(int), self.bins - 1)
        np.add.at(self.counts.swapaxes(1, 2), (block, place), probabilities)

    def table(self) -> pd.DataFrame:
        """For each state along the axis, in A of the mean cell: its probability there, and its share of all samples."""
        whole = self.counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = [c / c.sum(0) for c in (whole, *(whole - HALF * block for block in self.counts[:-1]))]
            of_all = whole / whole.sum()
        probability = Interval.of(share[0], share[1:], within=PROBABILITY, weight=jackknife_weight(len(share) - 1))
        place = (np.arange(self.bins) + 0.5) / self.bins * self.height_A
        return pd.concat(
            pd.DataFrame(
                {"state": s + 1, "axis": AXES[self.axis], "place_A": place, "probability": probability.value[s]}
                | {"low": probability.low[s], "high": probability.high[s], "share": of_all[s]}
            )
            for s in range(len(whole))
        )
