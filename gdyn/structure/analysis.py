"""The numbers of the structure report: what surrounds the targets of each state, with intervals."""

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.uncertainty import interval
from gdyn.logs import LOG, progress
from gdyn.store import States, TrajectoryStore
from gdyn.structure.cross_section import cross_section
from gdyn.structure.representatives import representatives, write_extxyz
from gdyn.structure.surroundings import Shells, centres_of
from gdyn.trajectory.targets import AXES, select_first

SMOOTHING_A = 0.08  # of the distribution whose minimum ends the first shell
FEW_SAMPLES = 200  # frames times probability, below which a state's structure is noise


def analyse_structure(
    states, trajectories, result, distributions, charges, profile, section, configurations, structure, kinetics
):
    """Count what is around the targets of each state, on the test frames.

    Parameters
    ----------
    states : path of the states of the test frames.
    trajectories : paths of the trajectory stores, in the order of their numbers.
    result, distributions, charges, profile : paths to write: a JSON of coordination numbers and charges at the end of
        the first shell, and CSVs of distribution functions, charge integrals and profiles along an axis.
    section : path of the CSV to write: the last frame seen from the side.
    configurations : path of the extxyz to write: typical surroundings of each state.
    structure, kinetics : those sections of a system.

    Raises
    ------
    InputError : a selection is wrong or empty.
    """
    states = States.read(states)
    blocks = blocks_of(states, kinetics)
    frames, of_block = frames_of(states, structure), block_of_samples(states, blocks)
    edges = np.linspace(0.0, structure.max_A, round(structure.max_A / structure.bin_A) + 1)
    n_states = states.probabilities.shape[-1]
    shells, names, along, flags, all_around = None, None, None, [], {}
    charged = True
    for number in np.unique(states.trajectory):
        with TrajectoryStore.open(trajectories[number]) as store:
            around = all_around[int(number)] = Surroundings(store, structure)
            if names is None:
                names = around.names
                shells = Shells.empty(edges, len(blocks) + 1, n_states, len(names))
                along = Profile(structure, store.cells(0), len(blocks) + 1, n_states)
            charged &= store.atoms.charge_e is not None
            mine = frames[states.trajectory[frames] == number]
            stored = np.searchsorted(store.time_ps, states.time_ps[mine] - 1e-6)
            for frame, at in zip(progress(mine, "structure"), stored, strict=True):
                centres, owner = centres_of(store, states, frame)
                sets = np.full(len(store.atoms), -1)
                sets[centres] = owner
                centres, owner = (x[around.centres[centres]] for x in (centres, owner))
                positions, cell = store.positions(at), store.cells(at)
                chosen, block = states.probabilities[frame, owner], of_block[frame, owner]
                shells.add(positions, cell, store.periodic, centres, chosen, block, around.groups, around.atoms, sets)
                along.add(positions[centres], cell, chosen, block)
    whole = shells.part(slice(None))
    shell_A = structure.first_shell_A or first_shell(whole)
    last = min(np.searchsorted(edges, shell_A - 1e-9), len(edges) - 1) - 1
    rdf, coordination = (with_blocks(shells, getattr(Shells, name)) for name in ("rdf", "coordination"))
    kinds = {"atoms": False, "molecules": True} if charged else {}
    if "molecules" in kinds and not around.has_molecules:
        del kinds["molecules"]
    integrals = {name: with_blocks(shells, lambda s, k=kind: s.charge(k)) for name, kind in kinds.items()}
    for state, weight in enumerate(whole.weight):
        if weight < FEW_SAMPLES:
            flags.append(f"the structure of state {state + 1} rests on {weight:.0f} samples")
    shown = [name for name in names if name != COORDINATING]
    write_json(
        result,
        {
            "groups": shown,
            "first_shell_A": edges[last + 1],
            "coordination": {
                name: {part: values[:, g, last] for part, values in coordination.items()}
                for g, name in enumerate(shown)
            },
            "charges_e": {
                name: {part: values[:, last] for part, values in found.items()} for name, found in integrals.items()
            },
            "frames": len(frames),
            "flags": flags,
        },
    )
    r_A = 0.5 * (edges[1:] + edges[:-1])
    rows = [
        pd.DataFrame(
            {"state": s + 1, "group": name, "r_A": r_A, "r_out_A": edges[1:]}
            | {f"g{suffix}": rdf[part][s, g] for part, suffix in PARTS}
            | {f"n{suffix}": coordination[part][s, g] for part, suffix in PARTS}
        )
        for s in range(n_states)
        for g, name in enumerate(shown)
    ]
    write_table(distributions, pd.concat(rows))
    rows = [
        pd.DataFrame(
            {"state": s + 1, "counted": name, "r_out_A": edges[1:]}
            | {f"charge_e{suffix}": found[part][s] for part, suffix in PARTS}
        )
        for name, found in integrals.items()
        for s in range(n_states)
    ]
    write_table(charges, pd.concat(rows) if rows else pd.DataFrame(columns=["state", "counted", "r_out_A", "charge_e"]))
    write_table(profile, along.table())
    write_table(section, cross_section(states, trajectories, frames[-1], structure))
    write_extxyz(configurations, representatives(states, trajectories, all_around, frames, structure, shell_A))


PARTS = (("value", ""), ("low", "_low"), ("high", "_high"))
COORDINATING = "coordinating atoms"


class Surroundings:
    """What of a trajectory is counted around its targets: fixed over its frames.

    names, groups : of the groups, and (groups, atoms) bool; the last one are the coordinating atoms.
    atoms : (charge_e, molecule, coordinating), as :meth:`Shells.add` takes them.
    centres : (atoms,) bool, from which the distances are, if they are of a target.
    """

    def __init__(self, store, structure):
        atoms = store.atoms

        def members(selection, key):
            found = np.zeros(len(atoms), bool)
            found[select_first(store, selection, key)] = True
            return found

        if structure.groups:
            groups = {name: members(text, f"structure.groups.{name}") for name, text in structure.groups.items()}
        else:
            groups = {name: atoms.element == name for name in sorted(set(atoms.element))}
        coordinating = members(structure.coordinating, "structure.coordinating")
        self.centres = members(structure.centres, "structure.centres")
        self.names = [*groups, COORDINATING]
        self.groups = np.array([*groups.values(), coordinating])
        self.has_molecules = atoms.molecule is not None
        molecule = np.full(len(atoms), -1)
        if self.has_molecules:
            molecule = np.unique(atoms.molecule, return_inverse=True)[1]
        charge = np.zeros(len(atoms)) if atoms.charge_e is None else atoms.charge_e
        self.atoms = (charge, molecule.astype(np.int64), coordinating)


def frames_of(states, structure):
    """The frames that are looked at: no more than ``structure.frames``, equally far from each other."""
    return np.arange(0, len(states.time_ps), max(1, len(states.time_ps) // structure.frames))


def block_of_samples(states, blocks):
    """Number of the block of every sample: (frames, target sets); those in no block count in the whole alone."""
    found = np.full(states.probabilities.shape[:2], len(blocks))
    for number, part in enumerate(blocks.parts):
        found[part] = number
    return found


class Profile:
    """How often each state is found along one lattice vector."""

    def __init__(self, structure, cell, n_blocks, n_states):
        self.axis = AXES.index(structure.profile)
        self.height_A = 1.0 / np.linalg.norm(np.linalg.inv(cell)[:, self.axis])
        self.bins = max(1, round(self.height_A / structure.profile_bin_A))
        self.counts = np.zeros((n_blocks, n_states, self.bins))

    def add(self, positions, cell, probabilities, block):
        along = (positions @ np.linalg.inv(cell)[:, self.axis]) % 1.0
        np.add.at(
            self.counts, (block, slice(None), np.minimum((along * self.bins).astype(int), self.bins - 1)), probabilities
        )

    def table(self):
        """Of each state along the axis, in A of the first cell: its probability there, and its share in all samples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            share = [c / c.sum(0) for c in (self.counts.sum(0), *self.counts[:-1])]
            of_all = [c / c.sum() for c in (self.counts.sum(0), *self.counts[:-1])]
        low, high = interval(share[0], share[1:])
        place = (np.arange(self.bins) + 0.5) / self.bins * self.height_A
        return pd.concat(
            pd.DataFrame(
                {"state": s + 1, "axis": AXES[self.axis], "place_A": place, "probability": share[0][s]}
                | {"low": low[s], "high": high[s], "share": of_all[0][s]}
            )
            for s in range(len(share[0]))
        )


def with_blocks(shells, function):
    """A function of summed shells with its 95 % interval over the blocks."""
    value = function(shells.part(slice(None)))
    samples = [function(shells.part(slice(b, b + 1))) for b in range(len(shells.weight) - 1)]
    low, high = interval(value, samples)
    return {"value": value, "low": low, "high": high}


def first_shell(whole):
    """Where the distribution of the coordinating atoms about all targets has its first minimum, A.

    Raises
    ------
    InputError : it has none within reach.
    """
    step = whole.edges_A[1] - whole.edges_A[0]
    together = Shells(whole.edges_A, *(getattr(whole, name).sum(0)[None] for name in list(vars(whole))[1:]))
    g = gaussian_filter1d(np.nan_to_num(together.rdf()[0, -1]), SMOOTHING_A / step)
    peaks = np.flatnonzero((g[1:-1] >= g[:-2]) & (g[1:-1] > g[2:]) & (g[1:-1] > 0.3 * g.max())) + 1
    if len(peaks):
        valleys = np.flatnonzero((g[1:-1] <= g[:-2]) & (g[1:-1] < g[2:])) + 1
        valleys = valleys[valleys > peaks[0]]
        if len(valleys):
            found = float(whole.edges_A[valleys[0]] + 0.5 * step)
            LOG.info("the first shell ends at %.2f A, the first minimum around all targets", found)
            return found
    raise InputError(
        "structure.first_shell_A: the distribution of the coordinating atoms has no minimum within structure.max_A; "
        "give the end of the first shell, or a larger max_A"
    )
