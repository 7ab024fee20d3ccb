"""The reversible matrix, and the rates and mean times that follow from it, or from counting visits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from gdyn.kinetics.flags import EMPTY
from gdyn.kinetics.koopman import (
    koopman_of,
    nearest_reversible,
    reversible_of,
    timescales,
    transition_matrix,
    trials_of,
)
from gdyn.kinetics.populations import mean_population
from gdyn.kinetics.rates import (
    cores,
    counted,
    counted_rates,
    first_passage_times,
    generator_of,
    mean_stays,
    misfit,
    relaxation_times,
)
from gdyn.result import Result, Share, Time
from gdyn.rounding import brief_time as time
from gdyn.statistics import Covariances, present_rows
from gdyn.statistics.interval import PROBABILITY, Interval
from gdyn.statistics.shapes import Matrix
from gdyn.statistics.uncertainty import Blocks, Estimate
from gdyn.store import States

SAME_SHARE = 0.05  # of what leaves a state within the lag, by which two matrices may differ besides their intervals
PURE = 0.999  # purity above which states are as good as pure
SMALL = 1e-9  # probabilities below which are rounding
SURELY = 1.5  # half widths of a 95 % interval, beyond which two of several times differ
CERTAIN = 0.5  # share of the frames of a state in which a target must be in its core for visits to be counted


class Reversible(Result):
    """The reversible matrix and mean times, those of processes and of states."""

    reversible: Share
    """(states, states)"""
    reversible_timescales_ps: Time
    """(processes,)"""
    counted_timescales_ps: Time = Interval.unknown()
    """(processes,), of the rates between cores: a second opinion on those of the Koopman matrix."""
    lifetimes_ps: Time
    """(states,), how long a target stays."""
    first_passage_ps: Time
    """(states, states), until a target that is in one state first reaches the other."""
    counted_lifetimes_ps: Time
    """(states,), from counted visits."""
    rates_from: Literal["generator", "counted"]
    no_generator: str | None
    """Why the rates are not those of the generator of the reversible matrix, if so."""
    not_counted: str | None
    """Why visits cannot be counted, if so."""


def of_reversible(
    covariances: Estimate[Covariances],
    states: States,
    blocks: Blocks,
    events: Sequence[float] | None = None,
    driven: str | None = None,
) -> dict[str, Any]:
    """The reversible matrix, and the rates and times from it or, where its generator is not usable, from counting.

    Parameters
    ----------
    covariances, states, blocks : of the states, and behind the intervals.
    events : of each process, if known, on how many its timescale rests
        (:func:`gdyn.kinetics.events.effective_events`).
    driven : how it is seen that the states are not in detailed balance, if so. Then rates are counted one way and back.

    Returns
    -------
    dict of the fields of :class:`Reversible`, and the ``rates``, (states, states), 1/ps
    """
    n, lag_ps, frame_ps = states.probabilities.shape[-1], states.lag_ps, states.frame_interval_ps
    joints = covariances.map_or_nan(reversible_of, (n, n))
    known_by = np.inf if events is None else events
    trials = trials_of(covariances.whole, states.lag_frames)
    matrices = joints.map(transition_matrix).interval(within=PROBABILITY, trials=trials)
    counts, uncounted = counts_of(states, blocks)
    by_counting = counts.map(lambda number: counted_rates(number, frame_ps))
    of_cores = counts.map_or_nan(lambda number: generator_of(nearest_reversible(number), frame_ps), (n, n))
    if driven or not np.isfinite(of_cores.whole).any():
        of_cores = by_counting
    rates = joints.map_or_nan(lambda joint: generator_of(joint, lag_ps), (n, n))
    raw = covariances.map_or_nan(koopman_of, (n, n)).interval()
    pure = bool(present_rows(states.probabilities).max(1, initial=0.0).mean() > PURE)
    reason = driven or explain_no_generator(rates, of_cores, matrices, raw, lag_ps, pure)
    if reason:
        rates = of_cores
    stays, passages = rates.map(mean_stays), rates.map(first_passage_times)
    moves = np.nan_to_num(counts.whole) * ~np.eye(n, dtype=bool)
    left = moves.sum(1)
    reached = np.minimum(left[:, None], moves.sum(0))  # of what is seldom left or seldom reached
    return {
        "reversible": matrices,
        "reversible_timescales_ps": joints.map(
            lambda joint: timescales(transition_matrix(joint), lag_ps)
        ).interval(logarithmic=True).with_least(known_by),
        "counted_timescales_ps": of_cores.map(relaxation_times).interval(logarithmic=True).with_least(known_by),
        "lifetimes_ps": stays.interval(logarithmic=True).with_least(left),
        "first_passage_ps": with_zeros(passages.interval(logarithmic=True).with_least(reached)),
        "counted_lifetimes_ps": by_counting.map(mean_stays).interval(logarithmic=True).with_least(left),
        "rates_from": "counted" if reason else "generator",
        "no_generator": reason,
        "not_counted": uncounted,
        "rates": rates.whole,
    }  # fmt: skip


def counts_of(states: States, blocks: Blocks) -> tuple[Estimate[Matrix], str | None]:
    """Stays and moves between the cores of the states; or why there are none.

    Where a populated state is certain nowhere, the times spent in it would count as spent in others.
    """
    n = states.probabilities.shape[-1]
    least = cores(states.probabilities)
    counts = Estimate.of(lambda p, s: counted(p, s, least), states, blocks)
    rows = present_rows(states.probabilities)
    most = rows.argmax(1)
    for state in np.flatnonzero(mean_population(states.probabilities) >= EMPTY):
        certain = rows[most == state, state] > least[state]
        if not len(certain) or certain.mean() < CERTAIN:
            unknown = counts.map(lambda number: np.full((n, n), np.nan))
            return unknown, f"targets are seldom in state {state + 1} for certain"
    return counts, None


def explain_no_generator(
    rates: Estimate[Matrix], of_cores: Estimate[Matrix], matrices: Interval, raw: Interval, lag_ps: float, pure: bool
) -> str | None:
    """Why the rates of the reversible matrix cannot be used, or None.

    Parameters
    ----------
    rates, of_cores : Estimates of the rates of the reversible matrix, and of those between cores.
    matrices, raw : the reversible matrix and the Koopman matrix, each with its interval.
    pure : whether targets are nearly always in one state.
    """
    if not np.isfinite(matrices.value).all():
        return "there is none, as some states are not distinguished, or are left for good"
    if np.isnan(rates.whole).all():
        return "a process has decayed within the lag time, so that the matrix has no logarithm"
    wrong = np.abs(misfit(rates.whole, raw.value, lag_ps))
    allowed = 2.0 * np.nan_to_num(raw.half) + SAME_SHARE * (1.0 - np.diag(raw.value))[:, None]
    i, j = np.unravel_index((wrong - allowed).argmax(), wrong.shape)
    if wrong[i, j] > allowed[i, j] + SMALL:
        return f"its rates do not give the Koopman matrix back (from state {i + 1} to {j + 1} by {wrong[i, j]:.2g})"
    stays, visits = mean_stays(rates.whole), mean_stays(of_cores.whole)
    # From the same frames: what they have in common is no error of their ratio.
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = Estimate.join(lambda a, b: np.log(mean_stays(a) / mean_stays(b)), rates, of_cores).interval()
        apart = np.abs(ratio.value) > np.maximum(SURELY * ratio.half, SAME_SHARE)
    for state in np.flatnonzero(apart):
        return f"it gives {time(stays[state])} in state {state + 1} where visits last {time(visits[state])}, " + (
            "though the states are pure: they may not be Markovian" if pure else "as the states are not pure"
        )
    return None


def with_zeros(times: Interval) -> Interval:
    """Times from a state to itself are exactly zero."""
    itself = np.eye(len(times), dtype=bool)
    return replace(times, low=np.where(itself, times.value, times.low), high=np.where(itself, times.value, times.high))
