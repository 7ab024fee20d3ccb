"""95 % intervals from stretches of time."""

from itertools import pairwise

import numpy as np
from scipy.stats import t as student


def time_chunks(n_frames, n_chunks):
    """Divide frames into ``n_chunks`` stretches of equal length: a list of slices.

    Frames are those of one split, trajectory after trajectory; estimators see the segments and pair
    no frames across them, so a chunk may reach from one trajectory into the next.
    """
    edges = np.linspace(0, n_frames, n_chunks + 1).round().astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]


def interval(value, samples, logarithmic=False):
    """95 % interval of an estimate, from the same estimate on independent chunks.

    ``value -+ t(0.975, k - 1) s / sqrt(k)`` with the sample standard deviation ``s`` of the ``k``
    chunks (equation 13 of docs/theory.md); for positive quantities of wide spread on the logarithm.

    Parameters
    ----------
    value : array, the estimate from all data.
    samples : (k, ...) array, the estimates from the chunks.
    logarithmic : whether to take the interval of the logarithm.

    Returns
    -------
    low, high : arrays like ``value``; not a number where any chunk has no estimate.
    """
    value, samples = np.asarray(value, np.float64), np.asarray(samples, np.float64)
    k = len(samples)
    with np.errstate(invalid="ignore", divide="ignore"):
        if logarithmic:
            value, samples = np.log(value), np.log(samples)
        half = student.ppf(0.975, k - 1) * samples.std(axis=0, ddof=1) / np.sqrt(k)
        low, high = value - half, value + half
        if logarithmic:
            low, high = np.exp(low), np.exp(high)
    bad = ~np.isfinite(low) | ~np.isfinite(high)
    return np.where(bad, np.nan, low), np.where(bad, np.nan, high)


def with_interval(estimate, states, n_chunks, logarithmic=False):
    """Apply ``estimate`` to all frames and to each chunk.

    Parameters
    ----------
    estimate : function of (probabilities, segment) that returns an array; it may raise
        :class:`~numpy.linalg.LinAlgError` where a chunk does not determine it.
    states : States
    n_chunks : int

    Returns
    -------
    dict with ``value``, ``low`` and ``high``
    """
    value = np.asarray(estimate(states.probabilities, states.segment))
    samples = []
    begin = int(states.present.any(1).argmax())  # before this, a selection had not been made
    probabilities, segment = states.probabilities[begin:], states.segment[begin:]
    for chunk in time_chunks(len(segment), n_chunks):
        try:
            samples.append(np.asarray(estimate(probabilities[chunk], segment[chunk])))
        except np.linalg.LinAlgError:
            samples.append(np.full(value.shape, np.nan))
    low, high = interval(value, samples, logarithmic)
    return {"value": value, "low": low, "high": high}
