import fcntl
import re

import h5py
import numpy as np
import pytest
from helpers import states_of

from gdyn.errors import InputError
from gdyn.store import GraphShard, States, TrajectoryStore
from gdyn.store import graphs as graph_store
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms


def write_shard(path, n_atoms=8, far=3.0, frames=4):
    about = {"trajectory": 1, "frame_interval_ps": 0.5, "source_checksum": "sha256:1"}
    sets, ids = [[0, 1], [2, -1]], [[5, 6], [7, -1]]
    # The number of atoms in reach changes from frame to frame.
    fields = [(np.arange(4 + i), np.array([3, 4 + i]), np.full((3, 2), i), np.full((3, 2), far)) for i in range(frames)]
    with graph_store.write(path, ["Li"] * n_atoms, sets, ids, [[True, True], [True, False]], **about) as append:
        append(fields[:2], [3, 4], [1.5, 2.0], [0, 0], [0, 0])
        append(fields[2:], [5, 6], [2.5, 3.0], [0, 1], [0, 1])


def test_shards_come_back_as_they_were(tmp_path):
    write_shard(tmp_path / "a.h5", far=1.23456)
    shard = GraphShard.read(tmp_path / "a.h5")
    assert shard.neighbors.dtype == shard.distance_mA.dtype == np.uint16
    assert (shard.distance_mA == 1235).all()
    assert shard.frame.tolist() == [3, 4, 5, 6]
    assert shard.segment.tolist() == [0, 0, 0, 1]
    assert shard.target_ids.tolist() == [[5, 6], [7, -1]]
    assert shard.counts.tolist() == [[3, 4], [3, 5], [3, 6], [3, 7]]
    assert len(shard.nodes) == 4 + 5 + 6 + 7
    assert len(shard.neighbors) == 4 * 3
    assert shard.window.tolist() == [0, 0, 0, 1]
    assert shard.present.tolist() == [[True, True], [True, False]]
    assert (shard.trajectory, shard.frame_interval_ps) == (1, 0.5)
    assert list(shard.elements) == ["Li"] * 8


def test_only_the_frames_asked_for_are_read(tmp_path):
    write_shard(tmp_path / "a.h5")
    shard = GraphShard.read(tmp_path / "a.h5", lambda trajectory, frame: slice(1, 3))
    assert shard.frame.tolist() == [4, 5]
    assert shard.neighbors.tolist() == [[1, 1]] * 3 + [[2, 2]] * 3
    assert shard.nodes.tolist() == [*range(5), *range(6)]
    assert GraphShard.read(tmp_path / "a.h5", lambda *_: slice(3, 1)).nodes.tolist() == []


def test_large_systems_get_wider_indices(tmp_path):
    write_shard(tmp_path / "a.h5", n_atoms=2**16 + 1)
    assert GraphShard.read(tmp_path / "a.h5").neighbors.dtype == np.uint32


def test_checksum_tells_contents_apart(tmp_path):
    for name, far in (("a", 3.0), ("b", 3.0), ("c", 3.001)):
        write_shard(tmp_path / f"{name}.h5", far=far)
    a, b, c = (GraphShard.read(tmp_path / f"{name}.h5").checksum for name in "abc")
    assert a == b != c


def test_a_neighbor_too_far_for_the_format(tmp_path):
    with pytest.raises(InputError, match=r"70\.0 A away and a shard holds 65\.535 A at most"):
        write_shard(tmp_path / "a.h5", far=70.0)
    assert not list(tmp_path.iterdir())


def test_states_come_back_as_they_were(tmp_path):
    states = states_of(np.array([[0, 1], [1, 1], [1, 0]]), 2, lag_ps=3.0, frame_interval_ps=0.5)
    states.write(tmp_path / "test.h5")
    back = States.read(tmp_path / "test.h5")
    np.testing.assert_array_equal(back.probabilities, states.probabilities)
    assert back.lag_frames == 6
    assert back.split == "test"
    with h5py.File(tmp_path / "test.h5") as file:
        assert file["probabilities"].dtype == np.float32
        assert {"probabilities", "time_ps", "trajectory", "target_ids"} <= set(file)
        assert file["target_ids"].shape == (2, 1)


def test_reordered_states():
    states = states_of(np.array([[0], [1], [2]]), 3).reordered([2, 0, 1])
    assert states.probabilities.argmax(-1)[:, 0].tolist() == [1, 2, 0]


@pytest.mark.parametrize("read", [GraphShard.read, States.read, lambda path: TrajectoryStore.open(path).__enter__()])
def test_files_that_are_something_else(tmp_path, read):
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(InputError, match="cannot be opened as HDF5"):
        read(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["format"], file.attrs["version"] = "gdyn-graphs", 99
    with pytest.raises(InputError, match="holds gdyn-graphs version 99, but"):
        read(tmp_path / "other.h5")
    with pytest.raises(InputError, match="cannot be opened"):
        read(tmp_path / "none.h5")


def part(path, values, first_frame):
    """A part of a trajectory whose positions are these numbers, one a frame."""
    atoms = Atoms(id=np.array([1]), type=np.array([1]), element=np.array(["Li"], object))
    n = len(values)
    with trajectory_store.write(path, atoms, 1.0, "a dump") as writer:
        writer.append(
            np.reshape(values, (n, 1, 1)) * np.ones(3),
            np.broadcast_to(10.0 * np.eye(3), (n, 3, 3)),
            first_frame + np.arange(n),
            1.0 * (first_frame + np.arange(n)),
            np.zeros(n),
        )
        about = {
            "notes": "",
            "unwrapped": "yes",
            "largest_step": 0.0,
            "periodic": (True,) * 3,
            "checksum": "sha256:same",
        }
        writer.finish(**about, first_frame=first_frame)


@pytest.mark.parametrize("name", ["plain", "50%", "a%%b", "100%d", "with space"])
def test_parts_are_one_trajectory_in_a_folder_of_any_name(tmp_path, name):
    folder = tmp_path / name / "parts"
    folder.mkdir(parents=True)
    for number, (values, first) in enumerate([([1, 2, 3], 0), ([4], 3), ([5, 6], 4)]):
        part(folder / f"{number}.h5", values, first)
    paths = [folder / f"{number}.h5" for number in range(3)]
    with TrajectoryStore.open(*paths) as store:
        assert store.positions()[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
        assert store.is_part
    trajectory_store.join(paths, folder.parent / "0.h5")
    moved = tmp_path / "moved"
    folder.parent.rename(moved)
    with TrajectoryStore.open(moved / "0.h5") as store:
        assert store.positions()[:, 0, 0].tolist() == [1, 2, 3, 4, 5, 6]
        assert store.positions([1, 4])[:, 0, 0].tolist() == [2, 5]
        assert store.step.tolist() == [0, 1, 2, 3, 4, 5]
        assert not store.is_part
    part(moved / "parts/1.h5", [4.5], 3)  # of the same dump, says its checksum
    with pytest.raises(InputError, match="no longer the part that it was put together from"):
        TrajectoryStore.open(moved / "0.h5").__enter__()
    (moved / "parts/1.h5").unlink()
    with pytest.raises(InputError, match=r"a part of it is missing or damaged: .*parts/1\.h5"):
        TrajectoryStore.open(moved / "0.h5").__enter__()
    with pytest.raises(InputError, match=r"2\.h5: is not the part of the trajectory that follows 3 frames"):
        trajectory_store.join([moved / "parts/0.h5", moved / "parts/2.h5"], tmp_path / "x.h5")
    assert not (tmp_path / "x.h5").exists()


def test_parts_are_read_while_another_job_reads_them(tmp_path):
    for number, (values, first) in enumerate([([1, 2, 3], 0), ([4], 3)]):
        part(tmp_path / f"{number}.h5", values, first)
    with open(tmp_path / "0.h5") as another, open(tmp_path / "1.h5") as job:
        for file in another, job:
            fcntl.flock(file, fcntl.LOCK_SH)  # as HDF5 does for whoever reads
        with TrajectoryStore.open(tmp_path / "0.h5", tmp_path / "1.h5") as store:
            assert store.positions()[:, 0, 0].tolist() == [1, 2, 3, 4]


def test_a_store_that_cannot_be_opened_is_not_taken_for_a_dump(tmp_path):
    part(tmp_path / "0.h5", [1], 0)
    with open(tmp_path / "0.h5", "r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match=r"0\.h5: cannot be opened as HDF5"):
        trajectory_store.is_store(tmp_path / "0.h5")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"probabilities": np.full((4, 2, 2), np.nan)}, "all are NaN, so that no target is present"),
        ({"probabilities": np.full((4, 2, 2), 0.5 + 0j)}, "should be real numbers, but they are of the type complex"),
        ({"probabilities": np.full((4, 2, 2), "x")}, "should be real numbers"),
        ({"lag_ps": "1"}, "lag_ps: should be a time in ps, a number, but is '1'"),
        ({"frame_interval_ps": None}, "frame_interval_ps: should be a time in ps, a number, but is None"),
        ({"time_ps": [[0.0], [1.0, 2.0]]}, "time_ps: should be an array, but its rows are of different lengths"),
    ],
)
def test_states_of_what_are_none_are_refused(change, sentence):
    given = {"probabilities": np.full((4, 2, 2), 0.5), "lag_ps": 1.0, "frame_interval_ps": 1.0} | change
    with pytest.raises(InputError, match=re.escape(sentence)):
        States.of(**given)
