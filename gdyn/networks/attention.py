"""Attention over the neighbors of every atom, in one pass and without anything the size of the edges.

:func:`attend` is all that a convolution does with its edges where there are no fused kernels (:mod:`gdyn.kernels`). On
a CPU it is a compiled pass over the neighbor lists that keeps one number per edge for the gradient.
"""

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from gdyn.kernels.plain import attend_plain

# Sums may be reordered, but NaN stays NaN and is noticed.
COMPILED: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "arcp", "afn", "nsz"},
}


def attend(
    receiver: Float[Tensor, "updated logits"],
    sender: Float[Tensor, "nodes logits"],
    table: Float[Tensor, "table logits"],
    neighbors: Int32[Tensor, "updated M"],
    rows: Int32[Tensor, "updated M"],
    starts: Int64[np.ndarray, "shells ends"],
) -> Float[Tensor, "updated width"]:
    """The messages of :func:`~gdyn.kernels.plain.attend_plain`; on a CPU in one pass over the neighbor lists.

    Parameters
    ----------
    receiver, sender, table, neighbors, rows : as there.
    starts : (shells, frames + 1) int64: where the nodes of each frame begin in each shell of hops; nodes of different
        frames are never neighbors.
    """
    if receiver.device.type != "cpu":
        return attend_plain(receiver, sender, table, neighbors, rows)
    if receiver.dtype == torch.bfloat16:  # which numpy does not know
        receiver, sender, table = receiver.float(), sender.float(), table.float()
    return _Attend.apply(receiver, sender, table, neighbors, rows, starts)


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, receiver: Tensor, sender: Tensor, table: Tensor, neighbors: Tensor, rows: Tensor, starts: np.ndarray
    ) -> Tensor:
        receiver, sender, table = receiver.contiguous(), sender.contiguous(), table.contiguous()
        attention = receiver.new_empty(neighbors.shape)
        messages = receiver.new_empty(len(neighbors), receiver.shape[1] - 1)
        arrays = [tensor.detach().numpy() for tensor in (receiver, sender, table, neighbors, rows)]
        forward, _ = _kernels(messages.shape[1])
        results = attention.numpy(), messages.numpy()
        _in_threads(lambda thread, begins, ends: forward(begins, ends, *arrays, *results), starts)
        ctx.save_for_backward(receiver, sender, table, neighbors, rows, attention, messages)
        ctx.starts = starts
        return messages

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        arrays = [tensor.detach().numpy() for tensor in (*ctx.saved_tensors, gradient.contiguous())]
        receiver, sender, table = ctx.saved_tensors[:3]
        grad_receiver, grad_sender = torch.empty_like(receiver), torch.zeros_like(sender)
        # Frames share nothing but the table: each thread has its own gradient of that.
        grad_table = table.new_zeros(torch.get_num_threads(), *table.shape)
        results = grad_receiver.numpy(), grad_sender.numpy()
        _, backward = _kernels(gradient.shape[1])
        _in_threads(
            lambda thread, begins, ends: backward(begins, ends, *arrays, *results, grad_table[thread].numpy()),
            ctx.starts,
        )
        return grad_receiver, grad_sender, grad_table.sum(0), None, None, None


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


def _in_threads(work: Callable[[int, np.ndarray, np.ndarray], None], starts: np.ndarray) -> None:
    """Call ``work(thread, begins, ends)`` for the frames of each thread: its stretch of nodes in every shell."""
    threads = torch.get_num_threads()
    n_frames = starts.shape[1] - 1
    edges = [n_frames * thread // threads for thread in range(threads + 1)]
    jobs = [(thread, starts[:, edges[thread]], starts[:, edges[thread + 1]]) for thread in range(threads)]
    if threads == 1:
        work(*jobs[0])
    else:
        list(_pool(threads).map(lambda job: work(*job), jobs))


@functools.cache
def _kernels(width: int) -> tuple[Callable[..., None], Callable[..., None]]:
    """The two passes for messages of ``width``: a constant, so that the compiler can unroll its loops."""

    @numba.njit(**COMPILED)
    def forward(
        begins: np.ndarray,
        ends: np.ndarray,
        receiver: np.ndarray,
        sender: np.ndarray,
        table: np.ndarray,
        neighbors: np.ndarray,
        rows: np.ndarray,
        attention: np.ndarray,
        messages: np.ndarray,
    ) -> None:
        zero = receiver.dtype.type(0)
        n_neighbors, last = neighbors.shape[1], len(table) - 1
        for shell in range(len(begins)):
            for i in range(begins[shell], ends[shell]):
                top = receiver.dtype.type(-np.inf)
                for p in range(n_neighbors):
                    z = receiver[i, width] + sender[neighbors[i, p], width] + table[min(rows[i, p], last), width]
                    attention[i, p] = z
                    top = max(top, z)
                total = zero
                for p in range(n_neighbors):
                    e = np.exp(attention[i, p] - top)
                    attention[i, p] = e
                    total += e
                for f in range(width):
                    messages[i, f] = zero
                for p in range(n_neighbors):
                    weight = attention[i, p] / total
                    attention[i, p] = weight
                    j, d = neighbors[i, p], min(rows[i, p], last)
                    for f in range(width):
                        messages[i, f] += weight * max(receiver[i, f] + sender[j, f] + table[d, f], zero)

    @numba.njit(**COMPILED)
    def backward(
        begins: np.ndarray,
        ends: np.ndarray,
        receiver: np.ndarray,
        sender: np.ndarray,
        table: np.ndarray,
        neighbors: np.ndarray,
        rows: np.ndarray,
        attention: np.ndarray,
        messages: np.ndarray,
        gradient: np.ndarray,
        grad_receiver: np.ndarray,
        grad_sender: np.ndarray,
        grad_table: np.ndarray,
    ) -> None:
        zero = receiver.dtype.type(0)
        last = len(table) - 1
        for shell in range(len(begins)):
            for i in range(begins[shell], ends[shell]):
                mean = zero
                for f in range(width):
                    mean += gradient[i, f] * messages[i, f]
                    grad_receiver[i, f] = zero
                grad_receiver[i, width] = zero
                for p in range(neighbors.shape[1]):
                    weight = attention[i, p]
                    j, d = neighbors[i, p], min(rows[i, p], last)
                    along = zero
                    for f in range(width):
                        z = receiver[i, f] + sender[j, f] + table[d, f]
                        g = gradient[i, f] if z > zero else zero
                        along += g * z
                        g *= weight
                        grad_receiver[i, f] += g
                        grad_sender[j, f] += g
                        grad_table[d, f] += g
                    grad_logit = weight * (along - mean)
                    grad_receiver[i, width] += grad_logit
                    grad_sender[j, width] += grad_logit
                    grad_table[d, width] += grad_logit

    return forward, backward
