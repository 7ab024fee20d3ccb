"""Trajectories of other atoms, cells and ions in one system: nothing may be taken from the first of them alone."""

import numpy as np
import pandas as pd
import pytest
from helpers import markov_chain, states_of
from worlds import report, states_of_parts, store, system_of

from gdyn.analyses import FIGURES
from gdyn.config.models import Structure
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.kinetics.sites import SiteNetwork
from gdyn.store import TrajectoryStore
from gdyn.store.walk import each_frame, each_trajectory, moment
from gdyn.structure.analysis import structure_by_state
from gdyn.structure.groups import surroundings_of_all
from gdyn.structure.shell import first_shell
from gdyn.transport.displacement import read_paths

CUBE = 14.0 * np.eye(3)


def around(targets, element_distances, rng, n_frames):
    """Frames in which every target, at its place, has one atom of each element at a distance of its own."""
    found = [np.broadcast_to(targets, (n_frames, *targets.shape))]
    for distance in element_distances:
        ways = rng.normal(size=(n_frames, *targets.shape))
        ways /= np.linalg.norm(ways, axis=-1, keepdims=True)
        found.append(targets + distance * ways)
    return np.concatenate(found, axis=1)


def structure_of(folder, parts, stores, **settings):
    system = system_of(parts[0].shape[-1], 2.0, structure={"max_A": 6.0, "bin_A": 0.1, "frames": 1000} | settings)
    structure = structure_by_state(states_of_parts(parts, 2.0), stores, system.structure, system.kinetics)
    structure.write({"result": folder / "result.json", "profile": folder / "profile.csv"})
    return read_json(folder / "result.json"), structure.distributions


@pytest.mark.parametrize("order", [0, 1])
def test_elements_of_trajectories_are_not_mixed(tmp_path, order):
    """Two Li with S at 2.5 A in one, with O at 2.0 A and Cl at 4 A in the other, whichever comes first."""
    rng = np.random.default_rng(0)
    targets = np.array([[2.0, 2, 2], [9.0, 9, 9]])
    one = around(targets, [2.5], rng, 200), ["Li"] * 2 + ["S"] * 2
    other = around(targets, [2.0, 4.0], rng, 200), ["Li"] * 2 + ["O"] * 2 + ["Cl"] * 2
    stores = [store(tmp_path / f"{i}.h5", *what, cell=CUBE) for i, what in enumerate([one, other][:: 1 - 2 * order])]
    parts = [np.ones((200, 2, 1))] * 2
    parts = [np.concatenate([p, np.zeros_like(p)], axis=-1) for p in parts]
    parts[0][..., :], parts[1][..., :] = [1, 0], [0, 1]  # state 1 is in the first trajectory alone
    result, table = structure_of(tmp_path, parts, stores, first_shell_A=5.0)
    assert result["groups"] == ["Cl", "Li", "O", "S"]
    of_one, of_other = (0, 1) if order == 0 else (1, 0)
    expected = {"S": (1.0, 0.0), "O": (0.0, 1.0), "Cl": (0.0, 1.0), "Li": (0.0, 0.0)}
    for group, (in_one, in_other) in expected.items():
        found = result["coordination"][group]["value"]
        assert (found[of_one], found[of_other]) == pytest.approx((in_one, in_other), abs=1e-9), group
    counted = table[(table["group"] == "O") & (table["state"] == of_other + 1)]
    assert counted.loc[counted["r_out_A"] < 1.95, "n"].max() == 0
    assert counted.loc[counted["r_out_A"] > 2.15, "n"].min() == pytest.approx(1.0)


def test_a_selection_may_be_empty_in_some_trajectories_but_not_in_all(tmp_path):
    rng = np.random.default_rng(1)
    targets = np.array([[2.0, 2, 2]])
    stores = [
        store(tmp_path / "0.h5", around(targets, [2.5], rng, 5), ["Li", "S"], cell=CUBE),
        store(tmp_path / "1.h5", around(targets, [2.0], rng, 5), ["Li", "O"], cell=CUBE),
    ]
    states = states_of_parts([np.ones((5, 1, 1))] * 2, 2.0)
    edges, frames = np.linspace(0, 6, 61), np.arange(10)
    known = surroundings_of_all(states, stores, frames, Structure(groups={"oxygen": "element O"}), edges)
    assert [known.of[number].groups[0].sum() for number in (0, 1)] == [0, 1]
    with pytest.raises(InputError, match=r"structure\.groups\.gold: 'element Au' selects no atom"):
        surroundings_of_all(states, stores, frames, Structure(groups={"gold": "element Au"}), edges)


def test_charges_and_molecules_have_to_be_known_in_all(tmp_path):
    rng = np.random.default_rng(2)
    targets = np.array([[2.0, 2, 2]])
    parts, charge, molecule = [np.ones((20, 1, 2)) / 2] * 2, np.array([1.0, -1.0]), np.array([1, 2])
    for with_charge in (0, 1):
        stores = [
            store(
                tmp_path / f"{with_charge}{number}.h5", around(targets, [2.5], rng, 20), ["Li", "S"],
                charge if number == with_charge else None, molecule if number == with_charge else None, CUBE,
            )
            for number in (0, 1)
        ]  # fmt: skip
        assert structure_of(tmp_path, parts, stores)[0]["charges_e"] == {}


def test_places_along_an_axis_are_of_the_mean_cell(tmp_path):
    rng = np.random.default_rng(3)
    stores = [
        store(tmp_path / f"{i}.h5", rng.random((30, 3, 3)) * edge, ["Li", "S", "S"], cell=edge * np.eye(3))
        for i, edge in enumerate((10.0, 20.0))
    ]
    result, _ = structure_of(tmp_path, [np.ones((30, 1, 2)) / 2] * 2, stores, max_A=4.0)
    profile = pd.read_csv(tmp_path / "profile.csv")
    assert profile["place_A"].max() == pytest.approx(15.0, abs=0.5)
    assert any("from 10.0 to 20.0 A high along z" in flag for flag in result["flags"])


def test_other_ions_are_not_added_up(tmp_path):
    """One and two chlorides: there is no conductivity of both together, and it is said."""
    rng = np.random.default_rng(4)
    stores = []
    for number, n_cl in enumerate((1, 2)):
        positions = np.cumsum(rng.normal(size=(40, 2 + n_cl, 3)), axis=0)
        charge = np.array([1.0, *[-1.0 / n_cl] * n_cl, 0.0])
        elements = ["Li", *["Cl"] * n_cl, "S"]
        stores.append(store(tmp_path / f"{number}.h5", positions, elements, charge, np.arange(1, 3 + n_cl)))
    states = states_of_parts([np.ones((40, 1, 1))] * 2, 2.0)
    paths = read_paths(states, stores, "all")
    assert paths.dipole is None
    assert paths.ions == {}
    assert any("the trajectories have different ions" in flag for flag in paths.flags)
    same = read_paths(states_of_parts([np.ones((40, 1, 1))], 2.0), stores[:1], "all")
    assert same.dipole.shape == (40, 3)


def test_volumes_that_differ_are_told(tmp_path):
    rng = np.random.default_rng(5)
    stores = [
        store(tmp_path / f"{i}.h5", np.cumsum(rng.normal(size=(20, 2, 3)), axis=0), ["Li", "S"], cell=edge * np.eye(3))
        for i, edge in enumerate((10.0, 12.0))
    ]
    flags = read_paths(states_of_parts([np.ones((20, 1, 1))] * 2, 2.0), stores, "all").flags
    assert any("volumes of the trajectories are from 1000 to 1728 A^3" in flag for flag in flags)


def test_frames_are_found_by_their_times_and_strange_ones_refused(tmp_path):
    positions = np.arange(30.0)[:, None, None] + np.zeros((30, 1, 3))
    stores = [store(tmp_path / f"{i}.h5", positions + 100 * i, ["Li"]) for i in (0, 1)]
    states = states_of_parts([np.ones((10, 1, 1))] * 2, 2.0)
    states.time_ps += 7.0
    seen = [(now.number, now.frame, now.positions[0, 0]) for now in each_frame(states, stores, [2, 11, 12])]
    assert seen == [(0, 2, 9.0), (1, 11, 108.0), (1, 12, 109.0)]
    with moment(states, stores, 15) as now:
        assert (now.number, now.at, now.targets.tolist()) == (1, 12, [0])
    assert [part.stored.tolist() for part in each_trajectory(states, stores, [0, 19])] == [[7], [16]]
    states.time_ps += 0.5
    with pytest.raises(InputError, match="the states are not of this trajectory"):
        next(each_frame(states, stores))


def test_a_whole_report_of_trajectories_that_differ(tmp_path):
    """From states to the last figure: a third element in the second trajectory, other numbers of atoms."""
    rng = np.random.default_rng(6)
    labels = [markov_chain([[0.9, 0.1], [0.2, 0.8]], n, rng, 2) for n in (300, 200)]
    stores = []
    for number, (chain, others) in enumerate(zip(labels, (["S", "S", "S"], ["O", "Br", "O", "S"]), strict=True)):
        places = rng.random((len(chain), 2 + len(others), 3)) * 12.0
        charge = np.array([1.0, 1.0, *[-2.0 / len(others)] * len(others)])
        stores.append(store(tmp_path / f"{number}.h5", places, ["Li", "Li", *others], charge))
    summary = report(tmp_path, [np.eye(2)[chain] for chain in labels], 2.0, stores=stores)
    assert set(summary["structure"]["coordination"]) == {"Br", "Li", "O", "S"}
    drawn = {path.stem for path in tmp_path.glob("*.pdf")}
    assert drawn == set(FIGURES) - {"lag", "sites", "whole_cell", "order"} | {"report"}


def test_a_first_shell_is_found_by_evidence(tmp_path):
    """Four O at 2 A, a carbon bonded to each at 3 A, and Li far away: it is O that coordinates."""
    rng = np.random.default_rng(7)
    n, target = 200, np.array([7.0, 7.0, 7.0])
    ways = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    o = target + ways * 2.0 + 0.08 * rng.standard_normal((n, 4, 3))
    c = target + ways * 3.0 + 0.12 * rng.standard_normal((n, 4, 3))
    far = target + 5.5 * rng.choice([-1, 1], (n, 12, 3)) * rng.dirichlet(np.ones(3), (n, 12)) ** 0.5
    positions = np.concatenate([np.broadcast_to(target, (n, 1, 3)), o, c, far], axis=1)
    elements = ["Li", *["O"] * 4, *["C"] * 4, *["O", "C"] * 6]
    path = store(tmp_path / "0.h5", positions, elements, cell=CUBE)
    result, _ = structure_of(tmp_path, [np.ones((n, 1, 2)) / 2], [path])
    assert result["coordinating"] == "O"
    assert 2.3 < result["first_shell_A"] < 4.9
    assert result["first_shell_clear"]
    assert result["coordination"]["O"]["value"][0] == pytest.approx(4.0, abs=0.3)
    everything, _ = structure_of(tmp_path, [np.ones((n, 1, 2)) / 2], [path], coordinating="all")
    assert everything["coordinating"] == "'all'"
    assert not [flag for flag in result["flags"] if "clear minimum" in flag]


def test_two_kinds_of_atoms_in_one_shell_both_coordinate(tmp_path):
    rng = np.random.default_rng(8)
    n, target = 200, np.array([7.0, 7.0, 7.0])
    ways = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    near = target + ways * np.array([2.4, 2.4, 2.6, 2.6])[:, None] + 0.05 * rng.standard_normal((n, 4, 3))
    positions = np.concatenate([np.broadcast_to(target, (n, 1, 3)), near, rng.random((n, 8, 3)) * 3], axis=1)
    path = store(tmp_path / "0.h5", positions, ["Li", "S", "S", "Cl", "Cl", *["H"] * 8], cell=CUBE)
    result, _ = structure_of(tmp_path, [np.ones((n, 1, 2)) / 2], [path])
    assert result["coordinating"] == "Cl and S"


def test_a_minimum_that_is_none_is_told(tmp_path):
    """Atoms that are everywhere alike have no shells."""
    rng = np.random.default_rng(9)
    path = store(tmp_path / "0.h5", rng.random((200, 60, 3)) * 14.0, ["Li", *["S"] * 59], cell=CUBE)
    result, _ = structure_of(tmp_path, [np.ones((200, 1, 2)) / 2], [path])
    assert not result["first_shell_clear"]
    assert any("has no clear minimum behind its first peak" in flag for flag in result["flags"])
    given, _ = structure_of(tmp_path, [np.ones((200, 1, 2)) / 2], [path], first_shell_A=3.0)
    assert not any("clear minimum" in flag for flag in given["flags"])


def test_a_ripple_on_a_slope_is_no_minimum():
    edges = np.linspace(0, 7, 141)
    middle = 0.5 * (edges[1:] + edges[:-1])
    g = 12 * np.exp(-(((middle - 2.0) / 0.2) ** 2)) + 2 * np.exp(-(((middle - 2.4) / 0.5) ** 2)) + (middle > 4) * 0.6
    g += np.where((middle > 2.5) & (middle < 3.0), 0.03 * np.sin(40 * middle), 0.0)
    expected = 40.0 * middle**2
    found = first_shell(edges, g * expected, expected)
    assert found.clear
    assert found.peak_A == pytest.approx(2.0, abs=0.06)
    assert 3.6 < found.end_A < 4.1


def test_nothing_around_at_all():
    edges = np.linspace(0, 5, 51)
    found = first_shell(edges, np.zeros(50), np.zeros(50))
    assert np.isnan(found.peak_A)
    assert (found.end_A, found.clear) == (5.0, False)


def test_sites_of_a_cell_with_other_neighbors_are_refused(tmp_path):
    """What is bonded follows from the cell: another cell is another network."""
    from gdyn.config.models import Sites
    from gdyn.kinetics.site_analysis import compare_with_sites

    types = {
        "a": {"fractional": [[0, 0, 0]], "core_radius_A": 3.0},
        "b": {"fractional": [[0.5] * 3], "core_radius_A": 3.0},
    }
    sites = Sites(types=types, bonds=[{"between": ["a", "b"], "within_A": 5.0}])
    assert SiteNetwork.of(sites, 5.0 * np.eye(3)).bonds.sum() == 16
    stores = []
    for number, edge in enumerate((5.0, 7.0)):
        hops = np.where(np.arange(40) // 4 % 2, 0.5, 0.0)[:, None, None] * edge + np.zeros((40, 1, 3))
        stores.append(store(tmp_path / f"{number}.h5", hops, ["Li"], cell=edge * np.eye(3)))
    labels = np.tile(np.arange(40) // 4 % 2, 2)[:, None]
    states = states_of(labels, 2)
    states.trajectory = states.segment = np.repeat([0, 1], 40)
    states.time_ps = np.tile(np.arange(40.0), 2)
    with pytest.raises(InputError, match="differs from that of the first trajectory"):
        compare_with_sites(states, [], stores, sites, system_of(2, 2.0).kinetics)
    with TrajectoryStore.open(stores[0]) as opened:
        assert len(opened) == 40


def tetrahedra(target, distance, n, rng, width=0.08):
    ways = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]]) / np.sqrt(3)
    return target + ways * distance + width * rng.standard_normal((n, 4, 3))


def test_an_element_that_is_nowhere_else_coordinates(tmp_path):
    """S at 2.3 A only, with nothing behind it, and C all over: nothing has to rise again behind what is gone."""
    rng = np.random.default_rng(10)
    n, target = 150, np.array([7.0, 7.0, 7.0])
    everywhere = rng.random((n, 40, 3)) * 14.0
    away = np.linalg.norm(everywhere - target, axis=-1, keepdims=True)
    everywhere = np.where(away < 3.2, target + (everywhere - target) * 5.0 / np.maximum(away, 0.1), everywhere)
    near = tetrahedra(target, 2.3, n, rng)
    positions = np.concatenate([np.broadcast_to(target, (n, 1, 3)), near, everywhere], axis=1)
    path = store(tmp_path / "0.h5", positions, ["Li", *["S"] * 4, *["C"] * 40], cell=CUBE)
    result, _ = structure_of(tmp_path, [np.ones((n, 1, 2)) / 2], [path])
    assert result["coordinating"] == "S"
    assert 2.4 < result["first_shell_A"] < 3.5
    assert result["first_shell_clear"]


def test_atoms_of_like_charge_do_not_coordinate_and_a_farther_anion_does(tmp_path):
    """O at 2.0 A, its H at 2.45 A, and Br at 2.8 A around half of the Li: charges say which of them bind."""
    rng = np.random.default_rng(11)
    n, target = 150, np.array([7.0, 7.0, 7.0])
    o, h = tetrahedra(target, 2.0, n, rng), tetrahedra(target, 2.45, n, rng)
    br = target + np.array([0.0, 0.0, 2.8]) + 0.05 * rng.standard_normal((n, 1, 3))
    br[: n // 2] += 3.9
    positions = np.concatenate([np.broadcast_to(target, (n, 1, 3)), o, h, br, rng.random((n, 8, 3)) * 3], axis=1)
    charge = np.array([1.0, *[-0.4] * 4, *[0.4] * 4, -1.0, *[0.0] * 8])
    molecule = np.array([1, *range(2, 6), *range(2, 6), 6, *range(7, 15)])
    elements = ["Li", *["O"] * 4, *["H"] * 4, "Br", *["C"] * 8]
    path = store(tmp_path / "0.h5", positions, elements, charge, molecule, CUBE)
    with_br = np.eye(2)[(np.arange(n) >= n // 2).astype(int)][:, None]
    result, _ = structure_of(tmp_path, [with_br], [path])
    assert result["coordinating"] == "Br and O"
    np.testing.assert_allclose(result["charges_e"]["molecules"]["value"], [1.0, 0.0], atol=0.05)


def test_what_coordinates_is_found_in_each_trajectory(tmp_path):
    rng = np.random.default_rng(12)
    target, n = np.array([7.0, 7.0, 7.0]), 100
    stores = []
    for number, (name, distance) in enumerate((("O", 2.0), ("S", 2.8))):
        far = rng.random((n, 30, 3)) * 14.0
        away = np.linalg.norm(far - target, axis=-1, keepdims=True)
        far = np.where(away < 4.2, target + (far - target) * 5.5 / np.maximum(away, 0.1), far)
        positions = np.concatenate(
            [np.broadcast_to(target, (n, 1, 3)), tetrahedra(target, distance, n, rng), far], axis=1
        )
        stores.append(store(tmp_path / f"{number}.h5", positions, ["Li", *[name] * 34], cell=CUBE))
    result, _ = structure_of(tmp_path, [np.ones((n, 1, 2)) / 2] * 2, stores)
    assert result["coordinating"] == "O and S"


def test_a_group_may_have_any_name(tmp_path):
    rng = np.random.default_rng(13)
    targets = np.array([[4.0, 4, 4]])
    path = store(tmp_path / "0.h5", around(targets, [2.0, 3.0, 3.0], rng, 60), ["Li", "O", "S", "S"], cell=CUBE)
    groups = {"coordinating atoms": "element S", "O": "element O"}
    result, _ = structure_of(tmp_path, [np.ones((60, 1, 2)) / 2], [path], groups=groups, first_shell_A=5.0)
    assert result["coordination"]["O"]["value"] == pytest.approx([1, 1])
    assert result["coordination"]["coordinating atoms"]["value"] == pytest.approx([2, 2])
