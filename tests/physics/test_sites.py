"""Known sites: the FCC network against counting by hand and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import markov_chain, states_of
from scipy.linalg import expm

from gdyn.config import load_config, load_system
from gdyn.config.models import Kinetics, Sites
from gdyn.errors import InputError
from gdyn.kinetics.koopman import koopman_matrix, timescales
from gdyn.kinetics.sites import SiteNetwork
from gdyn.kinetics.timescales import slow
from gdyn.kinetics.whole_cell import whole_cell
from gdyn.statistics.uncertainty import Blocks

CELL = 6.5 * np.eye(3)


@pytest.fixture
def network(root):
    system = load_system("toy", load_config({"systems": "toy", "system_dir": str(root / "config/systems")}))
    return SiteNetwork.of(system.sites, CELL)


def test_fcc_sites_and_bonds_by_counting(network):
    assert network.types == ["octahedral", "tetrahedral"]
    assert np.bincount(network.type_of).tolist() == [4, 8]
    # Every octahedral site touches every tetrahedral one once: the 8 around it, the 4 around each of those.
    expected = (network.type_of[:, None] != network.type_of).astype(int)
    np.testing.assert_array_equal(network.bonds, expected)


def test_bonds_count_periodic_images():
    sites = {
        "types": {
            "a": {"fractional": [[0, 0, 0]], "core_radius_A": 1},
            "b": {"fractional": [[0.5, 0.5, 0.5]], "core_radius_A": 1},
        }
    }
    cubic = Sites(**sites, bonds=[{"between": ["a", "b"], "within_A": 6.0}])
    # In a body-centred cell each corner has 8 centres around it, all images of one site.
    np.testing.assert_array_equal(SiteNetwork.of(cubic, CELL).bonds, [[0, 8], [8, 0]])
    own = Sites(**sites, bonds=[{"between": ["a", "a"], "within_A": 7.0}])
    np.testing.assert_array_equal(SiteNetwork.of(own, CELL).bonds, [[6, 0], [0, 0]])


def test_sites_that_are_not_equivalent():
    types = {
        "a": {"fractional": [[0, 0, 0], [0.5, 0, 0]], "core_radius_A": 1},
        "b": {"fractional": [[0.1, 0, 0]], "core_radius_A": 1},
    }
    sites = Sites(types=types, bonds=[{"between": ["a", "b"], "within_A": 1.0}])
    with pytest.raises(InputError, match="the a sites have different numbers of bonds"):
        SiteNetwork.of(sites, CELL)


def test_rebuilt_network_against_closed_forms(network):
    a, b, lag = 0.0172, 0.1855, 10.0
    local = np.array([[1 - a, a], [b, 1 - b]])
    matrix, generator = (timescales(form, lag) for form in network.rebuild(local, lag))
    t_local = -lag / np.log(1 - a - b)
    # Eigenvalues of the 12 x 12 matrix: 1, 1 - a - b, three times 1 - a, seven times 1 - b.
    expected = np.sort([t_local, *[-lag / np.log(1 - a)] * 3, *[-lag / np.log(1 - b)] * 7])[::-1]
    np.testing.assert_allclose(matrix, expected, rtol=1e-9)
    # The generator's slowest time is that of the local process divided by the population of its leaving state.
    np.testing.assert_allclose(generator[:3], t_local / (a / (a + b)), rtol=1e-9)
    assert generator[10] == pytest.approx(t_local, rel=1e-9) or np.isclose(generator, t_local, rtol=1e-9).any()


def test_rebuilt_network_against_a_simulated_hopper(network):
    """A walker that hops on the twelve sites with the local rates shows the rebuilt timescales."""
    rng = np.random.default_rng(4)
    # Rates per frame: leave an octahedral site with 0.04, a tetrahedral one with 0.20, to any of its neighbors alike.
    leave = np.where(network.type_of == 0, 0.04, 0.20)
    rates = leave[:, None] * network.bonds / network.bonds.sum(1, keepdims=True) - np.diag(leave)
    sites = markov_chain(expm(rates), 6000, rng, 60)
    segment = np.zeros(len(sites), int)
    lag = 2
    local = koopman_matrix(np.eye(2)[network.type_of[sites]], segment, lag)
    observed = timescales(koopman_matrix(np.eye(12)[sites], segment, lag), lag)
    matrix, generator = (timescales(form, lag) for form in network.rebuild(local, lag))
    np.testing.assert_allclose(observed[:3], generator[:3], rtol=0.05)
    # One hop in a lag time is too few: the matrix form is slower, by about as much as docs/theory.md says.
    assert 1.05 < matrix[0] / generator[0] < 1.5


def test_a_chain_of_three_types_against_a_simulated_hopper():
    """Where a and c sites are not bonded, one hop a lag cannot explain their exchange, and a generator can."""
    at = {"a": 0.0, "b": 0.25, "c": 0.5}
    types = {name: {"fractional": [[x, 0, 0], [x + 0.5 if name == "b" else x, 0.5, 0]], "core_radius_A": 1}
             for name, x in at.items()}  # fmt: skip
    bonds = [{"between": pair, "within_A": reach} for pair, reach in ((["a", "b"], 3.8), (["b", "c"], 3.8))]
    network = SiteNetwork.of(Sites(types=types, bonds=bonds), CELL)
    assert not network.cannot_be_rebuilt
    leave = np.array([0.05, 0.3, 0.1])[network.type_of]
    toward = np.where(network.type_of == 0, 0.7, 1.0)  # sites of type a attract less
    rates = network.bonds * toward
    rates = leave[:, None] * rates / rates.sum(1, keepdims=True) - np.diag(leave)
    sites = markov_chain(expm(rates), 6000, np.random.default_rng(1), 60)
    local = koopman_matrix(np.eye(3)[network.type_of[sites]], np.zeros(6000, int), 2)
    matrix, generator = network.rebuild(local, 2)
    assert np.isnan(matrix).all()
    np.testing.assert_allclose(generator.sum(1), 1.0)
    np.testing.assert_allclose(generator, koopman_matrix(np.eye(6)[sites], np.zeros(6000, int), 2), atol=0.01)


def test_what_cannot_be_rebuilt(network):
    with_own = replace(network, bonds=network.bonds + np.where(network.type_of[:, None] + network.type_of == 2, 1, 0))
    without = replace(network, bonds=0 * network.bonds)
    for impossible, why in ((with_own, "tetrahedral sites are bonded to each other"), (without, "no sites are bonded")):
        matrix, generator = impossible.rebuild(np.array([[0.9, 0.1], [0.2, 0.8]]), 1.0)
        assert np.isnan(matrix).all()
        assert np.isnan(generator).all()
        assert why in impossible.cannot_be_rebuilt
    assert not network.cannot_be_rebuilt


def test_cores_remember_the_site_left_last(network):
    octahedral, tetrahedral = np.array([3.25, 3.25, 3.25]), np.array([1.625, 1.625, 1.625])
    way = np.linspace(0, 1, 8)[:, None]
    there = octahedral + way * (tetrahedral - octahedral)
    # Half-way to the tetrahedral site and back is no hop; arriving in its core is one.
    positions = np.concatenate([there[:5], there[4::-1], there])[:, None]
    assigned = network.assign(positions, np.repeat(CELL[None], len(positions), 0))[:, 0]
    types = network.type_of[assigned]
    assert (types[:10] == 0).all()
    assert types[-1] == 1
    assert np.abs(np.diff(types)).sum() == 1
    first = int(np.argmax(types == 1))
    assert np.linalg.norm(positions[first, 0] - tetrahedral) < 0.5


def test_cores_are_periodic_and_wait_for_the_first_arrival(network):
    start = np.array([2.3, 2.3, 2.3])  # in no core
    octahedral = np.array([3.25, 3.25, 3.25])
    positions = np.stack([start, octahedral + np.array([6.5, -13.0, 0.0]), octahedral])[:, None]
    assigned = network.assign(positions, np.repeat(CELL[None], 3, 0))[:, 0]
    assert len(set(assigned.tolist())) == 1
    assert network.type_of[assigned[0]] == 0


def test_a_target_far_from_every_core(network):
    with pytest.raises(InputError, match="never comes into the core of any site"):
        network.assign(np.array([[[2.3, 2.3, 2.3]]]), CELL[None])


def test_a_site_that_is_never_visited_leaves_no_timescale_of_all_sites():
    labels = markov_chain(np.array([[0.9, 0.1], [0.1, 0.9]]), 500, np.random.default_rng(1))
    states = states_of(labels, 3)
    found = slow(states, 1, Blocks.by_time(states, 5)).interval(logarithmic=True)
    assert np.isnan(found.value).all()
    assert len(found.value) == 2


@pytest.mark.parametrize("everywhere", [True, False])
def test_what_some_blocks_lack_is_not_said_to_disagree(everywhere):
    """Two sites, of which one is visited in every block of the time, or in the first half alone."""
    labels = markov_chain(np.array([[0.9, 0.1], [0.1, 0.9]]), 4000, np.random.default_rng(1))
    labels[2000 if not everywhere else 4000 :] = 0
    fractional, no_bonds = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]]), np.zeros((2, 2), int)
    states, sites = states_of(labels, 2), SiteNetwork(["site"], fractional, np.zeros(2, int), np.ones(2), no_bonds)
    answer, _ = whole_cell(sites, states, None, states, [states], Kinetics(chapman_kolmogorov_steps=2))
    flags = " ".join(answer.flags)
    assert answer.vampnets[0].agrees is True
    assert "has no interval" not in flags
    assert "does not agree" not in flags
