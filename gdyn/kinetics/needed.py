"""How long a trajectory would have to be for its numbers to be known well."""

import numpy as np
import scipy

from gdyn.kinetics.rates import NO_DECAY
from gdyn.result import Number, Result
from gdyn.statistics.interval import Interval, student
from gdyn.statistics.shapes import Matrix, PerProcess, PerState
from gdyn.statistics.uncertainty import MANY_BLOCKS

SURELY = 0.99  # level at which blocks differ by more than the model expects


class Needed(Result):
    """How long the trajectory would have to be for a number to be known so well, with as many targets."""

    to_10_percent_ps: Number
    """For a 95 % interval of -+ 10 %."""
    to_5_percent_ps: Number


def needed(number: Interval, expected: float, blocks: int, frames_ps: float, whole_ps: float) -> Needed:
    """The lengths at which an interval is narrow enough, as its width falls with the square root of the length.

    The variance that the model expects is known much better than that between a few blocks; it is taken unless the
    blocks differ by clearly more, as where targets move together.

    Parameters
    ----------
    number : a positive one, with its interval.
    expected : variance of its logarithm times the length of the trajectory, ps; NaN where it is not known.
    blocks : how many the interval is from.
    frames_ps, whole_ps : lengths of the frames that it is from, and of the trajectory that they are part of.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        seen = np.square(0.5 * np.log(number.high / number.low) / student(0.975, blocks - 1)) * frames_ps
    most = expected * scipy.special.chdtri(blocks - 1, 1.0 - SURELY) / (blocks - 1)
    variance = expected if seen <= most else seen
    longer = whole_ps / frames_ps
    lengths = variance * np.square(100.0 * student(0.975, MANY_BLOCKS - 1) / np.array([10.0, 5.0])) * longer
    return Needed(to_10_percent_ps=lengths[0], to_5_percent_ps=lengths[1])


def variance_of_populations(rates: Matrix, populations: PerState, targets: float) -> PerState:
    """Variance of the logarithms of mean populations times the length of the trajectory: (states,), ps.

    ``2 / (N p_i^2) int_0^inf (p_i [exp(t L)]_ii - p_i^2) dt`` for ``N`` independent targets with rates ``L``.
    """
    p = populations
    if not np.isfinite(rates).all() or not (p > 0).all():
        return np.full(len(p), np.nan)
    # The integral of exp(tL) - 1 p is the inverse of 1 p - L, less 1 p.
    stationary = np.broadcast_to(p / p.sum(), rates.shape)
    try:
        integral = np.linalg.inv(stationary - rates) - stationary
    except np.linalg.LinAlgError:
        return np.full(len(p), np.nan)
    return np.where(np.diag(integral) > 0, 2.0 * np.diag(integral) / (targets * p), np.nan)


def variance_of_timescales(rates: Matrix, populations: PerState, targets: float, lag_ps: float) -> PerProcess:
    """Variance of the logarithms of the timescales times the length of the trajectory: (states - 1,), ps.

    Transitions from a state to another are independent events, ``N T p_i L_ij`` of them in a time ``T``, and so the
    rates have the variances ``L_ij / (N T p_i)``; then it is how the eigenvalues depend on them. What a lag time adds
    that is a part ``x`` of the timescale is as for an exponential autocorrelation, a factor
    ``(exp(2 x) - 1 - 2 x) / (2 x^2)`` (Bartlett, J. R. Stat. Soc. Suppl. 8, 27, 1946).
    """
    n, p = len(rates), populations
    unknown = np.full(n - 1, np.nan)
    if not np.isfinite(rates).all() or not (p > 0).all():
        return unknown
    values, right = np.linalg.eig(rates)
    if np.abs(values.imag).max() > NO_DECAY or np.linalg.cond(right) > 1e9:
        return unknown
    left = np.linalg.inv(right)
    order = np.argsort(-values.real)[1:]
    of_rates = np.where(~np.eye(n, dtype=bool), rates, 0.0) / (targets * p[:, None])

    def of_process(k: int) -> float:
        slope = np.real(left[k][:, None] * (right[:, k][None, :] - right[:, k][:, None]))
        x = -values[k].real * lag_ps
        with np.errstate(over="ignore"):
            lagged = (np.expm1(2.0 * x) - 2.0 * x) / (2.0 * x * x)
        return float((of_rates * np.square(slope)).sum() / np.square(values[k].real) * lagged)

    decay = -values[order].real
    return np.array([of_process(k) if rate > NO_DECAY else np.nan for k, rate in zip(order, decay, strict=True)])
