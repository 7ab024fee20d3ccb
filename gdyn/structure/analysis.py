"""The numbers of the structure report: what surrounds the targets of each state, with intervals."""

import numpy as np
import pandas as pd

from gdyn.files import write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.logs import LOG
from gdyn.statistics.interval import POSITIVE, Interval, jackknife_weight
from gdyn.store import States
from gdyn.store.walk import each_frame
from gdyn.structure.cross_section import cross_section
from gdyn.structure.groups import surroundings_of_all
from gdyn.structure.profile import Profile
from gdyn.structure.representatives import representatives, write_extxyz
from gdyn.structure.shell import about_all, first_shell
from gdyn.structure.surroundings import Shells

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
    shell = first_shell(edges, *about_all(whole, -1), around.farthest_A)
    flags += around.doubts
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
    shown = names[:-1]  # the last ones are the coordinating atoms
    write_json(
        result,
        {
            "groups": shown,
            "coordinating": coordinating,
            "first_shell_A": edges[last + 1],
            "first_shell_clear": bool(shell.clear or structure.first_shell_A),
            "coordination": {name: coordination[:, g, last] for g, name in enumerate(shown)},
            "charges_e": {name: found[:, last] for name, found in integrals.items()},
            "frames": len(frames),
            "flags": flags,
        },
    )
    r_A = 0.5 * (edges[1:] + edges[:-1])
    rows = [
        pd.DataFrame(
            {"state": s + 1, "group": name, "r_A": r_A, "r_out_A": edges[1:]}
            | rdf[s, g].columns("g")
            | coordination[s, g].columns("n")
        )
        for s in range(n_states)
        for g, name in enumerate(shown)
    ]
    write_table(distributions, pd.concat(rows))
    rows = [
        pd.DataFrame({"state": s + 1, "counted": name, "r_out_A": edges[1:]} | found[s].columns("charge_e"))
        for name, found in integrals.items()
        for s in range(n_states)
    ]
    write_table(charges, pd.concat(rows) if rows else pd.DataFrame(columns=["state", "counted", "r_out_A", "charge_e"]))
    write_table(profile, along.table())
    write_table(section, cross_section(states, trajectories, frames[-1], structure))
    write_extxyz(configurations, representatives(states, trajectories, around.of, frames, structure, shell_A))


def frames_of(states, structure):
    """The frames that are looked at: no more than ``structure.frames``, equally far from each other."""
    return np.arange(0, len(states.time_ps), max(1, len(states.time_ps) // structure.frames))


def block_of_samples(states, blocks):
    """Number of the block of every sample: (frames, target sets); those in no block count in the whole alone."""
    found = np.full(states.probabilities.shape[:2], len(blocks))
    for number, part in enumerate(blocks.parts):
        found[part] = number
    return found


def with_blocks(shells, function, within=None):
    """A function of summed shells with its 95 % interval, from all blocks but one in turn."""
    value = function(shells.part(slice(None)))
    n = len(shells.weight) - 1
    samples = [function(shells.part([b for b in range(n + 1) if b != one])) for one in range(n)]
    return Interval.of(value, samples, within=within, weight=jackknife_weight(n))
