"""Training from end to end on a made-up system whose states are known."""

import copy
import json
import multiprocessing
import pickle
import sys
import time
from dataclasses import fields, is_dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from trainings import train_an_epoch
from worlds import report

from gdyn.config.models import Network, Splits, Targets, Training, Trial
from gdyn.config.schemes import SCHEMES
from gdyn.device import pick_device
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.graphs.dataset import GraphDataset
from gdyn.networks.gdynet import GDyNet
from gdyn.statistics import Covariances, helmert_basis, vamp2
from gdyn.store import GraphShard, States
from gdyn.store import graphs as graph_store
from gdyn.training import checkpoint, loop
from gdyn.training import trainer as trainer_module
from gdyn.training.batches import PairStream, frames_at_once, in_chains
from gdyn.training.history import Reporter
from gdyn.training.loop import train
from gdyn.training.predict import predict
from gdyn.training.processes import World, launch
from gdyn.training.trainer import Trainer

TRIAL = Trial(n_states=2, lag_ps=5.0, width=8, convolutions=2, learning_rate=0.01)
TRAINING = Training(batch_samples=1024, epoch_steps=2, max_epochs=16, patience=16, learning_rate_drops=0)
SPLITS, TARGETS = Splits(), Targets(selection="element Li")


def run(shards, folder, seed=1, trial=TRIAL, training=TRAINING, network=None, warm=None):
    folder.mkdir(exist_ok=True)
    outputs = {"model": "model.pt", "history": "history.csv", "states": "validation.h5", "numbers": "numbers.json"}
    paths = {name: folder / file for name, file in outputs.items()}
    sections = {"splits": SPLITS, "targets": TARGETS, "network": network or Network(), "training": training}
    job = {"warm": warm, "resume": folder / "resume.pt", "trial": trial, "seed": seed, "threads": 1, "device": "cpu"}
    train(files=shards, **paths, **job, **sections)
    return paths


def test_training_finds_the_states_and_makes_them_pure(two_state_shards, tmp_path):
    labels, shards = two_state_shards
    paths = run(shards, tmp_path / "run")
    outputs = {name: tmp_path / f"{name}.h5" for name in ("train", "validation", "test")}
    predict(shards, [paths["model"]], outputs, 1, "cpu", SPLITS, TARGETS, 1000)
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
    assert not (tmp_path / "run" / "progress.json").exists()


def weights(path):
    return checkpoint.load(path)["weights"]


class KilledError(Exception):
    """Stands for a job that ends between two epochs."""


def die(*arguments):
    raise KilledError


@pytest.mark.parametrize("killed_after", [1, 4, 6])
def test_a_resumed_training_equals_an_uninterrupted_one(two_state_shards, tmp_path, monkeypatch, killed_after):
    _, shards = two_state_shards
    whole = run(shards, tmp_path / "whole")
    leave_word = Reporter.leave_word

    def leave_word_and_die(self, history, epochs_left):
        leave_word(self, history, epochs_left)
        if history.epoch == killed_after:
            raise KilledError

    monkeypatch.setattr(Reporter, "leave_word", leave_word_and_die)
    with pytest.raises(KilledError):
        run(shards, tmp_path / "broken")
    assert sorted(path.name for path in (tmp_path / "broken").iterdir()) == ["progress.json", "resume.pt"]
    assert read_json(tmp_path / "broken" / "progress.json")["epoch"] == killed_after
    monkeypatch.setattr(Reporter, "leave_word", leave_word)
    broken = run(shards, tmp_path / "broken")
    for name, value in weights(whole["model"]).items():
        assert torch.equal(value, weights(broken["model"])[name]), name
    columns = ["epoch", "stage", "validation_vamp2", "validation_purity"]
    pd.testing.assert_frame_equal(pd.read_csv(whole["history"])[columns], pd.read_csv(broken["history"])[columns])


def test_an_old_interruption_of_another_training_is_not_gone_on_from(two_state_shards, tmp_path, monkeypatch, caplog):
    _, shards = two_state_shards
    whole = run(shards, tmp_path / "whole", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "leave_word", die)
        with pytest.raises(KilledError):
            run(shards, tmp_path / "other", seed=1)
    caplog.set_level("INFO")
    other = run(shards, tmp_path / "other", seed=2)
    assert "belongs to other data, settings or another version" in caplog.text
    assert all(torch.equal(v, weights(other["model"])[n]) for n, v in weights(whole["model"]).items())


def same(one, other):
    """Whether two parts of a state are, field by field."""
    if is_dataclass(one):
        return all(same(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if hasattr(one, "state_dict"):
        return same(one.state_dict(), other.state_dict())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_every_field_of_the_state_is_saved(two_state_shards, tmp_path):
    _, shards = two_state_shards
    one, other = trainer_of(shards), trainer_of(shards)
    one.epoch()
    for part in (one.state.schedule, one.state.history):
        for number, field in enumerate(fields(part)):
            setattr(part, field.name, [number])  # unlike any value that it begins with
    for field in fields(one.state):
        assert not same(getattr(one.state, field.name), getattr(other.state, field.name)), field.name
    checkpoint.save_resume(tmp_path / "resume.pt", "print", one.state.snapshot())
    other.state.load_state_dict(checkpoint.load_resume(tmp_path / "resume.pt", "print"))
    for field in fields(one.state):
        assert same(getattr(one.state, field.name), getattr(other.state, field.name)), field.name


def unsaved(trainer):
    """All plain values and arrays that a trainer and the parts of its state hold beside what is saved."""
    state = trainer.state
    saved = {id(part): {field.name for field in fields(part)} for part in (state, state.schedule, state.history)}
    saved[id(state.pairs)] = {*state.pairs.state_dict()}
    # The parameters are those of the network; the sums are of the last batch.
    of_the_batch = {"sums", "of_norms", "flat"}
    saved[id(trainer)] = {"state", "network", "data", "validation", "world", "device", "loader", *of_the_batch}
    return [
        pickle.dumps({name: value for name, value in vars(part).items() if name not in saved[id(part)]})
        for part in (trainer, state, state.schedule, state.history, state.pairs)
    ]


def test_an_epoch_and_what_follows_it_change_nothing_that_is_not_saved(two_state_shards):
    """What a training keeps anywhere else would be lost when it is interrupted."""
    _, shards = two_state_shards
    trainer = trainer_of(shards, max_epochs=1)
    trainer.settle_norms()
    before = unsaved(trainer)
    while not trainer.state.schedule.over:
        trainer.epoch()
        loop.turn(trainer)
    assert unsaved(trainer) == before
    assert trainer.state.history.epoch == 1


def test_a_snapshot_stays_as_it_was(two_state_shards):
    _, shards = two_state_shards
    trainer = trainer_of(shards, max_epochs=5)
    trainer.epoch()
    snapshot = trainer.state.snapshot()
    before = copy.deepcopy(snapshot)
    trainer.epoch()
    assert same(before, snapshot)
    assert not same(before, trainer.state.state_dict())


def test_an_interruption_by_an_older_version_is_not_gone_on_from(two_state_shards, tmp_path, caplog):
    _, shards = two_state_shards
    (tmp_path / "run").mkdir()
    checkpoint.save(
        tmp_path / "run" / "resume.pt", {"format": "gdyn-resume", "version": 2, "fingerprint": "", "snapshot": {}}
    )
    caplog.set_level("INFO")
    paths = run(shards, tmp_path / "run", training=TRAINING.model_copy(update={"max_epochs": 1}))
    assert (
        "resume.pt belongs to other data, settings or another version: starting again from the beginning" in caplog.text
    )
    assert paths["model"].exists()


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
    state = stream.state_dict()
    again = [next(stream) for _ in range(5)]
    stream.load_state_dict(state)
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


@pytest.mark.parametrize("epoch_steps", [1, 2])
def test_an_unstable_training_is_told(two_state_shards, tmp_path, epoch_steps):
    """Whether it shows in the next step, or on the validation frames after the only one."""
    _, shards = two_state_shards
    training = TRAINING.model_copy(update={"epoch_steps": epoch_steps})
    with pytest.raises(InputError, match=r"became unstable .* lower search\.learning_rate"):
        run(shards, tmp_path, trial=TRIAL.model_copy(update={"learning_rate": 1e30}), training=training)


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
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
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


def trainer_of(shards, network=None, trial=TRIAL, **training):
    """A Trainer at its beginning."""
    data, validation = (GraphDataset.load(shards, SPLITS, name) for name in ("train", "validation"))
    cpu = torch.device("cpu")
    settings = TRAINING.model_copy(update=training)
    network = network or Network()
    return Trainer(data, validation, trial, 1, network, settings, cpu, World(cpu))


def plain_objective(trainer, states):
    """What a stage maximises, from states (pairs, 2, states), step by step in torch."""
    stage, n_states = trainer.state.schedule.present, states.shape[2]
    basis = torch.as_tensor(helmert_basis(n_states))
    x, y = (states[:, end].double() @ basis for end in (0, 1))
    mean_x, mean_y = x.mean(0), y.mean(0)
    if stage.score == "reversible_vamp1":
        mean_x = mean_y = 0.5 * (mean_x + mean_y)
    x, y = x - mean_x, y - mean_y
    c00, c01, c11 = (a.T @ b / len(x) for a, b in ((x, x), (x, y), (y, y)))

    def inverse(c):
        return torch.linalg.inv(c + (1e-6 * c.trace() / len(c) + 1e-24) * torch.eye(len(c), dtype=c.dtype))

    if stage.score == "reversible_vamp1":
        value = (inverse(0.5 * (c00 + c11)) @ (0.5 * (c01 + c01.T))).trace()
    else:
        value = (inverse(c00) @ c01 @ inverse(c11) @ c01.T).trace()
    if stage.crisp:
        crispness = (states.double().square().mean(0) / states.double().mean(0)).sum(1).mean()
        value = value + trainer.state.schedule.crispness * crispness
    return value


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_gradient_of_a_batch_is_the_same_in_any_pieces(two_state_shards, monkeypatch, scheme, normalisation):
    """Equal to the gradient of the objective of the whole batch, by automatic differentiation in one piece."""
    _, shards = two_state_shards
    trial = TRIAL.model_copy(update={"n_states": 3})
    trainer = trainer_of(shards, Network(normalisation=normalisation), trial, scheme=scheme)
    trainer.network.double()
    trainer.flatten()
    trainer.settle_norms()
    trainer.state.schedule.begin(len(SCHEMES[scheme].stages) - 1)
    first = next(trainer.state.pairs)
    assert len(first) == 1024
    batch = trainer.data.pairs(first, trainer.lag_frames, trainer.network.hops)
    value = plain_objective(trainer, trainer.network(batch.graph)[batch.ends])
    expected = torch.autograd.grad(-value, list(trainer.network.parameters()))
    trainer.flatten()
    trainer.state.optimiser = torch.optim.SGD([trainer.flat.values], lr=0.0)
    monkeypatch.setattr(trainer_module, "LARGEST_GRADIENT", 1e9)
    state = copy.deepcopy(trainer.network.state_dict())
    scores = []
    for piece in (1024, 300, 37):
        trainer.network.load_state_dict(state)
        trainer.piece = piece
        pieces = trainer.pieces(first)
        assert len(pieces) == -(-1024 // piece)
        ready = iter([trainer.data.pairs(p, trainer.lag_frames, trainer.network.hops) for p in pieces] * 2)
        scores.append(trainer.step(ready, pieces))
        sizes = [parameter.numel() for parameter in expected]
        for found, true in zip(trainer.flat.gradient.split(sizes), expected, strict=True):
            torch.testing.assert_close(found.view_as(true), true, rtol=1e-8, atol=1e-12)
        for name, norm in enumerate(trainer.network.running_norms()):
            assert (norm.mean - state[f"convolutions.{name}.norm.mean"]).abs().max() < 1.0
    assert scores == pytest.approx([scores[0]] * 3, rel=1e-10)


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
def test_two_processes_take_the_steps_of_one(two_state_shards, tmp_path, normalisation, monkeypatch, root):
    _, shards = two_state_shards
    monkeypatch.setenv("PYTHONPATH", str(root / "tests"))
    settings = {
        "shards": shards,
        "splits": SPLITS,
        "network": Network(normalisation=normalisation),
        "training": TRAINING.model_copy(update={"chain_frames": 3, "epoch_steps": 2}),
        "trial": TRIAL.model_copy(update={"n_states": 3}),
    }
    train_an_epoch(weights=tmp_path / "one.pt", **settings)
    launch(train_an_epoch, 2, 1, tmp_path, {"weights": tmp_path / "two.pt", **settings})
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-8, atol=1e-10)


def test_two_processes_end_with_the_states_of_one(two_state_shards, tmp_path, caplog):
    _, shards = two_state_shards
    caplog.set_level("DEBUG")
    short = TRAINING.model_copy(update={"max_epochs": 2})
    one = run(shards, tmp_path / "one", training=short)
    caplog.clear()
    two = run(shards, tmp_path / "two", training=short.model_copy(update={"processes": 2}))
    assert "epoch 4 (states): validation VAMP-2" in caplog.text
    labels = [States.read(paths["states"]).probabilities.argmax(2) for paths in (one, two)]
    assert (labels[0] == labels[1]).mean() > 0.995
    assert read_json(two["numbers"])["processes"] == 2
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == sorted(path.name for path in two.values())


def test_a_mistake_in_one_of_several_processes_is_one_sentence(two_state_shards, tmp_path):
    _, shards = two_state_shards
    trial = TRIAL.model_copy(update={"lag_ps": 2500.0})
    with pytest.raises(InputError, match=r"^search\.lag_ps: at a lag of .* frames the train split has no pair"):
        run(shards, tmp_path, trial=trial, training=TRAINING.model_copy(update={"processes": 2}))


def test_memory_decides_where_graphs_stay_and_not_what_is_learned(two_state_shards, tmp_path, monkeypatch):
    _, shards = two_state_shards
    short = TRAINING.model_copy(update={"max_epochs": 1})
    whole = run(shards, tmp_path / "whole", training=short)
    for part, share in {"train": 0.0, "validation": 0.0, "work": 0.002}.items():
        monkeypatch.setitem(trainer_module.SHARES, part, share)
    pieces = run(shards, tmp_path / "pieces", training=short.model_copy(update={"memory_mb": 100}))
    np.testing.assert_allclose(*(States.read(paths["states"]).probabilities for paths in (whole, pieces)), atol=2e-3)


def test_a_training_that_becomes_unstable_goes_on_from_its_last_epoch(two_state_shards, tmp_path, monkeypatch, caplog):
    _, shards = two_state_shards
    epoch, failures = Trainer.epoch, []

    def epoch_with_accidents(self):
        if self.state.history.epoch == 2 and len(failures) < 2:
            failures.append(self.state.snapshot())
            with torch.no_grad():
                next(self.network.parameters()).fill_(float("nan"))
        epoch(self)

    monkeypatch.setattr(Trainer, "epoch", epoch_with_accidents)
    paths = run(shards, tmp_path)
    assert caplog.text.count("epoch 3: a probability is not a number; going back an epoch") == 2
    first, second = failures
    assert all(torch.equal(first["network"][name], second["network"][name]) for name in first["network"])
    rates = pd.read_csv(paths["history"])["learning_rate"]
    assert rates[1:5].tolist() == pytest.approx([0.01, 0.01, 0.0009, 0.0009])
    numbers = read_json(paths["numbers"])
    assert "the training became unstable 2 times and continued in smaller steps" in numbers["problems"]
    assert numbers["purity"] > 0.95


def test_learning_rate_drops_before_a_stage_ends(two_state_shards, tmp_path):
    _, shards = two_state_shards
    settings = {"max_epochs": 30, "patience": 2, "learning_rate_drops": 2}
    paths = run(shards, tmp_path, training=TRAINING.model_copy(update=settings))
    history = pd.read_csv(paths["history"])
    rates = history.loc[history["stage"] == "kinetics", "learning_rate"].drop_duplicates()
    assert rates.tolist() == pytest.approx([0.01, 0.003, 0.0009])
    assert read_json(paths["numbers"])["problems"] == []


def test_a_training_that_was_not_finished_says_so(two_state_shards, tmp_path):
    _, shards = two_state_shards
    paths = run(shards, tmp_path, training=TRAINING.model_copy(update={"max_epochs": 1}))
    problems = read_json(paths["numbers"])["problems"]
    assert "the stage 'kinetics' was still improving at its end; raise training.max_epochs" in problems


def test_a_warm_start(two_state_shards, tmp_path):
    _, shards = two_state_shards
    short = TRAINING.model_copy(update={"max_epochs": 1, "epoch_steps": 1})
    cold = run(shards, tmp_path / "cold")
    for n_states in (2, 3):
        trial = TRIAL.model_copy(update={"n_states": n_states, "learning_rate": 1e-4})
        warm = run(shards, tmp_path / f"warm{n_states}", seed=2, trial=trial, training=short, warm=cold["model"])
        scores = pd.read_csv(warm["history"])["validation_vamp2"]
        # The same number of states takes over the head too; without it, features at least are good ones.
        assert scores[1] > (0.9 if n_states == 2 else 0.5) * pd.read_csv(cold["history"])["validation_vamp2"].iloc[-1]
    wide = TRIAL.model_copy(update={"width": 9})
    with pytest.raises(InputError, match=r"training\.warm_start: .* is of another kind or width than this trial"):
        run(shards, tmp_path / "wide", trial=wide, warm=cold["model"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # from Python 3.12 on
def test_killed_at_any_moment_a_training_loses_at_most_an_epoch(two_state_shards, tmp_path):
    """Twenty times kill -9 after a random time; the end is that of a training nobody killed."""
    _, shards = two_state_shards
    settings = {"epoch_steps": 4, "max_epochs": 40, "patience": 40}
    whole = run(shards, tmp_path / "whole", training=TRAINING.model_copy(update=settings))
    folder = tmp_path / "broken"
    folder.mkdir()
    arguments = (list(map(str, shards)), folder, 1, TRIAL, TRAINING.model_copy(update=settings))
    context = multiprocessing.get_context("fork")
    rng = np.random.default_rng(1)
    kills, done = 0, 0
    while kills < 20:
        process = context.Process(target=run, args=arguments)
        process.start()
        deadline = time.monotonic() + 60
        # A new epoch is to be seen before each kill, else a slow machine would never come to the end.
        while process.is_alive() and epochs_in(folder / "resume.pt") <= done and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.08))
        process.kill()
        process.join()
        before, done = done, epochs_in(folder / "resume.pt")
        if process.exitcode == 0:
            break
        assert done > before
        left = [path.name for path in folder.iterdir() if path.name != "progress.json"]
        halves = [name for name in left if name.startswith(".unfinished-")]
        assert not [name for name in {*left} - {*halves} if name.endswith(("model.pt", ".h5", ".json"))]
        # Each kill leaves at most a half of one file, and that only until the next process writes the same.
        assert len(halves) <= 2
        assert len({name.split("-", 2)[2] for name in halves}) == len(halves)
        kills += 1
    assert kills == 20
    (folder / ".unfinished-4711-resume.pt").touch()
    broken = run(*arguments)
    assert not list(folder.glob(".unfinished-*"))
    for name, value in weights(whole["model"]).items():
        assert torch.equal(value, weights(broken["model"])[name]), name


def epochs_in(resume):
    """How far an interrupted training has come; its file is whole at any moment."""
    return len(checkpoint.load(resume)["state"]["history"]["rows"]) if resume.exists() else 0


def test_a_resume_file_with_code_in_it_is_refused(two_state_shards, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("code was run",))

    _, shards = two_state_shards
    torch.save({"format": "gdyn-resume", "version": checkpoint.RESUME_VERSION, "state": Evil()}, tmp_path / "resume.pt")
    with pytest.raises(InputError, match=r"resume\.pt: cannot be read as a model"):
        run(shards, tmp_path)


def test_memory_of_a_batch_is_estimated(two_state_shards):
    _, shards = two_state_shards
    data = GraphDataset.load(shards, SPLITS, "train")
    network = GDyNet(2, 2, 16, 2, 7.0, 0.2)
    with_gradient, without = (frames_at_once(data, network, 1e6, gradient) for gradient in (True, False))
    assert 100 < with_gradient < without < 10_000
    assert frames_at_once(data, network, 1.0, True) == 1


def test_history_for_tensorboard(two_state_shards, tmp_path, monkeypatch):
    _, shards = two_state_shards
    short = TRAINING.model_copy(update={"max_epochs": 1, "tensorboard": True})
    run(shards, tmp_path / "run", training=short)
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"validation_vamp2" in events.read_bytes()
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(InputError, match=r"training\.tensorboard: needs the package tensorboardX"):
        run(shards, tmp_path / "other", training=short)


def test_pure_states_cost_no_more_of_a_timescale_than_is_allowed(two_state_shards, tmp_path):
    """Where the states run into each other, a weight that would tear the timescale down is lowered."""
    _, shards = two_state_shards
    rng = np.random.default_rng(3)
    blurred = []
    for path in shards:
        shard = GraphShard.read(path)
        shard.distance_mA[:, 0] = np.clip(shard.distance_mA[:, 0] + rng.normal(0, 500, len(shard.nodes)), 1000, 6000)
        blurred.append(tmp_path / f"blurred-{path.name}")
        about = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": ""}
        with graph_store.write(blurred[-1], ["Li", "S", "S"], [[0]], [[1]], [[True]], **about) as append:
            each = [array.reshape(3000, 3, -1) for array in (shard.neighbors, shard.distance_mA / 1000.0)]
            fields = [(np.arange(3), np.array([1, 3, 3]), *pair) for pair in zip(*each, strict=True)]
            append(fields, shard.frame, shard.time_ps, shard.segment, shard.window)
    found = {}
    for loss in (0.02, 0.9):
        settings = {"crispness": 3.0, "timescale_loss": loss, "max_epochs": 30, "batch_samples": 2400}
        paths = run(blurred, tmp_path / str(loss), training=TRAINING.model_copy(update=settings))
        history, states = pd.read_csv(paths["history"]), States.read(paths["states"])
        kinetics = history.loc[history["stage"] == "kinetics", "validation_vamp2"].max()
        c = Covariances.of(states.probabilities, states.segment, states.lag_frames)
        # Of two states, the score is the square of the only singular value.
        found[loss] = np.log(kinetics) / np.log(vamp2(c)), read_json(paths["numbers"])["purity"]
    assert found[0.02][0] > 0.975
    assert found[0.9][0] < found[0.02][0]
    assert found[0.9][1] > found[0.02][1] > 0.7


def test_several_nodes_need_slurm(tmp_path, monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    with pytest.raises(InputError, match=r"training\.nodes: 2 nodes are asked for, but this is not a job of Slurm"):
        launch(train_an_epoch, 2, 2, tmp_path, {})


def made_of_distances(folder, near, rng):
    """Shards like those of ``two_state_shards`` whose target has its nearest neighbor at given distances."""
    paths = []
    for part, distances_of in enumerate(np.array_split(near, 2)):
        n = len(distances_of)
        frames = part * n + np.arange(n)
        distances = 4.0 + 0.1 * rng.standard_normal((n, 3, 2))
        distances[:, 0, 0] = distances[:, 1, 0] = distances_of
        neighbors = np.array([[1, 2], [0, 2], [0, 1]])
        paths.append(folder / f"0-{part}.h5")
        about = {
            "trajectory": 0,
            "frame_interval_ps": 1.0,
            "source_checksum": "sha256:0",
        }
        with graph_store.write(paths[-1], ["Li", "S", "S"], [[0]], [[1]], [[True]], **about) as append:
            fields = [(np.arange(3), np.array([1, 3, 3]), neighbors, found) for found in distances]
            append(fields, frames, frames * 1.0, np.zeros(n), np.zeros(n))
    return paths


@pytest.mark.parametrize("world", ["nothing slow", "mirror images"])
def test_that_nothing_slow_is_found_is_a_finding(tmp_path, world):
    """Where nothing outlasts the lag, or two states have the same distances, a training ends, and says so."""
    rng = np.random.default_rng(5)
    near = 2.0 + 0.1 * rng.standard_normal(6000)
    if world == "nothing slow":
        near += 1.5 * rng.integers(0, 2, 6000)
    shards = made_of_distances(tmp_path, near, rng)
    paths = run(shards, tmp_path / "run", training=TRAINING.model_copy(update={"max_epochs": 6}))
    numbers = read_json(paths["numbers"])
    assert numbers["validation_vamp2"] < 0.02
    (finding,) = [problem for problem in numbers["problems"] if "noise floor" in problem]
    if numbers["validation_vamp2"] <= numbers["noise_floor"]:
        assert finding.startswith("at a lag of 5 ps nothing slower than ")
        assert "mirror images" in finding
    else:
        assert "hardly above" in finding


def test_targets_that_are_all_the_same_end_in_a_finding(tmp_path):
    """Outputs that do not vary at all: no process, no crash, and a report that says so."""
    rng = np.random.default_rng(6)
    shards = made_of_distances(tmp_path, np.full(600, 2.0), rng)
    for path in shards:
        shard = GraphShard.read(path)
        about = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": ""}
        with graph_store.write(path, ["Li", "S", "S"], [[0]], [[1]], [[True]], **about) as append:
            same = np.full((len(shard.frame), 3, 2), 3.0)
            neighbors = np.array([[1, 2], [0, 2], [0, 1]])
            fields = [(np.arange(3), np.array([1, 3, 3]), neighbors, found) for found in same]
            append(fields, shard.frame, shard.time_ps, shard.segment, shard.window)
    paths = run(shards, tmp_path / "run", training=TRAINING.model_copy(update={"max_epochs": 3}))
    problems = read_json(paths["numbers"])["problems"]
    assert problems[0].startswith("at a lag of 5 ps nothing ")
    states = States.read(paths["states"])
    assert np.ptp(states.probabilities, axis=0).max() < 1e-6
    summary = report(tmp_path, [states.probabilities], 5.0)
    assert summary["ck"]["outcome"] == "cannot say"
    assert any("all states are the same in every frame" in sentence for sentence in summary["warnings"])


@pytest.mark.parametrize("n_states", [3, 5])
def test_more_states_than_there_are_end_in_a_report(two_state_shards, tmp_path, n_states):
    """From the training to the last page; what the superfluous states are is said."""
    _, shards = two_state_shards
    trial = TRIAL.model_copy(update={"n_states": n_states})
    paths = run(shards, tmp_path / "run", trial=trial)
    outputs = {name: tmp_path / f"{name}-states.h5" for name in ("train", "validation", "test")}
    predict(shards, [paths["model"]], outputs, 1, "cpu", SPLITS, TARGETS, 1000)
    summary = report(tmp_path, [States.read(outputs["test"]).probabilities], 5.0)
    assert summary["n_states"] == n_states
    assert summary["warnings"]
    resolved = [process["resolved"] for process in summary["timescales_ps"]]
    assert sum(resolved) <= 1
    assert len([s for s in summary["warnings"] if "is not resolved" in s or "do not determine" in s]) >= 1


def test_a_model_is_applied_in_the_arithmetic_of_its_training(two_state_shards, tmp_path, caplog):
    _, shards = two_state_shards
    paths = run(shards, tmp_path / "run", training=TRAINING.model_copy(update={"max_epochs": 2}))
    content = checkpoint.load(paths["model"])
    assert content["precision"] == "float32"
    found = {}
    for precision in ("float32", "bfloat16", "tf32"):
        checkpoint.save(paths["model"], content | {"precision": precision})
        outputs = {name: tmp_path / f"{name}-{precision}.h5" for name in ("train", "validation", "test")}
        predict(shards, [paths["model"]], outputs, 1, "cpu", SPLITS, TARGETS, 1000)
        found[precision] = States.read(outputs["test"]).probabilities
    assert 1e-5 < np.abs(found["bfloat16"] - found["float32"]).max() < 0.1
    np.testing.assert_array_equal(found["tf32"], found["float32"])
