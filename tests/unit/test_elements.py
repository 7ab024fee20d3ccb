"""The chemical elements, and the masses that a trajectory has: of the run, of the elements, of declared species."""

import logging

import h5py
import numpy as np
import pytest
from helpers import dump_text, states_of
from MDAnalysis.guesser import tables

from gdyn.config.elements import ELEMENTS
from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.store import TrajectoryStore
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms
from gdyn.trajectory.elements import element_of_mass, masses_of
from gdyn.trajectory.ingest import ingest
from gdyn.transport.displacement import read_paths

POSITIONS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])
DATA = """made up

3 atoms
3 atom types
0.0 6.5 xlo xhi
0.0 6.5 ylo yhi
0.0 6.5 zlo zhi

Masses

1 {lithium}
2 {sulfur}
3 1.0

Atoms # charge

1 1 1.0 1.0 2.0 3.0
2 2 -0.5 4.0 5.0 6.0
3 2 -0.5 0.5 0.25 0.125
"""


def read(folder, masses=None, names=None, columns="id type element xu yu zu", data=None, **changes):
    """Ingest two frames of three atoms, Li and two S, with a mass column where there are ``masses``."""
    text = ""
    for step in (0, 100):
        lines = dump_text(POSITIONS, step=step, columns=columns).splitlines()
        for atom, words in enumerate(map(str.split, lines[9:])):
            if names:
                words[2] = names[atom]
            lines[9 + atom] = " ".join([*words, str(masses[atom])] if masses else words)
        text += "\n".join([*lines[:8], lines[8] + " mass" * bool(masses), *lines[9:], ""])
    (folder / "a.lammpstrj").write_text(text)
    if data:
        (folder / "a.data").write_text(data)
        changes["topology"] = str(folder / "a.data")
    settings = {"units": "metal", "timestep": 0.001, "frame_interval_ps": 0.1} | changes
    ingest([folder / "a.lammpstrj"], folder / "a.h5", Trajectory(**settings))
    with TrajectoryStore.open(folder / "a.h5") as store:
        return store.atoms


def test_all_elements_in_their_usual_spelling_against_mdanalysis():
    assert list(ELEMENTS) == sorted(tables.SYMB2Z, key=tables.SYMB2Z.get)
    known = {name.capitalize(): mass for name, mass in tables.masses.items()}
    natural = [name for name, mass in ELEMENTS.items() if mass != int(mass)]
    assert len(natural) == 84  # 118 without Tc, Pm, and Po onwards but for Th, Pa and U
    assert {name: ELEMENTS[name] for name in natural} == pytest.approx(
        {name: known[name] for name in natural}, rel=4e-4
    )
    for name in list(ELEMENTS)[:103]:
        assert ELEMENTS[name] == pytest.approx(known[name], rel=0.02)


@pytest.mark.parametrize("name", ["He", "Ne", "Na", "Mg", "Cl", "Ca", "Fe", "Cu", "Zn", "Br", "Rb", "Cs"])
def test_elements_that_mdanalysis_writes_in_capitals(name):
    assert element_of_mass(ELEMENTS[name]) == name


def test_no_element_without_an_atomic_weight_is_guessed():
    assert element_of_mass(209.0) == "Bi"  # and not polonium
    assert [element_of_mass(mass) for mass in (98.0, 145.0, 247.0)] == [None, None, None]


def store(folder, elements, positions, mass_u=None):
    atoms = Atoms(id=np.arange(1, len(elements) + 1), type=np.ones(len(elements)), element=np.array(elements))
    atoms.mass_u = mass_u
    with trajectory_store.write(folder / "a.h5", atoms, 1.0, "made up") as writer:
        n = len(positions)
        writer.append(positions, np.tile(30.0 * np.eye(3), (n, 1, 1)), range(n), np.arange(n), np.zeros(n))
        writer.finish(notes="", unwrapped="yes", periodic=(True,) * 3, checksum="sha256:0", largest_step=0.0)
    return folder / "a.h5"


def centre(folder, elements, mass_u=None):
    """Path of the centre of mass of the first two atoms, beside a third one at rest."""
    positions = np.zeros((4, 3, 3))
    positions[:, 0, 0] = np.arange(4)
    states = states_of(np.zeros((4, 1), int), 1)
    states.target_ids = np.array([[1, 2]])
    paths = read_paths(states, [store(folder, elements, positions, mass_u)], "id 3")
    return paths.targets[:, 0, 0], paths.flags


@pytest.mark.parametrize("light", ["He", "Ne", "Mg", "Cl", "Ca", "Fe", "Cu", "Zn", "Br", "Rb", "Cs"])
def test_a_centre_of_mass_has_the_masses_of_the_elements(tmp_path, light):
    moved, flags = centre(tmp_path, [light, "I", "S"])
    np.testing.assert_allclose(moved, np.arange(4) * ELEMENTS[light] / (ELEMENTS[light] + ELEMENTS["I"]), rtol=1e-9)
    assert not flags


def test_a_centre_of_mass_has_the_masses_of_the_store(tmp_path):
    moved, flags = centre(tmp_path, ["W1", "W2", "S"], np.array([72.0, 24.0, 32.0]))
    np.testing.assert_allclose(moved, 0.75 * np.arange(4))
    assert not flags


def test_an_old_store_with_an_unknown_species_is_flagged(tmp_path):
    moved, flags = centre(tmp_path, ["bead", "I", "S"])
    np.testing.assert_allclose(moved, 0.5 * np.arange(4))
    assert len(flags) == 1
    assert "all masses are taken as equal" in flags[0]
    assert "bead is not a chemical element" in flags[0]


def test_masses_of_a_store_with_and_without_them(tmp_path):
    with TrajectoryStore.open(store(tmp_path, ["Cl", "Na"], np.zeros((2, 2, 3)))) as opened:
        assert opened.atoms.mass_u is None
        assert masses_of(opened.atoms).tolist() == [35.45, 22.99]
    with TrajectoryStore.open(store(tmp_path, ["Cl", "W"], np.zeros((2, 2, 3)), [36.0, 72.0])) as opened:
        assert masses_of(opened.atoms).tolist() == [36.0, 72.0]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["atoms/mass_u"].dtype == np.float64
    with (
        TrajectoryStore.open(store(tmp_path, ["Cl", "W1"], np.zeros((2, 2, 3)))) as opened,
        pytest.raises(InputError, match="W1 is not a chemical element, and this trajectory store has no masses"),
    ):
        masses_of(opened.atoms)


def test_masses_come_from_the_dump_then_the_data_file_then_the_elements(tmp_path):
    data = DATA.format(lithium=6.015, sulfur=34.0)
    assert read(tmp_path, [7.016, 33.0, 36.0], data=data).mass_u.tolist() == [7.016, 33.0, 36.0]
    assert read(tmp_path, data=data).mass_u.tolist() == [6.015, 34.0, 34.0]
    assert read(tmp_path).mass_u.tolist() == [6.94, 32.06, 32.06]


def test_types_that_no_atom_has_may_have_any_mass(tmp_path, caplog):
    atoms = read(tmp_path, data=DATA.format(lithium=6.94, sulfur=32.06), columns="id type xu yu zu")
    assert atoms.element.tolist() == ["Li", "S", "S"]
    assert not caplog.text


@pytest.mark.parametrize(
    ("units", "per_u"), [("nano", 1.66053907e-6), ("micro", 1.66053907e-12), ("si", 1.66053907e-27), ("electron", 1.0)]
)
def test_masses_are_converted_at_the_door(tmp_path, units, per_u):
    from gdyn.units import UNIT_STYLES

    about = {"units": units, "timestep": 0.001 / UNIT_STYLES[units].time_ps, "frame_interval_ps": 0.1}
    masses = [6.94 * per_u, 32.06 * per_u, 32.06 * per_u]
    atoms = read(tmp_path, masses, columns="id type xu yu zu", **about)
    assert atoms.element.tolist() == ["Li", "S", "S"]
    np.testing.assert_allclose(atoms.mass_u, [6.94, 32.06, 32.06], rtol=1e-6)


def test_masses_far_from_those_of_the_elements_are_kept_and_told_once(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    assert read(tmp_path, [7.5, 32.0, 30.0]).mass_u.tolist() == [7.5, 32.0, 30.0]
    assert not caplog.text
    assert read(tmp_path, [1.0, 1.0, 1.0]).mass_u.tolist() == [1.0, 1.0, 1.0]
    assert "atom id 1 has a mass of 1 u, but that of Li is 6.94 u (such atoms: 3)" in caplog.text
    assert caplog.text.count("has a mass of") == 1


def test_declared_species_bring_their_masses(tmp_path):
    species = {"CH2": 14.027, "W": 72.0}  # the W of a coarse-grained water is no tungsten
    atoms = read(tmp_path, columns="id type xu yu zu", elements={1: "W", 2: "CH2"}, species=species)
    assert atoms.element.tolist() == ["W", "CH2", "CH2"]
    assert atoms.mass_u.tolist() == [72.0, 14.027, 14.027]
    atoms = read(tmp_path, names=["W", "CH2", "O"], species=species)
    assert atoms.mass_u.tolist() == [72.0, 14.027, 15.999]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["LI", "S", "S"], "atom id 1 is named 'LI', which is not a chemical element (did you mean 'Li'?); declare the "
         "name with its mass under trajectory.species, e.g. {LI: 6.94}"),
        (["Li", "S", "s"], "atom id 3 is named 's', which is not a chemical element (did you mean 'S'?)"),
        (["D", "O", "O"], "atom id 1 is named 'D', which is not a chemical element; declare the name with its mass "
         "under trajectory.species, e.g. {D: 72.0}"),
    ],
)  # fmt: skip
def test_names_that_are_no_elements_are_refused(tmp_path, names, said):
    with pytest.raises(InputError) as caught:
        read(tmp_path, names=names)
    assert str(caught.value).startswith(f"{tmp_path}/a.lammpstrj: {said}")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a.h5").exists()


PDB = """CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1           1
HETATM    1 LI   LI  A   1       1.000   2.000   3.000  1.00  0.00          LI
HETATM    2 CL   CL  A   2       4.000   5.000   6.000  1.00  0.00          CL
HETATM    3 CH2  CH2 A   3       7.000   5.000   6.000  1.00  0.00
END
"""


def test_elements_of_formats_that_write_them_in_capitals(tmp_path):
    (tmp_path / "a.pdb").write_text(PDB)
    about = {"units": "metal", "timestep": 0.001, "frame_interval_ps": 0.1}
    with pytest.raises(InputError, match=r"a\.pdb: atom id 3 is named 'CH2', which is not a chemical element"):
        ingest([tmp_path / "a.pdb"], tmp_path / "a.h5", Trajectory(**about))
    ingest([tmp_path / "a.pdb"], tmp_path / "a.h5", Trajectory(**about, species={"CH2": 14.027}))
    with TrajectoryStore.open(tmp_path / "a.h5") as opened:
        assert opened.atoms.element.tolist() == ["Li", "Cl", "CH2"]
        assert opened.atoms.mass_u.tolist() == [6.94, 35.45, 14.027]
