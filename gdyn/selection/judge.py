"""Each number of states and lag time, tested on the validation frames, and the rules that choose among them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from gdyn.config import Kinetics
from gdyn.kinetics.chapman_kolmogorov import ck_test
from gdyn.kinetics.convergence import convergence_of
from gdyn.kinetics.koopman import blocks_of, slowest_timescale
from gdyn.kinetics.number_of_states import Added, added_by
from gdyn.kinetics.populations import assign
from gdyn.kinetics.timescales import Process, process_timescales, resolved_of
from gdyn.result import Number, Result, Share, measured
from gdyn.statistics import vamp2
from gdyn.statistics.interval import Interval
from gdyn.statistics.uncertainty import covariances_of
from gdyn.store import States

Run = dict[str, Any]
"""A training that has ended: paths of its files, and what its numbers.json says."""
Key = tuple[int, float]
"""A number of states and a lag time, ps."""


class Candidate(Result):
    """The best model of a number of states and a lag time, and how it did on its validation frames."""

    n_states: int
    lag_ps: float
    trial: str
    seed: int
    validation_vamp2: float
    score: Share = Interval.unknown()
    """The same with its interval."""
    noise_floor: float
    purity: Number = float("nan")
    ck_passed: bool
    ck_outcome: Literal["holds", "fails", "cannot say"]
    ck_reason: str | None = None
    """Why the test cannot say, if so."""
    ck_verdict: str = ""
    """In words."""
    ck_max_deviation: Number
    ck_assigned: Literal["holds", "fails", "cannot say"] = "cannot say"
    """Of the states with every target in its most probable one."""
    flat: bool | None
    """Whether the timescales stay the same beyond the lag time; None where this cannot be seen."""
    largest_change: float | None
    resolved: bool
    """Whether any process is resolved at the lag time."""
    timescales_ps: list[Annotated[Process, measured("ps", Process)]] = Field(default_factory=list)
    """Of all processes, slowest first."""
    holds: bool
    """Whether the test is passed and the timescales do not rise."""
    added: bool = True
    """Whether it has a process more than that of the next smaller number of states that has one."""
    because: str = ""
    """Why, in words."""

    @property
    def known(self) -> bool:
        """Whether it is more than noise."""
        return self.validation_vamp2 > self.noise_floor

    @property
    def verdict(self) -> str:
        """The outcome of its tests in words."""
        if not self.known:
            return "has a score that is not above its noise floor"
        if not self.resolved:
            return "has no process that is resolved at its lag time"
        if self.ck_outcome == "cannot say":
            return f"could not be tested on the validation frames ({self.ck_verdict.removeprefix('cannot say: ')})"
        if not self.ck_passed:
            return f"does not pass the Chapman-Kolmogorov test ({self.ck_verdict.removeprefix('fails; ')})"
        if self.flat is None:
            return "passes the Chapman-Kolmogorov test; there are too few frames to see its timescales at longer lags"
        if not self.flat:
            return (
                f"passes the Chapman-Kolmogorov test, but its timescales rise with the lag "
                f"(by a factor of {self.largest_change:.2f})"
            )
        return "passes the Chapman-Kolmogorov test and has flat timescales"


def has_matrix(run: Run) -> bool:
    """Whether the validation states of a model determine a Koopman matrix."""
    return bool(np.isfinite(slowest_timescale(States.read(run["states"]))))


def rivals_of(runs: Iterable[Run]) -> dict[Key, list[Run]]:
    """The runs of each number of states and lag time, the highest score on the validation frames first."""
    rivals: dict[Key, list[Run]] = {}
    for run in sorted(runs, key=lambda run: -run["validation_vamp2"]):
        rivals.setdefault((run["trial"].n_states, run["trial"].lag_ps), []).append(run)
    return rivals


def best_of(rivals: Mapping[Key, list[Run]]) -> dict[Key, Run]:
    """The best of each: the first whose states determine a Koopman matrix, if there is any."""
    # States are read until there are some that do: nearly always those of the first.
    return {key: next(filter(has_matrix, of_key), of_key[0]) for key, of_key in rivals.items()}


def compare(
    best: Mapping[Key, Run], rivals: Mapping[Key, list[Run]], kinetics: Kinetics
) -> Iterator[tuple[Run, States, Added]]:
    """What the best model of each number of states and lag time adds, fewest states and then shortest lag first.

    Each is compared with the last one at its lag time that added a process. With it come its validation states.
    """
    before: dict[float, States] = {}
    for (n_states, lag_ps), run in sorted(best.items()):
        states = States.read(run["states"])
        seeds = (one for one in rivals[n_states, lag_ps] if one["trial"] == run["trial"])
        # One after the other: the states of all seeds may be more than memory holds.
        same = (states if one is run else States.read(one["states"]) for one in seeds)
        more = added_by(states, same, before.get(lag_ps), kinetics)
        if more.added:
            before[lag_ps] = states
        yield run, states, more


def judge_all(best: Mapping[Key, Run], rivals: Mapping[Key, list[Run]], kinetics: Kinetics) -> list[Candidate]:
    """Test the best model of each number of states and lag time, see :func:`compare`."""
    return [judge(run, states, more, kinetics) for run, states, more in compare(best, rivals, kinetics)]


def judge(run: Run, states: States, more: Added, kinetics: Kinetics) -> Candidate:
    """Test a model on its validation frames."""
    blocks = blocks_of(states, kinetics)
    test = ck_test(states, kinetics)
    assigned = replace(states, probabilities=assign(states.probabilities))
    processes = process_timescales(states, states.lag_frames, blocks)
    places = resolved_of(processes)
    flat, change = None, None
    if places:
        rises = convergence_of(states, blocks, places).processes
        outcomes = {rise.outcome for rise in rises}
        flat = False if "rising" in outcomes else (True if outcomes == {"converged"} else None)
        changes = [float(rise.change.value) for rise in rises if np.isfinite(rise.change.value)]
        change = max(changes, key=lambda x: abs(np.log(x)), default=None)
    return Candidate(
        n_states=run["trial"].n_states,
        lag_ps=run["trial"].lag_ps,
        trial=run.get("name", run["trial"].name),
        seed=run["seed"],
        validation_vamp2=run["validation_vamp2"],
        score=covariances_of(states, blocks).map(vamp2).interval(within=(0.0, run["trial"].n_states - 1.0)),
        noise_floor=run["noise_floor"],
        purity=run["purity"],
        ck_passed=test.passed,
        ck_outcome=test.outcome,
        ck_reason=test.reason,
        ck_verdict=test.verdict,
        ck_max_deviation=test.max_deviation.value,
        ck_assigned=ck_test(assigned, kinetics).outcome,
        flat=flat,
        largest_change=change,
        resolved=bool(places),
        timescales_ps=processes,
        holds=test.passed and bool(places) and flat is not False,
        added=more.added,
        because=more.reason,
    )


def by_processes(candidates: list[Candidate], asked: int | None) -> Candidate:
    """At every lag time the largest number of states that adds a process, or that asked for; then the best lag time."""
    at_lag: dict[float, Candidate] = {}
    for one in candidates:
        if one.lag_ps not in at_lag or one.added or asked:
            at_lag[one.lag_ps] = one

    def rank(c: Candidate) -> tuple[float, ...]:
        wrong = c.ck_outcome == "fails" or c.flat is False  # then, the longer the lag, the nearer it comes
        return (not c.added, not c.holds, c.ck_outcome == "fails", c.flat is False, -c.lag_ps if wrong else c.lag_ps)

    return min(at_lag.values(), key=rank)


def by_paper(candidates: list[Candidate], asked: int | None) -> Candidate:
    """The first that holds; else the one that deviates least."""
    first = next((c for c in candidates if c.holds), None)
    return first or min(candidates, key=lambda c: np.nan_to_num(c.ck_max_deviation, nan=np.inf))


RULES: dict[str, Callable[[list[Candidate], int | None], Candidate]] = {"processes": by_processes, "paper": by_paper}
