"""Applying a trained model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from gdyn.config.models import Splits, Targets
from gdyn.device import on_gpu, pick_device, told_where_full, work_bytes
from gdyn.files import FilePath, read_json
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import Loader
from gdyn.logs import LOG
from gdyn.networks.arithmetic import arithmetic
from gdyn.statistics import present_rows
from gdyn.store import States
from gdyn.training.checkpoint import load_model
from gdyn.training.embed import embed, states_of
from gdyn.training.processes import World
from gdyn.training.seen import outside
from gdyn.training.trial import try_kernels


def predict(
    files: Sequence[FilePath],
    models: Sequence[FilePath],
    outputs: Mapping[str, FilePath],
    threads: int,
    device: str,
    splits: Splits,
    targets: Targets,
    memory_mb: float,
    numbers: Sequence[FilePath] = (),
    like: FilePath | None = None,
) -> None:
    """Apply a model: write the state probabilities of splits, the most populated state (of the test frames) first.

    It is applied in the arithmetic that it was trained in.

    Parameters
    ----------
    files : paths of what the network reads: the graph shards of all trajectories, or the trajectory stores in order.
    models : paths of model files; where there are several, the one of highest validation score is applied.
    like : path of a states file of the same model, whose order of states is kept.
    numbers : paths of the numbers of their trainings, in the same order; not needed for one model.
    outputs : mapping of a split's name to the states file to write, ``test`` among them.
    threads : CPU threads to use.
    device : ``auto``, ``cpu`` or ``cuda``.
    splits, targets : those sections of the system.
    memory_mb : to embed frames in.

    Raises
    ------
    InputError : the model or the files cannot be used.
    """
    torch.set_num_threads(threads)
    at = pick_device(device)
    world, loader = World(at), Loader(at, threads)
    scores = [read_json(path)["validation_vamp2"] for path in numbers] or [0.0]
    with told_where_full(at):
        network, about = load_model(models[int(np.argmax(scores))], at)
    precision = about.get("precision", "float32")
    if precision == "tf32" and not on_gpu(at):
        LOG.warning("the model was trained in tf32 on a GPU; a CPU has no such arithmetic, so float32 is used here")
    states = {}
    for name in outputs:
        data = network.open_split(files, splits, name, targets, about["elements"], memory_mb=0)
        LOG.info("%s: %d frames of %d targets", name, len(data), data.n_targets)
        try_kernels(network, data, precision, gradient=False)
        with arithmetic(at, precision), told_where_full(at):
            probabilities = embed(network, data, loader, world, work_bytes(at, 1e6 * memory_mb), f"states, {name}")
        states[name] = states_of(data, probabilities, name, about["trial"]["lag_ps"])
        if about.get("seen") and isinstance(data, GraphDataset):
            states[name].outside = outside(data, about["seen"])
            LOG.info("%s: %.2g %% of the surroundings are unlike any in training", name, 100 * states[name].outside)
    if like:
        order = list(States.read(like).order)
    else:
        order = np.argsort(-present_rows(states["test"].probabilities).mean(0, dtype=np.float64)).tolist()
    for name, path in outputs.items():
        states[name].reordered(order).write(Path(path))
