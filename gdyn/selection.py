"""Choosing among trained models by their validation frames, with reasons."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from gdyn.config import Kinetics, Selection, Trial
from gdyn.files import FilePath, read_json, whole_file
from gdyn.kinetics.chapman_kolmogorov import ck_test
from gdyn.kinetics.koopman import blocks_of, slowest_timescale
from gdyn.kinetics.timescales import flat_timescales, process_timescales
from gdyn.logs import LOG
from gdyn.result import Array, Number, Result, Table
from gdyn.statistics import match_states, present_rows, simplex_rotation
from gdyn.store import States

SAME_OVERLAP = 0.8
SAME_TIMESCALE = 0.10


class Candidate(Result):
    """The best model of a number of states and a lag time, and how it did on its validation frames."""

    n_states: int
    lag_ps: float
    trial: str
    seed: int
    validation_vamp2: float
    noise_floor: float
    ck_passed: bool
    ck_outcome: Literal["holds", "fails", "cannot say"]
    ck_reason: str | None
    ck_max_deviation: Number
    flat: bool | None
    """Whether the timescales stay the same beyond the lag time; None where this cannot be seen."""
    largest_change: float | None
    resolved: bool
    """Whether any process is resolved at the lag time."""
    holds: bool

    @property
    def verdict(self) -> str:
        """The outcome of its tests in words."""
        if self.validation_vamp2 <= self.noise_floor:
            return "has a score that is not above its noise floor"
        if self.ck_outcome == "cannot say":
            return f"could not be tested on the validation frames ({self.ck_reason})"
        if not self.ck_passed:
            return f"does not pass the Chapman-Kolmogorov test (largest deviation {self.ck_max_deviation:.3f})"
        if not self.resolved:
            return "passes the Chapman-Kolmogorov test, but has no process that is resolved at its lag time"
        if self.flat is None:
            return "passes the Chapman-Kolmogorov test; there are too few frames to see its timescales at longer lags"
        if not self.flat:
            return (
                f"passes the Chapman-Kolmogorov test, but its timescales change with the lag "
                f"(by a factor of {self.largest_change:.2f})"
            )
        return "passes the Chapman-Kolmogorov test and has flat timescales"


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


class TrainingRecord(Result):
    """How the chosen model was trained."""

    wall_s: float
    frames_per_s: float
    device: str
    epochs: int
    converged: bool


class Choice(Result):
    """The model that was chosen among those that were trained, and why."""

    trial: str
    seed: int
    n_states: int
    lag_ps: float
    width: int
    convolutions: int
    learning_rate: float
    reason: str
    validation_vamp2: float
    noise_floor: float
    candidates: list[Candidate]
    seeds: Seeds
    training: TrainingRecord
    problems: list[str]
    model: str
    """Path of the file that was chosen."""
    histories: Table
    """Histories of the trainings of all seeds of the chosen trial."""
    models: Table
    """A row for every model that was trained."""

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        flags, seeds = {}, self.seeds
        if 2 * seeds.agreeing < seeds.tried > 1:
            flags["seeds"] = [
                f"only {seeds.agreeing} of {seeds.tried} seeds ended with the same states: "
                f"they may not be the only answer"
            ]
        return flags | ({"training": self.problems} if self.problems else {})


Paths = Sequence[FilePath]


def select(
    models: Paths, states: Paths, numbers: Paths, histories: Paths, kinetics: Kinetics, selection: Selection
) -> Choice:
    """Choose a model.

    For each number of states and lag time the best model is the one of highest VAMP-2 score on the
    whole validation set, over all other hyperparameters and seeds, of those whose states determine a Koopman matrix if
    there are any. Among these, the first that holds is taken, fewest
    states and then shortest lag first: it passes the Chapman-Kolmogorov test on the validation frames, and its
    timescales are flat beyond its lag. Where none does, the one that deviates least in the test. Models whose score is
    not above its noise floor are taken only where there are no others.

    Parameters
    ----------
    models, states, numbers, histories : paths of the models, their validation states, their trials and
        scores, and the histories of their trainings, in the same order.
    kinetics, selection : those sections of a system.
    """
    runs = [
        {"model": model, "states": path, "history": history, **read_json(number)}
        for model, path, number, history in zip(models, states, numbers, histories, strict=True)
    ]
    for run in runs:
        run["trial"] = Trial(**run["trial"])
    rivals_of: dict[tuple[int, float], list[dict[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: -run["validation_vamp2"]):
        rivals_of.setdefault((run["trial"].n_states, run["trial"].lag_ps), []).append(run)
    # States are read until there are some that determine a matrix: nearly always those of the first.
    best = {key: next(filter(has_matrix, rivals), rivals[0]) for key, rivals in rivals_of.items()}
    candidates = [judge(run, kinetics) for _, run in sorted(best.items())]
    wanted = [c for c in candidates if all(x in (None, getattr(c, key)) for key, x in selection.model_dump().items())]
    known = [c for c in wanted if c.validation_vamp2 > c.noise_floor] or wanted
    first = next((c for c in known if c.holds), None)
    chosen = first or min(known, key=lambda c: np.nan_to_num(c.ck_max_deviation, nan=np.inf))
    run = best[chosen.n_states, chosen.lag_ps]
    rivals = sorted((rival for rival in runs if rival["trial"] == run["trial"]), key=lambda rival: rival["seed"])
    seeds = compare_seeds(run, rivals)
    reason = explain(chosen, candidates, wanted, len(runs), seeds)
    LOG.info("%s", reason)
    return Choice(
        **run["trial"].model_dump(exclude={"model"}),
        trial=chosen.trial,
        seed=chosen.seed,
        reason=reason,
        validation_vamp2=run["validation_vamp2"],
        noise_floor=run["noise_floor"],
        candidates=candidates,
        seeds=seeds,
        training=TrainingRecord.model_validate(run),
        problems=run["problems"],
        model=str(Path(run["model"])),
        histories=pd.concat([pd.read_csv(rival["history"]).assign(seed=rival["seed"]) for rival in rivals]),
        models=table_of(runs, candidates, run),
    )


def choose(
    inputs: Mapping[str, Paths],
    outputs: Mapping[str, FilePath],
    kinetics: Kinetics,
    selection: Selection,
) -> None:
    """Choose a model, copy it to its place, and write the reasons.

    Parameters
    ----------
    inputs : paths of what is chosen among, see :func:`select`.
    outputs : paths to write: ``model``, a copy of the chosen one, and the files of the :class:`Choice`.
    kinetics, selection : those sections of a system.
    """
    choice = select(**inputs, kinetics=kinetics, selection=selection)
    with whole_file(outputs["model"]) as temporary:
        shutil.copyfile(choice.model, temporary)
    choice.write({name: path for name, path in outputs.items() if name != "model"})


def has_matrix(run: dict[str, Any]) -> bool:
    """Whether the validation states of a model determine a Koopman matrix."""
    return bool(np.isfinite(slowest_timescale(States.read(run["states"]))))


def judge(run: dict[str, Any], kinetics: Kinetics) -> Candidate:
    """Test the best model of a number of states and a lag time on its validation frames."""
    states = States.read(run["states"])
    blocks = blocks_of(states, kinetics)
    test = ck_test(states, kinetics, blocks)
    known = np.isfinite(test.max_deviation.value)
    resolved = any(process.resolved for process in process_timescales(states, states.lag_frames, blocks))
    flat = flat_timescales(states, blocks) if known else {"flat": False, "largest_change": None}
    return Candidate(
        n_states=run["trial"].n_states,
        lag_ps=run["trial"].lag_ps,
        trial=run["trial"].name,
        seed=run["seed"],
        validation_vamp2=run["validation_vamp2"],
        noise_floor=run["noise_floor"],
        ck_passed=test.passed,
        ck_outcome=test.outcome,
        ck_reason=test.reason,
        ck_max_deviation=test.max_deviation.value,
        **flat,
        resolved=resolved,
        holds=test.passed and resolved and flat["flat"] is not False,
    )


def table_of(runs: list[dict[str, Any]], candidates: list[Candidate], chosen: dict[str, Any]) -> pd.DataFrame:
    """A row for every model, with the outcome of the tests where it was tested."""
    tested = {(c.trial, c.seed): c for c in candidates}
    rows = []
    for run in runs:
        candidate = tested.get((run["trial"].name, run["seed"]))
        rows.append(
            run["trial"].model_dump()
            | {key: run[key] for key in ("seed", "validation_vamp2", "noise_floor", "purity")}
            | {key: getattr(candidate, key, None) for key in ("ck_passed", "ck_max_deviation", "flat", "holds")}
            | {"chosen": run is chosen}
        )
    return pd.DataFrame(rows)


def compare_seeds(chosen: dict[str, Any], rivals: list[dict[str, Any]]) -> Seeds:
    """Find which seeds of a trial ended with the states and timescale of the chosen one, and how far they agree.

    Two models agree where every pair of matched states overlaps by at least 0.8 on the validation
    frames and their slowest timescales differ by at most 10 %. The states of all seeds in one set are those of
    :func:`pcca_of_all`.
    """
    reference = States.read(chosen["states"])
    rows = present_rows(reference.probabilities)
    slowest = slowest_timescale(reference)
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


def same_timescale(one: float, other: float) -> bool:
    """Whether two timescales differ by no more than 10 %, or neither is determined."""
    if not np.isfinite([one, other]).all():
        return bool(np.isfinite(one) == np.isfinite(other))
    return bool(abs(one - other) <= SAME_TIMESCALE * other)


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


def explain(
    chosen: Candidate, candidates: list[Candidate], wanted: list[Candidate], n_models: int, seeds: Seeds
) -> str:
    """The choice in words."""
    model = f"{chosen.n_states} states at a lag of {chosen.lag_ps:g} ps"
    holds = "passes the Chapman-Kolmogorov test and has flat timescales on the validation frames"
    among = f"among {len(wanted)} combinations" + (" asked for" if len(wanted) < len(candidates) else "")
    if len(wanted) == 1:
        asked = "is the only choice" if len(candidates) == 1 else "was asked for"
        why = f"{model} {asked}; it {chosen.verdict}"
    elif chosen.holds:
        why = f"{model} was chosen {among}, as the first, in order of fewest states and then shortest lag, that {holds}"
        before = [c for c in wanted if (c.n_states, c.lag_ps) < (chosen.n_states, chosen.lag_ps)]
        for rejected in before:
            why += f"; {rejected.n_states} states at {rejected.lag_ps:g} ps {rejected.verdict}"
    else:
        why = f"{model} was chosen {among} although none {holds}: it deviates least, and {chosen.verdict}"
    return (
        f"Of {n_models} trained models: {why}. Seed {chosen.seed} has the highest VAMP-2 score on the validation "
        f"frames, {chosen.validation_vamp2:.4f}; {seeds.agreeing} of its {seeds.tried} seeds ended with the "
        f"same states and timescale."
    )
