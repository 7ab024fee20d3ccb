"""The Koopman model of the states: every number with its 95 % interval and its caveats."""

from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from jaxtyping import Float
from pydantic import Field

from gdyn.config import Kinetics
from gdyn.errors import InputError
from gdyn.kinetics.balance import imbalance
from gdyn.kinetics.convergence import Convergence, convergence_of
from gdyn.kinetics.events import effective_events, transitions
from gdyn.kinetics.flags import flags_of
from gdyn.kinetics.koopman import (
    blocks_of,
    koopman_of,
    left_eigenvectors,
    stationary_distribution,
    timescales,
    trials_of,
)
from gdyn.kinetics.needed import Needed, needed, variance_of_populations, variance_of_timescales
from gdyn.kinetics.populations import assign, populations_of, share_of_sums
from gdyn.kinetics.reversible import Reversible, of_reversible
from gdyn.kinetics.stationarity import Stationarity, stationarity_of
from gdyn.kinetics.timescales import Process, as_processes, implied_timescales, resolved_of
from gdyn.result import Flags, Result, Share, Table, measured
from gdyn.statistics import (
    Covariances,
    match_states,
    present_rows,
    score_with_floor,
    simplex_rotation,
    vamp2,
)
from gdyn.statistics.interval import PROBABILITY, Interval
from gdyn.statistics.shapes import Matrix, PerState, Probabilities
from gdyn.statistics.uncertainty import Estimate, covariances_of
from gdyn.store import States

VAMP2_CONVENTION = "means removed: at most n_states - 1; deeptime's score is larger by 1"


@dataclass(frozen=True)
class Score(Interval):
    """A VAMP-2 score, with that of as many frames without any dynamics."""

    noise_floor: float = float("nan")


class Scores(Result):
    """VAMP-2 scores of the splits; None for those that were not evaluated."""

    train: Annotated[Score, measured(kind=Score)] | None = None
    validation: Annotated[Score, measured(kind=Score)] | None = None
    test: Annotated[Score, measured(kind=Score)]
    convention: str = VAMP2_CONVENTION

    @property
    def by_split(self) -> dict[str, Score]:
        """The scores that exist."""
        scores = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: score for split, score in scores.items() if score is not None}


class PCCA(Result):
    """The model after the linear map to PCCA+ memberships."""

    populations: Share
    koopman: Share


class Origin(Result):
    """How the intervals were estimated."""

    method: str
    blocks: int
    block_ps: float


class KoopmanModel(Reversible):
    """The Koopman model of the test frames: populations, matrices, timescales, eigenvectors and scores.

    Processes are sorted from the slowest on; matrices are from row to column.
    """

    n_states: int
    lag_ps: float
    populations: Share
    """(states,), means of the probabilities."""
    populations_assigned: Share
    """(states,), with every target in its most probable state."""
    purity: Share
    koopman: Share
    """(states, states), probabilities per lag time."""
    stationary_distribution: Share
    """(states,)"""
    eigenvectors: Share
    """(processes, states), left ones."""
    timescales_ps: list[Annotated[Process, measured("ps", Process)]]
    """(processes,)"""
    transitions: list[dict[str, Any]]
    """For each process, how often it was observed; see :func:`gdyn.kinetics.events.transitions`."""
    pcca: PCCA | None
    vamp2: Scores
    intervals: Origin
    convergence: Convergence | None = None
    """Whether the timescales have converged with the lag time."""
    stationarity: Stationarity | None = None
    """Whether the trajectory is stationary."""
    needed_ps: dict[str, list[Needed]] = Field(default_factory=dict)
    """How long the whole trajectory would have to be, for some of the numbers."""
    flags: Flags
    """Caveats by the name of a number."""
    timescales: Table
    """Implied timescales at many lag times."""

    def __str__(self) -> str:
        """In a few lines."""
        slow = "\n".join(f"timescale of process {i}: {one}" for i, one in enumerate(self.timescales_ps, start=1))
        held = "\n".join(f"population of state {i}: {one}" for i, one in enumerate(self.populations, start=1))
        return f"{self.n_states} states, lag time {self.lag_ps:g} ps\n{held}\n{slow}"


def koopman_model(
    test: States,
    kinetics: Kinetics,
    train: States | None = None,
    validation: States | None = None,
) -> KoopmanModel:
    """Estimate the Koopman model of states (equations 10 to 18 of docs/theory.md).

    Parameters
    ----------
    test : the states whose model it is.
    kinetics : that section of a system: what the intervals are from, and the lag times of the implied timescales.
    train, validation : those of the other splits, whose scores are reported as well, where given.

    Raises
    ------
    InputError : there are too few trajectories or targets for the intervals that are asked for.
    """
    lag, lag_ps = test.lag_frames, test.lag_ps
    n = test.probabilities.shape[-1]
    blocks = blocks_of(test, kinetics)
    covariances = covariances_of(test, blocks)
    matrices = covariances.map_or_nan(koopman_of, (n, n))
    matrix = matrices.whole
    populations = populations_of(test, blocks)
    assigned = populations_of(replace(test, probabilities=assign(test.probabilities)), blocks)
    certain = Estimate.of(lambda p, s: purity_sums(p), test, blocks).map(share_of_sums)
    like = left_eigenvectors(matrix)
    seen = transitions(test, matrix)
    events = [effective_events(process) for process in seen]
    slow = matrices.map(lambda m: timescales(m, lag_ps)).interval(logarithmic=True).with_least(events)
    processes = as_processes(slow, test, seen)
    driven = imbalance(test)
    convergence = convergence_of(test, blocks, resolved_of(processes))
    splits = [split for split in (train, validation, test) if split is not None]
    of_populations = populations.interval(within=PROBABILITY, correlated=True)
    whole_ps = sum(split.length_ps for split in splits)
    mean_times = of_reversible(covariances, test, blocks, events, driven)
    rates, targets = mean_times.pop("rates"), test.present.sum() / max(1, len(test.segment))
    model = KoopmanModel(
        n_states=n,
        lag_ps=lag_ps,
        populations=of_populations,
        populations_assigned=assigned.interval(within=PROBABILITY, correlated=True),
        purity=certain.interval(within=(1.0 / n, 1.0), correlated=True)[0],
        koopman=matrices.interval(within=PROBABILITY, trials=trials_of(covariances.whole, lag)),
        stationary_distribution=matrices.map_or_nan(stationary_distribution, n).interval(
            within=PROBABILITY, correlated=True
        ),
        eigenvectors=matrices.map(lambda m: left_eigenvectors(m, like)).interval(),
        timescales_ps=processes,
        transitions=seen,
        **mean_times,
        pcca=pcca_form(test, populations, matrices),
        vamp2=Scores(
            train=None if train is None else score(train, kinetics),
            validation=None if validation is None else score(validation, kinetics),
            test=score(test, kinetics),
        ),
        intervals=Origin(
            method=f"jackknife, t-distribution over {blocks.described}", blocks=len(blocks), block_ps=blocks.length_ps
        ),
        convergence=convergence,
        stationarity=stationarity_of(splits, convergence.as_last_seen(slow.value), seen, matrix, driven),
        needed_ps={
            key: [needed(*one, len(blocks), test.length_ps, whole_ps) for one in zip(numbers, expected, strict=True)]
            for key, numbers, expected in (
                ("populations", of_populations, variance_of_populations(rates, of_populations.value, targets)),
                ("timescales_ps", processes, variance_of_timescales(rates, of_populations.value, targets, lag_ps)),
            )
        },
        timescales=implied_timescales(test, kinetics),
    )
    return model.with_flags(flags_of(model, test, blocks))


def purity_sums(probabilities: Probabilities) -> Float[np.ndarray, "2"]:
    """Sum of the largest probabilities of all targets and frames, and how many there are: (2,)."""
    rows = present_rows(probabilities)
    return np.array([rows.max(1, initial=0.0).sum(dtype=np.float64), float(len(rows))])


def pcca_form(states: States, populations: Estimate[PerState], matrices: Estimate[Matrix]) -> PCCA | None:
    """Populations and Koopman matrix after the linear map to PCCA+ memberships (section "Pure states", docs/theory.md).

    The map is determined by the slow processes alone: every network that found them has the same memberships, however
    its own states are mixed. None where the states are linearly dependent.
    """
    if not np.isfinite(matrices.whole).all():
        return None
    rotation = simplex_rotation(states.probabilities, states.segment, states.lag_frames)
    if rotation is None:
        return None
    rows = present_rows(states.probabilities)
    means = rows.mean(0, dtype=np.float64) @ rotation
    if means.min() < 0.0 or means.max() > 1.0:  # then the states do not span a simplex
        return None
    rotation = rotation[:, match_states(rows, np.clip(rows @ rotation, 0.0, 1.0))[0]]
    turned = matrices.map(lambda matrix: np.linalg.solve(rotation, matrix @ rotation))
    return PCCA(
        populations=populations.map(lambda p: p @ rotation).interval(within=PROBABILITY, correlated=True),
        koopman=turned.interval(within=PROBABILITY),
    )


def score(states: States, kinetics: Kinetics) -> Score:
    """VAMP-2 score of a split with its interval, and its noise floor."""
    c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
    value, floor = score_with_floor(c, states.lag_frames)
    try:
        blocks = blocks_of(states, kinetics)
        most = states.probabilities.shape[-1] - 1.0
        estimate = covariances_of(states, blocks).map(vamp2).interval(within=(0.0, most))
    except InputError:  # too few trajectories or targets in this split to say
        estimate = Interval.unknown()
    return Score(value, estimate.low, estimate.high, noise_floor=floor)
