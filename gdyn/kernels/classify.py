"""The head of a network by fused kernels, with its gradient: one kernel there, one kernel and one sum back."""

from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor
from torch.autograd.function import once_differentiable

from gdyn.kernels.layout import programs


def classify(
    kernels: Any,
    pooled: Float32[Tensor, "targets width"],
    weight1: Float32[Tensor, "width width"],
    bias1: Float32[Tensor, " width"],
    weight2: Float32[Tensor, "states width"],
    bias2: Float32[Tensor, " states"],
    rotation: Float32[Tensor, "states states"],
    smallest: float,
) -> Float32[Tensor, "targets states"]:
    """State probabilities of targets: a layer, another, a softmax, a linear map of the states, at least ``smallest``.

    Parameters
    ----------
    kernels : of the device, by :func:`gdyn.kernels.kernels_of`.
    pooled : features before their ReLU.
    rotation : whose rows sum to 1; a constant.
    """
    return _Classify.apply(pooled, weight1, bias1, weight2, bias2, kernels, rotation, smallest)


class _Classify(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        pooled: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        kernels: Any,
        rotation: Tensor,
        smallest: float,
    ) -> Tensor:
        pooled = pooled.contiguous()
        states = pooled.new_empty((len(pooled), len(weight2)))
        kernels.classify(pooled, weight1, bias1, weight2, bias2, rotation, smallest, states)
        ctx.save_for_backward(pooled, weight1, bias1, weight2, bias2, rotation)
        ctx.kernels, ctx.smallest = kernels, smallest
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        pooled, *weights, rotation = ctx.saved_tensors
        sizes = [one.numel() for one in weights]
        parts = pooled.new_empty((programs(len(pooled)), sum(sizes)))
        grad_pooled = torch.empty_like(pooled)
        ctx.kernels.classify_backward(
            pooled, *weights, rotation, ctx.smallest, gradient.contiguous(), grad_pooled, parts
        )
        total = parts.sum(0).split(sizes)
        return grad_pooled, *(one.view_as(of) for one, of in zip(total, weights, strict=True)), None, None, None
