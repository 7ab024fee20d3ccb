"""State probabilities of all frames of a dataset, and the score of a whole set."""

import numpy as np
import torch

from gdyn.errors import InputError
from gdyn.graphs.loader import Loader
from gdyn.logs import progress
from gdyn.statistics import Covariances, noise_floor, vamp2
from gdyn.training.batches import frames_at_once
from gdyn.training.vamp import moments
from gdyn.trajectory.lag import lagged_frames


@torch.no_grad()
def embed(network, data, loader, world, memory_bytes, what=None):
    """State probabilities of every target: (frames, target sets, states) float32, NaN where a set is not present.

    Parameters
    ----------
    network : GDyNet
    data : GraphDataset
    loader : Loader
    world : World, whose processes each embed their share.
    memory_bytes : to embed frames in.
    what : a name for the progress, if it is to be shown.

    Raises
    ------
    InputError : no target is present in any frame.
    """
    present = data.present[data.window]
    if not present.any():
        raise InputError("targets: no target is present in any frame of a split; widen it under splits")
    hops = len(network.convolutions)
    mine = world.share(np.arange(len(data)))
    at_once = frames_at_once(data, network, memory_bytes, gradient=False)
    pieces = [mine[begin : begin + at_once] for begin in range(0, len(mine), at_once)]
    found = np.zeros((len(data), data.n_targets, network.arguments["n_states"]), np.float32)
    batches = loader(lambda frames: data.batch(frames, hops), pieces)
    for frames, graph in zip(progress(pieces, what) if what else pieces, batches, strict=True):
        found[frames[0] : frames[-1] + 1][present[frames]] = network(graph).float().cpu().numpy()
    total = torch.from_numpy(found).to(loader.device)
    world.sum(total)
    found = total.cpu().numpy()
    found[~present] = np.nan
    return found


def whole_set_score(probabilities, segment, lag_frames):
    """VAMP-2 score of a whole set, from float64 covariances, and its noise floor.

    States that are the same everywhere score 0.
    """
    covariances = Covariances.of(probabilities, segment, lag_frames)
    try:
        score = vamp2(covariances)
    except np.linalg.LinAlgError:
        score = 0.0
    return score, noise_floor(score, probabilities.shape[-1], covariances.samples, lag_frames, covariances.walkers)


def whole_set_moments(probabilities, segment, lag_frames):
    """The moments of a whole set (:func:`gdyn.training.vamp.moments`)."""
    first = lagged_frames(segment, lag_frames)
    n_states = probabilities.shape[-1]
    x, y = (torch.from_numpy(probabilities[frames].reshape(-1, n_states)) for frames in (first, first + lag_frames))
    both = ~(x[:, 0].isnan() | y[:, 0].isnan())
    return moments(x[both], y[both])


def pick_device(name):
    """The torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError : a GPU is asked for and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for, but torch finds no GPU here; set it to auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def loader_for(data, device, memory_bytes):
    """A Loader for ``device``; graphs that fit there beside everything else are moved there once."""
    if device.type == "cuda" and data.nbytes <= memory_bytes:
        data.read(device)
    return Loader(device, torch.get_num_threads())
