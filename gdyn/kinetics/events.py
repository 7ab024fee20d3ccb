"""How many observed transitions each slow process rests on."""

from typing import Any

import numpy as np

from gdyn.statistics.shapes import Matrix, Probabilities, Segment
from gdyn.store import States

CORE = 0.5  # of the largest component of an eigenvector, beyond which a state belongs to one end of its process
FEW = 10  # transitions each way


def transitions(states: States, matrix: Matrix) -> list[dict[str, Any]]:
    """Count how often targets go from one end of each process to the other.

    The ends of a process are the states whose components of its right eigenvector are at least half as large as the
    largest of their sign; a target is at an end while its probability of being in these states, averaged over a lag
    time, is above one half, and stays assigned to it until it is at the other (section "Observed transitions" of
    docs/theory.md).

    Parameters
    ----------
    states : States
    matrix : (states, states) their Koopman matrix.

    Returns
    -------
    list of dicts, slowest process first: ``from`` and ``to``, the states (from 1) of the two ends; ``forward``,
    ``backward``: number of transitions from the first to the second, and back; ``targets``: how many targets made any.
    None for a matrix that is NaN, and for a process that has only one end.
    """
    if not np.isfinite(matrix).all():
        return [{"from": [], "to": [], "forward": 0, "backward": 0, "targets": 0} for _ in range(len(matrix) - 1)]
    averaged = running_mean(states)
    eigenvalues, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")[1:]
    processes = []
    for vector in np.real(vectors[:, order]).T:
        vector = vector * (np.sign(vector[np.abs(vector).argmax()]) or 1.0)
        first = vector > CORE * max(vector.max(), 0.0)
        second = vector < CORE * min(vector.min(), 0.0)
        forward, backward, moved = 0, 0, np.zeros(averaged.shape[1], bool)
        for begin, end in stretches(states.segment):
            part = averaged[begin:end]
            at = np.zeros(part.shape[:2], np.int8)
            at[part[..., first].sum(-1) > 0.5] = 1
            at[part[..., second].sum(-1) > 0.5] = -1
            last = np.maximum.accumulate(np.where(at != 0, np.arange(len(at))[:, None], -1), axis=0)
            held = np.where(last >= 0, np.take_along_axis(at, np.maximum(last, 0), axis=0), 0)
            jump = np.diff(held.astype(int), axis=0)
            forward += int((jump == -2).sum())
            backward += int((jump == 2).sum())
            moved |= (np.abs(jump) == 2).any(0)
        processes.append(
            {
                "from": (np.flatnonzero(first) + 1).tolist(),
                "to": (np.flatnonzero(second) + 1).tolist(),
                "forward": forward,
                "backward": backward,
                "targets": int(moved.sum()),
            }
        )
    return processes


def running_mean(states: States) -> Probabilities:
    """Probabilities averaged over the frames of one lag time, within segments; 0 where a target is not present."""
    p = np.nan_to_num(states.probabilities.astype(np.float64))
    width = max(1, states.lag_frames)
    mean = np.empty_like(p)
    for begin, end in stretches(states.segment):
        total = np.concatenate([np.zeros((1, *p.shape[1:])), np.cumsum(p[begin:end], axis=0)])
        n = end - begin
        low = np.clip(np.arange(n) - width // 2, 0, n)
        high = np.clip(low + width, 0, n)
        mean[begin:end] = (total[high] - total[low]) / (high - low)[:, None, None]
    return mean


def stretches(segment: Segment) -> list[tuple[int, int]]:
    """Begin and end of each segment: a list of pairs."""
    edges = np.flatnonzero(np.diff(segment)) + 1
    edges = np.concatenate([[0], edges, [len(segment)]])
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))
