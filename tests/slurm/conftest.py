"""A Slurm for the tests of this folder, and Snakemake with the profile for it."""

import pytest
from slurm.lab import NoSlurmError, Slurm, need
from workflows import Workflow


class OnSlurm(Workflow):
    """Snakemake with the profile for Slurm; the options are those of a small cluster in a hurry."""

    profile = "slurm"
    options = (
        *("--slurm-init-seconds-before-status-checks", "1", "--slurm-status-command", "squeue"),
        *("--default-resources", "slurm_partition=main", "mem_mb=500", "runtime=10"),
        *("--set-threads", "train=1", "predict=1", "--latency-wait", "10"),
    )


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    try:
        need()
        lab = Slurm(tmp_path_factory.mktemp("slurm")).start()
    except NoSlurmError as reason:
        pytest.skip(str(reason))
    yield lab
    lab.stop()


@pytest.fixture(scope="session")
def on_slurm(root, slurm, tmp_path_factory):
    """Make an empty workflow folder whose jobs go through Slurm."""

    def make(name):
        workflow = OnSlurm(root, tmp_path_factory.mktemp(name).resolve() / "run")
        workflow.slurm, workflow.env = slurm, slurm.env
        return workflow

    return make
