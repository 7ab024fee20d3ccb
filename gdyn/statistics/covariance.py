"""Time-lagged covariances of state probabilities, and the VAMP-2 score with its noise floor."""

from dataclasses import dataclass

import numpy as np

from gdyn.trajectory.lag import lagged_frames

RIDGE = 1e-6


@dataclass
class Covariances:
    """Second moments over all pairs and targets, means kept (equation 7 of docs/theory.md).

    c00, c01, c11 : (states, states); ``c01[i, j] = <chi_i(t) chi_j(t + lag)>``
    mean0, mean1 : (states,) of the first and the second frames of the pairs
    samples : number of pairs times targets
    walkers : number of targets that have any pair
    """

    c00: np.ndarray
    c01: np.ndarray
    c11: np.ndarray
    mean0: np.ndarray
    mean1: np.ndarray
    samples: int
    walkers: int = 1

    @classmethod
    def of(cls, probabilities, segment, lag_frames):
        """Estimate from the frames of one split.

        Parameters
        ----------
        probabilities : (frames, targets, states), NaN where a target is not present
        segment : (frames,) pairs stay within a segment
        lag_frames : int
        """
        pairs = lagged_frames(segment, lag_frames)
        n_states = probabilities.shape[-1]
        x = probabilities[pairs].reshape(-1, n_states).astype(np.float64)
        y = probabilities[pairs + lag_frames].reshape(-1, n_states).astype(np.float64)
        both = ~(np.isnan(x[:, 0]) | np.isnan(y[:, 0]))
        walkers = int(both.reshape(-1, probabilities.shape[1]).any(0).sum())
        if not both.all():
            x, y = x[both], y[both]
        n = max(len(x), 1)
        return cls(x.T @ x / n, x.T @ y / n, y.T @ y / n, x.sum(0) / n, y.sum(0) / n, len(x), walkers)


def present_rows(probabilities):
    """The rows of probabilities (frames, targets, states) of targets that are present: (samples, states)."""
    rows = probabilities.reshape(-1, probabilities.shape[-1])
    present = ~np.isnan(rows[:, 0])
    return rows if present.all() else rows[present]


def purity(probabilities):
    """Mean of the largest probability of every target in every frame (section "Pure states" of docs/theory.md)."""
    return float(present_rows(probabilities).max(1).mean(dtype=np.float64))


def helmert_basis(n):
    """Orthonormal basis of the vectors of length ``n`` whose entries sum to zero: (n, n - 1)."""
    basis = np.zeros((n, n - 1))
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
        basis[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return basis


def singular_values(covariances):
    """Singular values of the Koopman operator in the space of the states, means removed, largest first: (states - 1,).

    ``C00^(-1/2) C01 C11^(-1/2)`` of equation 7 of docs/theory.md; of a reversible process they are its eigenvalues.
    States that are the same everywhere have none but zeros.
    """
    c = covariances
    basis = helmert_basis(len(c.c00))
    c00 = basis.T @ (c.c00 - np.outer(c.mean0, c.mean0)) @ basis
    c01 = basis.T @ (c.c01 - np.outer(c.mean0, c.mean1)) @ basis
    c11 = basis.T @ (c.c11 - np.outer(c.mean1, c.mean1)) @ basis
    try:
        coupling = np.linalg.solve(_root(c00), c01)
        return np.linalg.svd(np.linalg.solve(_root(c11), coupling.T), compute_uv=False)
    except np.linalg.LinAlgError:
        return np.zeros(len(c00))


def vamp2(covariances):
    """VAMP-2 score with means removed, at most ``states - 1`` (equation 7 of docs/theory.md).

    The same numbers as :func:`gdyn.training.vamp.vamp2`, from covariances over a whole set.
    """
    return float(np.square(singular_values(covariances)).sum())


def score_with_floor(covariances, lag_frames):
    """VAMP-2 score of a whole set, and its noise floor."""
    c, singular = covariances, singular_values(covariances)
    return float(np.square(singular).sum()), noise_floor(singular, c.samples, lag_frames, c.walkers)


def _root(covariance):
    n = len(covariance)
    return np.linalg.cholesky(covariance + (RIDGE * np.trace(covariance) / n + 1e-30) * np.eye(n))


def noise_floor(singular, samples, lag_frames, walkers=1):
    """The VAMP-2 score that unrelated features would reach: ``sum_ij 1 / (B_ij - 1)`` (equation 8 of docs/theory.md).

    ``B_ij`` is how many independent pairs the samples are worth for two processes that are correlated as long as these
    singular values say: ``samples (1 - r) / (1 + r)`` with ``r = (s_i s_j)^(1 / lag_frames)``, Bartlett's formula
    (equation 9), and at least one of each target. At most as many as there are processes, as any score; a score that is
    not well above it says nothing.

    Parameters
    ----------
    singular : (states - 1,) of the Koopman operator.
    samples : number of pairs, times targets.
    lag_frames : int
    walkers : number of independent targets.
    """
    decay = np.clip(singular, 0.0, 1.0 - 1e-12) ** (1.0 / lag_frames)
    r = np.outer(decay, decay)
    independent = np.maximum(max(1.0, walkers), samples * (1.0 - r) / (1.0 + r))
    return float(min((1.0 / np.maximum(independent - 1.0, 1.0)).sum(), len(decay)))
