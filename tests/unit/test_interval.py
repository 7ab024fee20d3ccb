"""A number with its interval, in the forms in which results hold it."""

import json

import numpy as np
import pytest

from gdyn.files import read_json, write_json
from gdyn.kinetics.timescales import Process
from gdyn.statistics.interval import Interval

MATRIX = Interval(np.eye(2), np.eye(2) - 0.1, np.eye(2) + 0.3)


def test_json_and_back(tmp_path):
    known = Interval(np.array([1.0, np.nan]), np.array([0.5, np.nan]), np.array([2.0, np.nan]))
    write_json(tmp_path / "x.json", {"populations": known})
    assert json.loads((tmp_path / "x.json").read_text()) == {
        "populations": {"value": [1.0, None], "low": [0.5, None], "high": [2.0, None]}
    }
    back = Interval.read(read_json(tmp_path / "x.json")["populations"])
    for part in ("value", "low", "high"):
        np.testing.assert_array_equal(getattr(back, part), getattr(known, part))


def test_a_summary_has_it_as_twins():
    found = Interval.twin({"x": [1.0, 2.0], "x_interval": {"low": [0.0, 1.0], "high": [3.0, 4.0]}}, "x", "ps")
    assert [str(one) for one in found] == ["1.0 ps (0.0 to 3.0)", "2.0 ps (1.0 to 4.0)"]
    by_name = {"x": {"a": 1.0, "b": 5.0}, "x_interval": {"low": {"a": 0.0, "b": 4.0}, "high": {"a": 3.0, "b": 6.0}}}
    assert str(Interval.twin(by_name, "x", "ps", of="b")) == "5.0 ps (4.0 to 6.0)"
    nothing = Interval.twin({"x": None, "x_interval": {"low": None, "high": None}}, "x", "ps")
    assert str(nothing) == "not known"


def test_a_place_in_it_has_its_own_interval():
    assert MATRIX[0, 0].plain() == pytest.approx({"value": 1.0, "low": 0.9, "high": 1.3})
    assert MATRIX[:, 1].value.tolist() == [0.0, 1.0]
    assert [row.value.tolist() for row in MATRIX] == [[1.0, 0.0], [0.0, 1.0]]
    assert len(MATRIX) == 2
    assert Interval.join(MATRIX[0]).high.tolist() == pytest.approx([1.3, 0.3])


def test_error_bars_reach_down_and_up():
    np.testing.assert_allclose(MATRIX.arms[:, 0, 0], [0.1, 0.3])
    np.testing.assert_allclose(MATRIX.half, 0.2)
    assert np.isnan(Interval(1.0, np.nan, np.nan).arms).all()
    assert Interval(0.3, 0.3 + 1e-17, 0.3).arms.min() == 0.0  # rounding reaches nowhere


def test_columns_of_a_table():
    assert MATRIX[0, 0].columns("K") == pytest.approx({"K": 1.0, "K_low": 0.9, "K_high": 1.3})


def test_percent_is_the_same_number():
    assert str(MATRIX[0, 0].map(lambda x: 100 * x)) == "100 (90 to 130)"


@pytest.mark.parametrize(
    ("ps", "text", "brief"),
    [((37.2, 31.0, 44.0), "37 ps (31 to 44)", "37 ps"), ((2e4, 1e4, 4e4), "20 ns (10 to 40)", "20 ns")],
)
def test_times_are_told_in_their_unit(ps, text, brief):
    assert Interval(*ps).as_time() == text
    assert Interval(*ps).as_brief_time() == brief


def test_the_time_of_a_process_says_whether_it_is_resolved():
    assert str(Process.read({"value": 1.4e14, "low": None, "high": None, "resolved": False}, "ps")).endswith(
        "not resolved"
    )
    unknown = Process.read({"value": None, "low": None, "high": None, "resolved": False}, "ps")
    assert str(unknown) == "not known, not resolved"
    assert str(Process(37.2, 31.0, 44.0, "ps", resolved=True)) == "37 ps (31 to 44)"


def test_what_a_subclass_adds_goes_to_json_and_comes_back(tmp_path):
    write_json(tmp_path / "x.json", Process(37.2, 31.0, 44.0, "ps", resolved=True))
    plain = read_json(tmp_path / "x.json")
    assert plain == {"value": 37.2, "low": 31.0, "high": 44.0, "resolved": True}
    assert Process.read(plain, "ps") == Process(37.2, 31.0, 44.0, "ps", resolved=True)
    assert Interval.read(plain).unit == ""
