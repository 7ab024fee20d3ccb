"""What the acceptance measures on: graphs as those of a polymer and of a toy, and trainings of them."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from helpers import SHARD, markov_chain

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # which import each other by their names
from training import CASES, SPECIES, STATES, WIDTH, frames_of

from gdyn.config.models import Network, Splits, Training, Trial
from gdyn.device import on_gpu
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.neighbors import receptive_field
from gdyn.store import graphs as graph_store
from gdyn.training.processes import World
from gdyn.training.trainer import Trainer

DIFFERENT, STAYS = 8, 0.9  # frames of a case, among which it hops, and how likely it is not to
TOGETHER = 500  # frames that are written at once
SPLITS = Splits(train=(0.0, 0.8), validation=(0.8, 0.9), test=(0.9, 1.0))
SEED = 1


@dataclass
class Setting:
    """What a part of the acceptance is given.

    device : where to measure
    small : whether sizes and repetitions are to be small
    folder : for files of the part
    """

    device: torch.device
    small: bool
    folder: Path

    @property
    def gpu(self):
        return on_gpu(self.device)

    @property
    def name(self):
        """Of the device, in the configuration."""
        return "auto" if self.gpu else "cpu"

    @property
    def few(self):
        """Whether there is only time for few repetitions."""
        return self.small or not self.gpu


def case_of(name, small):
    """A case of the benchmarks; if it is to be small, fewer atoms of the same density."""
    case = dict(CASES[name], frames=300 if name == "big" else 40000, samples=2048)
    if small and name == "big":
        atoms = 200
        case |= {"atoms": atoms, "targets": 10, "side_A": case["side_A"] * (atoms / case["atoms"]) ** (1 / 3)}
        case |= {"frames": 100, "samples": 200}
    elif small:
        case |= {"frames": 2000, "samples": 400}
    return case


def shard_of(name, setting):
    """The path of a shard of the case, which is written where it is not there yet."""
    case, path = case_of(name, setting.small), setting.folder / f"{name}.h5"
    if path.exists():
        return path
    n, sets = case["frames"], np.arange(case["targets"])
    fields = [
        receptive_field(*frames_of(case, i), case["neighbors"], sets, case["convolutions"]) for i in range(DIFFERENT)
    ]
    stays = STAYS * np.eye(DIFFERENT) + (1.0 - STAYS) / DIFFERENT
    which = markov_chain(stays, n, np.random.default_rng(0))[:, 0]
    elements, targets = [f"X{i % SPECIES}" for i in range(case["atoms"])], (sets[:, None], sets[:, None] + 1)
    with graph_store.write(path, elements, *targets, np.ones((1, len(sets))), **SHARD) as append:
        for begin in range(0, n, TOGETHER):
            frames = np.arange(begin, min(n, begin + TOGETHER))
            zero = np.zeros(len(frames))
            append([fields[i] for i in which[frames]], frames, frames * 1.0, zero, zero)
    return path


def trial_of(name):
    case = CASES[name]
    about = {"width": WIDTH, "convolutions": case["convolutions"], "learning_rate": 0.005}
    return Trial(n_states=STATES, lag_ps=float(case["lag"]), **about)


def trainer_of(name, setting, device=None, double=False, **training):
    """A trainer of a case on a device, in float64 if ``double``."""
    device, case = device or setting.device, case_of(name, setting.small)
    memory_mb = 0 if on_gpu(device) else np.inf
    data = [
        GraphDataset.load([shard_of(name, setting)], SPLITS, one, None, memory_mb) for one in ("train", "validation")
    ]
    training = Training(batch_samples=case["samples"], **training)
    trainer = Trainer(*data, trial_of(name), SEED, Network(), training, device, World(device))
    if double:
        trainer.network.double()
        trainer.flatten()
        trainer.state.optimiser = trainer.optimiser(0.005)
    trainer.settle_norms()
    trainer.network.train()
    return trainer


def steps(trainer, batches):
    """Steps of a training as an epoch takes them; each batch is a list of pieces."""
    requests = [piece for pieces in batches for piece in (pieces if len(pieces) == 1 else pieces * 2)]
    ready = trainer.loader(trainer.pairs_of, requests)
    return [trainer.step(ready, pieces) for pieces in batches]


def some_batches(trainer, number):
    return [trainer.pieces(next(trainer.state.pairs)) for _ in range(number)]


def an_epoch(shards, weights, trial, training, device):
    """Some steps of plain gradient descent, in this process or as one of several; the weights at their end.

    Adam divides by the size of a gradient, and would make much of the rounding of one that is zero.
    """
    from gdyn.device import pick_device

    at = pick_device(device)
    world = World(at)
    data = [GraphDataset.load(shards, Splits(), name) for name in ("train", "validation")]
    trainer = Trainer(*data, trial, SEED, Network(radial_max_A=4.0), training, at, world)
    trainer.state.optimiser = torch.optim.SGD([trainer.flat.values], lr=0.01)
    trainer.settle_norms()
    trainer.epoch()
    if world.rank == 0:
        torch.save({name: one.cpu() for name, one in trainer.network.state_dict().items()}, weights)


TWO_STATES = Trial(n_states=2, lag_ps=5.0, width=8, convolutions=1, learning_rate=0.01)
