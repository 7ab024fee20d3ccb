"""Systems at the scale of the paper: each job fits into a day of a cluster, and a shortened copy runs to its report."""

import json
import os
import shutil

import pytest
import yaml
from workflows import wait_for

from gdyn.config import load_config, load_system

DAY_H = 24.0
# Steps per second of one core at this size, measured on two; a rank among many is taken to be half as fast.
STEPS_PER_S = {"si_au": 60, "peo_litfsi": 37}
TIMES_PS = {"si_au": ("settle_ps", "press_ps", "rest_ps"), "peo_litfsi": ("mix_ps", "press_ps", "settle_ps")}


@pytest.fixture
def paper(root, on_slurm):
    """Make a workflow folder with a system that has a scale of the paper."""

    def make(name):
        workflow = on_slurm("paper")
        for file in (f"{name}.yaml", name):
            source, target = root / "config/systems" / file, workflow.folder / "systems" / file
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        (workflow.folder / "config.yaml").write_text(yaml.safe_dump({"systems": [name], "system_dir": "systems"}))
        return workflow

    return make


def held(workflow, target, rule):
    """Submit the job of a rule to a partition with a limit of a day, on hold: what Slurm knows of it, by its names."""
    hold = ("slurm_partition=day", "slurm_extra='--hold'", "mem_mb=500", "runtime=60")
    process = workflow.start(target, "--config", "scale=paper", "--default-resources", *hold)
    try:
        number = wait_for(lambda: workflow.slurm.waiting(rule))[0]
        told = workflow.slurm.say("scontrol", "show", "job", number)
        workflow.slurm.say("scancel", number)
    finally:
        process.kill()
        workflow.finish(process)
        workflow.snakemake("--unlock")
    return dict(word.split("=", 1) for word in told.split() if "=" in word)


@pytest.mark.parametrize("name", ["si_au", "peo_litfsi"])
def test_each_job_of_the_paper_fits_into_a_day(root, paper, name):
    """Jobs, ranks, hours and restart files add up to runs that end, with time to spare."""
    workflow = paper(name)
    config = load_config({"systems": [name], "system_dir": str(root / "config/systems"), "scale": "paper"})
    system = load_system(name, config)
    runs, parts, ranks = system.n_trajectories, system.n_parts(goes_on=True), system.simulate.ranks
    planned = workflow.planned("--config", "scale=paper")
    assert (planned["prepare"], planned["simulate"], planned["ingest_part"]) == (runs, runs * parts, runs * parts)
    place = workflow.results / name / "simulation"
    place.mkdir(parents=True)
    for before in ("0.data", "0.prepared.restart"):  # as if they were there
        (place / before).touch()
    jobs = [held(workflow, f"results/{name}/simulation/0-0.json", "simulate")]
    (place / "0.prepared.restart").unlink()
    jobs.append(held(workflow, f"results/{name}/simulation/0.prepared.restart", "prepare"))
    for job in jobs:
        assert (job["NumTasks"], job["TimeLimit"], job["Partition"]) == (str(ranks), "1-00:00:00", "day")
    steps_per_h = 3600 * STEPS_PER_S[name] * 0.5 * ranks
    stretches = [system.stretch(0, part, goes_on=True)["steps"] for part in range(parts)]
    assert [begin for begin, _ in stretches] == [0, *(end for _, end in stretches[:-1])]
    assert stretches[-1][1] == round(system.simulate.length_ps / system.trajectory.timestep_ps)
    assert max(end - begin for begin, end in stretches) / steps_per_h < DAY_H / 2
    preparation_ps = sum(system.simulate.variables[key] for key in TIMES_PS[name])
    assert preparation_ps / system.trajectory.timestep_ps / steps_per_h < DAY_H / 2
    lost = system.simulate.restart_every(system.trajectory.timestep_ps, stretches[0][1])
    assert lost / steps_per_h < DAY_H / 24


# The structures of the paper, in minutes: what a job cannot do in two of them is left to the next ones.
SHORTENED = {
    "si_au": {
        "simulate": {
            "length_ps": 60,
            "part_ps": 60,
            "ranks": 2,
            "variables": {"T": 629, "settle_ps": 1, "press_ps": 1, "rest_ps": 1},
        },
        "trajectory": {"frame_interval_ps": 0.2},
        "search": {"n_states": 2, "lag_ps": 0.4, "convolutions": 2},
    },
    "peo_litfsi": {
        "simulate": {
            "structure": {"chains": 5, "degree_of_polymerisation": 10, "li_per_eo": 0.1},
            "runs": 2,
            "length_ps": 700,
            "part_ps": 700,
            "ranks": 1,
            "variables": {"T": 450, "mix_ps": 20, "press_ps": 10, "settle_ps": 5},
        },
        "trajectory": {"frame_interval_ps": 0.5},
        "search": {"n_states": 2, "lag_ps": 5, "convolutions": 2},
    },
}


@pytest.mark.skipif("GDYN_PAPER" not in os.environ, reason="an hour: GDYN_PAPER=1 make test-slurm")
@pytest.mark.parametrize("name", ["si_au", "peo_litfsi"])
def test_a_shortened_copy_runs_to_its_report_through_jobs_of_two_minutes(paper, name):
    workflow = paper(name)
    path = workflow.folder / "systems" / f"{name}.yaml"
    system = yaml.safe_load(path.read_text())
    for key, changes in SHORTENED[name].items():
        system["scales"]["paper"][key] = {**system["scales"]["paper"].get(key, {}), **changes}
    system |= {"seeds": [1], "training": {"max_epochs": 2, "epoch_steps": 5}}
    path.write_text(yaml.safe_dump(system))
    limits = ("--retries", "20", "--set-resources", "simulate:runtime=2", "prepare:runtime=30")
    workflow.succeed(workflow.start("--config", "scale=paper", *limits))
    ended = [state for state, comment in workflow.slurm.jobs("%T", "%k") if "rule_simulate" in comment]
    assert ended.count("TIMEOUT") >= 5
    assert (workflow.results / name / "report.pdf").exists()
    records = [json.loads(record.read_text()) for record in (workflow.results / name / "simulation").glob("*.json")]
    assert all(record["went_on_from_step"] > 0 for record in records)
