"""The numbers of the Koopman report of one system, each with its 95 % interval."""

import numpy as np
import pandas as pd

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.koopman import check_states, koopman_matrix, left_eigenvectors, stationary_distribution, timescales
from gdyn.kinetics.uncertainty import with_interval
from gdyn.logs import LOG
from gdyn.statistics import Covariances, noise_floor, present_rows, purity, vamp2
from gdyn.store import States
from gdyn.units import multiple

VAMP2_CONVENTION = "means removed: at most n_states - 1; deeptime's score is larger by 1"
RESOLVED_CHUNKS = 5.0


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
    lag, k = states.lag_frames, kinetics.chunks
    like = left_eigenvectors(matrix)
    slow = process_timescales(states, lag, k)
    chunk_ps = len(states.time_ps) * states.frame_interval_ps / k
    warnings = warn(matrix, slow, chunk_ps, scores)
    for sentence in warnings:
        LOG.warning("%s", sentence)
    write_json(
        koopman,
        {
            "n_states": len(matrix),
            "lag_ps": states.lag_ps,
            "populations": with_interval(lambda p, s: present_rows(p).mean(0, dtype=np.float64), states, k),
            "purity": with_interval(lambda p, s: purity(p), states, k),
            "koopman": with_interval(lambda p, s: koopman_matrix(p, s, lag), states, k),
            "stationary_distribution": with_interval(
                lambda p, s: stationary_distribution(koopman_matrix(p, s, lag)), states, k
            ),
            "eigenvectors": with_interval(lambda p, s: left_eigenvectors(koopman_matrix(p, s, lag), like), states, k),
            "timescales_ps": slow,
            "vamp2": {name: value["score"] for name, value in scores.items()}
            | {"noise_floor": scores["test"]["noise_floor"], "convention": VAMP2_CONVENTION},
            "intervals": {"method": "t-distribution over chunks of time", "chunks": k, "chunk_ps": chunk_ps},
            "warnings": warnings,
        },
    )
    write_table(implied_timescales, scan_lags(states, kinetics))


def score(states):
    """VAMP-2 score and noise floor of a split."""
    c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    value = vamp2(c)
    return {"score": value, "noise_floor": noise_floor(value, len(c.c00), c.samples, states.lag_frames, c.walkers)}


def process_timescales(states, lag_frames, n_chunks):
    """Timescales with intervals: a list of dicts ``value``, ``low``, ``high`` (ps), ``resolved``.

    A process is resolved where its timescale, with its whole interval, is longer than the lag time.
    """
    lag_ps = lag_frames * states.frame_interval_ps
    found = with_interval(
        lambda p, s: timescales(koopman_matrix(p, s, lag_frames), lag_ps), states, n_chunks, logarithmic=True
    )
    rows = []
    for value, low, high in zip(found["value"], found["low"], found["high"], strict=True):
        resolved = bool(np.isfinite(value) and np.isfinite(low) and low > lag_ps)
        rows.append({"value": value, "low": low, "high": high, "resolved": resolved})
    return rows


def scan_lags(states, kinetics):
    """Implied timescales at many lag times: one row for each lag and process."""
    rows = []
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= len(states.segment) // kinetics.chunks:
            LOG.warning("the lag of %g ps does not fit twice into a chunk of the test frames: left out", lag_ps)
            continue
        for process, found in enumerate(process_timescales(states, lag, kinetics.chunks), start=1):
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
            "kinetics.timescale_lags_ps: none of these lags fits twice into a chunk of the test frames; "
            "shorten them or lower kinetics.chunks"
        )
    return pd.DataFrame(rows)


def lag_times(states, kinetics):
    """The lag times of the implied timescales, ps: those asked for, or a series from one frame to ten lags."""
    if kinetics.timescale_lags_ps:
        return sorted({*kinetics.timescale_lags_ps, states.lag_ps})
    series = np.geomspace(1, 10 * states.lag_frames, 12).round().astype(int)
    return (np.unique([*series, states.lag_frames]) * states.frame_interval_ps).tolist()


def warn(matrix, slow, chunk_ps, scores):
    """Sentences about what in the model is not to be trusted."""
    warnings = []
    lowest = matrix.min()
    if lowest < 0:
        i, j = np.unravel_index(matrix.argmin(), matrix.shape)
        warnings.append(f"the Koopman matrix has a negative entry ({lowest:.2g}, from state {i + 1} to {j + 1})")
    for number, process in enumerate(slow, start=1):
        if not process["resolved"]:
            warnings.append(
                f"process {number} is not resolved: its timescale is not significantly longer than the lag time"
            )
    slowest = slow[0]["value"]
    if not np.isfinite(slowest):
        warnings.append("the slowest eigenvalue is not below 1: the test frames show no relaxation")
    elif chunk_ps < RESOLVED_CHUNKS * slowest:
        warnings.append(
            f"the chunks behind the intervals are {chunk_ps:.0f} ps long, under {RESOLVED_CHUNKS:g} times the slowest "
            f"timescale ({slowest:.0f} ps): the intervals are too narrow"
        )
    for name, value in scores.items():
        if value["score"] < 3 * value["noise_floor"]:
            warnings.append(f"the VAMP-2 score of the {name} frames is hardly above its noise floor")
    return warnings
