"""From mixed states to pure ones, and from models to the same model."""

import numpy as np
import pytest
from helpers import markov_chain

from gdyn.statistics import match_states, simplex_rotation

CHAINS = {
    2: np.array([[0.98, 0.02], [0.06, 0.94]]),
    3: np.array([[0.98, 0.01, 0.01], [0.02, 0.97, 0.01], [0.03, 0.02, 0.95]]),
    4: 0.96 * np.eye(4) + 0.01,
}
MIXES = {
    2: np.array([[0.60, 0.40], [0.52, 0.48]]),
    3: np.array([[0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.35, 0.3, 0.35]]),
    4: 0.3 * np.eye(4) + 0.175,
}


@pytest.mark.parametrize("n", [2, 3, 4])
def test_rotation_unmixes_states(n):
    """Hard states, mixed by a linear map and blurred by noise, are found again."""
    rng = np.random.default_rng(n)
    labels = markov_chain(CHAINS[n], 5000, rng, 3)
    hard = np.eye(n)[labels]
    mixed = hard @ MIXES[n] + 1e-4 * rng.standard_normal((*labels.shape, n))
    mixed /= mixed.sum(-1, keepdims=True)
    rotation = simplex_rotation(mixed, np.zeros(len(labels)), 5)
    np.testing.assert_allclose(rotation.sum(1), 1.0, atol=1e-6)
    memberships = mixed @ rotation
    order, overlap = match_states(hard.reshape(-1, n), memberships.reshape(-1, n).clip(0, 1))
    np.testing.assert_allclose(memberships[..., order], hard, atol=0.03)
    assert (overlap > 0.98).all()


def test_rotation_of_pure_states_is_a_permutation():
    labels = markov_chain(CHAINS[3], 5000, np.random.default_rng(1))
    rotation = simplex_rotation(np.eye(3)[labels], np.zeros(len(labels)), 5)
    np.testing.assert_allclose(np.sort(rotation, axis=1), [[0, 0, 1]] * 3, atol=1e-6)


def test_states_that_span_no_simplex_have_no_rotation():
    labels = markov_chain(CHAINS[2], 1000, np.random.default_rng(1))
    two_alike = np.eye(2)[labels] @ np.array([[0.6, 0.2, 0.2], [0.2, 0.4, 0.4]])
    assert simplex_rotation(two_alike, np.zeros(1000), 5) is None
    assert simplex_rotation(np.full((1000, 1, 2), 0.5), np.zeros(1000), 5) is None


def test_matching_finds_the_permutation():
    labels = np.random.default_rng(3).integers(0, 4, 1000)
    reference = np.eye(4)[labels]
    order, overlap = match_states(reference, reference[:, [2, 0, 3, 1]])
    np.testing.assert_array_equal(reference[:, [2, 0, 3, 1]][:, order], reference)
    np.testing.assert_allclose(overlap, 1.0)


def test_overlap_is_not_flattered_by_a_state_that_holds_everything():
    labels = (np.random.default_rng(3).random(1000) < 0.08).astype(int)
    _, overlap = match_states(np.eye(2)[labels], np.eye(2)[np.zeros(1000, int)])
    assert overlap.max() > 0.9
    assert overlap.min() == 0.0
