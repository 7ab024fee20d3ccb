"""Mean times in states and first-passage times, of chains in which they are counted or known in closed form."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers import koopman_json, markov_chain, states_of
from scipy.linalg import expm

from gdyn.kinetics.rates import counted, counted_rates, first_passage_times, generator_of, mean_stays, misfit
from gdyn.kinetics.reversible import of_reversible
from gdyn.statistics import Covariances
from gdyn.statistics.uncertainty import Blocks, Estimate

POPULATIONS = np.array([0.45, 0.3, 0.2, 0.05])
FLUXES = 0.003 * np.array([[0, 1, 0.2, 0], [1, 0, 0.6, 0.1], [0.2, 0.6, 0, 0.3], [0, 0.1, 0.3, 0]])


def four_states():
    """Rates of four states in detailed balance, two of which exchange no targets directly."""
    rates = FLUXES / POPULATIONS[:, None]
    np.fill_diagonal(rates, -rates.sum(1))
    return rates


def of_model(labels, n_states, lag_ps):
    states = states_of(labels, n_states, lag_ps=lag_ps)
    blocks = Blocks.by_time(states, 5)
    covariances = Estimate.of(lambda p, s: Covariances.of(p, s, states.lag_frames), states, blocks)
    return of_reversible(covariances, states, blocks)


def dwell_times(labels, state):
    """Lengths of all visits that begin and end within a chain, one after the other."""
    lengths = []
    for chain in labels.T:
        edges = np.flatnonzero(np.diff(chain)) + 1
        visits = pairwise(edges)
        lengths += [end - begin for begin, end in visits if chain[begin] == state]
    return np.array(lengths)


@pytest.mark.parametrize("lag_ps", [3.0, 10.0, 30.0])
def test_times_do_not_depend_on_the_lag(lag_ps):
    """Closed forms, counted visits and simulated first passages lie in the intervals, at three lags."""
    rates = four_states()
    labels = markov_chain(expm(rates), 40_000, np.random.default_rng(5), 4)
    found = of_model(labels, 4, lag_ps)
    assert found["rates_from"] == "generator"
    counted_ps = np.array([dwell_times(labels, state).mean() for state in range(4)])
    np.testing.assert_allclose(counted_ps, -1 / np.diag(rates), rtol=0.1)
    for name, expected in (
        ("lifetimes_ps", -1 / np.diag(rates)),
        ("lifetimes_ps", counted_ps),
        ("counted_lifetimes_ps", counted_ps),
        ("first_passage_ps", first_passage_times(rates)),
    ):
        low, high = found[name].low, found[name].high
        assert ((low <= expected) & (expected <= high)).all(), name
        assert (high <= 2.0 * low).all(), name


def test_intervals_of_times_cover():
    rng = np.random.default_rng(2)
    rates = four_states()
    truth = {"lifetimes_ps": -1 / np.diag(rates), "first_passage_ps": first_passage_times(rates)}
    inside = {name: [] for name in truth}
    for _ in range(60):
        found = of_model(markov_chain(expm(rates), 8000, rng, 4), 4, 10.0)
        for name, expected in truth.items():
            inside[name].append((found[name].low <= expected) & (expected <= found[name].high))
    apart = ~np.eye(4, dtype=bool)
    assert 0.9 <= np.mean(inside["lifetimes_ps"]) <= 0.98
    assert 0.9 <= np.mean(np.array(inside["first_passage_ps"])[:, apart]) <= 0.98


def test_a_rare_state_that_blocks_lack_has_times_with_intervals():
    """Delete-one-block estimates exist where those of single blocks do not."""
    rng = np.random.default_rng(7)
    transition = np.array([[0.999, 0.001], [0.02, 0.98]])
    labels = markov_chain(transition, 4000, rng, 1)
    assert not all((labels[part : part + 800] == 1).any() for part in range(0, 4000, 800))
    found = of_model(labels, 2, 2.0)
    assert np.isfinite(found["lifetimes_ps"].low).all()
    assert found["lifetimes_ps"].low[1] < 50 < found["lifetimes_ps"].high[1]


def test_first_passages_are_those_of_walks():
    rates = four_states()
    rng = np.random.default_rng(4)
    walkers, steps, going = np.zeros(4000, int), np.zeros(4000), np.ones(4000, bool)
    edges = np.cumsum(expm(rates), 1)
    while going.any():
        steps[going] += 1
        walkers[going] = (rng.random(going.sum())[:, None] > edges[walkers[going]]).sum(1)
        going &= walkers != 3
    assert first_passage_times(rates)[0, 3] == pytest.approx(steps.mean(), rel=0.04)


def test_closed_forms_of_two_states():
    rates = np.array([[-0.01, 0.01], [0.05, -0.05]])
    np.testing.assert_allclose(mean_stays(rates), [100, 20])
    np.testing.assert_allclose(first_passage_times(rates), [[0, 100], [20, 0]])
    joint = np.array([5 / 6, 1 / 6])[:, None] * expm(7 * rates)
    np.testing.assert_allclose(generator_of(joint, 7.0), rates, atol=1e-12)
    assert np.isinf(mean_stays(np.zeros((2, 2)))).all()


def test_states_that_cannot_be_reached_or_hold_nothing():
    rates = np.array([[-1.0, 1.0, 0, 0], [2.0, -2.0, 0, 0], [0, 0, 0, 0], [np.nan] * 4])
    times = first_passage_times(rates)
    assert np.isnan(times[3]).all()
    assert np.isnan(times[:, 3]).all()
    assert times[0, 1] == 1.0
    assert np.isinf([times[0, 2], times[2, 0]]).all()
    # One way out of the goal's reach makes the mean infinite, even where another leads to it.
    leaky = np.array([[-2.0, 1.0, 1.0], [1.0, -1.0, 0], [0, 0, 0.0]])
    assert np.isinf(first_passage_times(leaky)[0, 1])


def test_counting_is_by_cores_and_stays_within_segments():
    p = np.array([0.9, 0.7, 0.4, 0.7, 0.1, 0.1, 0.6, 0.9, 0.9, 0.2, 0.1, 0.9])
    probabilities = np.stack([p, 1 - p], axis=-1)[:, None]
    # 0 0 0 0 1 1 1 0 | 0 0 1 0: where neither is sure, the last one holds.
    segment = np.repeat([0, 1], [8, 4])
    counts = counted(probabilities, segment, np.full(2, 0.8))
    np.testing.assert_array_equal(counts, [[4, 2], [2, 2]])
    rates = counted_rates(counts, 2.0)
    np.testing.assert_allclose(mean_stays(rates), [2.0 * 6 / 2, 2.0 * 4 / 2])


def test_a_target_that_was_away_begins_anew():
    probabilities = np.eye(2)[[0, 0, 0, 1, 1]][:, None]
    probabilities[2] = np.nan
    np.testing.assert_array_equal(counted(probabilities, np.zeros(5, int), np.full(2, 0.8)), [[1, 0], [0, 1]])


def test_where_a_process_has_decayed_times_are_counted():
    """At a lag of many timescales the matrix has no logarithm worth the name: the reason is said."""
    labels = markov_chain([[0.9, 0.1], [0.2, 0.8]], 3000, np.random.default_rng(11), 2)
    for lag in (60.0, 61.0, 62.0, 63.0, 64.0):
        found = of_model(labels, 2, lag)
        if found["rates_from"] == "counted":
            break
    assert "no logarithm" in found["no_generator"]
    np.testing.assert_allclose(found["lifetimes_ps"].value, [10, 5], rtol=0.2)
    np.testing.assert_allclose(found["first_passage_ps"].value, [[0, 10], [5, 0]], rtol=0.2)


def test_a_matrix_that_has_no_rates_is_told_from_noise():
    """A cycle that states run through has a logarithm with negative rates far beyond any error."""
    step = np.array([[0.1, 0.45, 0.45], [0.45, 0.54, 0.01], [0.45, 0.01, 0.54]])
    joint = step / 3
    eigenvalues = np.linalg.eigvalsh(step)
    assert eigenvalues.min() < 0
    with pytest.raises(np.linalg.LinAlgError, match="has decayed within the lag"):
        generator_of(joint, 1.0)
    softer = np.array([[0.66, 0.33, 0.01], [0.33, 0.34, 0.33], [0.01, 0.33, 0.66]])
    rates = generator_of(softer / 3, 1.0)
    assert rates[0, 2] == 0.0
    assert np.abs(misfit(rates, softer, 1.0)).max() > 0.01


def test_analyse_gives_times_of_the_rates_and_says_which(tmp_path):
    """Through the files: the toy's kind of states, soft at their borders, at lags from 1 to 30 ps."""
    rng = np.random.default_rng(5)
    labels = markov_chain([[0.997, 0.003], [0.03, 0.97]], 30_000, rng, 2)
    soft = np.clip(np.eye(2)[labels] * 0.96 + 0.02 + 0.01 * rng.standard_normal((*labels.shape, 1)) * [1, -1], 0, 1)
    stays = []
    for lag in (1.0, 10.0, 30.0):
        paths = {}
        for split in ("train", "validation", "test"):
            paths[split] = tmp_path / f"{split}.h5"
            states = states_of(labels, 2, lag_ps=lag, split=split)
            replace(states, probabilities=soft.astype(np.float32)).write(paths[split])
        found = koopman_json(paths, tmp_path)
        assert (found["rates_from"] == "generator") is (found["no_generator"] is None)
        exact = np.array([1 / 0.003, 1 / 0.03])
        assert (np.array(found["lifetimes_ps"]["low"]) < exact).all()
        assert (exact < np.array(found["lifetimes_ps"]["high"])).all()
        stays.append(found["lifetimes_ps"]["value"])
    np.testing.assert_allclose(stays[1:], [stays[0]] * 2, rtol=0.1)


def soft_world(mix, rates, lag_ps, n_frames=20_000, frame_ps=0.05, seed=3):
    """States that are a linear mixture of hard ones."""
    labels = markov_chain(expm(frame_ps * np.asarray(rates)), n_frames, np.random.default_rng(seed), 10)
    states = states_of(labels, len(mix), lag_ps=lag_ps, frame_interval_ps=frame_ps)
    return replace(states, probabilities=np.array(mix, np.float32)[labels])


def times_of(states):
    blocks = Blocks.by_time(states, 5)
    covariances = Estimate.of(lambda p, s: Covariances.of(p, s, states.lag_frames), states, blocks)
    return of_reversible(covariances, states, blocks)


@pytest.mark.parametrize("lag_ps", [0.05, 0.5, 1.5])
def test_nearly_pure_states_have_the_times_of_visits(lag_ps):
    """A purity of 0.99 makes a generator's mean time in the larger state too short by a factor of two."""
    rates = np.array([[-0.02, 0.02], [1.0, -1.0]])
    found = times_of(soft_world([[0.99, 0.01], [0.01, 0.99]], rates, lag_ps))
    assert found["rates_from"] == "counted"
    assert "as the states are not pure" in found["no_generator"]
    assert found["lifetimes_ps"].low[0] < 50 < found["lifetimes_ps"].high[0]
    assert found["lifetimes_ps"].low[1] < 1 < found["lifetimes_ps"].high[1]


@pytest.mark.parametrize("lag_ps", [0.05, 0.5, 1.5])
def test_mixed_states_in_a_row_do_not_depend_on_the_lag(lag_ps):
    rates = np.array([[-0.05, 0.05, 0.0], [0.4, -0.8, 0.4], [0.0, 0.1, -0.1]])
    mix = [[0.92, 0.05, 0.03], [0.03, 0.94, 0.03], [0.01, 0.01, 0.98]]
    found = times_of(soft_world(mix, rates, lag_ps, n_frames=30_000))
    exact = -1 / np.diag(rates)
    assert (found["lifetimes_ps"].low < 1.1 * exact).all()
    assert (0.9 * exact < found["lifetimes_ps"].high).all()


def test_states_that_are_never_certain_are_not_counted():
    """Where one of them never is, the time in it would be that of the others."""
    rates = np.array([[-0.7, 0.35, 0.35], [0.35, -0.7, 0.35], [0.35, 0.35, -0.7]])
    found = times_of(soft_world([[0.95, 0.03, 0.02], [0.02, 0.95, 0.03], [0.3, 0.25, 0.45]], rates, 0.5))
    assert "seldom in state 3 for certain" in found["not_counted"]
    assert np.isnan(found["counted_lifetimes_ps"].value).all()
    modest = times_of(soft_world([[0.95, 0.03, 0.02], [0.02, 0.95, 0.03], [0.15, 0.1, 0.75]], rates, 0.5))
    assert modest["not_counted"] is None
    np.testing.assert_allclose(modest["lifetimes_ps"].value, 1 / 0.7, rtol=0.1)
