"""Choosing among trained models by their validation frames, and saying why."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from gdyn.config import Trial
from gdyn.files import read_json, whole_file, write_json, write_table
from gdyn.kinetics.analysis import blocks_of, flat_timescales, process_timescales
from gdyn.kinetics.chapman_kolmogorov import tested
from gdyn.kinetics.koopman import slowest_timescale
from gdyn.logs import LOG
from gdyn.statistics import match_states, present_rows, simplex_rotation
from gdyn.store import States

SAME_OVERLAP = 0.8
SAME_TIMESCALE = 0.10


def select(
    models, states, numbers, histories, chosen_model, choice, chosen_histories, candidates_table, kinetics, selection
):
    """Choose a model and copy it to its place.

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
    chosen_model, choice, chosen_histories, candidates_table : paths to write: a copy of the model, the reasons as JSON,
        the histories of all seeds of the chosen trial as CSV, and a CSV with a row for every model.
    kinetics, selection : those sections of a system.
    """
    runs = [
        {"model": model, "states": path, "history": history, **read_json(number)}
        for model, path, number, history in zip(models, states, numbers, histories, strict=True)
    ]
    for run in runs:
        run["trial"] = Trial(**run["trial"])
    rivals_of = {}
    for run in sorted(runs, key=lambda run: -run["validation_vamp2"]):
        rivals_of.setdefault((run["trial"].n_states, run["trial"].lag_ps), []).append(run)
    # States are read until there are some that determine a matrix: nearly always those of the first.
    best = {key: next(filter(has_matrix, rivals), rivals[0]) for key, rivals in rivals_of.items()}
    candidates = [judge(run, kinetics) for _, run in sorted(best.items())]
    wanted = [c for c in candidates if all(value in (None, c[key]) for key, value in selection.model_dump().items())]
    known = [c for c in wanted if c["validation_vamp2"] > c["noise_floor"]] or wanted
    first = next((c for c in known if c["holds"]), None)
    chosen = first or min(known, key=lambda c: np.inf if c["ck_max_deviation"] is None else c["ck_max_deviation"])
    run = best[chosen["n_states"], chosen["lag_ps"]]
    rivals = sorted((other for other in runs if other["trial"] == run["trial"]), key=lambda other: other["seed"])
    seeds = compare_seeds(run, rivals)
    reason = explain(chosen, candidates, wanted, len(runs), seeds)
    LOG.info("%s", reason)
    tables = [pd.read_csv(rival["history"]).assign(seed=rival["seed"]) for rival in rivals]
    write_table(chosen_histories, pd.concat(tables))
    write_table(candidates_table, table_of(runs, candidates, run))
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


def has_matrix(run):
    """Whether the validation states of a model determine a Koopman matrix."""
    return np.isfinite(slowest_timescale(States.read(run["states"])))


def judge(run, kinetics):
    """Test the best model of a number of states and a lag time on its validation frames."""
    states = States.read(run["states"])
    blocks = blocks_of(states, kinetics)
    test = tested(states, kinetics.chapman_kolmogorov_steps, blocks)
    known = np.isfinite(test["max_deviation"].value)
    resolved = any(process["resolved"] for process in process_timescales(states, states.lag_frames, blocks))
    flat = flat_timescales(states, blocks) if known else {"flat": False, "largest_change": None}
    return {
        "n_states": run["trial"].n_states,
        "lag_ps": run["trial"].lag_ps,
        "trial": run["trial"].name,
        "seed": run["seed"],
        "validation_vamp2": run["validation_vamp2"],
        "noise_floor": run["noise_floor"],
        "ck_passed": test["passed"],
        "ck_outcome": test["outcome"],
        "ck_reason": test["reason"],
        "ck_max_deviation": test["max_deviation"].value if known else None,
        **flat,
        "resolved": resolved,
        "holds": test["passed"] and resolved and flat["flat"] is not False,
    }


def table_of(runs, candidates, chosen):
    """A row for every model; those that were tested say how it went."""
    tested = {(c["trial"], c["seed"]): c for c in candidates}
    rows = []
    for run in runs:
        found = tested.get((run["trial"].name, run["seed"]), {})
        rows.append(
            run["trial"].model_dump()
            | {key: run[key] for key in ("seed", "validation_vamp2", "noise_floor", "purity")}
            | {key: found.get(key) for key in ("ck_passed", "ck_max_deviation", "flat", "holds")}
            | {"chosen": run is chosen}
        )
    return pd.DataFrame(rows)


def compare_seeds(chosen, rivals):
    """Tell which seeds of a trial ended with the states and timescale of the chosen one, and how far apart they are.

    Two models agree where every pair of matched states overlaps by at least 0.8 on the validation
    frames and their slowest timescales differ by at most 10 %.

    Returns
    -------
    dict with ``tried``, ``agreeing`` (both count the chosen seed), ``each``: a row per seed, its states in the order
    of those of the chosen seed, and ``together``: the states of all seeds in one (see :func:`pcca_of_all`).
    """
    reference = States.read(chosen["states"])
    own = present_rows(reference.probabilities)
    slowest = slowest_timescale(reference)
    outputs = {rival["seed"]: States.read(rival["states"]) for rival in rivals}
    together = pcca_of_all(reference, list(outputs.values()))
    rows = []
    for rival in rivals:
        other = outputs[rival["seed"]]
        probabilities = present_rows(other.probabilities)
        order, overlap = match_states(own, probabilities)
        timescale = slowest_timescale(other)
        row = {
            "seed": rival["seed"],
            "validation_vamp2": rival["validation_vamp2"],
            "purity": rival["purity"],
            "populations": probabilities.mean(0, dtype=np.float64)[order],
            "timescale_ps": timescale,
            "overlap": overlap,
            "agrees": bool(overlap.min() >= SAME_OVERLAP) and same_timescale(timescale, slowest),
        }
        if together is not None:
            row["overlap_together"] = match_states(together, probabilities)[1]
        rows.append(row)
    return {
        "tried": len(rows),
        "agreeing": sum(row["agrees"] for row in rows),
        "each": rows,
        "together": None if together is None else {"populations": together.mean(0, dtype=np.float64)},
    }


def same_timescale(one, other):
    """Whether two timescales differ by no more than 10 %, or neither is determined."""
    if not np.isfinite([one, other]).all():
        return bool(np.isfinite(one) == np.isfinite(other))
    return bool(abs(one - other) <= SAME_TIMESCALE * other)


def pcca_of_all(reference, outputs):
    """One set of states for all seeds of a trial, which hence depends on none: (samples, states) memberships, or None.

    The outputs of all are features together; PCCA+ makes of their slowest processes as many states as the chosen
    model has, in its order.
    """
    rotation = simplex_rotation(
        np.concatenate([other.probabilities for other in outputs], axis=-1) / len(outputs),
        reference.segment,
        reference.lag_frames,
        reference.probabilities.shape[-1],
    )
    if rotation is None:
        return None
    rows = np.concatenate([present_rows(other.probabilities) for other in outputs], axis=1) / len(outputs)
    memberships = np.clip(rows @ rotation, 0.0, 1.0)
    return memberships[:, match_states(present_rows(reference.probabilities), memberships)[0]]


def explain(chosen, candidates, wanted, n_models, seeds):
    """The choice in words."""
    model = f"{chosen['n_states']} states at a lag of {chosen['lag_ps']:g} ps"
    holds = "passes the Chapman-Kolmogorov test and has flat timescales on the validation frames"
    among = f"among {len(wanted)} combinations" + (" asked for" if len(wanted) < len(candidates) else "")
    if len(wanted) == 1:
        asked = "is the only choice" if len(candidates) == 1 else "was asked for"
        why = f"{model} {asked}; it {_verdict(chosen)}"
    elif chosen["holds"]:
        why = f"{model} was chosen {among}, as the first, fewest states and then shortest lag first, that {holds}"
        before = [c for c in wanted if (c["n_states"], c["lag_ps"]) < (chosen["n_states"], chosen["lag_ps"])]
        for other in before:
            why += f"; {other['n_states']} states at {other['lag_ps']:g} ps {_verdict(other)}"
    else:
        why = f"{model} was chosen {among} although none {holds}: it deviates least; it {_verdict(chosen)}"
    return (
        f"Of {n_models} trained models: {why}. Seed {chosen['seed']} has the highest VAMP-2 score on the validation "
        f"frames, {chosen['validation_vamp2']:.4f}; {seeds['agreeing']} of its {seeds['tried']} seeds ended with the "
        f"same states and timescale."
    )


def _verdict(candidate):
    """What the tests say of a candidate."""
    if candidate["validation_vamp2"] <= candidate["noise_floor"]:
        return "has a score that is not above its noise floor"
    if candidate["ck_outcome"] == "cannot say":
        return f"could not be tested on the validation frames ({candidate['ck_reason']})"
    if not candidate["ck_passed"]:
        return f"does not pass the Chapman-Kolmogorov test (largest deviation {candidate['ck_max_deviation']:.3f})"
    if not candidate["resolved"]:
        return "passes the Chapman-Kolmogorov test, but has no process that is resolved at its lag time"
    if candidate["flat"] is None:
        return "passes the Chapman-Kolmogorov test; at longer lags there are too few frames to see its timescales"
    if not candidate["flat"]:
        return (
            f"passes the Chapman-Kolmogorov test, but its timescales change with the lag "
            f"(by a factor of {candidate['largest_change']:.2f})"
        )
    return "passes the Chapman-Kolmogorov test and has flat timescales"
