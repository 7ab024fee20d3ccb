"""Surroundings inside and outside of what a model was trained on."""

import numpy as np
import pytest

from gdyn.config import Splits
from gdyn.graphs.dataset import GraphDataset
from gdyn.training.seen import outside, ranges


@pytest.fixture
def data(two_state_shards):
    return GraphDataset.load(two_state_shards[1], Splits(), "train")


def test_nothing_is_outside_of_its_own_ranges(data):
    assert outside(data, ranges(data)) == 0.0


def test_one_that_is_farther_away_than_any_is_outside(data):
    seen = ranges(data)
    narrow = {**seen, "distance_A": [[[low, low] for low, _ in kind] for kind in seen["distance_A"]]}
    assert outside(data, narrow) > 0.9
    far = {**seen, "distance_A": np.array(seen["distance_A"]) * [1.0, 0.98]}
    assert 0.0 < outside(data, far) < 0.2


def test_numbers_of_neighbors_count_too(data):
    seen = ranges(data)
    other = {**seen, "neighbors": [[[99, 99] for _ in kind] for kind in seen["neighbors"]]}
    assert outside(data, other) == 1.0


def test_ranges_by_hand(data):
    graph = data.batch(np.arange(len(data)), 1)
    targets = graph.counts[0]
    distance_A = np.sort(graph.distance_mA[:targets].numpy(), 1) / 1000
    species = graph.species[:targets].numpy()
    seen = ranges(data)
    for kind in np.unique(species):
        expected = np.stack([distance_A[species == kind].min(0), distance_A[species == kind].max(0)], -1)
        np.testing.assert_allclose(seen["distance_A"][kind], expected)
