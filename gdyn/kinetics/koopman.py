"""The Koopman matrix of the states, its populations, timescales and eigenvectors."""

import numpy as np

from gdyn.errors import InputError
from gdyn.statistics import Covariances

LARGEST_CONDITION = 1e12
MOST_ITERATIONS, SETTLED = 100_000, 1e-13


def koopman_matrix(probabilities, segment, lag_frames):
    """Koopman matrix ``K = C00^-1 C01`` with means kept (equation 10 of docs/theory.md).

    For hard states this is the maximum-likelihood transition matrix. Rows sum to 1; entries of
    noisy or barely populated states can be negative and are left so.

    Parameters
    ----------
    probabilities : (frames, targets, states)
    segment : (frames,) pairs stay within a segment
    lag_frames : int

    Returns
    -------
    (states, states) float64, from row to column

    Raises
    ------
    numpy.linalg.LinAlgError : the frames do not determine it: there is no pair, or states coincide.
    """
    return koopman_of(Covariances.of(probabilities, segment, lag_frames))


def koopman_of(covariances):
    """The Koopman matrix from the covariances of the states; see :func:`koopman_matrix`."""
    c = covariances
    if c.samples == 0 or not np.linalg.cond(c.c00) < LARGEST_CONDITION:
        raise np.linalg.LinAlgError("the states are not independent of each other, or there is no pair of frames")
    return np.linalg.solve(c.c00, c.c01)


def sorted_eigenvalues(matrix):
    """Eigenvalues, largest modulus first: (states,) complex."""
    eigenvalues = np.linalg.eigvals(matrix).astype(complex)
    return eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]


def timescales(matrix, lag_ps):
    """Implied timescales ``-lag / ln |lambda|`` of all but the stationary process: (states - 1,), ps.

    Slowest first (equation 11 of docs/theory.md). Infinite where an eigenvalue is not below 1.
    """
    modulus = np.abs(sorted_eigenvalues(matrix))[1:]
    with np.errstate(divide="ignore"):
        return np.where(modulus < 1.0, -lag_ps / np.log(np.where(modulus < 1.0, modulus, 0.5)), np.inf)


def slowest_timescale(states):
    """The slowest timescale of all frames, ps; not a number where they do not determine it."""
    try:
        return float(
            timescales(koopman_matrix(states.probabilities, states.segment, states.lag_frames), states.lag_ps)[0]
        )
    except np.linalg.LinAlgError:
        return float("nan")


def stationary_distribution(matrix):
    """Left eigenvector of eigenvalue 1, normalised to sum 1: (states,)."""
    eigenvalues, vectors = np.linalg.eig(matrix.T)
    vector = np.real(vectors[:, np.argmin(np.abs(eigenvalues - 1.0))])
    return vector / vector.sum()


def left_eigenvectors(matrix, like=None):
    """Left eigenvectors of the processes, slowest first: (states - 1, states), real parts.

    Scaled to a largest entry of 1 in modulus. The sign makes the entry of the first (most populated)
    state positive, or follows ``like``.
    """
    eigenvalues, vectors = np.linalg.eig(matrix.T)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")[1:]
    rows = np.real(vectors[:, order]).T
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    sign = np.sign(rows[:, 0] if like is None else (rows * like).sum(1))
    return rows * np.where(sign == 0, 1.0, sign)[:, None]


def check_states(states):
    """See that the states can be analysed at all.

    Raises
    ------
    InputError : they are linearly dependent on these frames, so that no Koopman matrix exists.
    """
    try:
        return koopman_matrix(states.probabilities, states.segment, states.lag_frames)
    except np.linalg.LinAlgError:
        raise InputError(
            f"the {states.probabilities.shape[-1]} states are not independent of each other on the {states.split} "
            f"frames, or there is no pair of frames {states.lag_ps:g} ps apart; use fewer states, or more frames"
        ) from None


def reversible_of(covariances):
    """The reversible, non-negative matrix that is nearest to the Koopman matrix (equation 17 of docs/theory.md).

    Of all transition matrices in detailed balance it makes the observed fluxes ``<chi_i> K_ij``, negative ones counted
    as none, most likely. For hard states that is the maximum-likelihood reversible Markov state model.

    Parameters
    ----------
    covariances : Covariances

    Returns
    -------
    (states, states) float64, rows sum to 1

    Raises
    ------
    numpy.linalg.LinAlgError : the frames do not determine it.
    """
    return nearest_reversible(np.maximum(covariances.mean0[:, None] * koopman_of(covariances), 0.0))


def nearest_reversible(fluxes):
    """Maximum-likelihood reversible transition matrix for counts or fluxes from row to column.

    The fixed point of ``x_ij = (f_ij + f_ji) / (f_i / x_i + f_j / x_j)`` (Bowman et al., J. Chem. Phys. 131, 124101,
    2009) iterated to rounding. A state that nothing leaves or reaches stays as it is.

    Raises
    ------
    numpy.linalg.LinAlgError : the iteration does not settle.
    """
    both, out = fluxes + fluxes.T, fluxes.sum(1)
    joint = both / both.sum()
    for _ in range(MOST_ITERATIONS):
        with np.errstate(divide="ignore", invalid="ignore"):
            weight = out / joint.sum(1)
            new = np.where(both > 0, both / (weight[:, None] + weight), 0.0)
        new = new / new.sum()
        if np.abs(new - joint).max() < SETTLED * new.max():
            break
        joint = new
    else:
        raise np.linalg.LinAlgError("the reversible matrix cannot be found: some states are hardly connected")
    total = new.sum(1, keepdims=True)
    return np.where(total > 0, new / np.where(total > 0, total, 1.0), np.eye(len(new)))


def lifetimes(matrix, lag_ps):
    """Mean time that a target stays in each state, ``-lag / ln K_ii``: (states,), ps.

    Not a number where a state does not outlast the lag at all.
    """
    stays = np.diag(matrix)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(stays > 0, -lag_ps / np.log(np.clip(stays, 1e-300, 1.0)), np.nan)


def first_passage_times(matrix, lag_ps):
    """Mean time until a target that is in one state reaches another for the first time: (states, states), ps.

    From row to column; 0 on the diagonal. Infinite where a state cannot be reached.
    """
    n = len(matrix)
    times = np.zeros((n, n))
    for goal in range(n):
        rest = np.delete(np.arange(n), goal)
        stays = np.eye(n - 1) - matrix[np.ix_(rest, rest)]
        singular = np.linalg.cond(stays) > LARGEST_CONDITION
        times[rest, goal] = np.inf if singular else lag_ps * np.linalg.solve(stays, np.ones(n - 1))
    return times
