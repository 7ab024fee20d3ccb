"""The graph convolution on a GPU, as few kernels of Triton; each function here launches exactly one of them.

All write into tensors that they are given and compute in float32. W features, M neighbors, n updated nodes, the first
of all N, T rows of the table, G Gaussians, P programs that each add up something of their own, so that nothing depends
on which is done first. A row of ``receiver`` (n, S), ``sender`` (N, S) and ``table`` (T, S), float32 or bfloat16, is
what a message is made of (W), the logit of the attention, and zeros (:func:`~gdyn.kernels.layout.row_stride`). With
``z_ij = receiver_i + sender_j + table[min(d_ij, T - 1)]`` (equations 2 and 3 of docs/theory.md)::

    attention_ij = softmax_j z_ij[W]    message_i = sum_j attention_ij ReLU(z_ij[:W])

Tensors are contiguous, on the current device. Only the partial sums may have any distance from one program's to the
next, so that those of several kernels are parts of one tensor, summed by one reduction. Distances ``rows`` that are
int16 are the bits of unsigned numbers.
"""

import torch
import triton
from jaxtyping import Float, Float32, Int, Int32, Int64
from torch import Tensor

from gdyn.kernels import triton_edges, triton_nodes
from gdyn.kernels.layout import FRAME_COLUMNS, Norm
from gdyn.kernels.triton_classify import classify as classify
from gdyn.kernels.triton_classify import classify_backward as classify_backward

# Chosen by compiling ahead (tests/unit/test_compile_ahead.py) so that no registers are spilled and rows are read by 16
# bytes; more at a time needs more registers, which leaves room for fewer programs. No speed has been measured.
ARITHMETICS = (torch.float32,)
SMALLEST_SIDE = 16  # of a matrix product
NODES_AT_A_TIME = 32
NUMBERS_AT_A_TIME = 512
EDGES_OF_A_NODE_AT_A_TIME = 16
MOST_BLOCKS = 65535  # in the second direction of a grid

Rows = Float[Tensor, "nodes stride"]


def project(
    features: Float32[Tensor, "nodes width"],
    receiver_weight: Float32[Tensor, "logits width"],
    receiver_bias: Float32[Tensor, " logits"],
    sender_weight: Float32[Tensor, "logits width"],
    receiver: Rows,
    sender: Rows,
    precision: str = "ieee",
) -> None:
    """``receiver = features[:n] receiver_weight^T + receiver_bias`` and ``sender = features sender_weight^T``."""
    (nodes, width), stride = features.shape, sender.shape[1]
    triton_nodes.project[(triton.cdiv(nodes, NODES_AT_A_TIME),)](
        features, receiver_weight, receiver_bias, sender_weight, receiver, sender, len(receiver), nodes,
        W=width, WP=_side(width), S=stride, TAIL=_tail(stride, width), B=NODES_AT_A_TIME, C=SMALLEST_SIDE,
        PRECISION=precision, num_warps=4 if width <= 32 else 8, num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def tabulate(
    radial: Float32[Tensor, "table gaussians"],
    weight: Float32[Tensor, "logits gaussians"],
    table: Rows,
    precision: str = "ieee",
) -> None:
    """``table = radial weight^T``."""
    (n, n_radial), width, stride = radial.shape, len(weight) - 1, table.shape[1]
    triton_nodes.tabulate[(triton.cdiv(n, NODES_AT_A_TIME),)](
        radial, weight, table, n,
        G=n_radial, W=width, WP=_side(width), S=stride, TAIL=_tail(stride, width),
        B=NODES_AT_A_TIME, C=SMALLEST_SIDE, PRECISION=precision, num_warps=4 if width <= 32 else 8, num_stages=1,
        enable_fp_fusion=True,
    )  # fmt: skip


def attend(
    receiver: Rows,
    sender: Rows,
    table: Rows,
    neighbors: Int32[Tensor, "updated M"],
    rows: Int[Tensor, "updated M"],
    attention: Float32[Tensor, "updated M"],
    messages: Float32[Tensor, "updated width"],
    norm: Norm | None = None,
) -> None:
    """``attention`` and ``messages``, and if there is a norm, what comes out of the layer."""
    (n, m), width = neighbors.shape, messages.shape[1]
    features, weight, bias, eps, out = norm or (messages, messages, messages, 0.0, messages)
    triton_edges.attend[(n,)](
        receiver, sender, table, neighbors, rows, attention, messages, features, weight, bias, out,
        n, len(table) - 1, eps,
        M=m, MP=triton.next_power_of_2(m), W=width, WP=triton.next_power_of_2(width), S=sender.shape[1], B=1,
        NORM=norm is not None, num_warps=_warps(triton.next_power_of_2(m) * triton.next_power_of_2(width)),
        enable_fp_fusion=True,
    )  # fmt: skip


def attend_backward(
    receiver: Rows,
    sender: Rows,
    table: Rows,
    radial: Float32[Tensor, "table gaussians"],
    neighbors: Int32[Tensor, "updated M"],
    rows: Int[Tensor, "updated M"],
    attention: Float32[Tensor, "updated M"],
    messages: Float32[Tensor, "updated width"],
    gradient: Float32[Tensor, "updated width"],
    norm: Norm | None,
    grad_messages: Float32[Tensor, "updated width"],
    grad_receiver: Float32[Tensor, "updated stride"],
    grad_logit: Float32[Tensor, "updated M"],
    partial: Float32[Tensor, "programs logits gaussians"],
    partial_norm: Float32[Tensor, "programs 2 width"] | None = None,
    precision: str = "ieee",
) -> None:
    """Gradients of the messages, of ``receiver``, of the logit of every edge, and parts of those of the weights.

    Parameters
    ----------
    gradient : of what came out of the layer with a norm, else of the messages.
    partial : of the weight that makes the table: sums over all edges ``dz_ij^T radial[d_ij]``, each program's own.
    partial_norm : of weight and bias of the norm.
    precision : of the products that ``partial`` sums: ``ieee``, or ``tf32`` on NVIDIA's tensor cores.
    """
    (n, m), width, n_radial = neighbors.shape, messages.shape[1], radial.shape[1]
    if (norm is None) != (partial_norm is None):
        raise ValueError("with a norm there must be partial_norm, without one it must be None")
    weight, eps = (messages, 0.0) if norm is None else (norm.weight, norm.eps)
    of_norm = partial if partial_norm is None else partial_norm
    stride = grad_receiver.shape[1]
    triton_edges.attend_backward[(len(partial),)](
        receiver, sender, table, radial, neighbors, rows, attention, messages, gradient, weight, grad_messages,
        grad_receiver, grad_logit, partial, of_norm, n, len(table) - 1, triton.cdiv(n, len(partial)),
        partial.stride(0), of_norm.stride(0), eps,
        M=m, C=SMALLEST_SIDE, W=width, WP=_side(width), G=n_radial, GP=_side(n_radial), S=sender.shape[1], SG=stride,
        TAIL=_tail(stride, width), B=1, NORM=norm is not None, PRECISION=precision,
        num_warps=_warps(_side(width) * _side(n_radial)), num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def send_backward(
    receiver: Rows,
    sender: Rows,
    table: Rows,
    rows: Int[Tensor, "updated M"],
    begin: Int32[Tensor, " nodes"],
    end: Int32[Tensor, " nodes"],
    incoming: Int32[Tensor, " edges"],
    attention: Float32[Tensor, "updated M"],
    grad_messages: Float32[Tensor, "updated width"],
    grad_logit: Float32[Tensor, "updated M"],
    grad_sender: Float32[Tensor, "nodes stride"],
) -> None:
    """The gradient of ``sender``: every node adds up what went along the edges that point to it, in their order.

    Parameters
    ----------
    begin, end : where the edges of each node lie in ``incoming``.
    incoming : edges ``i M + p``; those of rows that are not updated, from n M on, are skipped.
    """
    (n, m), width, stride = rows.shape, grad_messages.shape[1], grad_sender.shape[1]
    triton_edges.send_backward[(len(sender),)](
        receiver, sender, table, rows, begin, end, incoming, attention, grad_messages, grad_logit, grad_sender,
        n * m, len(table) - 1,
        M=m, W=width, WP=triton.next_power_of_2(width), S=sender.shape[1], SG=stride, TAIL=_tail(stride, width),
        C=EDGES_OF_A_NODE_AT_A_TIME, num_warps=_warps(32 * triton.next_power_of_2(width)),
        enable_fp_fusion=True,
    )  # fmt: skip


def project_backward(
    features: Float32[Tensor, "nodes width"],
    receiver_weight: Float32[Tensor, "logits width"],
    sender_weight: Float32[Tensor, "logits width"],
    grad_receiver: Float32[Tensor, "updated stride"],
    grad_sender: Float32[Tensor, "nodes stride"],
    residual: Float32[Tensor, "updated width"] | None,
    grad_features: Float32[Tensor, "nodes width"],
    partial: Float32[Tensor, "programs weights"],
    precision: str = "ieee",
) -> None:
    """The gradient of ``features``, and parts of those of the weights.

    Parameters
    ----------
    residual : a gradient that is added to that of the first n features.
    partial : of receiver_weight (W + 1, W), its bias (W + 1) and sender_weight (W + 1, W), in this order.
    """
    (nodes, width), n = features.shape, len(grad_receiver)
    triton_nodes.project_backward[(len(partial),)](
        features, receiver_weight, sender_weight, grad_receiver, grad_sender,
        grad_features if residual is None else residual, grad_features, partial,
        n, nodes, triton.cdiv(nodes, len(partial)), partial.stride(0),
        W=width, WP=_side(width), SG=grad_sender.shape[1], C=SMALLEST_SIDE,
        B=NODES_AT_A_TIME if width <= 32 else NODES_AT_A_TIME // 2, RESIDUAL=residual is not None,
        PRECISION=precision, num_warps=4 if width <= 16 else 8, num_stages=1, enable_fp_fusion=True,
    )  # fmt: skip


def gather(
    species: Int[Tensor, " all_nodes"],
    neighbors: Int[Tensor, "all_rows M"],
    distance_mA: Int[Tensor, "all_rows M"],
    incoming: Int32[Tensor, " all_edges"],
    incoming_begin: Int[Tensor, " all_nodes"],
    frames: Int64[Tensor, "frames columns"],
    longest: int,
    to_species: Int64[Tensor, " nodes"],
    to_neighbors: Int32[Tensor, "updated M"],
    to_mA: Int[Tensor, "updated M"],
    to_incoming: Int32[Tensor, " edges"],
    to_begin: Int32[Tensor, " nodes"],
    to_end: Int32[Tensor, " nodes"],
) -> None:
    """The graph of a batch (see :func:`gdyn.graphs.gather.gather`), and its lists of the edges that point to each node.

    Parameters
    ----------
    species, neighbors, distance_mA : of all frames, one after the other; int16 are the bits of unsigned numbers.
    incoming : of each frame, where its rows are in ``neighbors``: its edges ``r M + p``, r a row of the frame, sorted
        by the node to which they point, then by their number.
    incoming_begin : where the edges of each node begin in the list of its frame.
    frames, longest : by :func:`~gdyn.kernels.layout.frames_table` and :func:`~gdyn.kernels.layout.longest_stretch`.
    to_incoming : (stored edges of these frames,) edges of the batch, or
        :data:`~gdyn.kernels.layout.SENTINEL` for those of rows that are not in it.
    to_begin, to_end : where the edges of each node lie there.
    """
    n_frames, columns = frames.shape
    shells = (columns - FRAME_COLUMNS) // 2
    triton_nodes.gather[(n_frames * shells, min(triton.cdiv(longest, NUMBERS_AT_A_TIME), MOST_BLOCKS))](
        species, neighbors, distance_mA, incoming, incoming_begin, frames, to_species, to_neighbors, to_mA,
        to_incoming, to_begin, to_end,
        M=neighbors.shape[1], SHELLS=shells, FIXED=FRAME_COLUMNS, BLOCK=NUMBERS_AT_A_TIME,
        NARROW_NEIGHBORS=neighbors.dtype == torch.int16, NARROW_MA=distance_mA.dtype == torch.int16, num_warps=4,
        enable_fp_fusion=True,
    )  # fmt: skip


def _side(length: int) -> int:
    return max(SMALLEST_SIDE, triton.next_power_of_2(length))


def _warps(numbers: int) -> int:
    """Of a program that works on so many numbers at a time: 16 for each of 32 lanes."""
    return max(1, min(8, triton.next_power_of_2(numbers) // 512))


def _tail(stride: int, width: int) -> int:
    return triton.next_power_of_2(stride - width)
