"""Which atoms are the targets."""

import warnings

import numpy as np

from gdyn.errors import InputError


def target_sets(atoms, positions, cell, settings):
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
        fewer than k.

    Raises
    ------
    InputError : the selection is wrong or empty, or molecules are asked for and unknown.
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
            chosen = universe.select_atoms(settings.selection).indices
    except (MDAnalysis.SelectionError, AttributeError, ValueError) as error:
        raise InputError(
            f"targets.selection: {settings.selection!r} is not an MDAnalysis selection ({str(error).splitlines()[0]}); "
            f"write for example 'element Li' or 'type 3'"
        ) from None
    if len(chosen) == 0:
        raise InputError(
            f"targets.selection: {settings.selection!r} selects no atom; the elements here are "
            f"{', '.join(sorted(set(atoms.element)))} and the types {', '.join(map(str, np.unique(atoms.type)))}"
        )
    if settings.group_by == "atom":
        return chosen.astype(np.int32)[:, None]
    if atoms.molecule is None:
        raise InputError(
            "targets.group_by: molecules are asked for, but the dump has no column mol; add it to the dump command"
        )
    groups = [chosen[atoms.molecule[chosen] == molecule] for molecule in np.unique(atoms.molecule[chosen])]
    sets = np.full((len(groups), max(map(len, groups))), -1, np.int32)
    for row, group in zip(sets, groups, strict=True):
        row[: len(group)] = group
    return sets
