"""How much each state holds, by probabilities and by most probable states."""

import numpy as np

from gdyn.statistics import present_rows
from gdyn.statistics.shapes import PerState, Probabilities


def mean_population(probabilities: Probabilities) -> PerState:
    """Mean of the probabilities over all targets and frames in which there are any: (states,)."""
    rows = present_rows(probabilities)
    return rows.mean(0, dtype=np.float64) if len(rows) else np.full(probabilities.shape[-1], np.nan)


def assign(probabilities: Probabilities) -> Probabilities:
    """The same with every target in its most probable state for certain."""
    hard = np.eye(probabilities.shape[-1], dtype=np.float32)[np.nan_to_num(probabilities).argmax(-1)]
    hard[np.isnan(probabilities[..., 0])] = np.nan
    return hard
