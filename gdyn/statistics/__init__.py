"""Estimators in float64 numpy that training and analysis share: covariances, scores, simplices, matching."""

from gdyn.statistics.covariance import (
    Covariances,
    helmert_basis,
    noise_floor,
    present_rows,
    purity,
    score_with_floor,
    singular_values,
    vamp2,
)
from gdyn.statistics.matching import match_states
from gdyn.statistics.simplex import simplex_rotation

__all__ = [
    "Covariances",
    "helmert_basis",
    "match_states",
    "noise_floor",
    "present_rows",
    "purity",
    "score_with_floor",
    "simplex_rotation",
    "singular_values",
    "vamp2",
]
