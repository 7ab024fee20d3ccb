"""Koopman matrices, timescales and tests on Markov chains whose kinetics is known."""

import numpy as np
import pytest
from deeptime.markov.msm import MaximumLikelihoodMSM
from helpers import markov_chain, states_of

from gdyn.config.models import Kinetics
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.kinetics.analysis import analyse
from gdyn.kinetics.chapman_kolmogorov import chapman_kolmogorov
from gdyn.kinetics.koopman import (
    check_states,
    koopman_matrix,
    left_eigenvectors,
    sorted_eigenvalues,
    stationary_distribution,
    timescales,
)
from gdyn.kinetics.uncertainty import interval, time_chunks, with_interval

THREE = np.array([[0.97, 0.02, 0.01], [0.04, 0.95, 0.01], [0.01, 0.02, 0.97]])


@pytest.fixture(scope="module")
def chain():
    return markov_chain(THREE, 20_000, np.random.default_rng(0), n_targets=8)


@pytest.mark.parametrize("lag", [1, 5, 20])
def test_koopman_matrix_is_that_of_the_chain(chain, lag):
    states = states_of(chain, 3, lag_ps=lag)
    found = with_interval(lambda p, s: koopman_matrix(p, s, lag), states, 10)
    np.testing.assert_allclose(found["value"].sum(1), 1.0, atol=1e-12)
    truth = np.linalg.matrix_power(THREE, lag)
    width = found["high"] - found["value"]
    assert (np.abs(found["value"] - truth) <= 2 * width).all()
    assert np.mean(np.abs(found["value"] - truth) <= width) >= 0.7


@pytest.mark.parametrize("lag", [1, 5, 20])
def test_timescales_do_not_depend_on_the_lag(chain, lag):
    states = states_of(chain, 3)
    truth = -1.0 / np.log(np.sort(np.abs(np.linalg.eigvals(THREE)))[::-1][1:])
    found = with_interval(lambda p, s: timescales(koopman_matrix(p, s, lag), lag), states, 10, logarithmic=True)
    assert (found["low"] < truth).all()
    assert (truth < found["high"]).all()


def test_hard_states_give_the_markov_state_model_of_deeptime(chain):
    msm = MaximumLikelihoodMSM(reversible=False, lagtime=3).fit_fetch([c for c in chain.T])
    matrix = koopman_matrix(np.eye(3)[chain], np.zeros(len(chain)), 3)
    np.testing.assert_allclose(matrix, msm.transition_matrix, atol=1e-10)
    np.testing.assert_allclose(timescales(matrix, 3.0), msm.timescales(), rtol=1e-8)
    np.testing.assert_allclose(stationary_distribution(matrix), msm.stationary_distribution, atol=1e-10)


def test_soft_states_have_the_timescales_of_the_hard_ones(chain):
    """States that are a linear map of the hard ones carry the same processes."""
    mix = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.0, 0.2, 0.8]])
    segment = np.zeros(len(chain))
    hard, soft = (koopman_matrix(np.eye(3)[chain] @ m, segment, 5) for m in (np.eye(3), mix))
    np.testing.assert_allclose(timescales(soft, 5.0), timescales(hard, 5.0), rtol=1e-6)
    np.testing.assert_allclose(soft.sum(1), 1.0)


def test_left_eigenvectors_decay_with_their_timescale():
    vectors = left_eigenvectors(THREE)
    values = np.real(sorted_eigenvalues(THREE))[1:]
    np.testing.assert_allclose(vectors @ THREE, values[:, None] * vectors, atol=1e-12)
    np.testing.assert_allclose(vectors.sum(1), 0.0, atol=1e-12)
    assert (vectors[:, 0] > 0).all()
    np.testing.assert_allclose(left_eigenvectors(THREE, like=-vectors), -vectors)


def test_pairs_do_not_cross_segments():
    labels = np.array([0] * 50 + [1] * 50)[:, None]
    segment = np.repeat([0, 1], 50)
    np.testing.assert_allclose(koopman_matrix(np.eye(2)[labels], segment, 5), np.eye(2))
    crossing = koopman_matrix(np.eye(2)[labels], np.zeros(100), 5)
    assert crossing[0, 1] == pytest.approx(0.1)


def test_timescales_that_do_not_exist_are_infinite():
    assert np.isinf(timescales(np.eye(2), 1.0)).all()


def test_states_that_depend_on_each_other():
    states = states_of(np.zeros((100, 1), int), 2)
    with pytest.raises(np.linalg.LinAlgError):
        koopman_matrix(states.probabilities, states.segment, 1)
    with pytest.raises(InputError, match="the 2 states are not independent of each other on the test frames"):
        check_states(states)


def test_chunks_divide_the_frames():
    chunks = time_chunks(103, 5)
    assert [c.start for c in chunks[1:]] == [c.stop for c in chunks[:-1]]
    assert (chunks[0].start, chunks[-1].stop) == (0, 103)
    assert {c.stop - c.start for c in chunks} <= {20, 21}


@pytest.mark.parametrize("k", [3, 5, 10])
def test_intervals_cover_95_percent(k):
    rng = np.random.default_rng(k)
    samples = rng.normal(2.0, 0.3, (k, 20_000))
    low, high = interval(samples.mean(0), samples)
    assert np.mean((low < 2.0) & (high > 2.0)) == pytest.approx(0.95, abs=0.007)
    samples = np.exp(rng.normal(1.0, 0.5, (k, 20_000)))
    low, high = interval(np.exp(np.log(samples).mean(0)), samples, logarithmic=True)
    assert np.mean((low < np.e) & (high > np.e)) == pytest.approx(0.95, abs=0.007)


def test_an_interval_with_an_undetermined_chunk_is_none():
    low, high = interval(2.0, [1.0, np.inf, 2.0], logarithmic=True)
    assert np.isnan(low)
    assert np.isnan(high)


def test_intervals_of_a_chain_cover_its_kinetics():
    """From end to end: populations and timescales of many chains lie in their intervals about 95 % of the time."""
    rng = np.random.default_rng(11)
    transition = np.array([[0.9, 0.1], [0.2, 0.8]])
    truth = -1 / np.log(0.7)
    chains = markov_chain(transition, 4000, rng, 400)
    inside = []
    for labels in chains.T:
        states = states_of(labels[:, None], 2)
        population = with_interval(lambda p, s: p.mean((0, 1)), states, 5)
        slow = with_interval(lambda p, s: timescales(koopman_matrix(p, s, 1), 1.0), states, 5, logarithmic=True)
        inside.append([population["low"][0] < 2 / 3 < population["high"][0], slow["low"][0] < truth < slow["high"][0]])
    assert np.mean(inside, axis=0) == pytest.approx([0.95, 0.95], abs=0.03)


def test_chapman_kolmogorov_passes_on_markov_chains():
    rng = np.random.default_rng(5)
    passed = []
    for _ in range(40):
        states = states_of(markov_chain(THREE, 4000, rng, 8), 3, lag_ps=5)
        found = chapman_kolmogorov(states, 8, 5)
        passed.append(found["passed"])
        np.testing.assert_allclose(found["predicted"]["value"][0], np.eye(3), atol=1e-12)
        np.testing.assert_allclose(found["observed"]["value"][0], np.eye(3), atol=1e-10)
        np.testing.assert_allclose(found["predicted"]["value"][1], found["observed"]["value"][1], atol=1e-12)
    assert np.mean(passed) >= 0.9


def test_chapman_kolmogorov_fails_where_states_hide_a_memory():
    """Three states of which two are seen as one: the lumped dynamics is not Markovian at a short lag."""
    hidden = np.array([[0.98, 0.02, 0.0], [0.02, 0.88, 0.10], [0.0, 0.02, 0.98]])
    rng = np.random.default_rng(6)
    for _ in range(5):
        labels = markov_chain(hidden, 20_000, rng, 8) == 2
        assert not chapman_kolmogorov(states_of(labels.astype(int), 2, lag_ps=2), 10, 5)["passed"]


def test_chapman_kolmogorov_looks_only_as_far_as_chunks_allow():
    states = states_of(markov_chain(THREE, 500, np.random.default_rng(1), 20), 3, lag_ps=10)
    assert len(chapman_kolmogorov(states, 10, 5)["lag_ps"]) == 6
    with pytest.raises(InputError, match="needs 120 frames in each of 5 chunks"):
        chapman_kolmogorov(states_of(np.arange(500)[:, None] % 3, 3, lag_ps=30), 10, 5)


def test_the_report_warns_of_what_is_not_to_be_trusted(tmp_path):
    rng = np.random.default_rng(2)
    paths = {}
    for split, n in (("train", 400), ("validation", 400), ("test", 400)):
        states_of(markov_chain([[0.995, 0.005], [0.005, 0.995]], n, rng, 3), 2, lag_ps=2, split=split).write(
            tmp_path / f"{split}.h5"
        )
        paths[split] = tmp_path / f"{split}.h5"
    analyse(**paths, koopman=tmp_path / "k.json", implied_timescales=tmp_path / "t.csv", kinetics=Kinetics())
    warnings = " ".join(read_json(tmp_path / "k.json")["warnings"])
    assert "the chunks behind the intervals are 80 ps long" in warnings or "is not resolved" in warnings
