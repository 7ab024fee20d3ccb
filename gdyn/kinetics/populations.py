"""How much each state holds, by probabilities and by most probable states."""

import numpy as np
from jaxtyping import Float

from gdyn.statistics import present_rows
from gdyn.statistics.shapes import PerState, Probabilities
from gdyn.statistics.uncertainty import Blocks, Estimate
from gdyn.store import States


def mean_population(probabilities: Probabilities) -> PerState:
    """Mean of the probabilities over all targets and frames in which there are any: (states,)."""
    return share_of_sums(population_sums(probabilities))


def populations_of(states: States, blocks: Blocks) -> Estimate[PerState]:
    """Estimate of the mean probabilities: (states,)."""
    return Estimate.of(lambda p, s: population_sums(p), states, blocks).map(share_of_sums)


def population_sums(probabilities: Probabilities) -> Float[np.ndarray, " states+1"]:
    """Sums of the probabilities of each state over targets and frames, and how many there are: (states + 1,)."""
    rows = present_rows(probabilities)
    return np.append(rows.sum(0, dtype=np.float64), float(len(rows)))


def share_of_sums(sums: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n-1"]:
    """All but the last of some sums, each divided by the last; NaN where that is zero."""
    return sums[:-1] / sums[-1] if sums[-1] else np.full(len(sums) - 1, np.nan)


def assign(probabilities: Probabilities) -> Probabilities:
    """The same with every target in its most probable state for certain."""
    hard = np.eye(probabilities.shape[-1], dtype=np.float32)[np.nan_to_num(probabilities).argmax(-1)]
    hard[np.isnan(probabilities[..., 0])] = np.nan
    return hard
