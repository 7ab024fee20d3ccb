"""Triton programs that pass over nodes, table rows and frames; what they compute is said in :mod:`.kernels`.

W, G : width of features, Gaussians; WP is W padded to a power of two, for Triton
S, SG : numbers from one row to the next, of receiver, sender and table, and of their gradients
TAIL : at least the columns of a row from W on, a power of two
B, C : rows that a program computes at a time, and columns whose products it adds at a time
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

import triton
import triton.language as tl

SIZES = ["n", "nodes", "per_program"]


@triton.jit
def _store_rows(to, row, there, values, logit, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, TAIL: tl.constexpr):
    """Write values (B, WP), a logit (B,) and zeros as rows."""
    f, tail = tl.arange(0, WP)[None, :], tl.arange(0, TAIL)[None, :]
    tl.store(to + row[:, None] * S + f, values, mask=there[:, None] & (f < W))
    last_columns = tl.where(tail == 0, logit[:, None], 0.0)
    tl.store(to + row[:, None] * S + W + tail, last_columns, mask=there[:, None] & (W + tail < S))


@triton.jit
def _add_product(
    values, logit, x, weight, k, K: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, PRECISION: tl.constexpr
):
    """Add the product of ``x`` (B, C), columns ``k`` of something, and the transpose of ``weight`` (W + 1, K)."""
    f = tl.arange(0, WP)
    matrix = tl.load(weight + f[None, :] * K + k[:, None], mask=(f < W)[None, :] & (k < K)[:, None], other=0.0)
    logit += tl.sum(x * tl.load(weight + W * K + k, mask=k < K, other=0.0)[None, :], 1)
    return tl.dot(x, matrix, values, input_precision=PRECISION), logit


@triton.jit(do_not_specialize=SIZES)
def project(
    features, receiver_weight, receiver_bias, sender_weight, receiver, sender, n, nodes,
    W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr, TAIL: tl.constexpr, B: tl.constexpr, C: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    begin = tl.program_id(0).to(tl.int64) * B
    i, f = begin + tl.arange(0, B), tl.arange(0, WP)
    of_sender, sender_logit = tl.zeros((B, WP), tl.float32), tl.zeros((B,), tl.float32)
    of_receiver, receiver_logit = tl.zeros((B, WP), tl.float32), tl.zeros((B,), tl.float32)
    for c in range(0, W, C):
        k = c + tl.arange(0, C)
        x = tl.load(features + i[:, None] * W + k[None, :], mask=(i < nodes)[:, None] & (k < W)[None, :], other=0.0)
        of_sender, sender_logit = _add_product(of_sender, sender_logit, x, sender_weight, k, W, W, WP, PRECISION)
        if begin < n:
            of_receiver, receiver_logit = _add_product(
                of_receiver, receiver_logit, x, receiver_weight, k, W, W, WP, PRECISION
            )
    _store_rows(sender, i, i < nodes, of_sender, sender_logit, W, WP, S, TAIL)
    if begin < n:
        of_receiver += tl.load(receiver_bias + f, mask=f < W, other=0.0)[None, :]
        receiver_logit += tl.load(receiver_bias + W)
        _store_rows(receiver, i, i < n, of_receiver, receiver_logit, W, WP, S, TAIL)


@triton.jit
def tabulate(
    radial, weight, table, n, G: tl.constexpr, W: tl.constexpr, WP: tl.constexpr, S: tl.constexpr,
    TAIL: tl.constexpr, B: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0) * B + tl.arange(0, B)
    values, logit = tl.zeros((B, WP), tl.float32), tl.zeros((B,), tl.float32)
    for c in range(0, G, C):
        g = c + tl.arange(0, C)
        x = tl.load(radial + i[:, None] * G + g[None, :], mask=(i < n)[:, None] & (g < G)[None, :], other=0.0)
        values, logit = _add_product(values, logit, x, weight, g, G, W, WP, PRECISION)
    _store_rows(table, i, i < n, values, logit, W, WP, S, TAIL)


@triton.jit
def _add_gradients(
    total, of_weight, of_logit, gradient, weight, x, i, there,
    W: tl.constexpr, WP: tl.constexpr, SG: tl.constexpr, C: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Add ``gradient weight`` (B, WP), and the gradient of ``weight``: (WP, WP), and its last row (WP,).

    Returns these three, and the sums of ``gradient`` over the rows.
    """
    f = tl.arange(0, WP)
    logit = tl.load(gradient + i * SG + W, mask=there, other=0.0)[:, None]
    total += logit * tl.load(weight + W * W + f, mask=f < W, other=0.0)[None, :]
    for c in range(0, W, C):
        k = c + tl.arange(0, C)
        dz = tl.load(gradient + i[:, None] * SG + k[None, :], mask=there[:, None] & (k < W)[None, :], other=0.0)
        inside = (k < W)[:, None] & (f < W)[None, :]
        matrix = tl.load(weight + k[:, None] * W + f[None, :], mask=inside, other=0.0)
        total = tl.dot(dz, matrix, total, input_precision=PRECISION)
    dz = tl.load(gradient + i[:, None] * SG + f[None, :], mask=there[:, None] & (f < W)[None, :], other=0.0)
    of_weight = tl.dot(tl.trans(dz), x, of_weight, input_precision=PRECISION)
    return total, of_weight, of_logit + tl.sum(logit * x, 0), tl.sum(dz, 0), tl.sum(tl.sum(logit, 1), 0)


@triton.jit(do_not_specialize=SIZES, do_not_specialize_on_alignment=["partial"])
def project_backward(
    features, receiver_weight, sender_weight, grad_receiver, grad_sender, residual, grad_features, partial,
    n, nodes, per_program, stride,
    W: tl.constexpr, WP: tl.constexpr, SG: tl.constexpr, B: tl.constexpr, C: tl.constexpr, RESIDUAL: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    f = tl.arange(0, WP)
    of_receiver, of_sender = tl.zeros((WP, WP), tl.float32), tl.zeros((WP, WP), tl.float32)
    # Of the last row of either matrix, which makes the logits, and of the bias.
    receiver_logit, sender_logit = tl.zeros((WP,), tl.float32), tl.zeros((WP,), tl.float32)
    bias, bias_logit = tl.zeros((WP,), tl.float32), 0.0
    first = program * per_program
    stop = tl.minimum(first + per_program, nodes)
    for begin in range(first, stop, B):
        i = (begin + tl.arange(0, B)).to(tl.int64)
        there = (i < stop)[:, None] & (f < W)[None, :]
        x = tl.load(features + i[:, None] * W + f[None, :], mask=there, other=0.0)
        total = tl.zeros((B, WP), tl.float32)
        total, of_sender, sender_logit, _, _ = _add_gradients(
            total, of_sender, sender_logit, grad_sender, sender_weight, x, i, i < stop, W, WP, SG, C, PRECISION
        )
        if begin < n:
            updated = i < tl.minimum(stop, n)
            total, of_receiver, receiver_logit, more, more_logit = _add_gradients(
                total, of_receiver, receiver_logit, grad_receiver, receiver_weight, x, i, updated, W, WP, SG, C,
                PRECISION,
            )  # fmt: skip
            bias += more
            bias_logit += more_logit
            if RESIDUAL:
                of_residual = updated[:, None] & (f < W)[None, :]
                total += tl.load(residual + i[:, None] * W + f[None, :], mask=of_residual, other=0.0)
        tl.store(grad_features + i[:, None] * W + f[None, :], total, mask=there)
    to = partial + program.to(tl.int64) * stride
    square = (f < W)[:, None] & (f < W)[None, :]
    tl.store(to + f[:, None] * W + f[None, :], of_receiver, mask=square)
    tl.store(to + W * W + f, receiver_logit, mask=f < W)
    to += (W + 1) * W
    tl.store(to + f, bias, mask=f < W)
    tl.store(to + W, bias_logit)
    to += W + 1
    tl.store(to + f[:, None] * W + f[None, :], of_sender, mask=square)
    tl.store(to + W * W + f, sender_logit, mask=f < W)


@triton.jit
def _unsigned(pointer, there, NARROW: tl.constexpr):
    values = tl.load(pointer, mask=there, other=0).to(tl.int32)
    return values & 0xFFFF if NARROW else values


@triton.jit
def _shifted(values, bounds, shifts, UNIT: tl.constexpr, SHELLS: tl.constexpr):
    """Numbers within a frame as numbers within the batch: each plus the shift of its shell; both in UNITs."""
    shift = tl.load(shifts) * UNIT + tl.zeros_like(values)
    for shell in tl.static_range(1, SHELLS):
        beyond = values >= tl.load(bounds + shell - 1) * UNIT
        before = tl.load(bounds + shell - 1)
        shift = tl.where(beyond, (tl.load(shifts + shell) - before) * UNIT, shift)
    return values + shift


@triton.jit
def gather(
    species, neighbors, distance_mA, incoming, incoming_begin, frames, to_species, to_neighbors, to_mA, to_incoming,
    to_begin, to_end,
    M: tl.constexpr, SHELLS: tl.constexpr, FIXED: tl.constexpr, BLOCK: tl.constexpr, NARROW_NEIGHBORS: tl.constexpr,
    NARROW_MA: tl.constexpr,
):  # fmt: skip
    frame = frames + (tl.program_id(0) // SHELLS) * (FIXED + 2 * SHELLS)
    shell = tl.program_id(0) % SHELLS
    block, step = tl.program_id(1) * BLOCK, tl.num_programs(1) * BLOCK
    lane = tl.arange(0, BLOCK).to(tl.int64)
    node_start, row_start, list_start = tl.load(frame), tl.load(frame + 1), tl.load(frame + 2)
    stored_nodes, stored_edges = tl.load(frame + 3), tl.load(frame + 4) * M
    bounds, places = frame + FIXED, frame + FIXED + SHELLS
    first = tl.load(bounds + shell - 1, mask=shell > 0, other=0)
    stop = tl.load(bounds + shell)
    shift = tl.load(places + shell) - first  # from the place of a node of this shell in its frame to that in the batch
    for begin in range(first + block, stop, step):
        node = begin + lane
        there = node < stop
        tl.store(to_species + shift + node, tl.load(species + node_start + node, mask=there, other=0), mask=there)
        here = tl.load(incoming_begin + node_start + node, mask=there, other=0)
        after = there & (node + 1 < stored_nodes)
        ends = tl.load(incoming_begin + node_start + node + 1, mask=after, other=0).to(tl.int64)
        tl.store(to_begin + shift + node, (list_start + here).to(tl.int32), mask=there)
        ends = list_start + tl.where(after, ends, stored_edges)
        tl.store(to_end + shift + node, ends.to(tl.int32), mask=there)
    batch_edges = tl.load(bounds + SHELLS - 2) * M  # of the rows of this frame in the batch
    if shell < SHELLS - 1:
        for begin in range(first * M + block, stop * M, step):
            e = begin + lane
            there = e < stop * M
            node = _unsigned(neighbors + row_start * M + e, there, NARROW_NEIGHBORS).to(tl.int64)
            tl.store(to_neighbors + shift * M + e, _shifted(node, bounds, places, 1, SHELLS).to(tl.int32), mask=there)
            far = _unsigned(distance_mA + row_start * M + e, there, NARROW_MA)
            tl.store(to_mA + shift * M + e, far, mask=there)
    # The list of a frame is as long as it has stored edges; those beyond the edges of the batch are of the last shell.
    for begin in range(first * M + block, tl.where(shell < SHELLS - 1, stop * M, stored_edges), step):
        q = begin + lane
        there = q < tl.where(shell < SHELLS - 1, stop * M, stored_edges)
        e = tl.load(incoming + row_start * M + q, mask=there, other=0).to(tl.int64)
        known = tl.where(e < batch_edges, _shifted(e, bounds, places, M, SHELLS), 0x7FFFFFFF)
        tl.store(to_incoming + list_start + q, known.to(tl.int32), mask=there)
