"""The Koopman matrix of the states, its populations, timescales and eigenvectors."""

import numpy as np
import scipy
from jaxtyping import Complex

from gdyn.config import Kinetics
from gdyn.statistics import Covariances
from gdyn.statistics.shapes import Eigenvectors, Matrix, PerProcess, PerState, Probabilities, Segment
from gdyn.statistics.uncertainty import Blocks
from gdyn.store import States

LARGEST_CONDITION = 1e9  # above which states are linearly dependent to the rounding of float32
MOST_ITERATIONS, SETTLED, LARGEST_STEP = 200, 1e-11, 5.0
ONE_ROUNDING = 1e-15
NO_FLUX = 1e-12  # below which a flux is rounding
ONE = 1.0 - 1e-10  # an eigenvalue above this is not below 1, apart from rounding


def koopman_matrix(probabilities: Probabilities, segment: Segment, lag_frames: int) -> Matrix:
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


def koopman_of(covariances: Covariances) -> Matrix:
    """The Koopman matrix from the covariances of the states; see :func:`koopman_matrix`."""
    c = covariances
    if c.samples == 0:
        raise np.linalg.LinAlgError("there is no pair of frames a lag time apart")
    if not np.linalg.cond(c.c00) < LARGEST_CONDITION:
        raise np.linalg.LinAlgError("the states are not independent of each other")
    return np.linalg.solve(c.c00, c.c01)


def sorted_eigenvalues(matrix: Matrix) -> Complex[np.ndarray, " states"]:
    """Eigenvalues, largest modulus first: (states,) complex; NaN for a matrix that is NaN."""
    if not np.isfinite(matrix).all():
        return np.full(len(matrix), np.nan, complex)
    eigenvalues = np.linalg.eigvals(matrix).astype(complex)
    return eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]


def timescales(matrix: Matrix, lag_ps: float) -> PerProcess:
    """Implied timescales ``-lag / ln |lambda|`` of all but the stationary process: (states - 1,), ps.

    Slowest first (equation 11 of docs/theory.md). Infinite where an eigenvalue is not below 1.
    """
    modulus = np.abs(sorted_eigenvalues(matrix))[1:]
    with np.errstate(divide="ignore"):
        slow = -lag_ps / np.log(np.where(modulus < ONE, modulus, 0.5))
    return np.where(modulus < ONE, slow, np.where(np.isnan(modulus), np.nan, np.inf))


def slowest_timescale(states: States) -> float:
    """The slowest timescale of all frames, ps; NaN where they do not determine it."""
    try:
        return float(
            timescales(koopman_matrix(states.probabilities, states.segment, states.lag_frames), states.lag_ps)[0]
        )
    except np.linalg.LinAlgError:
        return float("nan")


def blocks_of(states: States, kinetics: Kinetics) -> Blocks:
    """The blocks behind the intervals, chosen by the slowest timescale of the states where ``intervals`` is ``auto``.

    Raises
    ------
    InputError : see :func:`gdyn.statistics.uncertainty.Blocks.of`.
    """
    return Blocks.of(states, kinetics, slowest_timescale(states))


def stationary_distribution(matrix: Matrix) -> PerState:
    """Left eigenvector of eigenvalue 1, normalised to sum 1: (states,).

    Raises
    ------
    numpy.linalg.LinAlgError : there are several, since some states do not exchange targets.
    """
    eigenvalues, vectors = np.linalg.eig(matrix.T)
    if (np.abs(eigenvalues - 1.0) <= 1.0 - ONE).sum() > 1:
        raise np.linalg.LinAlgError("the states form groups that exchange no targets")
    vector = np.real(vectors[:, np.argmin(np.abs(eigenvalues - 1.0))])
    return vector / vector.sum()


def left_eigenvectors(matrix: Matrix, like: Eigenvectors | None = None) -> Eigenvectors:
    """Left eigenvectors of the processes, slowest first: (states - 1, states), real parts.

    Scaled to a largest entry of 1 in modulus. The sign makes the entry of the first (most populated)
    state positive, or follows ``like``. NaN for a matrix that is NaN.
    """
    if not np.isfinite(matrix).all():
        return np.full((len(matrix) - 1, len(matrix)), np.nan)
    eigenvalues, vectors = np.linalg.eig(matrix.T)
    order = np.argsort(-np.abs(eigenvalues), kind="stable")[1:]
    rows = np.real(vectors[:, order]).T
    rows = rows / np.abs(rows).max(axis=1, keepdims=True)
    sign = np.sign(rows[:, 0] if like is None else (rows * like).sum(1))
    return rows * np.where(sign == 0, 1.0, sign)[:, None]


def reversible_of(covariances: Covariances) -> Matrix:
    """The reversible, non-negative matrix that is nearest to the Koopman matrix (equation 17 of docs/theory.md).

    Of all transition matrices in detailed balance it makes the observed fluxes ``<chi_i> K_ij``, negative ones counted
    as zero, most likely. For hard states that is the maximum-likelihood reversible Markov state model.

    Parameters
    ----------
    covariances : Covariances

    Returns
    -------
    (states, states) float64, the probabilities ``p_i T_ij`` to be in one state and a lag time later in another: they
    are symmetric and sum to 1. See :func:`transition_matrix`.

    Raises
    ------
    numpy.linalg.LinAlgError : the frames do not determine it.
    """
    fluxes = covariances.mean0[:, None] * koopman_of(covariances)
    return nearest_reversible(np.where(fluxes > NO_FLUX, fluxes, 0.0))


def nearest_reversible(fluxes: Matrix) -> Matrix:
    """Maximum-likelihood reversible transition matrix for counts or fluxes from row to column.

    It is ``x_ij = s_ij / (q_i + q_j)`` with ``s_ij = f_ij + f_ji`` (Bowman et al., J. Chem. Phys. 131, 124101, 2009);
    the ``q`` minimise the convex ``1/2 sum_ij s_ij ln(q_i + q_j) - sum_i f_i ln q_i``, which Newton's method does.

    Returns
    -------
    (states, states) ``x``, symmetric, sum 1.

    Raises
    ------
    numpy.linalg.LinAlgError : some states are left for good, or the iteration does not converge.
    """
    both, out = fluxes + fluxes.T, fluxes.sum(1)
    if not both.sum() > 0:
        raise np.linalg.LinAlgError("there are no fluxes between the states")
    ways = (scipy.sparse.csgraph.connected_components(fluxes > 0, connection=kind)[0] for kind in ("weak", "strong"))
    if len(set(ways)) > 1:
        raise np.linalg.LinAlgError("some states are left for good, which no reversible process does")
    both, out = both / both.sum(), out / both.sum()
    scale = np.sqrt(np.where(out > 0, out, 1.0))  # of rare states, whose rows are small
    z = np.zeros(len(out))

    def value(z: PerState) -> float:
        return float(0.5 * (both * np.logaddexp(z[:, None], z)).sum() - out @ z)

    for _ in range(MOST_ITERATIONS):
        part = 1.0 / (1.0 + np.exp(z - z[:, None]))  # q_i / (q_i + q_j)
        slope = (both * part).sum(1) - out
        if np.abs(slope / scale**2).max() < SETTLED:
            joint = np.where(both > 0, both * np.exp(-np.logaddexp(z[:, None], z)), 0.0)
            return joint / joint.sum()
        curvature = both * part * part.T
        hessian = np.diag(curvature.sum(1)) - curvature
        step = np.linalg.lstsq(hessian / np.outer(scale, scale), slope / scale, rcond=1e-14)[0] / scale
        size, here = min(1.0, LARGEST_STEP / max(np.abs(step).max(), 1e-300)), value(z)
        while value(z - size * step) > here - 1e-4 * size * slope @ step + ONE_ROUNDING and size > 1e-10:
            size *= 0.5
        z = z - size * step
    raise np.linalg.LinAlgError("the reversible matrix does not converge: some states are hardly connected")


def trials_of(covariances: Covariances, lag_frames: int) -> Matrix:
    """How many independent chances there were for each transition: (states, states), the pairs that begin in a state.

    Of pairs that overlap, as many count as follow each other without overlap.
    """
    of_state = covariances.samples * covariances.mean0 / max(1, lag_frames)
    return np.broadcast_to(of_state[:, None], covariances.c00.shape)


def transition_matrix(joint: Matrix) -> Matrix:
    """Transition matrix of joint probabilities; a state that nothing leaves or reaches only goes to itself."""
    if not np.isfinite(joint).all():
        return np.full(joint.shape, np.nan)
    total = joint.sum(1, keepdims=True)
    return np.where(total > 0, joint / np.where(total > 0, total, 1.0), np.eye(len(joint)))
