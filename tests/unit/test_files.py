import json

import numpy as np
import pytest

from gdyn.files import read_json, whole_file, write_json


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


def test_json_takes_numpy_and_writes_null_for_what_is_no_number(tmp_path):
    path = tmp_path / "a.json"
    write_json(
        path, {"a": np.arange(2), "b": np.float64("nan"), "c": [np.inf, np.int64(3)], "d": np.array("x"), "e": True}
    )
    assert read_json(path) == {"a": [0, 1], "b": None, "c": [None, 3], "d": "x", "e": True}
    assert "NaN" not in path.read_text()
    json.loads(path.read_text())
