"""How far the systems are, from the files that their jobs write; no job is contacted or disturbed."""

import time
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from gdyn.config import load_config, load_system, read_yaml
from gdyn.config.models import Config, System
from gdyn.errors import ConfigError, InputError
from gdyn.files import FilePath, read_json
from gdyn.simulation.deck import read_deck
from gdyn.simulation.restarts import ANY, Restarts

SILENT_S = 600.0  # without a report from a training, after which it may no longer be running


def status(
    config: FilePath = "config/config.yaml",
    systems: Sequence[str] = (),
    results: FilePath = "results",
    now: float | None = None,
) -> list[str]:
    """Report how far each system is.

    Parameters
    ----------
    config : path of the workflow's configuration.
    systems : names of systems; by default those of the configuration.
    results : folder of the results.
    now : seconds since 1970, for the age of what is reported.

    Returns
    -------
    list of str : lines to print.

    Raises
    ------
    ConfigError : the configuration, or that of a system, is wrong or missing.
    """
    if not Path(config).is_file():
        raise ConfigError(f"{config}: no such file; give the path of the workflow's configuration with --configfile")
    settings = load_config(read_yaml(Path(config)) | ({"systems": list(systems)} if systems else {}), str(config))
    now = time.time() if now is None else now
    return [line for name in settings.systems for line in _describe_system(name, settings, results, now)]


def _describe_system(name: str, settings: Config, results: FilePath, now: float) -> list[str]:
    system = load_system(name, settings)
    folder = Path(results, name)
    if (folder / "report.pdf").exists() and (folder / "summary.json").exists():
        head = f"{name}: report.pdf is there"
    else:
        head = f"{name}: " + ", ".join(_steps(system, settings.system_dir, folder))
    if system.apply:
        return [f"{head} (the model is that of {system.apply})"]
    trials = system.trials | system.baselines
    trainings = [folder / "trials" / trial / f"seed~{seed}" for trial in trials for seed in system.seeds]
    trainings += [folder / "trials" / trial / f"seed~{system.seeds[0]}" for trial in system.pilots]
    done = [training for training in trainings if (training / "numbers.json").exists()]
    numbers = {training: read_json(training / "numbers.json") for training in done}
    scores = {training: of["validation_vamp2"] for training, of in numbers.items() if "skipped" not in of}
    begun = [training for training in trainings if training not in numbers and (training / "progress.json").exists()]
    unneeded = f", {len(done) - len(scores)} not needed" if len(scores) < len(done) else ""
    lines = [f"{head}; trainings: {len(scores)} of {len(trainings)} done{unneeded}, {len(begun)} begun"]
    best = {}  # scores of other numbers of states or lag times are those of something else
    for training in sorted(scores, key=scores.__getitem__):
        if training.parent.name in trials:
            trial = trials[training.parent.name]
            best[trial.model, trial.n_states, trial.lag_ps or numbers[training]["trial"]["lag_ps"]] = training
    for (_, n_states, lag_ps), training in sorted(best.items()):
        lines.append(
            f"  best of {n_states} states at {lag_ps:g} ps so far: {_called(training)}: "
            f"validation VAMP-2 {scores[training]:.4f}"
        )
    return lines + [f"  {_called(training)}: {_progress(training, now)}" for training in begun]


def _called(training: Path) -> str:
    return f"{training.parent.name}, {training.name.replace('~', ' ')}"


def _steps(system: System, system_dir: FilePath, folder: Path) -> Iterator[str]:
    n, n_parts = system.n_trajectories, 1
    if system.simulate:
        goes_on = read_deck(Path(system_dir, system.simulate.deck)).goes_on
        n_parts = system.n_parts(goes_on)
        timestep_ps, length_ps = system.trajectory.timestep_ps, system.simulate.length_ps
        records = [_records(folder / "simulation", run, n_parts) for run in range(n)]
        ends = [_end_ps(folder / "simulation", run, of_run, timestep_ps) for run, of_run in enumerate(records)]
        there = sum(end > (1.0 - 1e-9) * length_ps for end in ends)
        far = f" (to {', '.join(f'{end:g}' for end in ends)} of {length_ps:g} ps{_speed(records, timestep_ps)})"
        yield f"{there} of {n} simulations{far if goes_on and there < n else ''}"
    yield f"{sum((folder / f'trajectory/{i}.h5').exists() for i in range(n))} of {n} trajectories read"
    shards = [folder / f"graphs/{i}-{part}.h5" for i in range(n) for part in range(system.graphs.shards * n_parts)]
    if system.reads_graphs:
        yield f"{sum(path.exists() for path in shards)} of {len(shards)} shards of graphs"


def _records(folder: Path, run: int, n_parts: int) -> list[dict[str, Any]]:
    """The records of the finished parts of a simulated run up to a gap; those after it are of an earlier run."""
    paths = [folder / f"{run}-{part}.json" for part in range(n_parts)]
    return [read_json(path) for path in takewhile(Path.exists, paths)]


def _end_ps(folder: Path, run: int, records: Sequence[dict[str, Any]], timestep_ps: float) -> float:
    """How far a simulated run has come, by its parts that are done and the latest restart file of the next one."""
    steps = [record["end_step"] for record in records]
    return max([*steps, *Restarts(folder / f"{run}.lammpstrj", ANY).steps()], default=0) * timestep_ps


def _speed(records: Sequence[Sequence[dict[str, Any]]], timestep_ps: float) -> str:
    """How fast a run of LAMMPS is, by the parts of all runs that are done."""
    done = [record for of_run in records for record in of_run]
    steps = sum(record["end_step"] - record["went_on_from_step"] for record in done)
    seconds = sum(record["wall_s"] for record in done)
    return f", {steps * timestep_ps / 1000.0 / seconds * 86400.0:.3g} ns a day each" if steps and seconds else ""


def _progress(training: Path, now: float) -> str:
    try:
        report = read_json(training / "progress.json")
    except (OSError, InputError):  # replaced or removed this moment
        return "just ended"
    silent = max(0.0, now - report["time"])
    return (
        f"epoch {report['epoch']} ({report['stage']}), validation VAMP-2 {report['validation_vamp2']:.4f}, noise floor "
        f"{report['noise_floor']:.4f}, purity {report['purity']:.3f}, at most {_duration(report['left_s'])} to go, "
        f"reported {_duration(silent)} ago"
        + (": interrupted?" if silent > max(SILENT_S, 5 * report["epoch_s"]) else "")
    )


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
