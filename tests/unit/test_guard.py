"""Programs end with those who have started them, seen from outside."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gdyn.guard import GRACE_S, guarded, how_it_ended
from gdyn.training.processes import launch

HERE = "from types import SimpleNamespace\nfrom gdyn.logs import job\n"
JOB = """
folder = {folder!r}
with job(SimpleNamespace(log=[folder + "/job.log"], rule="simulate", wildcards=["toy"])):
"""
SIMULATE = """
    from gdyn.config.models import Simulate
    from gdyn.simulation.runs import simulate
    stretch = {"steps": [0, 9], "dump_every": 1, "timestep": 1, "seed": 1, "variables": {}}
    simulate(folder + "/in.x", folder + "/a.json", None, folder + "/a.dump", folder + "/log", folder + "/lmp",
             Simulate(deck="x", length_ps=1), 1, stretch)
"""
TRAIN = """
    import subprocess
    from gdyn.training.processes import launch
    launch(subprocess.run, 2, 1, folder + "/shared", {"args": [folder + "/lmp"]})
"""
# Like a wrapper that puts the real program into a session of its own, and a script that waits for another.
FAKE = """#!/bin/sh
setsid sleep 1000 &
first=$!
sleep 1000 &
echo $PPID $$ $first $! > {folder}/$$.part
mv {folder}/$$.part {folder}/$$.pids
echo 1 2 3
wait
"""


def running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def fake(folder):
    (folder / "in.x").touch()
    (folder / "lmp").write_text(FAKE.format(folder=folder))
    (folder / "lmp").chmod(0o755)


def start(code):
    def as_from_a_shell():  # tests in the background, or under nohup, would hand down that these are ignored
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)

    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL, preexec_fn=as_from_a_shell)


def end(process, folder):
    process.kill()
    process.wait()
    for left in filter(running, pids(folder)):
        os.kill(left, signal.SIGKILL)


def pids(folder):
    return [int(word) for path in folder.glob("*.pids") for word in path.read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(("work", "programs"), [(SIMULATE, 1), (TRAIN, 2)])
def test_all_that_a_job_has_started_ends_with_it(tmp_path, work, programs, number):
    fake(tmp_path)
    process = start(HERE + JOB.format(folder=str(tmp_path)) + work)
    try:
        assert wait_until(lambda: len(pids(tmp_path)) == 4 * programs, 60)
        assert all(map(running, pids(tmp_path)))
        process.send_signal(number)
        process.wait(timeout=20)
        assert wait_until(lambda: not any(map(running, pids(tmp_path))), 3)
        expected = {signal.SIGKILL: -9, signal.SIGINT: 130}
        assert process.returncode == expected.get(number, 128 + number)
        # What kill -9 leaves, the next run removes.
        assert number == signal.SIGKILL or not list(tmp_path.rglob(".*"))
    finally:
        end(process, tmp_path)


def test_two_at_once_in_one_process(tmp_path):
    """Neither holds the pipe of the other open."""
    first = guarded(["sleep", "1000"])
    process = first.__enter__()
    with guarded(["sleep", "1"]) as second:
        begin = time.monotonic()
        assert first.__exit__(RuntimeError, RuntimeError("enough"), None) is False
        assert process.returncode == -signal.SIGTERM
        assert time.monotonic() - begin < 1
        assert second.poll() is None
    assert second.returncode == 0


def test_a_job_that_is_killed_takes_all_of_several_programs_along(tmp_path):
    fake(tmp_path)
    code = (
        "from threading import Thread\nfrom gdyn.guard import guarded\n"
        f"def work():\n    with guarded([{str(tmp_path / 'lmp')!r}]):\n        pass\n"
        "for _ in range(3):\n    Thread(target=work).start()\n"
    )
    process = start(code)
    try:
        assert wait_until(lambda: len(pids(tmp_path)) == 12, 30)
        process.kill()
        process.wait()
        assert wait_until(lambda: not any(map(running, pids(tmp_path))), 3)
    finally:
        end(process, tmp_path)


def test_a_launch_removes_what_one_that_was_killed_has_left(tmp_path):
    (tmp_path / ".gdyn-killed").mkdir()
    (tmp_path / ".gdyn-killed/call.pickle").touch()
    launch(os.getcwd, 2, 1, tmp_path, {})
    assert not list(tmp_path.iterdir())


def test_a_program_has_nothing_of_the_guard():
    code = "import os, signal as s; print(os.listdir('/proc/self/fd'), s.getsignal(s.SIGTERM).name, os.read(0, 9))"
    with guarded([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        said = process.stdout.read()
    assert said == "['0', '1', '2', '3'] SIG_DFL b''\n"  # 3 is the listing itself


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("exit 0", 0, "ended with status 0"),
        ("exit 3", 3, "ended with status 3"),
        ("kill -9 $$", -9, "was ended by signal 9 (Killed)"),
        ("kill -15 $$", -15, "was ended by signal 15 (Terminated)"),
    ],
)
def test_the_status_is_that_of_the_program(script, status, words):
    with guarded(["sh", "-c", f"echo out; echo err >&2; {script}"], stdout=-1, stderr=subprocess.STDOUT) as process:
        assert process.stdout.read() == "out\nerr\n"
    assert process.returncode == status
    assert how_it_ended(status) == words


def test_a_program_that_cannot_be_started(tmp_path):
    (tmp_path / "lmp").write_bytes(b"\x7fELF of another machine")
    (tmp_path / "lmp").chmod(0o755)
    with guarded([str(tmp_path / "lmp")], stderr=subprocess.PIPE) as process:
        assert process.stderr.read() == f"ERROR: {tmp_path}/lmp cannot be started: Exec format error\n"
    assert process.returncode == 126


def test_what_a_program_leaves_running_ends_with_it(tmp_path):
    with guarded(["sh", "-c", "setsid sleep 1000 & echo $!"], stdout=subprocess.PIPE) as process:
        left = int(process.stdout.readline())
    assert process.returncode == 0
    assert not running(left)


def test_a_program_that_does_not_listen_is_killed():
    deaf = "trap '' TERM; echo ready; while true; do sleep 0.1; done"
    run = guarded(["sh", "-c", deaf], stdout=subprocess.PIPE)
    process = run.__enter__()
    assert process.stdout.readline() == "ready\n"
    begin = time.monotonic()
    assert run.__exit__(RuntimeError, RuntimeError("enough"), None) is False
    assert process.returncode == -signal.SIGKILL
    assert time.monotonic() - begin < GRACE_S + 3


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="ancestors are found in /proc")
def test_a_job_ends_with_the_snakemake_that_has_started_it(tmp_path):
    """Killed alone, without its jobs: they must not go on beside those of the next one."""
    fake(tmp_path)
    (tmp_path / "job.py").write_text(HERE + JOB.format(folder=str(tmp_path)) + SIMULATE)
    (tmp_path / "snakemake").write_text(
        f"import subprocess\nsubprocess.run(['sh', '-c', '{sys.executable} {tmp_path}/job.py; true'])\n"
    )
    parent = subprocess.Popen([sys.executable, str(tmp_path / "snakemake")], start_new_session=True)
    assert wait_until(lambda: list(tmp_path.glob("*.pids")), 20)
    (told,) = tmp_path.glob("*.pids")
    started = told.read_text().split()
    assert all(map(running, started))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert wait_until(lambda: not any(map(running, started)), 15)
    assert not list(tmp_path.glob(".unfinished-*"))
