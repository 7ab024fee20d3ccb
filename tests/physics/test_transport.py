"""Transport by state: closure, random walks with known diffusivities, and units worked out by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import markov_chain, states_of

from gdyn.config.models import Kinetics, Transport
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.statistics.interval import Interval
from gdyn.store import trajectory
from gdyn.transport.analysis import transport_by_state
from gdyn.transport.displacement import mean_of, mean_square, read_paths, transition_sums

HOPS = np.array([[0.9, 0.1], [0.3, 0.7]])
D = np.array([0.5, 4.0])  # A^2/ps, of a step that begins in each state
CELL = 30.0 * np.eye(3)


def walkers(n_frames, n_walkers, rng):
    """Labels, and unwrapped positions whose steps have the diffusivity of the state that they begin in."""
    labels = markov_chain(HOPS, n_frames, rng, n_walkers)
    steps = rng.standard_normal((n_frames, n_walkers, 3)) * np.sqrt(2.0 * D[labels])[..., None]
    return labels, np.cumsum(steps, axis=0) - steps


def written(folder, positions, elements=None, charge=None, molecule=None, cells=CELL, unwrapped="yes"):
    n = positions.shape[1]
    atoms = trajectory.Atoms(
        id=np.arange(1, n + 1),
        type=np.ones(n),
        element=np.array(elements or ["Li"] * n),
        molecule=molecule,
        charge_e=charge,
    )
    path = folder / "0.h5"
    frames = len(positions)
    with trajectory.write(path, atoms, 1.0, "made up") as writer:
        writer.append(
            positions, np.broadcast_to(cells, (frames, 3, 3)), range(frames), np.arange(frames), np.zeros(frames)
        )
        writer.finish(notes="", unwrapped=unwrapped, periodic=(True,) * 3, checksum="sha256:0", largest_step=0.0)
    return path


def run(folder, states, path, charges=None, **settings):
    by_kind = {kind: Interval.read(charge, "e") for kind, charge in (charges or {}).items()}
    found = transport_by_state(states, [path], by_kind, Transport(temperature_K=300, **settings), Kinetics())
    files = {"result": "transport.json", "transitions": "transport.csv", "displacements": "displacements.csv"}
    found.write({name: folder / file for name, file in files.items()})
    return read_json(folder / "transport.json")


def test_transitions_add_up_to_the_mean_square_displacement():
    """Exactly, for soft states too; the paper's product of population and Koopman matrix does not."""
    rng = np.random.default_rng(0)
    chi = rng.dirichlet(np.ones(3), (200, 4)) ** 2
    chi /= chi.sum(-1, keepdims=True)
    chi[:50, 1] = np.nan
    positions = np.cumsum(rng.standard_normal((200, 4, 3)), axis=0)
    segment = np.repeat([0, 1], 100)
    joint, squares = mean_of(transition_sums(chi, segment, np.where(np.isnan(chi[..., :1]), np.nan, positions), 7))
    direct = [
        np.square(positions[t + 7, i] - positions[t, i]).sum()
        for t in range(193)
        for i in range(4)
        if segment[t] == segment[t + 7] and not (i == 1 and t < 50)
    ]
    assert squares.sum() == pytest.approx(np.mean(direct), rel=1e-12)
    assert joint.sum() == pytest.approx(1.0, rel=1e-12)
    assert mean_square(np.where(np.isnan(chi[..., :1]), np.nan, positions), segment, 7) == pytest.approx(
        np.mean(direct)
    )


def test_diffusivities_of_states_are_recovered(tmp_path):
    """In a step of one frame, D_ij is that of the state it begins in, and contributions are pi_i K_ij D_i."""
    rng = np.random.default_rng(4)
    labels, positions = walkers(4000, 12, rng)
    still = np.zeros((4000, 1, 3))
    drift = np.cumsum(rng.standard_normal((4000, 1, 3)), axis=0)  # of the system as a whole
    everything = np.concatenate([positions, still], axis=1) + drift
    path = written(tmp_path, everything, ["Li"] * 12 + ["S"])
    found = run(tmp_path, states_of(labels, 2, lag_ps=1.0), path, reference="element S", lags_ps=[1, 2, 4])
    low, high = (np.array(found["diffusion_m2_per_s"][part]) for part in ("low", "high"))
    expected = 1e-8 * np.repeat(D[:, None], 2, axis=1)
    assert ((low < expected) & (expected < high)).sum() >= 3
    np.testing.assert_allclose(found["diffusion_m2_per_s"]["value"], expected, rtol=0.05)
    share = np.array([0.75, 0.25])[:, None] * HOPS * D[:, None]
    share *= 100 / share.sum()
    np.testing.assert_allclose(found["contribution_percent"]["value"], share, atol=1.5)
    np.testing.assert_allclose(found["contribution_percent_paper"]["value"], share, atol=1.5)
    assert found["msd_closure_residual"] < 1e-6
    mean = 1e-8 * (0.75 * D[0] + 0.25 * D[1])
    assert found["tracer_diffusion_m2_per_s"]["value"] == pytest.approx(mean, rel=0.1)
    table = pd.read_csv(tmp_path / "transport.csv")
    assert set(table["time_ps"]) == {1.0, 2.0, 4.0}
    assert "there are no charges" in found["flags"][0]


def test_conductivity_by_hand(tmp_path):
    """Two Li that both move by (3, 4, 0) A each ps with a charge of 0.5 e, in a box of 27 nm^3 at 300 K."""
    positions = np.arange(200.0)[:, None, None] * np.array([3.0, 4.0, 0.0]) + np.zeros((200, 2, 1))
    everything = np.concatenate([positions, np.zeros((200, 1, 3))], axis=1)
    path = written(
        tmp_path, everything, ["Li", "Li", "S"], charge=np.array([0.5, 0.5, -1.0]), molecule=np.array([1, 2, 3])
    )
    labels = np.stack([np.arange(200) // 3 % 2, np.arange(200) // 4 % 2], axis=1)
    charges = {"molecules": {"value": [0.5, 0.5], "low": [0.5, 0.5], "high": [0.5, 0.5]}}
    found = run(tmp_path, states_of(labels, 2, lag_ps=1.0), path, charges, reference="element S")
    # e^2 N z^2 D / (V kB T), D = 25 A^2 / (6 ps)
    by_hand = (1.602176634e-19**2 * 2 * 0.25 * 25e-20 / 6e-12) / (27e-27 * 1.380649e-23 * 300)
    assert found["conductivity_S_per_m"]["value"] == pytest.approx(by_hand, rel=1e-9)
    assert np.sum(found["contribution_percent"]["value"]) == pytest.approx(100)
    assert found["transference"]["value"] == pytest.approx(1.0)


def test_collective_and_tracer_conductivity_of_independent_ions(tmp_path):
    """Ions that know nothing of each other: Einstein and Nernst-Einstein agree, and share as their mobilities."""
    rng = np.random.default_rng(2)
    steps = rng.standard_normal((6000, 40, 3)) * np.sqrt(2 * np.repeat([2.0, 1.0], 20))[:, None]
    positions = np.concatenate([np.cumsum(steps, axis=0), np.zeros((6000, 1, 3))], axis=1)
    charge = np.array([1.0] * 20 + [-1.0] * 20 + [0.0])
    path = written(tmp_path, positions, ["Li"] * 20 + ["Cl"] * 20 + ["S"], charge, np.arange(41))
    states = states_of(rng.integers(0, 2, (6000, 20)), 2, lag_ps=1.0)
    charges = {"molecules": {"value": [1.0, 1.0], "low": [1.0, 1.0], "high": [1.0, 1.0]}}
    found = run(tmp_path, states, path, charges, reference="element S", lags_ps=[1, 2, 4, 8, 16])
    exact = 1.602176634e-19**2 * 20 * (2.0 + 1.0) * 1e-8 / (27e-27 * 1.380649e-23 * 300)
    for name in ("conductivity_nernst_einstein_S_per_m", "conductivity_einstein_S_per_m"):
        assert found[name]["low"] < exact < found[name]["high"]
        assert found[name]["value"] == pytest.approx(exact, rel=0.25)
    assert found["transference"]["value"] == pytest.approx(2 / 3, abs=0.15)
    assert any("a cell of 20 ions of a kind" in flag for flag in found["flags"])


def test_the_drift_of_the_whole_is_taken_out(tmp_path):
    rng = np.random.default_rng(6)
    x = np.cumsum(rng.standard_normal((50, 3, 3)), axis=0)
    elements = ["Li", "O", "S"]
    states = replace(states_of(np.zeros((50, 1), int), 2), target_ids=np.array([[1]]))
    mass = np.array([6.941, 15.999, 32.06])
    path = written(tmp_path, x, elements)
    found = read_paths(states, [path], "all").targets[:, 0]
    centre = (x * mass[:, None]).sum(1) / mass.sum()
    np.testing.assert_allclose(np.diff(found, axis=0), np.diff(x[:, 0] - centre, axis=0), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"unwrapped": "no"}, "cannot be unwrapped, and displacements are meaningless"), ({}, "transport.reference")],
)
def test_what_displacements_need(tmp_path, change, message):
    path = written(tmp_path, np.zeros((50, 1, 3)), **change)
    with pytest.raises(InputError, match=message):
        read_paths(states_of(np.zeros((50, 1), int), 2), [path], "element Au")


def test_a_changing_volume_is_told(tmp_path):
    cells = CELL * np.linspace(1, 1.01, 50)[:, None, None]
    path = written(tmp_path, np.zeros((50, 1, 3)), cells=cells)
    paths = read_paths(states_of(np.zeros((50, 1), int), 2), [path], "all")
    assert "the volume changes" in paths.flags[0]


def test_transference_depends_on_what_is_at_rest(tmp_path):
    """Ions and a solvent that drift at known speeds: the solvent's frame and that of the mass, by hand."""
    rng = np.random.default_rng(3)
    n = 3000
    # A random force moves everything; Li, Cl and solvent answer with mobilities of their own.
    push = np.cumsum(rng.standard_normal((n, 1, 3)), axis=0)
    mobility = {"Li": 2.0, "Cl": -1.5, "O": 0.5}
    elements = ["Li"] * 2 + ["Cl"] * 2 + ["O", "H", "H"] * 2
    each = np.array([mobility["O" if name in "OH" else name] for name in elements])
    charge = np.array([1.0, 1, -1, -1, -0.8, 0.4, 0.4, -0.8, 0.4, 0.4])
    molecule = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2])
    path = written(tmp_path, push * each[:, None], elements, charge, molecule)
    states = states_of(rng.integers(0, 2, (n, 2)), 2, lag_ps=1.0)
    charges = {"molecules": {"value": [1.0, 1.0], "low": [1.0, 1.0], "high": [1.0, 1.0]}}
    found = run(tmp_path, states, path, charges, lags_ps=[1, 2, 4, 8])
    mass = np.array([{"Li": 6.94, "Cl": 35.45, "O": 15.999, "H": 1.008}[name] for name in elements])
    barycentre = (mass * each).sum() / mass.sum()
    all_charge = (charge * each).sum()
    by_hand = {"barycentric": 2 * (2.0 - barycentre) / all_charge, "solvent": 2 * (2.0 - 0.5) / all_charge}
    assert abs(by_hand["barycentric"] - by_hand["solvent"]) > 0.1
    for name, expected in by_hand.items():
        assert found["collective"]["transference"][name]["value"] == pytest.approx(expected, rel=1e-4)
    assert found["transference"]["value"] == pytest.approx(by_hand["barycentric"], rel=1e-4)
    of_solvent = run(tmp_path, states, path, charges, lags_ps=[1, 2, 4, 8], reference="element O H")
    assert of_solvent["transference"]["value"] == pytest.approx(by_hand["solvent"], rel=1e-4)
    for name, expected in by_hand.items():
        assert of_solvent["collective"]["transference"][name]["value"] == pytest.approx(expected, rel=1e-4)


def test_without_a_solvent_there_is_no_frame_of_one(tmp_path):
    rng = np.random.default_rng(4)
    positions = np.cumsum(rng.standard_normal((200, 4, 3)), axis=0)
    path = written(tmp_path, positions, ["Li", "Li", "Cl", "Cl"], np.array([1.0, 1, -1, -1]), np.zeros(4, int))
    charges = {"molecules": {"value": [1.0, 1.0], "low": [1.0, 1.0], "high": [1.0, 1.0]}}
    found = run(tmp_path, states_of(rng.integers(0, 2, (200, 2)), 2, lag_ps=1.0), path, charges)
    assert found["collective"]["transference"]["solvent"] is None
    assert found["collective"]["transference"]["barycentric"]["value"] is not None
    assert any("no neutral molecules" in flag for flag in found["flags"])


def test_what_cannot_be_negative_has_no_negative_interval(tmp_path):
    rng = np.random.default_rng(5)
    labels, positions = walkers(60, 2, rng)
    path = written(tmp_path, np.concatenate([positions, np.zeros((60, 1, 3))], axis=1), ["Li", "Li", "S"])
    found = run(tmp_path, states_of(labels, 2, lag_ps=1.0), path, reference="element S")
    for key in ("diffusion_m2_per_s", "contribution_percent", "joint_probability"):
        assert min(x for row in found[key]["low"] for x in row if x is not None) >= 0, key
    assert max(x for row in found["contribution_percent"]["high"] for x in row if x is not None) <= 100


def test_a_net_charge_and_unknown_molecules_are_told(tmp_path):
    rng = np.random.default_rng(6)
    positions = np.cumsum(rng.standard_normal((200, 4, 3)), axis=0)
    path = written(tmp_path, positions, ["Li", "Li", "Cl", "S"], np.array([1.0, 1, -1, 0]))
    charges = {"atoms": {"value": [1.0, 0.5], "low": [1.0, 0.5], "high": [1.0, 0.5]}}
    found = run(tmp_path, states_of(rng.integers(0, 2, (200, 2)), 2, lag_ps=1.0), path, charges)
    assert found["charges_e"]["value"] == [1.0, 0.5]
    for words in ("net charge of 1 e", "every charged atom counts as an ion", "sums over single atoms"):
        assert any(words in flag for flag in found["flags"]), words
    assert not any("no charges in the dump" in flag for flag in found["flags"])


def test_charges_that_are_all_zero_are_none(tmp_path):
    rng = np.random.default_rng(7)
    positions = np.cumsum(rng.standard_normal((200, 3, 3)), axis=0)
    path = written(tmp_path, positions, ["Li", "Li", "S"], np.zeros(3), np.array([1, 2, 3]))
    charges = {"molecules": {"value": [0.0, 0.0], "low": [0.0, 0.0], "high": [0.0, 0.0]}}
    found = run(tmp_path, states_of(rng.integers(0, 2, (200, 2)), 2, lag_ps=1.0), path, charges)
    assert found["charges_e"] is None
    assert np.sum(found["contribution_percent"]["value"]) == pytest.approx(100)
    assert any("with equal weight for every carrier" in flag for flag in found["flags"])
