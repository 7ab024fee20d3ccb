"""A graph convolution by fused kernels, with its gradient: three kernels there and three back, and one sum."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Float32, Int, Int32
from torch import Tensor
from torch.autograd.function import once_differentiable

from gdyn.kernels.layout import Edges, Norm, programs, row_stride


class Weights(NamedTuple):
    """The parameters of a convolution.

    receiver, receiver_bias : (width + 1, width) and (width + 1,), of the atoms that are updated
    sender : (width + 1, width), of their neighbors
    distance : (width + 1, gaussians)
    norm, norm_bias : (width,) of a layer norm of the messages; None if there is another
    """

    receiver: Float[Tensor, "logits width"]
    receiver_bias: Float[Tensor, " logits"]
    sender: Float[Tensor, "logits width"]
    distance: Float[Tensor, "logits gaussians"]
    norm: Float[Tensor, " width"] | None
    norm_bias: Float[Tensor, " width"] | None


class Precision(NamedTuple):
    """The arithmetic of the kernels; sums are in float32 in any case.

    rows : in which what is made of atoms and distances is stored: torch.bfloat16, or that of the features
    products : of matrices, ``ieee`` or ``tf32``
    """

    rows: torch.dtype = torch.float32
    products: str = "ieee"


def convolve(
    kernels: Any,
    features: Float32[Tensor, "nodes width"],
    weights: Weights,
    eps: float,
    edges: Edges,
    radial: Float32[Tensor, "table gaussians"],
    precision: Precision,
) -> Float32[Tensor, "updated width"]:
    """Messages of the updated atoms, as :func:`gdyn.kernels.plain.attend_plain`; with a norm, ``features + norm(m)``.

    Parameters
    ----------
    kernels : of the device, by :func:`gdyn.kernels.kernels_of`.
    features : of all nodes, the updated ones first.
    eps : added to the variance in the norm.
    edges : with ``incoming``, if there is to be a gradient.
    radial : a row for every 0.001 A.
    """
    if edges.incoming is None and torch.is_grad_enabled():
        raise ValueError("a gradient needs the edges that point to each node")
    lists = (edges.neighbors, edges.distance_mA, *(edges.incoming or (None, None, None)))
    return _Convolve.apply(features, *weights, kernels, eps, precision, radial, *lists)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        receiver_weight: Tensor,
        receiver_bias: Tensor,
        sender_weight: Tensor,
        distance_weight: Tensor,
        norm: Tensor | None,
        norm_bias: Tensor | None,
        kernels: Any,
        eps: float,
        precision: Precision,
        radial: Tensor,
        neighbors: Int32[Tensor, "updated M"],
        rows: Int[Tensor, "updated M"],
        begin: Tensor | None,
        end: Tensor | None,
        incoming: Tensor | None,
    ) -> Tensor:
        features = features.contiguous()
        n, width = len(neighbors), features.shape[1]
        kind = precision.rows if precision.rows == torch.bfloat16 else features.dtype
        stride = row_stride(width, kind)
        receiver, sender, table = (
            features.new_empty((length, stride), dtype=kind) for length in (n, len(features), len(radial))
        )
        kernels.project(
            features, receiver_weight, receiver_bias, sender_weight, receiver, sender, precision=precision.products
        )
        kernels.tabulate(radial, distance_weight, table, precision=precision.products)
        attention, messages = features.new_empty(neighbors.shape), features.new_empty((n, width))
        out = messages
        if norm is not None and norm_bias is not None:
            out = torch.empty_like(messages)
            kernels.attend(
                receiver, sender, table, neighbors, rows, attention, messages, Norm(features, norm, norm_bias, eps, out)
            )
        else:
            kernels.attend(receiver, sender, table, neighbors, rows, attention, messages)
        lists = begin, end, incoming
        of_weights = receiver_weight, sender_weight, distance_weight, norm, norm_bias
        ctx.save_for_backward(
            features, receiver, sender, table, radial, neighbors, rows, *lists, attention, messages, *of_weights
        )
        ctx.kernels, ctx.eps, ctx.precision = kernels, eps, precision
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, receiver, sender, table, radial, neighbors, rows, *lists, attention, messages = ctx.saved_tensors[:12]
        receiver_weight, sender_weight, distance_weight, weight, bias = ctx.saved_tensors[12:]
        kernels, width = ctx.kernels, features.shape[1]
        gradient = gradient.contiguous()
        grad_messages, grad_logit = torch.empty_like(messages), torch.empty_like(attention)
        stride = row_stride(width)
        grad_receiver, grad_sender = (features.new_empty((len(of), stride)) for of in (receiver, sender))
        of_node = 2 * receiver_weight.numel() + width + 1
        parts = features.new_empty(
            (programs(len(features)), of_node + distance_weight.numel() + (0 if weight is None else 2 * width))
        )
        of_nodes = parts[:, :of_node]
        of_table = parts[:, of_node : of_node + distance_weight.numel()].unflatten(1, distance_weight.shape)
        norm = of_norm = None
        if weight is not None and bias is not None:
            norm = Norm(gradient, weight, bias, ctx.eps, gradient)
            of_norm = parts[:, of_node + distance_weight.numel() :].unflatten(1, (2, width))
        kernels.attend_backward(
            receiver, sender, table, radial, neighbors, rows, attention, messages, gradient, norm, grad_messages,
            grad_receiver, grad_logit, of_table, of_norm, precision=ctx.precision.products,
        )  # fmt: skip
        kernels.send_backward(receiver, sender, table, rows, *lists, attention, grad_messages, grad_logit, grad_sender)
        grad_features = torch.empty_like(features)
        kernels.project_backward(
            features, receiver_weight, sender_weight, grad_receiver, grad_sender,
            None if weight is None else gradient, grad_features, of_nodes, precision=ctx.precision.products,
        )  # fmt: skip
        total = parts.sum(0)
        sizes = [receiver_weight.numel(), width + 1, sender_weight.numel(), distance_weight.numel()]
        sizes += [width, width] if weight is not None else []
        of_receiver, of_bias, of_sender, of_distance, *of_norms = total.split(sizes)
        return (
            grad_features,
            of_receiver.view_as(receiver_weight),
            of_bias,
            of_sender.view_as(sender_weight),
            of_distance.view_as(distance_weight),
            *(of_norms or (None, None)),
            *(None,) * 9,
        )
