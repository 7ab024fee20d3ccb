"""The head of the network on a GPU: from the pooled features of targets to the probabilities of their states.

Each function launches exactly one kernel, as those of :mod:`.triton_kernels` do, which has these too. W features, s
states, T targets, P programs that each add up something of their own, so that nothing depends on which is done first.
With ``h = ReLU(ReLU(pooled) weight1^T + bias1)`` and ``q = max(softmax(h weight2^T + bias2) rotation, smallest)``::

    states = q / (sum of q over the states)

All in float32, and in products of as many bits, whatever the precision of the rest. Tensors are contiguous.
"""

import triton
from jaxtyping import Float32
from torch import Tensor

from gdyn.kernels import triton_head

SMALLEST_SIDE = 16  # of a matrix product
# Chosen by compiling ahead (tests/unit/test_classify.py): no registers are spilled.
TARGETS_AT_A_TIME = 16
WARPS = 2  # and of a program that adds up the gradient of more than 16 x 16 weights, as many times more, up to
MOST_WARPS = 8


def classify(
    pooled: Float32[Tensor, "targets width"],
    weight1: Float32[Tensor, "width width"],
    bias1: Float32[Tensor, " width"],
    weight2: Float32[Tensor, "states width"],
    bias2: Float32[Tensor, " states"],
    rotation: Float32[Tensor, "states states"],
    smallest: float,
    states: Float32[Tensor, "targets states"],
) -> None:
    """``states``, of which none is below ``smallest`` before they are divided by their sum."""
    (n, width), n_states = pooled.shape, states.shape[1]
    triton_head.classify[(triton.cdiv(n, TARGETS_AT_A_TIME),)](
        pooled, weight1, bias1, weight2, bias2, rotation, states, n, smallest,
        W=width, WP=_side(width), S=n_states, SP=_side(n_states), B=TARGETS_AT_A_TIME, C=SMALLEST_SIDE,
        num_warps=WARPS, num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def classify_backward(
    pooled: Float32[Tensor, "targets width"],
    weight1: Float32[Tensor, "width width"],
    bias1: Float32[Tensor, " width"],
    weight2: Float32[Tensor, "states width"],
    bias2: Float32[Tensor, " states"],
    rotation: Float32[Tensor, "states states"],
    smallest: float,
    gradient: Float32[Tensor, "targets states"],
    grad_pooled: Float32[Tensor, "targets width"],
    partial: Float32[Tensor, "programs weights"],
) -> None:
    """The gradient of ``pooled``, and parts of those of the weights; ``rotation`` is a constant.

    Parameters
    ----------
    gradient : of the states.
    partial : of weight1 (W, W), bias1 (W), weight2 (s, W) and bias2 (s), in this order; a row for each program.
    """
    (n, width), n_states = pooled.shape, gradient.shape[1]
    side = _side(width)
    triton_head.classify_backward[(len(partial),)](
        pooled, weight1, bias1, weight2, bias2, rotation, gradient, grad_pooled, partial, n, smallest,
        triton.cdiv(n, len(partial)), partial.stride(0),
        W=width, WP=side, S=n_states, SP=_side(n_states), B=TARGETS_AT_A_TIME, C=SMALLEST_SIDE,
        num_warps=min(MOST_WARPS, WARPS * side * side // SMALLEST_SIDE**2), num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def _side(length: int) -> int:
    return max(SMALLEST_SIDE, triton.next_power_of_2(length))
