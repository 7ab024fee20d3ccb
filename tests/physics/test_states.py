"""From mixed states to pure ones, and from models to the same model."""

import numpy as np
import pytest
from deeptime.markov import pcca
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
    rotation = simplex_rotation(mixed, np.zeros(len(labels), int), 5)
    np.testing.assert_allclose(rotation.sum(1), 1.0, atol=1e-6)
    memberships = mixed @ rotation
    order, overlap = match_states(hard.reshape(-1, n), memberships.reshape(-1, n).clip(0, 1))
    np.testing.assert_allclose(memberships[..., order], hard, atol=0.03)
    assert (overlap > 0.98).all()


def test_rotation_of_pure_states_is_a_permutation():
    labels = markov_chain(CHAINS[3], 5000, np.random.default_rng(1))
    rotation = simplex_rotation(np.eye(3)[labels], np.zeros(len(labels), int), 5)
    np.testing.assert_allclose(np.sort(rotation, axis=1), [[0, 0, 1]] * 3, atol=1e-6)


def test_memberships_are_those_of_deeptime_pcca():
    """Six fine states in three groups that each decays as a whole: counts with exactly these probabilities."""
    slow = np.array([[0.9, 0.06, 0.04], [0.06, 0.9, 0.04], [0.04, 0.04, 0.92]])
    within = np.array([0.5, 0.5, 0.25, 0.75, 0.4, 0.6])
    group = np.repeat([0, 1, 2], 2)
    fine = slow[np.ix_(group, group)] * within  # lumpable, and reversible with populations within / 3
    counts = np.rint(within[:, None] / 3 * fine * 3e5).astype(int)
    first, second = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices((6, 6)))
    features = np.eye(6)[np.column_stack([first, second]).ravel()][:, None]
    segment = np.repeat(np.arange(len(first)), 2)
    ours = np.eye(6) @ simplex_rotation(features, segment, 1, n_states=3)
    theirs = pcca(counts / counts.sum(1, keepdims=True), 3).memberships
    order = (theirs.T @ ours).argmax(1)
    np.testing.assert_allclose(ours[:, order], theirs, atol=1e-6)
    np.testing.assert_allclose(ours[:, order], np.eye(3)[group][:, theirs[::2].argmax(0)], atol=1e-6)


def test_rotation_of_the_outputs_of_several_models():
    """Each is a mixture of the same states, one of them noisy: together they span the same simplex."""
    rng = np.random.default_rng(5)
    labels = markov_chain(CHAINS[3], 5000, rng, 2)
    hard = np.eye(3)[labels]
    noisy = np.abs(hard @ CHAINS[3] + 0.05 * rng.standard_normal(hard.shape))
    together = np.concatenate([hard @ MIXES[3], noisy / noisy.sum(-1, keepdims=True)], axis=-1) / 2
    memberships = together @ simplex_rotation(together, np.zeros(len(labels), int), 5, n_states=3)
    _, overlap = match_states(hard.reshape(-1, 3), memberships.reshape(-1, 3).clip(0, 1))
    assert (overlap > 0.95).all()


def test_states_that_span_no_simplex_have_no_rotation():
    labels = markov_chain(CHAINS[2], 1000, np.random.default_rng(1))
    two_alike = np.eye(2)[labels] @ np.array([[0.6, 0.2, 0.2], [0.2, 0.4, 0.4]])
    assert simplex_rotation(two_alike, np.zeros(1000, int), 5) is None
    assert simplex_rotation(np.full((1000, 1, 2), 0.5), np.zeros(1000, int), 5) is None


def test_an_empty_state_is_no_corner():
    """What is left of it is the rounding of float32, and one odd frame."""
    rest = np.random.default_rng(3).normal(2.2e-6, 1e-8, (1000, 1))
    rest[500] = 3.2e-6
    collapsed = np.stack([1.0 - rest, rest], -1).astype(np.float32)
    assert simplex_rotation(collapsed, np.zeros(1000, int), 5) is None


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


def test_corners_are_found_where_states_hardly_vary():
    """Features that span 1e-6 carry the same memberships as they do at full size."""
    from helpers import markov_chain

    from gdyn.statistics import simplex_rotation

    labels = markov_chain([[0.95, 0.05], [0.1, 0.9]], 4000, np.random.default_rng(9), 2)
    hard = np.eye(2)[labels]
    little = np.array([0.5620751, 0.4379249]) + 1e-6 * np.array([1.0, -1.0]) * (hard[..., :1] - 0.5)
    rotation = simplex_rotation(little, np.zeros(4000, int), 2)
    memberships = np.clip(little @ rotation, 0, 1)
    same = memberships.argmax(-1) == labels
    assert max(same.mean(), 1 - same.mean()) > 0.999
    assert memberships.max(-1).mean() > 0.99
