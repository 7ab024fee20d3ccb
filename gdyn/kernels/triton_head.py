"""Triton programs of the head of the network; what they compute is said by their launchers in :mod:`.triton_classify`.

W, S : features and states; WP, SP are these padded to powers of two, for Triton
B, C : targets that a program computes at a time, and columns whose products it adds at a time

Every number is a float32, and no product has fewer bits: of logits in 10 bits there would be few distinct
probabilities. What is beyond W or S is zero throughout. A NaN stays one.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import triton
import triton.language as tl

# These numbers change from batch to batch: a program is not compiled anew for those that happen to divide by 16.
SIZES = ["n", "per_program"]


@triton.jit
def _relu(values):
    return tl.maximum(values, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _hidden(
    pooled, weight1, bias1, i, there, W: tl.constexpr, WP: tl.constexpr, B: tl.constexpr, C: tl.constexpr
):  # fmt: skip
    """The hidden layer (B, WP) before its ReLU, of targets ``i`` that are ``there``."""
    f = tl.arange(0, WP)
    z = tl.zeros((B, WP), tl.float32) + tl.load(bias1 + f, mask=f < W, other=0.0)[None, :]
    for c in range(0, W, C):
        k = c + tl.arange(0, C)
        x = tl.load(pooled + i[:, None] * W + k[None, :], mask=there[:, None] & (k < W)[None, :], other=0.0)
        matrix = tl.load(weight1 + f[None, :] * W + k[:, None], mask=(f < W)[None, :] & (k < W)[:, None], other=0.0)
        z = tl.dot(_relu(x), matrix, z, input_precision="ieee")
    return z


@triton.jit
def _softmax(hidden, weight2, bias2, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, SP: tl.constexpr):
    """Of the logits (B, SP) that the hidden layer gives."""
    f, s = tl.arange(0, WP), tl.arange(0, SP)
    matrix = tl.load(weight2 + s[None, :] * W + f[:, None], mask=(s < S)[None, :] & (f < W)[:, None], other=0.0)
    logit = tl.dot(hidden, matrix, input_precision="ieee")
    logit += tl.load(bias2 + s, mask=s < S, other=0.0)[None, :]
    logit = tl.where((s < S)[None, :], logit, float("-inf"))
    soft = tl.exp(logit - tl.max(logit, 1)[:, None])
    return soft / tl.sum(soft, 1)[:, None]


@triton.jit
def _mapped(soft, rotation, smallest, S: tl.constexpr, SP: tl.constexpr):
    """The map of ``soft`` (B, SP), the same not below ``smallest``, and the sums of this over the states (B,)."""
    s = tl.arange(0, SP)
    square = (s < S)[:, None] & (s < S)[None, :]
    matrix = tl.load(rotation + s[:, None] * S + s[None, :], mask=square, other=0.0)
    mapped = tl.dot(soft, matrix, input_precision="ieee")
    kept = tl.maximum(mapped, smallest, propagate_nan=tl.PropagateNan.ALL)
    kept = tl.where((s < S)[None, :], kept, 0.0)
    return mapped, kept, tl.sum(kept, 1)


@triton.jit(do_not_specialize=SIZES)
def classify(
    pooled, weight1, bias1, weight2, bias2, rotation, states, n, smallest,
    W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, B: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    i, s = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B), tl.arange(0, SP)
    z = _hidden(pooled, weight1, bias1, i, i < n, W, WP, B, C)
    soft = _softmax(_relu(z), weight2, bias2, W, WP, S, SP)
    _, kept, total = _mapped(soft, rotation, smallest, S, SP)
    tl.store(states + i[:, None] * S + s[None, :], kept / total[:, None], mask=(i < n)[:, None] & (s < S)[None, :])


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=["partial"])
def classify_backward(
    pooled, weight1, bias1, weight2, bias2, rotation, gradient, grad_pooled, partial, n, smallest, per_program, stride,
    W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, SP: tl.constexpr, B: tl.constexpr, C: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    f, s = tl.arange(0, WP), tl.arange(0, SP)
    of_weight1, of_bias1 = tl.zeros((WP, WP), tl.float32), tl.zeros((WP,), tl.float32)
    of_weight2, of_bias2 = tl.zeros((SP, WP), tl.float32), tl.zeros((SP,), tl.float32)
    square = (f < W)[:, None] & (f < W)[None, :]
    flat = (s < S)[:, None] & (f < W)[None, :]
    first = program * per_program
    stop = tl.minimum(first + per_program, n)
    # Weights are read anew for every B targets: to keep them takes more registers than there are.
    for begin in tl.range(first, stop, B, disable_licm=True):
        i = (begin + tl.arange(0, B)).to(tl.int64)
        there = (i < stop)[:, None] & (f < W)[None, :]
        state = (i < stop)[:, None] & (s < S)[None, :]
        z = _hidden(pooled, weight1, bias1, i, i < stop, W, WP, B, C)
        soft = _softmax(_relu(z), weight2, bias2, W, WP, S, SP)
        mapped, kept, total = _mapped(soft, rotation, smallest, S, SP)
        # From the states back to the logits.
        of_states = tl.load(gradient + i[:, None] * S + s[None, :], mask=state, other=0.0)
        along = tl.sum(of_states * kept, 1) / total
        of_mapped = (of_states - along[:, None]) / total[:, None]
        of_mapped = tl.where(mapped < smallest, 0.0, tl.where(state, of_mapped, 0.0))
        turned = (s < S)[:, None] & (s < S)[None, :]
        turned = tl.load(rotation + s[None, :] * S + s[:, None], mask=turned, other=0.0)
        of_soft = tl.dot(of_mapped, turned, input_precision="ieee")
        of_logit = soft * (of_soft - tl.sum(of_soft * soft, 1)[:, None])
        # From the logits to the hidden layer.
        of_bias2 += tl.sum(of_logit, 0)
        of_weight2 = tl.dot(tl.trans(of_logit), _relu(z), of_weight2, input_precision="ieee")
        matrix = tl.load(weight2 + s[:, None] * W + f[None, :], mask=flat, other=0.0)
        of_z = tl.where(z <= 0.0, 0.0, tl.dot(of_logit, matrix, input_precision="ieee"))
        # From there to the pooled features.
        of_bias1 += tl.sum(of_z, 0)
        x = tl.load(pooled + i[:, None] * W + f[None, :], mask=there, other=0.0)
        of_weight1 = tl.dot(tl.trans(of_z), _relu(x), of_weight1, input_precision="ieee")
        matrix = tl.load(weight1 + f[:, None] * W + f[None, :], mask=square, other=0.0)
        of_x = tl.where(x <= 0.0, 0.0, tl.dot(of_z, matrix, input_precision="ieee"))
        tl.store(grad_pooled + i[:, None] * W + f[None, :], of_x, mask=there)
    to = partial + program.to(tl.int64) * stride
    tl.store(to + f[:, None] * W + f[None, :], of_weight1, mask=square)
    to += W * W
    tl.store(to + f, of_bias1, mask=f < W)
    to += W
    tl.store(to + s[:, None] * W + f[None, :], of_weight2, mask=flat)
    tl.store(to + S * W + s, of_bias2, mask=s < S)
