"""Typical surroundings of each state, drawn as balls and sticks."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gdyn.figures.style import ELEMENTS, colour, new_figure, styled
from gdyn.structure.analysis import Structure
from gdyn.structure.configurations import Configuration

BOND_A = {"H": 0.45}  # covalent radii; others 0.8
SHOWN_BEYOND_A = 1.2  # the first shell, so that its atoms do not hang in the air


@styled
def draw_surroundings(structure: Structure) -> Figure:
    """Draw the most typical surroundings of each state within the first shell and a little beyond.

    Parameters
    ----------
    structure : by which states.

    Returns
    -------
    Figure
    """
    configurations = structure.configurations
    states = sorted({one.state for one in configurations})
    columns = max([sum(one.state == state for one in configurations) for state in states], default=1)
    figure = new_figure(1.9 * max(1, len(states)), max(3.6, 2.1 * columns))
    shown: set[str] = set()
    for row, state in enumerate(states):
        for column, one in enumerate(one for one in configurations if one.state == state):
            axes = figure.add_subplot(len(states), columns, row * columns + column + 1, projection="3d")
            shown |= _draw(axes, one)
            axes.set_title(
                f"state {state}, p = {one.probability:.2f}" if column == 0 else f"p = {one.probability:.2f}",
                fontsize=7.5, color=colour(state - 1), pad=-4,
            )  # fmt: skip
    handles = [_ball(element) for element in sorted(shown)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), handletextpad=0.1)
    return figure


def _ball(element: str) -> Line2D:
    color = ELEMENTS.get(element, "#9a9a9a")
    return Line2D([], [], ls="", marker="o", ms=6, color=color, mec="#4d4d4d", mew=0.4, label=element)


def _draw(axes: Any, one: Configuration) -> set[str]:
    """Draw into axes of three dimensions, of which matplotlib has no types; return the elements that are there."""
    positions, shell = one.positions, one.first_shell_A
    distance = np.linalg.norm(positions, axis=1)
    near = np.flatnonzero(distance <= shell + SHOWN_BEYOND_A)
    elements, positions, distance = [one.elements[i] for i in near], positions[near], distance[near]
    for bound in np.flatnonzero((distance > 0) & (distance <= shell) & one.coordinating[near]).tolist():
        axes.plot(*positions[[0, bound]].T, color="#8f6fc4", lw=0.7, ls="--")
    radii = np.array([BOND_A.get(element, 0.8) for element in elements])
    for i in range(len(positions)):
        for j in range(i + 1, len(positions)):
            if np.linalg.norm(positions[i] - positions[j]) < radii[i] + radii[j]:
                axes.plot(*positions[[i, j]].T, color="#7a7a7a", lw=1.6, zorder=1)
    sizes = [70 if i == 0 else 12 if elements[i] == "H" else 34 for i in range(len(elements))]
    colours = [ELEMENTS.get(element, "#9a9a9a") for element in elements]
    x, y, z = positions.T
    axes.scatter(x, y, z, s=sizes, c=colours, edgecolors="#4d4d4d", lw=0.4, depthshade=False)
    reach = 0.75 * (shell + SHOWN_BEYOND_A)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.set_axis_off()
    return set(elements)
