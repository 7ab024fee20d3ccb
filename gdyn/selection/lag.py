"""The lag time to train at, from how the timescales of a first model change with it.

A process that is followed at too short a lag time is not Markovian yet, and its timescale rises with the lag time; one
that is followed at too long a lag time is over before it is seen. So a lag time is taken from which on no timescale
rises, well below the fastest of those that are slow (section "Lag time" of docs/theory.md).
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from gdyn.config import Kinetics
from gdyn.kinetics.convergence import Convergence, Curves, Outcome, longest_lag
from gdyn.kinetics.koopman import blocks_of
from gdyn.result import Number, Result, Table
from gdyn.rounding import brief_time, several
from gdyn.statistics.lag import longest_segment
from gdyn.statistics.shapes import PerProcess
from gdyn.store import States

STEPS = (1, 1.5, 2, 3, 5, 7)  # of lag times, frames, in a power of ten
PART = 20  # times that a lag time has to fit into the longest stretch of frames
BELOW_FASTEST = 5  # times that it has to fit into the fastest slow process, to be longer than it needs to be
GAP = 10  # factor between two timescales from which on the faster one is not slow


class Tried(NamedTuple):
    """What is known of a lag time: the fastest slow process that is resolved there, and how these change beyond it."""

    lag_ps: float
    fastest_ps: float
    rest_ps: float
    """The slowest of the others that are resolved there, below the gap; NaN if there are none."""
    found: Convergence


class LagTime(Result):
    """The lag time that was chosen, and why."""

    lag_ps: Number
    reason: str
    outcome: Outcome
    """Whether the timescales of the slow processes that are resolved there rise beyond it."""
    tried_ps: list[float]
    """The lag times that were compared."""
    curves: Table
    """Timescales of the first model with 95 % intervals: ``process``, ``lag_ps``, ``timescale_ps``, ``low_ps``,
    ``high_ps``."""

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        return {"lag_ps": [self.reason]} if self.outcome == "rising" or not self.tried_ps else {}


def choose_lag(states: States, kinetics: Kinetics | None = None) -> LagTime:
    """Choose a lag time.

    Parameters
    ----------
    states : validation states of a model that was trained at a short lag time.
    kinetics : that section of a system.

    Raises
    ------
    InputError : there are too few frames, see :func:`gdyn.statistics.uncertainty.Blocks.of`.
    """
    blocks, n_processes = blocks_of(states, kinetics or Kinetics()), states.probabilities.shape[-1] - 1
    longest = max(1, longest_lag(states, blocks))
    most = max(1, min(longest_segment(states.segment) // PART, longest))
    lags = np.unique([int(step * 10.0**power) for power in range(9) for step in STEPS])
    lags = lags[lags <= longest]
    curves = Curves.of(states, blocks, lags, n_processes)
    times = curves.logarithms.interval().map(np.exp)
    tried: list[Tried] = []
    for first, lag_ps in enumerate(curves.lag_ps[lags <= most]):
        # A process counts where it is slower than the lag time, with its whole interval.
        n_resolved = int(np.cumprod(times.low[first] > lag_ps).sum())
        if n_resolved == 0:
            break
        n_slow = above_gap(times.value[first, :n_resolved], states.length_ps)
        fastest_ps = float(times.value[first, n_slow - 1])
        rest_ps = float(times.value[first, n_slow]) if n_slow < n_resolved else np.nan
        tried.append(Tried(float(lag_ps), fastest_ps, rest_ps, curves.beyond(first, range(n_slow))))
    lag_ps, outcome, reason = _best(tried, states.lag_ps)
    rows = [
        {"process": process + 1, "lag_ps": lag, "timescale_ps": one.value, "low_ps": one.low, "high_ps": one.high}
        for process in range(n_processes)
        for lag, one in zip(curves.lag_ps, times[:, process], strict=True)
    ]
    return LagTime(
        lag_ps=lag_ps,
        reason=reason,
        outcome=outcome,
        tried_ps=[one.lag_ps for one in tried],
        curves=pd.DataFrame(rows),
    )


def above_gap(timescales_ps: PerProcess, length_ps: float) -> int:
    """How many processes are slow: those above the largest gap, if it is a factor of 10 or more; else all.

    What is slower than the frames are long is not known to be so much slower than anything else.
    """
    known = np.minimum(timescales_ps, length_ps)
    gaps = known[:-1] / known[1:]
    return int(gaps.argmax()) + 1 if gaps.max(initial=0.0) >= GAP else len(known)


def _best(tried: list[Tried], fallback_ps: float) -> tuple[float, Outcome, str]:
    """The lag time, whether the timescales have converged there, and why in words."""
    if not tried:
        why = "that of a first model, as no process of it is resolved; search.lag_ps sets another"
        return fallback_ps, "cannot say", f"a lag time of {fallback_ps:g} ps was taken, {why}"
    outcomes = [{rise.outcome for rise in one.found.processes} for one in tried]
    first = next((n for n, kinds in enumerate(outcomes) if "rising" not in kinds), None)
    one = tried[-1 if first is None else first]
    rises = one.found.processes
    n = len(rises)
    slow = f"the timescales of the {n} slow processes" if n > 1 else "the timescale of the one slow process"
    slow += f" of a first model that {'are' if n > 1 else 'is'} resolved there"
    known = [f"{one.change} up to {one.longest_lag_ps:g} ps" for one in rises if np.isfinite(one.longest_lag_ps)]
    changes = f"by a factor of {', '.join(known)}" if known else "by how much is not known"
    if 0 < len(known) < n:
        changes += f", and {several(n - len(known), 'other')} by how much is not known"
    if first is None:
        why = f"the longest that fits {PART} times into the validation frames and at which a process is resolved"
        why += f", but {slow} still {'rise' if n > 1 else 'rises'} beyond it ({changes})"
        return one.lag_ps, "rising", f"a lag time of {one.lag_ps:g} ps was taken, {why}"
    # Nothing is gained by a lag time far below the fastest of them: each pair of frames tells less.
    lag_ps = max([one.lag_ps] + [other.lag_ps for other in tried if other.lag_ps <= one.fastest_ps / BELOW_FASTEST])
    longer = f"; {lag_ps:g} ps is well below the fastest, {brief_time(one.fastest_ps)}" if lag_ps > one.lag_ps else ""
    if np.isfinite(one.rest_ps):
        longer += f"; what takes {brief_time(one.rest_ps)} or less is far faster, and left out"
    settled = outcomes[first] == {"converged"}
    if settled:
        seen = "do not rise" if n > 1 else "does not rise"
    else:
        seen = f"{'are' if n > 1 else 'is'} not seen to rise, which is not sure"
    why = f"from {one.lag_ps:g} ps on, {slow} {seen} ({changes}){longer}"
    return lag_ps, "converged" if settled else "cannot say", f"a lag time of {lag_ps:g} ps was taken: {why}"
