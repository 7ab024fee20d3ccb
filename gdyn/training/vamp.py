"""The VAMP-2 score of state probabilities, exact and differentiable."""

import torch

from gdyn.statistics import helmert_basis

RIDGE = 1e-6


def vamp2(x, y):
    """VAMP-2 score with means removed (equation 7 of docs/theory.md): at most ``states - 1``.

    ``|| C00^(-1/2) C01 C11^(-1/2) ||_F^2`` over all pairs, in float64. Rows of probabilities sum to
    one, so their covariances are singular; they are written in a basis of the vectors that sum to
    zero, where they are not, and a ridge of 1e-6 of their mean eigenvalue guards against states
    that have become constant. deeptime's score, which keeps the means, is larger by exactly 1.

    Parameters
    ----------
    x, y : (pairs, states) probabilities at ``t`` and ``t + lag``.

    Returns
    -------
    () float64 tensor
    """
    n_states = x.shape[1]
    basis = torch.as_tensor(helmert_basis(n_states), device=x.device)
    x, y = x.double() @ basis, y.double() @ basis
    x, y = x - x.mean(0), y - y.mean(0)
    white_x = _inverse_root(x.T @ x / len(x))
    white_y = _inverse_root(y.T @ y / len(y))
    coupling = white_x(x.T @ y / len(x))
    return white_y(coupling.T).square().sum()


def _inverse_root(covariance):
    """Return the function that applies ``L^-1`` with ``L L^T`` the covariance and its ridge."""
    n = len(covariance)
    ridge = RIDGE * covariance.trace() / n + 1e-30
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(n, dtype=covariance.dtype, device=covariance.device))
    return lambda matrix: torch.linalg.solve_triangular(factor, matrix, upper=False)


def crispness(probabilities):
    """How pure the states are: ``sum_i <p_i^2> / <p_i>`` (equation 14 of docs/theory.md).

    Between 1, where all states are alike, and the number of states, where every row is 0 and 1.
    """
    probabilities = probabilities.double()
    return (probabilities.square().mean(0) / probabilities.mean(0)).sum()
