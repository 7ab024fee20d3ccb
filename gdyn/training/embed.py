"""State probabilities of all frames of a dataset."""

import numpy as np
import torch
from jaxtyping import Float32

from gdyn.errors import InputError
from gdyn.graphs.loader import Loader
from gdyn.graphs.pairs import Dataset
from gdyn.logs import progress
from gdyn.networks.base import Network
from gdyn.store import States
from gdyn.training.batches import frames_at_once
from gdyn.training.processes import World


class UnstableError(Exception):
    """A score, a probability or a gradient is not a number."""


@torch.no_grad()
def embed(
    network: Network, data: Dataset, loader: Loader, world: World, memory_bytes: float, what: str | None = None
) -> Float32[np.ndarray, "frames sets states"]:
    """State probabilities of every target: (frames, target sets, states) float32, NaN where a set is not present.

    Parameters
    ----------
    network : whose states they are.
    data : the dataset of such a network.
    loader : of the device where the network is.
    world : whose processes each embed their share.
    memory_bytes : to embed frames in.
    what : a name for the progress, if it is to be shown.

    Raises
    ------
    InputError : no target is present in any frame.
    UnstableError : the network gives NaN.
    """
    present = data.present[data.window]
    if not present.any():
        raise InputError("targets: no target is present in any frame of a split; widen it under splits")
    share = world.share(np.arange(len(data)))
    at_once = frames_at_once(data, network, memory_bytes, gradient=False)
    pieces = [share[begin : begin + at_once] for begin in range(0, len(share), at_once)]
    probabilities = np.zeros((len(data), data.n_targets, network.arguments["n_states"]), np.float32)
    batches = loader(lambda frames: data.batch(frames, network.hops), pieces)
    for frames, graph in zip(progress(pieces, what) if what else pieces, batches, strict=True):
        probabilities[frames[0] : frames[-1] + 1][present[frames]] = network(graph).float().cpu().numpy()
    total = torch.from_numpy(probabilities).to(loader.device)
    world.sum(total)
    probabilities = total.cpu().numpy()
    if not np.isfinite(probabilities).all():
        raise UnstableError("a probability is not a number")
    probabilities[~present] = np.nan
    return probabilities


def states_of(
    data: Dataset, probabilities: Float32[np.ndarray, "frames sets states"], split: str, lag_ps: float
) -> States:
    """The content of a states file for the frames of a dataset."""
    return States(
        probabilities=probabilities,
        time_ps=data.time_ps,
        trajectory=data.trajectory,
        segment=data.segment,
        target_ids=data.target_ids,
        split=split,
        lag_ps=lag_ps,
        frame_interval_ps=data.frame_interval_ps,
    )


def pick_device(name: str) -> torch.device:
    """The torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError : a GPU is asked for and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for, but torch finds no GPU here; set it to auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
