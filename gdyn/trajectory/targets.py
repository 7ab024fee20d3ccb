"""Which atoms are the targets, and when."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from gdyn.config.models import Targets
from gdyn.errors import InputError
from gdyn.store.trajectory import Atoms, TrajectoryStore
from gdyn.trajectory.interface import near_interface

AXES = "xyz"


class NothingSelectedError(InputError):
    """A selection that is valid but selects no atom of a trajectory."""


@dataclass
class Chosen:
    """The target sets of one trajectory.

    sets : (target sets, k) int32, indices of atoms, filled up with -1.
    present : (windows, target sets) bool, which of them there are in each window of time.
    window : (frames,) int32, the window of each frame.
    """

    sets: Int[np.ndarray, "sets k"]
    present: Bool[np.ndarray, "windows sets"]
    window: Int[np.ndarray, " frames"]

    def atoms_of(self, window: int) -> Int[np.ndarray, " atoms"]:
        """Indices of the atoms of all target sets of a window, ascending, each once."""
        return target_atoms(self.sets[self.present[window]])


def target_atoms(sets: Int[np.ndarray, "sets k"]) -> Int[np.ndarray, " atoms"]:
    """Indices of the atoms of some target sets, ascending, each once."""
    atoms = np.unique(sets)
    return atoms[atoms >= 0]


def choose_targets(store: TrajectoryStore, settings: Targets) -> Chosen:
    """Evaluate the selection of the targets at the times asked for, on positions wrapped into the box.

    Parameters
    ----------
    store : TrajectoryStore
    settings : the ``targets`` section of a system.

    Returns
    -------
    Chosen : with ``dynamic_ps``, there is a window from each time to the next, and an empty one before
        the first.

    Raises
    ------
    InputError : the selection is wrong or selects nothing, or a time is beyond the end; of the first parts of a
        trajectory alone, such times do not matter yet.
    """

    def select(frame: int) -> np.ndarray:
        positions, cell = _wrapped(store, frame)
        return target_sets(store.atoms, positions, cell, settings)

    if settings.dynamic_ps is None:
        sets = select(0)
        return Chosen(sets, np.ones((1, len(sets)), bool), np.zeros(len(store), np.int32))
    elapsed = store.time_ps - store.time_ps[0]
    times = sorted(set(settings.dynamic_ps))
    first = np.searchsorted(elapsed, np.array(times) - 1e-6 * store.frame_interval_ps)
    if store.is_part:
        first = first[first < len(elapsed)]
        times = times[: len(first)]
    elif first[-1] == len(elapsed):
        raise InputError(
            f"targets.dynamic_ps: {times[-1]:g} ps is beyond the end of {store.source}, which is {elapsed[-1]:g} ps "
            f"long; remove that time"
        )
    selections = [select(frame) for frame in first]
    rows = sorted({tuple(row[row >= 0].tolist()) for sets in selections for row in sets})
    sets = np.full((len(rows), max(map(len, rows), default=1)), -1, np.int32)
    number = {}
    for i, row in enumerate(rows):
        sets[i, : len(row)] = row
        number[row] = i
    present = np.zeros((len(times) + 1, len(rows)), bool)
    for window, selected in enumerate(selections, start=1):
        present[window, [number[tuple(row[row >= 0].tolist())] for row in selected]] = True
    return Chosen(sets, present, np.searchsorted(first, np.arange(len(store)), side="right").astype(np.int32))


def _wrapped(store: TrajectoryStore, frame: int) -> tuple[Float[np.ndarray, "atoms 3"], Float[np.ndarray, "3 3"]]:
    """Positions of a frame in the cell, moved along the lattice vectors that repeat, and the cell."""
    cell = store.cells(frame)
    scaled = store.positions(frame) @ np.linalg.inv(cell)
    return (scaled - np.floor(scaled) * np.asarray(store.periodic)) @ cell, cell


def select_first(store: TrajectoryStore, selection: str, key: str) -> Int[np.ndarray, " chosen"]:
    """Evaluate an MDAnalysis selection on the first frame of a trajectory; see :func:`select_atoms`."""
    positions, cell = _wrapped(store, 0)
    return select_atoms(store.atoms, positions, cell, selection, key)


def target_sets(
    atoms: Atoms, positions: Float[np.ndarray, "atoms 3"], cell: Float[np.ndarray, "3 3"], settings: Targets
) -> Int[np.ndarray, "sets k"]:
    """Evaluate the selection of the targets on one frame.

    Parameters
    ----------
    atoms : Atoms
    positions : (atoms, 3), A
    cell : (3, 3), A, lattice vectors in rows
    settings : the ``targets`` section of a system.

    Returns
    -------
    (target sets, k) int32
        Indices of the atoms of each set, ascending by id; filled up with -1 where a molecule has
        fewer than k. With molecules, an atom in no molecule is a set by itself.

    Raises
    ------
    InputError : the selection is wrong or empty, or molecules are asked for and there are none.
    """
    chosen = select_atoms(atoms, positions, cell, settings.selection, "targets.selection")
    if settings.interface:
        axis = AXES.index(settings.interface.axis)
        inverse = np.linalg.inv(cell)[:, axis]
        marker = select_atoms(atoms, positions, cell, settings.interface.liquid, "targets.interface.liquid")
        height_A = float(1.0 / np.linalg.norm(inverse))
        chosen = near_interface(chosen, marker, positions @ inverse % 1.0, height_A, settings.interface.layers)
    if settings.group_by == "atom":
        return chosen.astype(np.int32)[:, None]
    if atoms.molecule is None:
        raise InputError(
            "targets.group_by: molecules are asked for, but the dump has no column mol; add it to the dump command"
        )
    if not (atoms.molecule[chosen] > 0).any():
        raise InputError(
            f"targets.group_by: molecules are asked for, but none of the atoms of {settings.selection!r} is in one "
            f"(LAMMPS gives them the molecule id 0); remove that key"
        )
    molecule = atoms.molecule_index[chosen]
    groups = [chosen[molecule == number] for number in np.unique(molecule)]
    sets = np.full((len(groups), max(map(len, groups))), -1, np.int32)
    for row, group in zip(sets, groups, strict=True):
        row[: len(group)] = group
    return sets


def select_atoms(
    atoms: Atoms, positions: Float[np.ndarray, "atoms 3"], cell: Float[np.ndarray, "3 3"], selection: str, key: str
) -> Int[np.ndarray, " chosen"]:
    """Evaluate an MDAnalysis selection on one frame: indices of atoms, ascending.

    Parameters
    ----------
    atoms, positions, cell : as for :func:`target_sets`.
    selection : str
    key : of the configuration that it comes from, for the sentence of an error.

    Raises
    ------
    InputError : the selection is wrong or, as a NothingSelectedError, empty.
    """
    import MDAnalysis

    universe = MDAnalysis.Universe.empty(len(atoms), trajectory=True)
    universe.add_TopologyAttr("ids", atoms.id)
    universe.add_TopologyAttr("types", atoms.type.astype(str))
    universe.add_TopologyAttr("names", atoms.element)
    universe.add_TopologyAttr("elements", atoms.element)
    if atoms.charge_e is not None:
        universe.add_TopologyAttr("charges", atoms.charge_e)
    universe.atoms.positions = positions
    universe.dimensions = MDAnalysis.lib.mdamath.triclinic_box(*cell)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            chosen = universe.select_atoms(selection).indices
    except (MDAnalysis.SelectionError, AttributeError, ValueError) as error:
        raise InputError(
            f"{key}: {selection!r} is not an MDAnalysis selection ({str(error).splitlines()[0]}); "
            f"write for example 'element Li' or 'type 3'"
        ) from None
    if len(chosen) == 0:
        raise NothingSelectedError(
            f"{key}: {selection!r} selects no atom; the elements here are "
            f"{', '.join(sorted(set(atoms.element)))} and the types {', '.join(map(str, np.unique(atoms.type)))}"
        )
    return chosen
