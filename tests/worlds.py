"""Whole analyses of made-up states: everything behind the states files, as the workflow runs it, without Snakemake."""

from pathlib import Path

import numpy as np
import pandas as pd

from gdyn.analyses import analyses_of, behind, figures_of
from gdyn.analyses.draw import draw
from gdyn.analyses.run import analyse, read_results
from gdyn.config import System
from gdyn.files import read_json, write_json, write_table
from gdyn.report.pages import compose, front_pages
from gdyn.report.summary import write_summary
from gdyn.selection import choose
from gdyn.store import States, trajectory

CELL = 12.0 * np.eye(3)
# What each analysis reads besides the trajectories, and its parameters.
READ = {
    "koopman": ("train", "validation", "test"), "chapman_kolmogorov": ("states",), "trajectories": ("states",),
    "structure": ("states", "trajectories"), "order": ("states", "trajectories"),
    "transport": ("states", "trajectories", "structure_result"),
}  # fmt: skip
SETTINGS = {"structure": ("structure", "kinetics"), "order": ("structure", "kinetics"),
            "transport": ("transport", "kinetics")}  # fmt: skip


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
    choose(
        {"models": [folder / "model.pt"], "states": [files["validation"]], "numbers": [folder / "numbers.json"],
         "histories": [folder / "history.csv"]},
        {"model": folder / "chosen.pt", "result": folder / "choice.json", "histories": folder / "training.csv",
         "models": folder / "selection.csv"},
        kinetics=system.kinetics, selection=system.selection,
    )  # fmt: skip
    there = {**files, "states": files["test"], "trajectories": stores, "structure_result": folder / "structure.json"}
    for analysis in analyses_of(system):
        if analysis.name in READ:
            names = SETTINGS.get(analysis.name, ("kinetics",))
            parameters = {"settings": system.model_dump(mode="json", include=set(names))}
            if analysis.name == "trajectories":
                parameters["labels"] = [f"trajectory {number}" for number in range(len(parts))]
            analyse(analysis.name, {name: there[name] for name in READ[analysis.name]},
                    written(folder, analysis), parameters)  # fmt: skip
    results = [path for one in analyses_of(system) for path in written(folder, one).values()]
    write_summary(results, stores, folder / "summary.json", "made_up", system)
    drawn = []
    for figure in figures_of(system) if figures else ():
        drawn.append(folder / f"{figure.name}.pdf")
        shown = [path for one in behind(figure.name, system) for path in written(folder, one).values()]
        draw(figure.name, shown, drawn[-1])
    summary = read_json(folder / "summary.json")
    pages = front_pages(summary, read_results(results))
    (folder / "report.txt").write_text("\n".join(text for page in pages for _, _, text, _ in page))
    if figures:
        compose(folder / "summary.json", results, drawn, folder / "report.pdf")
    return summary


def written(folder, analysis):
    """The files of an analysis in a folder: paths by what is written there."""
    return {part: folder / Path(file).name for part, file in analysis.files.items()}
