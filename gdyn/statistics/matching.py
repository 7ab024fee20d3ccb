"""Which state of one model corresponds to which state of another, and how far they agree."""

import numpy as np
import scipy
from jaxtyping import Float, Int


def match_states(
    reference: Float[np.ndarray, "samples states"], other: Float[np.ndarray, "samples states"]
) -> tuple[Int[np.ndarray, " states"], Float[np.ndarray, " states"]]:
    """Match the states of two models by their overlap on the same samples.

    The overlap of two states is ``sum min(p, q) / sum max(p, q)``: 1 where they are equal, 0 where
    they never occur together. Unlike the share of equal labels it is not flattered by one state
    that holds nearly all samples.

    Parameters
    ----------
    reference, other : (samples, states) probabilities

    Two states that are both empty are the same.

    Returns
    -------
    order : (states,) state ``order[i]`` of ``other`` is state ``i`` of ``reference``.
    overlap : (states,) of each pair of matched states, between 0 and 1.
    """
    smaller = np.minimum(reference[:, :, None], other[:, None, :]).sum(0, dtype=np.float64)
    both = reference.sum(0, dtype=np.float64)[:, None] + other.sum(0, dtype=np.float64)
    greater = both - smaller
    overlap = np.divide(smaller, greater, out=np.ones_like(smaller), where=greater > 0)
    order = scipy.optimize.linear_sum_assignment(-overlap)[1]
    return order, overlap[np.arange(len(order)), order]
