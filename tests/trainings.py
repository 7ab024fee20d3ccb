"""What tests of networks and of training share; unlike helpers.py, it needs torch."""

from types import SimpleNamespace

import plain_kernels
import torch

from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import Loader
from gdyn.training.embed import embed
from gdyn.training.processes import World
from gdyn.training.trainer import Trainer


def embed_all(network, data, memory_bytes=1e9):
    """What a network says of all frames, on the CPU."""
    cpu = torch.device("cpu")
    return embed(network, data, Loader(cpu), World(cpu), memory_bytes)


def train_an_epoch(shards, weights, splits, network, training, trial):
    """One epoch in float64, in this process or as one of several; the weights that it ends with are written."""
    cpu = torch.device("cpu")
    data = [GraphDataset.load(shards, splits, name) for name in ("train", "validation")]
    world = World(cpu)
    trainer = Trainer(*data, trial, 1, network, training, cpu, world)
    trainer.network.double()
    trainer.flatten()
    # Adam divides by the size of a gradient and would make much of the rounding of one that is zero.
    trainer.state.optimiser = torch.optim.SGD([trainer.flat.values], lr=0.01)
    trainer.settle_norms()
    trainer.epoch()
    if world.rank == 0:
        torch.save(trainer.network.state_dict(), weights)


KERNELS = (
    "project", "tabulate", "attend", "attend_backward", "send_backward", "project_backward", "gather", "classify",
    "classify_backward",
)  # fmt: skip


def kernels_on(gpu):
    """The plain kernels of the tests for a pretend GPU, which counts each of them as one launch."""
    sizes = {"gather": bytes_of_gather}
    launchers = {name: gpu.kernel(getattr(plain_kernels, name), nbytes=sizes.get(name)) for name in KERNELS}
    return SimpleNamespace(ARITHMETICS=plain_kernels.ARITHMETICS, **launchers)


def bytes_of_gather(species, neighbors, distance_mA, incoming, begin, frames, longest, *to):
    """Of the resident graphs, only what the batch takes."""
    read = (species, neighbors, distance_mA, incoming, begin, begin)
    return sum(out.nbytes + out.numel() * of.element_size() for of, out in zip(read, to, strict=True))
