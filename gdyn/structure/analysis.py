"""The numbers of the structure report: what surrounds the targets of each state, with intervals."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d

from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.uncertainty import POSITIVE, PROBABILITY, interval, jackknife_weight
from gdyn.logs import LOG
from gdyn.store import States
from gdyn.store.walk import each_frame, each_trajectory, heights_of
from gdyn.structure.cross_section import cross_section
from gdyn.structure.representatives import representatives, write_extxyz
from gdyn.structure.surroundings import Shells
from gdyn.trajectory.targets import AXES, NothingSelectedError, select_first

SMOOTHING_A = 0.08  # of the distribution whose minimum ends the first shell
FEWEST = 10  # atoms that a peak is made of
LEAST_PEAK = 0.3  # of the highest place of a distribution, to be its first peak
RISE = 0.1  # of the mean density, from which on a distribution has risen again
FLAT = 0.01  # of the mean density, up to which places are equally low
CLEAR = 0.5  # of the peak, that a minimum may be high
FRAMES_OF_EVIDENCE = 100
SAME_SHELL_A = 0.5
RARE = 0.02  # of the atoms in the fullest first shell, below which a few stray ones are none
SAME_HEIGHT = 0.02
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
    n_states, flags = states.probabilities.shape[-1], []
    around = surroundings_of_all(states, trajectories, frames, structure, edges)
    names, coordinating = around.names, around.coordinating
    shells = Shells.empty(edges, len(blocks) + 1, n_states, len(names))
    along = Profile(states, trajectories, structure, len(blocks) + 1)
    for now in each_frame(states, trajectories, frames, "structure"):
        here, sets = around.of[now.number], np.full(len(now.store.atoms), -1)
        sets[now.targets] = now.sets
        centres, owner = (x[here.centres[now.targets]] for x in (now.targets, now.sets))
        positions, cell = now.positions, now.cell
        chosen, block = states.probabilities[now.frame, owner], of_block[now.frame, owner]
        shells.add(positions, cell, now.store.periodic, centres, chosen, block, here.groups, here.atoms, sets)
        along.add(positions[centres], cell, chosen, block)
    whole = shells.part(slice(None))
    shell = first_shell(edges, *about_all(whole, -1))
    shell_A = structure.first_shell_A or shell.end_A
    if not structure.first_shell_A and not shell.clear:
        flags.append(
            f"the distribution of the coordinating atoms ({coordinating}) has no clear minimum behind its first peak: "
            f"that the first shell ends at {shell_A:.2f} A is a guess; give structure.first_shell_A"
        )
    LOG.info("coordinating are %s; the first shell ends at %.2f A", coordinating, shell_A)
    flags += along.flags
    last = min(np.searchsorted(edges, shell_A - 1e-9), len(edges) - 1) - 1
    rdf, coordination = (with_blocks(shells, getattr(Shells, name), POSITIVE) for name in ("rdf", "coordination"))
    kinds = {"atoms": False, "molecules": True} if around.charged else {}
    if not around.has_molecules:
        kinds.pop("molecules", None)
    integrals = {name: with_blocks(shells, lambda s, k=kind: s.charge(k)) for name, kind in kinds.items()}
    for state, weight in enumerate(whole.weight):
        if weight < FEW_SAMPLES:
            flags.append(f"the structure of state {state + 1} rests on {weight:.0f} samples")
    shown = [name for name in names if name != COORDINATING]
    write_json(
        result,
        {
            "groups": shown,
            "coordinating": coordinating,
            "first_shell_A": edges[last + 1],
            "first_shell_clear": bool(shell.clear or structure.first_shell_A),
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
    write_extxyz(configurations, representatives(states, trajectories, around.of, frames, structure, shell_A))


PARTS = (("value", ""), ("low", "_low"), ("high", "_high"))
COORDINATING = "coordinating atoms"


@dataclass
class Surroundings:
    """What of a trajectory is counted around its targets: fixed over its frames.

    groups : (groups, atoms) bool, in the same order for all trajectories; the last one are the coordinating atoms.
    atoms : (charge_e, molecule, coordinating), as :meth:`Shells.add` takes them.
    centres : (atoms,) bool, from which the distances are, if they are of a target.
    """

    groups: np.ndarray
    atoms: tuple
    centres: np.ndarray


@dataclass
class AllSurroundings:
    """Those of all trajectories of a system.

    of : {number of a trajectory: its Surroundings}
    names : of the groups; the last one are the coordinating atoms.
    coordinating : what these are, in words.
    charged, has_molecules : whether charges and molecules are known in every trajectory.
    """

    of: dict
    names: list
    coordinating: str
    charged: bool
    has_molecules: bool


def surroundings_of_all(states, trajectories, frames, structure, edges_A):
    """What is counted around the targets, from all trajectories before any is counted.

    A group may be missing in some of the trajectories, such as an element that only one of them has, but not in all.

    Raises
    ------
    InputError : a selection is wrong, or empty in every trajectory.
    """
    elements, selections = set(), {"structure.centres": structure.centres}
    for stretch in each_trajectory(states, trajectories, frames):
        elements |= set(stretch.store.atoms.element)
    groups = structure.groups or {name: None for name in sorted(elements)}
    selections |= {f"structure.groups.{name}": text for name, text in groups.items() if text is not None}
    if structure.coordinating:
        binding, words = None, f"'{structure.coordinating}'"
        selections["structure.coordinating"] = structure.coordinating
    else:
        binding = coordinating_elements(states, trajectories, frames, sorted(elements), edges_A, structure)
        words = " and ".join(binding)
    known, found, charged, has_molecules = select_in_all(states, trajectories, frames, selections), {}, True, True
    for stretch in each_trajectory(states, trajectories, frames):
        atoms, mine = stretch.store.atoms, known[stretch.number]
        of_groups = [mine.get(f"structure.groups.{name}", atoms.element == name) for name in groups]
        coordinating = mine["structure.coordinating"] if binding is None else np.isin(atoms.element, binding)
        molecule = atoms.molecule_index if atoms.has_molecules else np.full(len(atoms), -1)
        charge = np.zeros(len(atoms)) if atoms.charge_e is None else atoms.charge_e
        found[stretch.number] = Surroundings(
            np.array([*of_groups, coordinating]),
            (charge, molecule.astype(np.int64), coordinating),
            mine["structure.centres"],
        )
        charged &= atoms.charge_e is not None
        has_molecules &= atoms.has_molecules
    return AllSurroundings(found, [*groups, COORDINATING], words, charged, has_molecules)


def select_in_all(states, trajectories, frames, selections):
    """Evaluate selections (by key of the configuration) in every trajectory: {number: {key: (atoms,) bool}}.

    Raises
    ------
    InputError : one is wrong, or selects nothing in any of the trajectories.
    """
    found, empty = {}, {}
    for stretch in each_trajectory(states, trajectories, frames):
        mine = found[stretch.number] = {}
        for key, selection in selections.items():
            mine[key] = np.zeros(len(stretch.store.atoms), bool)
            try:
                mine[key][select_first(stretch.store, selection, key)] = True
            except NothingSelectedError as error:
                empty[key] = error
    for key, error in empty.items():
        if not any(mine[key].any() for mine in found.values()):
            raise error
    return found


def coordinating_elements(states, trajectories, frames, elements, edges_A, structure):
    """The elements whose atoms bind the targets, by evidence: those whose first peak around them is nearest and sharp.

    On at most 100 frames. Another element counts too where its own first peak, as sharp, is no more than 0.5 A farther
    out: two kinds of atoms that coordinate are at about the same distance, and what is bonded to one of them is not.

    Returns
    -------
    list of names
    """
    shells = Shells.empty(edges_A, 1, 1, len(elements))
    few = frames[:: max(1, -(-len(frames) // FRAMES_OF_EVIDENCE))]
    centres_of = select_in_all(states, trajectories, frames, {"structure.centres": structure.centres})
    for now in each_frame(states, trajectories, few):
        atoms, sets = now.store.atoms, np.full(len(now.store.atoms), -1)
        sets[now.targets] = now.sets
        centres = now.targets[centres_of[now.number]["structure.centres"][now.targets]]
        nothing = np.zeros(len(atoms)), np.full(len(atoms), -1), np.zeros(len(atoms), bool)
        groups = np.array([atoms.element == name for name in elements])
        one, block = np.ones((len(centres), 1)), np.zeros(len(centres), np.int64)
        shells.add(now.positions, now.cell, now.store.periodic, centres, one, block, groups, nothing, sets)
    whole = shells.part(slice(None))
    peaks = {name: first_shell(edges_A, *about_all(whole, g)) for g, name in enumerate(elements)}
    within = {name: whole.counts[0, g][edges_A[1:] <= peaks[name].end_A].sum() for g, name in enumerate(elements)}
    sharp = [name for name in elements if peaks[name].clear and within[name] >= RARE * max(within.values())]
    sharp = sharp or [name for name in elements if np.isfinite(peaks[name].peak_A)]
    if not sharp:
        return elements
    nearest = min(sharp, key=lambda name: peaks[name].peak_A)
    return [name for name in sharp if peaks[name].peak_A <= peaks[nearest].peak_A + SAME_SHELL_A]


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
    """How often each state is found along one lattice vector, in fractions of it.

    ``height_A`` is the mean height of the cells of all trajectories; ``flags`` say where they differ.
    """

    def __init__(self, states, trajectories, structure, n_blocks):
        self.axis = AXES.index(structure.profile)
        parts = each_trajectory(states, trajectories)
        heights = [heights_of(part.store.cells())[part.stored, self.axis] for part in parts]
        self.height_A = float(np.concatenate(heights).mean())
        means, self.flags = [float(part.mean()) for part in heights], []
        if np.ptp(means) > SAME_HEIGHT * self.height_A:
            self.flags.append(
                f"the cells of the trajectories are from {min(means):.1f} to {max(means):.1f} A high along "
                f"{structure.profile}: places along it are fractions of the cell, times their mean"
            )
        self.bins = max(1, round(self.height_A / structure.profile_bin_A))
        self.counts = np.zeros((n_blocks, states.probabilities.shape[-1], self.bins))

    def add(self, positions, cell, probabilities, block):
        along = (positions @ np.linalg.inv(cell)[:, self.axis]) % 1.0
        np.add.at(
            self.counts, (block, slice(None), np.minimum((along * self.bins).astype(int), self.bins - 1)), probabilities
        )

    def table(self):
        """Of each state along the axis, in A of the mean cell: its probability there, and its share in all samples."""
        whole = self.counts.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = [c / c.sum(0) for c in (whole, *(whole - block for block in self.counts[:-1]))]
            of_all = whole / whole.sum()
        low, high = interval(share[0], share[1:], within=PROBABILITY, weight=jackknife_weight(len(share) - 1))
        place = (np.arange(self.bins) + 0.5) / self.bins * self.height_A
        return pd.concat(
            pd.DataFrame(
                {"state": s + 1, "axis": AXES[self.axis], "place_A": place, "probability": share[0][s]}
                | {"low": low[s], "high": high[s], "share": of_all[s]}
            )
            for s in range(len(whole))
        )


def with_blocks(shells, function, within=None):
    """A function of summed shells with its 95 % interval, from all blocks but one in turn."""
    value = function(shells.part(slice(None)))
    n = len(shells.weight) - 1
    samples = [function(shells.part([b for b in range(n + 1) if b != one])) for one in range(n)]
    low, high = interval(value, samples, within=within, weight=jackknife_weight(n))
    return {"value": value, "low": low, "high": high}


@dataclass
class FirstShell:
    """The first peak of a distribution and the minimum behind it, A; ``clear`` if it is one."""

    peak_A: float
    end_A: float
    clear: bool


def about_all(whole, group):
    """Atoms of a group in each shell about all targets, and how many there would be if they were everywhere alike."""
    counts = whole.counts[:, group].sum(0)
    return counts, whole.density[:, group].sum() * 4 / 3 * np.pi * np.diff(whole.edges_A**3)


def first_shell(edges_A, counts, expected):
    """Where the first shell of a distribution ends: its lowest place between the first peak and what comes next.

    What comes next is where the distribution has risen again, by 0.1 of the mean density and by three times its noise:
    a ripple on a slope is no minimum. It is clear where it rises at all, and is no more than half as high as the peak.

    Parameters
    ----------
    edges_A : (bins + 1,)
    counts, expected : (bins,) of :func:`about_all`

    Returns
    -------
    FirstShell : its peak is not a number where there is none; then, and where nothing comes next, the shell ends at the
        lowest place that there is behind the peak.
    """
    step = edges_A[1] - edges_A[0]
    width = SMOOTHING_A / step
    with np.errstate(invalid="ignore", divide="ignore"):
        g = gaussian_filter1d(np.nan_to_num(counts / expected), width)
        samples = gaussian_filter1d(counts, width) * 2.0 * np.sqrt(np.pi) * width
        noise = g / np.sqrt(np.maximum(samples, 1.0))
    middle = edges_A[:-1] + 0.5 * step
    highest = g[samples >= FEWEST].max(initial=0.0)
    inner = slice(1, -1)
    peaks = (g[inner] >= g[:-2]) & (g[inner] > g[2:]) & (g[inner] > LEAST_PEAK * highest) & (samples[inner] >= FEWEST)
    peaks = np.flatnonzero(peaks) + 1
    if not len(peaks):
        return FirstShell(np.nan, float(edges_A[-1]), False)
    lowest = np.minimum.accumulate(g[peaks[0] :])
    # Another peak on the way, before anything like a minimum, belongs to the same shell.
    rises = np.flatnonzero(g[peaks[0] :] - lowest > np.maximum(RISE, 3.0 * noise[peaks[0] :]))
    until = peaks[0] + (rises[0] if len(rises) else len(lowest) - 1)
    behind = slice(peaks[0], until + 1)
    least = g[behind].min()
    top = g[behind].max()
    flat = np.flatnonzero(g[behind] <= least + FLAT * min(top, 1.0)) + peaks[0]
    clear = bool(len(rises) and least <= CLEAR * top)
    return FirstShell(float(middle[peaks[0]]), float(middle[flat].mean()), clear)
