"""The bond order parameter against the addition theorem, perfect crystals, and states that are known to be wrong."""

import numpy as np
import pytest
from scipy.special import eval_legendre

from gdyn.config.models import Kinetics, OrderParameter, Structure
from gdyn.errors import InputError
from gdyn.store import States, trajectory
from gdyn.structure.order import between_two, bond_order, order_by_state

PERIODIC = (True, True, True)
FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
DIAMOND = np.concatenate([FCC, FCC + 0.25])


def crystal(basis, n, edge_A):
    """n x n x n cells: positions and cell."""
    cells = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    return ((cells + basis) * edge_A).reshape(-1, 3), n * edge_A * np.eye(3)


@pytest.mark.parametrize(("basis", "degree", "neighbors"), [(DIAMOND, 3, 4), (FCC, 6, 12), (DIAMOND, 6, 4)])
def test_one_in_a_perfect_crystal(basis, degree, neighbors):
    positions, cell = crystal(basis, 3, 5.4)
    rng = np.random.default_rng(1)
    positions = positions + rng.integers(-2, 3, positions.shape) @ cell  # any image
    order = bond_order(positions, cell, PERIODIC, np.arange(len(positions)), degree, neighbors)
    np.testing.assert_allclose(order, 1.0, atol=1e-3)


def test_one_in_a_crystal_turned_and_described_by_a_tilted_cell():
    positions, cell = crystal(DIAMOND, 3, 5.4)
    cell[1] += cell[0]
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    order = bond_order(positions @ turn, cell @ turn, PERIODIC, np.arange(len(positions)), 3, 4)
    np.testing.assert_allclose(order, 1.0, atol=1e-3)


@pytest.mark.parametrize("degree", [3, 6])
def test_by_the_addition_theorem(degree):
    """``q(i) . q(j)*`` is the mean Legendre polynomial of the angles between their bonds."""
    rng = np.random.default_rng(3)
    cell = np.array([[12.0, 0, 0], [3.0, 11.0, 0], [-2.0, 1.5, 13.0]])
    positions, n = rng.random((60, 3)) @ cell, 5
    shifts = np.stack(np.meshgrid(*[(-1, 0, 1)] * 3, indexing="ij"), -1).reshape(-1, 3) @ cell
    bonds = (positions[None, :, None] - positions[:, None, None] + shifts).reshape(60, -1, 3)
    length = np.linalg.norm(bonds, axis=-1)
    near = np.argsort(np.where(length < 1e-9, np.inf, length), axis=1)[:, :n]
    units = np.take_along_axis(bonds / np.maximum(length, 1e-9)[..., None], near[..., None], axis=1)
    neighbor = near // len(shifts)

    def dot(i, j):
        return eval_legendre(degree, units[i] @ units[j].T).mean()

    expected = [
        np.mean([dot(i, j) / np.sqrt(dot(i, i) * dot(j, j)) for j in neighbor[i]]) * (-1) ** degree for i in range(60)
    ]
    found = bond_order(positions, cell, PERIODIC, np.arange(60), degree, n)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_too_few_atoms_are_told():
    with pytest.raises(InputError, match=r"structure\.order_parameter"):
        bond_order(np.zeros((1, 3)), 10 * np.eye(3), PERIODIC, np.arange(1), 3, 4)


def test_the_threshold_is_between_two_peaks():
    centre = np.linspace(-0.99, 0.99, 100)
    two = 3 * np.exp(-(((centre - 0.1) / 0.15) ** 2)) + np.exp(-(((centre - 0.9) / 0.05) ** 2))
    threshold, separate = between_two(two, centre)
    assert 0.4 < threshold < 0.75
    assert separate
    assert not between_two(np.exp(-((centre / 0.3) ** 2)), centre)[1]


def test_states_that_are_wrong_are_counted_where_they_are(tmp_path):
    """A crystal below, a gas above; of the crystal's atoms in each frame one quarter is given to the gas's state."""
    rng = np.random.default_rng(5)
    solid, cell = crystal(DIAMOND, 3, 5.4)
    cell[2, 2] = 50.0
    atoms = trajectory.Atoms(np.arange(1, 301), np.ones(300, int), np.full(300, "Si"))
    inner = np.flatnonzero((solid[:, 2] > 2) & (solid[:, 2] < 13))
    wrong = inner[: len(inner) // 4]
    chi = np.zeros((12, 300, 2))
    path = tmp_path / "0.h5"
    with trajectory.write(path, atoms, 1.0, "made up") as out:
        for step in range(12):
            gas = rng.random((300 - len(solid), 3)) * [16.2, 16.2, 29.0] + [0, 0, 19.0]
            frame = np.concatenate([solid + rng.normal(0, 0.05, solid.shape), gas])
            out.append(frame[None], cell[None], [step], [float(step)], [0])
        out.finish(periodic=PERIODIC, checksum="", notes="", unwrapped="yes", largest_step=0.0)
    chi[:, : len(solid), 0] = chi[:, len(solid) :, 1] = 1.0
    chi[:, wrong] = [0.0, 1.0]
    targets = np.concatenate([inner, np.arange(len(solid), 300)])
    states = States(
        chi[:, targets], np.arange(12.0), np.zeros(12, int), np.zeros(12, int), targets[:, None] + 1, "test", 1.0, 1.0
    )
    structure = Structure(order_parameter=OrderParameter(degree=3, neighbors=4), profile_bin_A=5.0)
    found = order_by_state(states, [path], structure, Kinetics(intervals="targets"))
    assert found.ordered == [True, False]
    assert found.disagreement.value == pytest.approx(len(wrong) / len(targets), abs=0.03)
    assert found.disagreement_by_state.value[0] < 0.02
    assert found.flags == []
    profile = found.profile
    assert profile["disagreement"][profile["place_A"] > 25].max() < 0.1
    assert profile["disagreement"][profile["place_A"] < 12].max() > 0.15
