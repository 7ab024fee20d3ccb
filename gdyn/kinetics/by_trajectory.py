"""Each trajectory of a system by itself, with the states that they share."""

from itertools import combinations

import numpy as np
from scipy.stats import t as student

from gdyn.errors import InputError
from gdyn.files import write_json
from gdyn.kinetics.analysis import as_processes, blocks_of
from gdyn.kinetics.koopman import koopman_of, timescales
from gdyn.kinetics.uncertainty import Estimate
from gdyn.logs import LOG
from gdyn.statistics import Covariances, present_rows
from gdyn.store import States


def analyse_trajectories(states, result, kinetics, labels):
    """Estimate populations and Koopman model from the test frames of each trajectory alone.

    Where the populations of two differ by more than chance allows, at a joint level of 95 %, a flag says so: what is
    estimated from all together is then of neither.

    Parameters
    ----------
    states : path of the states of the test frames.
    result : path of the JSON to write.
    kinetics : that section of a system. The intervals are from stretches of time, or from groups of targets.
    labels : names of all trajectories of the system.
    """
    states = States.read(states)
    if kinetics.intervals == "trajectories":
        kinetics = kinetics.model_copy(update={"intervals": "auto"})
    numbers = np.unique(states.trajectory)
    found = [{"label": labels[number]} | _of_one(states.of_trajectory(number), kinetics) for number in numbers]
    flags = differing(found)
    for sentence in flags:
        LOG.warning("%s", sentence)
    write_json(result, {"trajectories": found, "lag_ps": states.lag_ps, "flags": flags})


def _of_one(states, kinetics):
    n = states.probabilities.shape[-1]
    found = {"frames": len(states.time_ps), "targets": states.probabilities.shape[1], "blocks": None}
    nothing = {part: np.full(n, np.nan) for part in ("value", "low", "high")}
    slow = [{"value": np.nan, "low": np.nan, "high": np.nan, "resolved": False}] * (n - 1)
    matrix = {part: np.full((n, n), np.nan) for part in nothing}
    try:
        blocks = blocks_of(states, kinetics)
        populations = Estimate.of(lambda p, s: present_rows(p).mean(0, dtype=np.float64), states, blocks)
        nothing, found["blocks"] = populations.interval(), len(blocks)
        covariances = Estimate.of(lambda p, s: Covariances.of(p, s, states.lag_frames), states, blocks)
        matrices = covariances.map(koopman_of)
        matrix = matrices.interval()
        slow = as_processes(matrices.map(lambda m: timescales(m, states.lag_ps)).interval(True), states.lag_ps)
    except (np.linalg.LinAlgError, InputError) as problem:
        LOG.warning("a trajectory by itself does not determine a Koopman matrix of these states: %s", problem)
    return found | {"populations": nothing, "koopman": matrix, "timescales_ps": slow}


def differing(found):
    """A sentence for each pair of trajectories whose populations differ beyond their intervals, added in squares."""
    pairs = list(combinations([one for one in found if one["blocks"]], 2))
    flags = []
    for one, other in pairs:
        a, b = one["populations"], other["populations"]
        comparisons = len(pairs) * len(a["value"])
        wider = [
            student.ppf(1.0 - 0.025 / comparisons, x["blocks"] - 1) / student.ppf(0.975, x["blocks"] - 1)
            for x in (one, other)
        ]
        apart = np.abs(a["value"] - b["value"])
        if (apart > np.hypot(wider[0] * (a["high"] - a["value"]), wider[1] * (b["high"] - b["value"]))).any():
            flags.append(
                f"the populations of {one['label']} and {other['label']} differ by more than chance: numbers from "
                f"both together describe neither"
            )
    return flags
