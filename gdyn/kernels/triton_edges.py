"""Triton programs that pass over the edges; what they compute is said by their launchers in :mod:`.kernels`.

W, M, G : width of features, neighbors, Gaussians; WP, MP, GP are these padded to powers of two, for Triton
S, SG : numbers from one row to the next, of receiver, sender and table, and of their gradients
B : atoms that a program computes at a time

All arithmetic is float32. ``z`` stands for receiver + sender + table, as in equations 2 and 3 of docs/theory.md.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import triton
import triton.language as tl

# These numbers change from batch to batch: a program is not compiled anew for those that happen to divide by 16.
SIZES = ["n", "last", "edges", "per_program"]


@triton.jit
def _table_row(pointer, there, last):
    """The row of the table for a distance, which int16 holds as the bits of an unsigned number."""
    row = tl.load(pointer, mask=there, other=0).to(tl.int32)
    if pointer.dtype.scalar.element_ty == tl.int16:
        row &= 0xFFFF
    return tl.minimum(row, last)


@triton.jit
def _normalised(values, there, eps, W: tl.constexpr):
    """Deviations of each row (B, WP) from its mean over its standard deviation, and one over that (B,)."""
    deviation = tl.where(there, values - (tl.sum(values, 1) / W)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(deviation * deviation, 1) / W + eps)
    return deviation * scale[:, None], scale


@triton.jit(do_not_specialize=SIZES)
def attend(
    receiver, sender, table, neighbors, rows, attention, messages, features, weight, bias, out, n, last, eps,
    M: tl.constexpr, MP: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, B: tl.constexpr,
    NORM: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    p, f = tl.arange(0, MP), tl.arange(0, WP)
    atom = i < n
    edge = atom[:, None] & (p < M)[None, :]
    there = atom[:, None] & (f < W)[None, :]
    feature = edge[:, :, None] & (f < W)[None, None, :]
    at = i[:, None] * M + p[None, :]
    j = tl.load(neighbors + at, mask=edge, other=0).to(tl.int64) * S
    d = _table_row(rows + at, edge, last) * S
    logit = tl.load(sender + j + W, mask=edge, other=0.0).to(tl.float32)
    logit += tl.load(table + d + W, mask=edge, other=0.0).to(tl.float32)
    logit += tl.load(receiver + i * S + W, mask=atom, other=0.0).to(tl.float32)[:, None]
    logit = tl.where((p < M)[None, :], logit, float("-inf"))
    share = tl.exp(logit - tl.max(logit, 1)[:, None])
    share = share / tl.sum(share, 1)[:, None]
    tl.store(attention + at, share, mask=edge)
    z = tl.load(sender + j[:, :, None] + f[None, None, :], mask=feature, other=0.0).to(tl.float32)
    z += tl.load(table + d[:, :, None] + f[None, None, :], mask=feature, other=0.0).to(tl.float32)
    z += tl.load(receiver + i[:, None] * S + f[None, :], mask=there, other=0.0).to(tl.float32)[:, None, :]
    z = tl.maximum(z, 0.0, propagate_nan=tl.PropagateNan.ALL)
    message = tl.sum(share[:, :, None] * z, 1)
    place = i[:, None] * W + f[None, :]
    tl.store(messages + place, message, mask=there)
    if NORM:
        normal, _ = _normalised(message, there, eps, W)
        result = tl.load(features + place, mask=there, other=0.0)
        result += normal * tl.load(weight + f, mask=f < W, other=0.0)[None, :]
        result += tl.load(bias + f, mask=f < W, other=0.0)[None, :]
        tl.store(out + place, result, mask=there)


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=["partial", "partial_norm"])
def attend_backward(
    receiver, sender, table, radial, neighbors, rows, attention, messages, gradient, weight, grad_messages,
    grad_receiver, grad_logit, partial, partial_norm, n, last, per_program, stride, stride_norm, eps,
    M: tl.constexpr, C: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, G: tl.constexpr, GP: tl.constexpr,
    S: tl.constexpr, SG: tl.constexpr, TAIL: tl.constexpr, B: tl.constexpr, NORM: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    # C edges of each of B atoms at a time: more need more registers than there are.
    program = tl.program_id(0)
    f, g = tl.arange(0, WP), tl.arange(0, GP)
    first = program * per_program
    stop = tl.minimum(first + per_program, n)
    of_weight, of_bias = tl.zeros((B, WP), tl.float32), tl.zeros((B, WP), tl.float32)
    of_distance, of_logit = tl.zeros((B, WP, GP), tl.float32), tl.zeros((GP,), tl.float32)
    for begin in range(first, stop, B):
        i = (begin + tl.arange(0, B)).to(tl.int64)
        atom = i < stop
        there = atom[:, None] & (f < W)[None, :]
        place = i[:, None] * W + f[None, :]
        of_message = tl.load(gradient + place, mask=there, other=0.0)
        message = tl.load(messages + place, mask=there, other=0.0)
        if NORM:
            normal, scale = _normalised(message, there, eps, W)
            of_weight += of_message * normal
            of_bias += of_message
            of_message *= tl.load(weight + f, mask=f < W, other=0.0)[None, :]
            along = tl.sum(of_message * normal, 1) / W
            of_message -= (tl.sum(of_message, 1) / W)[:, None] + normal * along[:, None]
            of_message = tl.where(there, of_message * scale[:, None], 0.0)
        tl.store(grad_messages + place, of_message, mask=there)
        mean = tl.sum(of_message * message, 1)
        own = tl.load(receiver + i[:, None] * S + f[None, :], mask=there, other=0.0).to(tl.float32)
        of_receiver, of_receiver_logit = tl.zeros((B, WP), tl.float32), tl.zeros((B,), tl.float32)
        for q in range(0, M, C):
            p = q + tl.arange(0, C)
            edge = atom[:, None] & (p < M)[None, :]
            feature = edge[:, :, None] & (f < W)[None, None, :]
            at = i[:, None] * M + p[None, :]
            j = tl.load(neighbors + at, mask=edge, other=0).to(tl.int64) * S
            d = _table_row(rows + at, edge, last)
            share = tl.load(attention + at, mask=edge, other=0.0)
            z = tl.load(sender + j[:, :, None] + f[None, None, :], mask=feature, other=0.0).to(tl.float32)
            z += tl.load(table + (d * S)[:, :, None] + f[None, None, :], mask=feature, other=0.0).to(tl.float32)
            z += own[:, None, :]
            of_z = tl.where(z > 0.0, of_message[:, None, :], 0.0)
            logit = share * (tl.sum(of_z * z, 2) - mean[:, None])
            of_z *= share[:, :, None]
            tl.store(grad_logit + at, logit, mask=edge)
            of_receiver += tl.sum(of_z, 1)
            of_receiver_logit += tl.sum(logit, 1)
            gaussian = edge[:, :, None] & (g < G)[None, None, :]
            gaussians = tl.load(radial + (d * G)[:, :, None] + g[None, None, :], mask=gaussian, other=0.0)
            if WP > W:  # then there is room for the logit in the product
                of_z = tl.where((f == W)[None, None, :], logit[:, :, None], of_z)
            else:
                of_logit += tl.sum(tl.sum(logit[:, :, None] * gaussians, 1), 0)
            of_distance = tl.dot(tl.permute(of_z, (0, 2, 1)), gaussians, of_distance, input_precision=PRECISION)
        tl.store(grad_receiver + i[:, None] * SG + f[None, :], of_receiver, mask=there)
        tail = tl.arange(0, TAIL)[None, :]
        last_columns = tl.where(tail == 0, of_receiver_logit[:, None], 0.0)
        tl.store(grad_receiver + i[:, None] * SG + W + tail, last_columns, mask=atom[:, None] & (W + tail < SG))
    to = partial + program.to(tl.int64) * stride
    column = (f < (W + 1 if WP > W else W))[:, None] & (g < G)[None, :]
    tl.store(to + f[:, None] * G + g[None, :], tl.sum(of_distance, 0), mask=column)
    if WP == W:
        tl.store(to + W * G + g, of_logit, mask=g < G)
    if NORM:
        to = partial_norm + program.to(tl.int64) * stride_norm
        tl.store(to + f, tl.sum(of_weight, 0), mask=f < W)
        tl.store(to + W + f, tl.sum(of_bias, 0), mask=f < W)


@triton.jit(do_not_specialize=SIZES)
def send_backward(
    receiver, sender, table, rows, begin, end, incoming, attention, grad_messages, grad_logit, grad_sender, edges,
    last, M: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, SG: tl.constexpr, TAIL: tl.constexpr,
    C: tl.constexpr,
):  # fmt: skip
    # C edges of one node at a time.
    k = tl.program_id(0).to(tl.int64)
    c, f = tl.arange(0, C), tl.arange(0, WP)
    own = tl.load(sender + k * S + f, mask=f < W, other=0.0).to(tl.float32)[None, :]
    total, logit = tl.zeros((C, WP), tl.float32), tl.zeros((C,), tl.float32)
    stop = tl.load(end + k).to(tl.int64)
    for q in range(tl.load(begin + k).to(tl.int64), stop, C):
        e = tl.load(incoming + q + c, mask=q + c < stop, other=0x7FFFFFFF)
        edge = e < edges
        feature = edge[:, None] & (f < W)[None, :]
        i = (e // M).to(tl.int64)
        d = _table_row(rows + e, edge, last) * S
        share = tl.load(attention + e, mask=edge, other=0.0)
        logit += tl.load(grad_logit + e, mask=edge, other=0.0)
        z = tl.load(receiver + i[:, None] * S + f[None, :], mask=feature, other=0.0).to(tl.float32)
        z += tl.load(table + d[:, None] + f[None, :], mask=feature, other=0.0).to(tl.float32)
        of_message = tl.load(grad_messages + i[:, None] * W + f[None, :], mask=feature, other=0.0)
        total += tl.where(z + own > 0.0, of_message, 0.0) * share[:, None]
    to = grad_sender + k * SG
    tl.store(to + f, tl.sum(total, 0), mask=f < W)
    tail = tl.arange(0, TAIL)
    tl.store(to + W + tail, tl.where(tail == 0, tl.sum(logit, 0), 0.0), mask=W + tail < SG)
