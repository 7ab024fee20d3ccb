"""Whole analyses of made-up states: everything behind the states files, as the workflow runs it, without Snakemake."""

from pathlib import Path

import numpy as np
import pandas as pd

from gdyn.config import System
from gdyn.figures.draw import draw_kinetics, draw_structures, draw_trajectory_comparison, draw_transports
from gdyn.files import read_json, write_json, write_table
from gdyn.kinetics.analysis import analyse
from gdyn.kinetics.by_trajectory import analyse_trajectories
from gdyn.kinetics.chapman_kolmogorov import run_test
from gdyn.report.pages import _front_pages, compose
from gdyn.report.summary import summarise
from gdyn.selection import select
from gdyn.store import States, trajectory
from gdyn.structure.analysis import analyse_structure
from gdyn.transport.analysis import analyse_transport

CELL = 12.0 * np.eye(3)
KINETICS = ("timescales", "chapman_kolmogorov", "koopman", "network", "selection", "training")


def system_of(n_states, lag_ps, **sections):
    return System.model_validate(
        {
            "description": "made up",
            "trajectory": {"files": ["a", "b"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 1.0},
            "targets": {"selection": "element Li"},
            "graphs": {"neighbors": 3},
            "search": {"n_states": n_states, "lag_ps": lag_ps},
            "seeds": [1],
            "structure": {"max_A": 5.0, "frames": 40, "bin_A": 0.1},
            "transport": {"temperature_K": 300.0},
            "kinetics": {"chapman_kolmogorov_steps": 4},
        }
        | sections
    )


def store(path, positions, elements, charge_e=None, molecule=None, cell=CELL):
    """Write the store of a trajectory: positions (frames, atoms, 3)."""
    n_frames, n = positions.shape[:2]
    atoms = trajectory.Atoms(np.arange(1, n + 1), np.ones(n), np.array(elements), molecule, charge_e)
    with trajectory.write(path, atoms, 1.0, Path(path).name) as writer:
        cells = np.broadcast_to(cell, (n_frames, 3, 3))
        writer.append(positions, cells, range(n_frames), np.arange(n_frames), np.zeros(n_frames))
        writer.finish(notes="", unwrapped="yes", periodic=(True,) * 3, checksum="sha256:0", largest_step=0.0)
    return path


def states_of_parts(parts, lag_ps, split="test"):
    """States of several trajectories with the same targets: each part is (frames, targets, states)."""
    lengths = [len(part) for part in parts]
    number = np.repeat(np.arange(len(parts)), lengths)
    return States(
        probabilities=np.concatenate(parts).astype(np.float32),
        time_ps=np.concatenate([np.arange(n) for n in lengths]).astype(float),
        trajectory=number,
        segment=number,
        target_ids=np.arange(1, parts[0].shape[1] + 1)[:, None],
        split=split,
        lag_ps=lag_ps,
        frame_interval_ps=1.0,
    )


def report(folder, parts, lag_ps, paths=None, stores=None, figures=True, **sections):
    """Run everything from the states to the report; return the summary. Its text is in report.txt too.

    parts : probabilities of each trajectory.
    paths : positions of its targets (frames, targets, 3); by default they stay.
    stores : paths of trajectory stores to use instead.
    figures : whether they are drawn, and report.pdf is made of them and of the text.
    """
    n_targets, n_states = parts[0].shape[1:]
    system = system_of(n_states, lag_ps, **sections)
    rng = np.random.default_rng(1)
    if stores is None:
        stores = []
        for number, part in enumerate(parts):
            still = rng.random((1, n_targets, 3)) * 12.0
            moving = still + (0.0 if paths is None else paths[number]) + np.zeros((len(part), 1, 1))
            host = np.broadcast_to(rng.random((6, 3)) * 12.0, (len(part), 6, 3))
            charge = np.array([1.0] * n_targets + [-n_targets / 6.0] * 6)
            positions = np.concatenate([moving, host], axis=1)
            molecule = np.arange(1, n_targets + 7)
            elements = ["Li"] * n_targets + ["S"] * 6
            stores.append(store(folder / f"{number}.h5", positions, elements, charge, molecule))
    files = {}
    for split in ("train", "validation", "test"):
        files[split] = folder / f"{split}.h5"
        states_of_parts(parts, lag_ps, split).write(files[split])
    trial = next(iter(system.trials.values()))
    write_table(folder / "history.csv", pd.DataFrame([{"epoch": 0, "stage": "kinetics", "validation_vamp2": 0.0,
                                                       "noise_floor": 0.1, "validation_purity": 0.5}]))  # fmt: skip
    write_json(folder / "numbers.json", {
        "trial": trial.model_dump(), "seed": 1, "validation_vamp2": 0.0, "noise_floor": 0.1, "purity": 0.5,
        "populations": [1.0], "epochs": 1, "wall_s": 1.0, "frames_per_s": 1.0, "device": "CPU", "converged": True,
        "problems": [],
    })  # fmt: skip
    (folder / "model.pt").write_text("a model")
    select(
        models=[folder / "model.pt"], states=[files["validation"]], numbers=[folder / "numbers.json"],
        histories=[folder / "history.csv"], chosen_model=folder / "chosen.pt", choice=folder / "choice.json",
        chosen_histories=folder / "training.csv", candidates_table=folder / "selection.csv",
        kinetics=system.kinetics, selection=system.selection,
    )  # fmt: skip
    analyse(**files, koopman=folder / "koopman.json", implied_timescales=folder / "t.csv", kinetics=system.kinetics)
    run_test(files["test"], folder / "ck.json", folder / "ck.csv", system.kinetics)
    labels = [f"trajectory {number}" for number in range(len(parts))]
    analyse_trajectories(files["test"], folder / "several.json", system.kinetics, labels)
    structure = {
        name: folder / f"{name}.out"
        for name in ("result", "distributions", "charges", "profile", "section", "configurations")
    }
    analyse_structure(files["test"], stores, **structure, structure=system.structure, kinetics=system.kinetics)
    transport = {name: folder / f"transport.{name}" for name in ("result", "transitions", "displacements")}
    if system.transport:
        analyse_transport(
            files["test"], stores, structure["result"], **transport, transport=system.transport,
            kinetics=system.kinetics,
        )  # fmt: skip
    summarise(
        choice=folder / "choice.json", koopman=folder / "koopman.json", chapman_kolmogorov=folder / "ck.json",
        sites=[], cell=[], structure=[structure["result"]], order=[], several=[folder / "several.json"],
        transport=[transport["result"]] if system.transport else [], trajectories=stores,
        summary=folder / "summary.json", name="made_up", system=system,
    )  # fmt: skip
    drawn = []
    if figures:
        outputs = {name: folder / f"{name}.pdf" for name in KINETICS}
        draw_kinetics(
            folder / "choice.json", folder / "training.csv", folder / "selection.csv", folder / "koopman.json",
            folder / "t.csv", folder / "ck.json", [], outputs,
        )  # fmt: skip
        names = ("structure", "surroundings", "profile")
        draw_structures(**structure, outputs={name: folder / f"{name}.pdf" for name in names})
        draw_trajectory_comparison(folder / "several.json", {"trajectories": folder / "trajectories.pdf"})
        names = [*KINETICS, *names, "trajectories"]
        if system.transport:
            draw_transports(**transport, outputs={"transport": folder / "transport.pdf"})
            names.append("transport")
        drawn = [folder / f"{name}.pdf" for name in names]
    summary = read_json(folder / "summary.json")
    (folder / "report.txt").write_text("\n".join(text for page in _front_pages(summary) for _, _, text, _ in page))
    if figures:
        (folder / "caption.rst").write_text("A caption.")
        compose(folder / "summary.json", drawn, [folder / "caption.rst"] * len(drawn), folder / "report.pdf")
    return summary
