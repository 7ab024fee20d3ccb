"""A trial of the fused kernels on the device at hand, before a training is left to them."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from gdyn.kernels.classify import classify
from gdyn.kernels.convolve import Precision, Weights, convolve
from gdyn.kernels.layout import Edges, incoming_of
from gdyn.kernels.plain import attend_plain, classify_plain

TOLERANCE = 1e-4  # of the largest number


def probe(kernels: Any, device: torch.device) -> None:
    """Compute a small convolution and the head of a network, and their gradients, with and without the kernels.

    Raises
    ------
    RuntimeError : the numbers differ.
    Exception : of any kind, if the kernels do not run.
    """
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    n, nodes, m, width, n_rows, n_radial = 70, 90, 12, 16, 50, 36
    neighbors, rows = (torch.randint(most, (n, m), generator=random, dtype=torch.int32) for most in (nodes, 2 * n_rows))
    shapes = (
        (nodes, width),
        (width + 1, width),
        (width + 1,),
        (width + 1, width),
        (width + 1, n_radial),
        (width,),
        (width,),
    )
    radial = normal(n_rows, n_radial)
    there = neighbors.to(device)
    lists = incoming_of(there, nodes)
    edges = Edges(there, rows.to(device), starts=None, incoming=lists)  # type: ignore[arg-type]

    def layer(*values: Tensor) -> Tensor:
        return convolve(kernels, values[0], Weights(*values[1:]), 1e-5, edges, radial.to(device), Precision())

    def plain_layer(features: Tensor, *weights: Tensor) -> Tensor:
        receiver, bias, sender, distance, weight, shift = weights
        messages = attend_plain(
            features[:n] @ receiver.T + bias, features @ sender.T, radial.double() @ distance.T, neighbors, rows
        )
        return features[:n] + torch.nn.functional.layer_norm(messages, (width,), weight, shift)

    _compare(layer, plain_layer, [normal(*shape) for shape in shapes], normal(n, width), device)
    n_states, smallest = 3, 0.1  # which some of the probabilities are below
    rotation = 0.8 * torch.eye(n_states) + 0.2 * torch.eye(n_states).roll(1, 0)

    def head(*values: Tensor) -> Tensor:
        pooled, weight1, bias1, weight2, bias2 = values
        return classify(kernels, pooled, weight1, bias1, weight2, bias2, rotation.to(device), smallest)

    def plain_head(*values: Tensor) -> Tensor:
        pooled, weight1, bias1, weight2, bias2 = values
        return classify_plain(pooled, weight1, bias1, weight2, bias2, rotation.double(), smallest)

    of_head = ((n, width), (width, width), (width,), (n_states, width), (n_states,))
    _compare(head, plain_head, [normal(*shape) for shape in of_head], normal(n, n_states), device)


def _compare(
    fused: Callable[..., Tensor],
    plain: Callable[..., Tensor],
    values: Sequence[Tensor],
    along: Tensor,
    device: torch.device,
) -> None:
    """What either gives of ``values``, and the gradients ``along`` something; the plain one in float64, on the CPU."""
    exact = [value.double().requires_grad_(True) for value in values]
    expected = plain(*exact)
    expected_gradients = torch.autograd.grad((expected * along).sum(), exact)
    here = [value.to(device).requires_grad_(True) for value in values]
    found = fused(*here)
    gradients = torch.autograd.grad((found * along.to(device)).sum(), here)
    for got, true in zip((found, *gradients), (expected, *expected_gradients), strict=True):
        if not (got.detach().cpu().double() - true.detach()).abs().max() <= TOLERANCE * true.detach().abs().max():
            raise RuntimeError("they do not give what they should")
