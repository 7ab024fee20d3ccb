"""How the learned states compare with known sites, and what they imply for the whole site network."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of, scan_lags
from gdyn.kinetics.koopman import koopman_matrix, timescales
from gdyn.kinetics.sites import SiteNetwork
from gdyn.kinetics.uncertainty import with_interval
from gdyn.logs import LOG
from gdyn.statistics import present_rows
from gdyn.store import States, TrajectoryStore

POINTS_DRAWN = 20000
SURROUNDINGS_DRAWN = 100


def compare_with_sites(states, trajectories, result, timescales, points, sites, kinetics):
    """Assign the targets to known sites and compare the states with them, on the test frames.

    Parameters
    ----------
    states : path of the states of the test frames.
    trajectories : paths of the trajectory stores, in the order of their numbers.
    result : path of the JSON to write.
    timescales : path of the CSV to write: implied timescales of the site types.
    points : path of the CSV to write: positions in the cell with their states, for the figure.
    sites, kinetics : those sections of a system.

    Raises
    ------
    InputError : targets are molecules, or the sites do not describe the trajectory.
    """
    states = States.read(states)
    with TrajectoryStore.open(trajectories[states.trajectory[0]]) as store:
        cell = store.cells(0)
        surroundings = _surroundings(store, states.target_ids)
    network = SiteNetwork.of(sites, cell)
    site = np.zeros(states.probabilities.shape[:2], int)
    folded = np.full((*site.shape, 3), np.nan)
    for number in np.unique(states.trajectory):
        frames = states.trajectory == number
        here = np.flatnonzero(states.present[frames].any(0))
        with TrajectoryStore.open(trajectories[number]) as store:
            positions = _target_positions(store, states.target_ids[here])
            chosen = np.searchsorted(store.time_ps, states.time_ps[frames] - 1e-6)
            place = np.ix_(frames, here)
            site[place] = network.assign(positions, store.cells())[chosen]
            folded[place] = np.einsum("fti,fij->ftj", positions[chosen], np.linalg.inv(store.cells()[chosen])) % 1.0
    type_ = network.type_of[site]
    present = states.present

    blocks = blocks_of(states, kinetics)
    by_type = _hard(states, type_, len(network.types))
    by_site = _hard(states, site, len(network.type_of))
    label = present_rows(states.probabilities).argmax(1)
    together = np.zeros((states.probabilities.shape[-1], len(network.types)))
    np.add.at(together, (label, type_[present]), 1.0)
    type_of_state = together.argmax(1)
    answer = {
        "sites": {name: network.fractional[network.type_of == i] for i, name in enumerate(network.types)},
        "cell_A": cell,
        "surroundings": surroundings,
        "site_type_of_state": [network.types[i] for i in type_of_state],
        "agreement": float((type_of_state[label] == type_[present]).mean()),
        "populations": with_interval(lambda p, s: present_rows(p).mean(0, dtype=np.float64), by_type, blocks),
        "timescales_ps": slow(by_type, blocks),
        "global": None,
    }
    LOG.info("%.2f %% of the frames agree with the cores of the sites", 100 * answer["agreement"])
    if sorted(type_of_state) == list(range(len(network.types))) and network.bonds.any():
        answer["global"] = {
            "local": slow(states, blocks),
            **rebuild(network, states, np.argsort(type_of_state), blocks),
            "observed": slow(by_site, blocks),
        }
    else:
        LOG.warning(
            "the states do not correspond one to one to the types of site, or these have no bonds: "
            "the site network is not rebuilt"
        )
    write_json(result, answer)
    write_table(timescales, scan_lags(by_type, kinetics))
    write_table(
        points, _points(folded[present], present_rows(states.probabilities), np.array(network.types)[type_[present]])
    )


def slow(states, blocks):
    """Timescales at the lag of the states with intervals: ``value``, ``low`` and ``high`` (states - 1,), ps."""
    lag = states.lag_frames
    return with_interval(
        lambda p, s: timescales(koopman_matrix(p, s, lag), states.lag_ps), states, blocks, logarithmic=True
    )


def rebuild(network, states, state_of_type, blocks):
    """Timescales of the site network from the local Koopman matrix, by both forms, with intervals."""
    order = np.ix_(state_of_type, state_of_type)
    return {
        name: with_interval(
            lambda p, s, form=form: network.rebuild(koopman_matrix(p, s, states.lag_frames)[order], states.lag_ps)[
                form
            ],
            states,
            blocks,
            logarithmic=True,
        )
        for form, name in enumerate(("matrix", "generator"))
    }


def _target_positions(store, target_ids):
    if target_ids.shape[1] != 1:
        raise InputError(
            "sites: the targets are molecules, and only single atoms can be assigned to sites; remove the section"
        )
    atoms = np.searchsorted(store.atoms.id, target_ids[:, 0])
    return store.positions(atoms=atoms)


def _surroundings(store, target_ids):
    """The other atoms in the first frame, where they are few enough to be drawn."""
    others = np.flatnonzero(~np.isin(store.atoms.id, target_ids))
    if len(others) > SURROUNDINGS_DRAWN:
        others = others[:0]
    return {
        "elements": store.atoms.element[others],
        "fractional": store.positions(0)[others] @ np.linalg.inv(store.cells(0)) % 1.0,
    }


def _hard(states, labels, n):
    """The states file's twin in which every target is in one of ``n`` states for certain."""
    probabilities = np.eye(n, dtype=np.float32)[labels]
    probabilities[~states.present] = np.nan
    return replace(states, probabilities=probabilities)


def _points(folded, probabilities, site_type):
    """An even selection of positions in the cell, with the probabilities of the states and the type of site."""
    every = max(1, len(folded) // POINTS_DRAWN)
    columns = {axis: folded[::every, i] for i, axis in enumerate("xyz")}
    columns |= {f"p{i + 1}": probabilities[::every, i] for i in range(probabilities.shape[1])}
    return pd.DataFrame(columns | {"site_type": site_type[::every]})
