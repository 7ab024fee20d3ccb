"""Training from end to end on a made-up system whose states are known."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from gdyn.config.models import Network, Splits, Training, Trial
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.graphs.dataset import GraphDataset
from gdyn.store import States
from gdyn.training import checkpoint, loop
from gdyn.training.batches import PairStream, in_chains
from gdyn.training.embed import pick_device
from gdyn.training.loop import Trainer, train
from gdyn.training.predict import predict

TRIAL = Trial(n_states=2, lag_ps=5.0, width=8, convolutions=2, learning_rate=0.01)
TRAINING = Training(batch_samples=1024, epoch_steps=8, max_epochs=4, patience=4)
SPLITS = Splits()


def run(shards, folder, seed=1, trial=TRIAL, training=TRAINING):
    folder.mkdir(exist_ok=True)
    outputs = {"model": "model.pt", "history": "history.csv", "states": "validation.h5", "numbers": "numbers.json"}
    paths = {name: folder / file for name, file in outputs.items()}
    sections = {"splits": SPLITS, "network": Network(), "training": training}
    job = {"resume": folder / "resume.pt", "trial": trial, "seed": seed, "threads": 1, "device": "cpu"}
    train(shards=shards, **paths, **job, **sections)
    return paths


def test_training_finds_the_states_and_makes_them_pure(two_state_shards, tmp_path):
    labels, shards = two_state_shards
    paths = run(shards, tmp_path / "run")
    outputs = {name: tmp_path / f"{name}.h5" for name in ("train", "validation", "test")}
    predict(shards, paths["model"], outputs, 1, "cpu", SPLITS, 1000)
    for name, part in (("train", slice(0, 2400)), ("validation", slice(2400, 3000)), ("test", slice(3000, 6000))):
        states = States.read(outputs[name])
        found = states.probabilities[:, 0]
        np.testing.assert_allclose(states.time_ps, np.arange(6000.0)[part])
        assert (found.argmax(1) == labels[part]).mean() > 0.98
        assert found.max(1).mean() > 0.95
        np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-5)
        assert states.target_ids.tolist() == [[1]]
    assert States.read(outputs["test"]).probabilities.mean((0, 1))[0] > 0.5
    numbers = read_json(paths["numbers"])
    assert numbers["validation_vamp2"] > 10 * numbers["noise_floor"]
    assert numbers["device"] == "CPU"
    history = pd.read_csv(paths["history"])
    assert history["epoch"].tolist() == list(range(len(history)))
    assert set(history["stage"]) == {"kinetics", "states"}
    assert history["validation_purity"].iloc[-1] > history["validation_purity"].iloc[4]
    assert not (tmp_path / "run" / "resume.pt").exists()


def weights(path):
    return checkpoint.load(path)["weights"]


class KilledError(Exception):
    """Stands for a job that ends between two epochs."""


@pytest.mark.parametrize("killed_after", [1, 4, 6])
def test_a_resumed_training_equals_an_uninterrupted_one(two_state_shards, tmp_path, monkeypatch, killed_after):
    _, shards = two_state_shards
    whole = run(shards, tmp_path / "whole")
    save = Trainer.save

    def save_then_die(self):
        save(self)
        if len(self.history) - 1 == killed_after:
            raise KilledError

    monkeypatch.setattr(Trainer, "save", save_then_die)
    with pytest.raises(KilledError):
        run(shards, tmp_path / "broken")
    assert [path.name for path in (tmp_path / "broken").iterdir()] == ["resume.pt"]
    monkeypatch.setattr(Trainer, "save", save)
    broken = run(shards, tmp_path / "broken")
    for name, value in weights(whole["model"]).items():
        assert torch.equal(value, weights(broken["model"])[name]), name
    columns = ["epoch", "stage", "validation_vamp2", "validation_purity"]
    pd.testing.assert_frame_equal(pd.read_csv(whole["history"])[columns], pd.read_csv(broken["history"])[columns])


def test_an_old_interruption_of_another_training_is_not_gone_on_from(two_state_shards, tmp_path, monkeypatch, caplog):
    _, shards = two_state_shards
    whole = run(shards, tmp_path / "whole", seed=2)
    save = Trainer.save

    def save_then_die(self):
        save(self)
        raise KilledError

    monkeypatch.setattr(Trainer, "save", save_then_die)
    with pytest.raises(KilledError):
        run(shards, tmp_path / "other", seed=1)
    monkeypatch.setattr(Trainer, "save", save)
    caplog.set_level("INFO")
    other = run(shards, tmp_path / "other", seed=2)
    assert "belongs to other data, settings or another version" in caplog.text
    assert all(torch.equal(v, weights(other["model"])[n]) for n, v in weights(whole["model"]).items())


def test_a_broken_resume_file_is_told(two_state_shards, tmp_path):
    _, shards = two_state_shards
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "resume.pt").write_bytes(b"half a file")
    with pytest.raises(InputError, match=r"resume\.pt: cannot be read as a model"):
        run(shards, tmp_path / "run")


def test_lag_that_does_not_fit_into_a_split(two_state_shards, tmp_path):
    _, shards = two_state_shards
    with pytest.raises(InputError, match="at a lag of 700 ps the validation split has no pair of frames"):
        run(shards, tmp_path, trial=TRIAL.model_copy(update={"lag_ps": 700.0}))
    with pytest.raises(InputError, match="the train split has no pair of frames"):
        run(shards, tmp_path, trial=TRIAL.model_copy(update={"lag_ps": 2500.0}))


def test_every_pair_comes_once_before_any_comes_again(two_state_shards):
    _, shards = two_state_shards
    data = GraphDataset.load(shards, Splits(train=(0.0, 0.05)), "train")
    stream = PairStream(data, 5, 100, 2, seed=1)
    drawn = np.concatenate([next(stream) for _ in range(2)])
    assert len(set(drawn.tolist())) == 200
    assert drawn.max() < 295
    state = stream.state()
    again = [next(stream) for _ in range(5)]
    stream.restore(state)
    for expected in again:
        np.testing.assert_array_equal(next(stream), expected)


@pytest.mark.parametrize("chain_frames", [2, 3, 6])
def test_pairs_come_in_chains(two_state_shards, chain_frames):
    _, shards = two_state_shards
    data = GraphDataset.load(shards, SPLITS, "train")
    stream = PairStream(data, 5, 1000, chain_frames, seed=1)
    drawn = np.concatenate([next(stream), next(stream)])
    assert len(set(drawn.tolist())) == 2000
    links = (np.diff(drawn) == 5).mean()
    assert links == pytest.approx(1 - 1 / (chain_frames - 1), abs=0.02)
    # Ordered in chains, a batch embeds as few frames as it has different ones.
    ordered = in_chains(drawn[:1000], 5)
    assert sorted(ordered) == sorted(drawn[:1000])
    n_frames = data.pairs(ordered, 5, 2).graph.starts.shape[1] - 1
    assert n_frames == len({*drawn[:1000].tolist(), *(drawn[:1000] + 5).tolist()})


def test_few_pairs_are_warned_of(two_state_shards, caplog):
    _, shards = two_state_shards
    PairStream(GraphDataset.load(shards, Splits(train=(0.0, 0.05)), "train"), 5, 2048, 2, seed=1)
    assert "there are only 295 pairs of surroundings to train on" in caplog.text


def test_an_unstable_training_is_told(two_state_shards, tmp_path):
    _, shards = two_state_shards
    with pytest.raises(InputError, match=r"became unstable .* lower search\.learning_rate"):
        run(shards, tmp_path, trial=TRIAL.model_copy(update={"learning_rate": 1e30}))


def test_more_states_than_processes_are_told(two_state_shards, tmp_path, caplog, monkeypatch):
    _, shards = two_state_shards
    monkeypatch.setattr(loop, "simplex_rotation", lambda *arguments: None)
    run(shards, tmp_path, training=TRAINING.model_copy(update={"max_epochs": 1}))
    assert "fewer processes were found than there are states" in caplog.text


def test_models_hold_no_code(tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code was run",))

    torch.save({"format": "gdyn-model", "evil": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(InputError, match="cannot be read as a model"):
        checkpoint.load_model(tmp_path / "evil.pt")
    checkpoint.save(tmp_path / "old.pt", {"format": "gdyn-model", "version": 0})
    with pytest.raises(InputError, match="holds gdyn-model version 0, but gdyn-model version 1 is needed"):
        checkpoint.load_model(tmp_path / "old.pt")


def test_a_gpu_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(InputError, match=r"^device: cuda is asked for"):
        pick_device("cuda")


def test_numbers_are_json(two_state_shards, tmp_path):
    _, shards = two_state_shards
    paths = run(shards, tmp_path, training=TRAINING.model_copy(update={"max_epochs": 1}))
    numbers = json.loads(paths["numbers"].read_text())
    assert numbers["trial"] == TRIAL.model_dump()
    assert numbers["frames_per_s"] > 0
    assert sum(numbers["populations"]) == pytest.approx(1.0)
