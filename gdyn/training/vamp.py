"""What training maximises: functions of the time-lagged moments of the state probabilities.

All of them depend on a batch only by way of one small matrix of sums. So a batch can be embedded in pieces, or by
several processes, and its gradient is still exact; and so all but those sums is done here, by numpy on the host,
however large the batch and wherever it is: see section "Batches" of docs/theory.md.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from gdyn.config.schemes import Stage
from gdyn.statistics import Covariances, helmert_basis
from gdyn.statistics.covariance import RIDGE, ROUNDING

LEAST_VARIANCE = 1e-5  # of the squared distance of the mean from the centre; below, rounding shows beside the ridge

basis_of = cache(helmert_basis)


class Moments(NamedTuple):
    """Sums over pairs from which every objective follows; those of two sets of pairs about one centre add up.

    Rows of probabilities sum to one, so their covariances are singular; they are written in an orthonormal basis of
    the vectors that sum to zero, where they are not. They are taken about a ``centre`` near their means, since of
    states that hardly vary the difference of two products of means holds rounding alone.

    pairs : how many
    first : (2 (states - 1),) float64: ``sum z``, with ``z = (x, y) in that basis - centre``
    second : (2 (states - 1), 2 (states - 1)) float64: ``sum z z'``
    centre : (2 (states - 1),) float64
    """

    pairs: float
    first: Float64[np.ndarray, " entries"]
    second: Float64[np.ndarray, "entries entries"]
    centre: Float64[np.ndarray, " entries"]

    @property
    def offset(self) -> Float64[np.ndarray, " entries"]:
        """The mean of z."""
        return self.first / max(self.pairs, 1.0)

    @property
    def mean(self) -> Float64[np.ndarray, " entries"]:
        """Of x and y in the basis."""
        return self.centre + self.offset

    @property
    def precise(self) -> bool:
        """Whether the centre is near enough to the means for the covariances to be more than rounding."""
        apart = np.square(self.offset).reshape(2, -1).sum(1)  # of the first and of the second ends
        squares = np.diagonal(self.second).reshape(2, -1).sum(1)
        return bool((squares >= (1.0 + LEAST_VARIANCE) * max(self.pairs, 1.0) * apart).all())


class Slope(NamedTuple):
    """The derivative of an objective with respect to every z of :class:`Moments`: ``linear + quadratic z``.

    linear : (2 (states - 1),) float64
    quadratic : (2 (states - 1), 2 (states - 1)) float64, symmetric
    """

    linear: Float64[np.ndarray, " entries"]
    quadratic: Float64[np.ndarray, "entries entries"]


class Value(NamedTuple):
    """A function of means and centred covariances in the basis, with its derivatives.

    of_mean : (2 n,) with respect to the means of x and of y
    of_covariance : (2 n, 2 n) with respect to the covariances, that of x and y in the upper right block alone
    """

    value: float
    of_mean: Float64[np.ndarray, " entries"]
    of_covariance: Float64[np.ndarray, "entries entries"]


# Means (2 n,) and centred covariances (2 n, 2 n) of (x, y) in the basis.
Score = Callable[[np.ndarray, np.ndarray], Value]


def moments_of(covariances: Covariances) -> Moments:
    """The :class:`Moments` of a whole set, from its :class:`gdyn.statistics.Covariances`."""
    c = covariances
    basis = basis_of(len(c.mean0))
    c00, c01, c11 = (basis.T @ part @ basis for part in c.centred)
    centre = np.concatenate([mean @ basis for mean in (c.mean0, c.mean1)])
    second = np.block([[c00, c01], [c01.T, c11]])
    return Moments(c.samples, np.zeros(len(centre)), c.samples * second, centre)


def vamp2(mean: Float64[np.ndarray, " entries"], covariance: Float64[np.ndarray, "entries entries"]) -> Value:
    """VAMP-2 score with means removed (equation 7 of docs/theory.md): from 0 to ``states - 1``.

    ``|| C00^(-1/2) C01 C11^(-1/2) ||_F^2`` with a ridge of 1e-6 of the mean eigenvalue that guards against states that
    have become constant. deeptime's score, which keeps the means, is larger by exactly 1.
    """
    n = len(mean) // 2
    c01 = covariance[:n, n:]
    inverse0, inverse1 = _inverse(covariance[:n, :n]), _inverse(covariance[n:, n:])
    forth, back = inverse0 @ c01, inverse1 @ c01.T
    slope = np.zeros_like(covariance)
    slope[:n, n:] = 2.0 * forth @ inverse1
    slope[:n, :n] = _of_ridge(-forth @ back @ inverse0)
    slope[n:, n:] = _of_ridge(-back @ forth @ inverse1)
    value = float(np.clip((forth * back.T).sum(), 0.0, n))  # which rounding might exceed
    return Value(value, np.zeros_like(mean), slope)


def reversible_vamp1(
    mean: Float64[np.ndarray, " entries"], covariance: Float64[np.ndarray, "entries entries"]
) -> Value:
    """VAMP-1 score of a reversible model: the sum of the eigenvalues of ``C^-1 C'``.

    With ``C = (C00 + C11) / 2`` and ``C' = (C01 + C01') / 2`` about the common mean, as in the training scheme of the
    paper's code.
    """
    n = len(mean) // 2
    c00, c01, c11 = covariance[:n, :n], covariance[:n, n:], covariance[n:, n:]
    half = 0.5 * (mean[:n] - mean[n:])
    apart = np.outer(half, half)
    lagged = 0.5 * (c01 + c01.T) - apart
    inverse = _inverse(0.5 * (c00 + c11) + apart)
    of_instant = _of_ridge(-inverse @ lagged @ inverse)
    along = (of_instant - inverse) @ half
    slope = np.zeros_like(covariance)
    slope[:n, :n] = slope[n:, n:] = 0.5 * of_instant
    slope[:n, n:] = inverse
    return Value(float((inverse * lagged).sum()), np.concatenate([along, -along]), slope)


def crispness(mean: Float64[np.ndarray, " entries"], covariance: Float64[np.ndarray, "entries entries"]) -> Value:
    """How pure the states are: ``sum_i <p_i^2> / <p_i>`` (equation 14 of docs/theory.md), over both ends of the pairs.

    Between 1, where all states are alike, and the number of states, where every row is 0 and 1.
    """
    n = len(mean) // 2
    basis = basis_of(n + 1)
    value, of_mean, slope = 0.0, np.zeros_like(mean), np.zeros_like(covariance)
    for end in (slice(0, n), slice(n, 2 * n)):
        population = basis @ mean[end] + 1.0 / (n + 1)
        variance = ((basis @ covariance[end, end]) * basis).sum(1)
        value += 0.5 * float((variance / population + population).sum())
        of_mean[end] = 0.5 * basis.T @ (1.0 - variance / population**2)
        slope[end, end] = 0.5 * (basis.T / population) @ basis
    return Value(value, of_mean, slope)


def derived(function: Callable[[Tensor, Tensor], Tensor]) -> Score:
    """A score from a function of means and covariances in torch, whose derivatives torch finds in a millisecond."""

    def score(mean: np.ndarray, covariance: np.ndarray) -> Value:
        at = [torch.from_numpy(one).requires_grad_(True) for one in (mean, covariance)]
        try:
            value = function(*at)
            of_mean, of_covariance = torch.autograd.grad(value, at, materialize_grads=True)
        except torch.linalg.LinAlgError as error:
            raise np.linalg.LinAlgError(str(error)) from None
        return Value(float(value.detach()), of_mean.numpy(), of_covariance.numpy())

    return score


SCORES: dict[str, Score] = {"vamp2": vamp2, "reversible_vamp1": reversible_vamp1}


def objective(stage: Stage, moments: Moments, weight: float) -> tuple[float, Slope]:
    """What a stage of :mod:`gdyn.config.schemes` maximises, its crispness with some ``weight``; and its slope.

    Raises
    ------
    numpy.linalg.LinAlgError : the moments are not finite.
    """
    mean, covariance, offset = _covariances(moments)
    value, of_mean, of_covariance = SCORES[stage.score](mean, covariance)
    if stage.crisp:
        more = crispness(mean, covariance)
        value += weight * more.value
        of_mean, of_covariance = of_mean + weight * more.of_mean, of_covariance + weight * more.of_covariance
    quadratic = of_covariance + of_covariance.T
    pairs = max(moments.pairs, 1.0)
    return value, Slope((of_mean - quadratic @ offset) / pairs, quadratic / pairs)


def score(moments: Moments) -> float:
    """The VAMP-2 score of some pairs."""
    return vamp2(*_covariances(moments)[:2]).value


def _covariances(moments: Moments) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means and centred covariances in the basis, and the mean of z."""
    if not np.isfinite(moments.second).all():
        raise np.linalg.LinAlgError("moments are not finite")
    offset = moments.offset
    return moments.mean, moments.second / max(moments.pairs, 1.0) - np.outer(offset, offset), offset


def _inverse(covariance: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """Of a covariance and its ridge."""
    n = len(covariance)
    ridge = RIDGE * max(float(np.trace(covariance)), 0.0) / n + ROUNDING
    root = np.linalg.inv(np.linalg.cholesky(covariance + ridge * np.eye(n)))
    return root.T @ root


def _of_ridge(slope: Float64[np.ndarray, "n n"]) -> Float64[np.ndarray, "n n"]:
    """The slope with respect to a covariance, where that with respect to it and its ridge is ``slope``."""
    n = len(slope)
    return slope + RIDGE * np.trace(slope) / n * np.eye(n)
