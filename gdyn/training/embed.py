"""State probabilities of all frames of a dataset."""

import numpy as np
import torch
from jaxtyping import Float32

from gdyn.device import device_name, fits, forget_unused
from gdyn.errors import InputError
from gdyn.graphs.loader import Loader
from gdyn.graphs.pairs import Dataset
from gdyn.logs import LOG, progress
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
    at_once = min(frames_at_once(data, network, memory_bytes, gradient=False), max(1, len(share)))
    probabilities = np.zeros((len(data), data.n_targets, network.arguments["n_states"]), np.float32)
    done = 0

    def embed_rest() -> None:
        nonlocal done
        pieces = [share[begin : begin + at_once] for begin in range(done, len(share), at_once)]
        batches = loader(lambda frames: data.batch(frames, network.hops), pieces)
        for frames, graph in zip(progress(pieces, what) if what else pieces, batches, strict=True):
            of_frames = probabilities[frames[0] : frames[-1] + 1]
            of_frames[present[frames]] = network(graph).float().cpu().numpy()
            done += len(frames)

    while not fits(embed_rest):
        forget_unused(loader.device)
        if at_once == 1:
            raise InputError(f"a frame does not fit into the memory of {device_name(loader.device)}; set device: cpu")
        at_once //= 2
        LOG.info("memory is short on %s: %d frames at once", device_name(loader.device), at_once)
    if world.size > 1:
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
