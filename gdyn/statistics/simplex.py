"""The linear map that turns VAMP features into states: PCCA+ by the inner simplex."""

import numpy as np
from jaxtyping import Float, Int

from gdyn.statistics.covariance import Covariances, helmert_basis, present_rows

SMALLEST_VARIANCE = 1e-8
SMALLEST_WEIGHT = 1e-3
SHARE_IN_CORNER, LEAST_IN_CORNER = 0.002, 10
LARGEST_CONDITION = 1e8  # of the corners, beyond which they span no simplex


def simplex_rotation(
    probabilities: Float[np.ndarray, "frames targets features"],
    segment: Int[np.ndarray, " frames"],
    lag_frames: int,
    n_states: int | None = None,
) -> Float[np.ndarray, "features states"] | None:
    """Find the linear map after which the states are as pure as a linear map can make them.

    The slow eigenfunctions of the reversible estimate of the Koopman operator send metastable
    states to the corners of a simplex (equation 14 of docs/theory.md). The inner simplex algorithm
    finds the corners among the data, in coordinates weighted by their eigenvalues; the barycentric
    coordinates with respect to the corners are the memberships.

    Parameters
    ----------
    probabilities : (frames, targets, features), rows sum to 1: states, or finer ones, or those of several models.
    segment : (frames,) pairs stay within a segment
    lag_frames : int
    n_states : how many states to make of the features; by default as many as there are features.

    Returns
    -------
    (features, states) matrix ``A`` whose rows sum to 1, for ``memberships = probabilities @ A``, or None
    where the features span no simplex of so many states.
    """
    n_features = probabilities.shape[-1]
    n_states = n_states or n_features
    basis = helmert_basis(n_features)
    instant, lagged = (basis.T @ c @ basis for c in Covariances.of(probabilities, segment, lag_frames).reversible)
    variance, directions = np.linalg.eigh(instant)
    independent = variance >= SMALLEST_VARIANCE * max(variance[-1], 1e-12)
    if independent.sum() < n_states - 1:
        return None
    whiten = directions[:, independent] / np.sqrt(variance[independent])
    eigenvalues, rotation = (part[..., 1 - n_states :] for part in np.linalg.eigh(whiten.T @ lagged @ whiten))
    slow = basis @ whiten @ rotation * np.maximum(eigenvalues, SMALLEST_WEIGHT)

    chi = present_rows(probabilities).astype(np.float64)
    # About the mean: where features hardly vary, their coordinates are large numbers of small differences.
    centre = chi.mean(0)
    corners = _inner_simplex((chi - centre) @ slow)
    corners = np.column_stack([np.ones(n_states), corners])
    if not np.linalg.cond(corners) < LARGEST_CONDITION:
        return None
    return np.column_stack([np.ones(n_features), slow - centre @ slow]) @ np.linalg.inv(corners)


def _inner_simplex(points: Float[np.ndarray, "samples dimension"]) -> Float[np.ndarray, "dimension+1 dimension"]:
    """Corners (dimension + 1, dimension), each the farthest from the simplex of those before it.

    A corner is the mean of the points that lie farthest in its direction, a few of all, so that no single odd frame
    makes a state.
    """
    few = min(max(LEAST_IN_CORNER, round(SHARE_IN_CORNER * len(points))), -(-len(points) // (5 * points.shape[1] + 5)))

    def farthest(rest: Float[np.ndarray, "samples dimension"]) -> Float[np.ndarray, " dimension"]:
        direction = rest[np.argmax(np.square(rest).sum(1))]
        return points[np.argpartition(rest @ direction, -few)[-few:]].mean(0)

    corners = [farthest(points - points.mean(0))]
    directions: list[np.ndarray] = []
    rest = points - corners[0]
    for _ in range(points.shape[1]):
        corners.append(farthest(rest))
        direction = corners[-1] - corners[0]
        for known in directions:
            direction = direction - (direction @ known) * known
        directions.append(direction / max(np.linalg.norm(direction), np.finfo(float).tiny))
        rest = rest - np.outer(rest @ directions[-1], directions[-1])
    return np.array(corners)
