"""Silicon slabs around a liquid alloy of silicon and gold."""

from typing import TextIO

import numpy as np
from jaxtyping import Float, Int

# Diamond cut along [1-10], [001] and [110]: four atoms in a cell of a/sqrt(2), a and a/sqrt(2), in two layers.
LAYERS = (((0.0, 0.0), (0.5, 0.75)), ((0.5, 0.5), (0.0, 0.25)))
LIQUID_PER_A3 = 0.055  # atoms, of liquid Si as of liquid Au
NEAREST_A = 2.1  # of two atoms of the liquid to begin with
ELEMENTS = ("Au", "Si")
MASSES = (196.967, 28.0855)


def structure(
    repeats: tuple[int, int], slab_layers: int, liquid_atoms: int, si_fraction: float, lattice_A: float, seed: int
) -> tuple[Int[np.ndarray, " atoms"], Float[np.ndarray, "atoms 3"], Float[np.ndarray, " 3"]]:
    """Two {110} slabs that meet across the periodic boundary, and the liquid in the middle of the box.

    Parameters
    ----------
    repeats : (2,) cells along x ([1-10]) and y ([001]).
    slab_layers : {110} layers of each slab; an even number in all, so that they fit.
    liquid_atoms : number of atoms of the liquid.
    si_fraction : of them that are silicon.
    lattice_A : lattice constant.
    seed : of the liquid.

    Returns
    -------
    types : (atoms,) index into ELEMENTS
    positions : (atoms, 3), A
    cell : (3,) edges of the box, A
    """
    rng = np.random.default_rng(seed)
    step = lattice_A / np.sqrt(8.0)
    edges = np.array([repeats[0] * 2 * step, repeats[1] * lattice_A])
    thickness = liquid_atoms / (LIQUID_PER_A3 * edges.prod()) + step
    height = 2 * slab_layers * step + thickness - step
    solid = []
    for layer in range(-slab_layers, slab_layers):
        for i, j in np.ndindex(*repeats):
            for x, y in LAYERS[layer % 2]:
                solid.append([(i + x) * 2 * step, (j + y) * lattice_A, layer * step % height])
    begin, end = slab_layers * step, height - slab_layers * step - step
    liquid = np.empty((0, 3))
    while len(liquid) < liquid_atoms:
        place = rng.random(3) * [*edges, end - begin + step] + [0.0, 0.0, begin - 0.5 * step]
        apart = np.concatenate([liquid, solid]) - place
        box = np.array([*edges, height])
        apart -= np.rint(apart / box) * box
        if np.square(apart).sum(1).min() > NEAREST_A**2:
            liquid = np.concatenate([liquid, [place]])
    kinds = np.zeros(liquid_atoms, int)
    kinds[: round(si_fraction * liquid_atoms)] = 1
    types = np.concatenate([np.ones(len(solid), int), rng.permutation(kinds)])
    return types, np.concatenate([solid, liquid]), np.array([*edges, height])


def write(
    file: TextIO,
    types: Int[np.ndarray, " atoms"],
    positions: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, " 3"],
) -> None:
    """Write a LAMMPS data file of atom style ``atomic``."""
    print("LAMMPS data file: Si {110} slabs and a liquid of Au and Si\n", file=file)
    print(f"{len(types)} atoms\n{len(ELEMENTS)} atom types\n", file=file)
    for axis, edge in zip("xyz", cell, strict=True):
        print(f"0.0 {edge:.6f} {axis}lo {axis}hi", file=file)
    print("\nMasses\n", file=file)
    for i, (element, mass) in enumerate(zip(ELEMENTS, MASSES, strict=True), start=1):
        print(f"{i} {mass} # {element}", file=file)
    print("\nAtoms # atomic\n", file=file)
    for i, (kind, (x, y, z)) in enumerate(zip(types, positions, strict=True), start=1):
        print(f"{i} {kind + 1} {x:.5f} {y:.5f} {z:.5f}", file=file)
