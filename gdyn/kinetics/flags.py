"""Caveats about a Koopman model, in sentences."""

from typing import TYPE_CHECKING

import numpy as np
import scipy

from gdyn.kinetics.events import FEW
from gdyn.kinetics.koopman import sorted_eigenvalues
from gdyn.rounding import several
from gdyn.statistics import present_rows
from gdyn.statistics.interval import overlap
from gdyn.statistics.lag import lagged_frames
from gdyn.statistics.shapes import Matrix
from gdyn.statistics.uncertainty import INDEPENDENT, Blocks
from gdyn.store import States

if TYPE_CHECKING:
    from gdyn.kinetics.model import KoopmanModel

STRANGE = 0.01  # share of surroundings unlike those of the training, above which it is reported
ROUNDING = 1e-9  # of probabilities
DIFFERS = 1.25  # factor between two timescales, up to which they are called the same
LOST = 0.05  # part of a score that may be lost from the training frames to others
BEYOND = 100.0  # lengths of the data, beyond which no time counts as resolved
SAME_MATRIX = 0.01  # of probabilities, up to which two matrices count as one, whatever their intervals
CONSTANT = 1e-6  # standard deviation of the probability of a state that is the same everywhere
EMPTY = 1e-3  # population below which a state is practically empty
FEW_PAIRS = 2  # for each state, up to which there is nothing else to say about them
ALIKE = 0.999  # correlation of two states that are one and the same


def flags_of(model: "KoopmanModel", states: States, blocks: Blocks) -> dict[str, list[str]]:
    """Caveats about the model: for each number of the summary a list of sentences."""
    matrix, slow = model.koopman.value, model.timescales_ps
    keys = ("populations", "koopman", "timescales_ps", "vamp2", "lifetimes_ps", "intervals")
    flags: dict[str, list[str]] = {key: [] for key in keys}
    flags["populations"] = flag_populations(states, model)
    if np.isfinite(matrix).all():
        flags["koopman"] = flag_matrix(matrix, bool(model.stationarity and model.stationarity.driven))
    else:
        flags["koopman"] = [
            f"the test frames do not determine a Koopman matrix of {len(matrix)} states at {states.lag_ps:g} ps, nor "
            f"anything that follows from it: {explain_degeneracy(states)}"
        ]
    lag_ps = model.lag_ps
    for number, (process, seen) in enumerate(zip(slow, model.transitions, strict=True), start=1):
        value, events = process.value, seen["forward"] + seen["backward"]
        why = "the frames do not determine its timescale"
        if not np.isnan(value) and value <= lag_ps:
            why = f"its timescale ({value:.3g} ps) is below the lag time"
        elif not np.isnan(value) and not events:
            why = "no target was observed to go from one end of it to the other"
        elif value > BEYOND * states.length_ps:
            why = f"its timescale is over {BEYOND:g} times longer than the frames"
        elif np.isfinite(value) and np.isnan(process.low):
            why = "some of the blocks of frames behind its interval do not determine it"
        elif np.isfinite(value):
            why = "its timescale is not significantly longer than the lag time"
        if not process.resolved:
            flags["timescales_ps"].append(f"process {number} is not resolved: {why}")
        elif min(seen["forward"], seen["backward"]) < FEW:
            flags["timescales_ps"].append(
                f"process {number} rests on {several(seen['forward'], 'observed transition')} and {seen['backward']} "
                f"back"
            )
    resolved = sum(process.resolved for process in slow)
    if 0 < resolved < len(slow) and all(process.resolved for process in slow[:resolved]):
        flags["timescales_ps"].append(
            f"{resolved} of {len(slow)} processes are resolved at this lag time: {resolved + 1} states would do, or a "
            f"shorter lag may resolve more"
        )
    slowest = max((process.value for process in slow if process.resolved), default=np.nan)
    if blocks.method == "time" and np.isfinite(slowest) and blocks.length_ps < INDEPENDENT * slowest:
        flags["intervals"].append(
            f"the stretches of time behind the intervals are {blocks.length_ps:.0f} ps long, under {INDEPENDENT:g} "
            f"times the slowest timescale ({slowest:.0f} ps): those of populations are widened by what this timescale "
            f"makes likely"
        )
    elif np.isfinite(slowest) and blocks.length_ps < slowest:
        flags["timescales_ps"].append(
            f"the frames last {blocks.length_ps:.0f} ps, less than the slowest timescale ({slowest:.0f} ps): it rests "
            f"on many targets, few of which change their state, and on a beginning in equilibrium"
        )
    flags["timescales_ps"] += flag_convergence(model) + flag_counted(model)
    if model.stationarity:
        found = model.stationarity
        flags["stationary"] = [*found.drift, *found.one_way, *found.heterogeneous]
        flags["koopman"] += found.driven
        flags["timescales_ps"] += found.slower
        flags["intervals"] += found.collective
    flags["vamp2"] += flag_overfitting(model)
    flags["lifetimes_ps"] = flag_lifetimes(states, model)
    for name, score in model.vamp2.by_split.items():
        if not score.value >= 3 * score.noise_floor:
            flags["vamp2"].append(f"the VAMP-2 score of the {name} frames is hardly above its noise floor")
    return {key: sentences for key, sentences in flags.items() if sentences}


def flag_convergence(model: "KoopmanModel") -> list[str]:
    """Caveats about timescales that rise with the lag time."""
    if model.convergence is None:
        return []
    return [
        f"the timescale of process {number} is {rise.verdict}"
        for number, rise in zip(model.convergence.numbers, model.convergence.processes, strict=True)
        if rise.outcome == "rising"
    ]


def flag_counted(model: "KoopmanModel") -> list[str]:
    """Caveats about processes that take another time when they are counted from core to core."""
    flags = []
    counted = model.counted_timescales_ps
    if np.ndim(counted.value) == 0:
        return []
    for number, (one, other) in enumerate(zip(model.timescales_ps, counted, strict=True), start=1):
        if not one.resolved or not (np.isfinite(other.high) and other.value > 0):
            continue
        if not overlap(one, other) and not 1.0 / DIFFERS < one.value / other.value < DIFFERS:
            flags.append(
                f"process {number} takes {one.as_brief_time()} by the Koopman matrix, but {other.as_brief_time()} by "
                f"what is counted from core to core: targets cross without staying, or the states are not Markovian"
            )
    return flags


def flag_overfitting(model: "KoopmanModel") -> list[str]:
    """Caveats about a score that is higher on the frames trained on than on others."""
    train, test = model.vamp2.train, model.vamp2.test
    if train is None or not np.isfinite([train.low, train.high, test.low, test.high]).all():
        return []
    error = np.hypot(train.half, test.half)
    if not train.value - test.value > max(error, LOST * train.value):
        return []
    return [
        f"the network has learned its training frames by heart: their VAMP-2 score is {train}, that of the test frames "
        f"{test}; train on more frames, or with fewer states"
    ]


def flag_populations(states: States, model: "KoopmanModel") -> list[str]:
    """Caveats about the populations."""
    flags = []
    if states.outside > STRANGE:
        flags.append(
            f"{100 * states.outside:.1f} % of the surroundings in the test frames are unlike any that the model was "
            f"trained on, by distances or elements of neighbors: its states mean little there"
        )
    soft, hard = (x.value for x in (model.populations, model.populations_assigned))
    for state in np.flatnonzero(soft < EMPTY):
        flags.append(f"state {state + 1} holds hardly any targets ({soft[state]:.2g} of all): ask for fewer states")
    error = np.nan_to_num(model.populations.half)
    differing = np.flatnonzero(np.abs(hard - soft) > np.maximum(error, SAME_MATRIX))
    if len(differing):
        each = ", ".join(f"{state + 1}: {soft[state]:.3g} and {hard[state]:.3g}" for state in differing)
        flags.append(
            f"the states are not pure: their populations by probabilities and where every target is in its most "
            f"probable state, as in an exported dump, differ ({each})"
        )
    return flags


def flag_matrix(matrix: Matrix, driven: bool) -> list[str]:
    """Caveats about a Koopman matrix; of what is ``driven``, complex eigenvalues mean something."""
    flags, lowest = [], matrix.min()
    if lowest < -ROUNDING:
        i, j = np.unravel_index(matrix.argmin(), matrix.shape)
        flags.append(f"the Koopman matrix has a negative entry ({lowest:.2g}, from state {i + 1} to {j + 1})")
    eigenvalues = sorted_eigenvalues(matrix)[1:]
    if np.abs(eigenvalues.imag).max() > 1e-9 and not driven:
        flags.append("the Koopman matrix has complex eigenvalues, which no process in equilibrium has: they are noise")
    if np.abs(eigenvalues[0]) >= 1.0:
        flags.append(
            f"the Koopman matrix has a second eigenvalue of modulus {np.abs(eigenvalues[0]):.4g}, not below 1: "
            f"the test frames show no relaxation of that process"
        )
    pieces, of_state = scipy.sparse.csgraph.connected_components(matrix > ROUNDING, directed=True, connection="strong")
    if pieces > 1:
        apart = " and ".join(
            "{" + ", ".join(str(i + 1) for i in np.flatnonzero(of_state == piece)) + "}" for piece in range(pieces)
        )
        flags.append(f"the groups of states {apart} do not exchange targets both ways in these frames")
    return flags


def explain_degeneracy(states: States) -> str:
    """Why states do not determine a Koopman matrix, as far as this can be seen."""
    rows = present_rows(states.probabilities).astype(np.float64)
    pairs = len(lagged_frames(states.segment, states.lag_frames))
    if not pairs or not len(rows):
        return f"there is no pair of frames {states.lag_ps:g} ps apart"
    if pairs * states.probabilities.shape[1] < FEW_PAIRS * rows.shape[1]:
        return f"there are only {several(pairs, 'pair')} of frames {states.lag_ps:g} ps apart"
    constant = np.flatnonzero(rows.std(0) < CONSTANT)
    if len(constant) == rows.shape[1]:
        return (
            "all states are the same in every frame, so nothing slower than the lag time was found; the lag may be "
            "longer than every process, the states may be mirror images (a network that sees distances cannot tell "
            "these apart), or the data may be too few"
        )
    if len(constant):
        return f"state {constant[0] + 1} is the same in every frame; ask for fewer states"
    alike = np.triu(np.abs(np.corrcoef(rows.T)), 1)
    i, j = np.unravel_index(alike.argmax(), alike.shape)
    if alike[i, j] > ALIKE and len(alike) > 2:
        return f"states {i + 1} and {j + 1} are one and the same; ask for fewer states"
    return "the states are not independent of each other; ask for fewer states"


def flag_lifetimes(states: States, model: "KoopmanModel") -> list[str]:
    """Caveats about the mean times in the states."""
    flags, stays = [], model.lifetimes_ps
    if model.no_generator and model.not_counted:
        flags.append(
            f"there are no mean times in states: the reversible matrix has no usable generator "
            f"({model.no_generator}), and visits cannot be counted ({model.not_counted})"
        )
    elif model.no_generator:
        flags.append(
            f"mean times in states and first passages are of counted visits, not of the generator of the reversible "
            f"matrix: {model.no_generator}"
        )
    elif model.not_counted:
        flags.append(
            f"visits to the states cannot be counted, so mean times are not checked by them, and are too short where "
            f"states are not pure: {model.not_counted}"
        )
    for state in np.flatnonzero(~(stays.value <= BEYOND * states.length_ps) | np.isnan(stays.low)):
        known = (
            "no target was observed to leave it" if np.isinf(stays.value[state]) else "these frames do not determine it"
        )
        flags.append(f"the mean time in state {state + 1} is not resolved: {known}")
    return flags
