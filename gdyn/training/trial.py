"""A trial of the fused kernels with the network and the graphs at hand, before a training is left to them."""

import numpy as np
import torch
from torch import Tensor

from gdyn.device import send
from gdyn.graphs.pairs import Dataset
from gdyn.kernels import give_up, kernels_of, without_kernels
from gdyn.networks import StateNetwork
from gdyn.networks.arithmetic import arithmetic

FRAMES = 2
TOLERANCE = {"float32": 1e-3, "tf32": 0.02, "bfloat16": 0.1}  # of the largest number


def try_kernels(network: StateNetwork, data: Dataset, precision: str, gradient: bool) -> None:
    """Compute the states of a few frames with and without fused kernels; do without if these do not run, or differ.

    Some sizes need more of a GPU than it has; that shows only here.

    Parameters
    ----------
    network : on its device.
    data : with targets in some of its frames.
    precision : the arithmetic of the training, see :func:`gdyn.networks.arithmetic.arithmetic`.
    gradient : whether it has to be right, too.
    """
    device = network.rotation.device
    if kernels_of(device) is None:
        return
    frames = np.flatnonzero(data.present[data.window].any(1))[:FRAMES]

    def compute() -> list[Tensor]:
        batch = data.batch(frames, network.hops).on(lambda tensor: send(tensor, device))
        with arithmetic(device, precision), torch.set_grad_enabled(gradient):
            states: Tensor = network(batch)
            weights = torch.linspace(-1.0, 1.0, states.numel(), device=device, dtype=states.dtype).view_as(states)
            found = [states.detach()]
            if gradient:
                found += torch.autograd.grad(
                    (states * weights).sum(), list(network.parameters()), materialize_grads=True
                )
        return [one.cpu().double() for one in found]

    try:
        fused = compute()
        with without_kernels(device):
            plain = compute()
        size = max(float(one.abs().max()) for one in plain[1:] or plain)
        for one, other in zip(fused, plain, strict=True):
            if not (one - other).abs().max() <= TOLERANCE[precision] * max(size, 1e-6):
                raise RuntimeError("they do not give what they should")
    except torch.OutOfMemoryError:
        return  # which is noticed when it matters
    except Exception as error:
        give_up(device, error)
