import json
import subprocess
import sys

import numpy as np
import pytest

from gdyn.errors import SupersededError
from gdyn.files import read_json, remove, whole_file, write_json


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == ".txt"
    assert path.read_text() == "half"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_what_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with whole_file(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


KILLED = """
import os, signal, sys
from gdyn.files import whole_file
with whole_file(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("name", ["a.txt", "n_states~2_rate=0.1[3].h5", "1-0.h5"])
def test_what_writers_that_were_killed_have_left_is_removed_by_the_next(tmp_path, name):
    path = tmp_path / name
    others = {f".unfinished-1f-7-{name}", f".unfinished-1f-{name}.bak", ".unfinished-1f-3", "3"}
    for other in others:  # of other files, whose writers may be at work
        (tmp_path / other).touch()
    (tmp_path / f".unfinished-4711-{name}").touch()  # as of gdyn 0.1
    for _ in range(2):
        subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
        left = {found.name for found in tmp_path.iterdir()} - others
        assert len(left) == 1
        assert left.pop().startswith(".unfinished-")
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert {found.name for found in tmp_path.iterdir()} == others | {temporary.name}
    assert {found.name for found in tmp_path.iterdir()} == others | {name}
    (tmp_path / f".unfinished-4711-{name}").touch()
    remove(path)
    assert {found.name for found in tmp_path.iterdir()} == others
    remove(tmp_path / "nowhere" / name)


def test_of_two_writers_of_a_file_the_first_gives_way(tmp_path):
    path = tmp_path / "a.txt"
    first = whole_file(path)
    first.__enter__().write_text("first")
    with whole_file(path) as second:
        second.write_text("second")
        with pytest.raises(SupersededError, match=r"a\.txt: another process has started to write this file"):
            first.__exit__(None, None, None)
        assert not path.exists()
    assert path.read_text() == "second"
    assert list(tmp_path.iterdir()) == [path]


def test_json_takes_numpy_and_writes_null_for_what_is_no_number(tmp_path):
    path = tmp_path / "a.json"
    write_json(
        path, {"a": np.arange(2), "b": np.float64("nan"), "c": [np.inf, np.int64(3)], "d": np.array("x"), "e": True}
    )
    assert read_json(path) == {"a": [0, 1], "b": None, "c": [None, 3], "d": "x", "e": True}
    assert "NaN" not in path.read_text()
    json.loads(path.read_text())
