"""The Chapman-Kolmogorov test: whether the model predicts what is observed after many lag times."""

from typing import Any, Final, Literal, Self

import numpy as np
import pandas as pd
import scipy
from jaxtyping import Float
from pydantic import model_validator

from gdyn.config import Kinetics
from gdyn.errors import InputError
from gdyn.kinetics.flags import explain_degeneracy
from gdyn.kinetics.koopman import koopman_of, timescales, trials_of
from gdyn.kinetics.pace import slow_eigenfunctions
from gdyn.logs import LOG
from gdyn.result import Array, Number, Result, Share
from gdyn.statistics import Covariances
from gdyn.statistics.interval import HALF, PARTS, PROBABILITY, Interval
from gdyn.statistics.joint import LEVEL, POWER, judge
from gdyn.statistics.lag import lagged_frames, longest_segment
from gdyn.statistics.shapes import Matrix, PerState
from gdyn.statistics.uncertainty import MANY_BLOCKS, Blocks, Estimate
from gdyn.store import States

WEAK = 2.0  # factor by which the slowest timescale may rise without a test that holds having seen it
SMALL = 0.1  # deviation of a probability which, if seen, is enough, too
ONE_PART = 1e-6  # imaginary part of an eigenvalue, relative
STRETCHES, FEWEST_STRETCHES = 10, 8  # of time
FEW_STEPS, ENOUGH = 5, 16  # lag times ahead, up to which groups of targets are taken where there are so many targets
KNOWN = 1.5  # factor to which a ratio of timescales says something
SEEN = 2  # how often at least a transition is seen, and not seen, where it is compared
APART = 0.05  # chance that independent targets seem to move together
IN_BLOCKS = 4  # stretches of time over which the beginnings of a transition have to be spread
CANNOT_SAY: Final = "cannot say"

Curves = Float[np.ndarray, "times states states"]


class Place(Result):
    """Which entry deviates most beyond its error."""

    start: int
    """The state that the transition begins in, from 1."""
    to: int
    time_ps: float
    more: bool
    """Whether more is observed than predicted."""


class ChapmanKolmogorov(Result):
    """What the Chapman-Kolmogorov test says, and the curves that it compares."""

    lag_ps: Array
    """(steps + 1,)"""
    predicted: Share
    """(steps + 1, states, states), powers of the Koopman matrix."""
    observed: Share
    """(steps + 1, states, states), Koopman matrices at the longer lag times."""
    max_deviation: Share
    """Difference between prediction and observation of the entry that deviates most."""
    deviation: Share = Interval.unknown()
    """That of the entry that deviates most beyond its error."""
    at: Place | None = None
    """Which one that is."""
    chance: Number = float("nan")
    """That a Markovian process deviates as much."""
    timescale_ratio: Share = Interval.unknown()
    """The slowest timescale at the longest of the lag times that says something, divided by that at the lag time."""
    outcome: Literal["holds", "fails", "cannot say"]
    reason: str | None = None
    """Why the test cannot say, if so."""
    passed: bool
    """Whether it holds."""
    unseen: Number
    """Deviation of a probability that the test sees in 90 % of cases; smaller ones it may miss. It is that of a slowest
    timescale that rises with the lag time."""
    unseen_factor: Number = float("nan")
    """The factor by which that timescale is longer at the longest lag time."""

    @model_validator(mode="after")
    def _its_caveats_are_about_the_deviation(self) -> Self:
        sentences = [sentence for of_key in self.flags.values() for sentence in of_key]
        self.__dict__["max_deviation"] = self.max_deviation.with_caveats(sentences)
        return self

    @property
    def verdict(self) -> str:
        """In words."""
        if self.outcome == CANNOT_SAY:
            return f"cannot say: {self.reason}"
        return f"{self.outcome}; {self.effect}; {self.power}"

    @property
    def effect(self) -> str:
        """By how much the model is wrong, in words."""
        if self.at is None or not np.isfinite(self.deviation.value):
            return "nothing was compared"
        more = "more" if self.at.more else "less"
        ratio = self.timescale_ratio
        text = (
            f"from state {self.at.start} to {self.at.to} within {self.at.time_ps:g} ps, {self.deviation} {more} is "
            f"observed than predicted"
        )
        if np.isfinite(ratio.low):
            text += f", and the slowest timescale is {ratio} times that at the lag time"
        return text

    @property
    def power(self) -> str:
        """What the test would have seen, in words."""
        if not np.isfinite(self.unseen):
            return "it would not even have seen a slowest timescale that is ten times as long at the longest lag time"
        return (
            f"a deviation of {self.unseen:.2g}, of a slowest timescale that rises by a factor of "
            f"{self.unseen_factor:.2g}, would have been seen in {100 * POWER:g} % of cases"
        )

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        if self.outcome == CANNOT_SAY:
            reason = (self.reason or "").replace("the Chapman-Kolmogorov test needs", "it needs")
            return {"ck": [f"the Chapman-Kolmogorov test cannot say whether the states are Markovian: {reason}"]}
        if self.passed:
            return {}
        return {
            "ck_max_deviation": [
                f"the Chapman-Kolmogorov test fails: at this lag time and number of states the dynamics is not "
                f"Markovian ({self.effect})"
            ]
        }

    @property
    def table(self) -> pd.DataFrame:
        """The curves, a row for each pair of states and time."""
        n_states = self.observed.value.shape[-1]
        return pd.DataFrame(
            {"lag_ps": lag_ps, "from": i + 1, "to": j + 1}
            | self.predicted[n, i, j].columns("predicted")
            | self.observed[n, i, j].columns("observed")
            for i in range(n_states)
            for j in range(n_states)
            for n, lag_ps in enumerate(self.lag_ps)
        )


def chapman_kolmogorov(states: States, steps: int, blocks: Blocks | None = None) -> ChapmanKolmogorov:
    """Compare ``K(lag)^n`` with ``K(n lag)`` for ``n = 0 ... steps`` (equation 12 of docs/theory.md).

    The differences of the two are estimated as such, from the same frames, and their errors from many short stretches
    of time: what is not predicted in one stretch says nothing about the next, however slow the processes are. The
    largest difference in units of its error is compared with the largest of the same data after the signs of whole
    stretches were turned at random, which is as likely where the states are Markovian (section "Kinetics" there).

    Parameters
    ----------
    states : States
    steps : int, lag times to look ahead; fewer where they do not fit twice into a stretch.
    blocks : to use instead, where there are at least eight.

    Raises
    ------
    InputError : not even two lag times fit.
    numpy.linalg.LinAlgError : the frames do not determine a Koopman matrix.
    """
    lag = states.lag_frames
    if blocks is None or len(blocks) < FEWEST_STRETCHES:
        blocks = stretches_of(states, steps)
    fitting = steps if blocks.method == "targets" else min(steps, blocks.frames // (2 * lag))
    whole = longest_segment(states.segment)
    fitting = min(fitting, whole // (2 * lag))
    if fitting < 2:
        raise InputError(
            f"the Chapman-Kolmogorov test needs {4 * lag} frames in each of {len(blocks)} blocks of the "
            f"{states.split} frames, without a gap, but they have {min(blocks.frames, whole)}; use a longer trajectory"
            f"{', or lower search.lag_ps' if lag > 1 else ''}"
        )
    if fitting < steps:
        LOG.warning(
            "the Chapman-Kolmogorov test looks %d instead of %d lag times ahead: more do not fit into a block",
            fitting,
            steps,
        )
    pairs = Estimate.of(lambda p, s: [Covariances.of(p, s, n * lag) for n in range(fitting + 1)], states, blocks)
    observed = pairs.map(lambda c: np.stack([koopman_of(one) for one in c]))
    predicted = observed.map(lambda k: np.stack([np.linalg.matrix_power(k[1], n) for n in range(fitting + 1)]))
    apart = Estimate.join(lambda a, b: (b - a)[2:], predicted, observed)
    trials = np.stack([trials_of(c, n * lag) for n, c in enumerate(pairs.whole) if n > 1])
    p = np.clip(0.5 * (predicted.whole[2:] + observed.whole[2:]), 0.0, 1.0)
    known = (np.minimum(p, 1.0 - p) * trials >= SEEN) & (spread_over(pairs) >= IN_BLOCKS)[:, None]
    found = judge(apart, known)
    n, i, j = found.worst
    factor, unseen = smallest_seen(observed.whole[1], np.where(known, found.detectable, np.inf))
    reason = None
    outcome: Literal["holds", "fails"] = "fails" if found.chance < LEVEL else "holds"
    if not moves(states):
        reason = f"no target was seen to change its state within {states.lag_ps:g} ps"
    elif outcome == "fails" and blocks.method == "targets" and move_together(states, observed.whole[1]):
        reason = (
            "targets do not move independently of each other, and the run is too short to compare stretches of time "
            "instead of groups of targets"
        )
    elif not known.any():
        reason = "too few transitions were seen, or in too few stretches of time"
    elif outcome == "holds" and not (factor <= WEAK or unseen <= SMALL):
        reason = (
            f"a slowest timescale twice as long at {fitting * states.lag_ps:g} ps would be missed in more than one of "
            f"ten cases; a longer trajectory, or more targets, would tell"
        )
    more = bool(found.apart.value[n, i, j] > 0)
    largest = np.unravel_index(np.abs(apart.whole).argmax(), apart.whole.shape)
    return ChapmanKolmogorov(
        lag_ps=np.arange(fitting + 1) * states.lag_ps,
        predicted=predicted.interval(within=PROBABILITY),
        observed=observed.interval(within=PROBABILITY),
        max_deviation=_size(found.apart, largest),
        deviation=_size(found.apart, found.worst),
        outcome=CANNOT_SAY if reason else outcome,
        reason=reason,
        passed=outcome == "holds" and not reason,
        chance=found.chance,
        at=Place(start=i + 1, to=j + 1, time_ps=(n + 2) * states.lag_ps, more=more),
        timescale_ratio=_ratio_of_timescales(observed, states.lag_ps),
        unseen=unseen,
        unseen_factor=factor,
    )


def smallest_seen(matrix: Matrix, detectable: Curves) -> tuple[float, float]:
    """The smallest rise of the slowest timescale that the test would have seen, as a factor and as a deviation.

    The timescale is taken to rise evenly from that of the matrix at one lag time to a multiple at the longest; NaN
    where no multiple up to ten would have been seen, or the matrix has no such process.

    Parameters
    ----------
    matrix : the Koopman matrix at the lag time.
    detectable : deviations of its powers from two lag times on that would be significant in 90 % of cases.
    """
    eigenvalues, right = np.linalg.eig(matrix)
    slowest = np.argsort(-np.abs(eigenvalues), kind="stable")[1]
    value = eigenvalues[slowest]
    decay = abs(value)
    if not 0 < decay < 1:
        return np.nan, np.nan
    pair = 2.0 if abs(value.imag) > ONE_PART * decay else 1.0  # what goes round is two processes
    process = pair * np.outer(right[:, slowest], np.linalg.inv(right)[slowest])
    n = np.arange(2, len(detectable) + 2)
    course = np.real((value / decay) ** n[:, None, None] * process)
    for factor in np.geomspace(1.05, 10.0, 50):
        rise = 1.0 + (factor - 1.0) * (n - 1.0) / (n[-1] - 1.0)
        deviation = np.abs((decay ** (n / rise) - decay**n)[:, None, None] * course)
        if (deviation >= detectable).any():
            return float(factor), float(deviation.max())
    return np.nan, np.nan


def stretches_of(states: States, steps: int) -> Blocks:
    """Stretches of time into each of which ``steps`` lag times fit four times, as many as possible up to 20.

    At least ten. Where not even five lag times fit twice into each, groups of targets, if there are enough; else as few
    stretches as eight.
    """
    lag, frames = states.lag_frames, len(states.segment)
    number = int(np.clip(frames // (4 * steps * lag), STRETCHES, MANY_BLOCKS))
    fitting = frames // number // (2 * lag)
    if fitting < min(steps, FEW_STEPS) and len(states.target_ids) >= ENOUGH:
        return Blocks.of(states, Kinetics(intervals="targets", chunks=min(MANY_BLOCKS, len(states.target_ids))))
    return Blocks.by_time(states, number if fitting >= 2 else FEWEST_STRETCHES)


def move_together(states: States, matrix: Matrix) -> bool:
    """Whether targets change at the same time more often than independent ones would.

    The part of each change over a lag time that the slowest process does not predict is independent of what came
    before, and so is its mean over all targets, whose variance is compared with that of each.

    Parameters
    ----------
    states : States
    matrix : their Koopman matrix.
    """
    process = next(slow_eigenfunctions(matrix), None)
    if process is None:
        return False
    _, value, vector = process
    first = lagged_frames(states.segment, states.lag_frames)[:: states.lag_frames]
    f = states.probabilities.astype(np.float64) @ vector
    steps = f[first + states.lag_frames] - value * f[first]
    steps = np.nan_to_num(steps[(~np.isnan(steps)).sum(1) > 1])
    alone, together = np.square(steps).sum(), np.square(steps.sum(1)).sum()
    limit = scipy.special.chdtri(max(1, len(steps)), APART) / max(1, len(steps))
    return bool(together > limit * alone)


def _size(apart: Interval, place: tuple[Any, ...]) -> Interval:
    """How large a difference is, whichever sign it has."""
    value, low, high = (float(getattr(apart, part)[place]) for part in PARTS)
    low, high = (low, high) if value >= 0 else (-high, -low)
    return Interval(abs(value), np.maximum(0.0, low), high)


def _ratio_of_timescales(observed: Estimate[Curves], lag_ps: float) -> Interval:
    """The slowest timescale at the longest lag time at which it is known to a factor of 1.5, divided by the first."""
    slow = observed.map(
        lambda curves: np.log([timescales(matrix, n * lag_ps)[0] for n, matrix in enumerate(curves) if n])
    )
    ratios = slow.map(lambda times: np.where(np.isfinite(times), times, np.nan)).map(lambda t: t - t[0]).interval()
    known = np.flatnonzero(np.exp(ratios.half[1:]) < KNOWN)
    return ratios[int(known[-1]) + 1].map(np.exp) if len(known) else Interval.unknown()


def spread_over(pairs: Estimate[list[Covariances]]) -> PerState:
    """Over how many blocks the pairs that begin in each state are spread: (states,), ``(sum n)^2 / sum n^2``."""
    halved = np.array([c[1].samples * c[1].mean0 for c in pairs.samples if c is not None])
    of_blocks = np.maximum(halved.sum(0) / (len(halved) - HALF) - halved, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(of_blocks.sum(0) ** 2 / np.square(of_blocks).sum(0))


def moves(states: States) -> bool:
    """Whether any target changes its most probable state from a frame to that a lag time later."""
    first = lagged_frames(states.segment, states.lag_frames)
    state = np.where(states.present, np.nan_to_num(states.probabilities).argmax(-1), -1)
    before, after = state[first], state[first + states.lag_frames]
    return bool(((before != after) & (before >= 0) & (after >= 0)).any())


def ck_test(states: States, kinetics: Kinetics, blocks: Blocks | None = None) -> ChapmanKolmogorov:
    """Whether powers of the Koopman matrix are those seen at longer lag times (equation 12 of docs/theory.md).

    Where no test is possible, its numbers are NaN, and the result says why.

    Parameters
    ----------
    states : those whose model is tested.
    kinetics : that section of a system.
    blocks : behind the intervals, where they are known.
    """
    try:
        return chapman_kolmogorov(states, kinetics.chapman_kolmogorov_steps, blocks)
    except InputError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = explain_degeneracy(states)
    n = states.probabilities.shape[-1]
    nothing = Interval.unknown((1, n, n))
    return ChapmanKolmogorov(
        lag_ps=np.zeros(1),
        predicted=nothing,
        observed=nothing,
        max_deviation=Interval.unknown(),
        outcome=CANNOT_SAY,
        reason=reason,
        passed=False,
        unseen=np.nan,
    )
