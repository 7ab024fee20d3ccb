"""Which atoms are counted around the targets, settled for all trajectories before any is counted."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from gdyn.config import Structure
from gdyn.store import States
from gdyn.store.walk import Integers, Stretch, Trajectories, each_frame, each_trajectory
from gdyn.structure.shell import first_shell, sum_over_targets
from gdyn.structure.surroundings import Edges, OfAtoms, Shells
from gdyn.trajectory.targets import NothingSelectedError, select_first

Booleans = Bool[np.ndarray, " atoms"]
COORDINATING = "coordinating atoms"
FRAMES_OF_EVIDENCE = 100
SAME_SHELL_A = 0.5
CHARGED_SHELL_A = 1.0  # the same between atoms whose charges attract the targets
RARE = 0.02  # of the atoms in the fullest first shell, below which they are a few stray ones


@dataclass
class Surroundings:
    """What is counted around the targets of a trajectory, the same in all of its frames.

    groups : (groups, atoms) bool, in the same order for all trajectories; the last one are the coordinating atoms.
    atoms : (charge_e, molecule, coordinating), as :meth:`Shells.add` takes them.
    centres : (atoms,) bool, from which the distances are, if they are of a target.
    """

    groups: Bool[np.ndarray, "groups atoms"]
    atoms: OfAtoms
    centres: Booleans


@dataclass
class AllSurroundings:
    """The Surroundings of all trajectories of a system.

    of : {number of a trajectory: its Surroundings}
    names : of the groups; the last one are the coordinating atoms.
    coordinating : what these are, in words.
    farthest_A : the farthest of their first peaks, where they were found by evidence.
    charged, has_molecules : whether charges and molecules are known in every trajectory.
    doubts : sentences about what coordinates.
    """

    of: dict[int, Surroundings]
    names: list[str]
    coordinating: str
    farthest_A: float
    charged: bool
    has_molecules: bool
    doubts: list[str]


def surroundings_of_all(
    states: States, trajectories: Trajectories, frames: Integers, structure: Structure, edges_A: Edges
) -> AllSurroundings:
    """What is counted around the targets, from all trajectories before any is counted.

    A group may be missing in some of the trajectories, such as an element that only one of them has, but not in all.

    Raises
    ------
    InputError : a selection is wrong, or empty in every trajectory.
    """
    elements: set[str] = set()
    selections = {"structure.centres": structure.centres}
    for stretch in each_trajectory(states, trajectories, frames):
        elements |= set(stretch.store.atoms.element)
    groups: Mapping[str, str | None] = structure.groups or dict.fromkeys(sorted(elements))
    selections |= {f"structure.groups.{name}": text for name, text in groups.items() if text is not None}
    if structure.coordinating:
        selections["structure.coordinating"] = structure.coordinating
    selected = select_in_all(states, trajectories, frames, selections)
    of_each: dict[int, Surroundings] = {}
    binding: set[str] = set()
    doubts: set[str] = set()
    farthest_A, charged, has_molecules = 0.0, True, True
    for stretch in each_trajectory(states, trajectories, frames):
        atoms, chosen = stretch.store.atoms, selected[stretch.number]
        of_groups = [chosen.get(f"structure.groups.{name}", atoms.element == name) for name in groups]
        if structure.coordinating:
            coordinating = chosen["structure.coordinating"]
        else:
            by_evidence = coordinating_elements(stretch, states, trajectories, chosen["structure.centres"], edges_A)
            names, peak_A, sentences = by_evidence
            coordinating = np.isin(atoms.element, names)
            binding, doubts, farthest_A = binding.union(names), doubts.union(sentences), max(farthest_A, peak_A)
        molecule = atoms.molecule_index if atoms.has_molecules else np.full(len(atoms), -1)
        charge = np.zeros(len(atoms)) if atoms.charge_e is None else atoms.charge_e
        of_each[stretch.number] = Surroundings(
            np.array([*of_groups, coordinating]),
            (charge, molecule.astype(np.int64), coordinating),
            chosen["structure.centres"],
        )
        charged &= atoms.charge_e is not None
        has_molecules &= atoms.has_molecules
    words = f"'{structure.coordinating}'" if structure.coordinating else " and ".join(sorted(binding))
    return AllSurroundings(of_each, [*groups, COORDINATING], words, farthest_A, charged, has_molecules, sorted(doubts))


def select_in_all(
    states: States, trajectories: Trajectories, frames: Integers, selections: dict[str, str]
) -> dict[int, dict[str, Booleans]]:
    """Evaluate selections (by key of the configuration) in every trajectory: {number: {key: (atoms,) bool}}.

    Raises
    ------
    InputError : one is wrong, or selects nothing in any of the trajectories.
    """
    selected: dict[int, dict[str, Booleans]] = {}
    empty: dict[str, NothingSelectedError] = {}
    for stretch in each_trajectory(states, trajectories, frames):
        here: dict[str, Booleans] = {}
        selected[stretch.number] = here
        for key, selection in selections.items():
            here[key] = np.zeros(len(stretch.store.atoms), bool)
            try:
                here[key][select_first(stretch.store, selection, key)] = True
            except NothingSelectedError as error:
                empty[key] = error
    for key, nothing in empty.items():
        if not any(here[key].any() for here in selected.values()):
            raise nothing
    return selected


def coordinating_elements(
    stretch: Stretch, states: States, trajectories: Trajectories, centres: Booleans, edges_A: Edges
) -> tuple[list[str], float, list[str]]:
    """The elements whose atoms bind the targets of one trajectory, by evidence, on at most 100 frames.

    Those whose first peak around the targets is nearest and sharp. Another element counts too where its own first
    peak, as sharp, is no more than 0.5 A farther out: two kinds of atoms that coordinate are at about the same
    distance, and what is bonded to one of them is not. Where charges are known, those of like charge with the targets
    do not count, and others may be 1 A farther out.

    Parameters
    ----------
    stretch : Stretch of the trajectory
    centres : (atoms,) bool, from which the distances are, if they are of a target.

    Returns
    -------
    names, farthest_A, doubts : a list of the elements, the farthest of their first peaks, and a list of sentences.
    """
    atoms, frames = stretch.store.atoms, stretch.frames
    elements = sorted(set(atoms.element))
    shells, of_targets = Shells.empty(edges_A, 1, 1, len(elements)), np.zeros(len(atoms), bool)
    groups = np.array([atoms.element == name for name in elements])
    nothing = np.zeros(len(atoms)), np.full(len(atoms), -1), np.zeros(len(atoms), bool)
    for now in each_frame(states, trajectories, frames[:: max(1, -(-len(frames) // FRAMES_OF_EVIDENCE))]):
        sets = np.full(len(atoms), -1)
        sets[now.targets] = now.sets
        here = now.targets[centres[now.targets]]
        of_targets[here] = True
        one, block = np.ones((len(here), 1)), np.zeros(len(here), np.int64)
        shells.add(now.positions, now.cell, now.store.periodic, here, one, block, groups, nothing, sets)
    whole = shells.part(slice(None))
    peaks = {name: first_shell(edges_A, *sum_over_targets(whole, g)) for g, name in enumerate(elements)}
    within = {name: whole.counts[0, g][edges_A[1:] <= peaks[name].end_A].sum() for g, name in enumerate(elements)}
    seen = [n for n in elements if np.isfinite(peaks[n].peak_A) and within[n] >= RARE * max(within.values())]
    sharp = [name for name in seen if peaks[name].clear] or seen
    reach_A = SAME_SHELL_A
    if atoms.charge_e is not None and of_targets.any():
        charge_e = atoms.charge_e[of_targets].mean()
        unlike = [name for name in sharp if charge_e * atoms.charge_e[atoms.element == name].mean() < 0]
        sharp, reach_A = (unlike, CHARGED_SHELL_A) if unlike else (sharp, reach_A)
    if not sharp:
        return elements, 0.0, []
    nearest = min(peaks[name].peak_A for name in sharp)
    doubts = [
        f"{name} has a peak at {peaks[name].peak_A:.2f} A, nearer to the targets than the atoms that are taken to "
        f"coordinate them, but without a minimum behind it: look at the distributions, and give structure.coordinating"
        for name in seen
        if not peaks[name].clear and peaks[name].peak_A < nearest - SAME_SHELL_A
    ]
    names = [name for name in sharp if peaks[name].peak_A <= nearest + reach_A]
    return names, max(peaks[name].peak_A for name in names), doubts
