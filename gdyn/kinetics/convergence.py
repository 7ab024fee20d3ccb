"""Whether timescales still rise with the lag time: then they are lower bounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Int
from pydantic import Field

from gdyn.kinetics.events import effective_events, transitions
from gdyn.kinetics.koopman import koopman_matrix, koopman_of, timescales
from gdyn.result import Number, Result, Share
from gdyn.rounding import brief_time
from gdyn.statistics import Covariances, purity
from gdyn.statistics.interval import Interval, student
from gdyn.statistics.lag import longest_segment
from gdyn.statistics.shapes import PerProcess
from gdyn.statistics.uncertainty import Blocks, Estimate
from gdyn.store import States

KNOWN = 1.5  # factor to which a ratio of timescales has to be known to say something
CERTAIN = 0.9  # purity from which on transitions can be counted
FEWEST_EVENTS = 2  # of a single one the frames say when it was, and nothing about how often it is
CHANCE = 0.025  # that any of the timescales of a Markov chain seems to rise
RISE, SMALL_RISE = 1.1, 1.25  # factor from which on a timescale rises; up to which it does not, with its whole interval
ABOVE_NOISE = 0.5  # relative error of an eigenvalue, up to which it is one
WELL = 0.75  # of the logarithm of that, within which a ratio has to be known to show it
FAR_LAGS, FAR = 3.0, 0.5  # lag times, and parts of the timescale, up to which it has to be followed to be converged
LAGS = 10

Outcome = Literal["converged", "rising", "cannot say"]


class Rise(Result):
    """How the timescale of a process changes from the lag time of the model to the longest that says something."""

    outcome: Outcome
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
    numbers: list[int] = Field(default_factory=list)
    """Which processes these are, from 1."""
    next_lag_ps: Number
    """The lag time to try next; NaN where none is needed."""

    @property
    def outcome(self) -> Outcome:
        """Of the slowest process; what is not resolved has none."""
        return self.processes[0].outcome if self.processes else "cannot say"

    def as_last_seen(self, timescales_ps: PerProcess) -> PerProcess:
        """The timescales of all processes; of those that rise, at the longest lag time that says something."""
        rises = {n - 1: one.change.value for n, one in zip(self.numbers, self.processes, strict=True)
                 if one.outcome == "rising"}  # fmt: skip
        return timescales_ps * [rises.get(place, 1.0) for place in range(len(timescales_ps))]


@dataclass(frozen=True)
class Curves:
    """Timescales at several lag times, all from the same blocks.

    lag_ps : (lags,) ascending
    logarithms : estimate of the logarithms of the timescales, (lags, processes), slowest first
    events : (processes,), on how many transitions each rests at the lag time of the states; infinite where targets are
        seldom in any state for certain, so that they cannot be counted
    """

    lag_ps: Float[np.ndarray, " lags"]
    logarithms: Estimate[Float[np.ndarray, "lags processes"]]
    events: Float[np.ndarray, " processes"]

    @classmethod
    def of(cls, states: States, blocks: Blocks, lags: Int[np.ndarray, " lags"], n_processes: int) -> Self:
        """The curves of the slowest processes; ``lags`` in frames."""
        frame_ps = states.frame_interval_ps

        def logarithms(covariances: list[Covariances]) -> np.ndarray:
            times = []
            for n, one in zip(lags, covariances, strict=True):
                try:
                    slow = timescales(koopman_of(one), n * frame_ps)[:n_processes]
                    times.append(np.log(np.where(slow > 0, slow, np.nan)))
                except np.linalg.LinAlgError:
                    times.append(np.full(n_processes, np.nan))
            return np.array(times)

        each = Estimate.of(lambda p, s: [Covariances.of(p, s, int(n)) for n in lags], states, blocks)
        return cls(lags * frame_ps, each.map(logarithms), _events_of(states)[:n_processes])

    def beyond(self, first: int, places: Sequence[int]) -> "Convergence":
        """How some processes, by their places from 0, change from a lag time on, that of index ``first``."""
        lag_ps, which = self.lag_ps[first:], list(places)
        logs = self.logarithms.map(lambda x: x[first:, which])
        times, ratios = logs.interval(), logs.map(lambda x: x - x[0]).interval()
        # Far beyond a timescale its eigenvalue is noise of some size, and -lag / ln of that rises with the lag.
        with np.errstate(invalid="ignore", over="ignore"):
            eigenvalue_error = lag_ps[:, None] / np.exp(times.value) * times.half  # relative
            says = (ratios.half < np.log(KNOWN)) & (eigenvalue_error < ABOVE_NOISE)
        says &= self.events[which] >= FEWEST_EVENTS
        freedom = max(1, len(self.logarithms.samples) - 1)
        wider = student(1.0 - CHANCE / len(which), freedom) / student(1.0 - CHANCE, freedom) if which else 1.0
        processes, following = [], []
        for process in range(len(which)):
            # Up to the first lag time that says nothing: one beyond it would only seem to.
            known = np.arange(1, 1 + np.cumprod(says[1:, process]).sum())
            if not len(known):
                processes.append(_judge(False, Interval.unknown(), np.nan, float(np.exp(times.low[0, process]))))
                continue
            last = int(known[-1])
            change = ratios[last, process].map(np.exp)
            # The more processes there are, the likelier it is that one of them seems to rise.
            ratio = ratios[last, process]
            rising = bool(ratio.value > wider * (ratio.value - ratio.low) and change.value > RISE)
            # At a lag time hardly longer, or short beside the process, nothing would be seen to rise.
            far = lag_ps[known] >= max(FAR_LAGS * lag_ps[0], FAR * np.exp(times.value[0, process]))
            well = known[far & (ratios.half[known, process] < WELL * np.log(SMALL_RISE))]
            if not rising and len(well):  # nothing rises; how sure that is shows at a lag time that says more
                last = int(well[-1])
                change = ratios[last, process].map(np.exp)
            bound = times.low[last if rising else 0, process]
            processes.append(_judge(rising, change, lag_ps[last], float(np.exp(bound)), bool(len(well))))
            if rising:
                after = logs.map(_rise_to(last, process)).interval()[:last]
                flat = [n for n, up in zip(lag_ps[:last], after, strict=True) if up.low <= 0 or up.value < np.log(RISE)]
                following.append(flat[0] if flat else 2 * lag_ps[last])
        return Convergence(
            processes=processes,
            numbers=[place + 1 for place in which],
            next_lag_ps=max(following, default=np.nan),
        )


def convergence_of(states: States, blocks: Blocks, places: Sequence[int]) -> Convergence:
    """Compare the timescales at the lag time with those at longer ones, paired within blocks.

    Parameters
    ----------
    states : States
    blocks : Blocks
    places : which processes to look at, from 0 for the slowest.
    """
    lag, longest = states.lag_frames, longest_lag(states, blocks)
    lags = np.unique(np.geomspace(lag, max(lag, longest), LAGS).astype(int))
    if not len(places) or len(lags) < 2:
        nothing = [_judge(False, Interval.unknown(), np.nan, np.nan)] * len(places)
        return Convergence(processes=nothing, numbers=[place + 1 for place in places], next_lag_ps=np.nan)
    return Curves.of(states, blocks, lags, max(places) + 1).beyond(0, places)


def longest_lag(states: States, blocks: Blocks) -> int:
    """The longest lag time at which timescales are looked at, frames: half of a block."""
    return (longest_segment(states.segment) if blocks.method == "targets" else blocks.frames) // 2


def _events_of(states: States) -> Float[np.ndarray, " processes"]:
    """On how many transitions each process rests; see :class:`Curves`."""
    n_processes = states.probabilities.shape[-1] - 1
    if purity(states.probabilities) < CERTAIN:
        return np.full(n_processes, np.inf)
    try:
        matrix = koopman_matrix(states.probabilities, states.segment, states.lag_frames)
    except np.linalg.LinAlgError:
        return np.zeros(n_processes)
    return np.array([effective_events(one) for one in transitions(states, matrix)])


def _rise_to(last: int, process: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda logs: logs[last, process] - logs[:, process]


def _judge(rising: bool, change: Interval, longest_lag_ps: float, bound_ps: float, far: bool = False) -> Rise:
    settled = far and change.high < SMALL_RISE
    outcome: Outcome = "rising" if rising else ("converged" if settled else "cannot say")
    return Rise(outcome=outcome, change=change, longest_lag_ps=longest_lag_ps, lower_bound_ps=bound_ps)
