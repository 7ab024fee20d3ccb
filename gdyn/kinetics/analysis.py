"""The numbers of the Koopman report of one system, each with its 95 % interval."""

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.koopman import (
    check_states,
    first_passage_times,
    koopman_matrix,
    left_eigenvectors,
    lifetimes,
    reversible_matrix,
    sorted_eigenvalues,
    stationary_distribution,
    timescales,
)
from gdyn.kinetics.uncertainty import INDEPENDENT, Blocks, with_interval
from gdyn.logs import LOG
from gdyn.statistics import Covariances, present_rows, purity, score_with_floor
from gdyn.store import States
from gdyn.units import multiple

LARGEST_CHANGE = np.log(1.1)  # of a timescale beyond the lag, that still counts as none
VAMP2_CONVENTION = "means removed: at most n_states - 1; deeptime's score is larger by 1"


def analyse(train, validation, test, koopman, implied_timescales, kinetics):
    """Estimate the Koopman model on the test states and write it.

    Parameters
    ----------
    train, validation, test : paths of the states files.
    koopman : path of the JSON to write: populations, matrix, timescales, eigenvectors, scores.
    implied_timescales : path of the CSV to write: timescales at many lag times.
    kinetics : that section of a system.

    Raises
    ------
    InputError : the states are not independent of each other, or a lag does not fit into a chunk.
    """
    files = {"train": train, "validation": validation, "test": test}
    scores = {name: score(States.read(path)) for name, path in files.items()}
    states = States.read(test)
    matrix = check_states(states)
    lag = states.lag_frames
    blocks = blocks_of(states, kinetics)
    like = left_eigenvectors(matrix)
    slow = process_timescales(states, lag, blocks)
    warnings = warn(matrix, slow, blocks, scores)
    for sentence in warnings:
        LOG.warning("%s", sentence)
    write_json(
        koopman,
        {
            "n_states": len(matrix),
            "lag_ps": states.lag_ps,
            "populations": with_interval(lambda p, s: present_rows(p).mean(0, dtype=np.float64), states, blocks),
            "purity": with_interval(lambda p, s: purity(p), states, blocks),
            "koopman": with_interval(lambda p, s: koopman_matrix(p, s, lag), states, blocks),
            "stationary_distribution": with_interval(
                lambda p, s: stationary_distribution(koopman_matrix(p, s, lag)), states, blocks
            ),
            "eigenvectors": with_interval(
                lambda p, s: left_eigenvectors(koopman_matrix(p, s, lag), like), states, blocks
            ),
            "timescales_ps": slow,
            "reversible": of_reversible(lambda matrix: matrix, states, blocks),
            "reversible_timescales_ps": of_reversible(lambda m: timescales(m, states.lag_ps), states, blocks, True),
            "lifetimes_ps": of_reversible(lambda m: lifetimes(m, states.lag_ps), states, blocks, True),
            "first_passage_ps": of_reversible(lambda m: first_passage_times(m, states.lag_ps), states, blocks, True),
            "vamp2": {name: value["score"] for name, value in scores.items()}
            | {"noise_floor": scores["test"]["noise_floor"], "convention": VAMP2_CONVENTION},
            "intervals": {
                "method": f"t-distribution over {blocks.described}",
                "blocks": len(blocks),
                "block_ps": blocks.length_ps,
            },
            "warnings": warnings,
        },
    )
    write_table(implied_timescales, scan_lags(states, kinetics))


def of_reversible(function, states, blocks, logarithmic=False):
    """A function of the reversible matrix with its interval; no number where the matrix cannot be found."""

    def estimate(probabilities, segment):
        return function(reversible_matrix(probabilities, segment, states.lag_frames))

    try:
        return with_interval(estimate, states, blocks, logarithmic)
    except np.linalg.LinAlgError:
        nothing = np.full(np.shape(function(np.eye(states.probabilities.shape[-1]))), np.nan)
        return {"value": nothing, "low": nothing, "high": nothing}


def score(states):
    """VAMP-2 score and noise floor of a split."""
    c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    return dict(zip(("score", "noise_floor"), score_with_floor(c, states.lag_frames), strict=True))


def blocks_of(states, kinetics):
    """The blocks behind the intervals, chosen with the slowest timescale of the states where the choice is ours.

    Raises
    ------
    InputError : see :func:`gdyn.kinetics.uncertainty.Blocks.of`.
    """
    try:
        slowest = timescales(koopman_matrix(states.probabilities, states.segment, states.lag_frames), states.lag_ps)[0]
    except np.linalg.LinAlgError:
        slowest = None
    return Blocks.of(states, kinetics, slowest)


def process_timescales(states, lag_frames, blocks):
    """Timescales with intervals: a list of dicts ``value``, ``low``, ``high`` (ps), ``resolved``.

    A process is resolved where its timescale, with its whole interval, is longer than the lag time.
    """
    lag_ps = lag_frames * states.frame_interval_ps
    found = with_interval(
        lambda p, s: timescales(koopman_matrix(p, s, lag_frames), lag_ps), states, blocks, logarithmic=True
    )
    rows = []
    for value, low, high in zip(found["value"], found["low"], found["high"], strict=True):
        resolved = bool(np.isfinite(value) and np.isfinite(low) and low > lag_ps)
        rows.append({"value": value, "low": low, "high": high, "resolved": resolved})
    return rows


def flat_timescales(states, blocks):
    """Whether the timescales of all slow processes stay the same beyond the lag time.

    A timescale is not flat where, at twice or three times the lag, it has changed by more than 10 %, and the interval
    of that change, from the same blocks at both lags, does not reach down to no change. A process is slow where it is
    resolved at the lag; the others say nothing about it.

    Returns
    -------
    dict ``flat`` (None where no longer lag fits twice into a block) and ``largest_change``, a ratio of timescales.
    """
    lag = states.lag_frames
    slow = [process["resolved"] for process in process_timescales(states, lag, blocks)]
    flat, largest = None, None
    for longer in (2 * lag, 3 * lag):
        if 2 * longer >= blocks.frames:
            break
        flat = True if flat is None else flat
        with np.errstate(invalid="ignore", divide="ignore"):
            change = with_interval(
                lambda p, s, longer=longer: np.log(
                    timescales(koopman_matrix(p, s, longer), longer) / timescales(koopman_matrix(p, s, lag), lag)
                ),
                states,
                blocks,
            )
        value, significant = change["value"][slow], (change["low"] * change["high"] > 0)[slow]
        largest = float(np.exp(np.abs(value).max(initial=np.log(largest or 1.0))))
        flat = flat and not bool((significant & (np.abs(value) > LARGEST_CHANGE)).any())
    return {"flat": flat, "largest_change": largest}


def scan_lags(states, kinetics):
    """Implied timescales at many lag times: one row for each lag and process."""
    rows = []
    blocks = blocks_of(states, kinetics)
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= blocks.frames:
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
    if not rows:
        raise InputError(
            "kinetics.timescale_lags_ps: none of these lags fits twice into a block of the test frames; "
            "shorten them or lower kinetics.chunks"
        )
    return pd.DataFrame(rows)


def lag_times(states, kinetics):
    """The lag times of the implied timescales, ps: those asked for, or a series from one frame to ten lags."""
    if kinetics.timescale_lags_ps:
        return sorted({*kinetics.timescale_lags_ps, states.lag_ps})
    series = np.geomspace(1, 10 * states.lag_frames, 12).round().astype(int)
    return (np.unique([*series, states.lag_frames]) * states.frame_interval_ps).tolist()


def warn(matrix, slow, blocks, scores):
    """Sentences about what in the model is not to be trusted."""
    warnings = []
    lowest = matrix.min()
    if lowest < 0:
        i, j = np.unravel_index(matrix.argmin(), matrix.shape)
        warnings.append(f"the Koopman matrix has a negative entry ({lowest:.2g}, from state {i + 1} to {j + 1})")
    eigenvalues = sorted_eigenvalues(matrix)[1:]
    if np.abs(eigenvalues.imag).max() > 1e-9:
        warnings.append("the Koopman matrix has complex eigenvalues, as no process in equilibrium has: they are noise")
    fluxes = np.maximum(stationary_distribution(matrix)[:, None] * matrix, 0.0)
    pieces, of_state = connected_components(fluxes > 0, directed=True, connection="strong")
    if pieces > 1:
        apart = " and ".join(
            "{" + ", ".join(str(i + 1) for i in np.flatnonzero(of_state == piece)) + "}" for piece in range(pieces)
        )
        warnings.append(f"the states {apart} do not exchange targets both ways in these frames")
    for number, process in enumerate(slow, start=1):
        if not process["resolved"]:
            warnings.append(
                f"process {number} is not resolved: its timescale is not significantly longer than the lag time"
            )
    slowest = slow[0]["value"]
    if not np.isfinite(slowest):
        warnings.append("the slowest eigenvalue is not below 1: the test frames show no relaxation")
    elif blocks.method == "time" and blocks.length_ps < INDEPENDENT * slowest:
        warnings.append(
            f"the stretches of time behind the intervals are {blocks.length_ps:.0f} ps long, under {INDEPENDENT:g} "
            f"times the slowest timescale ({slowest:.0f} ps): the intervals are too narrow"
        )
    elif blocks.length_ps < slowest:
        warnings.append(
            f"the frames last {blocks.length_ps:.0f} ps, less than the slowest timescale ({slowest:.0f} ps): it rests "
            f"on many targets, few of which change their state, and on a beginning in equilibrium"
        )
    for name, value in scores.items():
        if value["score"] < 3 * value["noise_floor"]:
            warnings.append(f"the VAMP-2 score of the {name} frames is hardly above its noise floor")
    return warnings
