"""The Chapman-Kolmogorov test: whether the model predicts what is seen after many lag times."""

import numpy as np
import pandas as pd
from scipy.stats import t as student

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.koopman import koopman_matrix
from gdyn.kinetics.uncertainty import with_interval
from gdyn.logs import LOG
from gdyn.store import States

TOLERANCE = 1e-9  # of rounding, where both intervals have no width


def chapman_kolmogorov(states, steps, blocks):
    """Compare ``K(lag)^n`` with ``K(n lag)`` for ``n = 0 ... steps`` (equation 12 of docs/theory.md).

    The test is passed where every entry of the two agrees within their intervals, added in squares. So many entries
    would by chance not all lie within 95 %; the intervals are widened so that their joint level is 95 %, with as many
    comparisons as there are pairs of states (Bonferroni).

    Parameters
    ----------
    states : States
    steps : int, lag times to look ahead; fewer where they do not fit twice into a block.
    blocks : Blocks, behind the intervals.

    Returns
    -------
    dict with ``lag_ps`` (n + 1,), ``predicted`` and ``observed`` (each ``value``, ``low``, ``high`` of shape
    (n + 1, states, states)), ``max_deviation`` (likewise; its interval is that of the entry that deviates most),
    ``passed``, and ``unseen``, the largest deviation that any entry could have without the test failing.

    Raises
    ------
    InputError : not even two lag times fit.
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
    deviation = np.abs(predicted["value"] - observed["value"])
    width = np.hypot(predicted["high"] - predicted["value"], observed["high"] - observed["value"])
    n_states = deviation.shape[-1]
    joint = student.ppf(1.0 - 0.05 / (n_states * (n_states - 1)), len(blocks) - 1)
    wider = joint / student.ppf(0.975, len(blocks) - 1)
    allowed = wider * width + TOLERANCE
    worst = np.unravel_index(deviation.argmax(), deviation.shape)
    return {
        "lag_ps": np.arange(fitting + 1) * states.lag_ps,
        "predicted": predicted,
        "observed": observed,
        "max_deviation": {
            "value": deviation[worst],
            "low": np.maximum(0.0, deviation[worst] - width[worst]),
            "high": deviation[worst] + width[worst],
        },
        "passed": bool(np.all(deviation <= allowed)),
        "unseen": allowed.max(),
    }


def run_test(states, result, table, kinetics):
    """Test the states in a file and write the verdict (JSON) and the curves (CSV).

    Raises
    ------
    InputError : see :func:`chapman_kolmogorov`.
    """
    states = States.read(states)
    found = chapman_kolmogorov(states, kinetics.chapman_kolmogorov_steps, blocks_of(states, kinetics))
    LOG.info(
        "Chapman-Kolmogorov test %s, largest deviation %.3f",
        "passed" if found["passed"] else "NOT passed",
        found["max_deviation"]["value"],
    )
    write_json(result, found)
    n_states = found["observed"]["value"].shape[-1]
    rows = [
        {"lag_ps": lag_ps, "from": i + 1, "to": j + 1}
        | {
            f"{kind}{suffix}": found[kind][part][n, i, j]
            for kind in ("predicted", "observed")
            for part, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))
        }
        for i in range(n_states)
        for j in range(n_states)
        for n, lag_ps in enumerate(found["lag_ps"])
    ]
    write_table(table, pd.DataFrame(rows))
