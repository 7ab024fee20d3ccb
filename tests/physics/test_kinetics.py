"""Koopman matrices, timescales and tests on Markov chains whose kinetics is known."""

from dataclasses import replace

import numpy as np
import pytest
from deeptime.markov.msm import MaximumLikelihoodMSM
from helpers import koopman_json, markov_chain, states_of

from gdyn.config.models import Kinetics
from gdyn.errors import InputError
from gdyn.kinetics.chapman_kolmogorov import chapman_kolmogorov
from gdyn.kinetics.koopman import (
    koopman_matrix,
    koopman_of,
    left_eigenvectors,
    nearest_reversible,
    reversible_of,
    sorted_eigenvalues,
    stationary_distribution,
    timescales,
    transition_matrix,
)
from gdyn.kinetics.populations import populations_of
from gdyn.statistics import Covariances
from gdyn.statistics.interval import Interval
from gdyn.statistics.uncertainty import Blocks, Estimate, time_chunks


def koopman_estimate(states, blocks, lag):
    return Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks).map(koopman_of)


THREE = np.array([[0.97, 0.02, 0.01], [0.04, 0.95, 0.01], [0.01, 0.02, 0.97]])


@pytest.fixture(scope="module")
def chain():
    return markov_chain(THREE, 20_000, np.random.default_rng(0), n_targets=8)


@pytest.mark.parametrize("lag", [1, 5, 20])
def test_koopman_matrix_is_that_of_the_chain(chain, lag):
    states = states_of(chain, 3, lag_ps=lag)
    found = koopman_estimate(states, Blocks.by_time(states, 10), lag).interval()
    np.testing.assert_allclose(found.value.sum(1), 1.0, atol=1e-12)
    truth = np.linalg.matrix_power(THREE, lag)
    width = found.high - found.value
    assert (np.abs(found.value - truth) <= 2 * width).all()
    assert np.mean(np.abs(found.value - truth) <= width) >= 0.7


@pytest.mark.parametrize("lag", [1, 5, 20])
def test_timescales_do_not_depend_on_the_lag(chain, lag):
    states = states_of(chain, 3)
    truth = -1.0 / np.log(np.sort(np.abs(np.linalg.eigvals(THREE)))[::-1][1:])
    of_matrices = koopman_estimate(states, Blocks.by_time(states, 10), lag)
    found = of_matrices.map(lambda matrix: timescales(matrix, lag)).interval(logarithmic=True)
    assert (found.low < truth).all()
    assert (truth < found.high).all()


def test_hard_states_give_the_markov_state_model_of_deeptime(chain):
    msm = MaximumLikelihoodMSM(reversible=False, lagtime=3).fit_fetch([c for c in chain.T])
    matrix = koopman_matrix(np.eye(3)[chain], np.zeros(len(chain), int), 3)
    np.testing.assert_allclose(matrix, msm.transition_matrix, atol=1e-10)
    np.testing.assert_allclose(timescales(matrix, 3.0), msm.timescales(), rtol=1e-8)
    np.testing.assert_allclose(stationary_distribution(matrix), msm.stationary_distribution, atol=1e-10)


def test_chapman_kolmogorov_is_that_of_deeptime_for_hard_states(chain):
    both_ways = np.concatenate([chain[:2000], chain[1999::-1]], axis=1)  # counts in detailed balance, as deeptime asks

    def model(lag):
        return MaximumLikelihoodMSM(lagtime=lag, maxerr=1e-14).fit_fetch([c for c in both_ways.T])

    theirs = model(3).ck_test([model(3 * n) for n in range(1, 5)], n_metastable_sets=3)
    states = states_of(both_ways, 3, lag_ps=3)
    ours = chapman_kolmogorov(states, 4, Blocks.by_time(states, 5))
    # Their sets are in an order of their own.
    order = model(3).pcca(3).memberships.argmax(0)
    for found, expected in ((ours.predicted, theirs.predictions), (ours.observed, theirs.estimates)):
        np.testing.assert_allclose(found.value[:, order][:, :, order], expected, atol=1e-9)


def test_chapman_kolmogorov_passes_on_chains_of_many_states():
    """Where there are many comparisons, some of them would fail by chance."""
    rng = np.random.default_rng(5)
    transition = 0.94 * np.eye(6) + 0.01
    outcomes = [
        chapman_kolmogorov(states, 8).outcome
        for states in (states_of(markov_chain(transition, 4000, rng, 4), 6, lag_ps=5) for _ in range(40))
    ]
    assert outcomes.count("fails") <= 4


def test_soft_states_have_the_timescales_of_the_hard_ones(chain):
    """States that are a linear map of the hard ones carry the same processes."""
    mix = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.2], [0.0, 0.2, 0.8]])
    segment = np.zeros(len(chain), int)
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
    crossing = koopman_matrix(np.eye(2)[labels], np.zeros(100, int), 5)
    assert crossing[0, 1] == pytest.approx(0.1)


def test_timescales_that_do_not_exist_are_infinite():
    assert np.isinf(timescales(np.eye(2), 1.0)).all()


def test_states_that_depend_on_each_other():
    states = states_of(np.zeros((100, 1), int), 2)
    with pytest.raises(np.linalg.LinAlgError):
        koopman_matrix(states.probabilities, states.segment, 1)


def test_chunks_divide_the_frames():
    chunks = time_chunks(103, 5)
    assert [c.start for c in chunks[1:]] == [c.stop for c in chunks[:-1]]
    assert (chunks[0].start, chunks[-1].stop) == (0, 103)
    assert {c.stop - c.start for c in chunks} <= {20, 21}


@pytest.mark.parametrize("k", [3, 5, 10])
def test_intervals_cover_95_percent(k):
    rng = np.random.default_rng(k)
    samples = rng.normal(2.0, 0.3, (k, 20_000))
    found = Interval.of(samples.mean(0), samples)
    low, high = found.low, found.high
    assert np.mean((low < 2.0) & (high > 2.0)) == pytest.approx(0.95, abs=0.007)
    samples = np.exp(rng.normal(1.0, 0.5, (k, 20_000)))
    found = Interval.of(np.exp(np.log(samples).mean(0)), samples, logarithmic=True)
    low, high = found.low, found.high
    assert np.mean((low < np.e) & (high > np.e)) == pytest.approx(0.95, abs=0.007)


def test_an_interval_with_an_undetermined_chunk_is_none():
    found = Interval.of(2.0, [1.0, np.inf, 2.0], logarithmic=True)
    low, high = found.low, found.high
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
        blocks = Blocks.by_time(states, 5)
        population = populations_of(states, blocks).interval()
        slow = (
            koopman_estimate(states, blocks, 1).map(lambda matrix: timescales(matrix, 1.0)).interval(logarithmic=True)
        )
        inside.append([population.low[0] < 2 / 3 < population.high[0], slow.low[0] < truth < slow.high[0]])
    assert np.mean(inside, axis=0) == pytest.approx([0.95, 0.95], abs=0.03)


def test_chapman_kolmogorov_passes_on_markov_chains():
    rng = np.random.default_rng(5)
    passed = []
    for _ in range(40):
        states = states_of(markov_chain(THREE, 4000, rng, 8), 3, lag_ps=5)
        found = chapman_kolmogorov(states, 8)
        passed.append(found.outcome != "fails")
        np.testing.assert_allclose(found.predicted.value[0], np.eye(3), atol=1e-12)
        np.testing.assert_allclose(found.observed.value[0], np.eye(3), atol=1e-10)
        np.testing.assert_allclose(found.predicted.value[1], found.observed.value[1], atol=1e-12)
    assert np.mean(passed) >= 0.9


def test_chapman_kolmogorov_fails_where_states_hide_a_memory():
    """Three states of which two are seen as one: the lumped dynamics is not Markovian at a short lag."""
    hidden = np.array([[0.98, 0.02, 0.0], [0.02, 0.88, 0.10], [0.0, 0.02, 0.98]])
    rng = np.random.default_rng(6)
    for _ in range(5):
        labels = markov_chain(hidden, 20_000, rng, 8) == 2
        states = states_of(labels.astype(int), 2, lag_ps=2)
        assert chapman_kolmogorov(states, 10).outcome == "fails"


def test_chapman_kolmogorov_looks_only_as_far_as_chunks_allow():
    labels = markov_chain(THREE, 600, np.random.default_rng(1), 20)
    few = states_of(labels[:, :4], 3, lag_ps=10)
    assert len(chapman_kolmogorov(few, 10).lag_ps) == 4  # twice 30 frames in each of ten stretches
    assert len(chapman_kolmogorov(states_of(labels, 3, lag_ps=10), 10).lag_ps) == 11  # in groups of targets
    states = states_of(np.arange(500)[:, None] % 3, 3, lag_ps=30)
    with pytest.raises(InputError, match="needs 120 frames in each of 8 blocks"):
        chapman_kolmogorov(states, 10)


def test_the_report_warns_of_what_is_not_to_be_trusted(tmp_path):
    rng = np.random.default_rng(2)
    paths = {}
    for split, n in (("train", 400), ("validation", 400), ("test", 400)):
        states_of(markov_chain([[0.995, 0.005], [0.005, 0.995]], n, rng, 3), 2, lag_ps=2, split=split).write(
            tmp_path / f"{split}.h5"
        )
        paths[split] = tmp_path / f"{split}.h5"
    flags = koopman_json(paths, tmp_path)["flags"]
    warnings = " ".join(sentence for sentences in flags.values() for sentence in sentences)
    assert "the stretches of time behind the intervals are 80 ps long" in warnings or "is not resolved" in warnings


def test_blocks_are_what_the_data_allow():
    rng = np.random.default_rng(3)
    labels = markov_chain([[0.9, 0.1], [0.2, 0.8]], 600, rng, 20)
    states = states_of(labels, 2)
    assert Blocks.of(states, Kinetics(), 10.0).method == "time"
    # Too short for the slowest process, but the targets are many.
    by_targets = Blocks.of(states, Kinetics(), 1000.0)
    assert by_targets.method == "targets"
    assert sorted(np.concatenate([targets for _, targets in by_targets.parts])) == list(range(20))
    assert by_targets.length_ps == 600
    assert Blocks.of(states_of(labels[:, :6], 2), Kinetics(), 1000.0).method == "time"
    many = replace(states, trajectory=np.repeat(range(6), 100), segment=np.repeat(range(6), 100))
    found = Blocks.of(many, Kinetics(), 1000.0)
    assert (found.method, len(found), found.frames) == ("trajectories", 6, 100)
    assert [part.start for part, _ in found.parts] == [0, 100, 200, 300, 400, 500]
    with pytest.raises(InputError, match="trajectories needs at least 3 of them in the test split, and there are 1"):
        Blocks.of(states, Kinetics(intervals="trajectories"))
    with pytest.raises(InputError, match="2 targets cannot be divided into 5 groups"):
        Blocks.of(states_of(labels[:, :2], 2), Kinetics(intervals="targets"))


@pytest.mark.parametrize("method", ["time", "targets", "trajectories"])
def test_intervals_cover_whatever_the_blocks_are(method):
    """Populations, timescales and Chapman-Kolmogorov points lie in their intervals 95 % of the time."""
    rng = np.random.default_rng(12)
    transition = np.array([[0.9, 0.1], [0.2, 0.8]])
    n_targets, n_frames, repeats = 10, 600, 300
    inside = []
    chains = markov_chain(transition, n_frames, rng, n_targets * repeats)
    truth = np.linalg.matrix_power(transition, 4)[0, 0]
    for chain in np.split(chains, repeats, axis=1):
        states = states_of(chain, 2)
        if method == "trajectories":
            parts = np.repeat(range(6), 100)
            states = replace(states, trajectory=parts, segment=parts)
        blocks = Blocks.of(states, Kinetics(intervals=method))
        population = populations_of(states, blocks).interval()
        slow = (
            koopman_estimate(states, blocks, 1).map(lambda matrix: timescales(matrix, 1.0)).interval(logarithmic=True)
        )
        later = koopman_estimate(states, blocks, 4).map(lambda matrix: matrix[0]).interval()
        inside.append(
            [
                population.low[0] < 2 / 3 < population.high[0],
                slow.low[0] < -1 / np.log(0.7) < slow.high[0],
                later.low[0] < truth < later.high[0],
            ]
        )
    coverage = np.mean(inside, axis=0)
    assert (coverage >= 0.92).all()
    assert (coverage <= 0.98).all()


@pytest.mark.parametrize("lag", [1, 4])
def test_reversible_matrix_is_that_of_deeptime_for_hard_states(chain, lag):
    hard = np.eye(3)[chain[:2000]]
    msm = MaximumLikelihoodMSM(reversible=True, lagtime=lag, maxerr=1e-14).fit_fetch([c for c in chain[:2000].T])
    matrix = transition_matrix(reversible_of(Covariances.of(hard, np.zeros(2000, int), lag)))
    np.testing.assert_allclose(matrix, msm.transition_matrix, atol=1e-9)
    flux = stationary_distribution(matrix)[:, None] * matrix
    np.testing.assert_allclose(flux, flux.T, atol=1e-12)


def test_reversible_matrix_of_soft_states_has_no_negative_entries():
    """Where the raw matrix has them, because no target goes from one end of a row of states to the other."""
    transition = np.array([[0.95, 0.05, 0.0], [0.05, 0.9, 0.05], [0.0, 0.05, 0.95]])
    mix = np.array([[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.0, 0.1, 0.9]])
    labels = markov_chain(transition, 3000, np.random.default_rng(2), 4)
    soft = np.eye(3)[labels] @ mix
    c = Covariances.of(soft, np.zeros(3000, int), 1)
    raw, matrix = koopman_of(c), transition_matrix(reversible_of(c))
    assert raw.min() < 0 <= matrix.min()
    np.testing.assert_allclose(matrix.sum(1), 1.0)
    np.testing.assert_allclose(matrix, raw, atol=0.03)
    assert (np.abs(np.linalg.eigvals(matrix)) <= 1 + 1e-12).all()


def test_a_reversible_matrix_is_its_own_nearest():
    flux = np.array([[0.30, 0.02, 0.01], [0.02, 0.40, 0.00], [0.01, 0.00, 0.24]])
    np.testing.assert_allclose(nearest_reversible(flux), flux / flux.sum(), atol=1e-12)
    np.testing.assert_allclose(transition_matrix(flux), flux / flux.sum(1, keepdims=True), atol=1e-12)
    apart = np.diag([1.0, 2.0])
    np.testing.assert_allclose(transition_matrix(nearest_reversible(apart)), np.eye(2))


def test_the_pcca_form_does_not_depend_on_how_states_are_mixed(tmp_path):
    """Two networks that found the same processes report the same populations, whatever came out of their softmax."""
    labels = markov_chain(THREE, 4000, np.random.default_rng(8), 6)
    mixes = ([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.3, 0.6]], [[0.5, 0.4, 0.1], [0.4, 0.6, 0.0], [0.1, 0.4, 0.5]])
    found = []
    for number, mix in enumerate(mixes):
        paths = {}
        for split in ("train", "validation", "test"):
            states = states_of(labels, 3, lag_ps=2, split=split)
            paths[split] = tmp_path / f"{number}-{split}.h5"
            replace(states, probabilities=(states.probabilities @ mix).astype(np.float32)).write(paths[split])
        found.append(koopman_json(paths, tmp_path))
    raw, pcca = ([np.sort(one["populations"]["value"]) for one in of] for of in (found, [x["pcca"] for x in found]))
    assert np.abs(raw[0] - raw[1]).max() > 0.05
    np.testing.assert_allclose(pcca[0], pcca[1], atol=1e-4)
    np.testing.assert_allclose(pcca[0], np.sort(np.bincount(labels.ravel()) / labels.size), atol=1e-4)
    for one in found:
        order = np.argsort(one["pcca"]["populations"]["value"])
        hard = koopman_matrix(np.eye(3)[labels], np.zeros(4000, int), 2)
        expected = hard[np.ix_(*2 * [np.argsort(np.bincount(labels.ravel()))])]
        np.testing.assert_allclose(np.array(one["pcca"]["koopman"]["value"])[np.ix_(order, order)], expected, atol=1e-3)
