"""How a job ends, seen from outside."""

import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

JOB = """
import sys, time
from types import SimpleNamespace
from gdyn.errors import InputError
from gdyn.files import whole_file
from gdyn.logs import LOG, job, progress
snakemake = SimpleNamespace(log=[sys.argv[1] + "/logs/job.log"], rule="koopman", wildcards=["toy"])
with job(snakemake):
    LOG.info("hello")
"""


def start(tmp_path, body, hangup=signal.SIG_DFL):
    lines = "".join(f"    {line}\n" for line in body.splitlines())

    def as_from_a_shell():  # tests in the background of one, or under nohup, would hand down that these are ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGHUP, hangup)

    return subprocess.Popen(
        [sys.executable, "-c", JOB + lines, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=as_from_a_shell,
    )


def end(process):
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_a_job_says_the_same_to_the_terminal_and_to_its_log(tmp_path):
    status, said = end(start(tmp_path, "LOG.warning('careful')"))
    assert (status, said) == (0, "koopman toy: hello\nkoopman toy: careful\n")
    log = (tmp_path / "logs/job.log").read_text()
    assert "INFO hello" in log
    assert "WARNING careful" in log


def test_a_mistake_of_the_user_is_one_sentence(tmp_path):
    status, said = end(start(tmp_path, "raise InputError('a.dump, frame 3: broken; correct it')"))
    assert status == 1
    assert said == "koopman toy: hello\nkoopman toy: a.dump, frame 3: broken; correct it\n"
    assert "Traceback" not in (tmp_path / "logs/job.log").read_text()


def test_a_defect_leaves_its_traceback_in_the_log(tmp_path):
    status, said = end(start(tmp_path, "1 / 0"))
    assert status == 1
    assert "ZeroDivisionError" in said
    log = (tmp_path / "logs/job.log").read_text()
    assert "this is a defect" in log
    assert "ZeroDivisionError" in log


@pytest.mark.parametrize(("number", "expected"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_nothing_half_written_stays_after_a_signal(tmp_path, number, expected):
    body = f"with whole_file('{tmp_path}/out.h5') as path:\n    path.write_text('half')\n    time.sleep(60)"
    process = start(tmp_path, body)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".unfinished*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    status, said = end(process)
    assert status == expected
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_under_nohup_a_lost_terminal_ends_nothing(tmp_path):
    process = start(tmp_path, "import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nLOG.info('on')", signal.SIG_IGN)
    assert end(process) == (0, "koopman toy: hello\nkoopman toy: on\n")


def test_a_second_signal_does_not_cut_the_cleaning_short(tmp_path):
    body = (
        f"import os, signal\nwith whole_file('{tmp_path}/out.h5') as path:\n    path.write_text('half')\n"
        "    try:\n        os.kill(os.getpid(), signal.SIGHUP)\n        time.sleep(60)\n"
        "    finally:\n        os.kill(os.getpid(), signal.SIGTERM)\n        LOG.info('cleaned')"
    )
    status, said = end(start(tmp_path, body))
    assert (status, said) == (129, "koopman toy: hello\nkoopman toy: cleaned\n")
    assert [path.name for path in tmp_path.iterdir()] == ["logs"]


def test_progress_is_lines_in_a_log(tmp_path):
    body = "for _ in progress(range(5), 'frames', every_s=0.0):\n    pass"
    status, said = end(start(tmp_path, body))
    assert status == 0
    assert "frames: 1 of 5 (20 %), 0 s to go" in said
    assert "frames: 4 of 5" in said


def test_lammps_ends_with_its_job(tmp_path):
    (tmp_path / "in.forever").write_text(
        "lattice sc 1\nregion r block 0 2 0 2 0 2\ncreate_box 1 r\ncreate_atoms 1 box\nmass 1 1\n"
        "print begun file ${begun}\nrun 2000000000\n"
    )
    body = (
        "from gdyn.config.models import Simulate\n"
        "from gdyn.simulation.runs import simulate\n"
        f"variables = {{'begun': '{tmp_path}/begun'}}\n"
        "stretch = {'steps': [0, 9], 'dump_every': 1, 'timestep': 1, 'seed': 1, 'variables': variables}\n"
        f"simulate('{tmp_path}/in.forever', '{tmp_path}/a.json', None, '{tmp_path}/a.dump', '{tmp_path}/log', 'lmp',\n"
        "         Simulate(deck='x', length_ps=1), 1, stretch)"
    )
    process = start(tmp_path, body)
    deadline = time.monotonic() + 60
    while not (tmp_path / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert end(process)[0] == 143
    time.sleep(0.5)
    deck = str(tmp_path / "in.forever").encode()
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if deck in command_line(path)]


def command_line(path):
    try:
        return path.read_bytes()
    except OSError:  # it has just ended
        return b""


def test_progress_on_a_terminal_is_a_bar_and_lines_in_the_log_file(tmp_path):
    body = "for _ in progress(range(5), 'frames', every_s=0.0):\n    pass"
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 80))
    command = [sys.executable, "-c", JOB + lines, str(tmp_path)]
    subprocess.run(command, stderr=slave, check=True)
    os.close(slave)
    said = os.read(master, 65536).decode()
    os.close(master)
    assert "frames:   0%|" in said
    assert "frames: 4 of 5" not in said
    assert "DEBUG frames: 4 of 5" in (tmp_path / "logs/job.log").read_text()
