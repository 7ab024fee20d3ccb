"""The numbers of the Koopman report of one system, each with its 95 % interval and with what speaks against it."""

from dataclasses import replace
from itertools import chain

import numpy as np
import pandas as pd

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.events import transitions
from gdyn.kinetics.flags import BEYOND, EMPTY, flag
from gdyn.kinetics.koopman import (
    koopman_matrix,
    koopman_of,
    left_eigenvectors,
    nearest_reversible,
    reversible_of,
    slowest_timescale,
    stationary_distribution,
    timescales,
    transition_matrix,
)
from gdyn.kinetics.rates import cores, counted, counted_rates, first_passage_times, generator_of, mean_stays, misfit
from gdyn.logs import LOG
from gdyn.rounding import brief_time as time
from gdyn.statistics import (
    Covariances,
    match_states,
    present_rows,
    purity,
    score_with_floor,
    simplex_rotation,
    vamp2,
)
from gdyn.statistics.interval import PROBABILITY, Interval
from gdyn.statistics.uncertainty import Blocks, Estimate, with_interval
from gdyn.store import States
from gdyn.units import multiple

SAME_SHARE = 0.05  # of what leaves a state within the lag, by which two matrices may differ besides their intervals
CERTAIN = 0.5  # of the frames of a state, in which a target has to be in its core for its visits to be counted
LARGEST_CHANGE = np.log(1.1)  # of a timescale beyond the lag, that still counts as none
VAMP2_CONVENTION = "means removed: at most n_states - 1; deeptime's score is larger by 1"


def analyse(train, validation, test, koopman, implied_timescales, kinetics):
    """Estimate the Koopman model on the test states and write it.

    Parameters
    ----------
    train, validation, test : paths of the states files.
    koopman : path of the JSON to write: populations, matrices, timescales, eigenvectors, scores, each with its
        interval, and ``flags``, what of them is not to be trusted.
    implied_timescales : path of the CSV to write: timescales at many lag times.
    kinetics : that section of a system.

    """
    files = {"train": train, "validation": validation, "test": test}
    scores = {name: score(States.read(path), kinetics) for name, path in files.items()}
    states = States.read(test)
    lag, lag_ps = states.lag_frames, states.lag_ps
    n = states.probabilities.shape[-1]
    blocks = blocks_of(states, kinetics)
    covariances = Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks)
    matrices = covariances.map_or_nan(koopman_of, (n, n))
    matrix = matrices.whole
    populations = Estimate.of(lambda p, s: mean_population(p), states, blocks)
    assigned = Estimate.of(lambda p, s: mean_population(assign(p)), states, blocks)
    like = left_eigenvectors(matrix)
    seen = transitions(states, matrix)
    found_ps = matrices.map(lambda m: timescales(m, lag_ps)).interval(logarithmic=True)
    slow = as_processes(found_ps, states, seen)
    found = {
        "n_states": n,
        "lag_ps": lag_ps,
        "populations": populations.interval(within=PROBABILITY),
        "populations_assigned": assigned.interval(within=PROBABILITY),
        "purity": with_interval(lambda p, s: purity(p), states, blocks, within=(1.0 / n, 1.0)),
        "koopman": matrices.interval(within=PROBABILITY),
        "stationary_distribution": matrices.map_or_nan(stationary_distribution, n).interval(within=PROBABILITY),
        "eigenvectors": matrices.map(lambda m: left_eigenvectors(m, like)).interval(),
        "timescales_ps": slow,
        "transitions": seen,
        **of_reversible(covariances, states, blocks),
        "pcca": pcca_form(states, populations, matrices),
    }
    flags = flag(states, matrix, slow, blocks, scores, found)
    for sentence in chain.from_iterable(flags.values()):
        LOG.warning("%s", sentence)
    write_json(
        koopman,
        {
            **found,
            "vamp2": scores | {"convention": VAMP2_CONVENTION},
            "intervals": {
                "method": f"t-distribution over {blocks.described}",
                "blocks": len(blocks),
                "block_ps": blocks.length_ps,
            },
            "flags": flags,
        },
    )
    write_table(implied_timescales, scan_lags(states, kinetics))


def mean_population(probabilities):
    """Mean of the probabilities over all targets and frames in which there are any: (states,)."""
    rows = present_rows(probabilities)
    return rows.mean(0, dtype=np.float64) if len(rows) else np.full(probabilities.shape[-1], np.nan)


def assign(probabilities):
    """The same with every target in its most probable state for certain."""
    hard = np.eye(probabilities.shape[-1], dtype=np.float32)[np.nan_to_num(probabilities).argmax(-1)]
    hard[np.isnan(probabilities[..., 0])] = np.nan
    return hard


def of_reversible(covariances, states, blocks):
    """The reversible matrix, and the rates and times that follow from it or, where they do not, from counting.

    Intervals are from all blocks but one in turn (the jackknife): a block that lacks a state says nothing alone.

    Returns
    -------
    dict with ``reversible``, ``reversible_timescales_ps``, ``lifetimes_ps``, ``first_passage_ps`` and
    ``counted_lifetimes_ps``, each with its interval, and ``rates_from``, which is ``generator`` or ``counted``, with
    ``no_generator``, why it is not the first.
    """
    n, lag_ps, frame_ps = states.probabilities.shape[-1], states.lag_ps, states.frame_interval_ps
    together = covariances.jackknife(Covariances.together)
    joints = together.map_or_nan(reversible_of, (n, n))
    matrices = joints.map(transition_matrix).interval(within=PROBABILITY)
    counts, uncounted = counts_of(states, blocks)
    by_counting = counts.map(lambda number: counted_rates(number, frame_ps))
    of_cores = counts.map_or_nan(lambda number: generator_of(nearest_reversible(number), frame_ps), (n, n))
    if not np.isfinite(of_cores.whole).any():
        of_cores = by_counting
    rates = joints.map_or_nan(lambda joint: generator_of(joint, lag_ps), (n, n))
    raw = together.map_or_nan(koopman_of, (n, n)).interval()
    reason = why_no_generator(rates, of_cores, matrices, raw, lag_ps)
    if reason:
        rates = of_cores
    stays, passages = rates.map(mean_stays), rates.map(first_passage_times)
    return {
        "reversible": matrices,
        "reversible_timescales_ps": joints.map(
            lambda joint: timescales(transition_matrix(joint), lag_ps)
        ).interval(logarithmic=True),
        "lifetimes_ps": stays.interval(logarithmic=True),
        "first_passage_ps": with_zeros(passages.interval(logarithmic=True)),
        "counted_lifetimes_ps": by_counting.map(mean_stays).interval(logarithmic=True),
        "rates_from": "counted" if reason else "generator",
        "no_generator": reason,
        "not_counted": uncounted,
    }  # fmt: skip


def counts_of(states, blocks):
    """Stays and moves between the cores of the states, from all blocks but one in turn, and why there are none, if so.

    Where a state that holds anything is certain nowhere, the times spent in it would count as spent in others.
    """
    n = states.probabilities.shape[-1]
    least = cores(states.probabilities)
    counts = Estimate.of(lambda p, s: counted(p, s, least), states, blocks)
    rows = present_rows(states.probabilities)
    most = rows.argmax(1)
    for state in np.flatnonzero(mean_population(states.probabilities) >= EMPTY):
        certain = rows[most == state, state] > least[state]
        if not len(certain) or certain.mean() < CERTAIN:
            nothing = Estimate(np.full((n, n), np.nan), [None] * len(counts.samples), without_one=True)
            return nothing, f"targets are seldom in state {state + 1} for certain"
    return counts.jackknife(lambda parts: np.sum(parts, axis=0)), None


def why_no_generator(rates, of_cores, matrices, raw, lag_ps):
    """Why the rates of the reversible matrix are not to be used, or None.

    Parameters
    ----------
    rates, of_cores : Estimates of the rates of the reversible matrix, and of those between cores.
    matrices, raw : the reversible matrix and the Koopman matrix, each with its interval.
    """
    if not np.isfinite(matrices.value).all():
        return "there is none, as some states are not told apart, or left for good"
    if np.isnan(rates.whole).all():
        return "a process has decayed within the lag time, so that the matrix has no logarithm"
    wrong = np.abs(misfit(rates.whole, raw.value, lag_ps))
    allowed = 2.0 * np.nan_to_num(raw.half) + SAME_SHARE * (1.0 - np.diag(raw.value))[:, None]
    i, j = np.unravel_index((wrong - allowed).argmax(), wrong.shape)
    if wrong[i, j] > allowed[i, j]:
        return f"its rates do not give the Koopman matrix back (from state {i + 1} to {j + 1} by {wrong[i, j]:.2g})"
    own, other = (found.map(mean_stays).interval(logarithmic=True) for found in (rates, of_cores))
    with np.errstate(invalid="ignore"):
        apart = (own.low > other.high) | (own.high < other.low)
    for state in np.flatnonzero(apart):
        return (
            f"it gives {time(own.value[state])} in state {state + 1} where visits last "
            f"{time(other.value[state])}, as the states are not pure"
        )
    return None


def with_zeros(times):
    """Times from a state to itself are none, and that is certain."""
    itself = np.eye(len(times), dtype=bool)
    return replace(times, low=np.where(itself, times.value, times.low), high=np.where(itself, times.value, times.high))


def pcca_form(states, populations, matrices):
    """Populations and Koopman matrix after the linear map to PCCA+ memberships (section "Pure states", docs/theory.md).

    The map is determined by the slow processes alone: every network that found them has the same memberships, however
    its own states are mixed. None where the states are linearly dependent.
    """
    if not np.isfinite(matrices.whole).all():
        return None
    rotation = simplex_rotation(states.probabilities, states.segment, states.lag_frames)
    if rotation is None:
        return None
    rows = present_rows(states.probabilities)
    means = rows.mean(0, dtype=np.float64) @ rotation
    if means.min() < 0.0 or means.max() > 1.0:  # then the states do not span a simplex
        return None
    rotation = rotation[:, match_states(rows, np.clip(rows @ rotation, 0.0, 1.0))[0]]
    return {
        "populations": populations.map(lambda p: p @ rotation).interval(within=PROBABILITY),
        "koopman": matrices.map(lambda matrix: np.linalg.solve(rotation, matrix @ rotation)).interval(
            within=PROBABILITY
        ),
    }


def score(states, kinetics):
    """VAMP-2 score of a split with its interval, and its noise floor: a dict."""
    c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    value, floor = score_with_floor(c, states.lag_frames)
    try:
        blocks = blocks_of(states, kinetics)
        most = states.probabilities.shape[-1] - 1.0
        found = with_interval(
            lambda p, s: vamp2(Covariances.of(p, s, states.lag_frames)), states, blocks, within=(0.0, most)
        )
    except InputError:  # too few trajectories or targets in this split to say
        found = Interval.unknown()
    return replace(found, value=value).plain() | {"noise_floor": floor}


def blocks_of(states, kinetics):
    """The blocks behind the intervals, chosen with the slowest timescale of the states where the choice is ours.

    Raises
    ------
    InputError : see :func:`gdyn.statistics.uncertainty.Blocks.of`.
    """
    return Blocks.of(states, kinetics, slowest_timescale(states))


def process_timescales(states, lag_frames, blocks):
    """Timescales with intervals at a lag time, see :func:`as_processes`; no numbers where there are none."""
    lag_ps = lag_frames * states.frame_interval_ps
    n = states.probabilities.shape[-1]
    matrices = Estimate.of(lambda p, s: Covariances.of(p, s, lag_frames), states, blocks).map_or_nan(koopman_of, (n, n))
    return as_processes(matrices.map(lambda m: timescales(m, lag_ps)).interval(logarithmic=True), states, lag_ps=lag_ps)


def as_processes(found, states, seen=None, lag_ps=None):
    """A list of dicts ``value``, ``low``, ``high`` (ps) and ``resolved``, one for each process.

    A process is resolved where its timescale, with its whole interval, is longer than the lag time, and not beyond what
    the frames can tell: 100 times their length, or slower than any transition that was seen.

    Parameters
    ----------
    found : Interval of the timescales, (processes,).
    states : States
    seen : their :func:`gdyn.kinetics.events.transitions`, where they are known.
    lag_ps : where it is not that of the states.
    """
    lag_ps, rows = lag_ps or states.lag_ps, []
    for number, one in enumerate(found):
        known = np.isfinite(one.value) and np.isfinite(one.low)
        resolved = bool(known and one.low > lag_ps and one.value <= BEYOND * states.length_ps)
        if seen is not None:
            resolved = resolved and seen[number]["forward"] + seen[number]["backward"] > 0
        rows.append(one.plain() | {"resolved": resolved})
    return rows


def flat_timescales(states, blocks):
    """Whether the timescales of all slow processes stay the same beyond the lag time.

    A timescale is not flat where, at twice or three times the lag, it has changed by more than 10 %, and the interval
    of that change, from the same blocks at both lags, does not reach down to no change. A process is slow where it is
    resolved at the lag; the others say nothing about it.

    Returns
    -------
    dict ``flat`` (None where no process is slow, or no longer lag fits twice into a block) and ``largest_change``, a
    ratio of timescales.
    """
    lag = states.lag_frames
    slow = [process["resolved"] for process in process_timescales(states, lag, blocks)]
    flat, largest = None, None
    if not any(slow):
        return {"flat": flat, "largest_change": largest}
    for longer in (2 * lag, 3 * lag):
        if 2 * longer >= blocks.frames:
            break
        flat = True if flat is None else flat
        with np.errstate(invalid="ignore", divide="ignore"):
            try:
                change = with_interval(
                    lambda p, s, longer=longer: np.log(
                        timescales(koopman_matrix(p, s, longer), longer) / timescales(koopman_matrix(p, s, lag), lag)
                    ),
                    states,
                    blocks,
                )
            except np.linalg.LinAlgError:
                break
        value, significant = change.value[slow], (change.low * change.high > 0)[slow]
        largest = float(np.exp(np.abs(value).max(initial=np.log(largest or 1.0))))
        flat = flat and not bool((significant & (np.abs(value) > LARGEST_CHANGE)).any())
    return {"flat": flat, "largest_change": largest}


def scan_lags(states, kinetics):
    """Implied timescales at many lag times: one row for each lag and process."""
    rows = []
    blocks = blocks_of(states, kinetics)
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= blocks.frames and lag != states.lag_frames:
            LOG.warning("the lag of %g ps does not fit twice into a block of the test frames: left out", lag_ps)
            continue
        for process, found in enumerate(process_timescales(states, lag, blocks), start=1):
            rows.append(
                {
                    "lag_ps": lag_ps,
                    "process": process,
                    "timescale_ps": found["value"],
                    "low_ps": found["low"],
                    "high_ps": found["high"],
                    "resolved": found["resolved"],
                }
            )
    return pd.DataFrame(rows)


def lag_times(states, kinetics):
    """The lag times of the implied timescales, ps: those asked for, or a series from one frame to ten lags."""
    if kinetics.timescale_lags_ps:
        return sorted({*kinetics.timescale_lags_ps, states.lag_ps})
    series = np.geomspace(1, 10 * states.lag_frames, 12).round().astype(int)
    return (np.unique([*series, states.lag_frames]) * states.frame_interval_ps).tolist()
