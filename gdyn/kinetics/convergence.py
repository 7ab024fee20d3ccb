"""Whether timescales still rise with the lag time: then they are lower bounds."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from gdyn.kinetics.koopman import koopman_of, timescales
from gdyn.result import Number, Result, Share
from gdyn.rounding import brief_time
from gdyn.statistics import Covariances
from gdyn.statistics.interval import Interval
from gdyn.statistics.lag import longest_segment
from gdyn.statistics.uncertainty import Blocks, Estimate
from gdyn.store import States

KNOWN = 1.5  # factor to which a ratio of timescales has to be known to say something
RISE, SMALL_RISE = 1.1, 1.25  # factor from which on a timescale rises; up to which it does not, with its whole interval
ABOVE_NOISE = 0.5  # relative error of an eigenvalue, up to which it is one
WELL = 0.75  # of the logarithm of that, within which a ratio has to be known to show it
LAGS = 10


class Rise(Result):
    """How the timescale of a process changes from the lag time of the model to the longest that says something."""

    outcome: Literal["converged", "rising", "cannot say"]
    change: Share
    """Timescale at the longest lag time, divided by that at the lag time."""
    longest_lag_ps: Number
    lower_bound_ps: Number
    """Of the timescale: the lower end of its interval at the longest lag time, where it rises; else at the lag time."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.outcome == "rising":
            return (
                f"not converged: still rising by a factor of {self.change} at {self.longest_lag_ps:g} ps, the longest "
                f"lag time that fits; at least {brief_time(self.lower_bound_ps)}"
            )
        if np.isnan(self.longest_lag_ps):
            return "cannot say whether it is converged: no longer lag time says anything"
        said = "converged" if self.outcome == "converged" else "cannot say whether it is converged"
        return f"{said}: it changes by a factor of {self.change} up to {self.longest_lag_ps:g} ps"


class Convergence(Result):
    """Whether the timescales have converged with the lag time."""

    processes: list[Rise]
    """One for each process that is resolved at the lag time, slowest first."""
    next_lag_ps: Number
    """The lag time to try next; NaN where none is needed."""

    @property
    def outcome(self) -> Literal["converged", "rising", "cannot say"]:
        """Of the slowest process; what is not resolved has none."""
        return self.processes[0].outcome if self.processes else "cannot say"


def convergence_of(states: States, blocks: Blocks, n_resolved: int) -> Convergence:
    """Compare the timescales at the lag time with those at longer ones, paired within blocks.

    Parameters
    ----------
    states : States
    blocks : Blocks
    n_resolved : the number of processes, from the slowest on, to look at.
    """
    lag, frame_ps = states.lag_frames, states.frame_interval_ps
    longest = (longest_segment(states.segment) if blocks.method == "targets" else blocks.frames) // 2
    lags = np.unique(np.geomspace(lag, max(lag, longest), LAGS).astype(int))
    if n_resolved == 0 or len(lags) < 2:
        nothing = [_judge(False, Interval.unknown(), np.nan, np.nan)] * n_resolved
        return Convergence(processes=nothing, next_lag_ps=np.nan)

    def logarithms(covariances: list[Covariances]) -> np.ndarray:
        times = []
        for n, one in zip(lags, covariances, strict=True):
            try:
                slow = timescales(koopman_of(one), n * frame_ps)[:n_resolved]
                times.append(np.log(np.where(slow > 0, slow, np.nan)))
            except np.linalg.LinAlgError:
                times.append(np.full(n_resolved, np.nan))
        return np.array(times)

    logs = Estimate.of(lambda p, s: [Covariances.of(p, s, int(n)) for n in lags], states, blocks).map(logarithms)
    times, ratios = logs.interval(), logs.map(lambda x: x - x[0]).interval()
    # Far beyond a timescale its eigenvalue is noise of some size, and -lag / ln of that rises with the lag.
    with np.errstate(invalid="ignore", over="ignore"):
        eigenvalue_error = (lags * frame_ps)[:, None] / np.exp(times.value) * times.half  # relative
        says = (ratios.half < np.log(KNOWN)) & (eigenvalue_error < ABOVE_NOISE)
    processes, following = [], []
    for process in range(n_resolved):
        known = np.flatnonzero(says[1:, process]) + 1
        if not len(known):
            processes.append(_judge(False, Interval.unknown(), np.nan, float(np.exp(times.low[0, process]))))
            continue
        last = int(known[-1])
        change = ratios[last, process].map(np.exp)
        rising = bool(change.low > 1.0 and change.value > RISE)
        well = known[ratios.half[known, process] < WELL * np.log(SMALL_RISE)]
        if not rising and len(well):  # nothing rises; how sure that is shows at a lag time that says more
            last = int(well[-1])
            change = ratios[last, process].map(np.exp)
        bound = times.low[last if rising else 0, process]
        processes.append(_judge(rising, change, lags[last] * frame_ps, float(np.exp(bound))))
        if rising:
            after = logs.map(_rise_to(last, process)).interval()[:last]
            flat = [n for n, up in zip(lags[:last], after, strict=True) if up.low <= 0 or up.value < np.log(RISE)]
            following.append((flat[0] if flat else 2 * lags[last]) * frame_ps)
    return Convergence(processes=processes, next_lag_ps=max(following, default=np.nan))


def _rise_to(last: int, process: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda logs: logs[last, process] - logs[:, process]


def _judge(rising: bool, change: Interval, longest_lag_ps: float, bound_ps: float) -> Rise:
    outcome: Any = "rising" if rising else ("converged" if change.high < SMALL_RISE else "cannot say")
    return Rise(outcome=outcome, change=change, longest_lag_ps=longest_lag_ps, lower_bound_ps=bound_ps)
