"""How many observed transitions each slow process rests on."""

from typing import Any

import numpy as np

from gdyn.statistics.shapes import Matrix, Probabilities, Segment
from gdyn.store import States

CORE = 0.5  # of the largest component of an eigenvector, beyond which a state belongs to one end of its process
ONE_WAY = 1e-9  # component below which a process has a second end; that of one which is never left is zero
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
    ``backward``: number of transitions from the first to the second, and back; ``targets``: how many targets made any;
    ``time_ps``: how long all targets together were assigned to each end.
    None for a matrix that is NaN, and for a process that has only one end.
    """
    if not np.isfinite(matrix).all():
        nothing = {"from": [], "to": [], "forward": 0, "backward": 0, "targets": 0, "time_ps": [0.0, 0.0]}
        return [dict(nothing) for _ in range(len(matrix) - 1)]
    averaged = running_mean(states)
    eigenvalues, vectors = np.linalg.eig(matrix)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")[1:]
    processes = []
    for vector in np.real(vectors[:, order]).T:
        vector = vector * (np.sign(vector[np.abs(vector).argmax()]) or 1.0)
        first = vector > CORE * max(vector.max(), 0.0)
        lowest = vector.min()
        second = vector < (CORE * lowest if lowest < -ONE_WAY else (1.0 - CORE) ** 2 * vector.max())
        forward, backward, moved = 0, 0, np.zeros(averaged.shape[1], bool)
        time = {1: 0, -1: 0}
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
            time = {end: frames + int((held[:-1] == end).sum()) for end, frames in time.items()}
            moved |= (np.abs(jump) == 2).any(0)
        processes.append(
            {
                "from": (np.flatnonzero(first) + 1).tolist(),
                "to": (np.flatnonzero(second) + 1).tolist(),
                "forward": forward,
                "backward": backward,
                "targets": int(moved.sum()),
                "time_ps": [states.frame_interval_ps * time[end] for end in (1, -1)],
            }
        )
    return processes


def effective_events(process: dict[str, Any]) -> float:
    """The number of counted events that a single rate would have to rest on to be known as well as the timescale is.

    The variance of ``ln t`` with ``t = 1 / (k_f + k_b)`` is ``(k_f^2 / n_f + k_b^2 / n_b) / (k_f + k_b)^2``.
    """
    numbers = np.array([process["forward"], process["backward"]], float)
    if not numbers.all():
        return float(numbers.sum())
    rates = numbers / np.array(process["time_ps"])
    return float(rates.sum() ** 2 / (np.square(rates) / numbers).sum())


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
