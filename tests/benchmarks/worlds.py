"""The judgement of gdyn on worlds whose truth is known: what it says, and how often that is right.

    python tests/benchmarks/worlds.py --repeats 100 --write docs/validation.md

Every world of ``synthetic.py`` at three lengths, through the functions that the workflow calls. What is judged are the
exact states of the worlds, as an ideal network would give them: the number of states, the Chapman-Kolmogorov test,
whether timescales have converged, whether the run is stationary, and how often intervals hold what is true.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices are small

import argparse
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.record import Record
from benchmarks.synthetic import (
    COLLECTIVE,
    HETEROGENEOUS,
    MARKOVIAN,
    NOT_STATIONARY,
    NOTHING,
    ONE_WAY,
    WORLDS,
    ideal_states,
)

from gdyn.config.models import Kinetics, Selection, Trial
from gdyn.files import write_json, write_table
from gdyn.kinetics.chapman_kolmogorov import ck_test
from gdyn.kinetics.model import koopman_model
from gdyn.selection import select
from gdyn.statistics import Covariances, score_with_floor

LAG_PS = 10.0
LENGTHS = ((4000, 1), (4000, 10), (20_000, 4))  # frames and targets
STATIONARY = ("two", "three", "four", "five", "rare", "rarer")
OTHERS = ("hidden", "label_errors", "drift", "one_way", "heterogeneous", "unlike", "collective", "nothing")
KINDS = {
    NOT_STATIONARY: "drift", ONE_WAY: "one_way", HETEROGENEOUS: "heterogeneous", COLLECTIVE: "collective",
}  # fmt: skip
SEEN = 0.01  # population of a state whose row of the Koopman matrix counts
COVERED = ("populations", "timescales_ps", "koopman", "lifetimes_ps", "first_passage_ps")


def made(name, frames, targets):
    """A world of a name; None where it cannot be at this length."""
    parameters = {"rare": {"population": 0.05}, "one_way": {"n_frames": frames, "n_targets": targets}}
    try:
        return WORLDS["rare" if name == "rarer" else name](**parameters.get(name, {}))
    except ValueError:
        return None


def generator(name, repeat):
    """Random numbers of a realisation."""
    return np.random.default_rng([sorted([*WORLDS, "rarer"]).index(name), repeat])


def chosen(world, sample, numbers, lag_ps=LAG_PS):
    """The choice among ideal models of several numbers of states."""
    with tempfile.TemporaryDirectory() as folder:
        files = {"models": [], "states": [], "numbers": [], "histories": []}
        for n in numbers:
            states = ideal_states(world, sample, n, lag_ps, "validation")
            covariances = Covariances.of(states.probabilities, states.segment, states.lag_frames)
            score, floor = score_with_floor(covariances, states.lag_frames)
            trial = Trial(n_states=n, lag_ps=lag_ps, width=16, convolutions=2, learning_rate=0.005)
            place = Path(folder, str(n))
            place.mkdir()
            paths = [place / name for name in ("model.pt", "validation.h5", "numbers.json", "history.csv")]
            paths[0].write_text("a model")
            states.write(paths[1])
            write_json(paths[2], {
                "trial": trial.model_dump(), "seed": 1, "validation_vamp2": score, "noise_floor": floor, "purity": 1.0,
                "populations": [1.0], "epochs": 1, "wall_s": 1.0, "frames_per_s": 1.0, "device": "none",
                "converged": True, "problems": [],
            })  # fmt: skip
            write_table(paths[3], pd.DataFrame({"epoch": [0], "validation_vamp2": [score]}))
            for known, path in zip(files.values(), paths, strict=True):
                known.append(path)
        return select(**files, kinetics=Kinetics(), selection=Selection())


def inside(model, truth, lag_ps=LAG_PS):
    """For each kind of number, which of its intervals exist, and which hold the truth: {name: (exists, holds)}."""
    exact = {
        "populations": truth["populations"],
        "timescales_ps": truth["timescales_ps"],
        "koopman": truth["koopman"](lag_ps),
        "lifetimes_ps": truth["dwell_ps"],
        "first_passage_ps": truth["first_passage_ps"],
    }
    found = {}
    for name, expected in exact.items():
        number = getattr(model, name)
        low, high = (
            np.array([getattr(one, part) for one in number]) if isinstance(number, list) else getattr(number, part)
            for part in ("low", "high")
        )
        of = np.ones(np.shape(expected), bool)
        if name == "first_passage_ps":
            of &= ~np.eye(len(expected), dtype=bool)
        if name == "koopman":
            of &= exact["populations"][:, None] > SEEN
        exists = np.isfinite(low) & np.isfinite(high)
        with np.errstate(invalid="ignore"):
            found[name] = exists[of], ((low <= expected) & (expected <= high))[of]
    return found


def table(title, rows):
    """A table in Markdown."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"### {title}", "", "| " + " | ".join(keys) + " |", "|" + " --- |" * len(keys)]
    lines += ["| " + " | ".join(str(row.get(key, "")) for key in keys) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def shares(outcomes):
    """How often each outcome came, in percent."""
    return ", ".join(f"{name} {100 * n / len(outcomes):.0f} %" for name, n in sorted(Counter(outcomes).items()))


def number_of_states(repeats, record):
    """Rows: how often the number of states is right, among ideal models of 2 to 6."""
    rows = []
    for frames, targets in LENGTHS:
        for name in (*STATIONARY, "fast"):
            world, found = made(name, frames, targets), []
            for repeat in range(repeats):
                sample = world.sample(frames, targets, generator(name, repeat))
                found.append(chosen(world, sample, range(2, 7)).n_states)
            right = np.mean([n == world.truth["n_states"] for n in found])
            record.add(f"states {name} {frames} x {targets}", right, "share")
            rows.append({"world": name, "frames": frames, "targets": targets, "states": world.truth["n_states"],
                         "right": f"{100 * right:.0f} %", "found": shares(list(map(str, found)))})  # fmt: skip
    return rows


def named(world, test, model):
    """Whether a world is named for what it is: ``right``, ``wrong`` or ``cannot say``.

    An equilibrium is right where all is well, and wrong if it is said not to be one; any other world is right where
    that is said, and wrong where all is well.
    """
    stationarity = model.stationarity
    alarms = test.outcome == "fails" or model.convergence.outcome == "rising"
    alarms = alarms or stationarity.outcome == "not stationary" or bool(stationarity.slower or stationarity.collective)
    well = test.outcome == "holds" and model.convergence.outcome == "converged" and stationarity.outcome == "stationary"
    if world.named == MARKOVIAN:
        return "wrong" if alarms else ("right" if well else "cannot say")
    if world.named == NOTHING:
        return "wrong" if any(process.resolved for process in model.timescales_ps) else "right"
    if world.named in KINDS:
        said = bool(getattr(stationarity, KINDS[world.named]))
    else:
        said = test.outcome == "fails" or model.convergence.outcome == "rising"
    return "right" if said else ("wrong" if well and not alarms else "cannot say")


def judged(repeats, record):
    """Rows of two tables: what is said of each world, and how often 95 % intervals exist and hold what is exact."""
    rows, intervals = [], []
    kinetics = Kinetics(timescale_lags_ps=[LAG_PS])
    for frames, targets in LENGTHS:
        for name in (*STATIONARY, *OTHERS):
            world = made(name, frames, targets)
            if world is None:
                continue
            said = {"named": [], "test": [], "timescales": [], "stationary": []}
            found = {kind: [] for kind in COVERED}
            for repeat in range(repeats):
                states = world.sample(frames, targets, generator(name, repeat)).states(LAG_PS)
                test, model = ck_test(states, kinetics), koopman_model(states, kinetics)
                said["named"].append(named(world, test, model))
                said["test"].append(test.outcome)
                said["timescales"].append(model.convergence.outcome)
                kinds = ("drift", "one_way", "heterogeneous", "slower", "collective")
                also = [kind for kind in kinds if getattr(model.stationarity, kind)]
                said["stationary"].append(", ".join([model.stationarity.outcome, *also]))
                if name in STATIONARY:
                    for kind, pair in inside(model, world.truth).items():
                        found[kind].append(pair)
            at = {"world": name, "frames": frames, "targets": targets}
            place = f"{name} {frames} x {targets}"
            for outcome in ("right", "wrong"):
                record.add(f"named {outcome} {place}", np.mean([x == outcome for x in said["named"]]), "share")
            record.add(f"test fails {place}", np.mean([x == "fails" for x in said["test"]]), "share")
            rows.append(at | {key: shares(of) for key, of in said.items()})
            if name in STATIONARY:
                intervals.append(at | covered(found, place, record))
    return rows, intervals


def covered(found, place, record):
    """How often intervals exist, and hold the exact number where they do: part of a row."""
    row = {}
    for kind, pairs in found.items():
        exists, holds = (np.concatenate(part) for part in zip(*pairs, strict=True))
        share = holds[exists].mean() if exists.any() else np.nan
        record.add(f"coverage {kind} {place}", share, "share")
        row[kind] = f"{100 * share:.0f} %" + ("" if exists.all() else f" ({100 * exists.mean():.1f} % exist)")
    return row


def main():
    """Run, print, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="realisations of each world and length")
    parser.add_argument("--json", help="where to write the numbers")
    parser.add_argument("--write", help="page whose tables are replaced")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    record = Record()
    found = judged(options.repeats, record)
    parts = [
        table("Number of states", number_of_states(options.repeats, record)),
        table("Markovian, converged, stationary", found[0]),
        table("Intervals", found[1]),
    ]
    print("\n".join(parts), flush=True)
    if options.json:
        record.write(options.json)
    if options.write:
        page = Path(options.write)
        head, mark, _ = page.read_text(encoding="utf-8").partition("<!-- tables -->\n")
        page.write_text(head + mark + f"\n{options.repeats} realisations of each.\n\n" + "\n".join(parts), "utf-8")


if __name__ == "__main__":
    main()
