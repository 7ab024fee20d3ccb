"""What all networks share: probabilities of states, and a linear map of them."""

import torch
from torch import nn

from gdyn.networks.convolution import RunningNorm

SMALLEST_PROBABILITY = 1e-5


class StateNetwork(nn.Module):
    """A network whose outputs become probabilities of states.

    The softmax is followed by a fixed linear map of the states, ``rotation``, which is the identity until
    :meth:`rotate` is called: a VAMP score does not change under such a map, but which states are
    pure does (equation 14 of docs/theory.md).

    A network has ``arguments``, of its constructor, and ``hops``, how many neighbors away it sees; it defines
    :meth:`outputs` and :meth:`bytes_per_frame`.

    Parameters
    ----------
    n_states : int
    arguments : mapping of plain values that build the network again.
    """

    hops = 0

    def __init__(self, n_states, arguments):
        super().__init__()
        self.arguments = {"n_states": n_states, **arguments}
        self.register_buffer("rotation", torch.eye(n_states))

    def outputs(self, batch):
        """What the softmax is of: (samples, states)."""
        raise NotImplementedError

    def bytes_per_frame(self, data, gradient):
        """Memory that a frame of a dataset needs on the average, with everything kept for the gradient or without."""
        raise NotImplementedError

    def forward(self, batch):
        """State probabilities of every sample of a batch.

        Returns
        -------
        (samples, states), rows sum to 1
        """
        probabilities = torch.softmax(self.outputs(batch), dim=1) @ self.rotation
        probabilities = probabilities.clamp_min(SMALLEST_PROBABILITY)
        return probabilities / probabilities.sum(1, keepdim=True)

    def running_norms(self):
        """The norms, first layer first, that follow what they see."""
        return [module for module in self.modules() if isinstance(module, RunningNorm)]

    @torch.no_grad()
    def rotate(self, matrix):
        """Follow the present map of the states by ``matrix`` (states, states), whose rows sum to 1."""
        self.rotation.copy_(self.rotation @ torch.as_tensor(matrix, dtype=self.rotation.dtype))
