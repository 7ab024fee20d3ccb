"""What the fused kernels compute, operation by operation: the fallback, and what they are compared with."""

import torch
from jaxtyping import Float, Int32
from torch import Tensor
from torch.nn import functional


def attend_plain(
    receiver: Float[Tensor, "updated logits"],
    sender: Float[Tensor, "nodes logits"],
    table: Float[Tensor, "table logits"],
    neighbors: Int32[Tensor, "updated M"],
    rows: Int32[Tensor, "updated M"],
) -> Float[Tensor, "updated width"]:
    """Messages from the neighbors of some atoms, weighted by attention (equations 2, 3 and 6 of docs/theory.md).

    With ``z_ij = receiver_i + sender_j + table[d_ij]``, whose last entry is the logit of the attention and whose
    others are the message before its ReLU: ``m_i = sum_j softmax_j(z_ij[-1]) ReLU(z_ij[:-1])``.

    Parameters
    ----------
    receiver : (updated, width + 1), of the atoms that receive messages, the first ones of all.
    sender : (nodes, width + 1), of all atoms.
    table : (table rows, width + 1), of the distances.
    neighbors, rows : (updated, M) int32: a node, and a row of the table; rows beyond its end mean its last.
    """
    rows = rows.clamp_max(len(table) - 1)
    z = functional.embedding(neighbors, sender) + functional.embedding(rows, table) + receiver.unsqueeze(1)
    attention = torch.softmax(z[..., -1:], dim=1)
    return (attention * torch.relu(z[..., :-1])).sum(1)


def classify_plain(
    pooled: Float[Tensor, "targets width"],
    weight1: Float[Tensor, "width width"],
    bias1: Float[Tensor, " width"],
    weight2: Float[Tensor, "states width"],
    bias2: Float[Tensor, " states"],
    rotation: Float[Tensor, "states states"],
    smallest: float,
) -> Float[Tensor, "targets states"]:
    """State probabilities of targets; what :func:`gdyn.kernels.classify.classify` says."""
    hidden = torch.relu(functional.linear(torch.relu(pooled), weight1, bias1))
    mapped = torch.softmax(functional.linear(hidden, weight2, bias2), 1) @ rotation
    kept = mapped.clamp_min(smallest)
    return kept / kept.sum(1, keepdim=True)
