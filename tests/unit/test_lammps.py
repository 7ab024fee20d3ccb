"""How LAMMPS is started: with programs that stand in for it and for Slurm's, and write down what they are given."""

import mmap
import os

import pytest

import gdyn.simulation.lammps
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
    shares = ["--exact", "--mem=0"]
    asked = ["--ntasks", "4", "--cpus-per-task", "2", lammps, *omp]
    monkeypatch.delenv("SLURM_STEP_ID", raising=False)
    assert ready("lmp_mine", settings, 8).words == [srun, *shares, *asked]
    monkeypatch.setenv("SLURM_STEP_ID", "0")
    assert ready("lmp_mine", settings, 8).words == [srun, *shares, "--overlap", *asked]
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


@pytest.mark.parametrize("command", ["mpirun lmp_mine", "env A=1 mpirun -np 2 lmp_mine"])
def test_a_launcher_that_is_not_told_the_ranks(stand_in, command):
    stand_in("mpirun")
    with pytest.raises(InputError, match=r"does not set the number of ranks; write \{ranks\} where mpirun takes"):
        ready(command, simulate(ranks=4), 8)


def test_what_killed_ranks_of_this_job_have_left_in_memory_is_removed(stand_in, monkeypatch, tmp_path):
    """MPICH 5 named the memory of steps 2.0 and 3.0 so; what a process still has mapped, and that of others, stays."""
    monkeypatch.setattr(gdyn.simulation.lammps, "SHARED_MEMORY", tmp_path)
    monkeypatch.setenv("SLURM_JOB_ID", "3")
    stand_in("lmp_mine")
    of_others, ours, in_use = (tmp_path / f"mpich_shm_{name}_0" for name in ("281e0ec3", "c141a9dc", "c241ab6f"))
    for path in (of_others, ours, in_use):
        path.write_bytes(bytes(4096))
    with open(in_use, "r+b") as file, mmap.mmap(file.fileno(), 0):
        run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))
    assert [path.exists() for path in (of_others, ours, in_use)] == [True, False, True]


def test_a_deck_may_print_what_it_likes(stand_in, tmp_path):
    stand_in("lmp_mine", "echo 'LAMMPS (22 Jul 2025)'; echo 'LAMMPS (my deck) begins'")
    run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))


def test_several_lammps_that_would_write_the_same_dump_are_noticed(stand_in, tmp_path):
    stand_in("lmp_mine", "echo 'LAMMPS (22 Jul 2025)'; echo 'LAMMPS (22 Jul 2025)'; sleep 30")
    with pytest.raises(
        InputError, match=r"several instances of LAMMPS were started.*with \{ranks\}, under lammps in config"
    ):
        run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))


def test_a_lammps_of_one_rank_is_no_rank_of_what_started_us(stand_in, monkeypatch, tmp_path):
    stand_in("lmp_mine", f"env >> {tmp_path}/said")
    monkeypatch.setenv("PMI_FD", "9")
    run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))
    assert "PMI_FD=9" not in stand_in.said()


def test_a_command_that_is_none():
    with pytest.raises(InputError, match=r"lammps: \"lmp 'x\" is not a command \(No closing quotation\); correct it"):
        ready("lmp 'x", simulate(), 1)


def test_processes_that_wait_give_way_unless_the_user_wants_otherwise(stand_in, monkeypatch, tmp_path):
    stand_in("lmp_mine", f"env >> {tmp_path}/said")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    run_lammps(ready("lmp_mine", simulate(), 1), "in.x", tmp_path / "log", {}, (0, 1))
    assert "MPIR_CVAR_CH4_PROGRESS_THROTTLE=1" in stand_in.said()
    assert "GOMP_SPINCOUNT=7" in stand_in.said()
