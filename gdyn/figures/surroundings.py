"""Typical surroundings of each state, drawn as balls and sticks."""

from pathlib import Path

import numpy as np

from gdyn.figures.style import ELEMENTS, colour, new_figure, styled

BOND_A = {"H": 0.45}  # covalent radii; others 0.8
SHOWN_BEYOND_A = 1.2  # the first shell, so that its atoms do not hang in the air


def read_extxyz(path):
    """The configurations of an extxyz file of :func:`gdyn.structure.representatives.write_extxyz`: a list of dicts."""
    lines, found, at = Path(path).read_text(encoding="utf-8").splitlines(), [], 0
    while at < len(lines):
        n = int(lines[at])
        about = dict(word.split("=", 1) for word in lines[at + 1].split() if "=" in word and '"' not in word)
        rows = [line.split() for line in lines[at + 2 : at + 2 + n]]
        found.append(
            {
                "elements": [row[0] for row in rows],
                "positions": np.array([row[1:4] for row in rows], float),
                "coordinating": np.array([row[4] == "1" for row in rows]),
            }
            | {name: float(value) for name, value in about.items() if name != "Properties"}
        )
        at += n + 2
    return found


@styled
def draw_surroundings(configurations):
    """Draw the most typical surroundings of each state within the first shell and a little beyond.

    Parameters
    ----------
    configurations : from :func:`read_extxyz`, those of a state the most typical first.

    Returns
    -------
    Figure
    """
    states = sorted({int(one["state"]) for one in configurations})
    columns = max([sum(one["state"] == state for one in configurations) for state in states], default=1)
    figure = new_figure(1.9 * max(1, len(states)), max(3.6, 2.1 * columns))
    shown = set()
    for row, state in enumerate(states):
        mine = [one for one in configurations if one["state"] == state]
        for column, one in enumerate(mine):
            axes = figure.add_subplot(len(states), columns, row * columns + column + 1, projection="3d")
            shown |= _draw(axes, one)
            axes.set_title(
                f"state {state}, p = {one['probability']:.2f}" if column == 0 else f"p = {one['probability']:.2f}",
                fontsize=7.5, color=colour(state - 1), pad=-4,
            )  # fmt: skip
    handles = [_ball(element) for element in sorted(shown)]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=max(1, len(handles)), handletextpad=0.1)
    return figure


def _ball(element):
    from matplotlib.lines import Line2D

    color = ELEMENTS.get(element, "#9a9a9a")
    return Line2D([], [], ls="", marker="o", ms=6, color=color, mec="#4d4d4d", mew=0.4, label=element)


def _draw(axes, one):
    positions, shell = one["positions"], one["first_shell_A"]
    distance = np.linalg.norm(positions, axis=1)
    near = np.flatnonzero(distance <= shell + SHOWN_BEYOND_A)
    elements, positions, distance = [one["elements"][i] for i in near], positions[near], distance[near]
    for i in np.flatnonzero((distance > 0) & (distance <= shell) & one["coordinating"][near]):
        axes.plot(*np.stack([positions[0], positions[i]]).T, color="#8f6fc4", lw=0.7, ls="--")
    radii = np.array([BOND_A.get(element, 0.8) for element in elements])
    for i in range(len(positions)):
        for j in range(i + 1, len(positions)):
            if np.linalg.norm(positions[i] - positions[j]) < radii[i] + radii[j]:
                axes.plot(*positions[[i, j]].T, color="#7a7a7a", lw=1.6, zorder=1)
    sizes = [70 if i == 0 else 12 if elements[i] == "H" else 34 for i in range(len(elements))]
    colours = [ELEMENTS.get(element, "#9a9a9a") for element in elements]
    axes.scatter(*positions.T, s=sizes, c=colours, edgecolors="#4d4d4d", lw=0.4, depthshade=False)
    reach = 0.75 * (shell + SHOWN_BEYOND_A)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(-reach, reach))
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.set_axis_off()
    return set(elements)
