"""Starting structures: molecules as chemistry has them, with every parameter, where LAMMPS can read them."""

import subprocess
from itertools import combinations

import numpy as np
import pytest

from gdyn.errors import InputError
from gdyn.simulation.builders import build, peo_litfsi
from gdyn.simulation.builders.molecules import ForceField, Molecule
from gdyn.simulation.builders.packing import edge_of, pack
from gdyn.simulation.lammps import elements_of_types, executable

SMALL = {"kind": "peo_litfsi", "chains": 2, "degree_of_polymerisation": 4, "li_per_eo": 0.25}


def charge(molecule, field=peo_litfsi.FORCE_FIELD):
    return sum(field.atoms[name].charge_e for name in molecule.types)


@pytest.mark.parametrize("units", [2, 10])
def test_a_chain_is_poly_ethylene_oxide(units):
    chain = peo_litfsi.peo(units, np.random.default_rng(1))
    count = {kind: sum(name.startswith(kind) for name in chain.types) for kind in ("c_", "h_", "o_ether", "o_hydroxyl")}
    assert count == {"c_": 2 * units, "h_": 4 * units + 2, "o_ether": units - 1, "o_hydroxyl": 2}
    assert charge(chain) == pytest.approx(0.0, abs=1e-12)
    bonds_of = np.bincount(np.ravel(chain.bonds), minlength=len(chain.types))
    valence = {"c": 4, "h": 1, "o": 2}
    assert [valence[name[0]] for name in chain.types] == bonds_of.tolist()
    lengths = [np.linalg.norm(chain.positions[a] - chain.positions[b]) for a, b in chain.bonds]
    assert 0.9 < min(lengths) < max(lengths) < 1.6
    # Nothing that is not bonded, nor bonded to the same atom, is on top of each other.
    near = {frozenset(pair) for pair in chain.bonds} | {frozenset((a, c)) for a, _, c in chain.angles()}
    apart = [np.linalg.norm(chain.positions[a] - chain.positions[b])
             for a, b in combinations(range(len(chain.types)), 2) if frozenset((a, b)) not in near]  # fmt: skip
    assert min(apart) > 1.0


def test_tfsi_is_one_negative_ion():
    ion = peo_litfsi.tfsi()
    assert charge(ion) == pytest.approx(-1.0)
    assert sorted(ion.types) == sorted(["n_tfsi"] + 2 * ["s_tfsi", "c_tfsi"] + 4 * ["o_tfsi"] + 6 * ["f_tfsi"])
    assert len(ion.bonds) == 14
    assert len(ion.angles()) == 25
    lengths = [np.linalg.norm(ion.positions[a] - ion.positions[b]) for a, b in ion.bonds]
    field = peo_litfsi.FORCE_FIELD
    expected = [field.bonds[field.find(field.bonds, [ion.types[a], ion.types[b]])][1] for a, b in ion.bonds]
    np.testing.assert_allclose(lengths, expected, atol=1e-6)


def test_scaled_charges_are_those_of_the_ions_alone():
    field = peo_litfsi.force_field(0.8)
    assert charge(peo_litfsi.tfsi(), field) == pytest.approx(-0.8)
    assert field.atoms["li"].charge_e == 0.8
    assert charge(peo_litfsi.peo(3, np.random.default_rng(0)), field) == pytest.approx(0.0, abs=1e-12)


def test_angles_and_dihedrals_of_a_ring():
    square = Molecule(["a"] * 4, np.zeros((4, 3)), [(0, 1), (1, 2), (2, 3), (3, 0)])
    assert {frozenset((a, c)) for a, _, c in square.angles()} == {frozenset((0, 2)), frozenset((1, 3))}
    assert len(square.angles()) == 4
    assert len(square.dihedrals()) == 4


def test_a_term_without_parameters_is_told():
    field = ForceField(peo_litfsi.FORCE_FIELD.atoms, {}, {}, {})
    with pytest.raises(KeyError, match="no parameters for LI-OS"):
        field.find(field.bonds, ["li", "o_ether"])


def test_molecules_are_packed_apart():
    rng = np.random.default_rng(2)
    molecules = [peo_litfsi.peo(4, rng) for _ in range(4)]
    edge = edge_of(4 * 194.0, 0.15)
    assert edge**3 * 0.15 * 0.602214076 == pytest.approx(4 * 194.0)
    placed = pack(molecules, edge, seed=3)
    for a, b in combinations(placed, 2):
        assert np.linalg.norm(a.positions[:, None] - b.positions, axis=-1).min() > 1.9
    for before, after in zip(molecules, placed, strict=True):
        assert after.positions.min() > -0.1
        assert after.positions.max() < edge
        shape = [np.linalg.norm(m.positions[:, None] - m.positions, axis=-1) for m in (before, after)]
        np.testing.assert_allclose(*shape, atol=1e-3)
    with pytest.raises(InputError, match="packmol found no room for the molecules in a cube of 6"):
        pack(molecules, 6.0, seed=3)


def test_lammps_reads_what_was_built(tmp_path):
    build(tmp_path / "a.data", SMALL, run=0, seed=1)
    build(tmp_path / "b.data", SMALL, run=1, seed=0)
    assert (tmp_path / "a.data").read_text() == (tmp_path / "b.data").read_text()  # the seed is that of the run
    assert elements_of_types(tmp_path / "a.data")[:3] == ["Li", "O", "C"]
    deck = tmp_path / "in.check"
    deck.write_text(
        f"""
        units real
        atom_style full
        pair_style lj/cut/coul/long 10.0
        pair_modify mix geometric
        bond_style harmonic
        angle_style harmonic
        dihedral_style opls
        special_bonds lj/coul 0 0 0.5
        kspace_style pppm 1e-4
        read_data {tmp_path}/a.data
        thermo_style custom step pe ebond eangle edihed
        run 0
        """
    )
    run = subprocess.run([*executable("lmp"), "-in", deck, "-log", "none"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-2000:]
    atoms = 2 * 31 + 2 * 16
    assert f"{atoms} atoms" in run.stdout
    energies = [float(x) for x in run.stdout.split("E_dihed")[1].splitlines()[1].split()]
    # Bonds and angles are near their minima: under 3 kcal/mol for each atom.
    assert energies[2] + energies[3] < 3 * atoms


def test_data_without_elements(tmp_path):
    (tmp_path / "a.data").write_text("x\n\nMasses\n\n1 6.9\n\nAtoms\n\n")
    with pytest.raises(InputError, match="need comments that begin with their elements"):
        elements_of_types(tmp_path / "a.data")
