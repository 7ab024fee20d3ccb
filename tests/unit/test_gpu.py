"""Training on a GPU, shown on a pretend one: the same numbers as on the CPU, and what a step asks of the device."""

import numpy as np
import plain_kernels
import pytest
import torch
from pretend_gpu import pretend  # noqa: F401 - a fixture

from gdyn import kernels as kernels_module
from gdyn.config.models import Network, Splits, Targets, Training, Trial
from gdyn.config.schemes import SCHEMES
from gdyn.store import States
from gdyn.training.loop import train

GPU = torch.device("pretend", 0)
SPLITS = Splits(train=(0.0, 0.6), validation=(0.6, 0.8), test=(0.8, 1.0))
TRIAL = Trial(n_states=2, lag_ps=5.0, width=8, convolutions=1, learning_rate=0.01)
TRAINING = Training(max_epochs=3, epoch_steps=4, patience=3, memory_mb=2000, batch_samples=1024)
KERNELS = ["project", "tabulate", "attend", "attend_backward", "send_backward", "project_backward", "gather"]
KERNELS += ["classify", "classify_backward"]


class Kernels:
    """The plain kernels of the tests, each of which the pretend GPU counts as one launch."""

    EXACT_PRODUCTS = "ieee"

    def __init__(self, gpu):
        for name in KERNELS:
            nbytes = bytes_of_gather if name == "gather" else None
            setattr(self, name, gpu.kernel(getattr(plain_kernels, name), nbytes=nbytes))


def bytes_of_gather(species, neighbors, distance_mA, incoming, begin, frames, longest, *to):
    """Of the resident graphs, only what the batch takes."""
    read = [
        (species, to[0]),
        (neighbors, to[1]),
        (distance_mA, to[2]),
        (incoming, to[3]),
        (begin, to[4]),
        (begin, to[5]),
    ]
    return sum(out.nbytes + out.numel() * of.element_size() for of, out in read)


@pytest.fixture(params=["fused", "plain"])
def gpu(pretend, request, monkeypatch):  # noqa: F811
    """The pretend GPU with fused kernels, or without any."""
    if request.param == "fused":
        monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: Kernels(pretend))
    kernels_module._found.cache_clear()
    yield pretend
    kernels_module._found.cache_clear()


@pytest.fixture
def fused(pretend, monkeypatch):  # noqa: F811
    monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: Kernels(pretend))
    kernels_module._found.cache_clear()
    yield pretend
    kernels_module._found.cache_clear()


def run(shards, folder, device, trial=TRIAL, network=None, training=TRAINING, **more):
    folder.mkdir(exist_ok=True)
    names = {"model": "model.pt", "history": "history.csv", "states": "states.h5", "numbers": "numbers.json"}
    outputs = {name: folder / file for name, file in names.items()}

    train(
        files=[str(path) for path in shards], resume=folder / "resume.pt", trial=trial, seed=1, threads=1,
        device=device, splits=SPLITS, targets=Targets(selection="element Li"), network=network or Network(), training=training,
        **outputs, **more,
    )  # fmt: skip
    return outputs


@pytest.mark.parametrize("normalisation", ["layer", "batch"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_training_gives_what_a_cpu_gives(two_state_shards, tmp_path, gpu, scheme, normalisation):
    _, shards = two_state_shards
    settings = {
        "network": Network(normalisation=normalisation),
        "training": TRAINING.model_copy(update={"scheme": scheme}),
    }
    here = run(shards, tmp_path / "cpu", "cpu", **settings)
    there = run(shards, tmp_path / "gpu", "auto", **settings)
    assert gpu.launches.total() > 1000
    assert not gpu.races
    np.testing.assert_allclose(*(States.read(paths["states"]).probabilities for paths in (there, here)), atol=1e-3)
