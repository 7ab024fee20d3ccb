"""Whether a process is as fast in all targets, and at all times: one timescale means little where it is not."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float

from gdyn.statistics.shapes import Matrix
from gdyn.store import States

STRETCHES = 10
MOSTLY = 0.5  # of a stretch, in which a target has to be there
LONG = 3  # lag times in a stretch, from which on two stretches hardly share a pair
REAL = 1e-9  # imaginary part of an eigenvalue, up to which its process does not go round
CLEARLY = 0.1  # chance that independent targets leave as much beside a straight line
LEAST = 0.15  # part of a rate by which it has to differ


class Paces(NamedTuple):
    """Sentences about processes that are not as fast in all targets, that change, and that vary in time."""

    heterogeneous: list[str]
    drift: list[str]
    collective: list[str]


def paces_of(splits: list[States], koopman: Matrix, level: float) -> Paces:
    """Look whether processes are as fast in all targets, and at all times (section "Stationary?" of docs/theory.md).

    Parameters
    ----------
    splits : states of the splits that there are, that of the test frames last.
    koopman : the Koopman matrix.
    level : chance of a false alarm of each comparison.
    """
    found = Paces([], [], [])
    processes = list(slow_eigenfunctions(koopman))
    for process, value, vector in processes:
        joined = in_time_order(splits, partial(residuals, value=value, vector=vector))
        each = level / len(joined) / len(processes)
        for number, pairs in enumerate(joined):
            where = f" of trajectory {number}" if len(joined) > 1 else ""
            targets, change, varies = uneven(pairs, splits[-1].lag_frames, value, each)
            rate = f"the rate of process {process}"
            if targets:
                found.heterogeneous.append(
                    f"targets{where} are not alike: {rate} {targets}, and its timescale is that of none of them"
                )
            if change:
                found.drift.append(f"{rate}{where} {change}: the run is not stationary")
            if varies:
                found.collective.append(
                    f"{rate}{where} {varies} more than that of independent targets would: it changes, or targets do "
                    f"not move independently"
                )
    return found


def in_time_order(splits: list[States], of: Callable[[States], np.ndarray]) -> list[np.ndarray]:
    """What is ``of`` the frames of each trajectory: of all splits where these follow each other, else of the last."""
    test = splits[-1]
    same = [one for one in splits if np.array_equal(one.target_ids, test.target_ids)]
    values = {id(one): of(one) for one in same}
    found = []
    for number in np.unique(test.trajectory):
        parts = [(one.time_ps[f], values[id(one)][f]) for one in same if (f := one.trajectory == number).any()]
        parts.sort(key=lambda part: part[0][0])
        if any(a[0][-1] >= b[0][0] for a, b in pairwise(parts)):
            parts = [(test.time_ps[f], values[id(test)][f]) for f in [test.trajectory == number]]
        found.append(np.concatenate([p for _, p in parts]))
    return found


def slow_eigenfunctions(koopman: Matrix) -> Iterator[tuple[int, float, np.ndarray]]:
    """Number (from 1), eigenvalue and right eigenvector of each process that is slower than the lag time."""
    if not np.isfinite(koopman).all():
        return
    values, vectors = np.linalg.eig(koopman)
    for number, place in enumerate(np.argsort(-np.abs(values), kind="stable")[1:], start=1):
        if abs(values[place].imag) < REAL and np.exp(-1.0) < values[place].real < 1.0:
            yield number, float(values[place].real), np.real(vectors[:, place])


def residuals(states: States, value: float, vector: np.ndarray) -> Float[np.ndarray, "frames targets"]:
    """By how much each pair of frames, a lag apart, decays less than the process: ``f(t) (f(t + lag) - value f(t))``.

    Of a Markov chain its mean is zero whatever was before, so means over stretches of time are uncorrelated, however
    slow the process is (section "Stationary?" of docs/theory.md). In units of the variance of f; NaN where there is no
    pair.

    Parameters
    ----------
    states : States
    value, vector : eigenvalue and right eigenvector of the process.
    """
    f = states.probabilities.astype(np.float64) @ vector
    lag, pairs = states.lag_frames, np.full(f.shape, np.nan)
    same = states.segment[:-lag] == states.segment[lag:]
    pairs[:-lag][same] = (f[:-lag] * (f[lag:] - value * f[:-lag]))[same]
    variance = np.nanmean(np.square(f))
    return pairs / variance if variance > 0.0 else pairs


def uneven(
    pairs: Float[np.ndarray, "frames targets"], lag_frames: int, value: float, level: float
) -> tuple[str, str, str]:
    """What the rate of a process does beyond chance: differ between targets, change, and vary in time.

    An analysis of variance of the means of the :func:`residuals` of each target in each of ten stretches.

    Parameters
    ----------
    pairs : of one trajectory, in the order of time.
    lag_frames : int
    value : eigenvalue of the process.
    level : chance of a false alarm of each comparison.

    Returns
    -------
    Ends of three sentences, empty where nothing is beyond chance or too little is known. The last is about targets that
    are taken to be independent of each other.
    """
    if len(pairs) < STRETCHES * LONG * lag_frames:
        return "", "", ""
    parts = np.array_split(pairs, STRETCHES)
    there = np.min([(~np.isnan(part)).mean(0) for part in parts], axis=0) >= MOSTLY
    n = int(there.sum())
    if n < 1:
        return "", "", ""
    cells = np.array([np.nanmean(part[:, there], axis=0) for part in parts])
    of_targets, of_times = cells.mean(0), cells.mean(1)
    freedom = (STRETCHES - 1) * (n - 1)
    rest = np.square(cells - of_targets - of_times[:, None] + cells.mean()).sum()
    within = rest / freedom if n > 1 else 0.0
    of_rate = -1.0 / (value * np.log(value))  # part of a rate, for a change of its eigenvalue

    def beyond(means: np.ndarray, of_each: int) -> float:
        """Standard deviation of the rate between some means beside chance; 0 where chance may be all there is."""
        if not within > 0.0:
            return 0.0
        between = of_each * means.var(ddof=1)
        spread = of_rate * np.sqrt(max(0.0, between - within) / of_each)
        sure = between > within * scipy.special.fdtri(len(means) - 1, freedom, 1.0 - level)
        return float(spread) if sure and spread > LEAST else 0.0

    targets, change, varies = "", "", ""
    if spread := beyond(of_targets, STRETCHES):
        targets = f"differs among them by {100 * spread:.0f} % (standard deviation)"
    # Along a straight line: its error is that of independent targets, or what is left beside the line, if that is more.
    place = np.arange(STRETCHES) - 0.5 * (STRETCHES - 1)
    square = np.square(place).sum()
    slope = place @ of_times / square
    left = np.square(of_times - of_times.mean() - slope * place).sum() / (STRETCHES - 2)
    beside = np.sqrt(left / square) * scipy.special.stdtrit(STRETCHES - 2, 1.0 - 0.5 * level)
    error = beside
    if within > 0.0:
        error = np.sqrt(within / n / square) * scipy.special.stdtrit(freedom, 1.0 - 0.5 * level)
        if left > within / n * scipy.special.chdtri(STRETCHES - 2, CLEARLY) / (STRETCHES - 2):
            error = max(error, beside)
    part = of_rate * slope * place[-1]
    if abs(slope) > error and abs(part) > LEAST:
        first, last = max(LEAST, 1.0 + part), max(LEAST, 1.0 - part)
        change = f"is {last / first:.2g} times as high in the last tenth of the run as in the first"
    elif spread := beyond(of_times, n):
        varies = f"varies in time by {100 * spread:.0f} % (standard deviation)"
    return targets, change, varies
