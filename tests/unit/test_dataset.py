"""Shards of several trajectories, of changing targets and of every kind of split, as batches for a network."""

import numpy as np
import pytest
import torch
from trainings import embed_all

from gdyn.config.models import Graphs, Splits, Targets
from gdyn.errors import InputError
from gdyn.graphs import resident
from gdyn.graphs.build import build_shard
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import AHEAD, Loader
from gdyn.networks.gdynet import GDyNet
from gdyn.statistics import Covariances
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms

CELL = np.array([[12.0, 0, 0], [3.0, 11.0, 0], [-2.0, 1.0, 13.0]])


def trajectory(folder, number, n_atoms, n_frames=12, seed=0, segments=(0,), shards=2, **targets):
    """A random trajectory with its shards: every third atom is Li."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        id=np.arange(n_atoms) + 10,
        type=np.ones(n_atoms),
        element=np.array(["Li" if i % 3 == 0 else "S" for i in range(n_atoms)]),
        molecule=np.arange(n_atoms) // 4,
    )
    positions = rng.uniform(0, 1, (n_frames, n_atoms, 3)) @ CELL
    unwrapped = positions + rng.integers(-2, 3, positions.shape) @ CELL
    segment = np.sort(np.resize(segments, n_frames))
    with trajectory_store.write(folder / f"t{number}.h5", atoms, 0.5, "x") as writer:
        writer.append(unwrapped, np.tile(CELL, (n_frames, 1, 1)), range(n_frames), 0.5 * np.arange(n_frames), segment)
        writer.finish(notes="", unwrapped="yes", periodic=(True, True, True), checksum="sha256:x", largest_step=0.0)
    settings = {
        "graphs": Graphs(neighbors=5, shards=shards),
        "targets": Targets(**{"selection": "element Li"} | targets),
    }
    paths = [folder / f"{number}-{part}.h5" for part in range(shards)]
    for part, path in enumerate(paths):
        build_shard([folder / f"t{number}.h5"], path, number, part, hops=2, **settings)
    return positions, paths


@pytest.fixture
def network():
    torch.manual_seed(3)
    net = GDyNet(n_species=2, n_states=3, width=6, convolutions=2, radial_max_A=7.0, radial_step_A=0.2)
    with torch.no_grad():
        net.head[-1].weight *= 8
    return net.eval()


def test_a_dataset_holds_exactly_its_split(tmp_path):
    _, shards = trajectory(tmp_path, 0, 30)
    data = GraphDataset.load(
        reversed(shards), Splits(train=(0.25, 0.75), validation=(0.8, 0.9), test=(0.9, 1)), "train"
    )
    np.testing.assert_allclose(data.time_ps, 0.5 * np.arange(3, 9))
    assert data.elements == ["Li", "S"]
    assert data.target_ids[:, 0].tolist() == list(range(10, 40, 3))
    with pytest.raises(InputError, match="the element S is not among those that the model was trained on"):
        GraphDataset.load(shards, Splits(), "train", elements=["Li"])


def test_a_batch_is_its_frames_one_by_one(tmp_path, network):
    _, shards = trajectory(tmp_path, 0, 60, group_by="molecule")
    data = GraphDataset.load(shards, Splits(), "test")
    frames = np.array([4, 0, 5, 1])
    with torch.no_grad():
        together = network(data.batch(frames, 2))
        alone = torch.cat([network(data.batch(np.array([frame]), 2)) for frame in frames])
    assert len(together) == 4 * data.n_targets
    torch.testing.assert_close(together, alone)
    shallow = data.batch(frames, 1)
    assert len(shallow.counts) == 2
    assert len(shallow.neighbors) == shallow.counts[0]
    assert shallow.neighbors.max() < shallow.counts[1]


@pytest.mark.parametrize("hops", [1, 2])
def test_graphs_left_in_the_shards_are_the_same(tmp_path, hops):
    shards = trajectory(tmp_path, 0, 30, seed=1)[1] + trajectory(tmp_path, 1, 45, seed=2, shards=3)[1]
    splits = Splits(train=(0.2, 0.9), validation=(0.91, 0.95), test=(0.96, 1))
    in_memory, on_disk = (GraphDataset.load(shards, splits, "train", memory_mb=mb) for mb in (1, 0))
    assert (in_memory.in_memory, on_disk.in_memory) == (True, False)
    assert on_disk.nbytes == in_memory.nbytes > 0
    frames = np.array([9, 3, 0, 11, 3])
    for one, two in zip(in_memory.batch(frames, hops), on_disk.batch(frames, hops), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("hops", [1, 2])
def test_graphs_are_gathered_on_a_device_as_on_the_host(tmp_path, hops):
    shards = trajectory(tmp_path, 0, 30, seed=1)[1] + trajectory(tmp_path, 1, 45, seed=2)[1]
    data = GraphDataset.load(shards, Splits(), "test")
    frames = np.array([4, 0, 7, 2])
    expected = data.batch(frames, hops)
    data._graphs = resident.read(data.parts, data.species_of, torch.device("cpu"))
    for one, two in zip(expected, data.batch(frames, hops), strict=True):
        np.testing.assert_array_equal(one, two)
        assert getattr(one, "dtype", None) == getattr(two, "dtype", None)


def test_batches_are_prepared_ahead_and_in_order():
    class Batch(int):
        def on(self, move):
            return self

    prepared = []

    def prepare(number):
        prepared.append(number)
        if number == 7:
            raise InputError("the disk is gone")
        return Batch(number)

    seen = []
    with pytest.raises(InputError, match="the disk is gone"):  # noqa: PT012
        for batch in Loader(torch.device("cpu"), 2)(prepare, iter(range(100))):
            seen.append(batch)
            assert max(prepared) <= batch + AHEAD
    assert seen == list(range(7))


def test_trajectories_of_different_atoms(tmp_path, network):
    _, first = trajectory(tmp_path, 0, 30, seed=1)
    _, second = trajectory(tmp_path, 1, 45, seed=2)
    whole = Splits(train=(0, 0.999), validation=(0.9991, 0.9995), test=(0.9995, 1))
    both = GraphDataset.load(first + second, whole, "train")
    apart = [GraphDataset.load(shards, whole, "train") for shards in (first, second)]
    assert both.n_targets == 10 + 15
    found = embed_all(network, both)
    np.testing.assert_allclose(found[:12, :10], embed_all(network, apart[0]), atol=1e-6)
    np.testing.assert_allclose(found[12:, 10:], embed_all(network, apart[1]), atol=1e-6)
    assert np.isnan(found[:12, 10:]).all()
    assert np.isnan(found[12:, :10]).all()
    # Covariances take pairs of targets that are there, and none across the trajectories.
    pooled = Covariances.of(found, both.segment, 2)
    parts = [Covariances.of(embed_all(network, d), d.segment, 2) for d in apart]
    assert pooled.samples == sum(part.samples for part in parts) == 10 * 10 + 10 * 15
    np.testing.assert_allclose(pooled.c01, sum(p.c01 * p.samples for p in parts) / pooled.samples, atol=1e-6)


def test_trajectories_of_the_same_atoms_share_their_targets(tmp_path):
    shards = trajectory(tmp_path, 0, 30, seed=1)[1] + trajectory(tmp_path, 1, 30, seed=2)[1]
    data = GraphDataset.load(shards, Splits(), "train")
    assert data.n_targets == 10
    assert data.present.all()
    assert data.segment.tolist() == [0] * 5 + [1] * 5


def test_splits_by_trajectory(tmp_path):
    shards = [path for number in range(4) for path in trajectory(tmp_path, number, 30, seed=number)[1]]
    splits = Splits(by="trajectory", train=(0, 0.5), validation=(0.5, 0.75), test=(0.75, 1))
    found = {name: GraphDataset.load(shards, splits, name).trajectory for name in splits.as_dict()}
    assert {name: sorted(set(numbers.tolist())) for name, numbers in found.items()} == {
        "train": [0, 1],
        "validation": [2],
        "test": [3],
    }
    assert len(found["test"]) == 12


def test_splits_by_target(tmp_path, network):
    _, shards = trajectory(tmp_path, 0, 60)
    splits = Splits(by="target", train=(0, 0.4), validation=(0.4, 0.6), test=(0.6, 1))
    parts = {name: GraphDataset.load(shards, splits, name) for name in splits.as_dict()}
    ids = [part.target_ids[:, 0].tolist() for part in parts.values()]
    assert [len(i) for i in ids] == [8, 4, 8]
    assert sorted(np.concatenate(ids).tolist()) == list(range(10, 70, 3))
    assert ids[0] != list(range(10, 70, 3))[:8]
    whole = GraphDataset.load(shards, Splits(train=(0, 0.999), validation=(0.9991, 0.9995), test=(0.9995, 1)), "train")
    everything = embed_all(network, whole)
    for part in parts.values():
        assert len(part) == 12
        mine = np.isin(whole.target_ids[:, 0], part.target_ids[:, 0])
        np.testing.assert_allclose(embed_all(network, part), everything[:, mine], atol=1e-6)


def test_a_selection_that_changes_in_time(tmp_path, network):
    selection = {"selection": "element Li and prop x < 6", "dynamic_ps": [1.0, 3.0]}
    positions, shards = trajectory(tmp_path, 0, 60, **selection)
    whole = Splits(train=(0, 0.999), validation=(0.9991, 0.9995), test=(0.9995, 1))
    data = GraphDataset.load(shards, whole, "train")
    found = embed_all(network, data)
    for frame in range(12):
        chosen_at = None if frame < 2 else 2 if frame < 6 else 6
        expected = [i + 10 for i in range(0, 60, 3) if chosen_at is not None and positions[chosen_at, i, 0] < 6]
        present = ~np.isnan(found[frame, :, 0])
        assert data.target_ids[present, 0].tolist() == expected
    # Pairs hold the targets that are there at both times, in the same order.
    first = np.array([3, 4, 5])
    batch = data.pairs(first, 3, 2)
    assert batch.graph.starts.shape[1] - 1 == len({3, 4, 5, 6, 7, 8})
    with torch.no_grad():
        values = network(batch.graph)
    x, y = values[batch.ends].unbind(1)
    both = data.both_present(first, 3)
    assert 0 < both.sum() < data.present[data.window[first]].sum()
    np.testing.assert_allclose(x, found[first][both], atol=1e-6)
    np.testing.assert_allclose(y, found[first + 3][both], atol=1e-6)


def test_a_time_beyond_the_end(tmp_path):
    with pytest.raises(InputError, match=r"targets\.dynamic_ps: 9 ps is beyond the end of x, which is 5\.5 ps long"):
        trajectory(tmp_path, 0, 30, dynamic_ps=9)


def test_an_empty_split(tmp_path):
    _, shards = trajectory(tmp_path, 0, 30)
    with pytest.raises(InputError, match=r"splits\.validation: \[0\.5, 0\.51\] holds no frame"):
        GraphDataset.load(shards, Splits(train=(0, 0.5), validation=(0.5, 0.51), test=(0.6, 1)), "validation")
