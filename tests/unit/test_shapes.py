"""The annotations of arrays are checked while tests run: see ``tests/shapes.py``."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from shapes import CHECKED, PACKAGES

from gdyn.statistics import Covariances, match_states, purity
from gdyn.statistics.lag import lagged_frames

CHI = np.full((10, 3, 2), 0.5)  # frames, targets, states


def test_every_package_of_numerical_functions_is_checked():
    assert {name.split(".")[1] for name in CHECKED} == set(PACKAGES)


def test_an_array_of_too_few_axes_is_refused():
    with pytest.raises(TypeCheckError, match="frames targets states"):
        purity(CHI[0])


def test_whole_numbers_are_no_probabilities():
    with pytest.raises(TypeCheckError, match="i64"):
        purity(np.ones((10, 3, 2), int))


def test_axes_of_one_name_are_of_one_length():
    with pytest.raises(TypeCheckError, match="segment"):
        Covariances.of(CHI, np.zeros(9, int), 1)
    with pytest.raises(TypeCheckError, match="other"):
        match_states(CHI[0], CHI[1, :2])


def test_fields_of_a_class_of_data_are_checked_together():
    c = Covariances.of(CHI, np.zeros(10, int), 1)
    with pytest.raises(TypeCheckError, match="mean1"):
        Covariances(c.centred, c.mean0, np.zeros(3), c.samples)


def test_a_number_of_numpy_is_a_number():
    assert lagged_frames(np.zeros(3, int), np.int64(2)).tolist() == [0]
    with pytest.raises(TypeCheckError, match="lag_frames"):
        lagged_frames(np.zeros(3, int), 2.0)
