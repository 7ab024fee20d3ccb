"""What training maximises: functions of the time-lagged moments of the state probabilities.

All of them depend on a batch only by way of one small matrix of sums. So a batch can be embedded in pieces, or by
several processes, and its gradient is still exact: see :func:`moments` and section "Batches" of docs/theory.md.
"""

import numpy as np
import torch

from gdyn.statistics import helmert_basis

RIDGE = 1e-6


def moments(x, y):
    """Sums over pairs from which every objective follows; those of two sets of pairs add up.

    Rows of probabilities sum to one, so their covariances are singular; they are written in an orthonormal basis of
    the vectors that sum to zero, where they are not.

    Parameters
    ----------
    x, y : (pairs, states) probabilities at ``t`` and ``t + lag``.

    Returns
    -------
    (2 states - 1, 2 states - 1) float64: ``sum z z'`` with ``z = (1, x in that basis, y in that basis)``.
    """
    basis = torch.as_tensor(helmert_basis(x.shape[1]), device=x.device)
    z = torch.cat(
        [torch.ones(len(x), 1, dtype=torch.float64, device=x.device), x.double() @ basis, y.double() @ basis], 1
    )
    return z.T @ z


def moments_of(covariances):
    """The same from :class:`gdyn.statistics.Covariances`, of a whole set."""
    c = covariances
    basis = helmert_basis(len(c.c00))
    mean = np.concatenate([[1.0], c.mean0 @ basis, c.mean1 @ basis])
    second = np.block([[c.c00, c.c01], [c.c01.T, c.c11]])
    both = np.kron(np.eye(2), basis)
    sums = np.empty((len(mean), len(mean)))
    sums[0], sums[:, 0], sums[1:, 1:] = mean, mean, both.T @ second @ both
    return torch.from_numpy(c.samples * sums)


def _covariances(sums):
    """Means and centred covariances in the basis of :func:`moments`: mean0, mean1, C00, C01, C11."""
    n = sums.shape[0] // 2
    mean = sums[0, 1:] / sums[0, 0]
    centred = sums[1:, 1:] / sums[0, 0] - torch.outer(mean, mean)
    return mean[:n], mean[n:], centred[:n, :n], centred[:n, n:], centred[n:, n:]


def vamp2(sums):
    """VAMP-2 score with means removed (equation 7 of docs/theory.md): at most ``states - 1``.

    ``|| C00^(-1/2) C01 C11^(-1/2) ||_F^2`` in float64, with a ridge of 1e-6 of the mean eigenvalue that guards against
    states that have become constant. deeptime's score, which keeps the means, is larger by exactly 1.

    Parameters
    ----------
    sums : of :func:`moments`.
    """
    _, _, c00, c01, c11 = _covariances(sums)
    return _whitened(c00, c01, c11).square().sum()


def reversible_vamp1(sums):
    """VAMP-1 score of a reversible model: the sum of the eigenvalues of ``C^-1 C'``.

    With ``C = (C00 + C11) / 2`` and ``C' = (C01 + C01') / 2`` about the common mean, as in the training scheme of the
    paper's code.
    """
    mean0, mean1, c00, c01, c11 = _covariances(sums)
    half = 0.5 * (mean0 - mean1)
    apart = torch.outer(half, half)
    instant = 0.5 * (c00 + c11) + apart
    lagged = 0.5 * (c01 + c01.T) - apart
    return _whitened(instant, lagged, instant).trace()


def crispness(sums):
    """How pure the states are: ``sum_i <p_i^2> / <p_i>`` (equation 14 of docs/theory.md), over both ends of the pairs.

    Between 1, where all states are alike, and the number of states, where every row is 0 and 1.
    """
    n = sums.shape[0] // 2
    basis = torch.as_tensor(helmert_basis(n + 1), device=sums.device)
    total = 0.0
    for own in (slice(1, n + 1), slice(n + 1, None)):
        shift = basis @ sums[0, own] / sums[0, 0]
        squares = torch.einsum("ia,ab,ib->i", basis, sums[own, own], basis) / sums[0, 0]
        mean = shift + 1.0 / (n + 1)
        total = total + ((squares + 2.0 * shift / (n + 1) + 1.0 / (n + 1) ** 2) / mean).sum()
    return 0.5 * total


def _whitened(c00, c01, c11):
    return _inverse_root(c11)(_inverse_root(c00)(c01).T).T


def _inverse_root(covariance):
    """Return the function that applies ``L^-1`` with ``L L^T`` the covariance and its ridge."""
    n = len(covariance)
    ridge = RIDGE * covariance.trace() / n + 1e-30
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(n, dtype=covariance.dtype, device=covariance.device))
    return lambda matrix: torch.linalg.solve_triangular(factor, matrix, upper=False)
