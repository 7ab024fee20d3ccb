"""The Chapman-Kolmogorov test: whether the model predicts what is seen after many lag times."""

from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.stats import t as student

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.flags import degenerate
from gdyn.kinetics.koopman import koopman_matrix
from gdyn.logs import LOG
from gdyn.statistics.interval import PROBABILITY, Interval, bounded
from gdyn.statistics.lag import lagged_frames
from gdyn.statistics.uncertainty import with_interval
from gdyn.store import States

TOLERANCE = 1e-9  # of rounding, where both intervals have no width


def chapman_kolmogorov(states, steps, blocks):
    """Compare ``K(lag)^n`` with ``K(n lag)`` for ``n = 0 ... steps`` (equation 12 of docs/theory.md).

    The test holds where every entry of the two agrees within their intervals, added in squares. So many entries
    would by chance not all lie within 95 %; the intervals are widened so that their joint level is 95 %, with as many
    comparisons as there are pairs of states (Bonferroni).

    Parameters
    ----------
    states : States
    steps : int, lag times to look ahead; fewer where they do not fit twice into a block.
    blocks : Blocks, behind the intervals.

    Returns
    -------
    dict with ``lag_ps`` (n + 1,), ``predicted`` and ``observed`` (Intervals of
    (n + 1, states, states)), ``max_deviation`` (an Interval, that of the entry that deviates most),
    ``outcome`` (``holds``, ``fails`` or ``cannot say``) with a ``reason`` for the last, ``passed``, whether it holds,
    and ``unseen``, the largest deviation that any entry could have without the test failing.

    Raises
    ------
    InputError : not even two lag times fit.
    numpy.linalg.LinAlgError : the frames do not determine a Koopman matrix.
    """
    lag = states.lag_frames
    fitting = min(steps, blocks.frames // (2 * lag))
    if fitting < 2:
        raise InputError(
            f"the Chapman-Kolmogorov test needs {4 * lag} frames in each of {len(blocks)} blocks of the {states.split} "
            f"frames, but they have {blocks.frames}; lower kinetics.chunks or search.lag_ps, or use a longer trajectory"
        )
    if fitting < steps:
        LOG.warning(
            "the Chapman-Kolmogorov test looks %d instead of %d lag times ahead: more do not fit into a block",
            fitting,
            steps,
        )

    def predict(probabilities, segment):
        matrix = koopman_matrix(probabilities, segment, lag)
        return np.stack([np.linalg.matrix_power(matrix, n) for n in range(fitting + 1)])

    def observe(probabilities, segment):
        return np.stack([koopman_matrix(probabilities, segment, n * lag) for n in range(fitting + 1)])

    predicted, observed = (with_interval(f, states, blocks) for f in (predict, observe))
    deviation = np.abs(predicted.value - observed.value)
    width = np.hypot(predicted.half, observed.half)
    n_states = deviation.shape[-1]
    joint = student.ppf(1.0 - 0.05 / (n_states * (n_states - 1)), len(blocks) - 1)
    wider = joint / student.ppf(0.975, len(blocks) - 1)
    allowed = wider * width + TOLERANCE
    worst = np.unravel_index(deviation.argmax(), deviation.shape)
    known, reason = np.isfinite(allowed), None
    outcome = "fails" if (deviation[known] > allowed[known]).any() else "holds"
    if not moves(states):
        reason = f"no target was seen to change its state within {states.lag_ps:g} ps"
    elif outcome == "holds" and not known.all():
        reason = "some of the blocks of frames behind the intervals lack a state"
    outcome = "cannot say" if reason else outcome
    return {
        "lag_ps": np.arange(fitting + 1) * states.lag_ps,
        "predicted": _within_bounds(predicted),
        "observed": _within_bounds(observed),
        "max_deviation": Interval(
            deviation[worst], np.maximum(0.0, deviation[worst] - width[worst]), deviation[worst] + width[worst]
        ),
        "outcome": outcome,
        "reason": reason,
        "passed": outcome == "holds",
        "unseen": allowed[known].max(initial=0.0),
    }


def _within_bounds(curves):
    low, high = bounded(curves.value, curves.high - curves.value, PROBABILITY)
    return replace(curves, low=low, high=high)


def moves(states):
    """Whether any target changes its most probable state from a frame to that a lag time later."""
    first = lagged_frames(states.segment, states.lag_frames)
    state = np.where(states.present, np.nan_to_num(states.probabilities).argmax(-1), -1)
    before, after = state[first], state[first + states.lag_frames]
    return bool(((before != after) & (before >= 0) & (after >= 0)).any())


def tested(states, steps, blocks):
    """The same as :func:`chapman_kolmogorov`, without numbers where there is no test: then it cannot say, and why."""
    try:
        return chapman_kolmogorov(states, steps, blocks)
    except InputError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = degenerate(states)
    LOG.warning("no Chapman-Kolmogorov test: %s", reason)
    n = states.probabilities.shape[-1]
    nothing = Interval.unknown((1, n, n))
    return {
        "lag_ps": np.zeros(1),
        "predicted": nothing,
        "observed": nothing,
        "max_deviation": Interval.unknown(),
        "outcome": "cannot say",
        "reason": reason,
        "passed": False,
        "unseen": np.nan,
    }


def run_test(states, result, table, kinetics):
    """Test the states in a file and write the verdict (JSON) and the curves (CSV)."""
    states = States.read(states)
    found = tested(states, kinetics.chapman_kolmogorov_steps, blocks_of(states, kinetics))
    if found["outcome"] != "cannot say":
        LOG.info("Chapman-Kolmogorov test %s, largest deviation %.3f", found["outcome"], found["max_deviation"].value)
    write_json(result, found)
    n_states = found["observed"].value.shape[-1]
    rows = [
        {"lag_ps": lag_ps, "from": i + 1, "to": j + 1}
        | found["predicted"][n, i, j].columns("predicted")
        | found["observed"][n, i, j].columns("observed")
        for i in range(n_states)
        for j in range(n_states)
        for n, lag_ps in enumerate(found["lag_ps"])
    ]
    write_table(table, pd.DataFrame(rows))
