"""Whether any of several differences is further from zero than chance makes them."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from gdyn.statistics.interval import HALF, Interval, student
from gdyn.statistics.uncertainty import Estimate

LEVEL, POWER = 0.05, 0.9  # chance to reject what is true, and to see what is wrong
TOLERANCE, ROUNDING = 1e-7, 1e-9  # absolute, of differences; relative, of ratios
FLIPS, FLIP_SEED = 2000, 12
FEWEST = 6  # blocks


@dataclass
class Judged:
    """What differences from zero mean.

    apart : the differences with 95 % intervals, each by itself
    chance : that the largest, in units of its error, is at least as large by chance
    worst : where it is
    detectable : differences that would be significant in 90 % of cases
    """

    apart: Interval
    chance: float
    worst: tuple[int, ...]
    detectable: Float[np.ndarray, "..."]


def judge(apart: Estimate[np.ndarray], use: Bool[np.ndarray, "..."] | None = None) -> Judged:
    """Whether any of several differences is further from zero than chance makes them, at a joint level of 95 %.

    The signs of what single blocks contribute are turned at random; as a block is as likely to deviate one way as the
    other where the difference is zero, the largest of all differences in units of its error has the same distribution
    then, however the differences depend on each other.

    Parameters
    ----------
    apart : Estimate of the differences.
    use : of the same shape, which of them are looked at; by default all.
    """
    whole, k = apart.whole, len(apart.samples)
    use = np.ones(whole.shape, bool) if use is None else use
    known = [x for x in apart.samples if x is not None]
    if not use.any() or len(known) < FEWEST:
        return Judged(Interval.unknown(whole.shape), np.nan, (0,) * whole.ndim, np.full(whole.shape, np.inf))
    values, n = np.array(known), len(known)
    # Each block's own value: where it counts for a half, the estimate moves away from it.
    left_out = 1.0 - HALF
    own = whole + (k - left_out) / left_out * (values.mean(0) - values)
    error = own.std(0, ddof=1) / np.sqrt(n) + TOLERANCE
    signs = np.random.default_rng(FLIP_SEED).choice([-1.0, 1.0], (FLIPS, n))
    mean = signs @ own[:, use] / n
    square = np.square(own[:, use]).mean(0)
    errors = np.sqrt(np.maximum(square - np.square(mean), 0.0) / (n - 1)) + TOLERANCE
    ratio = np.where(use, np.abs(whole) / error, -1.0)
    by_chance = (np.abs(mean) / errors).max(1)
    needed = np.quantile(by_chance, 1.0 - LEVEL) + student(POWER, n - 1)
    half = student(0.975, n - 1) * error
    return Judged(
        apart=Interval(whole, whole - half, whole + half),
        chance=float((by_chance >= ratio.max() * (1.0 - ROUNDING)).mean()),
        worst=tuple(int(place) for place in np.unravel_index(ratio.argmax(), whole.shape)),
        detectable=needed * error,
    )
