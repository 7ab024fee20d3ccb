import numpy as np
import pytest

from gdyn.rounding import rounded, time
from gdyn.statistics.interval import POSITIVE, PROBABILITY, Interval, bounded


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ((37.232, 31.852, 43.521), "37 (32 to 44)"),
        ((0.916570, 0.900203, 0.932937), "0.917 (0.900 to 0.933)"),
        ((335.4, 315.2, 355.9), "335 (315 to 356)"),
        ((0.53, -0.46, 1.52), "0.5 (-0.5 to 1.5)"),
        ((6.038117, 6.024870, 6.051364), "6.038 (6.025 to 6.051)"),
        ((19230.0, 9326.0, 39653.0), "19000 (9000 to 40000)"),
        ((3.4e-12, 1e-12, 5.9e-12), "3.4e-12 (1.0e-12 to 5.9e-12)"),
        ((0.0, 0.0, 0.0), "0.00 (0.00 to 0.00)"),
        ((1.39e11, None, None), "1.39e+11 (no interval)"),
        ((float("nan"), 1.0, 2.0), "not known"),
        ((None, None, None), "not known"),
    ],
)
def test_a_number_has_the_digits_that_its_error_leaves(number, text):
    assert rounded(*number) == text


def test_a_rounded_number_lies_within_its_error():
    rng = np.random.default_rng(0)
    for _ in range(2000):
        value = 10.0 ** rng.uniform(-14, 8)
        error = value * 10.0 ** rng.uniform(-10, 4)
        words = (
            rounded(value, value - error, value + error).replace("(", "").replace(")", "").replace("to ", "").split()
        )
        found = np.array(words, float)
        np.testing.assert_allclose(found, [value, value - error, value + error], atol=0.5 * error)
        assert all(len(word.lstrip("-").replace(".", "")) < 26 for word in words)


def test_times():
    assert time(37.232, 31.852, 43.521) == "37 ps (32 to 44)"
    assert time(19230.0, 9326.0, 39653.0) == "19 ns (9 to 40)"


def test_intervals_keep_their_bounds():
    rng = np.random.default_rng(1)
    value = rng.uniform(0, 1, 5000) ** 4
    half = 10.0 ** rng.uniform(-6, 2, 5000)
    low, high = bounded(value, half, PROBABILITY)
    assert (low >= 0).all()
    assert (high <= 1).all()
    assert ((low <= value) & (value <= high)).all()
    low, high = bounded(value, half, POSITIVE)
    assert (low >= 0).all()
    assert ((low <= value) & (value <= high)).all()
    low, high = bounded(2 * value - 1, half, (-1.0, 1.0))
    assert ((low >= -1) & (high <= 1)).all()


def test_bounds_do_not_matter_where_the_error_is_small():
    low, high = bounded(np.array([0.3, 0.9]), np.array([1e-3, 1e-4]), PROBABILITY)
    np.testing.assert_allclose(low, [0.299, 0.8999], atol=5e-6)
    np.testing.assert_allclose(high, [0.301, 0.9001], atol=5e-6)


def test_values_at_and_beyond_a_bound():
    low, high = bounded(np.array([0.0, 0.0, 1.0, -0.1]), np.array([0.0, 0.2, 0.1, 0.05]), PROBABILITY)
    assert np.isnan(low[0]), "that nothing was seen does not say that nothing is there"
    assert (low[1], high[1]) == (0.0, 0.2)
    assert (low[2], high[2]) == (0.9, 1.0)
    np.testing.assert_allclose((low[3], high[3]), (-0.15, -0.05))  # an estimate that does not keep its bounds


@pytest.mark.parametrize("truth", [0.5, 0.05, 0.01])
def test_bounded_intervals_of_shares_cover(truth):
    """Shares of rare events, whose symmetric intervals would leave their bounds."""
    rng = np.random.default_rng(2)
    blocks = rng.binomial(400, truth, (10, 4000)) / 400.0
    found = Interval.of(blocks.mean(0), blocks, within=PROBABILITY)
    low, high = found.low, found.high
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ((5.0, 0.2, 120.0), "5 (0.2 to 120)"),
        ((0.004, 0.0005, 0.03), "0.0040 (0.0005 to 0.0300)"),
        ((2745.0, 54.5, 1.38e4), "2700 (50 to 13800)"),
        ((-0.04, -0.9, 0.8), "-0.04 (-0.9 to 0.8)"),
        ((0.0, -1e-310, 1e-310), "0 (-1e-310 to 1e-310)"),
    ],
)
def test_no_number_is_printed_as_none(number, text):
    """Intervals on a logarithm are far wider on one side."""
    assert rounded(*number) == text


def test_a_number_of_numpy_reads_as_the_same_one_of_python():
    for thousandths in range(1000):
        value, low, high = thousandths / 1000, thousandths / 1000 - 0.2, thousandths / 1000 + 0.2
        assert rounded(*map(np.float64, (value, low, high))) == rounded(value, low, high)


def test_what_rounding_leaves_of_zero_is_zero():
    assert rounded(-4e-15, 0.0, 0.0018) == "0.0000 (0.0000 to 0.0018)"
