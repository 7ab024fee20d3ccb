"""Liquid argon, simulated by a deck that goes on, and what a run of it that was never ended looks like."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from gdyn.simulation.restarts import whole

INTERVAL, EVERY, PART = 1000, 200, 40_000  # steps between restart files, between frames, of a part
ATOMS = 256
DUMP = "results/argon/simulation/0.lammpstrj"


def system(**simulation):
    return {
        "simulate": {
            "deck": "in.argon",
            "length_ps": 2 * PART * 0.005,
            "part_ps": PART * 0.005,
            "restart_ps": INTERVAL * 0.005,
            "seed": 3,
            **simulation,
        },
        "trajectory": {"units": "metal", "timestep": 0.005, "frame_interval_ps": EVERY * 0.005},
        "targets": {"selection": "element Kr"},
        "graphs": {"neighbors": 8, "shards": 2},
        "search": {"n_states": 2, "lag_ps": 1},
        "seeds": [1],
        "training": {"max_epochs": 1, "epoch_steps": 2},
    }


def by_hand(deck, folder, steps, seed=3, ranks=1):
    """The dump of one run of LAMMPS from the deck's beginning to its end, without gdyn."""
    beside = Path(sys.executable)
    variables = {
        "seed": seed,
        "timestep": 0.005,
        "steps": steps,
        "dump_every": EVERY,
        "dump_file": folder / "whole.dump",
    }
    variables |= {"restart_every": INTERVAL, "restart_files": folder / "whole.restart.*"}
    words = [word for name, value in variables.items() for word in ("-var", name, str(value))]
    starts = [beside.with_name("mpiexec"), "-n", str(ranks)] if ranks > 1 else []
    lammps = [beside.with_name("lmp"), "-in", deck, *words, "-log", "none", "-screen", "none"]
    subprocess.run([*starts, *lammps], check=True)
    return (folder / "whole.dump").read_bytes()


def until_step(dump, step):
    """The frames of a dump up to a step."""
    return dump[: dump.index(b"ITEM: TIMESTEP\n%d\n" % (step + EVERY))]


def steps_of(dump):
    """The steps of the frames of a dump, all of whose lines are there."""
    frames = dump.decode().split("ITEM: TIMESTEP\n")[1:]
    assert {frame.count("\n") for frame in frames} == {8 + ATOMS}
    return [int(frame.split("\n", 1)[0]) for frame in frames]


def steps_of_whole_frames(path):
    """The steps of the frames of a dump that is being written, but for the last."""
    dump = path.read_bytes()
    return steps_of(dump[: dump.rindex(b"ITEM: TIMESTEP")])


def latest_restart(folder):
    """The step of the latest whole restart file of the simulation."""
    files = (folder / "results/argon/simulation").glob("0.restart.*")
    return max((int(path.name.rpartition(".")[2]) for path in files if whole(path)), default=0)


def processes(folder, *words):
    """Processes that work in a folder, with all of these words in their command line."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if (place / "cwd").resolve() == folder and all(word in line for word in words):
                yield int(place.name), line
