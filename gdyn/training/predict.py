"""Applying the selected model to every split."""

from pathlib import Path

import numpy as np
import torch

from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import Loader
from gdyn.logs import LOG
from gdyn.statistics import present_rows
from gdyn.training.checkpoint import load_model
from gdyn.training.embed import embed, pick_device, states_of
from gdyn.training.processes import World


def predict(shards, model, outputs, threads, device, splits, memory_mb):
    """Write the state probabilities of every split, the most populated state (of the test frames) first.

    Parameters
    ----------
    shards : paths of the graph shards of all trajectories.
    model : path of the model file.
    outputs : mapping of a split's name to the states file to write.
    threads : CPU threads to use.
    device : ``auto``, ``cpu`` or ``cuda``.
    splits : that section of the system.
    memory_mb : to embed frames in.

    Raises
    ------
    InputError : the model or the shards cannot be used.
    """
    torch.set_num_threads(threads)
    device = pick_device(device)
    world, loader = World(device), Loader(device, threads)
    network, about = load_model(model, device)
    states = {}
    for name in splits.as_dict():
        data = GraphDataset.load(shards, splits, name, about["elements"], memory_mb=0)
        LOG.info("%s: %d frames of %d targets", name, len(data), data.n_targets)
        probabilities = embed(network, data, loader, world, 1e6 * memory_mb, f"states, {name}")
        states[name] = states_of(data, probabilities, name, about["trial"]["lag_ps"])
    order = np.argsort(-present_rows(states["test"].probabilities).mean(0, dtype=np.float64))
    for name, path in outputs.items():
        states[name].reordered(order).write(Path(path))
