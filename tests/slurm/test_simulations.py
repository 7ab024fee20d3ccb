"""Simulations through a real Slurm: time limits, nodes that are lost and cancelled jobs cost an interval at most."""

import json
import os
import re
import shutil
import signal
from functools import partial
from pathlib import Path

import pytest
from argon import DUMP, EVERY, INTERVAL, PART, by_hand, latest_restart, processes, steps_of_whole_frames, system
from workflows import wait_for

RANKS = 2
RECORD = "results/argon/simulation/0-0.json"


def ranks(folder):
    """The processes of LAMMPS that simulate, each with the step from which it goes on."""
    lines = {number: line for number, line in processes(folder, "-in") if Path(line.split()[0]).name == "lmp"}
    began = {number: re.search(r"simulate/0-0\.from-(\d+)\.", line) for number, line in lines.items()}
    return {number: int(found[1]) for number, found in began.items() if found}


def others(workflow, known):
    """The same, once all of them are there and none was before."""
    found = ranks(workflow.folder)
    return found if len(found) == RANKS and not known & set(found) else None


def at_its_time_limit(slurm, job, node):
    """It is held, and so is there for sure when its time is up."""


def without_its_node(slurm, job, node):
    slurm.say("scontrol", "update", f"nodename={node}", "state=down", "reason=test")


def cancelled(slurm, job, node):
    slurm.say("scancel", job)


@pytest.fixture(scope="module")
def simulated(root, slurm, on_slurm):
    """A run whose jobs ended in three ways, and what was lost each time."""
    workflow = on_slurm("argon")
    workflow.losses, workflow.jobs = [], []
    shutil.copy(root / "tests/decks/in.argon", workflow.folder / "systems")
    workflow.configure("argon", system(length_ps=PART * 0.005, ranks=RANKS))
    process = workflow.start(RECORD, "--set-resources", "simulate:runtime=1 if attempt == 1 else 30")
    known, last = set(), None
    try:
        for end in (at_its_time_limit, without_its_node, cancelled):
            found = wait_for(partial(others, workflow, known), 300, every=0.01)
            (began,) = set(found.values())
            if last is not None:
                workflow.losses.append(last - began)
            wait_for(lambda began=began: latest_restart(workflow.folder) > began + INTERVAL, every=0.01)
            for number in found:
                os.kill(number, signal.SIGSTOP)
            ((job, node),) = slurm.running("simulate")
            workflow.jobs.append((job, node))
            end(slurm, job, node)
            wait_for(lambda found=found: not set(found) & set(ranks(workflow.folder)), 180)
            last, known = max(steps_of_whole_frames(workflow.folder / DUMP)), known | set(found)
        workflow.succeed(process)
    finally:
        process.kill()
        for _, node in workflow.jobs:
            slurm.say("scontrol", "update", f"nodename={node}", "state=resume")
    workflow.record = json.loads((workflow.folder / RECORD).read_text())
    workflow.losses.append(last - workflow.record["went_on_from_step"])
    return workflow


def test_at_most_an_interval_is_lost(simulated, slurm):
    assert len(simulated.losses) == 3
    assert max(simulated.losses) <= INTERVAL + EVERY
    assert simulated.record["went_on_from_step"] > 0
    (limited, _), (lost, down), (dropped, elsewhere) = simulated.jobs
    states = dict(slurm.jobs("%i", "%T"))
    assert states[limited] == "TIMEOUT"
    assert states[dropped] == "CANCELLED"
    assert elsewhere != down
    assert lost != limited


def test_the_frames_are_those_of_a_run_that_was_never_ended(simulated, root, tmp_path):
    reference = by_hand(root / "tests/decks/in.argon", tmp_path, PART, ranks=RANKS)
    assert (simulated.folder / DUMP).read_bytes() == reference


def test_the_ranks_are_tasks_that_srun_starts(simulated, slurm):
    assert simulated.record["ranks"] == RANKS
    asked = slurm.say("scontrol", "show", "job", simulated.jobs[-1][0])
    assert f"NumTasks={RANKS} " in asked
    log = f"argon/logs/simulate/0-0.from-{simulated.record['went_on_from_step']}.lammps.log"
    assert f"{RANKS} MPI processor grid" in (simulated.results / log).read_text()
