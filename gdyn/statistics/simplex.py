"""The linear map that turns VAMP features into states: PCCA+ by the inner simplex."""

import numpy as np

from gdyn.statistics.covariance import Covariances, helmert_basis, present_rows

SMALLEST_VARIANCE = 1e-8
SMALLEST_WEIGHT = 1e-3
SHARE_IN_CORNER, LEAST_IN_CORNER = 0.002, 10


def simplex_rotation(probabilities, segment, lag_frames):
    """Find the linear map after which the states are as pure as a linear map can make them.

    The slow eigenfunctions of the reversible estimate of the Koopman operator send metastable
    states to the corners of a simplex (equation 14 of docs/theory.md). The inner simplex algorithm
    finds the corners among the data, in coordinates weighted by their eigenvalues; the barycentric
    coordinates with respect to the corners are the memberships.

    Parameters
    ----------
    probabilities : (frames, targets, states)
    segment : (frames,) pairs stay within a segment
    lag_frames : int

    Returns
    -------
    (states, states) matrix ``A`` whose rows sum to 1, for ``memberships = probabilities @ A``, or None
    where the states are linearly dependent and span no simplex.
    """
    n_states = probabilities.shape[-1]
    c = Covariances.of(probabilities, segment, lag_frames)
    basis = helmert_basis(n_states)
    mean = 0.5 * (c.mean0 + c.mean1)
    instant = basis.T @ (0.5 * (c.c00 + c.c11) - np.outer(mean, mean)) @ basis
    lagged = basis.T @ (0.5 * (c.c01 + c.c01.T) - np.outer(mean, mean)) @ basis
    variance, directions = np.linalg.eigh(instant)
    if variance[0] < SMALLEST_VARIANCE * max(variance[-1], 1e-12):
        return None
    whiten = directions / np.sqrt(variance)
    eigenvalues, rotation = np.linalg.eigh(whiten.T @ lagged @ whiten)
    slow = basis @ whiten @ rotation * np.maximum(eigenvalues, SMALLEST_WEIGHT)

    chi = present_rows(probabilities).astype(np.float64)
    corners = _inner_simplex(chi @ slow)
    features = np.column_stack([np.ones(n_states), slow])
    return features @ np.linalg.inv(np.column_stack([np.ones(n_states), corners]))


def _inner_simplex(points):
    """Corners (dimension + 1, dimension), each the farthest from the simplex of those before it.

    A corner is the mean of the points that lie farthest in its direction, a few of all, so that no single odd frame
    makes a state.
    """
    few = min(max(LEAST_IN_CORNER, round(SHARE_IN_CORNER * len(points))), -(-len(points) // (5 * points.shape[1] + 5)))

    def farthest(rest):
        direction = rest[np.argmax(np.square(rest).sum(1))]
        return points[np.argpartition(rest @ direction, -few)[-few:]].mean(0)

    corners, directions = [farthest(points - points.mean(0))], []
    rest = points - corners[0]
    for _ in range(points.shape[1]):
        corners.append(farthest(rest))
        direction = corners[-1] - corners[0]
        for known in directions:
            direction = direction - (direction @ known) * known
        directions.append(direction / np.linalg.norm(direction))
        rest = rest - np.outer(rest @ directions[-1], directions[-1])
    return np.array(corners)
