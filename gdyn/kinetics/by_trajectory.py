"""Each trajectory of a system by itself, in the states that all share."""

from itertools import combinations
from typing import Annotated

import numpy as np

from gdyn.config import Kinetics
from gdyn.errors import InputError
from gdyn.kinetics.events import transitions
from gdyn.kinetics.koopman import blocks_of, koopman_of, timescales
from gdyn.kinetics.populations import populations_of
from gdyn.kinetics.timescales import Process, as_processes
from gdyn.logs import LOG
from gdyn.result import Result, Sentences, Share, measured
from gdyn.statistics.interval import PROBABILITY, Interval, student
from gdyn.statistics.uncertainty import covariances_of
from gdyn.store import States


class OneTrajectory(Result):
    """What the test frames of one trajectory alone say."""

    label: str
    frames: int
    targets: int
    blocks: int | None
    populations: Share
    koopman: Share
    timescales_ps: list[Annotated[Process, measured("ps", Process)]]


class ByTrajectory(Result):
    """The trajectories of a system, each by itself."""

    trajectories: list[OneTrajectory]
    lag_ps: float
    flags: Sentences


def by_trajectory(states: States, kinetics: Kinetics, labels: list[str]) -> ByTrajectory:
    """Estimate populations and Koopman model from the frames of each trajectory alone.

    Where the populations of two differ by more than chance allows, at a joint level of 95 %, a flag says so: what is
    estimated from all together then describes neither.

    Parameters
    ----------
    states : of the test frames.
    kinetics : that section of a system. The intervals are from stretches of time, or from groups of targets.
    labels : names of all trajectories of the system.
    """
    if kinetics.intervals == "trajectories":
        kinetics = kinetics.model_copy(update={"intervals": "auto"})
    numbers = np.unique(states.trajectory)
    parts = [_estimate_one(states.of_trajectory(number), kinetics, labels[number]) for number in numbers]
    trajectories = [part for part, _ in parts]
    flags = differing(trajectories, [symmetric for _, symmetric in parts])
    return ByTrajectory(trajectories=trajectories, lag_ps=states.lag_ps, flags=flags)


def _estimate_one(states: States, kinetics: Kinetics, label: str) -> tuple[OneTrajectory, Interval]:
    """What one trajectory says, and its populations with intervals that are symmetric."""
    n = states.probabilities.shape[-1]
    n_blocks = None
    symmetric = populations = Interval.unknown(n)
    slow = [Process(np.nan, np.nan, np.nan, "ps")] * (n - 1)
    matrix = Interval.unknown((n, n))
    try:
        blocks = blocks_of(states, kinetics)
        of_blocks = populations_of(states, blocks)
        n_blocks, symmetric = len(blocks), of_blocks.interval(correlated=True)
        populations = of_blocks.interval(within=PROBABILITY, correlated=True)
        matrices = covariances_of(states, blocks).map(koopman_of)
        matrix = matrices.interval(within=PROBABILITY)
        seen = transitions(states, matrices.whole)
        slow = as_processes(matrices.map(lambda m: timescales(m, states.lag_ps)).interval(True), states, seen)
    except (np.linalg.LinAlgError, InputError) as problem:
        LOG.warning("a trajectory by itself does not determine a Koopman matrix of these states: %s", problem)
    one = OneTrajectory(
        label=label,
        frames=len(states.time_ps),
        targets=states.probabilities.shape[1],
        blocks=n_blocks,
        populations=populations,
        koopman=matrix,
        timescales_ps=slow,
    )
    return one, symmetric


def differing(trajectories: list[OneTrajectory], populations: list[Interval]) -> list[str]:
    """A sentence for each pair of trajectories whose populations differ beyond their intervals, added in squares."""
    known = [(one, held, one.blocks) for one, held in zip(trajectories, populations, strict=True) if one.blocks]
    pairs = list(combinations(known, 2))
    flags = []
    for (one, a, blocks_a), (other, b, blocks_b) in pairs:
        comparisons = len(pairs) * len(a)
        wider = [student(1.0 - 0.025 / comparisons, k - 1) / student(0.975, k - 1) for k in (blocks_a, blocks_b)]
        if (np.abs(a.value - b.value) > np.hypot(wider[0] * a.half, wider[1] * b.half)).any():
            flags.append(
                f"the populations of {one.label} and {other.label} differ by more than chance: numbers from "
                f"both together describe neither"
            )
    return flags
