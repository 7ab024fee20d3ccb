"""Analyses as things: what the registry says of them, and their estimators on arrays."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import markov_chain
from worlds import system_of

from gdyn.analyses import ANALYSES, FIGURES, analyses_of, behind, figures_of
from gdyn.analyses.base import SECTIONS, resolve
from gdyn.analyses.docs import generate
from gdyn.config.models import OrderParameter, Sites, Structure, Transport
from gdyn.kinetics.by_trajectory import by_trajectory
from gdyn.kinetics.chapman_kolmogorov import ck_test
from gdyn.kinetics.convergence import convergence_of
from gdyn.kinetics.koopman import blocks_of
from gdyn.kinetics.model import koopman_model
from gdyn.kinetics.site_analysis import compare_with_sites
from gdyn.kinetics.timescales import implied_timescales
from gdyn.result import ITSELF, Result
from gdyn.store import States, TrajectoryStore
from gdyn.store.trajectory import Atoms
from gdyn.structure.analysis import structure_by_state
from gdyn.structure.order import order_by_state
from gdyn.transport.analysis import transport_by_state

MATRIX = np.array([[0.9, 0.1], [0.2, 0.8]])
CELL = 12.0 * np.eye(3)
SITES = Sites(
    types={
        "corner": {"fractional": [[0, 0, 0]], "core_radius_A": 4.0},
        "middle": {"fractional": [[0.5] * 3], "core_radius_A": 4.0},
    },
    bonds=[{"between": ["corner", "middle"], "within_A": 11.0}],
)


@pytest.fixture(scope="module")
def world():
    """Two trajectories of three Li at the corner (state 1) or in the middle (state 2) of a cell; charges of 1 e."""
    rng = np.random.default_rng(2)
    labels = [markov_chain(MATRIX, 300, rng, 3) for _ in range(2)]
    host = rng.random((6, 3)) * 12.0
    atoms = Atoms(
        np.arange(1, 10), np.ones(9, int), np.array(["Li"] * 3 + ["S"] * 6), np.arange(1, 10),
        np.array([1.0] * 3 + [-0.5] * 6),
    )  # fmt: skip
    trajectories = [
        TrajectoryStore.of(
            np.concatenate([6.0 * chain[..., None] + 0.3 * rng.standard_normal((300, 3, 3)),
                            host + 0.1 * rng.standard_normal((300, 6, 3))], axis=1), CELL, atoms, 1.0)
        for chain in labels
    ]  # fmt: skip
    probabilities = np.eye(2)[np.concatenate(labels)]
    return States.of(probabilities, 2.0, 1.0, np.repeat([0, 1], 300)), trajectories


@pytest.fixture(scope="module")
def kinetics():
    return system_of(2, 2.0).kinetics


def test_names_in_the_registry_stand_for_something():
    for analysis in ANALYSES:
        assert issubclass(analysis.kind, Result), analysis.name
        assert ITSELF in analysis.files
        parts = set(analysis.files) - {ITSELF}
        assert parts <= {*analysis.kind.model_fields, *vars(analysis.kind)}, analysis.name
        for figure in analysis.figures:
            assert callable(resolve(figure.draw)), figure.name
            assert figure.caption.endswith("."), figure.name
            assert set(figure.beside) <= {one.name for one in ANALYSES}, figure.name


def test_files_and_figures_have_names_of_their_own():
    files = [Path(file).name for analysis in ANALYSES for file in analysis.files.values()]
    assert len(files) == len(set(files))
    assert len(FIGURES) == sum(len(analysis.figures) for analysis in ANALYSES)


def test_a_system_has_what_it_asks_for():
    plain = system_of(2, 2.0, transport=None, trajectory=system_of(2, 2.0).trajectory.model_dump() | {"files": ["a"]})
    assert not {"lag", "sites", "trajectories", "order", "transport"} & {one.name for one in analyses_of(plain)}
    assert [one.name for one in behind("timescales", plain)] == ["koopman"]
    full = system_of(
        2, 2.0, sites=SITES.model_dump(), structure={"order_parameter": {"degree": 4, "neighbors": 3, "atoms": "all"}},
        search={},
    )  # fmt: skip
    assert analyses_of(full) == list(ANALYSES)
    assert [one.name for one in behind("timescales", full)] == ["koopman", "sites"]
    assert [one.name for one in figures_of(full)] == list(FIGURES)
    applied = system_of(2, 2.0, apply="another")
    assert not {"selection", "training"} & {one.name for one in figures_of(applied)}


def test_a_koopman_model_knows_its_caveats(world, kinetics):
    states, _ = world
    model = koopman_model(states, kinetics)
    assert (model.koopman.low < np.linalg.matrix_power(MATRIX, 2)).all()
    assert model.vamp2.by_split.keys() == {"test"}
    short = States.of(states.probabilities[:40], 20.0, 1.0)
    doubtful = koopman_model(short, kinetics)
    assert doubtful.flags["koopman" if "koopman" in doubtful.flags else "timescales_ps"]
    for name, sentences in doubtful.flags.items():
        if hasattr(getattr(doubtful, name, None), "caveats"):
            assert getattr(doubtful, name).caveats == tuple(sentences)


def test_timescales_do_not_depend_on_the_lag(world, kinetics):
    states, _ = world
    table = implied_timescales(states, kinetics)
    assert set(table.columns) == {"lag_ps", "process", "timescale_ps", "low_ps", "high_ps", "resolved"}
    exact = -1 / np.log(0.7)
    first = table[table["lag_ps"] <= 4.0]
    assert ((first["low_ps"] < exact) & (exact < first["high_ps"])).all()
    assert convergence_of(states, blocks_of(states, kinetics), [0]).outcome != "rising"


def test_a_chapman_kolmogorov_test_of_a_markov_chain_holds(world, kinetics):
    test = ck_test(world[0], kinetics)
    assert (test.outcome, test.passed) == ("holds", True)
    assert test.verdict.startswith("holds; from state")
    assert "would have been seen in 90 % of cases" in test.power
    assert len(test.table) == 4 * len(test.lag_ps)


def test_trajectories_of_one_chain_do_not_differ(world, kinetics):
    found = by_trajectory(world[0], kinetics, ["first", "second"])
    assert [(one.label, one.frames) for one in found.trajectories] == [("first", 300), ("second", 300)]
    assert found.flags == []


def test_states_are_the_sites(world, kinetics):
    states, trajectories = world
    found = compare_with_sites(states, [], trajectories, SITES, kinetics)
    assert found.site_type_of_state == ["corner", "middle"]
    assert found.agreement.value == pytest.approx(1.0)
    assert found.cell.vampnets == []
    assert {"x", "y", "z", "p1", "p2", "site_type"} <= set(found.points)


def test_structure_counts_what_is_around(world, kinetics):
    states, trajectories = world
    settings = Structure(max_A=5.0, bin_A=0.1, frames=100, first_shell_A=5.0)
    found = structure_by_state(states, trajectories, settings, kinetics)
    stored = trajectories[0].positions(0)
    offset = stored[3:] - np.array([[0.0] * 3, [6.0] * 3])[:, None]
    offset -= 12.0 * np.round(offset / 12.0)
    expected = (np.linalg.norm(offset, axis=-1) < 5.0).sum(1)
    np.testing.assert_allclose(found.coordination["S"].value, expected, atol=0.7)
    assert set(found.charges_e) == {"atoms", "molecules"}
    assert found.configurations[0].elements[0] == "Li"


def test_order_of_what_has_none(world, kinetics):
    states, trajectories = world
    settings = Structure(order_parameter=OrderParameter(degree=4, neighbors=3, atoms="all", threshold=0.99))
    found = order_by_state(states, trajectories, settings, kinetics)
    assert found.ordered == [False, False]
    assert found.disagreement.value == pytest.approx(0.0, abs=0.05)
    assert found.distribution.groupby("state")["density"].sum().sum() * 0.02 == pytest.approx(1.0)


def test_transport_adds_up(world, kinetics):
    states, trajectories = world
    found = transport_by_state(states, trajectories, {}, Transport(temperature_K=300.0), kinetics)
    assert found.contribution_percent.value.sum() == pytest.approx(100.0)
    assert found.msd_closure_residual < 1e-9
    assert found.charges_e is None
    assert found.conductivity_S_per_m is None
    assert any("no charges" in sentence for sentence in found.flags)


def test_a_result_is_the_same_when_it_is_read_back(world, kinetics, tmp_path):
    for analysis in ANALYSES[:2]:
        result = resolve(analysis.estimator)(world[0], kinetics)
        files = {part: tmp_path / Path(file).name for part, file in analysis.files.items()}
        result.write(files)
        again = analysis.read(files.values())
        again.write({part: tmp_path / f"again-{path.name}" for part, path in files.items()})
        for path in files.values():
            assert path.read_text() == (tmp_path / f"again-{path.name}").read_text(), path.name
        assert isinstance(json.loads(files[ITSELF].read_text()), dict)


def test_rows_of_the_report_stand_in_sections(world, kinetics):
    for analysis in ANALYSES[:2]:
        rows = analysis.rows(resolve(analysis.estimator)(world[0], kinetics))
        assert set(rows) <= set(SECTIONS)
        assert all(isinstance(text, str) and text for some in rows.values() for _, text in some)


def test_the_page_of_results_is_up_to_date():
    for path, text in generate().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make docs"
