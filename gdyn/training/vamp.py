"""What training maximises: functions of the time-lagged moments of the state probabilities.

All of them depend on a batch only by way of one small matrix of sums. So a batch can be embedded in pieces, or by
several processes, and its gradient is still exact: see :class:`Moments` and section "Batches" of docs/theory.md.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from gdyn.config.schemes import Stage
from gdyn.statistics import Covariances, helmert_basis
from gdyn.statistics.covariance import RIDGE, ROUNDING


class Moments(NamedTuple):
    """Sums over pairs from which every objective follows; those of two sets of pairs add up.

    Rows of probabilities sum to one, so their covariances are singular; they are written in an orthonormal basis of
    the vectors that sum to zero, where they are not. They are taken about a ``centre`` near their means, since of
    states that hardly vary the difference of two products of means holds rounding alone.

    sums : (2 states - 1, 2 states - 1) float64: ``sum z z'`` with ``z = (1, (x, y) in that basis - centre)``
    centre : (2 states - 2,) float64, constants for every derivative
    """

    sums: Float64[Tensor, "entries entries"]
    centre: Float64[Tensor, " centre"]

    @classmethod
    def nothing(cls, n_states: int, device: torch.device) -> "Moments":
        """Of no pairs."""
        size = 2 * n_states - 1
        zeros = torch.zeros(size, size, dtype=torch.float64, device=device)
        return cls(zeros, zeros[0, 1:])

    def about(self, centre: Float64[Tensor, " centre"]) -> "Moments":
        """The same moments about another centre."""
        sums, shift = self.sums, self.centre - centre
        first = sums[0, 1:] + sums[0, 0] * shift
        cross = torch.outer(shift, sums[0, 1:])
        second = sums[1:, 1:] + cross + cross.T + sums[0, 0] * torch.outer(shift, shift)
        below = torch.cat([first.unsqueeze(1), second], 1)
        return Moments(torch.cat([torch.cat([sums[0, :1], first]).unsqueeze(0), below]), centre)

    def mean(self) -> Float64[Tensor, " centre"]:
        """Of x and y in the basis, a constant."""
        sums = self.sums.detach()
        return self.centre + sums[0, 1:] / sums[0, 0].clamp_min(1.0)

    def __add__(self, other: "Moments") -> "Moments":  # type: ignore[override]  # of moments, not of tuples
        """Of the pairs of both."""
        numbers = [part.sums[0, 0].detach() for part in (self, other)]
        total = (numbers[0] + numbers[1]).clamp_min(1.0)
        centre = (numbers[0] * self.mean() + numbers[1] * other.mean()) / total
        return Moments(self.about(centre).sums + other.about(centre).sums, centre)

    def __radd__(self, nothing: int) -> "Moments":
        return self


def moments(x: Float[Tensor, "pairs states"], y: Float[Tensor, "pairs states"]) -> Moments:
    """The :class:`Moments` of pairs.

    Parameters
    ----------
    x, y : probabilities at ``t`` and ``t + lag``.
    """
    basis = torch.as_tensor(helmert_basis(x.shape[1]), device=x.device)
    z = torch.cat([x.double() @ basis, y.double() @ basis], 1)
    centre = z.detach().sum(0) / max(len(z), 1)
    z = torch.cat([torch.ones_like(z[:, :1]), z - centre], 1)
    return Moments(z.T @ z, centre)


def moments_of(covariances: Covariances) -> Moments:
    """The same from :class:`gdyn.statistics.Covariances`, of a whole set."""
    c = covariances
    assert c.centred is not None  # they are computed with the others
    basis = torch.as_tensor(helmert_basis(len(c.mean0)))
    c00, c01, c11 = (basis.T @ torch.as_tensor(part) @ basis for part in c.centred)
    second = torch.cat([torch.cat([c00, c01], 1), torch.cat([c01.T, c11], 1)])
    sums = torch.block_diag(torch.ones(1, 1, dtype=torch.float64), second)
    centre = torch.cat([torch.as_tensor(mean) @ basis for mean in (c.mean0, c.mean1)])
    return Moments(c.samples * sums, centre)


def _covariances(
    moments: Moments,
) -> tuple[
    Float64[Tensor, " n"], Float64[Tensor, " n"], Float64[Tensor, "n n"], Float64[Tensor, "n n"], Float64[Tensor, "n n"]
]:
    """Means and centred covariances in the basis of :class:`Moments`: mean0, mean1, C00, C01, C11."""
    sums, centre = moments
    n, pairs = sums.shape[0] // 2, sums[0, 0].clamp_min(1.0)
    offset = sums[0, 1:] / pairs
    mean = centre + offset
    centred = sums[1:, 1:] / pairs - torch.outer(offset, offset)
    return mean[:n], mean[n:], centred[:n, :n], centred[:n, n:], centred[n:, n:]


def vamp2(moments: Moments) -> Float64[Tensor, ""]:
    """VAMP-2 score with means removed (equation 7 of docs/theory.md): at most ``states - 1``.

    ``|| C00^(-1/2) C01 C11^(-1/2) ||_F^2`` in float64, with a ridge of 1e-6 of the mean eigenvalue that guards against
    states that have become constant. deeptime's score, which keeps the means, is larger by exactly 1.
    """
    _, _, c00, c01, c11 = _covariances(moments)
    return _whitened(c00, c01, c11).square().sum().clamp_max(len(c00))  # which rounding might exceed


def reversible_vamp1(moments: Moments) -> Float64[Tensor, ""]:
    """VAMP-1 score of a reversible model: the sum of the eigenvalues of ``C^-1 C'``.

    With ``C = (C00 + C11) / 2`` and ``C' = (C01 + C01') / 2`` about the common mean, as in the training scheme of the
    paper's code.
    """
    mean0, mean1, c00, c01, c11 = _covariances(moments)
    half = 0.5 * (mean0 - mean1)
    apart = torch.outer(half, half)
    instant = 0.5 * (c00 + c11) + apart
    lagged = 0.5 * (c01 + c01.T) - apart
    return _whitened(instant, lagged, instant).trace()


def crispness(moments: Moments) -> Float64[Tensor, ""]:
    """How pure the states are: ``sum_i <p_i^2> / <p_i>`` (equation 14 of docs/theory.md), over both ends of the pairs.

    Between 1, where all states are alike, and the number of states, where every row is 0 and 1.
    """
    mean0, mean1, c00, _, c11 = _covariances(moments)
    n_states = len(c00) + 1
    basis = torch.as_tensor(helmert_basis(n_states), device=c00.device)
    total = c00.new_zeros(())
    for centre, centred in ((mean0, c00), (mean1, c11)):
        mean = basis @ centre + 1.0 / n_states
        variance = torch.einsum("ia,ab,ib->i", basis, centred, basis)
        total = total + (variance / mean + mean).sum()
    return 0.5 * total


SCORES: dict[str, Callable[[Moments], Float64[Tensor, ""]]] = {"vamp2": vamp2, "reversible_vamp1": reversible_vamp1}


def objective(stage: Stage, moments: Moments, weight: float) -> Float64[Tensor, ""]:
    """What a stage of :mod:`gdyn.config.schemes` maximises, its crispness with some ``weight``."""
    value = SCORES[stage.score](moments)
    return value + weight * crispness(moments) if stage.crisp else value


def _whitened(
    c00: Float64[Tensor, "n n"], c01: Float64[Tensor, "n n"], c11: Float64[Tensor, "n n"]
) -> Float64[Tensor, "n n"]:
    return _inverse_root(c11)(_inverse_root(c00)(c01).T).T


def _inverse_root(covariance: Float64[Tensor, "n n"]) -> Callable[[Tensor], Tensor]:
    """Return the function that applies ``L^-1`` with ``L L^T`` the covariance and its ridge."""
    n = len(covariance)
    ridge = RIDGE * covariance.trace() / n + ROUNDING
    factor = torch.linalg.cholesky(covariance + ridge * torch.eye(n, dtype=covariance.dtype, device=covariance.device))
    return lambda matrix: torch.linalg.solve_triangular(factor, matrix, upper=False)
