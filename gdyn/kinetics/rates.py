"""Rates between the states: how long a target stays in each, and until it first reaches another.

From a Koopman matrix alone such times would depend on its lag time, since a target that leaves a state and returns
to it within the lag counts as one that has stayed. Rates do not; they are found in two ways, which check each other.
"""

import numpy as np
import scipy
from jaxtyping import Bool

from gdyn.kinetics.events import stretches
from gdyn.statistics import present_rows
from gdyn.statistics.shapes import Matrix, PerProcess, PerState, Probabilities, Segment

CORE = 0.8  # probability of a state from which on a target has arrived in it ...
NO_DECAY = 1e-12  # 1/ps, below which a rate is rounding
OF_HIGHEST = 0.9  # ... or this part of the highest that there is, where that is less


def generator_of(joint: Matrix, lag_ps: float) -> Matrix:
    """The rate matrix of the reversible model, ``L = ln T / lag`` (equation 18 of docs/theory.md).

    Noise makes rates between states that exchange no targets directly a little negative. They are set to zero, and the
    caller judges what this costs: compare ``expm(lag L)`` with ``T``.

    Parameters
    ----------
    joint : (states, states) of :func:`gdyn.kinetics.koopman.reversible_of`
    lag_ps : float

    Returns
    -------
    (states, states), 1/ps, rows sum to 0; NaN for an empty state.

    Raises
    ------
    numpy.linalg.LinAlgError : a process has decayed within the lag, so that the matrix has no logarithm.
    """
    if not np.isfinite(joint).all():
        raise np.linalg.LinAlgError("there is no reversible matrix")
    rates = np.full(joint.shape, np.nan)
    there = np.flatnonzero(joint.sum(1) > 0)
    joint = joint[np.ix_(there, there)]
    root = np.sqrt(joint.sum(1))
    eigenvalues, vectors = np.linalg.eigh(joint / np.outer(root, root))
    if not eigenvalues.min() > 0:
        raise np.linalg.LinAlgError("a process has decayed within the lag time")
    flux = (vectors * np.log(np.minimum(eigenvalues, 1.0))) @ vectors.T / lag_ps * np.outer(root, root)
    flux = np.maximum(0.5 * (flux + flux.T), 0.0)
    np.fill_diagonal(flux, 0.0)
    among_these = flux / joint.sum(1, keepdims=True)
    np.fill_diagonal(among_these, -among_these.sum(1))
    rates[np.ix_(there, there)] = among_these
    return rates


def misfit(rates: Matrix, matrix: Matrix, lag_ps: float) -> Matrix:
    """How far ``expm(lag L)`` is from a transition matrix: (states, states), the difference; 0 for empty states."""
    there = np.flatnonzero(np.isfinite(np.diag(rates)))
    difference = np.zeros(matrix.shape)
    part = np.ix_(there, there)
    difference[part] = scipy.linalg.expm(lag_ps * rates[part]) - matrix[part]
    return difference


def cores(probabilities: Probabilities) -> PerState:
    """Probability at which a target has arrived in each state: (states,), 0.5 to 0.8; infinite where none arrives."""
    rows = present_rows(probabilities)
    highest = rows.max(0, initial=0.0).astype(np.float64)
    return np.where(highest > 0.5, np.clip(OF_HIGHEST * highest, 0.5, CORE), np.inf)


def counted(probabilities: Probabilities, segment: Segment, least: PerState) -> Matrix:
    """Stays and moves of targets between the cores of the states, where these are nearly certain.

    From its first arrival on, a target belongs to the state whose core it was in last; crossing a border and turning
    back does not count. Stays that are not over at the end of a segment count with the time that they have lasted.

    Parameters
    ----------
    probabilities : (frames, targets, states), NaN where a target is not present
    segment : (frames,)
    least : (states,) of :func:`cores`

    Returns
    -------
    (states, states) : on the diagonal the frames spent in each state before another one, else the moves.
    """
    n = probabilities.shape[-1]
    counts = np.zeros((n, n))
    for begin, end in stretches(segment):
        part = probabilities[begin:end]
        absent = np.isnan(part[..., 0])
        # An absent target leaves no trace: when it returns, its history begins again.
        core = np.where((part > least).any(-1), np.nan_to_num(part).argmax(-1), -1)
        core[absent] = n
        frames = np.arange(len(core))[:, None]
        last = np.maximum.accumulate(np.where(core >= 0, frames, -1), axis=0)
        held = np.where(last >= 0, np.take_along_axis(core, np.maximum(last, 0), axis=0), n)
        pairs = np.bincount((held[:-1] * (n + 1) + held[1:]).ravel(), minlength=(n + 1) ** 2)
        counts += pairs.reshape(n + 1, n + 1)[:n, :n]
    return counts


def counted_rates(counts: Matrix, frame_interval_ps: float) -> Matrix:
    """Rates that make counted stays and moves most likely: moves divided by the time spent: (states, states), 1/ps.

    Parameters
    ----------
    counts : of :func:`counted`; a move ends the frame that it is in.
    """
    moves = counts - np.diag(np.diag(counts))
    time_ps = frame_interval_ps * counts.sum(1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = np.where(time_ps > 0, moves / time_ps, np.nan)
    np.fill_diagonal(rates, -rates.sum(1))
    return rates


def relaxation_times(rates: Matrix) -> PerProcess:
    """Timescales of a rate matrix, ``-1 / Re(lambda)``, slowest first: (states - 1,), ps.

    Infinite where nothing relaxes; NaN for the processes of states that are empty.
    """
    n = len(rates)
    there = np.flatnonzero(np.isfinite(np.diag(rates)))
    times = np.full(n - 1, np.nan)
    if len(there) > 1:
        decay = np.sort(-np.linalg.eigvals(rates[np.ix_(there, there)]).real)[1:]
        with np.errstate(divide="ignore"):
            times[: len(decay)] = 1.0 / np.where(decay > NO_DECAY, decay, 0.0)
    return times


def mean_stays(rates: Matrix) -> PerState:
    """Mean time that a target stays in each state, ``-1 / L_ii``: (states,), ps; infinite where it is never left."""
    with np.errstate(divide="ignore"):
        return np.where(np.diag(rates) == 0, np.inf, -1.0 / np.where(np.diag(rates) == 0, 1.0, np.diag(rates)))


def first_passage_times(rates: Matrix) -> Matrix:
    """Mean time until a target that is in one state reaches another for the first time: (states, states), ps.

    From row to column, 0 on the diagonal; ``sum_k L_ik m_kj = -1`` for every ``i`` but ``j``, where ``m_jj = 0``.
    Infinite where a target may never get there, NaN for empty states.
    """
    n = len(rates)
    there = np.flatnonzero(np.isfinite(np.diag(rates)))
    times = np.full((n, n), np.nan)
    reach = _reach(rates > 0)
    for goal in there:
        times[goal, goal] = 0.0
        # From a state that leads to the goal for certain: nowhere on the way can a target be lost.
        certain = [i for i in there if i != goal and all(reach[k, goal] for k in np.flatnonzero(reach[i]) if k != goal)]
        times[[i for i in there if i != goal and i not in certain], goal] = np.inf
        if certain:
            part = rates[np.ix_(certain, certain)]
            times[certain, goal] = np.linalg.solve(part, -np.ones(len(certain)))
    return times


def _reach(linked: Bool[np.ndarray, "states states"]) -> Bool[np.ndarray, "states states"]:
    """Which states are reached from which by any number of moves; every state from itself."""
    reach = linked | np.eye(len(linked), dtype=bool)
    for _ in range(len(linked)):
        reach = reach | (reach.astype(int) @ reach.astype(int) > 0)
    return reach
