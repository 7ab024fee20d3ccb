"""Observed transitions against chains whose jumps are known."""

import numpy as np
import pytest
from helpers import markov_chain, states_of

from gdyn.kinetics.events import transitions
from gdyn.kinetics.koopman import koopman_matrix

TWO = np.array([[0.98, 0.02], [0.05, 0.95]])


def count(states):
    return transitions(states, koopman_matrix(states.probabilities, states.segment, states.lag_frames))


def test_every_jump_of_hard_states_is_counted():
    labels = markov_chain(TWO, 4000, np.random.default_rng(1), 3)
    jump = np.diff(labels, axis=0)
    found = count(states_of(labels, 2))
    assert len(found) == 1
    ways = (found[0]["forward"], found[0]["backward"])
    seen = ((jump == 1).sum(), (jump == -1).sum())
    assert ways == (seen if found[0]["from"] == [1] else seen[::-1])
    assert found[0]["targets"] == 3


def test_no_jump_is_counted_across_a_gap():
    labels = np.repeat([0, 1, 0], 50)[:, None]
    states = states_of(labels, 2)
    states.segment = np.repeat([0, 1, 2], 50)
    matrix = np.array([[0.9, 0.1], [0.1, 0.9]])
    assert [transitions(states, matrix)[0][way] for way in ("forward", "backward", "targets")] == [0, 0, 0]


def test_rattling_within_a_lag_time_is_not_a_transition():
    labels = np.repeat([0, 1], 500)[:, None]
    labels[100:500:50] = 1  # one frame, ten of which are a lag time
    states = states_of(labels, 2, lag_ps=10.0)
    found = transitions(states, np.array([[0.9, 0.1], [0.1, 0.9]]))[0]
    assert sorted([found["forward"], found["backward"]]) == [0, 1]


def test_each_process_is_counted_between_its_own_ends():
    """Two pairs of states that mix fast, and hardly ever exchange targets."""
    matrix = np.array([[0.7, 0.29, 0.01, 0], [0.29, 0.71, 0, 0], [0.01, 0, 0.59, 0.4], [0, 0, 0.4, 0.6]])
    labels = markov_chain(matrix, 20000, np.random.default_rng(2))
    slowest = count(states_of(labels, 4))[0]
    pair = labels // 2
    assert slowest["forward"] + slowest["backward"] == pytest.approx(np.abs(np.diff(pair, axis=0)).sum(), rel=0.05)
    assert sorted([slowest["from"], slowest["to"]]) == [[1, 2], [3, 4]]


def test_the_number_is_what_the_rates_predict():
    labels = markov_chain(TWO, 20000, np.random.default_rng(3), 4)
    expected = 4 * 20000 * 5 / 7 * 0.02
    assert count(states_of(labels, 2))[0]["forward"] == pytest.approx(expected, rel=4 / np.sqrt(expected))
