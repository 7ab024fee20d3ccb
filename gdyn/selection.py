"""Choosing among trained models by their validation frames, and saying why."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from gdyn.config import Trial
from gdyn.errors import InputError
from gdyn.files import read_json, whole_file, write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.chapman_kolmogorov import chapman_kolmogorov
from gdyn.kinetics.koopman import koopman_matrix, timescales
from gdyn.logs import LOG
from gdyn.statistics import match_states, present_rows
from gdyn.store import States

SAME_OVERLAP = 0.8
SAME_TIMESCALE = 0.10


def select(models, states, numbers, histories, chosen_model, choice, chosen_histories, kinetics):
    """Choose a model and copy it to its place.

    For each number of states and lag time the best model is the one of highest VAMP-2 score on the
    whole validation set, over all other hyperparameters and seeds. Among these, the first that passes the
    Chapman-Kolmogorov test on the validation frames is taken, fewest states and then shortest lag
    first; where none passes, the one that deviates least.

    Parameters
    ----------
    models, states, numbers, histories : paths of the models, their validation states, their trials and
        scores, and the histories of their trainings, in the same order.
    chosen_model, choice, chosen_histories : paths to write: a copy of the model, the reasons as JSON, and
        the histories of all seeds of the chosen trial as CSV.
    kinetics : that section of a system.
    """
    runs = [
        {"model": model, "states": path, "history": history, **read_json(number)}
        for model, path, number, history in zip(models, states, numbers, histories, strict=True)
    ]
    for run in runs:
        run["trial"] = Trial(**run["trial"])
    best = {}
    for run in sorted(runs, key=lambda run: -run["validation_vamp2"]):
        best.setdefault((run["trial"].n_states, run["trial"].lag_ps), run)
    candidates = []
    for (n_states, lag_ps), run in sorted(best.items()):
        try:
            states = States.read(run["states"])
            test = chapman_kolmogorov(states, kinetics.chapman_kolmogorov_steps, blocks_of(states, kinetics))
            passed, deviation = test["passed"], test["max_deviation"]
        except (InputError, np.linalg.LinAlgError) as error:
            LOG.warning("%s: %s", run["trial"].name, error)
            passed, deviation = False, None
        candidates.append(
            {
                "n_states": n_states,
                "lag_ps": lag_ps,
                "trial": run["trial"].name,
                "seed": run["seed"],
                "validation_vamp2": run["validation_vamp2"],
                "ck_passed": passed,
                "ck_max_deviation": deviation,
            }
        )
    first = next((c for c in candidates if c["ck_passed"]), None)
    chosen = first or min(candidates, key=lambda c: np.inf if c["ck_max_deviation"] is None else c["ck_max_deviation"])
    run = best[chosen["n_states"], chosen["lag_ps"]]
    rivals = sorted((other for other in runs if other["trial"] == run["trial"]), key=lambda other: other["seed"])
    seeds = compare_seeds(run, rivals)
    reason = explain(chosen, candidates, len(runs), seeds)
    LOG.info("%s", reason)
    tables = [pd.read_csv(rival["history"]).assign(seed=rival["seed"]) for rival in rivals]
    write_table(chosen_histories, pd.concat(tables))
    with whole_file(chosen_model) as temporary:
        shutil.copyfile(run["model"], temporary)
    write_json(
        choice,
        {
            "trial": chosen["trial"],
            "seed": chosen["seed"],
            **run["trial"].model_dump(),
            "reason": reason,
            "validation_vamp2": run["validation_vamp2"],
            "noise_floor": run["noise_floor"],
            "candidates": candidates,
            "seeds": seeds,
            "training": {key: run[key] for key in ("wall_s", "frames_per_s", "device", "epochs", "converged")},
            "problems": run["problems"],
            "model": str(Path(run["model"])),
        },
    )


def compare_seeds(chosen, rivals):
    """Tell which seeds of a trial ended with the same states and timescale as the chosen one.

    Two models agree where every pair of matched states overlaps by at least 0.8 on the validation
    frames and their slowest timescales differ by at most 10 %.

    Returns
    -------
    dict with ``tried``, ``agreeing`` (both count the chosen seed) and ``each``: a row per seed.
    """
    reference = States.read(chosen["states"])
    own = present_rows(reference.probabilities)
    slowest = _slowest(reference)
    rows = []
    for rival in rivals:
        other = States.read(rival["states"])
        _, overlap = match_states(own, present_rows(other.probabilities))
        timescale = _slowest(other)
        rows.append(
            {
                "seed": rival["seed"],
                "validation_vamp2": rival["validation_vamp2"],
                "purity": rival["purity"],
                "timescale_ps": timescale,
                "overlap": overlap,
                "agrees": bool(overlap.min() >= SAME_OVERLAP and abs(timescale / slowest - 1.0) <= SAME_TIMESCALE),
            }
        )
    return {"tried": len(rows), "agreeing": sum(row["agrees"] for row in rows), "each": rows}


def explain(chosen, candidates, n_models, seeds):
    """The choice in words."""
    model = f"{chosen['n_states']} states at a lag of {chosen['lag_ps']:g} ps"
    if len(candidates) == 1:
        verdict = "passes" if chosen["ck_passed"] else "does not pass"
        why = f"{model} is the only choice; it {verdict} the Chapman-Kolmogorov test on the validation frames"
    elif chosen["ck_passed"]:
        why = (
            f"{model} was chosen among {len(candidates)} combinations, as the fewest states and then the shortest lag "
            f"that pass the Chapman-Kolmogorov test on the validation frames"
        )
    else:
        why = (
            f"{model} was chosen among {len(candidates)} combinations although none passes the Chapman-Kolmogorov test "
            f"on the validation frames: it deviates least"
        )
    return (
        f"Of {n_models} trained models: {why}. Seed {chosen['seed']} has the highest VAMP-2 score on the validation "
        f"frames, {chosen['validation_vamp2']:.4f}; {seeds['agreeing']} of its {seeds['tried']} seeds ended with the "
        f"same states and timescale."
    )


def _slowest(states):
    try:
        return float(
            timescales(koopman_matrix(states.probabilities, states.segment, states.lag_frames), states.lag_ps)[0]
        )
    except np.linalg.LinAlgError:
        return float("nan")
