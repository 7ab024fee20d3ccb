"""Training on a GPU, shown on a pretend one: the same numbers as on the CPU, and what a step asks of the device."""

import copy
import re
import tracemalloc

import numpy as np
import pytest
import torch
from pretend_gpu import pretend, pretend_gpu  # noqa: F401 - a fixture
from trainings import kernels_on

from gdyn import device as device_module
from gdyn import kernels as kernels_module
from gdyn.config.models import Network, Splits, Targets, Training, Trial
from gdyn.config.schemes import SCHEMES
from gdyn.device import pick_device
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.graphs import resident
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import Loader
from gdyn.graphs.neighbors import receptive_field
from gdyn.kernels.probe import probe
from gdyn.networks.gdynet import GDyNet
from gdyn.store import States, trajectory
from gdyn.store.graphs import write as write_graphs
from gdyn.training import checkpoint, loop
from gdyn.training import trainer as trainer_module
from gdyn.training.history import Reporter
from gdyn.training.loop import train
from gdyn.training.predict import predict
from gdyn.training.processes import World
from gdyn.training.trainer import Trainer, place
from gdyn.training.vamp import objective, score

CPU, GPU = torch.device("cpu"), torch.device("pretend", 0)
SPLITS = Splits(train=(0.0, 0.6), validation=(0.6, 0.8), test=(0.8, 1.0))
TARGETS, NETWORK = Targets(selection="element Li"), Network(radial_max_A=4.0)
TRIAL = Trial(n_states=2, lag_ps=5.0, width=8, convolutions=1, learning_rate=0.01)
TRAINING = Training(max_epochs=3, epoch_steps=4, patience=3, memory_mb=2000, batch_samples=1024)


@pytest.fixture(autouse=True)
def kernels_are_looked_for_again():
    yield
    kernels_module._found.cache_clear()
    kernels_module._GIVEN_UP.clear()


@pytest.fixture(params=["fused", "plain"])
def gpu(pretend, request, monkeypatch):  # noqa: F811
    """The pretend GPU with fused kernels, or without any."""
    if request.param == "fused":
        monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: kernels_on(pretend))
    kernels_module._found.cache_clear()
    return pretend


@pytest.fixture
def fused(pretend, monkeypatch):  # noqa: F811
    monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: kernels_on(pretend))
    kernels_module._found.cache_clear()
    return pretend


def run(shards, folder, device, trial=TRIAL, network=None, training=TRAINING, **more):
    folder.mkdir(exist_ok=True)
    names = {"model": "model.pt", "history": "history.csv", "states": "states.h5", "numbers": "numbers.json"}
    outputs = {name: folder / file for name, file in names.items()}

    train(
        files=[str(path) for path in shards], resume=folder / "resume.pt", trial=trial, seed=1, threads=1,
        device=device, splits=SPLITS, targets=TARGETS, network=network or NETWORK, training=training,
        **outputs, **more,
    )  # fmt: skip
    return outputs


def states_of(paths):
    return States.read(paths["states"]).probabilities


def all_in_float64(monkeypatch):
    """Let networks be of 64 bits: rounding, which a training magnifies, then stays small to its end."""
    of = GDyNet.of.__func__
    monkeypatch.setattr(GDyNet, "of", classmethod(lambda cls, *about: of(cls, *about).double()))


@pytest.mark.parametrize(
    ("normalisation", "scheme"), [*(("layer", scheme) for scheme in SCHEMES), ("batch", "simplex")]
)
def test_a_training_gives_what_a_cpu_gives(two_state_shards, tmp_path, gpu, monkeypatch, scheme, normalisation):
    all_in_float64(monkeypatch)
    settings = {
        "training": TRAINING.model_copy(update={"scheme": scheme}),
        "network": NETWORK.model_copy(update={"normalisation": normalisation}),
    }
    here, there = (run(two_state_shards[1], tmp_path / on, on, **settings) for on in ("cpu", "auto"))
    assert not gpu.races
    np.testing.assert_allclose(states_of(there), states_of(here), atol=1e-5)
    assert read_json(there["numbers"])["device"] != "CPU"
    assert "problems" in read_json(there["numbers"])


def trainer_on(device, shards, training=TRAINING, trial=TRIAL, memory_mb=np.inf, **network):
    data = [GraphDataset.load(shards, SPLITS, name, memory_mb=memory_mb) for name in ("train", "validation")]
    network = NETWORK.model_copy(update=network)
    trainer = Trainer(*data, trial, 1, network, training, device, World(device))
    trainer.settle_norms()
    trainer.network.train()
    return trainer


def a_step(trainer):
    pieces = trainer.pieces(next(trainer.state.pairs))
    return trainer.step(trainer.loader(trainer.pairs_of, pieces * (1 if len(pieces) == 1 else 2)), pieces)


WAYS = ["one batch", "pieces", "from disk"]


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
@pytest.mark.parametrize("way", WAYS)
def test_every_step_is_that_of_a_cpu(two_state_shards, gpu, monkeypatch, way, normalisation):
    """In float32, from the same weights: the gradient, the score, what the norms have seen."""
    if way == "from disk":
        for part in ("train", "validation"):
            monkeypatch.setitem(trainer_module.SHARES, part, 0.0)
    here, there = (
        trainer_on(device, two_state_shards[1], memory_mb=0, normalisation=normalisation) for device in (CPU, GPU)
    )
    assert there.data.in_memory == (way != "from disk")
    if way == "pieces":
        there.piece = 300
    for _ in range(4):
        with torch.no_grad():
            there.flat.values.copy_(here.flat.values.detach())
        scores = [a_step(trainer) for trainer in (here, there)]
        assert scores[1] == pytest.approx(scores[0], abs=1e-5)
        expected, found = here.flat.gradient, there.flat.gradient.cpu()
        assert (found - expected).norm() < 2e-4 * expected.norm()
        for one, two in zip(here.network.running_norms(), there.network.running_norms(), strict=True):
            torch.testing.assert_close(two.mean.cpu(), one.mean, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(two.variance.cpu(), one.variance, rtol=1e-4, atol=1e-5)
    assert not gpu.races


@pytest.mark.parametrize("precision", ["tf32", "bfloat16"])
def test_other_arithmetics(two_state_shards, tmp_path, gpu, precision):
    training = Training(**TRAINING.model_dump() | {"precision": precision, "max_epochs": 12, "patience": 12})
    paths = run(two_state_shards[1], tmp_path / "run", "auto", training=training)
    assert not gpu.races
    states = states_of(paths)
    assert states.dtype == np.float32
    assert len(np.unique(states[..., 0])) > 0.9 * len(
        np.unique(states_of(applied(paths, two_state_shards[1], tmp_path))[..., 0])
    )
    assert read_json(paths["numbers"])["purity"] > 0.9


def applied(paths, shards, folder, device="auto"):
    """The states of a model on the validation frames, by prediction."""
    folder = folder / f"applied-{device}"
    folder.mkdir(exist_ok=True)
    outputs = {name: folder / f"{name}.h5" for name in ("validation", "test")}
    predict(
        files=[str(path) for path in shards], models=[paths["model"]], outputs=outputs, threads=1, device=device,
        splits=SPLITS, targets=TARGETS, memory_mb=1.0,
    )  # fmt: skip
    return {"states": outputs["validation"]}


def test_a_model_says_the_same_on_every_device(two_state_shards, tmp_path, gpu):
    paths = run(two_state_shards[1], tmp_path / "run", "auto", trial=TRIAL.model_copy(update={"convolutions": 2}))
    gpu.reset()
    here, there = (states_of(applied(paths, two_state_shards[1], tmp_path, device)) for device in ("cpu", "auto"))
    assert gpu.launches.total() > 0
    assert not gpu.races
    np.testing.assert_allclose(there, here, atol=1e-5)
    np.testing.assert_allclose(states_of(paths), here, atol=1e-5)


@pytest.mark.parametrize("killed_after", [1, 4])
def test_a_killed_training_goes_on_bit_for_bit(two_state_shards, tmp_path, fused, monkeypatch, killed_after):
    whole = run(two_state_shards[1], tmp_path / "whole", "auto")
    save, epochs = checkpoint.save_resume, []

    def save_and_die(*arguments):
        save(*arguments)
        epochs.append(1)
        if len(epochs) == killed_after:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_resume", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        run(two_state_shards[1], tmp_path / "broken", "auto")
    monkeypatch.setattr(checkpoint, "save_resume", save)
    broken = run(two_state_shards[1], tmp_path / "broken", "auto")
    one, two = (torch.load(paths["model"])["weights"] for paths in (whole, broken))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not fused.races


def test_where_memory_is_short_pieces_become_smaller(two_state_shards, tmp_path, monkeypatch, caplog):
    """The training ends, with what it would have found."""
    all_in_float64(monkeypatch)
    monkeypatch.setattr(GDyNet, "bytes_per_frame", lambda *about: 1.0)  # far too little
    with pretend_gpu() as card:
        whole = run(two_state_shards[1], tmp_path / "whole", "auto")
        most = card.peak
    assert "memory is short" not in caplog.text
    caplog.set_level("INFO")
    with pretend_gpu(capacity_bytes=0.4 * most) as card:
        pieces = run(two_state_shards[1], tmp_path / "pieces", "auto")
        assert card.peak <= 0.4 * most
    assert "memory is short on" in caplog.text
    np.testing.assert_allclose(states_of(pieces), states_of(whole), atol=1e-5)


def test_a_full_card_is_told(two_state_shards, tmp_path):
    with (
        pretend_gpu(capacity_bytes=1e3),
        pytest.raises(InputError, match=r"^device: the memory of pretend GPU is full"),
    ):
        run(two_state_shards[1], tmp_path / "run", "auto")
    assert not list((tmp_path / "run").iterdir())


def test_what_fits_in_no_piece_is_told(two_state_shards, tmp_path, pretend, monkeypatch):  # noqa: F811
    few = Training(**TRAINING.model_dump() | {"batch_samples": 16})
    trainer, outputs, too_much = trainer_on(GPU, two_state_shards[1], few), GDyNet.outputs, {True, False}

    def outputs_or_not(*arguments):
        if torch.is_grad_enabled() in too_much:
            raise torch.OutOfMemoryError
        return outputs(*arguments)

    monkeypatch.setattr(GDyNet, "outputs", outputs_or_not)
    with pytest.raises(InputError, match="a frame does not fit into the memory of pretend GPU; set device: cpu"):
        trainer.embed(trainer.validation)
    too_much.remove(False)
    with pytest.raises(InputError, match="a pair of frames does not fit into the memory of pretend GPU; take fewer"):
        loop.run(trainer, tmp_path / "resume.pt", "", Reporter(tmp_path, False))


@pytest.mark.parametrize("gradient", [True, False])
def test_memory_is_reckoned(tmp_path, gpu, gradient):
    """What a batch needs is not more than was reckoned, nor much less."""
    shard = random_shard(tmp_path / "0-0.h5", 400, 20, 10, 2, 100)
    trial = TRIAL.model_copy(update={"convolutions": 2, "width": 16, "lag_ps": 2.0})
    trainer = trainer_on(GPU, [shard], trial=trial)
    if gradient:
        pieces = trainer.pieces(np.arange(30))
        ready = trainer.loader(trainer.pairs_of, pieces)
        frames = 32
    with gpu.counting() as step:
        if gradient:
            trainer.step(ready, pieces)
        else:
            frames = len(trainer.validation)
            trainer.embed(trainer.validation)
    reckoned = frames * trainer.network.bytes_per_frame(trainer.data, gradient)
    kept = trainer.data.bytes_on(GPU) + trainer.validation.bytes_on(GPU)
    assert 0.5 * reckoned < step.peak - kept < 1.1 * reckoned + 6e6  # tables and partial sums besides


def test_graphs_go_to_the_device_without_coming_to_rest_on_the_host(tmp_path, pretend, monkeypatch):  # noqa: F811
    monkeypatch.setattr(resident, "BYTES_AT_A_TIME", 1e5)
    splits = Splits(train=(0, 0.9), validation=(0.9, 0.95), test=(0.95, 1))
    shard = random_shard(tmp_path / "0-0.h5", 400, 20, 10, 2, 100)
    data = GraphDataset.load([shard], splits, "train", memory_mb=0)
    on_host, send = [], resident.send

    def looked_at(*arguments):
        """Of what the project holds; the pretend GPU keeps copies of what is on its way."""
        found = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/gdyn/*")])
        on_host.append(sum(trace.size for trace in found.traces))
        return send(*arguments)

    monkeypatch.setattr(resident, "send", looked_at)
    tracemalloc.start()
    data.read(GPU)
    most = max(on_host)
    data.read(CPU)
    looked_at(torch.zeros(1), GPU)
    tracemalloc.stop()
    assert most < 0.4 * data.nbytes < on_host[-1]


def test_a_shared_gpu_is_not_taken_whole(pretend):  # noqa: F811
    assert device_module.memory_of(GPU, 4000, shared=True) == 4e9
    assert device_module.memory_of(GPU, 4000, shared=False) > 7e10
    assert device_module.memory_of(CPU, 4000, shared=False) == 4e9
    assert device_module.work_bytes(GPU, 2e10) == 1e9


def test_trainings_that_share_the_gpus_of_a_machine_are_spread_over_them(two_state_shards, tmp_path):
    with pretend_gpu(devices=2) as card:
        paths = run(two_state_shards[1], tmp_path / "run", "auto", shared=True)  # of seed 1
        assert pick_device("auto").index == 1
        assert not card.races
        alone = run(two_state_shards[1], tmp_path / "alone", "auto")
    np.testing.assert_array_equal(states_of(paths), states_of(alone))


def test_more_processes_than_gpus_are_refused(pretend, monkeypatch):  # noqa: F811
    device_module.claim(0, 1, "auto")
    device_module.claim(1, 2, "cpu")
    with pytest.raises(InputError, match=r"^training\.processes: 2 processes .* finds 1 GPUs here; set it to at most"):
        device_module.claim(1, 2, "auto")


def test_the_time_of_a_step_is_the_devices_own(two_state_shards, fused):
    trainer = trainer_on(GPU, two_state_shards[1])
    a_step(trainer)
    times = trainer.clock.read()
    launches = fused.launches.total()
    assert 0 < times["forward_s"] + times["backward_s"] < 1e-4 * launches


def test_kernels_that_do_not_run_are_told_and_done_without(two_state_shards, tmp_path, pretend, monkeypatch, caplog):  # noqa: F811
    def broken(device):
        raise RuntimeError("no compiler found\nand more")

    monkeypatch.setitem(kernels_module.KERNELS, "pretend", broken)
    kernels_module._found.cache_clear()
    paths = run(two_state_shards[1], tmp_path / "run", "auto")
    kernels_module._found.cache_clear()
    assert caplog.text.count("the fused kernels cannot be used on this GPU: RuntimeError (no compiler found)") == 1
    assert "the fused kernels could not be used on this GPU" in str(read_json(paths["numbers"])["problems"])


@pytest.mark.parametrize("name", ["gather", "attend", "attend_backward", "classify_backward"])
@pytest.mark.parametrize("how", ["raises", "is wrong"])
def test_kernels_that_fail_for_the_sizes_at_hand(two_state_shards, tmp_path, pretend, monkeypatch, caplog, name, how):  # noqa: F811
    """They run in the trial of all kernels, but not with this network: then the training does without them."""
    kernels, asked = kernels_on(pretend), getattr(kernels_on(pretend), name)
    monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: kernels)
    kernels_module._found.cache_clear()

    def broken(*arguments, **options):
        if how == "raises":
            raise RuntimeError("out of resource: shared memory")
        asked(*arguments, **options)
        written = [one for one in arguments if isinstance(one, torch.Tensor) and one.dtype == torch.float32]
        (arguments[7] if name == "gather" else written[-1]).zero_()

    setattr(kernels, name, broken)
    paths = run(two_state_shards[1], tmp_path / "run", "auto")
    assert caplog.text.count("the fused kernels cannot be used on this GPU: RuntimeError (") == 1
    assert "could not be used on this GPU" in str(read_json(paths["numbers"])["problems"])
    assert not pretend.races


def test_kernels_are_tried_before_a_training_is_left_to_them(fused):
    kernels = kernels_module.kernels_of(GPU)
    probe(kernels, GPU)
    wrong = copy.copy(kernels)
    wrong.send_backward = lambda *arguments: arguments[-1].zero_()
    with pytest.raises(RuntimeError, match="do not give what they should"):
        probe(wrong, GPU)


def test_first_ends_that_are_all_alike_are_no_instability(two_state_shards, gpu):
    """Many short runs from one structure, with a lag of half their length: the rounding of a mean is no variance."""
    trainer = trainer_on(GPU, two_state_shards[1])
    batch = trainer.pairs_of(next(trainer.state.pairs))
    states = torch.rand(len(batch.ends) + 1, 2, dtype=torch.float64)
    states = (states / states.sum(1, keepdim=True)).to(GPU)
    ends = torch.stack([torch.zeros(len(batch.ends)), 1 + torch.arange(len(batch.ends))], 1).long().to(GPU)
    for scheme in SCHEMES.values():
        for stage in scheme.stages:
            trainer.sums.begin(trainer.state.centre)
            trainer.sums.add(states, ends)
            moments = trainer.moments()
            assert not moments.precise
            trainer.sums.begin(torch.from_numpy(moments.mean), anew=False)
            trainer.sums.add(states, ends)
            value, slope = objective(stage, trainer.moments(), 0.1)
            assert np.isfinite([value, *slope.linear, *slope.quadratic.flat]).all()
            assert score(trainer.moments()) == pytest.approx(0.0, abs=1e-9)


def test_a_vampnet(tmp_path, pretend):  # noqa: F811
    rng = np.random.default_rng(0)
    labels = np.cumsum(rng.random(900) < 0.05) % 2
    places = 5.0 * (0.25 + 0.5 * labels[:, None, None]) + 0.2 * rng.standard_normal((900, 1, 3))
    atoms = trajectory.Atoms(id=np.ones(1, int), type=np.ones(1), element=np.array(["Li"]))
    store = tmp_path / "0.h5"
    with trajectory.write(store, atoms, 1.0, "made up") as writer:
        writer.append(places, np.tile(5.0 * np.eye(3), (900, 1, 1)), range(900), np.arange(900), np.zeros(900))
        writer.finish(notes="", unwrapped="yes", periodic=(True,) * 3, checksum="sha256:0", largest_step=0.0)
    trial = Trial(model="vampnet", n_states=2, lag_ps=2.0, width=8, convolutions=1, learning_rate=0.005)
    here, there = (run([store], tmp_path / on, on, trial=trial) for on in ("cpu", "auto"))
    assert not pretend.races
    assert read_json(there["numbers"])["validation_vamp2"] == pytest.approx(
        read_json(here["numbers"])["validation_vamp2"], abs=0.02
    )


def random_shard(path, n_atoms, n_neighbors, n_targets, hops, n_frames):
    rng = np.random.default_rng(0)
    atoms = np.arange(n_targets)[:, None]
    about = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": ""}
    side = (n_atoms * 10.0) ** (1 / 3)
    elements = [f"X{i % 5}" for i in range(n_atoms)]
    with write_graphs(path, elements, atoms, atoms + 1, np.ones((1, n_targets)), **about) as append:
        for i in range(n_frames):
            positions = rng.random((n_atoms, 3)) * side
            field = receptive_field(positions, side * np.eye(3), n_neighbors, np.arange(n_targets), hops)
            append([field], [i], [float(i)], [0], [0])
    return path


@pytest.mark.parametrize(
    ("n_atoms", "n_neighbors", "n_targets", "convolutions", "n_frames"), [(5, 12, 1, 2, 2600), (400, 20, 50, 3, 90)]
)
def test_what_a_step_asks_of_the_device(tmp_path, fused, n_atoms, n_neighbors, n_targets, convolutions, n_frames):
    """Ceilings, for graphs as those of the toy and as those of a polymer, but for their number of atoms."""
    shard = random_shard(tmp_path / "0-0.h5", n_atoms, n_neighbors, n_targets, convolutions, n_frames)
    trial = TRIAL.model_copy(update={"convolutions": convolutions, "width": 16, "n_states": 4, "lag_ps": 2.0})
    trainer = trainer_on(GPU, [shard], Training(batch_samples=2048), trial)
    pieces = trainer.pieces(next(trainer.state.pairs))
    assert len(pieces) == 1
    ready = trainer.loader(trainer.pairs_of, pieces * 3)
    trainer.step(ready, pieces)
    with fused.counting() as step:
        trainer.step(ready, pieces)
    assert not step.races
    assert step.launches.total() <= 100, step.launches
    assert step.syncs.total() <= 2, step.places
    frames = np.unique(pieces[0] + np.array([[0], [2]]))
    nodes = trainer.data.counts[frames][:, : convolutions + 1].sum(0)
    n_edges, n_updated = nodes[:-1].sum() * n_neighbors, nodes[:-1].sum()
    # Per edge and per node of every convolution; tables, weights and partial sums besides.
    assert step.bytes.total() < 75 * n_edges + 1700 * (n_updated + nodes[1:].sum()) / 2 + 4e7, step.bytes


def test_only_one_module_knows_a_kind_of_device(root):
    for path in sorted((root / "gdyn").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        assert "torch.cuda" not in text, path
        assert "is_cuda" not in text, path
        assert path.name in ("device.py",) or not re.search(r"accelerator|get_device_module", text), path


def test_graphs_stay_where_there_is_room(two_state_shards, fused):
    data = GraphDataset.load(two_state_shards[1], SPLITS, "validation", memory_mb=0)
    place(data, GPU, 0.0, 0.0)
    assert not data.in_memory
    place(data, GPU, 0.0, 1e9)
    assert isinstance(data._graphs[0], np.ndarray)
    place(data, GPU, 1e9, 0.0)
    assert data._graphs[0].device == GPU


def test_a_card_that_fills_up_while_graphs_come_leaves_them_here(two_state_shards):
    data = GraphDataset.load(two_state_shards[1], SPLITS, "validation", memory_mb=0)
    with pretend_gpu(capacity_bytes=1e4) as card:
        place(data, GPU, 1e9, 1e9)
        assert isinstance(data._graphs[0], np.ndarray)
        assert card.live == 0


def test_batches_wait_for_graphs_that_are_on_their_way(two_state_shards, fused):
    """What the main queue brings to the device is there before the other one gathers from it."""
    data = GraphDataset.load(two_state_shards[1], SPLITS, "validation", memory_mb=0)
    data.read(GPU)
    batches = Loader(GPU)(lambda frames: data.batch(frames, 1), [np.arange(50), np.arange(50, 90)])
    for batch in batches:
        batch.species.sum()
    assert not fused.races
