"""How many states there are: a state more has to add a process.

Whether the states are Markovian says nothing about their number: soft states that follow one slow process pass the
Chapman-Kolmogorov test, whatever else there is. What tells is the score on frames that were not trained on, and whether
what raises it is a process (section "Number of states" of docs/theory.md).
"""

from collections.abc import Iterable
from typing import Annotated

import numpy as np

from gdyn.config import Kinetics
from gdyn.kinetics.koopman import blocks_of, koopman_of, timescales
from gdyn.kinetics.timescales import Process, as_processes
from gdyn.result import Result, Share, measured
from gdyn.rounding import brief_time
from gdyn.statistics import Covariances, vamp2
from gdyn.statistics.interval import Interval
from gdyn.statistics.uncertainty import Estimate, covariances_of
from gdyn.store import States

OF_SEEDS = 0.5  # part of the seeds that have to find a process


class Added(Result):
    """What a number of states adds to a smaller one, on the validation frames."""

    n_states: int
    than: int
    """The smaller number; 1 is none."""
    gain: Share
    """Difference of the VAMP-2 scores."""
    timescale_ps: Annotated[Process, measured("ps", Process)]
    """The fastest process of the larger number, which has to be resolved."""
    seeds: int
    """How many there are."""
    found: int
    """In how many of them it is longer than the lag time, and the score is higher than that of the smaller number."""
    added: bool
    reason: str
    """In words."""


def added_by(more: States, rivals: Iterable[States], fewer: States | None, kinetics: Kinetics) -> Added:
    """Whether the best model of a number of states has a process that the best one of a smaller number lacks.

    The score has to be higher beyond its error, which is estimated from the same frames for both; every process of the
    larger model has to be resolved at the lag time; and at least half of the seeds have to find it.

    Parameters
    ----------
    more : validation states of the model of the highest score.
    rivals : those of all seeds of the same trial.
    fewer : those of the best model of the smaller number; None for no model.
    kinetics : that section of a system.
    """
    n, lag_ps = more.probabilities.shape[-1], more.lag_ps
    than = 1 if fewer is None else fewer.probabilities.shape[-1]
    blocks = blocks_of(more, kinetics)
    covariances = covariances_of(more, blocks)
    scores, least = covariances.map(vamp2), 0.0
    if fewer is not None:
        of_fewer = covariances_of(fewer, blocks).map(vamp2)
        scores, least = Estimate.join(lambda a, b: a - b, scores, of_fewer), of_fewer.whole
    gain = scores.interval()
    times = covariances.map_or_nan(lambda c: timescales(koopman_of(c), lag_ps), n - 1).interval(logarithmic=True)
    fastest = min(as_processes(times, more), key=lambda one: np.nan_to_num(one.value))
    has_it = [_has_more(rival, least) for rival in rivals]
    reason = _why(n, than, gain, fastest, sum(has_it), len(has_it), lag_ps)
    return Added(
        n_states=n,
        than=than,
        gain=gain,
        timescale_ps=fastest,
        seeds=len(has_it),
        found=sum(has_it),
        added=not reason,
        reason=reason or f"{n} states add a process of {fastest.as_time()}; the score rises by {gain}",
    )


def _why(n: int, than: int, gain: Interval, fastest: Process, found: int, seeds: int, lag_ps: float) -> str:
    """Why a number of states adds nothing; empty where it does."""
    nothing = f"{n} states add no process to {than}" if than > 1 else f"{n} states have no process"
    if not gain.low > 0:
        return f"{nothing}: the score does not rise beyond its error ({gain})"
    if not np.isfinite(fastest.value) or fastest.value <= lag_ps:
        time = "is not determined" if not np.isfinite(fastest.value) else f"takes {brief_time(fastest.value)}"
        return f"{nothing} that is resolved: the fastest {time}, at a lag time of {lag_ps:g} ps"
    if not fastest.resolved:
        return f"{nothing} that is resolved: the fastest takes {fastest.as_time()}, at a lag time of {lag_ps:g} ps"
    if found < OF_SEEDS * seeds:
        return f"{nothing} that other seeds find: {found} of {seeds} have it"
    return ""


def _has_more(states: States, least: float) -> bool:
    """Whether the score of a model is above another, and its fastest process slower than the lag time."""
    covariances = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    try:
        fastest_ps = timescales(koopman_of(covariances), states.lag_ps).min()
    except np.linalg.LinAlgError:
        return False
    return bool(vamp2(covariances) > least and fastest_ps > states.lag_ps)
