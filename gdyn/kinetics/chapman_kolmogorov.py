"""The Chapman-Kolmogorov test: whether the model predicts what is observed after many lag times."""

from dataclasses import replace
from typing import Final, Literal, Self

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import model_validator

from gdyn.config import Kinetics
from gdyn.errors import InputError
from gdyn.kinetics.flags import explain_degeneracy
from gdyn.kinetics.koopman import blocks_of, koopman_matrix
from gdyn.logs import LOG
from gdyn.result import Array, Number, Result, Share
from gdyn.statistics.interval import PROBABILITY, Interval, bounded, student
from gdyn.statistics.lag import lagged_frames
from gdyn.statistics.shapes import Probabilities, Segment
from gdyn.statistics.uncertainty import Blocks, with_interval
from gdyn.store import States

TOLERANCE = 1e-9  # of rounding, where both intervals have no width
WEAK = 0.2  # of probabilities, that a test would not see
CANNOT_SAY: Final = "cannot say"

Curves = Float[np.ndarray, "times states states"]


class ChapmanKolmogorov(Result):
    """What the Chapman-Kolmogorov test says, and the curves that it compares."""

    lag_ps: Array
    """(steps + 1,)"""
    predicted: Share
    """(steps + 1, states, states), powers of the Koopman matrix."""
    observed: Share
    """(steps + 1, states, states), Koopman matrices at the longer lag times."""
    max_deviation: Share
    """That of the entry that deviates most."""
    outcome: Literal["holds", "fails", "cannot say"]
    reason: str | None = None
    """Why the test cannot say, if so."""
    passed: bool
    """Whether it holds."""
    unseen: Number
    """The largest deviation that any entry could have without the test failing."""

    @model_validator(mode="after")
    def _its_caveats_are_about_the_deviation(self) -> Self:
        sentences = [sentence for of_key in self.flags.values() for sentence in of_key]
        self.__dict__["max_deviation"] = self.max_deviation.with_caveats(sentences)
        return self

    @property
    def verdict(self) -> str:
        """In words."""
        if self.outcome == CANNOT_SAY:
            return f"cannot say: {self.reason}"
        return f"{'passed' if self.passed else 'NOT passed'}, largest deviation {self.max_deviation.value:.3f}"

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        if self.outcome == CANNOT_SAY:
            reason = (self.reason or "").replace("the Chapman-Kolmogorov test needs", "it needs")
            return {"ck": [f"the Chapman-Kolmogorov test cannot say whether the states are Markovian: {reason}"]}
        if not self.passed:
            sentence = (
                f"the Chapman-Kolmogorov test is not passed (largest deviation {self.max_deviation.value:.3f}): "
                f"at this lag time and number of states the dynamics is not Markovian"
            )
        elif self.unseen > WEAK:
            sentence = (
                f"the Chapman-Kolmogorov test says little: its intervals are so wide that it would have passed with "
                f"deviations up to {self.unseen:.2g}"
            )
        else:
            return {}
        return {"ck_max_deviation": [sentence]}

    @property
    def table(self) -> pd.DataFrame:
        """The curves, a row for each pair of states and time."""
        n_states = self.observed.value.shape[-1]
        return pd.DataFrame(
            {"lag_ps": lag_ps, "from": i + 1, "to": j + 1}
            | self.predicted[n, i, j].columns("predicted")
            | self.observed[n, i, j].columns("observed")
            for i in range(n_states)
            for j in range(n_states)
            for n, lag_ps in enumerate(self.lag_ps)
        )


def chapman_kolmogorov(states: States, steps: int, blocks: Blocks) -> ChapmanKolmogorov:
    """Compare ``K(lag)^n`` with ``K(n lag)`` for ``n = 0 ... steps`` (equation 12 of docs/theory.md).

    The test holds where every entry of the two agrees within their intervals, added in squares. So many entries
    would by chance not all lie within 95 %; the intervals are widened so that their joint level is 95 %, with as many
    comparisons as there are pairs of states (Bonferroni).

    Parameters
    ----------
    states : States
    steps : int, lag times to look ahead; fewer where they do not fit twice into a block.
    blocks : Blocks, behind the intervals.

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

    def predict(probabilities: Probabilities, segment: Segment) -> Curves:
        matrix = koopman_matrix(probabilities, segment, lag)
        return np.stack([np.linalg.matrix_power(matrix, n) for n in range(fitting + 1)])

    def observe(probabilities: Probabilities, segment: Segment) -> Curves:
        return np.stack([koopman_matrix(probabilities, segment, n * lag) for n in range(fitting + 1)])

    predicted, observed = (with_interval(f, states, blocks) for f in (predict, observe))
    deviation = np.abs(predicted.value - observed.value)
    width = np.hypot(predicted.half, observed.half)
    n_states = deviation.shape[-1]
    joint = student(1.0 - 0.05 / (n_states * (n_states - 1)), len(blocks) - 1)
    wider = joint / student(0.975, len(blocks) - 1)
    allowed = wider * width + TOLERANCE
    worst = np.unravel_index(deviation.argmax(), deviation.shape)
    known, reason = np.isfinite(allowed), None
    outcome: Literal["holds", "fails"] = "fails" if (deviation[known] > allowed[known]).any() else "holds"
    if not moves(states):
        reason = f"no target was seen to change its state within {states.lag_ps:g} ps"
    elif outcome == "holds" and not known.all():
        reason = "some of the blocks of frames behind the intervals lack a state"
    furthest = deviation[worst]
    return ChapmanKolmogorov(
        lag_ps=np.arange(fitting + 1) * states.lag_ps,
        predicted=_within_bounds(predicted),
        observed=_within_bounds(observed),
        max_deviation=Interval(furthest, np.maximum(0.0, furthest - width[worst]), furthest + width[worst]),
        outcome=CANNOT_SAY if reason else outcome,
        reason=reason,
        passed=outcome == "holds" and not reason,
        unseen=allowed[known].max(initial=0.0),
    )


def _within_bounds(curves: Interval) -> Interval:
    low, high = bounded(curves.value, curves.high - curves.value, PROBABILITY)
    return replace(curves, low=low, high=high)


def moves(states: States) -> bool:
    """Whether any target changes its most probable state from a frame to that a lag time later."""
    first = lagged_frames(states.segment, states.lag_frames)
    state = np.where(states.present, np.nan_to_num(states.probabilities).argmax(-1), -1)
    before, after = state[first], state[first + states.lag_frames]
    return bool(((before != after) & (before >= 0) & (after >= 0)).any())


def ck_test(states: States, kinetics: Kinetics, blocks: Blocks | None = None) -> ChapmanKolmogorov:
    """Whether powers of the Koopman matrix are those seen at longer lag times (equation 12 of docs/theory.md).

    Where no test is possible, its numbers are NaN, and the result says why.

    Parameters
    ----------
    states : those whose model is tested.
    kinetics : that section of a system.
    blocks : behind the intervals, where they are known.
    """
    try:
        return chapman_kolmogorov(states, kinetics.chapman_kolmogorov_steps, blocks or blocks_of(states, kinetics))
    except InputError as error:
        reason = str(error)
    except np.linalg.LinAlgError:
        reason = explain_degeneracy(states)
    n = states.probabilities.shape[-1]
    nothing = Interval.unknown((1, n, n))
    return ChapmanKolmogorov(
        lag_ps=np.zeros(1),
        predicted=nothing,
        observed=nothing,
        max_deviation=Interval.unknown(),
        outcome=CANNOT_SAY,
        reason=reason,
        passed=False,
        unseen=np.nan,
    )
