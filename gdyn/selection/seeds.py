"""How far the trainings from different random seeds agree."""

from typing import Any

import numpy as np

from gdyn.config import Kinetics
from gdyn.kinetics.koopman import blocks_of, slowest_timescale
from gdyn.kinetics.timescales import process_timescales
from gdyn.result import Array, Number, Result
from gdyn.statistics import match_states, present_rows, simplex_rotation
from gdyn.statistics.interval import Interval
from gdyn.store import States

SAME_OVERLAP = 0.8
SAME_TIMESCALE = 0.10


class Seed(Result):
    """What one seed of the chosen trial ended with, its states in the order of those of the chosen seed."""

    seed: int
    validation_vamp2: float
    purity: float
    populations: Array
    timescale_ps: Number
    overlap: Array
    """(states,), of its states with those of the chosen seed."""
    overlap_together: Array | None = None
    """(states,), with those of all seeds together."""
    agrees: bool


class Together(Result):
    """The states of all seeds in one set."""

    populations: Array


class Seeds(Result):
    """How far the seeds of the chosen trial agree; ``tried`` and ``agreeing`` both count the chosen one."""

    tried: int
    agreeing: int
    each: list[Seed]
    together: Together | None


def compare_seeds(chosen: dict[str, Any], rivals: list[dict[str, Any]], kinetics: Kinetics) -> Seeds:
    """Find which seeds of a trial ended with the states and timescale of the chosen one, and how far they agree.

    Two models agree where every pair of matched states overlaps by at least 0.8 on the validation
    frames and their slowest timescales differ by no more than the interval of that of the chosen one, or 10 %. The
    states of all seeds in one set are those of :func:`pcca_of_all`.
    """
    reference = States.read(chosen["states"])
    rows = present_rows(reference.probabilities)
    slowest = process_timescales(reference, reference.lag_frames, blocks_of(reference, kinetics))[0]
    outputs = {rival["seed"]: States.read(rival["states"]) for rival in rivals}
    together = pcca_of_all(reference, list(outputs.values()))
    each = []
    for rival in rivals:
        states = outputs[rival["seed"]]
        probabilities = present_rows(states.probabilities)
        order, overlap = match_states(rows, probabilities)
        timescale = slowest_timescale(states)
        each.append(
            Seed(
                seed=rival["seed"],
                validation_vamp2=rival["validation_vamp2"],
                purity=rival["purity"],
                populations=probabilities.mean(0, dtype=np.float64)[order],
                timescale_ps=timescale,
                overlap=overlap,
                overlap_together=None if together is None else match_states(together, probabilities)[1],
                agrees=bool(overlap.min() >= SAME_OVERLAP) and same_timescale(timescale, slowest),
            )
        )
    return Seeds(
        tried=len(each),
        agreeing=sum(seed.agrees for seed in each),
        each=each,
        together=None if together is None else Together(populations=together.mean(0, dtype=np.float64)),
    )


def same_timescale(one: float, other: Interval | float) -> bool:
    """Whether a timescale differs from another by no more than the interval of that, or 10 %; or there is neither."""
    value = other.value if isinstance(other, Interval) else other
    if not np.isfinite([one, value]).all():
        return bool(np.isfinite(one) == np.isfinite(value))
    if isinstance(other, Interval) and other.low <= one <= other.high:
        return True
    return bool(abs(one - value) <= SAME_TIMESCALE * value)


def pcca_of_all(reference: States, outputs: list[States]) -> np.ndarray | None:
    """One set of states for all seeds of a trial: (samples, states) memberships, or None.

    The outputs of all are features together; PCCA+ makes of their slowest processes as many states as the chosen
    model has, in its order.
    """
    rotation = simplex_rotation(
        np.concatenate([states.probabilities for states in outputs], axis=-1) / len(outputs),
        reference.segment,
        reference.lag_frames,
        reference.probabilities.shape[-1],
    )
    if rotation is None:
        return None
    rows = np.concatenate([present_rows(states.probabilities) for states in outputs], axis=1) / len(outputs)
    memberships = np.clip(rows @ rotation, 0.0, 1.0)
    return memberships[:, match_states(present_rows(reference.probabilities), memberships)[0]]
