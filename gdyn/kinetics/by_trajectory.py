"""Each trajectory of a system by itself, with the states that they share."""

from itertools import combinations

import numpy as np
from scipy.stats import t as student

from gdyn.errors import InputError
from gdyn.files import write_json
from gdyn.kinetics.analysis import as_processes, blocks_of, mean_population
from gdyn.kinetics.events import transitions
from gdyn.kinetics.koopman import koopman_of, timescales
from gdyn.logs import LOG
from gdyn.statistics import Covariances
from gdyn.statistics.interval import PROBABILITY, Interval
from gdyn.statistics.uncertainty import Estimate
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
    parts = [_of_one(states.of_trajectory(number), kinetics) for number in numbers]
    found = [{"label": labels[number]} | part for number, (part, _) in zip(numbers, parts, strict=True)]
    flags = differing(found, [symmetric for _, symmetric in parts])
    for sentence in flags:
        LOG.warning("%s", sentence)
    write_json(result, {"trajectories": found, "lag_ps": states.lag_ps, "flags": flags})


def _of_one(states, kinetics):
    n = states.probabilities.shape[-1]
    found = {"frames": len(states.time_ps), "targets": states.probabilities.shape[1], "blocks": None}
    nothing = populations = Interval.unknown(n)
    slow = [Interval.unknown().plain() | {"resolved": False}] * (n - 1)
    matrix = Interval.unknown((n, n))
    try:
        blocks = blocks_of(states, kinetics)
        of_blocks = Estimate.of(lambda p, s: mean_population(p), states, blocks)
        found["blocks"], nothing = len(blocks), of_blocks.interval()
        populations = of_blocks.interval(within=PROBABILITY)
        covariances = Estimate.of(lambda p, s: Covariances.of(p, s, states.lag_frames), states, blocks)
        matrices = covariances.map(koopman_of)
        matrix = matrices.interval(within=PROBABILITY)
        seen = transitions(states, matrices.whole)
        slow = as_processes(matrices.map(lambda m: timescales(m, states.lag_ps)).interval(True), states, seen)
    except (np.linalg.LinAlgError, InputError) as problem:
        LOG.warning("a trajectory by itself does not determine a Koopman matrix of these states: %s", problem)
    return found | {"populations": populations, "koopman": matrix, "timescales_ps": slow}, nothing


def differing(found, populations):
    """A sentence for each pair of trajectories whose populations differ beyond their intervals, added in squares."""
    known = [pair for pair in zip(found, populations, strict=True) if pair[0]["blocks"]]
    pairs = list(combinations(known, 2))
    flags = []
    for (one, a), (other, b) in pairs:
        comparisons = len(pairs) * len(a)
        wider = [
            student.ppf(1.0 - 0.025 / comparisons, x["blocks"] - 1) / student.ppf(0.975, x["blocks"] - 1)
            for x in (one, other)
        ]
        if (np.abs(a.value - b.value) > np.hypot(wider[0] * a.half, wider[1] * b.half)).any():
            flags.append(
                f"the populations of {one['label']} and {other['label']} differ by more than chance: numbers from "
                f"both together describe neither"
            )
    return flags
