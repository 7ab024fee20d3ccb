"""A trial of the fused kernels on the device at hand, before a training is left to them."""

from typing import Any

import torch

from gdyn.kernels.convolve import Precision, Weights, convolve
from gdyn.kernels.layout import Edges, Incoming
from gdyn.kernels.plain import attend_plain

TOLERANCE = 1e-4  # of the largest number


def probe(kernels: Any, device: torch.device) -> None:
    """Compute a small convolution, and its gradient, with and without the kernels.

    Raises
    ------
    RuntimeError : the numbers differ.
    Exception : of any kind, if the kernels do not run.
    """
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random)

    n, nodes, m, width, n_rows, n_radial = 70, 90, 12, 16, 50, 36
    neighbors, rows = (torch.randint(most, (n, m), generator=random, dtype=torch.int32) for most in (nodes, 2 * n_rows))
    node, order = neighbors.view(-1).sort(stable=True)
    begin, end = (torch.searchsorted(node, torch.arange(nodes), right=right, out_int32=True) for right in (False, True))
    shapes = (
        (nodes, width),
        (width + 1, width),
        (width + 1,),
        (width + 1, width),
        (width + 1, n_radial),
        (width,),
        (width,),
    )
    values = [normal(*shape) for shape in shapes]
    radial, along = normal(n_rows, n_radial), normal(n, width)
    exact = [value.double().requires_grad_(True) for value in values]
    features, receiver, bias, sender, distance, weight, shift = exact
    messages = attend_plain(
        features[:n] @ receiver.T + bias, features @ sender.T, radial.double() @ distance.T, neighbors, rows
    )
    expected = features[:n] + torch.nn.functional.layer_norm(messages, (width,), weight, shift)
    expected_gradients = torch.autograd.grad((expected * along).sum(), exact)
    here = [value.to(device).requires_grad_(True) for value in values]
    lists = Incoming(begin.to(device), end.to(device), order.int().to(device))
    edges = Edges(neighbors.to(device), rows.to(device), starts=None, incoming=lists)  # type: ignore[arg-type]
    found = convolve(kernels, here[0], Weights(*here[1:]), 1e-5, edges, radial.to(device), Precision())
    gradients = torch.autograd.grad((found * along.to(device)).sum(), here)
    for got, true in zip((found, *gradients), (expected, *expected_gradients), strict=True):
        if not (got.detach().cpu().double() - true.detach()).abs().max() <= TOLERANCE * true.detach().abs().max():
            raise RuntimeError("they do not give what they should")
