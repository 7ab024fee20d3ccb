"""Whether the states are in detailed balance, as all processes in equilibrium are."""

import numpy as np

from gdyn.kinetics.chapman_kolmogorov import stretches_of
from gdyn.statistics import Covariances
from gdyn.statistics.joint import judge
from gdyn.statistics.uncertainty import covariances_of
from gdyn.store import States

LEVEL = 0.01  # chance of a false alarm
LEAST = 0.1  # net flux, as a part of the flux both ways


def imbalance(states: States) -> str | None:
    """How it is seen that more targets go one way than the other, or None (section "Stationary?" of docs/theory.md).

    The net flux between two states, ``<chi_i(t) chi_j(t + lag)> - <chi_j(t) chi_i(t + lag)>``, is zero in equilibrium.
    Of two states it always is, in the long run.
    """
    n = states.probabilities.shape[-1]
    if n < 3:
        return None
    try:
        fluxes = covariances_of(states, stretches_of(states, 1)).map(fluxes_of)
    except np.linalg.LinAlgError:
        return None
    net = fluxes.map(lambda both: both - both.T)
    found = judge(net, np.triu(np.ones((n, n), bool), 1))
    i, j = found.worst
    there, back = (fluxes.whole[place] for place in ((i, j), (j, i)))
    if not found.chance < LEVEL or abs(there - back) < LEAST * (there + back):
        return None
    more, less, start, end = (there, back, i, j) if there > back else (back, there, j, i)
    return (
        f"more targets go from state {start + 1} to {end + 1} than back (a share of {more:.2g} and {less:.2g} in a lag "
        f"time), which no process in equilibrium does"
    )


def fluxes_of(covariances: Covariances) -> np.ndarray:
    """Joint probabilities of a state and another a lag time later: (states, states)."""
    if covariances.samples == 0:
        raise np.linalg.LinAlgError("there is no pair of frames a lag time apart")
    return np.asarray(covariances.c01)
