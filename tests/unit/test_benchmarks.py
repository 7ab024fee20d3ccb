"""Records of benchmarks, and their comparison; what is measured is not tested."""

import json

import pytest
from benchmarks import record


@pytest.fixture
def kept(tmp_path):
    kept = record.Record()
    kept.add("a step", 2.0, "ms")
    kept.ratio("a step, peer to gdyn", 3.0)
    kept.add("gone", 1.0, "ms")
    kept.write(tmp_path / "new folder/kept.json")
    return json.loads((tmp_path / "new folder/kept.json").read_text())


def test_a_record_says_where_it_was_made(kept):
    assert kept["machine"] == record.machine()
    assert kept["gdyn"]
    assert kept["commit"]


@pytest.mark.parametrize(
    ("ratio", "worse"),
    [(2.6, []), (2.3, ["a step, peer to gdyn"]), (float("nan"), ["a step, peer to gdyn"]), (9.0, [])],
)
def test_only_a_ratio_is_judged(kept, ratio, worse):
    new = record.Record()
    new.add("a step", 200.0, "ms")
    new.ratio("a step, peer to gdyn", ratio)
    lines, judged = record.compare(kept, {**kept, "numbers": new.numbers})
    assert judged == (["a step, peer to gdyn"] if worse else [])
    assert any(line.startswith("a step, ms") and line.endswith("100.00") for line in lines)
    assert any(line.startswith("gone") and line.endswith("only in one") for line in lines)


def test_two_machines_are_told_apart(kept):
    assert "Two machines" in " ".join(record.compare(kept, {**kept, "machine": "another"})[0])
