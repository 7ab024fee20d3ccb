"""Time-lagged covariances of state probabilities, and the VAMP-2 score with its noise floor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from gdyn.statistics.lag import lagged_frames
from gdyn.statistics.shapes import Matrix, PerProcess, PerState, Probabilities, Segment

RIDGE = 1e-6  # of the mean variance
ROUNDING = 1e-24  # variance below which a state is constant apart from rounding


@dataclass
class Covariances:
    """Second moments over all pairs and targets (equation 7 of docs/theory.md), without the means and with them.

    centred : three of (states, states), taken about the means before anything is multiplied: of states that hardly
        vary, the difference of ``c00`` and the product of the means holds rounding alone.
    mean0, mean1 : (states,) of the first and the second frames of the pairs
    samples : number of pairs times targets
    walkers : number of targets that have any pair
    c00, c01, c11 : (states, states), means kept; ``c01[i, j] = <chi_i(t) chi_j(t + lag)>``
    """

    centred: tuple[Matrix, ...]
    mean0: PerState
    mean1: PerState
    samples: int
    walkers: int = 1

    @property
    def c00(self) -> Matrix:
        return self.centred[0] + np.outer(self.mean0, self.mean0)

    @property
    def c01(self) -> Matrix:
        return self.centred[1] + np.outer(self.mean0, self.mean1)

    @property
    def c11(self) -> Matrix:
        return self.centred[2] + np.outer(self.mean1, self.mean1)

    @classmethod
    def of(
        cls,
        probabilities: Probabilities,
        segment: Segment,
        lag_frames: int,
    ) -> Self:
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
        mean0, mean1 = x.sum(0) / n, y.sum(0) / n
        x -= mean0
        y -= mean1
        return cls((x.T @ x / n, x.T @ y / n, y.T @ y / n), mean0, mean1, len(x), walkers)

    @classmethod
    def together(cls, parts: Sequence["Covariances"], weights: Sequence[float] | None = None) -> Self:
        """Covariances of the pairs of all ``parts``, which have none in common, each with a weight.

        A negative weight takes pairs away that are in another part.
        """
        samples = np.array([part.samples for part in parts], float) * (1.0 if weights is None else weights)
        share = samples / max(samples.sum(), 1.0)
        mean0, mean1 = (share @ np.array([getattr(part, name) for part in parts]) for name in ("mean0", "mean1"))
        apart = [(part.mean0 - mean0, part.mean1 - mean1) for part in parts]
        centred = tuple(
            sum(s * (part.centred[k] + np.outer(d[a], d[b])) for s, part, d in zip(share, parts, apart, strict=True))
            for k, (a, b) in enumerate(((0, 0), (0, 1), (1, 1)))
        )  # fmt: skip
        return cls(centred, mean0, mean1, round(samples.sum()), max(part.walkers for part in parts))

    @property
    def reversible(self) -> tuple[Matrix, Matrix]:
        """Instantaneous and lagged covariances of the reversible estimate, about the mean of both ends of the pairs."""
        c00, c01, c11 = self.centred
        half = 0.5 * (self.mean0 - self.mean1)
        apart = np.outer(half, half)
        return 0.5 * (c00 + c11) + apart, 0.5 * (c01 + c01.T) - apart


def present_rows(probabilities: Probabilities) -> Float[np.ndarray, "samples states"]:
    """The rows of probabilities (frames, targets, states) of targets that are present: (samples, states)."""
    rows = probabilities.reshape(-1, probabilities.shape[-1])
    present = ~np.isnan(rows[:, 0])
    return rows if present.all() else rows[present]


def purity(probabilities: Probabilities) -> float:
    """Mean of the largest probability of every target in every frame (section "Pure states" of docs/theory.md)."""
    rows = present_rows(probabilities)
    return float(rows.max(1).mean(dtype=np.float64)) if len(rows) else float("nan")


def helmert_basis(n: int) -> Float[np.ndarray, "{n} {n}-1"]:
    """Orthonormal basis of the vectors of length ``n`` whose entries sum to zero: (n, n - 1)."""
    basis = np.zeros((n, n - 1))
    for k in range(1, n):
        basis[:k, k - 1] = 1.0
        basis[k, k - 1] = -k
        basis[:, k - 1] /= np.sqrt(k * (k + 1.0))
    return basis


def singular_values(covariances: Covariances) -> PerProcess:
    """Singular values of the Koopman operator in the space of the states, means removed, largest first: (states - 1,).

    ``C00^(-1/2) C01 C11^(-1/2)`` of equation 7 of docs/theory.md; of a reversible process they are its eigenvalues.
    Constant states give zeros; none is above 1.
    """
    basis = helmert_basis(len(covariances.mean0))
    c00, c01, c11 = (basis.T @ c @ basis for c in covariances.centred)
    try:
        coupling = np.linalg.solve(_root(c00), c01)
        singular = np.linalg.svd(np.linalg.solve(_root(c11), coupling.T), compute_uv=False)
    except np.linalg.LinAlgError:
        return np.zeros(len(c00))
    return np.minimum(singular, 1.0)  # they are, apart from rounding


def vamp2(covariances: Covariances) -> float:
    """VAMP-2 score with means removed, at most ``states - 1`` (equation 7 of docs/theory.md).

    The same numbers as :func:`gdyn.training.vamp.vamp2`, from covariances over a whole set.
    """
    return float(np.square(singular_values(covariances)).sum())


def score_with_floor(covariances: Covariances, lag_frames: int) -> tuple[float, float]:
    """VAMP-2 score of a whole set, and its noise floor."""
    c, singular = covariances, singular_values(covariances)
    return float(np.square(singular).sum()), noise_floor(singular, c.samples, lag_frames, c.walkers)


def _root(covariance: Matrix) -> Matrix:
    n = len(covariance)
    return np.linalg.cholesky(covariance + (RIDGE * np.trace(covariance) / n + ROUNDING) * np.eye(n))


def noise_floor(singular: PerProcess, samples: int, lag_frames: int, walkers: int = 1) -> float:
    """The VAMP-2 score that unrelated features would reach: ``sum_ij 1 / (B_ij - 1)`` (equation 8 of docs/theory.md).

    ``B_ij`` is how many independent pairs the samples are worth for two processes that are correlated as long as these
    singular values say: ``samples (1 - r) / (1 + r)`` with ``r = (s_i s_j)^(1 / lag_frames)``, Bartlett's formula
    (equation 9), and at least one of each target. At most as many as there are processes, as any score; a score that is
    not well above it has no meaning.

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
