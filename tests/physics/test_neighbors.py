"""The neighbor search against brute force over many images, and against a peer library."""

import numpy as np
import pytest
import vesin

from gdyn.errors import InputError
from gdyn.graphs.neighbors import nearest_neighbors, receptive_field

CELLS = {
    "toy": 6.5 * np.eye(3),
    "orthorhombic": np.diag([3.0, 9.0, 17.0]),
    "tilted": np.array([[6.0, 0, 0], [2.9, 5.0, 0], [-2.9, 2.4, 4.0]]),
    "strongly tilted": np.array([[8.0, 0, 0], [7.9, 3.0, 0], [-7.0, 2.9, 5.0]]),
    "not along the axes": np.array([[1.0, 5.0, 2.0], [4.0, -1.0, 1.0], [-2.0, 1.0, 6.0]]),
}


def brute_force(positions, cell, m, images=12):
    """Distances to the m nearest among all images within ``images`` cells: slow and surely right."""
    n = np.arange(-images, images + 1)
    shifts = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3) @ cell
    distances = [
        np.sort(np.linalg.norm((positions[:, None] + shifts - x).reshape(-1, 3), axis=1))[1 : m + 1] for x in positions
    ]
    return np.array(distances)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("n_atoms", [1, 5, 20])
def test_against_brute_force(name, n_atoms):
    rng = np.random.default_rng(n_atoms)
    positions = rng.uniform(0, 1, (n_atoms, 3)) @ CELLS[name]
    neighbors, distances = nearest_neighbors(positions, CELLS[name], 12)
    np.testing.assert_allclose(distances, brute_force(positions, CELLS[name], 12), atol=1e-9)
    # Each named neighbor really has an image at that distance.
    n = np.arange(-12, 13)
    shifts = np.stack(np.meshgrid(n, n, n, indexing="ij"), -1).reshape(-1, 3) @ CELLS[name]
    for i, j, d in zip(np.repeat(range(n_atoms), 12), neighbors.ravel(), distances.ravel(), strict=True):
        assert np.abs(np.linalg.norm(positions[j] - positions[i] + shifts, axis=1) - d).min() < 1e-9


@pytest.mark.parametrize("name", CELLS)
def test_against_a_peer_library(name):
    rng = np.random.default_rng(3)
    cell = 3.0 * CELLS[name]
    positions = rng.uniform(0, 1, (400, 3)) @ cell
    neighbors, distances = nearest_neighbors(positions, cell, 20)
    first, second, peer = vesin.NeighborList(cutoff=distances.max() + 1e-6, full_list=True).compute(
        points=positions, box=cell, periodic=True, quantities="ijd"
    )
    order = np.lexsort((peer, first))
    starts = np.searchsorted(first[order], np.arange(400))
    rows = order[starts[:, None] + np.arange(20)]
    np.testing.assert_allclose(distances, peer[rows], atol=1e-6)
    np.testing.assert_array_equal(neighbors, second[rows])


def test_images_of_the_same_atom_are_neighbors_in_the_toy_cell():
    fcc = 6.5 * np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    neighbors, distances = nearest_neighbors(fcc, CELLS["toy"], 12)
    # Li on an octahedral site: 6 S at half the lattice constant, then 8 at sqrt(3)/2 of it, of which 6 fit.
    np.testing.assert_allclose(distances[0], [3.25] * 6 + [6.5 * np.sqrt(3) / 2] * 6)
    assert len(set(neighbors[0, :6])) < 6
    assert (neighbors[0] != 0).all()
    alone, reach = nearest_neighbors(fcc[:1], CELLS["toy"], 6)
    assert (alone == 0).all()
    np.testing.assert_allclose(reach, 6.5)


def test_wrapping_changes_nothing():
    rng = np.random.default_rng(5)
    cell = CELLS["strongly tilted"]
    positions = rng.uniform(0, 1, (20, 3)) @ cell
    neighbors, distances = nearest_neighbors(positions, cell, 12)
    moved = positions + rng.integers(-3, 4, (20, 3)) @ cell
    again, far = nearest_neighbors(moved, cell, 12)
    np.testing.assert_array_equal(neighbors, again)
    np.testing.assert_allclose(distances, far, atol=1e-9)


def test_atoms_on_the_faces_of_the_cell():
    positions = np.array([[0, 0, 0], [6.5, 3.25, -1e-18], [3.25, 6.5, 6.5 - 1e-15]])
    _, distances = nearest_neighbors(positions, CELLS["toy"], 8)
    np.testing.assert_allclose(distances, brute_force(positions, CELLS["toy"], 8, images=4), atol=1e-9)


@pytest.mark.parametrize(
    ("positions", "cell", "m", "says"),
    [
        ([[0, 0, 0]], np.eye(3), 0, "at least 1, not 0"),
        ([[0, 0, 0]], np.diag([1.0, 1.0, 0.0]), 3, "no volume"),
        ([[0, 0, 0], [0, np.nan, 0]], np.eye(3), 3, "the position of atom 1"),
    ],
)
def test_input_that_has_no_neighbors(positions, cell, m, says):
    with pytest.raises(InputError, match=says):
        nearest_neighbors(positions, cell, m)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("periodic", [(True, True, False), (False, True, False), (False, False, False)])
def test_directions_that_do_not_repeat(name, periodic):
    rng = np.random.default_rng(8)
    cell = CELLS[name]
    # Some atoms lie outside the box, as with shrink-wrapped boundaries between two updates.
    positions = rng.uniform(-0.3, 1.3, (30, 3)) @ cell
    _, distances = nearest_neighbors(positions, cell, 10, periodic)
    inverse = np.linalg.inv(cell)
    wrapped = positions - (np.floor(positions @ inverse) * periodic) @ cell
    n = np.arange(-12, 13)
    shifts = np.stack(np.meshgrid(*(n if p else [0] for p in periodic), indexing="ij"), -1).reshape(-1, 3) @ cell
    for i, x in enumerate(wrapped):
        expected = np.sort(np.linalg.norm((wrapped[:, None] + shifts - x).reshape(-1, 3), axis=1))[1:11]
        np.testing.assert_allclose(distances[i], expected, atol=1e-9)


def test_fewer_neighbors_than_asked_for():
    with pytest.raises(InputError, match=r"5 neighbors are asked for, but an atom can reach only 3 others"):
        nearest_neighbors(np.eye(4, 3), np.eye(3), 5, (False, False, False))


@pytest.mark.parametrize("name", CELLS)
def test_a_receptive_field_is_the_whole_graph_where_it_matters(name):
    rng = np.random.default_rng(9)
    cell = 2.0 * CELLS[name]
    positions = rng.uniform(0, 1, (150, 3)) @ cell
    neighbors, distances = nearest_neighbors(positions, cell, 6)
    targets = np.array([7, 3, 99])
    nodes, counts, found, away = receptive_field(positions, cell, 6, targets, 3)
    np.testing.assert_array_equal(nodes[:3], targets)
    assert counts[0] == 3
    assert len(set(nodes.tolist())) == len(nodes) == counts[-1]
    reached = set(targets.tolist())
    for hop in range(3):
        np.testing.assert_array_equal(nodes[found[: counts[hop]]], neighbors[nodes[: counts[hop]]])
        np.testing.assert_allclose(away[: counts[hop]], distances[nodes[: counts[hop]]])
        reached |= set(neighbors[sorted(reached)].ravel().tolist())
        assert set(nodes[: counts[hop + 1]].tolist()) == reached
    assert len(found) == counts[2]
