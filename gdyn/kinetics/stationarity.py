"""Whether the trajectory is stationary: what is estimated as if in equilibrium means little where it is not."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy
from jaxtyping import Float
from pydantic import Field

from gdyn.kinetics.events import FEW
from gdyn.kinetics.pace import LEAST, MOSTLY, STRETCHES, Paces, in_time_order, paces_of
from gdyn.result import Result, Sentences
from gdyn.rounding import brief_time, several
from gdyn.statistics.shapes import Matrix, PerProcess
from gdyn.statistics.uncertainty import INDEPENDENT, variance_of_mean
from gdyn.store import States

LEVEL = 0.01  # chance of a false alarm of each check
ENOUGH_TARGETS = 6
DETECTED = 0.9  # of runs in which a trend should be seen
ONE_WAY = 5  # transitions one way and none back, from which on a process counts as not in equilibrium
CLEARLY = 0.1  # chance that spread seems to be more than what a process leaves
SHORT = 1e-6  # length of a stretch beside a process that never ends
NOTHING = 1e-12  # variance of what does not vary
LEAST_TREND = 0.02  # of a population
MORE = 1.25  # times the variance, from which on there is a slower process: what tau itself is known to
FOR_GOOD = 0.5  # of the variance between targets, that is the same at the beginning and at the end
SEEN_TREND = 0.5  # of a population, that should be seen

Outcome = Literal["stationary", "not stationary", "cannot say"]


class Stationarity(Result):
    """Whether populations stay the same, and targets are alike."""

    outcome: Outcome
    reason: str
    drift: Sentences
    """What says that populations change with time."""
    one_way: Sentences
    """Which processes do not go both ways."""
    heterogeneous: Sentences
    """What says that some targets differ for good."""
    slower: Sentences
    """What says that there is a process slower than those found."""
    collective: Sentences
    """What says that targets do not move independently of each other."""
    driven: Sentences = Field(default_factory=list)
    """What says that the states are not in detailed balance."""


def stationarity_of(
    splits: list[States],
    timescales_ps: PerProcess,
    seen: list[dict[str, Any]],
    koopman: Matrix,
    driven: str | None = None,
) -> Stationarity:
    """Look for trends of populations and rates, processes that go one way, and targets that differ or move together.

    Section "Stationary?" of docs/theory.md.

    Parameters
    ----------
    splits : states of the splits that there are, that of the test frames last.
    timescales_ps : those at the lag time, slowest first.
    seen : the transitions of each process in the test frames; see :func:`gdyn.kinetics.events.transitions`.
    koopman : (states, states) the Koopman matrix.
    driven : how it is seen that the states are not in detailed balance, if so.
    """
    joined = in_time_order(splits, lambda one: one.probabilities)
    courses = [_Course(probabilities, splits[-1].frame_interval_ps) for probabilities in joined]
    whole = [course for course in courses if course.n_frames >= STRETCHES and course.n_targets]
    tau = next((time for time in timescales_ps if time > 0), np.inf)
    # What never happened has no timescale; targets that differ by it differ for good.
    happened = [time for time, one in zip(timescales_ps, seen, strict=True) if one["forward"] + one["backward"]]
    drift, seen_from = _trends(whole, tau)
    heterogeneous, slower, compared = _differences(whole, next((time for time in happened if time > 0), tau))
    paces = Paces([], [], [])
    if not drift and not heterogeneous:  # of populations, with which rates differ too
        paces = paces_of(splits, koopman, LEVEL)
        heterogeneous, drift = paces.heterogeneous, paces.drift
    one_way = _one_way(seen)
    never_back = [(number, one) for number, one in enumerate(seen, start=1) if not (one["forward"] and one["backward"])]
    collective = [] if drift or one_way else _together(whole, tau) or paces.collective
    sentences = [*drift, *one_way, *heterogeneous]
    # A population that is off by some amount at first changes by no more than a part of that in a short run.
    could = -np.expm1(-max((course.length_ps for course in whole), default=0.0) / tau)
    known = seen_from < SEEN_TREND * could and not never_back
    outcome: Outcome = "not stationary" if sentences else ("stationary" if known else "cannot say")
    reason = "; ".join(sentences)
    if not sentences and never_back:
        number, process = never_back[0]
        times = process["forward"] + process["backward"]
        reason = (
            f"process {number} was seen to go one way only, {several(times, 'time')}, which is too seldom to say more"
        )
        if not times:
            reason = f"process {number} was not seen to happen"
    elif not sentences:
        reason = _nothing_seen(whole, max(course.n_frames for course in courses), seen_from, compared and not slower)
        if seen_from < SEEN_TREND and not known:
            slow = f"the run is short beside the slowest process, {brief_time(tau)}"
            reason = f"populations show no trend, but could hardly have changed: {slow}"
    return Stationarity(
        outcome=outcome,
        reason=reason,
        drift=drift,
        one_way=one_way,
        heterogeneous=heterogeneous,
        slower=slower,
        collective=collective,
        driven=[f"{driven}: the run is driven, or not in equilibrium yet"] if driven else [],
    )


def _nothing_seen(courses: list["_Course"], longest: int, seen_from: float, alike: bool) -> str:
    """What was looked for and not seen, and how sure that is."""
    if not courses and longest < STRETCHES:
        return f"each trajectory has fewer than {STRETCHES} frames, in which no trend of populations can be seen"
    if not courses:
        return "no target is there for most of every tenth of the run, so that a trend of populations cannot be seen"
    if seen_from >= 1.0:
        return "the run is too short, and the targets are too few, for a trend of populations to be seen"
    change = f"a steady change of one by {np.ceil(100 * seen_from) / 100:.2g} from the first tenth to the last"
    change += " of all trajectories" if len(courses) > 1 else ""
    if seen_from >= SEEN_TREND:
        return f"populations show no trend, but {change} would often not be seen"
    if alike:
        return f"populations show no trend ({change} would be seen), processes go both ways, and targets are alike"
    return f"populations show no trend ({change} would be seen), and processes go both ways"


class _Course:
    """The frames of one trajectory in the order of time.

    stretches : (10, targets, states) mean probabilities in stretches of equal length
    variance : (states,) of the probability of a state in a frame
    length_ps : of all frames
    """

    def __init__(self, probabilities: Float[np.ndarray, "frames targets states"], frame_ps: float) -> None:
        self.n_frames, self.n_targets = len(probabilities), 0
        self.length_ps = self.n_frames * frame_ps
        if self.n_frames >= STRETCHES:
            present = ~np.isnan(probabilities[..., 0])
            # Targets that are there for nearly all of the time, in every stretch.
            there = np.min([part.mean(0) for part in np.array_split(present, STRETCHES)], axis=0) >= MOSTLY
            self.n_targets = int(there.sum())
            p = probabilities[:, there].astype(np.float64)
            self.stretches = np.array([np.nanmean(part, axis=0) for part in np.array_split(p, STRETCHES)])
            self.variance = np.nanvar(p, axis=(0, 1)) if self.n_targets else np.zeros(p.shape[-1])


def _trends(courses: list[_Course], tau: float) -> tuple[list[str], float]:
    """Sentences about populations that change with time, and the smallest change that would nearly always be seen.

    Of each trajectory, and of the mean of all of them, which may begin alike; where there are several, it is the change
    of this mean.
    """
    found = [(number, course, change) for number, course in enumerate(courses) if (change := _change(course, tau))]
    sentences, seen_from = [], np.inf
    n_tests = len(courses) + (len(found) > 1)
    for number, course, change in found:
        sure, seen_from = change.surely(LEVEL / n_tests)
        if sure is not None:
            where = f" of trajectory {number}" if len(courses) > 1 else ""
            first, last = (course.stretches[k].mean(0)[sure] for k in (0, -1))
            sentences.append(_drifts(sure, first, last, where))
    if len(found) > 1:
        sure, seen_from = _Change.mean([change for _, _, change in found]).surely(LEVEL / n_tests)
        if sure is not None and not sentences:
            ends = [[course.stretches[k].mean(0)[sure] for _, course, _ in found] for k in (0, -1)]
            first, last = np.mean(ends, axis=1)
            sentences.append(_drifts(sure, first, last, f" of {len(found)} trajectories"))
    return sentences, seen_from


class _Change(NamedTuple):
    """By how much the populations change over a run.

    value, error, freedom : (states,), with the degrees of freedom of the error.
    """

    value: np.ndarray
    error: np.ndarray
    freedom: np.ndarray

    @classmethod
    def mean(cls, several: Sequence["_Change"]) -> "_Change":
        """Of several trajectories, whose errors are independent (Welch and Satterthwaite for their freedom)."""
        value = np.mean([one.value for one in several], axis=0)
        squares = np.square([one.error for one in several])
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = np.square(squares.sum(0)) / (np.square(squares) / [one.freedom for one in several]).sum(0)
        return cls(value, np.sqrt(squares.sum(0)) / len(several), np.nan_to_num(freedom, nan=np.inf))

    def surely(self, level: float) -> tuple[int | None, float]:
        """The state whose population changes by more than chance, if any; and what change would nearly always be."""
        level /= max(1, len(self.value) - 1)
        chance = _two_sided(self.value, self.error, self.freedom)
        seen_from = (_quantile(1.0 - 0.5 * level, self.freedom) + _quantile(DETECTED, self.freedom)) * self.error
        state = int(chance.argmin())
        sure = chance[state] < level and abs(self.value[state]) > LEAST_TREND
        return (state if sure else None), float(seen_from.max())


def _drifts(state: int, first: float, last: float, where: str) -> str:
    return (
        f"the population of state {state + 1} drifts from {first:.2f} in the first tenth{where} to {last:.2f} "
        f"in the last: the run is not stationary"
    )


def _change(course: _Course, tau: float) -> _Change | None:
    """Of one trajectory, along a straight line; None if it is too short for its few targets.

    The error is what a process of ``tau`` leaves, unless targets, or stretches of time that are long beside it, differ
    by clearly more.
    """
    place = np.arange(STRETCHES) - 0.5 * (STRETCHES - 1)
    weights = place / np.square(place).sum() * (STRETCHES - 1)  # of the change from the first stretch to the last
    change = np.tensordot(weights, course.stretches, 1)  # (targets, states)
    value, n = change.mean(0), course.n_targets
    long = course.length_ps >= INDEPENDENT * STRETCHES * 0.5 * tau
    seen = []
    if n >= ENOUGH_TARGETS:
        seen.append((change.std(0, ddof=1) / np.sqrt(n), n - 1.0))
    if long:
        seen.append((_error_of_slope(course.stretches.mean(1), weights), STRETCHES - 2.0))
    if not seen:
        return None
    variance = course.variance / n * (weights @ _alike(course.length_ps / STRETCHES / tau) @ weights)
    error, freedom = np.sqrt(variance), np.full(len(value), np.inf)
    for other, of_other in seen:
        more = np.square(other) > variance * scipy.special.chdtri(of_other, CLEARLY / max(1, len(value) - 1)) / of_other
        more &= other > error
        error, freedom = np.where(more, other, error), np.where(more, of_other, freedom)
    return _Change(value, error, freedom)


def _alike(length: float) -> Float[np.ndarray, "stretches stretches"]:
    """Covariance of the means over stretches of some length of what is correlated for a time of 1."""
    length = max(length, SHORT)
    apart = np.abs(np.subtract.outer(np.arange(STRETCHES), np.arange(STRETCHES)))
    beside = (np.expm1(-length) / length) ** 2 * np.exp(-length * np.maximum(apart - 1, 0))
    return np.where(apart == 0, variance_of_mean(length), beside)


def _freedom(length: float) -> float:
    """Of the variance of the means over stretches of some length of what is correlated for a time of 1."""
    alike = _alike(length)
    alike = alike - alike.mean(0)
    alike = alike - alike.mean(1, keepdims=True)
    return float(np.trace(alike) ** 2 / np.square(alike).sum())


def _error_of_slope(course: Float[np.ndarray, "stretches states"], weights: np.ndarray) -> np.ndarray:
    """Of the change of means over the run, from what is left after a straight line, which may be correlated."""
    place = np.arange(len(course))
    slope, first = np.polyfit(place, course, 1)
    rest = course - first - slope * place[:, None]
    square = np.square(rest).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.clip(np.nan_to_num((rest[1:] * rest[:-1]).sum(0) / square) + 2.0 / len(course), 0.0, 0.8)
    return np.sqrt(square / (len(course) - 2) * np.square(weights).sum() * (1.0 + alike) / (1.0 - alike))


def _two_sided(value: np.ndarray, error: np.ndarray, freedom: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.nan_to_num(np.abs(value) / error)
    return 2.0 * np.where(np.isinf(freedom), scipy.special.ndtr(-ratio), scipy.special.stdtr(freedom, -ratio))


def _quantile(probability: float, freedom: np.ndarray) -> np.ndarray:
    """Of the t-distribution, which is the normal one for infinite degrees of freedom."""
    return np.where(np.isinf(freedom), scipy.special.ndtri(probability), scipy.special.stdtrit(freedom, probability))


def _differences(courses: list[_Course], tau: float) -> tuple[list[str], list[str], bool]:
    """Sentences about targets that differ for good, and about those that differ for longer than ``tau``.

    A difference is for good if it is the same in the first and in the last third of the run.
    """
    for_good, for_long, told = [], [], False
    for number, course in enumerate(courses):
        n = course.n_targets
        if n < 2 or not course.length_ps > tau:
            continue
        told = told or n >= ENOUGH_TARGETS
        of_targets = course.stretches.mean(0)
        between = of_targets.var(0, ddof=1)
        expected = course.variance * variance_of_mean(course.length_ps / tau)
        limit = scipy.special.chdtri(n - 1, LEVEL / len(courses) / max(1, len(expected) - 1)) / (n - 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = np.nan_to_num(between / expected)
            share = np.nan_to_num((between - expected) / course.variance)
        held = of_targets.mean(0)
        apart = np.sqrt(np.maximum(between - expected, 0.0)) > LEAST * np.minimum(held, 1.0 - held)
        state = int(np.where(apart, beyond, 0.0).argmax())
        if not (beyond[state] > limit and apart[state]):
            if text := _slower(course, tau, LEVEL / len(courses)):
                for_long.append(text + (f" of trajectory {number}" if len(courses) > 1 else ""))
            continue
        third = STRETCHES // 3
        first, last = (course.stretches[part, :, state].mean(0) for part in (slice(third), slice(-third, None)))
        same = np.cov(first, last)[0, 1] > FOR_GOOD * between[state]
        where = f" of trajectory {number}" if len(courses) > 1 else ""
        text = (
            f"{100 * share[state]:.0f} % of the variance of state {state + 1} is between targets{where} over "
            f"{brief_time(course.length_ps)}, {beyond[state]:.2g} times what a process of {brief_time(tau)} leaves"
        )
        if same:
            for_good.append(f"targets differ for good: {text}, and the same ones differ from beginning to end")
        else:
            for_long.append(f"there is a process slower than those found: {text}")
    return for_good, for_long, told


def _slower(course: _Course, tau: float, level: float) -> str:
    """A sentence where tenths of the run of single targets differ by more than a process of ``tau`` leaves, if so."""
    length = course.length_ps / STRETCHES / tau
    cells, n = course.stretches, course.n_targets
    beside = cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean((0, 1))
    alike = _alike(length)
    of_one = (np.trace(alike) - alike.sum() / STRETCHES) / (STRETCHES - 1)
    freedom = (n - 1) * _freedom(length)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.nan_to_num(np.square(beside).sum((0, 1)) / ((STRETCHES - 1) * (n - 1)) / (course.variance * of_one))
    state = int(ratio.argmax())
    limit = scipy.special.chdtri(freedom, level / max(1, len(ratio) - 1)) / freedom
    if not ratio[state] > max(limit, MORE):
        return ""
    return (
        f"there is a process slower than those found: over tenths of the run, the population of state {state + 1} of "
        f"single targets has {ratio[state]:.2g} times the variance that a process of {brief_time(tau)} leaves"
    )


def _one_way(seen: list[dict[str, Any]]) -> list[str]:
    """Sentences about processes of which the transitions one way and back differ by more than chance."""
    sentences = []
    for number, process in enumerate(seen, start=1):
        more, less = sorted((process["forward"], process["backward"]), reverse=True)
        # Twice the chance of so few, if each transition went either way.
        chance = 2.0 * scipy.special.bdtr(less, more + less, 0.5) if more else 1.0
        if chance < LEVEL or (less == 0 and more >= ONE_WAY):
            sentences.append(
                f"process {number} went {several(process['forward'], 'time')} one way and "
                f"{several(process['backward'], 'time')} back: it is "
                f"not in equilibrium" + ("" if more + less >= FEW else ", or was seen too seldom")
            )
    return sentences


def _together(courses: list[_Course], tau: float) -> list[str]:
    """Sentences about populations of all targets that vary in time by more than those of independent ones.

    The variance of the mean of all targets is compared with that of each beside it (the F test of two-way analysis of
    variance). Both grow alike with how slow the processes are, but stretches of time that are short beside them are
    fewer than they seem: degrees of freedom follow Satterthwaite.
    """
    for number, course in enumerate(courses):
        n = course.n_targets
        if n < 2:
            continue
        beside = course.stretches - course.stretches.mean(0) - course.stretches.mean(1, keepdims=True)
        beside = beside + course.stretches.mean((0, 1))
        alone = np.square(beside).sum((0, 1)) / ((STRETCHES - 1) * (n - 1))
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = np.where(alone > NOTHING, n * course.stretches.mean(1).var(0, ddof=1) / alone, 0.0)
        state = int(beyond.argmax())
        level = LEVEL / len(courses) / max(1, len(beyond) - 1)
        freedom = _freedom(course.length_ps / STRETCHES / tau)
        if beyond[state] > scipy.special.fdtri(freedom, freedom * (n - 1), 1.0 - level):
            where = f" of trajectory {number}" if len(courses) > 1 else ""
            return [
                f"targets{where} do not move independently: the population of state {state + 1} varies in time by "
                f"{np.sqrt(beyond[state]):.1f} times as much as that of independent ones would"
            ]
    return []
