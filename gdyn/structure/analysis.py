"""Structure by state: what surrounds the targets of each state, with intervals."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import Field

from gdyn.config import Kinetics
from gdyn.config import Structure as Settings
from gdyn.kinetics.koopman import blocks_of
from gdyn.logs import LOG
from gdyn.result import Charge, Count, Result, Sentences, Table
from gdyn.statistics.interval import POSITIVE, Bounds, Interval, jackknife_weight
from gdyn.statistics.uncertainty import Blocks
from gdyn.store import States
from gdyn.store.walk import Integers, Trajectories, each_frame
from gdyn.structure.configurations import Configurations
from gdyn.structure.cross_section import cross_section
from gdyn.structure.groups import AllSurroundings, surroundings_of_all
from gdyn.structure.profile import Profile
from gdyn.structure.representatives import representatives
from gdyn.structure.shell import FirstShell, first_shell, sum_over_targets
from gdyn.structure.surroundings import Edges, Shells

FEW_SAMPLES = 200  # frames times probability, below which a state's structure is noise


class Structure(Result):
    """What surrounds the targets of each state."""

    groups: list[str]
    """Names of the groups of atoms that are counted."""
    coordinating: str
    """Which atoms coordinate the targets."""
    first_shell_A: float
    """Where the first shell ends."""
    first_shell_clear: bool
    """Whether there is a minimum behind the first peak, or the end of the shell was given."""
    coordination: dict[str, Count]
    """For each group, the number of its atoms in the first shell: (states,)."""
    charges_e: dict[str, Charge]
    """Charge within the first shell, that of the target included, by single ``atoms`` and by whole ``molecules``, where
    charges are known: (states,)."""
    frames: int
    flags: Sentences
    distributions: Table
    """Radial distribution functions ``g`` and running coordination numbers ``n`` of each state and group."""
    charges: Table
    """Charge within a distance, for each state."""
    profile: Table
    """Where along an axis each state is found."""
    section: Table
    """The last frame, seen from the side."""
    configurations: Configurations = Field(exclude=True, default_factory=Configurations)
    """Typical surroundings of each state."""


def structure_by_state(
    states: States, trajectories: Trajectories, structure: Settings, kinetics: Kinetics
) -> Structure:
    """Count the atoms around the targets of each state.

    Parameters
    ----------
    states : of the test frames.
    trajectories : those of the system, in the order of their numbers.
    structure, kinetics : those sections of a system.

    Raises
    ------
    InputError : a selection is wrong or empty.
    """
    blocks = blocks_of(states, kinetics)
    frames = frames_of(states, structure)
    edges = np.linspace(0.0, structure.max_A, round(structure.max_A / structure.bin_A) + 1)
    around = surroundings_of_all(states, trajectories, frames, structure, edges)
    shells, along = count(states, trajectories, frames, around, edges, structure, blocks)
    whole = shells.part(slice(None))
    shell = first_shell(edges, *sum_over_targets(whole, -1), around.farthest_A)
    shell_A = structure.first_shell_A or shell.end_A
    LOG.info("coordinating atoms are %s; the first shell ends at %.2f A", around.coordinating, shell_A)
    last = min(int(np.searchsorted(edges, shell_A - 1e-9)), len(edges) - 1) - 1
    rdf, coordination = (with_blocks(shells, getattr(Shells, name), POSITIVE) for name in ("rdf", "coordination"))
    counted = {"atoms": False, "molecules": True} if around.has_molecules else {"atoms": False}
    integrals = {
        kind: with_blocks(shells, partial(Shells.charge, whole_molecules=whole_molecules))
        for kind, whole_molecules in (counted if around.charged else {}).items()
    }
    shown = around.names[:-1]  # the last ones are the coordinating atoms
    return Structure(
        groups=shown,
        coordinating=around.coordinating,
        first_shell_A=edges[last + 1],
        first_shell_clear=bool(shell.clear or structure.first_shell_A),
        coordination={name: coordination[:, g, last] for g, name in enumerate(shown)},
        charges_e={kind: charge[:, last] for kind, charge in integrals.items()},
        frames=len(frames),
        flags=flags_of(around, shell, structure, along, whole),
        distributions=distribution_table(edges, shown, rdf, coordination),
        charges=charge_table(edges, integrals),
        profile=along.table(),
        section=cross_section(states, trajectories, frames[-1], structure),
        configurations=representatives(states, trajectories, around.of, frames, structure, shell_A),
    )


def count(
    states: States,
    trajectories: Trajectories,
    frames: Integers,
    around: AllSurroundings,
    edges_A: Edges,
    structure: Settings,
    blocks: Blocks,
) -> tuple[Shells, Profile]:
    """Go through the frames once, and count what is in shells around the targets, and where these are."""
    n_states, of_block = states.probabilities.shape[-1], block_of_samples(states, blocks)
    shells = Shells.empty(edges_A, len(blocks) + 1, n_states, len(around.names))
    along = Profile(states, trajectories, structure, len(blocks) + 1)
    for now in each_frame(states, trajectories, frames, "structure"):
        here, sets = around.of[now.number], np.full(len(now.store.atoms), -1)
        sets[now.targets] = now.sets
        centres, owner = (x[here.centres[now.targets]] for x in (now.targets, now.sets))
        positions, cell = now.positions, now.cell
        chosen, block = states.probabilities[now.frame, owner], of_block[now.frame, owner]
        shells.add(positions, cell, now.store.periodic, centres, chosen, block, here.groups, here.atoms, sets)
        along.add(positions[centres], cell, chosen, block)
    return shells, along


def flags_of(
    around: AllSurroundings, shell: FirstShell, structure: Settings, along: Profile, whole: Shells
) -> list[str]:
    """Caveats about the structure, in sentences."""
    flags = list(around.doubts)
    if not structure.first_shell_A and not shell.clear:
        flags.append(
            f"the distribution of the coordinating atoms ({around.coordinating}) has no clear minimum behind its first "
            f"peak: that the first shell ends at {shell.end_A:.2f} A is a guess; give structure.first_shell_A"
        )
    flags += along.flags
    for state, weight in enumerate(whole.weight, start=1):
        if weight < FEW_SAMPLES:
            flags.append(f"the structure of state {state} rests on {weight:.0f} samples")
    return flags


def distribution_table(edges_A: Edges, groups: list[str], rdf: Interval, coordination: Interval) -> pd.DataFrame:
    """Distribution functions and coordination numbers against distance, a table for each state and group below another.

    Parameters
    ----------
    edges_A : (bins + 1,)
    groups : their names
    rdf, coordination : (states, groups, bins)
    """
    middle_A = 0.5 * (edges_A[1:] + edges_A[:-1])
    return pd.concat(
        pd.DataFrame(
            {"state": s + 1, "group": name, "r_A": middle_A, "r_out_A": edges_A[1:]}
            | rdf[s, g].columns("g")
            | coordination[s, g].columns("n")
        )
        for s in range(len(rdf))
        for g, name in enumerate(groups)
    )


def charge_table(edges_A: Edges, integrals: dict[str, Interval]) -> pd.DataFrame:
    """Charge within a distance, (states, bins) for each way to count it, one table below the other."""
    tables = [
        pd.DataFrame({"state": s + 1, "counted": kind, "r_out_A": edges_A[1:]} | of_state.columns("charge_e"))
        for kind, charge in integrals.items()
        for s, of_state in enumerate(charge)
    ]
    return pd.concat(tables) if tables else pd.DataFrame(columns=["state", "counted", "r_out_A", "charge_e"])


def frames_of(states: States, structure: Settings) -> Integers:
    """The frames to analyse: no more than ``structure.frames``, evenly spaced."""
    return np.arange(0, len(states.time_ps), max(1, len(states.time_ps) // structure.frames))


def block_of_samples(states: States, blocks: Blocks) -> Int[np.ndarray, "frames targets"]:
    """Number of the block of every sample: (frames, target sets); those in no block count only in the whole."""
    block = np.full(states.probabilities.shape[:2], len(blocks))
    for number, part in enumerate(blocks.parts):
        block[part] = number
    return block


def with_blocks(shells: Shells, function: Callable[[Shells], np.ndarray], within: Bounds | None = None) -> Interval:
    """A function of summed shells with its 95 % interval, from each block counting for a half in turn."""
    value = function(shells.part(slice(None)))
    n = len(shells.weight) - 1
    samples = [function(shells.part(slice(None), one)) for one in range(n)]
    return Interval.of(value, samples, within=within, weight=jackknife_weight(n))
