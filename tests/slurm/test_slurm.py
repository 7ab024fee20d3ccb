"""The workflow through a real Slurm: what happens to jobs there, and that the numbers are those of a local run."""

import contextlib
import json
import os
import re
import signal
from pathlib import Path

import pytest
from workflows import Workflow, short_toy, wait_for

TRAINED = "results/toy/trials/n_states~2_lag_ps~5_width~16_convolutions~2_learning_rate~0.005/seed~1"
# Two stages of so many steps, however well they go: some seconds.
TRAINING = {"max_epochs": 16, "patience": 16, "epoch_steps": 15, "learning_rate_drops": 0, "memory_mb": 300}


def toy(root, **training):
    system = short_toy(root)
    system |= {"seeds": [1], "training": TRAINING | training, "kinetics": {"chapman_kolmogorov_steps": 3}}
    system["simulate"] |= {"runs": 1, "length_ps": 25000}
    system["search"]["lag_ps"] = 5
    system.pop("baseline", None)
    return system


@pytest.fixture(scope="module")
def local(root, slurm, tmp_path_factory):
    """The same without Slurm, at the same time: a workflow, and Snakemake at work in it."""
    made = Workflow(root, tmp_path_factory.mktemp("local") / "run")
    made.options = ("--cores", "1")
    made.configure("toy", toy(root))
    process = made.start()
    yield made, process
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def workflow(root, slurm, local, on_slurm):
    """The toy after one run through Slurm, whose training met the time limit of its first job."""
    made = on_slurm("cluster")
    made.configure("toy", toy(root))
    process = made.start("--set-resources", "train:runtime=1 if attempt == 1 else 30")
    number, _ = training_job(slurm, set())
    wait_for(lambda: epochs(made) >= 5)
    for training in processes(number, "train.py"):
        os.kill(training, signal.SIGSTOP)  # on any machine, it is not through in a minute
    made.succeed(process)
    return made


def epochs(workflow):
    """How far the training is, as ``gdyn status`` would tell."""
    told = workflow.folder / TRAINED / "progress.json"
    try:
        return json.loads(told.read_text())["epoch"]
    except FileNotFoundError:
        return 0


def processes(job, script):
    """The processes of a job of Slurm that run a script."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            mine = f"SLURM_JOB_ID={job}".encode() in (place / "environ").read_bytes().split(b"\0")
            if mine and any(word.endswith(script.encode()) for word in (place / "cmdline").read_bytes().split(b"\0")):
                yield int(place.name)


def training_job(slurm, known):
    """Number and node of the training job that runs now and was not known before."""
    return wait_for(lambda: next((job for job in slurm.running("train") if job[0] not in known), None), 300)


def start_training(workflow, slurm, *arguments):
    """Snakemake at work on a training job: the process, the job's number and its node."""
    known = {number for (number,) in slurm.jobs("%i")}
    process = workflow.start(f"{TRAINED}/model.pt", "--forcerun", "train", *arguments)
    number, node = training_job(slurm, known)
    wait_for(lambda: epochs(workflow) > 0)
    return process, number, node


def test_a_job_at_its_time_limit_goes_on_after_the_retry(workflow, slurm):
    states = [state for state, comment in slurm.jobs("%T", "%k") if "train" in comment]
    assert "TIMEOUT" in states
    assert "COMPLETED" in states
    log = next((workflow.results / "toy/logs/train").rglob("*.log")).read_text()
    epoch = re.search(r"resuming .*?(\d+)", log)
    assert epoch, log[:2000]
    assert int(epoch[1]) >= 5


def test_trainings_ask_for_a_gpu_and_others_do_not(workflow, slurm):
    jobs = {comment: slurm.say("scontrol", "show", "job", number) for number, comment in slurm.jobs("%i", "%k")}
    for rule, wanted in (("train", True), ("predict", True), ("koopman", False), ("ingest", False)):
        assert {"gpu:1" in job for comment, job in jobs.items() if f"rule_{rule}_" in comment} == {wanted}, rule


def test_the_numbers_are_those_of_a_local_run(workflow, local):
    alone, process = local
    alone.succeed(process)
    here, there = (json.loads((run.results / "toy/summary.json").read_text()) for run in (alone, workflow))
    for numbers in (here, there):
        for name in ("wall_s", "frames_per_s"):
            del numbers["training"][name]
    assert here == there


def test_a_cancelled_job_is_done_again(workflow, slurm):
    process, number, _ = start_training(workflow, slurm)
    slurm.say("scancel", number)
    workflow.succeed(process)
    assert dict(slurm.jobs("%i", "%T"))[number] == "CANCELLED"
    assert (workflow.folder / TRAINED / "model.pt").exists()


def test_a_job_whose_node_goes_down_goes_on_elsewhere(workflow, slurm):
    process, number, node = start_training(workflow, slurm)
    slurm.say("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
    try:
        workflow.succeed(process)
        after = {job: (state, at) for job, state, at in slurm.jobs("%i", "%T", "%N")}
        done = {at for job, (state, at) in after.items() if state == "COMPLETED" and int(job) >= int(number)}
        assert done, after
        assert node not in done
    finally:
        slurm.say("scontrol", "update", f"nodename={node}", "state=resume")


def test_after_a_crash_of_snakemake_itself(workflow, slurm):
    process, number, _ = start_training(workflow, slurm)
    process.send_signal(signal.SIGKILL)
    process.wait()
    slurm.say("scancel", number)
    status, said = workflow.snakemake(f"{TRAINED}/model.pt")
    assert status != 0
    assert "unlock" in said
    assert workflow.snakemake("--unlock")[0] == 0
    assert (workflow.folder / TRAINED / "resume.pt").exists()
    workflow.succeed(workflow.start(f"{TRAINED}/model.pt"))  # the profile has rerun-incomplete
    assert not (workflow.folder / TRAINED / "resume.pt").exists()


def test_one_training_on_two_nodes(root, workflow, slurm):
    """The result is that of one process, but for the order of sums."""
    numbers = workflow.folder / TRAINED / "numbers.json"
    workflow.succeed(workflow.start(f"{TRAINED}/model.pt"))
    alone = json.loads(numbers.read_text())
    workflow.configure("toy", toy(root, processes=2, nodes=2))
    workflow.succeed(workflow.start(f"{TRAINED}/model.pt"))
    together = json.loads(numbers.read_text())
    assert together["processes"] == 2
    assert together["validation_vamp2"] == pytest.approx(alone["validation_vamp2"], abs=0.02)
    nodes = {node for comment, node in slurm.jobs("%k", "%N") if "train" in comment}
    assert any("," in node or "[" in node for node in nodes), nodes
