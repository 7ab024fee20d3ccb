"""The numbers of the Koopman report of one system, each with its 95 % interval and with what speaks against it."""

from itertools import chain

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.events import FEW, transitions
from gdyn.kinetics.koopman import (
    check_states,
    first_passage_times,
    koopman_matrix,
    koopman_of,
    left_eigenvectors,
    lifetimes,
    reversible_of,
    slowest_timescale,
    sorted_eigenvalues,
    stationary_distribution,
    timescales,
)
from gdyn.kinetics.uncertainty import INDEPENDENT, Blocks, Estimate, with_interval
from gdyn.logs import LOG
from gdyn.statistics import (
    Covariances,
    match_states,
    present_rows,
    purity,
    score_with_floor,
    simplex_rotation,
    vamp2,
)
from gdyn.store import States
from gdyn.units import multiple

LARGEST_CHANGE = np.log(1.1)  # of a timescale beyond the lag, that still counts as none
STRANGE = 0.01  # of the surroundings, above which their being unlike those of the training is told
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

    Raises
    ------
    InputError : the states are not independent of each other, or a lag does not fit into a chunk.
    """
    files = {"train": train, "validation": validation, "test": test}
    scores = {name: score(States.read(path), kinetics) for name, path in files.items()}
    states = States.read(test)
    matrix = check_states(states)
    lag, lag_ps = states.lag_frames, states.lag_ps
    blocks = blocks_of(states, kinetics)
    covariances = Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks)
    matrices = covariances.map(koopman_of)
    populations = Estimate.of(lambda p, s: present_rows(p).mean(0, dtype=np.float64), states, blocks)
    like = left_eigenvectors(matrix)
    slow = as_processes(matrices.map(lambda m: timescales(m, lag_ps)).interval(logarithmic=True), lag_ps)
    found = {
        "n_states": len(matrix),
        "lag_ps": lag_ps,
        "populations": populations.interval(),
        "purity": with_interval(lambda p, s: purity(p), states, blocks),
        "koopman": matrices.interval(),
        "stationary_distribution": matrices.map(stationary_distribution).interval(),
        "eigenvectors": matrices.map(lambda m: left_eigenvectors(m, like)).interval(),
        "timescales_ps": slow,
        "transitions": transitions(states, matrix),
        **of_reversible(covariances, lag_ps),
        "pcca": pcca_form(states, populations, matrices),
    }
    flags = flag(matrix, slow, blocks, scores, found)
    if states.outside > STRANGE:
        flags["populations"] = [
            f"{100 * states.outside:.1f} % of the surroundings in the test frames are unlike any that the model was "
            f"trained on, by distances or elements of neighbors: its states say little there"
        ]
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


def of_reversible(covariances, lag_ps):
    """The reversible matrix and the times that need probabilities, no numbers where it cannot be found."""
    n = len(covariances.whole.c00)
    try:
        matrices = covariances.map(reversible_of)
    except np.linalg.LinAlgError:
        matrices = Estimate(np.full((n, n), np.nan), [None] * len(covariances.samples))
    found = {"reversible": matrices.interval()}
    for name, function, shape in (
        ("reversible_timescales_ps", timescales, n - 1),
        ("lifetimes_ps", lifetimes, n),
        ("first_passage_ps", first_passage_times, (n, n)),
    ):
        try:
            times = matrices.map(lambda matrix, function=function: function(matrix, lag_ps))
        except np.linalg.LinAlgError:
            times = Estimate(np.full(shape, np.nan), [None] * len(matrices.samples))
        found[name] = times.interval(logarithmic=True)
    return found


def pcca_form(states, populations, matrices):
    """Populations and Koopman matrix after the linear map to PCCA+ memberships (section "Pure states", docs/theory.md).

    The map is determined by the slow processes alone: every network that found them has the same memberships, however
    its own states are mixed. None where the states are linearly dependent.
    """
    rotation = simplex_rotation(states.probabilities, states.segment, states.lag_frames)
    if rotation is None:
        return None
    rows = present_rows(states.probabilities)
    rotation = rotation[:, match_states(rows, np.clip(rows @ rotation, 0.0, 1.0))[0]]
    return {
        "populations": populations.map(lambda p: p @ rotation).interval(),
        "koopman": matrices.map(lambda matrix: np.linalg.solve(rotation, matrix @ rotation)).interval(),
    }


def score(states, kinetics):
    """VAMP-2 score of a split with its interval, and its noise floor: a dict."""
    c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    value, floor = score_with_floor(c, states.lag_frames)
    try:
        blocks = blocks_of(states, kinetics)
        found = with_interval(lambda p, s: vamp2(Covariances.of(p, s, states.lag_frames)), states, blocks)
    except InputError:  # too few trajectories or targets in this split to say
        found = {"low": np.nan, "high": np.nan}
    return {"value": value, "low": found["low"], "high": found["high"], "noise_floor": floor}


def blocks_of(states, kinetics):
    """The blocks behind the intervals, chosen with the slowest timescale of the states where the choice is ours.

    Raises
    ------
    InputError : see :func:`gdyn.kinetics.uncertainty.Blocks.of`.
    """
    return Blocks.of(states, kinetics, slowest_timescale(states))


def process_timescales(states, lag_frames, blocks):
    """Timescales with intervals at a lag time; see :func:`as_processes`."""
    lag_ps = lag_frames * states.frame_interval_ps
    found = with_interval(
        lambda p, s: timescales(koopman_matrix(p, s, lag_frames), lag_ps), states, blocks, logarithmic=True
    )
    return as_processes(found, lag_ps)


def as_processes(found, lag_ps):
    """A list of dicts ``value``, ``low``, ``high`` (ps) and ``resolved``, one for each process.

    A process is resolved where its timescale, with its whole interval, is longer than the lag time.
    """
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


def flag(matrix, slow, blocks, scores, found):
    """What in the model is not to be trusted: for each number of the summary a list of sentences."""
    flags = {key: [] for key in ("koopman", "timescales_ps", "vamp2", "lifetimes_ps", "intervals")}
    lowest = matrix.min()
    if lowest < 0:
        i, j = np.unravel_index(matrix.argmin(), matrix.shape)
        flags["koopman"].append(
            f"the Koopman matrix has a negative entry ({lowest:.2g}, from state {i + 1} to {j + 1})"
        )
    eigenvalues = sorted_eigenvalues(matrix)[1:]
    if np.abs(eigenvalues.imag).max() > 1e-9:
        flags["koopman"].append(
            "the Koopman matrix has complex eigenvalues, as no process in equilibrium has: they are noise"
        )
    if np.abs(eigenvalues[0]) >= 1.0:
        flags["koopman"].append(
            f"the Koopman matrix has a second eigenvalue of modulus {np.abs(eigenvalues[0]):.4g}, not below 1: "
            f"the test frames show no relaxation of that process"
        )
    fluxes = np.maximum(stationary_distribution(matrix)[:, None] * matrix, 0.0)
    pieces, of_state = connected_components(fluxes > 0, directed=True, connection="strong")
    if pieces > 1:
        apart = " and ".join(
            "{" + ", ".join(str(i + 1) for i in np.flatnonzero(of_state == piece)) + "}" for piece in range(pieces)
        )
        flags["koopman"].append(f"the states {apart} do not exchange targets both ways in these frames")
    lag_ps = found["lag_ps"]
    for number, process in enumerate(slow, start=1):
        if not process["resolved"] and process["value"] <= lag_ps:
            flags["timescales_ps"].append(
                f"process {number} is not resolved: its timescale ({process['value']:.3g} ps) is below the lag time"
            )
        elif not process["resolved"]:
            flags["timescales_ps"].append(
                f"process {number} is not resolved: its timescale is not significantly longer than the lag time"
            )
    for number, seen in enumerate(found["transitions"], start=1):
        if slow[number - 1]["resolved"] and min(seen["forward"], seen["backward"]) < FEW:
            flags["timescales_ps"].append(
                f"process {number} rests on {seen['forward']} observed transitions and {seen['backward']} back"
            )
    slowest = slow[0]["value"]
    if blocks.method == "time" and np.isfinite(slowest) and blocks.length_ps < INDEPENDENT * slowest:
        flags["intervals"].append(
            f"the stretches of time behind the intervals are {blocks.length_ps:.0f} ps long, under {INDEPENDENT:g} "
            f"times the slowest timescale ({slowest:.0f} ps): the intervals are too narrow"
        )
    elif np.isfinite(slowest) and blocks.length_ps < slowest:
        flags["timescales_ps"].append(
            f"the frames last {blocks.length_ps:.0f} ps, less than the slowest timescale ({slowest:.0f} ps): it rests "
            f"on many targets, few of which change their state, and on a beginning in equilibrium"
        )
    if not np.isfinite(found["lifetimes_ps"]["value"]).all():
        flags["lifetimes_ps"].append("no mean time can be given for a state that is left for certain within a lag time")
    for name, value in scores.items():
        if value["value"] < 3 * value["noise_floor"]:
            flags["vamp2"].append(f"the VAMP-2 score of the {name} frames is hardly above its noise floor")
    return {key: sentences for key, sentences in flags.items() if sentences}
