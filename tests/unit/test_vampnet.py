"""The global baseline: whole configurations, the network that reads them, and its training."""

import numpy as np
import pytest
import torch
from helpers import markov_chain
from trainings import embed_all

from gdyn.config import load_system
from gdyn.config.models import Baseline, Config, Network, Splits, Targets, Training, Trial
from gdyn.errors import ConfigError, InputError
from gdyn.graphs.configurations import ConfigurationDataset
from gdyn.kinetics.koopman import slowest_timescale
from gdyn.networks.vampnet import VAMPnet
from gdyn.store import States, trajectory
from gdyn.training.checkpoint import begin_from, load_model
from gdyn.training.loop import train
from gdyn.training.predict import predict

CELL = np.array([[8.0, 0, 0], [3.0, 8.0, 0], [0, 0, 9.0]])
LI = Targets(selection="element Li")
SITES = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
HOPS = np.array([[0.98, 0.02], [0.02, 0.98]])


def store(path, positions, elements=("Li", "S"), periodic=(True, True, True), segment=None):
    n = len(elements)
    atoms = trajectory.Atoms(id=np.arange(1, n + 1), type=np.ones(n), element=np.array(elements))
    frames = len(positions)
    with trajectory.write(path, atoms, 1.0, path.name) as writer:
        cells = np.tile(CELL, (frames, 1, 1))
        writer.append(
            positions, cells, range(frames), np.arange(frames), np.zeros(frames) if segment is None else segment
        )
        writer.finish(notes="", unwrapped="yes", periodic=periodic, checksum=f"sha256:{path.name}", largest_step=0.0)
    return path


@pytest.fixture
def hopper(tmp_path):
    """One Li that hops between a corner and the middle of a tilted cell, whatever the image: states and the store."""
    rng = np.random.default_rng(1)
    labels = markov_chain(HOPS, 6000, rng)[:, 0]
    fractional = SITES[labels] + 0.03 * rng.standard_normal((6000, 3)) + rng.integers(-2, 3, (6000, 3))
    still = np.tile([4.0, 1.0, 1.0], (6000, 1))
    return labels, store(tmp_path / "t.h5", np.stack([fractional @ CELL, still], axis=1))


def test_periodic_images_are_the_same_configuration(tmp_path):
    place = np.array([0.2, 0.7, 0.4])
    images = np.stack([place, place + np.eye(3)[0], place - np.array([2, 1, -3])]) @ CELL
    path = store(tmp_path / "t.h5", np.stack([images, np.zeros((3, 3))], axis=1))
    splits = Splits(train=(0, 0.98), validation=(0.98, 0.99), test=(0.99, 1))
    data = ConfigurationDataset.load([path], splits, "train", LI)
    assert data.n_features == 6
    assert data.target_ids.tolist() == [[1]]
    np.testing.assert_allclose(data.features, np.tile(data.features[0], (3, 1)), atol=1e-5)
    np.testing.assert_allclose(data.features[0, :3], np.cos(2 * np.pi * place), atol=1e-5)


def test_configurations_of_a_split_and_their_pairs(tmp_path):
    rng = np.random.default_rng(0)
    paths = [
        store(tmp_path / f"{i}.h5", rng.random((10, 2, 3)), ("Li", "Li"), segment=[0] * 6 + [1] * 4) for i in range(2)
    ]
    data = ConfigurationDataset.load(paths, Splits(train=(0, 0.8), validation=(0.8, 0.9), test=(0.9, 1)), "train", LI)
    assert len(data) == 16
    assert data.trajectory.tolist() == [0] * 8 + [1] * 8
    assert data.segment.tolist() == [0] * 6 + [1] * 2 + [2] * 6 + [3] * 2
    assert (data.n_targets, data.n_features) == (1, 12)
    batch = data.pairs(np.array([0, 2, 9]), 2, 0)
    features = batch.graph.features
    torch.testing.assert_close(features[batch.ends[:, 0]], data.features[[0, 2, 9]])
    torch.testing.assert_close(features[batch.ends[:, 1]], data.features[[2, 4, 11]])
    assert batch.uses.tolist() == [1, 2, 1, 1, 1]  # frames 0, 2, 4, 9, 11
    by_trajectory = Splits(by="trajectory", train=(0, 0.5), validation=(0.5, 0.6), test=(0.6, 1))
    one = ConfigurationDataset.load(paths, by_trajectory, "train", LI)
    assert set(one.trajectory) == {0}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"elements": ("Li", "Li")},
            "the same targets in every trajectory, and this one has 2 target atoms instead of 1",
        ),
        ({"periodic": (True, True, False)}, "needs a box that is periodic in all directions"),
    ],
)
def test_configurations_that_are_not_alike(tmp_path, change, message):
    paths = [store(tmp_path / "0.h5", np.zeros((9, 2, 3))), store(tmp_path / "1.h5", np.zeros((9, 2, 3)), **change)]
    with pytest.raises(InputError, match=message):
        ConfigurationDataset.load(paths, Splits(), "train", LI)


def test_a_vampnet_finds_the_states_of_the_cell(hopper, tmp_path):
    labels, path = hopper
    trial = Trial(model="vampnet", n_states=2, lag_ps=5.0, width=16, convolutions=2, learning_rate=0.005)
    outputs = {name: tmp_path / f"{name}.pt" for name in ("model", "history", "states", "numbers")}
    settings = {"splits": Splits(), "targets": LI, "network": Network(),
                "training": Training(batch_samples=1024, epoch_steps=10, max_epochs=8)}  # fmt: skip
    train(
        files=[path], **outputs, resume=tmp_path / "resume.pt", trial=trial, seed=1, threads=1, device="cpu", **settings
    )
    network, about = load_model(outputs["model"])
    assert isinstance(network, VAMPnet)
    assert about["model"] == about["trial"]["model"] == "vampnet"
    test = tmp_path / "test.h5"
    numbers = {"models": [outputs["model"]] * 2, "numbers": [outputs["numbers"]] * 2}
    predict(
        [path], **numbers, outputs={"test": test}, threads=1, device="cpu", splits=Splits(), targets=LI, memory_mb=100
    )
    states = States.read(test)
    found, truth = states.probabilities[:, 0].argmax(1), labels[3000:]
    assert max(np.mean(found == truth), np.mean(found != truth)) > 0.99
    assert slowest_timescale(states) == pytest.approx(-1 / np.log(0.96), rel=0.2)
    assert states.target_ids.tolist() == [[1]]
    with pytest.raises(InputError, match="of another kind or width than this trial"):
        begin_from(VAMPnet(6, 2, 8, 2), outputs["model"], ["Li"])


def test_the_best_of_several_models_is_applied(hopper, tmp_path):
    """By the score that each reached on its validation frames."""
    from gdyn.files import write_json
    from gdyn.training.checkpoint import save_model

    _, path = hopper
    trial = Trial(model="vampnet", n_states=2, lag_ps=5.0, width=4, convolutions=1, learning_rate=0.005)
    torch.manual_seed(0)
    networks = [VAMPnet(6, 2, 4, 1).eval() for _ in range(3)]
    for number, (network, score) in enumerate(zip(networks, (0.1, 0.7, 0.3), strict=True)):
        save_model(tmp_path / f"{number}.pt", network, elements=["Li"], trial=trial.model_dump())
        write_json(tmp_path / f"{number}.json", {"validation_vamp2": score})
    files = {"models": [tmp_path / f"{i}.pt" for i in range(3)], "numbers": [tmp_path / f"{i}.json" for i in range(3)]}
    out = tmp_path / "test.h5"
    predict([path], **files, outputs={"test": out}, threads=1, device="cpu", splits=Splits(), targets=LI, memory_mb=100)
    expected = embed_all(networks[1], ConfigurationDataset.load([path], Splits(), "test", LI))
    order = np.argsort(-expected.mean((0, 1)))
    np.testing.assert_allclose(States.read(out).probabilities, expected[..., order], atol=1e-6)


def test_trials_of_a_baseline_have_names_of_their_own():
    trial = Baseline(n_states=[2, 12], lag_ps=10).trial(12)
    assert trial.name == "model~vampnet_n_states~12_lag_ps~10_width~64_convolutions~3_learning_rate~0.001"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("baseline: {n_states: 2, lag_ps: 10}", "baseline: VAMPnets are compared with a graph network on known sites"),
        ("model: vampnet\nsplits: {by: target}", "a VAMPnet sees all targets at once"),
        ("model: vampnets", "model: 'vampnets' should be 'gdynet' or 'vampnet'|model"),
    ],
)
def test_settings_that_a_vampnet_cannot_have(tmp_path, lines, message):
    (tmp_path / "a.yaml").write_text(
        "trajectory: {files: a.lammpstrj, units: metal, timestep: 0.001, frame_interval_ps: 1}\n"
        "targets: {selection: element Li}\ngraphs: {neighbors: 12}\nsearch: {n_states: 2, lag_ps: 10}\n" + lines
    )
    with pytest.raises(ConfigError, match=message):
        load_system("a", Config(systems=["a"], system_dir=tmp_path))
