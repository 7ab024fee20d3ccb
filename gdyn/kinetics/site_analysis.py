"""How the learned states compare with known sites, and what they imply for the whole site network."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of, mean_population, scan_lags
from gdyn.kinetics.sites import SiteNetwork
from gdyn.kinetics.whole_cell import slow, whole_cell
from gdyn.logs import LOG
from gdyn.statistics import present_rows
from gdyn.statistics.interval import PROBABILITY
from gdyn.statistics.uncertainty import with_interval
from gdyn.store import States
from gdyn.store.walk import each_trajectory

POINTS_DRAWN = 20000
SURROUNDINGS_DRAWN = 100


def compare_with_sites(
    states, baselines, trajectories, result, timescales, points, cell, cell_timescales, sites, kinetics
):
    """Assign the targets to known sites and compare the states with them, on the test frames.

    Parameters
    ----------
    states : path of the states of the test frames.
    baselines : paths of the states of global VAMPnets on the same frames, if there are any.
    trajectories : paths of the trajectory stores, in the order of their numbers.
    result : path of the JSON to write.
    timescales : path of the CSV to write: implied timescales of the site types.
    points : path of the CSV to write: positions in the cell with their states, for the figure.
    cell, cell_timescales : paths of the JSON and the CSV to write: the dynamics on all sites of the cell.
    sites, kinetics : those sections of a system.

    Raises
    ------
    InputError : targets are molecules, or the sites do not describe the trajectory.
    """
    states = States.read(states)
    vampnets = [States.read(path) for path in baselines]
    site = np.zeros(states.probabilities.shape[:2], int)
    folded = np.full((*site.shape, 3), np.nan)
    network = None
    for part in each_trajectory(states, trajectories):
        store, here = part.store, np.flatnonzero(states.present[part.frames].any(0))
        cells = store.cells()
        here_network = SiteNetwork.of(sites, cells[0])
        if network is None:
            network, vectors = here_network, cells[0]
            surroundings = _surroundings(store, states.target_ids)
        elif (here_network.bonds != network.bonds).any():
            raise InputError(
                f"sites.bonds: the cell of {store.source} is another than that of the first trajectory, and other "
                f"sites in it are neighbors; mend within_A, or make it a system of its own"
            )
        positions = _target_positions(store, states.target_ids[here])
        place = np.ix_(part.frames, here)
        site[place] = network.assign(positions, cells)[part.stored]
        inverse = np.linalg.inv(cells[part.stored])
        folded[place] = np.einsum("fti,fij->ftj", positions[part.stored], inverse) % 1.0
    type_ = network.type_of[site]
    present = states.present

    blocks = blocks_of(states, kinetics)
    by_type = _hard(states, type_, len(network.types))
    by_site = _hard(states, site, len(network.type_of))
    label = states.probabilities.argmax(-1)
    together = np.zeros((states.probabilities.shape[-1], len(network.types)))
    np.add.at(together, (label[present], type_[present]), 1.0)
    type_of_state = together.argmax(1)
    alike = _hard(states, (type_of_state[label] == type_).astype(int), 2)
    answer = {
        "sites": {name: network.fractional[network.type_of == i] for i, name in enumerate(network.types)},
        "cell_A": vectors,
        "surroundings": surroundings,
        "site_type_of_state": [network.types[i] for i in type_of_state],
        "agreement": with_interval(lambda p, s: mean_population(p)[1], alike, blocks, within=PROBABILITY),
        "populations": with_interval(lambda p, s: mean_population(p), by_type, blocks, within=PROBABILITY),
        "timescales_ps": slow(by_type, states.lag_frames, blocks).interval(logarithmic=True),
    }
    LOG.info("%.2f %% of the frames agree with the cores of the sites", 100 * answer["agreement"].value)
    one_to_one = sorted(type_of_state) == list(range(len(network.types)))
    found, table = whole_cell(
        network, states, np.argsort(type_of_state) if one_to_one else None, by_site, vampnets, kinetics
    )
    write_json(result, answer)
    write_table(timescales, scan_lags(by_type, kinetics))
    write_json(cell, found)
    write_table(cell_timescales, table)
    columns = {f"p{i + 1}": column for i, column in enumerate(present_rows(states.probabilities).T)}
    for vampnet in vampnets:
        probabilities = np.repeat(vampnet.probabilities, present.shape[1], axis=1)[present]
        columns |= {f"vampnet {vampnet.probabilities.shape[-1]}, p{i + 1}": p for i, p in enumerate(probabilities.T)}
    write_table(points, _points(folded[present], columns, np.array(network.types)[type_[present]]))


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


def _points(folded, columns, site_type):
    """An even selection of positions in the cell, with the probabilities of the states and the type of site."""
    every = max(1, len(folded) // POINTS_DRAWN)
    columns = {axis: folded[:, i] for i, axis in enumerate("xyz")} | columns | {"site_type": site_type}
    return pd.DataFrame({name: values[::every] for name, values in columns.items()})
