"""The states as a network: populations, and how long it takes from one to another."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch

from gdyn.figures.style import colour, new_figure, styled
from gdyn.kinetics.model import KoopmanModel
from gdyn.statistics.interval import Interval

RING = 1.0  # of the states
LARGEST, SMALLEST = 0.42, 0.13  # radii of a state of population 1, and of the least
BEND = 0.22
LABEL = 0.4  # where on an arrow its time stands


@styled
def draw_network(model: KoopmanModel) -> Figure:
    """Draw every state as a disk whose area is its population, and the mean first-passage times as arrows.

    Arrows are as wide as the flux along them; the reversible matrix, whose entries are probabilities, is behind both.

    Parameters
    ----------
    model : of which system or states.

    Returns
    -------
    Figure
    """
    n, matrix, populations = model.n_states, model.reversible.value, model.populations.value
    flux = np.nan_to_num(populations[:, None] * matrix * (1 - np.eye(n)))
    figure = new_figure(3.6 if n > 2 else 1.9, 4.4)
    axes = figure.subplots()
    angles = np.pi / 2 * (n > 2) + np.pi * (n == 2) - 2 * np.pi * np.arange(n) / n
    places = RING * np.column_stack([np.cos(angles), np.sin(angles)])
    radii = np.maximum(LARGEST * np.sqrt(np.clip(np.nan_to_num(populations), 0.0, 1.0)), SMALLEST)
    strongest = flux.max() or 1.0
    for i, j in np.ndindex(n, n):
        if i == j or not flux[i, j] > 1e-3 * strongest:
            continue
        arrow = FancyArrowPatch(
            (places[i, 0], places[i, 1]),
            (places[j, 0], places[j, 1]),
            connectionstyle=f"arc3,rad={BEND}",
            arrowstyle="-|>",
            mutation_scale=9,
            shrinkA=72 * _inches(figure, radii[i], n) + 2,
            shrinkB=72 * _inches(figure, radii[j], n) + 2,
            lw=0.6 + 2.4 * np.sqrt(flux[i, j] / strongest),
            color=colour(i),
        )
        axes.add_patch(arrow)
        along = places[j] - places[i]
        middle = (places[i] + places[j]) / 2 + BEND * np.array([along[1], -along[0]])
        near, far = (1 - LABEL) ** 2, LABEL**2
        x, y = near * places[i] + (1 - near - far) * middle + far * places[j]
        look: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6.5, "color": colour(i), "zorder": 5}
        axes.text(x, y, _time(model.first_passage_ps[i, j]), bbox={"fc": "white", "ec": "none", "pad": 0.8}, **look)
    for i in range(n):
        x, y = places[i]
        axes.add_patch(Circle((x, y), radii[i], color=colour(i), lw=0, zorder=3))
        axes.text(x, y, str(i + 1), color="white", ha="center", va="center", fontweight="bold", zorder=4)
        outward = places[i] / RING
        sideways = abs(outward[0]) > 0.3
        x, y = places[i] + outward * (radii[i] + (0.07 if sideways else 0.17))
        axes.text(
            x,
            y,
            f"{100 * populations[i]:.3g} %\nstays {_time(model.lifetimes_ps[i])}",
            ha=("left" if outward[0] > 0 else "right") if sideways else "center",
            va="center",
            fontsize=7,
            linespacing=1.3,
        )
    reach = _reach(n)
    axes.set(xlim=(-reach[0], reach[0]), ylim=(-reach[1], reach[1]), aspect="equal")
    axes.axis("off")
    return figure


def _reach(n: int) -> tuple[float, float]:
    return (2.3, 0.8) if n == 2 else (2.1, 1.75)


def _inches(figure: Figure, length: float, n: int) -> float:
    """A length of the drawing in inches of the page."""
    width, height = figure.get_size_inches()
    reach = _reach(n)
    return length * min(width / (2 * reach[0]), height / (2 * reach[1]))


def _time(ps: Interval) -> str:
    if np.isinf(ps.value):
        return "never seen"
    return "?" if np.isnan(ps.value) else ps.as_brief_time()
