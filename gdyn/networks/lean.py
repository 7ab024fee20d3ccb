"""Operations whose derivative is written out: a device has a third as many things to do as when torch derives it."""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable


def rows_of(
    table: Float[Tensor, "kinds width"], kind: Int64[Tensor, " nodes"], kinds: Int64[Tensor, " kinds"]
) -> Float[Tensor, "nodes width"]:
    """``table[kind]``, where there are few ``kinds`` 0, 1 ...: the derivative is a matrix product, without sorting."""
    return _Rows.apply(table, kind, kinds)


def mapped_states(
    logits: Float[Tensor, "samples states"], rotation: Float[Tensor, "states states"], smallest: float
) -> Float[Tensor, "samples states"]:
    """``softmax(logits) rotation``, at least ``smallest``, and rows that sum to 1."""
    return _States.apply(logits, rotation, smallest)


class _Rows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, kind: Tensor, kinds: Tensor) -> Tensor:
        ctx.save_for_backward(kind, kinds)
        return table.index_select(0, kind)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        kind, kinds = ctx.saved_tensors
        return (kinds.unsqueeze(1) == kind).to(gradient.dtype) @ gradient, None, None


class _States(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, rotation: Tensor, smallest: float) -> Tensor:
        soft = torch.softmax(logits, dim=1)
        # Not a matrix product, which may be done with 8 or 10 bits, whose steps would show in the probabilities.
        mapped = (soft.unsqueeze(2) * rotation).sum(1)
        kept = mapped.clamp_min(smallest)
        total = kept.sum(1, keepdim=True)
        states = kept / total
        ctx.save_for_backward(soft, rotation, mapped, total, states)
        ctx.smallest = smallest
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        soft, rotation, mapped, total, states = ctx.saved_tensors
        of_kept = (gradient - (gradient * states).sum(1, keepdim=True)) / total
        of_mapped = of_kept * (mapped >= ctx.smallest)
        of_soft = (of_mapped.unsqueeze(1) * rotation).sum(2)
        return soft * (of_soft - (of_soft * soft).sum(1, keepdim=True)), None, None
