"""All parameters of a network as one tensor: what is done to each of them is then one operation on a device."""

import torch
from torch import Tensor, nn


class Flat:
    """The parameters of a network one after the other, and their gradient.

    The network goes on with views of the same numbers.

    values : (parameters,), with its gradient
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = list(network.parameters())
        self.values = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        sizes = [parameter.numel() for parameter in self.parameters]
        for parameter, part in zip(self.parameters, self.values.detach().split(sizes), strict=True):
            parameter.data = part.view(parameter.shape)

    @property
    def gradient(self) -> Tensor:
        """Of all parameters: (parameters,)."""
        if self.values.grad is None:
            self.values.grad = torch.zeros_like(self.values)
        return self.values.grad

    def forget(self) -> None:
        """The gradient."""
        self.values.grad = None

    def descend(self, outputs: Tensor, gradient: Tensor) -> None:
        """Add to the gradient of all parameters what follows from that of some outputs."""
        parts = torch.autograd.grad(outputs, self.parameters, gradient, materialize_grads=True)
        joined = torch.cat([part.reshape(-1) for part in parts])
        self.values.grad = joined if self.values.grad is None else self.values.grad.add_(joined)

    def clip(self, largest: float) -> None:
        """Shorten the gradient to a length of at most ``largest``; one that is not a number stays so."""
        gradient = self.gradient
        gradient.div_(torch.linalg.vector_norm(gradient).clamp_min(largest))
        if largest != 1.0:
            gradient.mul_(largest)
