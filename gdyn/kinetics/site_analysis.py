"""How the learned states compare with known sites, and what they imply for the whole site network."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, Shaped
from pydantic import Field

from gdyn.config import Kinetics, Sites
from gdyn.errors import InputError
from gdyn.kinetics.koopman import blocks_of
from gdyn.kinetics.populations import populations_of
from gdyn.kinetics.sites import SiteNetwork
from gdyn.kinetics.timescales import implied_timescales, slow
from gdyn.kinetics.whole_cell import WholeCell, whole_cell
from gdyn.logs import LOG
from gdyn.result import Array, Result, Share, Table, Time
from gdyn.statistics import present_rows
from gdyn.statistics.interval import PROBABILITY
from gdyn.store import States, TrajectoryStore
from gdyn.store.walk import Trajectories, atoms_of_ids, each_trajectory, numbered, opened

POINTS_DRAWN = 20000
SURROUNDINGS_DRAWN = 100


class Surroundings(Result):
    """Atoms that are not targets, in the first frame; empty where there are too many to draw."""

    elements: list[str]
    fractional: Array
    """(atoms, 3)"""


class SiteComparison(Result):
    """Learned states compared with known sites, to which targets are assigned by cores."""

    sites: dict[str, Array]
    """Fractional positions of the sites of each type, (sites, 3)."""
    cell_A: Array
    """(3, 3), lattice vectors in rows."""
    surroundings: Surroundings
    site_type_of_state: list[str]
    """Of each state, the type of site at which it is found most often."""
    agreement: Share
    """Share of the frames in which a target is in the state of its site."""
    populations: Share
    """(types,)"""
    timescales_ps: Time
    """(types - 1,), slowest first."""
    timescales: Table
    """Implied timescales of the types of site at many lag times."""
    points: Table
    """Positions in the cell, with the probabilities of the states and the type of site."""
    cell: WholeCell = Field(exclude=True)
    cell_timescales: Table
    """Timescales of every model of the whole cell at many lag times."""

    @property
    def flags(self) -> dict[str, list[str]]:
        """Caveats by the name of a number of the summary."""
        return {"global": self.cell.flags}


def compare_with_sites(
    states: States, baselines: list[States], trajectories: Trajectories, sites: Sites, kinetics: Kinetics
) -> SiteComparison:
    """Assign the targets to known sites and compare the states with them.

    Parameters
    ----------
    states : of the test frames.
    baselines : states of global VAMPnets on the same frames, if there are any.
    trajectories : those of the system, in the order of their numbers.
    sites, kinetics : those sections of a system.

    Raises
    ------
    InputError : targets are molecules, or the sites do not describe the trajectory.
    """
    site = np.zeros(states.probabilities.shape[:2], int)
    folded = np.full((*site.shape, 3), np.nan)
    with opened(numbered(trajectories, int(states.trajectory.min()))) as first:
        vectors, surroundings = first.cells(0), _surroundings(first, states.target_ids)
    network = SiteNetwork.of(sites, vectors)
    for part in each_trajectory(states, trajectories):
        store, here = part.store, np.flatnonzero(states.present[part.frames].any(0))
        cells = store.cells()
        if (SiteNetwork.of(sites, cells[0]).bonds != network.bonds).any():
            raise InputError(
                f"sites.bonds: the cell of {store.source} differs from that of the first trajectory, and other "
                f"sites in it are neighbors; correct within_A, or make it a system of its own"
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
    one_to_one = sorted(type_of_state) == list(range(len(network.types)))
    cell, cell_timescales = whole_cell(
        network, states, np.argsort(type_of_state) if one_to_one else None, by_site, baselines, kinetics
    )
    columns = {f"p{i + 1}": column for i, column in enumerate(present_rows(states.probabilities).T)}
    for vampnet in baselines:
        probabilities = np.repeat(vampnet.probabilities, present.shape[1], axis=1)[present]
        columns |= {f"vampnet {vampnet.probabilities.shape[-1]}, p{i + 1}": p for i, p in enumerate(probabilities.T)}
    comparison = SiteComparison(
        sites={name: network.fractional[network.type_of == i] for i, name in enumerate(network.types)},
        cell_A=vectors,
        surroundings=surroundings,
        site_type_of_state=[network.types[i] for i in type_of_state],
        agreement=populations_of(alike, blocks).interval(within=PROBABILITY)[1],
        populations=populations_of(by_type, blocks).interval(within=PROBABILITY, correlated=True),
        timescales_ps=slow(by_type, states.lag_frames, blocks).interval(logarithmic=True),
        timescales=implied_timescales(by_type, kinetics),
        points=_points(folded[present], columns, np.array(network.types)[type_[present]]),
        cell=cell,
        cell_timescales=cell_timescales,
    )
    LOG.info("%.2f %% of the frames agree with the cores of the sites", 100 * comparison.agreement.value)
    return comparison


def _target_positions(
    store: TrajectoryStore, target_ids: Int[np.ndarray, "targets k"]
) -> Float[np.ndarray, "frames targets 3"]:
    if target_ids.shape[1] != 1:
        raise InputError(
            "sites: the targets are molecules, and only single atoms can be assigned to sites; remove the section"
        )
    return store.positions(atoms=atoms_of_ids(store, target_ids[:, 0]))


def _surroundings(store: TrajectoryStore, target_ids: Int[np.ndarray, "targets k"]) -> Surroundings:
    """The other atoms in the first frame, where they are few enough to draw."""
    rest = np.flatnonzero(~np.isin(store.atoms.id, target_ids))
    if len(rest) > SURROUNDINGS_DRAWN:
        rest = rest[:0]
    fractional = store.positions(0)[rest] @ np.linalg.inv(store.cells(0)) % 1.0
    return Surroundings(elements=store.atoms.element[rest].tolist(), fractional=fractional)


def _hard(states: States, labels: Int[np.ndarray, "frames targets"], n: int) -> States:
    """The same states with every target assigned to one of ``n`` states with certainty."""
    probabilities = np.eye(n, dtype=np.float32)[labels]
    probabilities[~states.present] = np.nan
    return replace(states, probabilities=probabilities)


def _points(
    folded: Float[np.ndarray, "samples 3"], columns: dict[str, Any], site_type: Shaped[np.ndarray, " samples"]
) -> pd.DataFrame:
    """An even selection of positions in the cell, with the probabilities of the states and the type of site."""
    every = max(1, len(folded) // POINTS_DRAWN)
    columns = {axis: folded[:, i] for i, axis in enumerate("xyz")} | columns | {"site_type": site_type}
    return pd.DataFrame({name: values[::every] for name, values in columns.items()})
