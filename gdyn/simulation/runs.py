"""Runs of LAMMPS that continue: prepared once, simulated part by part, each part from the last restart file."""

import hashlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gdyn.config.models import Simulate
from gdyn.errors import InputError
from gdyn.files import FilePath, full_disk, read_json, whole_file, write_json
from gdyn.logs import LOG
from gdyn.provenance import file_checksum, settings_checksum
from gdyn.simulation.deck import read_deck
from gdyn.simulation.lammps import Lammps, elements_of_types, ready, run_lammps
from gdyn.simulation.restarts import Restarts, whole
from gdyn.simulation.tape import Stretch, cut, frames_from

LARGEST_SEED = 900_000_000  # of the random numbers of LAMMPS


def prepare(
    deck: FilePath,
    restart: FilePath,
    log: FilePath,
    command: str,
    settings: Simulate,
    cores: int,
    stretch: dict[str, Any],
    data: FilePath | None = None,
) -> None:
    """Run a deck up to the beginning of its production; its state is written as a restart file.

    Parameters
    ----------
    deck : LAMMPS input script that follows the pattern for continuing (docs/tutorial.md).
    restart : the restart file to write.
    log : the log of the job; that of LAMMPS is written beside it.
    command : how LAMMPS is started.
    settings : the ``simulate`` section of a system.
    cores : how many there are.
    stretch : what the run is, from :meth:`gdyn.config.models.System.stretch`.
    data : LAMMPS data file that the deck begins with, if any.

    Raises
    ------
    InputError : LAMMPS cannot be started, or it stopped with an error.
    """
    with whole_file(restart) as temporary:
        variables = _variables(stretch, 0, deck, data) | {
            "seed": stretch["seed"],
            "steps": 0,
            "dump_every": 1,
            "dump_file": os.devnull,
            "dump_from": 0,
            "go_on": "no",
            "restart_every": 1,
            "restart_from": "none",
            "restart_files": temporary,
        }
        run_lammps(ready(command, settings, cores), deck, _log_beside(log, 0), variables, (0, 0))
        if not whole(temporary):
            raise InputError(
                f"{deck}: LAMMPS ended normally but left no complete restart file; the last command of the deck must "
                f"be 'write_restart ${{restart_files}}', and the disk must not be full"
            )


def simulate(
    deck: FilePath,
    record: FilePath,
    before: Sequence[FilePath] | None,
    dump: FilePath,
    log: FilePath,
    command: str,
    settings: Simulate,
    cores: int,
    stretch: dict[str, Any],
    data: FilePath | None = None,
) -> None:
    """Simulate one part of a run, from where an earlier attempt ended, and write down where its frames are.

    The frames of all parts are in one dump, and each is there once. A run that was interrupted continues from the
    last complete restart file up to which all frames are there; the dump is cut there.

    A deck that does not follow the pattern for continuing is run in one piece, from its beginning.

    Parameters
    ----------
    record : the JSON file to write: ``begin_step``, ``end_step``, ``dump`` (its name beside the record), and of the
        frames in it their number and ``first_byte`` and ``end_byte`` (null: all that there are).
    before : the restart file of the preparation and the record of the part before, if there is one; nothing for a deck
        that cannot continue.
    dump : the dump of the whole run.
    deck, log, command, settings, cores, stretch, data : as for :func:`prepare`.

    Raises
    ------
    InputError : LAMMPS cannot be started, or it stopped with an error; frames are missing in what it wrote.
    """
    dump = Path(dump)
    lammps = ready(command, settings, cores)
    begin, end = stretch["steps"]
    started = time.monotonic()
    if read_deck(deck).goes_on:
        every = settings.restart_every(stretch["timestep_ps"], end - begin)
        frames, went_on = _part(lammps, deck, before or (), dump, log, stretch, every, data)
    else:
        _whole(lammps, deck, dump, log, stretch, data)
        frames, went_on = None, begin
    write_json(
        record,
        {
            "begin_step": begin,
            "end_step": end,
            "dump": dump.name,
            "frames": frames and frames.up_to(end),
            "first_byte": frames and frames.begin,
            "end_byte": frames and frames.end_at(end),
            # Of the last attempt alone: how fast LAMMPS is here.
            "went_on_from_step": went_on,
            "wall_s": time.monotonic() - started,
            "ranks": lammps.ranks,
            "threads": lammps.threads,
        },
    )


def _whole(
    lammps: Lammps,
    deck: FilePath,
    dump: Path,
    log: FilePath,
    stretch: dict[str, Any],
    data: FilePath | None,
) -> None:
    """Run a deck from its beginning to its end; the dump appears under its name only once it is complete."""
    steps = stretch["steps"][1]
    with whole_file(dump) as temporary:
        variables = _variables(stretch, 0, deck, data) | {
            "seed": stretch["seed"],
            "steps": steps,
            "dump_every": stretch["dump_every"],
            "dump_file": temporary,
        }
        run_lammps(lammps, deck, _log_beside(log, 0), variables, (0, steps))
        if not temporary.exists():
            raise InputError(f"{deck}: LAMMPS ended normally but wrote no dump; the deck must write to ${{dump_file}}")


def _part(
    lammps: Lammps,
    deck: FilePath,
    before: Sequence[FilePath],
    dump: Path,
    log: FilePath,
    stretch: dict[str, Any],
    restart_every: int,
    data: FilePath | None,
) -> tuple[Stretch, int]:
    """Bring a part of a run to its end: its frames, and the step from which LAMMPS continued."""
    (begin, end), every = stretch["steps"], stretch["dump_every"]
    prepared, *earlier = map(Path, before)
    if not whole(prepared):
        raise InputError(f"{prepared}: is not a complete restart file; remove it, and the run is prepared again")
    first, first_byte = (begin + every, read_json(earlier[0])["end_byte"]) if earlier else (0, 0)
    run = {name: value for name, value in stretch.items() if name != "steps"} | {"from": file_checksum(prepared)}
    restarts = Restarts(dump, settings_checksum(run)[-8:])
    held = frames_from(dump, first_byte, first, every)
    step = next((step for step in restarts.steps() if step > begin and held.reaches(step)), begin)
    if step >= end:
        LOG.info("the frames up to step %d are in %s already; remove them to simulate them again", end, dump)
        restarts.remove(begin, end)
        return held, end
    origin = restarts.at(step) if step else prepared
    if not whole(origin):
        raise InputError(
            f"{origin}: this restart file, from which the run would continue, is missing or not complete; put it back, "
            f"or start the run again by removing the files beside it that have its number"
        )
    if step > begin:
        LOG.info("continuing from step %d, after the frames that are in %s", step, dump)
    cut(dump, held.end_at(step) if step > begin else first_byte)
    restarts.remove(step)
    variables = _variables(stretch, step, deck, data) | {
        "steps": end,
        "dump_every": every,
        "dump_file": dump,
        "go_on": "yes",
        "restart_from": origin,
        "restart_every": restart_every,
        "restart_files": restarts.pattern,
        "dump_from": step + 1 if step else 0,
    }

    def look() -> None:
        broken = restarts.tidy(begin)
        if broken is not None:
            raise InputError(f"{restarts.at(broken)}: is not complete: {_explain_missing_frames(dump)}")

    try:
        run_lammps(lammps, deck, _log_beside(log, step), variables, (step, end), look)
    except InputError as error:
        if step > begin and restarts.steps()[:1] == [step]:
            raise InputError(
                f"{error}; if it cannot read {origin}, remove that file: the run continues from the one before"
            ) from None
        raise
    held = frames_from(dump, first_byte, first, every)
    if not held.reaches(end):
        raise InputError(
            f"{dump}: LAMMPS has ended normally at step {end}, but the frame of step {held.next_step} is missing or "
            f"not complete: {_explain_missing_frames(dump)}"
        )
    if not whole(restarts.at(end)):
        raise InputError(
            f"{restarts.at(end)}: is missing or not complete; the last command of the deck must be "
            f"'write_restart ${{restart_files}}', and the disk must not be full"
        )
    if held.next_step > end + every:
        LOG.warning(
            "%s: LAMMPS ran on to step %d, beyond the end of this part (%d); write 'run ${steps} upto' into %s, or "
            "every part simulates steps that are not used",
            dump, held.next_step - every, end, deck,
        )  # fmt: skip
    restarts.remove(begin, end)
    return held, step


def _explain_missing_frames(dump: Path) -> str:
    return full_disk(dump.parent) or (
        "was the disk full, or does the deck not write its frames as docs/tutorial.md shows? Started again, "
        "the run continues where it was"
    )


def _variables(stretch: dict[str, Any], step: int, deck: FilePath, data: FilePath | None) -> dict[str, Any]:
    """The variables of a deck: those of its run, and those that all of its runs have in common."""
    variables = stretch["variables"] | {
        "seed": _seed(stretch["seed"], step),
        "timestep": stretch["timestep"],
        "deck_dir": Path(deck).parent,
    }
    if data:
        variables |= {"data_file": data, "elements": " ".join(elements_of_types(data))}
    return variables


def _seed(seed: int, step: int) -> int:
    """A seed of its own for what follows a step, so that no random numbers come twice in a run that continues."""
    digest = hashlib.sha256(f"{seed} {step}".encode()).digest()
    return 1 + int.from_bytes(digest[:8]) % (LARGEST_SEED - 1)


def _log_beside(log: FilePath, step: int) -> Path:
    """The log of LAMMPS beside that of a job; those of attempts that went farther are removed."""
    log = Path(log)
    for attempt in log.parent.glob(f"{log.stem}.from-*.lammps.log"):
        number = attempt.name.removeprefix(f"{log.stem}.from-").removesuffix(".lammps.log")
        if number.isdigit() and int(number) > step:
            attempt.unlink(missing_ok=True)
    return log.with_name(f"{log.stem}.from-{step}.lammps.log")
