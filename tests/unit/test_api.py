"""What a notebook has of gdyn."""

import copy
import gc
import pickle
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from helpers import markov_chain
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

import gdyn
from gdyn.analyses import FIGURES
from gdyn.errors import ConfigError, InputError
from gdyn.files import read_json, write_json
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms
from gdyn.store.walk import stored_frames

DUMP = """ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 10
0 10
0 10
ITEM: ATOMS id element xu yu zu
2 S 5 5 5
1 Li {x} 1 1
"""


@pytest.fixture
def kept(root):
    return gdyn.results(root / "tests/data/formats/0.1/results")


def test_importing_gdyn_loads_nothing_else():
    code = "import gdyn, sys; print(sorted({'numpy', 'torch', 'pandas', 'MDAnalysis', 'pydantic'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_no_result_needs_torch(root):
    code = (
        f"import gdyn, sys; r = gdyn.results({str(root / 'tests/data/formats/0.1/results')!r}); r.plot_koopman(); "
        f"print('torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_all_that_is_public_is_there():
    for name in gdyn.__all__:
        assert getattr(gdyn, name) is not None, name
    assert set(gdyn.__all__) <= set(dir(gdyn))
    with pytest.raises(AttributeError, match="no attribute 'results_of'"):
        _ = gdyn.results_of


def test_a_dump_is_read(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text("".join(DUMP.format(step=100 * n, x=1 + n) for n in range(3)))
    before = set(Path(tempfile.gettempdir()).glob("gdyn-*"))
    trajectory = gdyn.read_dump(path, units="metal", timestep=0.001, frame_interval_ps=0.1)
    assert trajectory.atoms.element.tolist() == ["Li", "S"]
    np.testing.assert_allclose(trajectory.positions(atoms=0)[:, 0], [1, 2, 3])
    np.testing.assert_allclose(trajectory.time_ps, [0, 0.1, 0.2])
    (folder,) = set(Path(tempfile.gettempdir()).glob("gdyn-*")) - before
    del trajectory
    gc.collect()
    assert not folder.exists()
    with pytest.raises(InputError, match=r"b\.lammpstrj"):
        gdyn.read_dump(tmp_path / "b.lammpstrj", units="metal", timestep=0.001, frame_interval_ps=0.1)


def test_a_trajectory_of_arrays():
    positions = np.arange(24.0).reshape(4, 2, 3)
    trajectory = gdyn.TrajectoryStore.of(positions, 9.0 * np.eye(3), ["Li", "S"], 0.5)
    np.testing.assert_array_equal(trajectory.positions(), positions)
    np.testing.assert_array_equal(trajectory.cells(2), 9.0 * np.eye(3))
    np.testing.assert_array_equal(trajectory.time_ps, [0.0, 0.5, 1.0, 1.5])
    assert (len(trajectory), trajectory.atoms.element.tolist()) == (4, ["Li", "S"])


def test_states_of_arrays_begin_anew_in_each_trajectory():
    states = gdyn.States.of(np.full((5, 2, 2), 0.5), 1.0, 0.5, np.array([0, 0, 0, 1, 1]))
    assert states.time_ps.tolist() == [0.0, 0.5, 1.0, 0.0, 0.5]
    assert states.segment.tolist() == [0, 0, 0, 1, 1]
    assert states.target_ids.tolist() == [[1], [2]]
    with pytest.raises(ConfigError, match="lag_ps"):
        gdyn.States.of(np.full((5, 2, 2), 0.5), 0.7, 0.5)


def test_neighbors_are_those_of_all_images():
    rng = np.random.default_rng(0)
    positions = rng.random((20, 3)) * 8.0
    numbers, distances = gdyn.neighbors(positions, 8.0 * np.eye(3), 6)
    shifts = 8.0 * (np.stack(np.meshgrid(*[range(-1, 2)] * 3), -1).reshape(-1, 3))
    images = (positions[:, None] + shifts).reshape(-1, 3)
    expected = np.sort(cdist(positions, images), axis=1)[:, 1:7]
    np.testing.assert_allclose(distances, expected, atol=1e-9)
    assert numbers.shape == (20, 6)


def test_a_koopman_model_of_probabilities():
    """Of two states that are left at rates of 0.05 and 0.1 per ps."""
    matrix = [[0.95, 0.05], [0.1, 0.9]]
    labels = markov_chain(matrix, 4000, np.random.default_rng(1), 8)
    model = gdyn.koopman(np.eye(2)[labels], lag_ps=2.0, frame_interval_ps=1.0, chunks=5)
    (process,) = model.timescales_ps
    assert process.low < -1 / np.log(0.85) < process.high
    assert (model.koopman.low < np.linalg.matrix_power(matrix, 2)).all()
    assert (np.linalg.matrix_power(matrix, 2) < model.koopman.high).all()
    assert "population of state 1: 0.6" in str(model)
    with pytest.raises(InputError, match="frame_interval_ps"):
        gdyn.koopman(np.eye(2)[labels], lag_ps=2.0)


def test_results_of_the_workflow(kept):
    assert set(kept.analyses) >= {"koopman", "chapman_kolmogorov", "sites", "structure", "order", "transport", "select"}
    assert kept.koopman.n_states == len(kept.populations) == 2
    assert kept.populations["population"].sum() == pytest.approx(1.0)
    assert kept.timescales.loc[1, "timescale_ps"] == kept.koopman.timescales_ps[0].value
    assert kept.transport.transitions["time_ps"].min() == 1.0
    assert "timescale of process 1" in str(kept)
    assert kept.summary["warnings"][0] in str(kept)
    assert {"koopman", "plot_order"} <= set(dir(kept))


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_drawn_from_results(kept, name):
    if name not in kept.figures:
        pytest.skip("the kept results are older than this figure")
    figure = getattr(kept, f"plot_{name}")()
    assert isinstance(figure, Figure)
    assert figure.axes


def test_what_results_lack_is_said(kept, tmp_path):
    with pytest.raises(AttributeError, match="there is no 'plot_nothing'; it has the analyses koopman, "):
        kept.plot_nothing()
    with pytest.raises(InputError, match=r"there is no summary.json in it; give the folder of a system"):
        gdyn.results(tmp_path)


def test_files_of_an_earlier_run_are_not_taken_for_results(root, tmp_path):
    """The summary says which analyses there were."""
    shutil.copytree(root / "tests/data/formats/0.1/results", tmp_path / "mine")
    path = tmp_path / "mine/summary.json"
    write_json(path, read_json(path) | {"analyses": ["koopman", "select"]})
    now = gdyn.results(tmp_path / "mine")
    assert now.analyses == ["koopman", "select"]
    assert "transport" not in now.figures
    with pytest.raises(AttributeError, match="there is no 'transport'"):
        _ = now.transport
    with pytest.raises(InputError, match="there is no figure 'transport'; there are timescales"):
        now.plot("transport")


def test_results_are_copied_and_pickled(kept):
    assert pickle.loads(pickle.dumps(kept)).koopman.n_states == copy.deepcopy(kept).koopman.n_states == 2


def test_a_notebook_shows_a_figure(kept):
    assert kept.plot_koopman()._repr_png_().startswith(b"\x89PNG")


def test_shapes_that_do_not_fit_are_refused():
    chi = np.full((4, 2, 2), 0.5)
    with pytest.raises(InputError, match="in ascending order"):
        gdyn.States.of(chi, 1.0, 1.0, np.array([1, 1, 0, 0]))
    with pytest.raises(InputError, match="target_ids"):
        gdyn.States.of(chi, 1.0, 1.0, target_ids=np.array([[1]]))
    positions = np.zeros((4, 3, 3))
    for wrong, sentence in (
        ({"atoms": ["Li"]}, "positions: should be"),
        ({"cell": np.ones((1, 3))}, "cell: should be lattice vectors"),
        ({"periodic": (True,)}, "periodic"),
    ):
        given = {"positions": positions, "cell": np.eye(3), "atoms": ["Li"] * 3, "frame_interval_ps": 1.0} | wrong
        with pytest.raises((InputError, TypeError), match=sentence):
            gdyn.TrajectoryStore.of(**given)


CHI = np.full((6, 2, 2), 0.5)


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        (CHI[:, 0], r"not of shape \(6, 2\); of one target, p\[:, None\]"),
        (3.0 * CHI, r"in frame 0, those of target 0 are \[1\.5, 1\.5\]; all should be from 0 to 1"),
        (np.concatenate([CHI[:5], [[[0.5, 0.5], [0.5, np.nan]]]]), "in frame 5, those of target 1 are"),
        (np.concatenate([CHI[:4], [[[0.5, 0.5], [1.5, -0.5]]] * 2]), "in frame 4, those of target 1 are"),
    ],
)
def test_what_are_no_probabilities_is_refused(probabilities, sentence):
    with pytest.raises(InputError, match=sentence):
        gdyn.States.of(probabilities, 1.0, 1.0)


def test_targets_may_be_absent():
    absent = CHI.copy()
    absent[2:4, 1] = np.nan
    assert gdyn.States.of(absent, 1.0, 1.0).present.sum() == 10


def test_keywords_that_do_not_exist_are_corrected(tmp_path):
    with pytest.raises(ConfigError, match=r"read_dump: .*did you mean 'timestep'"):
        gdyn.read_dump(tmp_path / "a.lammpstrj", units="metal", timestp=0.001)
    with pytest.raises(ConfigError, match=r"koopman: .*did you mean 'chunks'"):
        gdyn.koopman(CHI, 1.0, 1.0, chunk=4)


def test_two_frame_intervals_contradict_each_other():
    with pytest.raises(InputError, match=r"0\.5, but the states are 1 ps apart"):
        gdyn.koopman(gdyn.States.of(CHI, 1.0, 1.0), 1.0, 0.5)


def test_results_are_described_in_few_lines(kept):
    for name in kept.analyses:
        lines = repr(getattr(kept, name)).splitlines()
        assert len(lines) < 40
        assert max(map(len, lines)) < 400


def test_numbers_of_results_cannot_be_changed(kept):
    with pytest.raises(ValueError, match="read-only"):
        kept.koopman.populations.value[0] = 1.0


def test_caveats_stand_by_numbers_that_belong_together(kept):
    flags = {"timescales_ps": ["all too short"], "vamp2": ["no signal"]}
    model = kept.koopman.with_flags(flags)
    assert {process.caveats for process in model.timescales_ps} == {("all too short",)}
    assert model.vamp2.test.caveats == ("no signal",)


def test_other_files_beside_the_stores_are_left_out(root, tmp_path):
    shutil.copytree(root / "tests/data/formats/0.1/results", tmp_path / "kept")
    (tmp_path / "kept/trajectory").mkdir(exist_ok=True)
    for name in ("10.h5", "2.h5", "copy of 2.h5"):
        (tmp_path / "kept/trajectory" / name).touch()
    assert [path.name for path in gdyn.results(tmp_path / "kept").trajectory_files][-2:] == ["2.h5", "10.h5"]


def test_a_broken_result_is_named(root, tmp_path):
    shutil.copytree(root / "tests/data/formats/0.1/results", tmp_path / "kept")
    path = tmp_path / "kept/analysis/koopman.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"koopman\.json: is not JSON .*; delete it and let the workflow remake it"):
        _ = gdyn.results(tmp_path / "kept").koopman


def test_a_number_with_an_interval_is_formatted_as_a_number():
    number = gdyn.Interval(1.234, 1.0, 1.5, "ps")
    assert (float(number), f"{number:.1f}", f"{number}") == (1.234, "1.2", str(number))


def test_a_joined_interval_keeps_the_unit_of_all():
    one, other = gdyn.Interval(1.0, 0.5, 2.0, "ps"), gdyn.Interval(3.0, 2.0, 4.0, "ps")
    assert gdyn.Interval.join([one, other]).unit == "ps"
    assert gdyn.Interval.join([one, other.map(lambda x: x)]).value.tolist() == [1.0, 3.0]
    assert gdyn.Interval.join([one, gdyn.Interval(1.0, 0.0, 2.0, "A")]).unit == ""


def test_states_of_any_times():
    times = np.array([100.0, 101.0, 105.0, 106.0, 100.0, 101.0])
    states = gdyn.States.of(CHI, 1.0, 1.0, np.array([0, 0, 0, 0, 1, 1]), time_ps=times)
    assert states.segment.tolist() == [0, 0, 1, 1, 2, 2]
    with pytest.raises(InputError, match="time_ps: should be in ascending order"):
        gdyn.States.of(CHI, 1.0, 1.0, time_ps=times)


@pytest.mark.parametrize(
    ("probabilities", "sentence"),
    [
        (np.zeros((5, 2), int), r"of labels from 0 on, np\.eye\(n_states\)\[labels\]"),
        (np.ones((5, 2, 1)), "at least two states"),
        (np.ones((0, 2, 2)), "there have to be frames"),
        (np.ones((5, 0, 2)), "there have to be frames"),
    ],
)
def test_states_that_are_none_are_refused(probabilities, sentence):
    with pytest.raises(InputError, match=sentence):
        gdyn.States.of(probabilities, 1.0, 1.0)


@pytest.mark.parametrize("interval", [0.0, -1.0, np.nan, np.inf])
def test_times_that_are_none_are_refused(interval):
    with pytest.raises(ConfigError, match=r"lag_ps: 1\.0 ps is no time"):
        gdyn.States.of(CHI, 1.0, interval)


def test_targets_are_looked_up_by_their_ids():
    """Of an id that does not exist, the next atom would be taken."""
    atoms = Atoms(np.array([1, 3, 5]), np.ones(3, int), np.array(["Li", "S", "S"]))
    positions = np.random.default_rng(0).random((40, 3, 3)) * 9.0
    trajectory = gdyn.TrajectoryStore.of(positions, 9.0 * np.eye(3), atoms, 1.0)
    chi = np.eye(2)[np.arange(40) // 4 % 2][:, None]
    for wrong in (2, 99):
        states = gdyn.States.of(chi, 1.0, 1.0, target_ids=[[wrong]])
        with pytest.raises(InputError, match=f"target_ids: arrays has no atom with the id {wrong}"):
            gdyn.structure_by_state(states, [trajectory], gdyn.Structure(max_A=3.0), gdyn.Kinetics())
    states = gdyn.States.of(chi, 1.0, 1.0, target_ids=[[3]])
    late = gdyn.States.of(chi, 1.0, 1.0, target_ids=[[3]], time_ps=100.0 + np.arange(40))
    with pytest.raises(InputError, match=r"not of this trajectory, .* from 100 to 139 ps and .*from 0 to 39 ps"):
        gdyn.structure_by_state(late, [trajectory], gdyn.Structure(max_A=3.0), gdyn.Kinetics())
    with pytest.raises(InputError, match="of number 0, counted from 0, and 0 are given"):
        gdyn.structure_by_state(states, [], gdyn.Structure(max_A=3.0), gdyn.Kinetics())


def test_arguments_of_a_wrong_kind_are_refused_in_one_sentence(root):
    """Without the checks that tests add to annotations."""
    code = """
import gdyn, numpy as np
from gdyn.errors import InputError
right = {"positions": np.random.default_rng(0).random((9, 3)), "cell": 8.0 * np.eye(3), "count": 3}
for wrong in (
    {"cell": [8.0, 8.0, 8.0]}, {"cell": np.diag([8.0, 8.0, np.inf])}, {"periodic": (True, True)},
    {"periodic": True}, {"positions": np.zeros((3, 2))}, {"count": 3.0}, {"count": 0},
):
    try:
        print(gdyn.neighbors(**right | wrong))
    except InputError as error:
        print(error)
trajectory = gdyn.TrajectoryStore.of(np.zeros((9, 1, 3)), np.eye(3), ["Li"], 1.0)
states = gdyn.States.of(np.full((9, 1, 2), 0.5), 1.0, 1.0)
try:
    gdyn.structure_by_state(states, trajectory, gdyn.Structure(), gdyn.Kinetics())
except InputError as error:
    print(error)
"""
    lines = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    box, infinite, two, one, flat, real, none, single = lines.stdout.splitlines()
    assert "of a box, np.diag(edges)" in box
    assert "has no volume" in infinite
    assert "periodic: should be three" in two
    assert "periodic: should be three" in one
    assert "positions: should be (atoms, 3)" in flat
    assert "a whole number, at least 1, not 3.0" in real
    assert "a whole number, at least 1, not 0" in none
    assert "a single one as [trajectory]" in single


def test_what_speaks_against_all_numbers_is_with_each(kept):
    assert kept.transport.flags
    assert kept.transport.msd_exponent < 1.0
    for name in ("contribution_percent", "conductivity_S_per_m", "tracer_diffusion_m2_per_s"):
        assert getattr(kept.transport, name).caveats == tuple(kept.transport.flags)


def test_a_store_is_read_like_a_dump(tmp_path):
    lithium = Atoms(np.array([1]), np.array([1]), np.array(["Li"]))
    frames = np.arange(3)
    with trajectory_store.write(tmp_path / "a.h5", lithium, 1.0, "a dump") as writer:
        writer.append(np.zeros((3, 1, 3)), np.broadcast_to(np.eye(3), (3, 3, 3)), frames, 1.0 * frames, 0 * frames)
        writer.finish(notes="", unwrapped="yes", largest_step=0.0, periodic=(True,) * 3, checksum="sha256:same")
    read = gdyn.read_dump(tmp_path / "*.h5", units="metal", timestep=0.001, frame_interval_ps=1.0)
    assert len(read) == 3


def test_a_test_that_says_little_says_so_beside_its_number():
    labels = markov_chain([[0.95, 0.05], [0.1, 0.9]], 60, np.random.default_rng(1), 2)
    test = gdyn.ck_test(gdyn.States.of(np.eye(2)[labels], 2.0, 1.0), gdyn.Kinetics(chunks=3))
    (sentence,) = next(iter(test.flags.values()))
    assert test.max_deviation.caveats == (sentence,)


def test_trajectories_are_numbered_in_order_whatever_the_type_of_the_numbers():
    with pytest.raises(InputError, match="in ascending order"):
        gdyn.States.of(CHI, 1.0, 1.0, np.array([1, 1, 0, 0, 1, 1], np.uint8))


def test_a_time_that_is_late_by_its_rounding_is_found():
    trajectory = gdyn.TrajectoryStore.of(np.arange(18.0).reshape(6, 1, 3), 99.0 * np.eye(3), ["Li"], 1.0)
    times = np.arange(6) + np.array([0, 5e-4, 0, 0, -5e-4, 5e-4])
    states = gdyn.States.of(CHI[:, :1], 1.0, 1.0, time_ps=times)
    assert stored_frames(trajectory, states, np.arange(6)).tolist() == [0, 1, 2, 3, 4, 5]


def test_caveats_are_with_numbers_that_have_names(kept):
    numbers = [one for one in kept.structure.coordination.values() if one is not None]
    assert {one.caveats for one in numbers} == {tuple(kept.structure.flags)}
