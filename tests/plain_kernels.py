"""The functions of gdyn.kernels.triton_kernels in plain torch, operation by operation, on tensors of a CPU.

In the arithmetic of their arguments; rows in bfloat16 are read as they are, and everything else is as precise as the
features. Needs no Triton.
"""

import numpy as np
import torch

from gdyn.graphs.gather import gather as gather_on_host
from gdyn.kernels.layout import FRAME_COLUMNS, SENTINEL, unsigned
from gdyn.kernels.plain import classify_plain

ARITHMETICS = (torch.float32, torch.float64)


def project(features, receiver_weight, receiver_bias, sender_weight, receiver, sender, precision="ieee"):
    fill(receiver, features[: len(receiver)] @ receiver_weight.T + receiver_bias)
    fill(sender, features @ sender_weight.T)


def tabulate(radial, weight, table, precision="ieee"):
    fill(table, radial @ weight.T)


def attend(receiver, sender, table, neighbors, rows, attention, messages, norm=None):
    w = messages.shape[1]
    z = edges(receiver, sender, table, neighbors, rows, w)
    attention.copy_(torch.softmax(z[..., w], 1))
    messages.copy_((attention.unsqueeze(2) * torch.relu(z[..., :w])).sum(1))
    if norm is not None:
        normal, _ = normalised(messages, norm.eps)
        norm.out.copy_(norm.features[: len(messages)] + normal * norm.weight + norm.bias)


def attend_backward(
    receiver, sender, table, radial, neighbors, rows, attention, messages, gradient, norm, grad_messages,
    grad_receiver, grad_logit, partial, partial_norm=None, precision="ieee",
):  # fmt: skip
    w = messages.shape[1]
    grad_messages.copy_(gradient)
    if norm is not None:
        normal, scale = normalised(messages, norm.eps)
        of_normal = gradient * norm.weight
        along = (of_normal * normal).mean(1, keepdim=True)
        grad_messages.copy_((of_normal - of_normal.mean(1, keepdim=True) - normal * along) * scale)
        of_norm = torch.stack([gradient * normal, gradient], 1)
        partial_norm.copy_(shared_out(of_norm, len(partial_norm)))
    z = edges(receiver, sender, table, neighbors, rows, w)[..., :w]
    dz = torch.where(z > 0, grad_messages.unsqueeze(1), 0.0)
    grad_logit.copy_(attention * ((dz * z).sum(2) - (grad_messages * messages).sum(1, keepdim=True)))
    dz = torch.cat([dz * attention.unsqueeze(2), grad_logit.unsqueeze(2)], 2)
    fill(grad_receiver, dz.sum(1))
    gaussians = radial[unsigned(rows).clamp_max(len(table) - 1).long()]
    partial.copy_(shared_out(dz.transpose(1, 2) @ gaussians, len(partial)))


def send_backward(
    receiver, sender, table, rows, begin, end, incoming, attention, grad_messages, grad_logit, grad_sender
):
    (n, m), w = rows.shape, grad_messages.shape[1]
    counts = (end - begin).long()
    to = torch.repeat_interleave(torch.arange(len(sender)), counts)
    place = torch.arange(len(to)) + (begin.long() - (counts.cumsum(0) - counts))[to]
    edge = incoming[place].long()
    to, edge = to[edge < n * m], edge[edge < n * m]
    rows = unsigned(rows).flatten()[edge].clamp_max(len(table) - 1).long()
    z = (wide(receiver)[edge // m] + wide(sender)[to] + wide(table)[rows])[:, :w]
    dz = torch.where(z > 0, grad_messages[edge // m], 0.0) * attention.flatten()[edge, None]
    dz = torch.cat([dz, grad_logit.flatten()[edge, None]], 1)
    fill(grad_sender, torch.zeros(len(sender), w + 1, dtype=dz.dtype).index_add_(0, to, dz))


def project_backward(
    features, receiver_weight, sender_weight, grad_receiver, grad_sender, residual, grad_features, partial,
    precision="ieee",
):  # fmt: skip
    n, w = len(grad_receiver), features.shape[1]
    of_receiver, of_sender = grad_receiver[:, : w + 1], grad_sender[:, : w + 1]
    grad_features.copy_(of_sender @ sender_weight)
    grad_features[:n] += of_receiver @ receiver_weight
    if residual is not None:
        grad_features[:n] += residual
    updated = torch.zeros(len(features), w + 1, dtype=features.dtype)
    updated[:n] = of_receiver
    each = [
        (updated.unsqueeze(2) * features.unsqueeze(1)).flatten(1),
        updated,
        (of_sender.unsqueeze(2) * features.unsqueeze(1)).flatten(1),
    ]
    partial.copy_(shared_out(torch.cat(each, 1), len(partial)))


def classify(pooled, weight1, bias1, weight2, bias2, rotation, smallest, states):
    states.copy_(classify_plain(pooled, weight1, bias1, weight2, bias2, rotation, smallest))


def classify_backward(
    pooled, weight1, bias1, weight2, bias2, rotation, smallest, gradient, grad_pooled, partial
):  # fmt: skip
    first = torch.relu(pooled)
    inner = first @ weight1.T + bias1
    second = torch.relu(inner)
    logits = (second @ weight2.T + bias2).requires_grad_()
    with torch.enable_grad():
        kept = (torch.softmax(logits, 1) @ rotation).clamp_min(smallest)
        states = kept / kept.sum(1, keepdim=True)
    (of_logits,) = torch.autograd.grad(states, logits, gradient)
    of_inner = (of_logits @ weight2) * (inner > 0)
    grad_pooled.copy_((of_inner @ weight1) * (pooled > 0))
    of_weight1, of_weight2 = of_inner.unsqueeze(2) * first.unsqueeze(1), of_logits.unsqueeze(2) * second.unsqueeze(1)
    of_weights = torch.cat([of_weight1.flatten(1), of_inner, of_weight2.flatten(1), of_logits], 1)
    partial.copy_(shared_out(of_weights, len(partial)))


def gather(
    species, neighbors, distance_mA, incoming, incoming_begin, frames, longest, to_species, to_neighbors, to_mA,
    to_incoming, to_begin, to_end,
):  # fmt: skip
    m = neighbors.shape[1]
    table = frames.numpy()
    node_start, row_start, list_start, stored_nodes, stored_rows = table[:, :FRAME_COLUMNS].T
    counts, places = np.split(table[:, FRAME_COLUMNS:], 2, axis=1)
    starts = np.concatenate([places.T, places.T[:, -1:] + np.diff(counts, axis=1, prepend=0).T[:, -1:]], 1)
    numbers = [one.numpy().view(f"u{one.element_size()}") for one in (neighbors, distance_mA)]
    found = gather_on_host((species.numpy(), *numbers), node_start, row_start, counts, starts)
    for to, values in zip((to_species, to_neighbors, to_mA), found, strict=True):
        to.copy_(values)
    n_edges, shift = stored_rows * m, places - np.pad(counts, ((0, 0), (1, 0)))[:, :-1]

    def moved(frame, local):
        """Where nodes of frames are in the batch."""
        shell = (local[:, None] >= counts[frame]).sum(1).clip(max=counts.shape[1] - 1)
        return local + shift[frame, shell]

    frame = np.repeat(np.arange(len(table)), n_edges)
    local = incoming.numpy()[stretches(row_start * m, n_edges)]
    known = np.where(local // m < counts[frame, -2], moved(frame, local // m) * m + local % m, SENTINEL)
    to_incoming[torch.from_numpy(stretches(list_start, n_edges))] = torch.from_numpy(known.astype(np.int32))
    frame, node = np.repeat(np.arange(len(table)), counts[:, -1]), stretches(0 * node_start, counts[:, -1])
    begins = incoming_begin.numpy()
    at, last = node_start[frame] + node, node + 1 == stored_nodes[frame]
    end = np.where(last, n_edges[frame], begins[np.minimum(at + 1, len(begins) - 1)])
    into = torch.from_numpy(moved(frame, node))
    to_begin[into] = torch.from_numpy((list_start[frame] + begins[at]).astype(np.int32))
    to_end[into] = torch.from_numpy((list_start[frame] + end).astype(np.int32))


def stretches(begins, lengths):
    """``begin, begin + 1 ...`` for every begin and length, one after the other."""
    return np.arange(lengths.sum()) + np.repeat(begins - np.cumsum(lengths) + lengths, lengths)


def fill(rows, values):
    """Write (n, W + 1) numbers and zeros behind them."""
    rows.zero_()
    rows[:, : values.shape[1]] = values


def edges(receiver, sender, table, neighbors, rows, w):
    """``z`` (n, M, W + 1)."""
    receiver, sender, table = (wide(one)[:, : w + 1] for one in (receiver, sender, table))
    return receiver.unsqueeze(1) + sender[neighbors.long()] + table[unsigned(rows).clamp_max(len(table) - 1).long()]


def wide(rows):
    return rows.float() if rows.dtype == torch.bfloat16 else rows


def normalised(messages, eps):
    """Deviations of each row from its mean over its standard deviation, and one over that."""
    deviation = messages - messages.mean(1, keepdim=True)
    scale = torch.rsqrt(deviation.square().mean(1, keepdim=True) + eps)
    return deviation * scale, scale


def shared_out(values, programs):
    """Sums over the first axis, of one stretch for each program."""
    each = -(-len(values) // programs)
    program = torch.arange(len(values)) // each
    return torch.zeros(programs, *values.shape[1:], dtype=values.dtype).index_add_(0, program, values)
