"""Molecules: LAMMPS's id 0 is no molecule, and an atom that has it is on its own."""

import numpy as np
import pytest
from helpers import dump_text, states_of

from gdyn.config.models import Structure, Targets
from gdyn.errors import InputError
from gdyn.store import TrajectoryStore
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms
from gdyn.structure.groups import surroundings_of_all
from gdyn.structure.surroundings import Shells
from gdyn.tools.cli import main
from gdyn.tools.inspect import dump_facts
from gdyn.trajectory.targets import target_sets
from gdyn.transport.displacement import read_paths

# Five Li ions in no molecule, and two molecules of O and Cl with a charge of -1 and of -4 altogether.
MOLECULE = np.array([0, 7, 0, 3, 0, 3, 0, 7, 0])
ELEMENT = np.array(["Li", "O", "Li", "O", "Li", "Cl", "Li", "Cl", "Li"])
CHARGE = np.array([1, -0.5, 1, -3.5, 1, -0.5, 1, -0.5, 1])
CELL = 20.0 * np.eye(3)

ONE_FRAME = states_of(np.zeros((1, 1), int), 1)


def atoms(molecule=MOLECULE):
    return Atoms(np.arange(1, 10), np.where(ELEMENT == "Li", 1, 2), ELEMENT, molecule, CHARGE)


def store(folder, positions, molecule=MOLECULE):
    with trajectory_store.write(folder / "a.h5", atoms(molecule), 1.0, "made up") as writer:
        n = len(positions)
        writer.append(positions, np.tile(CELL, (n, 1, 1)), range(n), np.arange(n), np.zeros(n))
        writer.finish(notes="", unwrapped="yes", periodic=(True,) * 3, checksum="sha256:0", largest_step=0.0)
    return folder / "a.h5"


def test_numbers_of_molecules():
    assert atoms().molecule_index.tolist() == [2, 1, 3, 0, 4, 0, 5, 1, 6]
    assert atoms(np.array([0, 1, -1, 1, 0, 2, 2, 2, 2])).molecule_index.tolist() == [2, 0, 3, 0, 4, 1, 1, 1, 1]
    assert atoms(None).molecule_index.tolist() == list(range(9))
    assert atoms().molecule_index.dtype == np.int64
    assert [atoms(ids).has_molecules for ids in (MOLECULE, None, np.zeros(9, int))] == [True, False, False]


def test_the_store_keeps_the_ids_of_lammps(tmp_path):
    with TrajectoryStore.open(store(tmp_path, np.zeros((2, 9, 3)))) as opened:
        assert opened.atoms.molecule.tolist() == MOLECULE.tolist()


def test_an_atom_in_no_molecule_is_a_target_of_its_own():
    def sets(selection, molecule=MOLECULE):
        settings = Targets(selection=selection, group_by="molecule")
        return target_sets(atoms(molecule), np.zeros((9, 3)), CELL, settings).tolist()

    assert sets("all") == [[3, 5], [1, 7], [0, -1], [2, -1], [4, -1], [6, -1], [8, -1]]
    with pytest.raises(InputError, match=r"targets\.group_by: molecules are asked for, but none of the atoms of 'elem"):
        sets("element Li")
    with pytest.raises(InputError, match=r"targets\.group_by: molecules are asked for, but none of the atoms of 'all'"):
        sets("all", np.zeros(9, int))


def test_ions_in_no_molecule_conduct_each_on_its_own(tmp_path):
    positions = np.cumsum(np.random.default_rng(0).normal(size=(6, 9, 3)), axis=0)
    states = states_of(np.zeros((6, 1), int), 1)
    ions = read_paths(states, [store(tmp_path, positions)], "all").ions
    assert {charge: paths.shape for charge, paths in ions.items()} == {
        -1.0: (6, 1, 3),
        -4.0: (6, 1, 3),
        1.0: (6, 5, 3),
    }
    apart = ions[1.0] - ions[1.0][:, :1]
    np.testing.assert_allclose(apart, positions[:, ::2] - positions[:, :1], atol=1e-5)
    ions = read_paths(states, [store(tmp_path, positions, np.zeros(9, int))], "all").ions
    assert ions[1.0].shape == (6, 5, 3)
    assert ions[-0.5].shape == (6, 3, 3)


def test_charges_around_an_ion_in_no_molecule_by_brute_force(tmp_path):
    positions = np.random.default_rng(1).uniform(0, 20, (1, 9, 3))
    path, edges = store(tmp_path, positions), np.linspace(0, 9, 10)
    with TrajectoryStore.open(path) as opened:
        positions = opened.positions(0).astype(float)
    everything = surroundings_of_all(ONE_FRAME, [path], np.array([0]), Structure(coordinating="all"), edges)
    assert everything.has_molecules
    around = everything.of[0]
    shells = Shells.empty(np.linspace(0, 9, 10), 1, 1, len(around.groups))
    one = np.ones((1, 1))
    shells.add(positions, CELL, (True,) * 3, np.array([0]), one, np.array([0]), around.groups, around.atoms)
    apart = positions - positions[0]
    distance = np.linalg.norm(apart - 20.0 * np.rint(apart / 20.0), axis=1)
    expected = np.zeros(9)
    expected[0] = 1.0  # its own, not that of five
    molecules = [[2], [4], [6], [8], [3, 5], [1, 7]]
    for rows in molecules:
        if distance[rows].min() < 9:
            expected[int(distance[rows].min())] += CHARGE[rows].sum()
    np.testing.assert_allclose(shells.molecule_charge_e[0, 0], expected)
    assert (expected[1:] > 0).any(), "another ion is within reach"


def test_ids_that_are_all_0_are_no_molecules(tmp_path):
    path, edges = store(tmp_path, np.zeros((2, 9, 3)), np.zeros(9, int)), np.linspace(0, 9, 10)
    around = surroundings_of_all(ONE_FRAME, [path], np.array([0]), Structure(coordinating="all"), edges)
    assert not around.has_molecules


def dump(folder, molecule):
    """A dump of one Li, six S and two more Li, with these molecule ids."""
    lines = []
    positions = np.random.default_rng(2).uniform(0, 6, (9, 3))
    for step in (0, 100):
        text = dump_text(positions, step=step, columns="id mol type element q xu yu zu").splitlines()
        for line, ids in zip(text[9:], molecule, strict=True):
            words = line.split()
            words[1] = str(ids)
            lines.append(" ".join(words))
        lines[-9:-9] = text[:9]
    (folder / "a.lammpstrj").write_text("\n".join(lines) + "\n")
    return folder / "a.lammpstrj"


def test_inspect_and_new_know_which_atoms_are_alone(tmp_path, capsys):
    facts = dump_facts(dump(tmp_path, [1, 0, 0, 2, 2, 2, 2, 2, 2]))
    assert facts.n_molecules == 2
    assert facts.alone == {1, 2}  # type 1 by a molecule of one atom, type 2 by the id 0
    facts = dump_facts(dump(tmp_path, [1, 1, 0, 2, 2, 2, 2, 2, 2]))
    assert facts.alone == {2}
    told = ["--units", "metal", "--timestep", "0.001", "--system-dir", str(tmp_path / "systems")]
    assert main(["new", "some", str(tmp_path / "a.lammpstrj"), *told]) == 0
    assert "targets.selection: element S, whose atoms are in no molecule" in capsys.readouterr().out
    facts = dump_facts(dump(tmp_path, [0] * 9))
    assert facts.n_molecules == 0
    assert facts.alone == set()
    assert main(["new", "none", str(tmp_path / "a.lammpstrj"), *told]) == 0
    assert "targets.selection: element Li, the element with the fewest atoms" in capsys.readouterr().out
    assert "group_by" not in (tmp_path / "systems/none.yaml").read_text()
