"""Structure by state against brute force, MDAnalysis and freud."""

import freud
import MDAnalysis
import numpy as np
import pytest
from MDAnalysis.analysis.rdf import InterRDF

from gdyn.structure.surroundings import Shells

TILTED = np.array([[9.0, 0, 0], [4.0, 8.0, 0], [-3.0, 2.5, 7.0]])
CUBE = 14.0 * np.eye(3)
PERIODIC = (True, True, True)


def atoms_of(n, rng, molecules=None):
    return rng.normal(size=n), np.arange(n) // 3 if molecules is None else molecules, np.ones(n, bool)


def count(positions, cell, centres, probabilities, groups, reach, bins, atoms=None, periodic=PERIODIC):
    """The Shells of one block of frames."""
    shells = Shells.empty(np.linspace(0, reach, bins + 1), 1, probabilities.shape[-1], len(groups))
    atoms = atoms or (np.zeros(len(positions[0])), np.full(len(positions[0]), -1), np.ones(len(positions[0]), bool))
    for frame, chi in zip(positions, probabilities, strict=True):
        shells.add(frame, cell, periodic, centres, chi, np.zeros(len(centres), int), groups, atoms)
    return shells.part(slice(None))


def brute_force(positions, cell, periodic=PERIODIC, images=3):
    """Distances (atoms, atoms, images) with all images in reach; an atom's own images are not neighbors."""
    steps = [np.arange(-images, images + 1) if p else [0] for p in periodic]
    shifts = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3) @ cell
    distance = np.linalg.norm(positions[None, :, None] - positions[:, None, None] + shifts, axis=-1)
    distance[np.arange(len(positions)), np.arange(len(positions))] = np.inf
    return distance


@pytest.mark.parametrize("periodic", [PERIODIC, (True, False, True)])
def test_counts_charges_and_molecules_by_brute_force(periodic):
    """In a small tilted cell, where one atom is a neighbor several times, and positions are of any image."""
    rng = np.random.default_rng(3)
    inside = rng.random((12, 3)) @ TILTED
    positions = inside + (rng.integers(-2, 3, (12, 3)) * np.array(periodic)) @ TILTED
    charge, molecule, coordinating = atoms_of(12, rng)
    coordinating = rng.random(12) < 0.6
    groups = np.array([np.arange(12) < 5, np.arange(12) >= 3])
    centres, chi = np.array([0, 4, 7]), rng.dirichlet(np.ones(2), 3)
    found = count([positions], TILTED, centres, chi[None], groups, 8.0, 16, (charge, molecule, coordinating), periodic)
    distance = brute_force(positions, TILTED, periodic, 6)[centres]
    edges = np.linspace(0, 8, 17)
    for g, group in enumerate(groups):
        expected = [np.histogram(d[group], edges)[0] for d in distance]
        np.testing.assert_allclose(found.counts[:, g], chi.T @ expected, atol=1e-12)
    within = np.array([[(charge[:, None] * (d < r)).sum() for r in edges[1:]] for d in distance])
    np.testing.assert_allclose(found.charge(False), chi.T @ (charge[centres, None] + within) / chi.sum(0)[:, None])
    whole = np.bincount(molecule, charge)
    nearest = np.array(
        [[np.min(d[(molecule == m) & coordinating], initial=np.inf) for m in range(4)] for d in distance]
    )
    nearest[np.arange(3), molecule[centres]] = 0.0
    within = np.array([[whole[row < r].sum() for r in edges[1:]] for row in nearest])
    np.testing.assert_allclose(found.charge(True), chi.T @ within / chi.sum(0)[:, None])


def test_one_state_gives_the_rdf_of_mdanalysis_and_freud():
    rng = np.random.default_rng(5)
    positions = rng.random((20, 60, 3)) @ CUBE
    universe = MDAnalysis.Universe.empty(60, trajectory=True)
    universe.add_TopologyAttr("types", ["A"] * 20 + ["B"] * 40)
    universe.load_new(positions.astype(np.float32), dimensions=np.array([14.0, 14, 14, 90, 90, 90]))
    theirs = InterRDF(
        universe.select_atoms("type A"), universe.select_atoms("type B"), nbins=30, range=(0.0, 6.0)
    ).run()  # fmt: skip
    groups = np.array([np.arange(60) >= 20, np.arange(60) < 20])
    ours = count(positions, CUBE, np.arange(20), np.ones((20, 20, 1)), groups, 6.0, 30).rdf()[0]
    np.testing.assert_allclose(ours[0], theirs.results.rdf, atol=2e-3)
    box = freud.box.Box.cube(14.0)
    rdf = freud.density.RDF(bins=30, r_max=6.0, normalization_mode="finite_size")
    for frame in positions:
        rdf.compute((box, box.wrap(frame[:20])), reset=False)
    # freud counts A around A; the density leaves out the reference atom.
    np.testing.assert_allclose(ours[1], rdf.rdf, atol=2e-3)


def test_an_ideal_gas_has_a_flat_distribution_at_changing_volume():
    """Each frame counts with the density of its own cell."""
    rng = np.random.default_rng(7)
    shells = Shells.empty(np.linspace(0, 6, 4), 1, 2, 1)
    for edge in (14.0, 28.0) * 60:
        positions, chi = rng.random((400, 3)) * edge, rng.dirichlet(np.ones(2), 50)
        nothing = (np.zeros(400), np.full(400, -1), np.ones(400, bool))
        block = np.zeros(50, int)
        shells.add(positions, edge * np.eye(3), PERIODIC, np.arange(50), chi, block, np.ones((1, 400), bool), nothing)
    np.testing.assert_allclose(shells.part(slice(None)).rdf()[:, 0, 1:], 1.0, atol=0.02)


def test_states_have_the_surroundings_they_were_given():
    """Two atoms of A in state 1, four in state 2: coordination numbers as made."""
    rng = np.random.default_rng(9)
    n = np.array([2, 4] * 10)
    shells = Shells.empty(np.linspace(0, 3, 31), 1, 2, 1)
    for number in n:
        around = rng.normal(size=(6, 3))
        around *= np.where(np.arange(6) < number, 2.0, 5.0)[:, None] / np.linalg.norm(around, axis=1, keepdims=True)
        positions = np.concatenate([[[0.0, 0, 0]], around])
        nothing = (np.zeros(7), np.full(7, -1), np.ones(7, bool))
        chi = np.eye(2)[[0 if number == 2 else 1]]
        groups = np.array([[False] + [True] * 6])
        shells.add(positions, CUBE, PERIODIC, np.array([0]), chi, np.array([0]), groups, nothing)
    assert shells.part(slice(None)).coordination()[:, 0, -1].tolist() == [2.0, 4.0]


def test_a_molecule_is_not_among_its_own_surroundings():
    """Two targets of three atoms among six others: counts, densities and charges by brute force."""
    rng = np.random.default_rng(11)
    positions = rng.random((12, 3)) @ TILTED
    charge = rng.normal(size=12)
    sets = np.array([0, 0, 0, 1, 1, 1, -1, -1, -1, -1, -1, -1])
    groups = np.array([np.arange(12) % 2 == 0, np.ones(12, bool)])
    centres, chi = np.array([0, 1, 4]), rng.dirichlet(np.ones(2), 3)
    shells = Shells.empty(np.linspace(0, 6, 13), 1, 2, 2)
    atoms = (charge, np.full(12, -1), np.ones(12, bool))
    shells.add(positions, TILTED, PERIODIC, centres, chi, np.zeros(3, int), groups, atoms, sets)
    found = shells.part(slice(None))
    distance = brute_force(positions, TILTED)
    for i, centre in enumerate(centres):
        distance[centre, sets == sets[centre]] = np.inf
        others = sets != sets[centre]
        expected = chi[i][:, None] * [(groups[:, others].sum(1)) / abs(np.linalg.det(TILTED))]
        found.density -= expected
    np.testing.assert_allclose(found.density, 0.0, atol=1e-12)
    for g, group in enumerate(groups):
        expected = [np.histogram(distance[c][group], shells.edges_A)[0] for c in centres]
        np.testing.assert_allclose(found.counts[:, g], chi.T @ expected, atol=1e-12)
    own = np.array([charge[sets == sets[c]].sum() for c in centres])
    within = np.array([(charge[:, None] * (distance[c] < 6)).sum() for c in centres])
    np.testing.assert_allclose(found.charge(False)[:, -1], chi.T @ (own + within) / chi.sum(0))
