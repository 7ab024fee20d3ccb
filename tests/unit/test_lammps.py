"""How LAMMPS is started: with programs that stand in for it and for Slurm's, and write down what they are given."""

import os

import pytest

from gdyn.config.models import Simulate
from gdyn.errors import InputError
from gdyn.simulation.lammps import ready, run_lammps


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Make a program on PATH that writes down its arguments, and says something."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name, body=""):
        (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/said\n{body}\n')
        (folder / name).chmod(0o755)
        return str(folder / name)

    make.said = lambda: (tmp_path / "said").read_text().splitlines()
    return make


def simulate(**settings):
    return Simulate(deck="in.x", length_ps=1, **settings)


def test_ranks_are_started_by_srun_in_a_job_of_slurm_and_by_mpiexec_elsewhere(stand_in, monkeypatch):
    lammps, srun, mpiexec = map(stand_in, ("lmp_mine", "srun", "mpiexec"))
    settings = simulate(ranks=4, threads=2, suffix="omp")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    omp = ["-sf", "omp", "-pk", "omp", "2"]
    assert ready("lmp_mine", settings, 8).words == [mpiexec, "-n", "4", lammps, *omp]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    # What a cluster's own MPI speaks is what its Slurm is set to.
    assert ready("lmp_mine", settings, 8).words == [srun, "--ntasks", "4", "--cpus-per-task", "2", lammps, *omp]
    assert ready("srun --mpi=pmix -n {ranks} lmp_mine", settings, 8).words[:5] == [
        *(srun, "--mpi=pmix", "-n", "4", "lmp_mine"),
    ]


@pytest.mark.parametrize(("cores", "ranks", "threads"), [(8, 4, 2), (5, 2, 2), (2, 1, 2), (1, 1, 1)])
def test_fewer_cores_are_fewer_ranks(stand_in, monkeypatch, cores, ranks, threads):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    for name in ("lmp_mine", "mpiexec"):
        stand_in(name)
    found = ready("lmp_mine", simulate(ranks=4, threads=2, suffix="omp"), cores)
    assert (found.ranks, found.threads) == (ranks, threads)


def test_a_launcher_that_is_not_told_the_ranks(stand_in):
    stand_in("mpirun")
    with pytest.raises(InputError, match=r"does not say on how many ranks; write \{ranks\} where mpirun wants"):
        ready("mpirun lmp_mine", simulate(ranks=4), 8)


@pytest.mark.parametrize(("restarts", "steps"), [("Restarts=0", 1), ("Restarts=2", 3), ("slurm_load_jobs error", 1)])
def test_a_job_that_was_requeued_has_steps_of_new_numbers(stand_in, monkeypatch, tmp_path, restarts, steps):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    stand_in("srun")
    stand_in("scontrol", f"echo '   Requeue=1 {restarts} BatchFlag=1'")
    stand_in("lmp_mine")
    run_lammps(ready("lmp_mine", simulate(ranks=2), 2), "in.x", tmp_path / "log", {}, (0, 1))
    said = [line for line in stand_in.said() if line.startswith("srun")]
    assert len(said) == steps
    assert "lmp_mine -in in.x" in said[-1]
    assert set(said[:-1]) <= {"srun --ntasks 1 true"}


def test_processes_that_wait_give_way_unless_the_user_wants_otherwise(stand_in, monkeypatch, tmp_path):
    stand_in("lmp_mine", f"env >> {tmp_path}/said")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))
    assert "MPIR_CVAR_CH4_PROGRESS_THROTTLE=1" in stand_in.said()
    assert "GOMP_SPINCOUNT=7" in stand_in.said()
