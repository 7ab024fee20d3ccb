"""Choosing among trained models by their validation frames, with reasons."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from gdyn.config import Kinetics, Selection, Trial
from gdyn.config.models import MOST_STATES
from gdyn.files import FilePath, read_json, whole_file, write_json
from gdyn.logs import LOG
from gdyn.result import Result, Table
from gdyn.selection.judge import RULES, Candidate, Run, best_of, compare, judge_all, rivals_of
from gdyn.selection.seeds import Seeds, compare_seeds


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
    more_may_be: bool = False
    """Whether no larger number of states was tried that added no process, so that there may be more."""
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
    def _further(self) -> str:
        """How to try a larger number of states."""
        if self.n_states < MOST_STATES:
            return f"add {self.n_states + 1} to search.n_states, or set it to auto"
        return f"list larger ones in search.n_states ([{self.n_states}, {self.n_states + 1}, ...])"

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        flags, seeds = {}, self.seeds
        if self.more_may_be:
            flags["n_states"] = [
                f"there may be more than {self.n_states} states: the last one adds a process, and no larger number was "
                f"tried; {self._further}"
            ]
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
    there are any. Among these a rule chooses (``selection.rule``). ``processes``: at each lag time, states are added
    while they add a process (:mod:`gdyn.kinetics.number_of_states`); of the lag times, the shortest is taken at which
    that model holds, which is that it passes the Chapman-Kolmogorov test and its timescales do not rise. ``paper``: the
    first that holds, fewest states and then shortest lag first. Where none does, the one that comes nearest. Models
    whose score is not above its noise floor are taken only where there are no others.

    Parameters
    ----------
    models, states, numbers, histories : paths of the models, their validation states, their trials and
        scores, and the histories of their trainings, in the same order. A training that was not needed has none but a
        number ``skipped``.
    kinetics, selection : those sections of a system.
    """
    runs = read_runs(numbers, model=models, states=states, history=histories)
    rivals_by_key = rivals_of(runs)
    best = best_of(rivals_by_key)
    candidates = judge_all(best, rivals_by_key, kinetics)
    asked = {key: getattr(selection, key) for key in ("n_states", "lag_ps")}
    wanted = [c for c in candidates if all(x in (None, getattr(c, key)) for key, x in asked.items())]
    known = [c for c in wanted if c.known] or wanted
    chosen = RULES[selection.rule](known, asked["n_states"])
    run = best[chosen.n_states, chosen.lag_ps]
    rivals = sorted((one for one in runs if one["trial"] == run["trial"]), key=lambda one: one["seed"])
    seeds = compare_seeds(run, rivals, kinetics)
    reason = explain(chosen, candidates, wanted, runs, seeds, selection.rule)
    rest = [c for c in candidates if c.lag_ps == chosen.lag_ps and c.n_states > chosen.n_states]
    more = chosen.added and not rest
    LOG.info("%s", reason)
    return Choice(
        **run["trial"].model_dump(exclude={"model"}),
        trial=chosen.trial,
        seed=chosen.seed,
        reason=reason,
        validation_vamp2=run["validation_vamp2"],
        noise_floor=run["noise_floor"],
        candidates=candidates,
        more_may_be=more,
        seeds=seeds,
        training=TrainingRecord.model_validate(run),
        problems=run["problems"],
        model=str(Path(run["model"])),
        histories=pd.concat([pd.read_csv(rival["history"]).assign(seed=rival["seed"]) for rival in rivals]),
        models=table_of(runs, candidates, run),
    )


def read_runs(numbers: Paths, **files: Paths) -> list[Run]:
    """The trainings that were needed: their numbers, and the paths of their files by name."""
    runs = [
        dict(zip(files, paths, strict=True)) | read_json(number)
        for number, *paths in zip(numbers, *files.values(), strict=True)
    ]
    return [run | {"trial": Trial(**run["trial"])} for run in runs if "skipped" not in run]


def write_added(states: Paths, numbers: Paths, kinetics: Kinetics, result: FilePath) -> None:
    """Write whether the largest number of states adds a process to smaller ones, at any lag time, as JSON.

    Parameters
    ----------
    states, numbers : paths of the validation states, and of the trials and scores, of all trainings of up to that
        number, in the same order.
    kinetics : that section of a system.
    result : path to write: ``added``, and the ``reason`` in words.
    """
    skipped = [numbers["skipped"] for numbers in map(read_json, numbers) if "skipped" in numbers]
    runs = read_runs(numbers, states=states)
    rivals = rivals_of(runs)
    largest = max(n_states for n_states, _ in rivals)
    found = [more for run, _, more in compare(best_of(rivals), rivals, kinetics) if run["trial"].n_states == largest]
    reasons = skipped or [more.reason for more in found]
    LOG.info("%s", "; ".join(dict.fromkeys(reasons)))
    added = not skipped and any(more.added for more in found)
    write_json(result, {"added": added, "reason": "; ".join(dict.fromkeys(reasons))})


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


def table_of(runs: list[Run], candidates: list[Candidate], chosen: Run) -> pd.DataFrame:
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


def explain(
    chosen: Candidate,
    candidates: list[Candidate],
    wanted: list[Candidate],
    runs: list[Run],
    seeds: Seeds,
    rule: str,
) -> str:
    """The choice in words."""
    model = f"{chosen.n_states} states at a lag of {chosen.lag_ps:g} ps"
    among = f"among {len(wanted)} combinations" + (" asked for" if len(wanted) < len(candidates) else "")
    if len(wanted) == 1:
        asked = "is the only choice" if len(candidates) == 1 else "was asked for"
        why = f"{model} {asked}; it {chosen.verdict}; {chosen.because}"
    elif rule == "paper":
        holds = "passes the Chapman-Kolmogorov test and has flat timescales on the validation frames"
        if chosen.holds:
            first = f"as the first, in order of fewest states and then shortest lag, that {holds}"
            before = [c for c in wanted if (c.n_states, c.lag_ps) < (chosen.n_states, chosen.lag_ps)]
            rejected = [f"; {c.n_states} states at {c.lag_ps:g} ps {c.verdict}" for c in before]
            why = f"{model} was chosen {among}, {first}{''.join(rejected)}"
        else:
            why = f"{model} was chosen {among} although none {holds}: it deviates least, and {chosen.verdict}"
    else:
        at_lag = [c for c in wanted if c.lag_ps == chosen.lag_ps]
        why = f"{model} was chosen {among}: {'; '.join(c.because for c in at_lag)}"
        others = sorted({c.lag_ps for c in wanted} - {chosen.lag_ps})
        if others:
            why += (
                f". Of the lag times, it is the shortest at which such a model {chosen.verdict}"
                if chosen.holds
                else (f". At no lag time does such a model hold; this one {chosen.verdict}")
            )
        else:
            why += f". It {chosen.verdict}"
    return (
        f"Of {len(runs)} trained models: {why}. Seed {chosen.seed} has the highest VAMP-2 score on the validation "
        f"frames, {chosen.validation_vamp2:.4f}; {seeds.agreeing} of its {seeds.tried} seeds ended with the "
        f"same states and timescale."
    )
