"""What surrounds the targets of each state: distribution functions, coordination numbers, charges, profiles."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from gdyn.figures.style import (
    ELEMENTS,
    FAINT,
    REFERENCE,
    WIDTH_INCH,
    colour,
    each,
    label_panel,
    new_figure,
    panels_of,
    styled,
)
from gdyn.structure.analysis import Structure

COLUMNS = 4
ATOM_A = 0.9  # diameter of an atom in a drawing
LONG_CELL = 1.5  # times as long as wide, for a slice of it to be worth its place


@styled
def draw_structure(structure: Structure) -> Figure:
    """Draw the radial distribution functions of each group by state, coordination numbers, and charge integrals.

    Parameters
    ----------
    structure : by which states.

    Returns
    -------
    Figure
    """
    distributions, charges, shell_A = structure.distributions, structure.charges, structure.first_shell_A
    there = distributions.groupby("group")["g"].any()  # a group of the target alone is nowhere around it
    groups = [group for group in structure.groups if there[group]]
    kinds = list(charges["counted"].unique())
    columns = min(COLUMNS, max(len(groups), len(kinds), 1))
    rows = -(-len(groups) // columns)
    figure = new_figure(2.9 * rows + (2.0 if kinds else 0.0), max(3.6, 1.8 * columns))
    grid = figure.add_gridspec(2 * rows + bool(kinds), columns)
    for number, group in enumerate(groups):
        of_group = distributions[distributions["group"] == group]
        top = figure.add_subplot(grid[2 * (number // columns), number % columns])
        bottom = figure.add_subplot(grid[2 * (number // columns) + 1, number % columns], sharex=top)
        for state, part in each(of_group, "state"):
            for axes, name, r in ((top, "g", "r_A"), (bottom, "n", "r_out_A")):
                axes.fill_between(
                    part[r], part[f"{name}_low"], part[f"{name}_high"], color=colour(state - 1), alpha=0.2, lw=0
                )
                axes.plot(part[r], part[name], color=colour(state - 1), lw=1.1, label=f"state {state}")
        top.set_title(group)
        highest = np.nanmax(of_group["g"], initial=1.0)
        top.set(ylim=(0, 1.15 * highest))
        inner = of_group[of_group["r_out_A"] <= 1.6 * shell_A]
        bottom.set(ylim=(0, 1.1 * max(np.nanmax(inner["n"], initial=0.0), 1.0)), xlabel="r (Å)")
        top.tick_params(labelbottom=False)
        for axes in (top, bottom):
            axes.axvline(shell_A, color=REFERENCE, lw=0.7, ls=":")
        if number % columns == 0:
            top.set_ylabel("g(r)")
            bottom.set_ylabel("atoms within r")
        if number == 0:
            top.legend(loc="upper right", fontsize=6.5, handlelength=1.2)
            label_panel(top, "a")
            label_panel(bottom, "b")
    for number, kind in enumerate(kinds):
        axes = figure.add_subplot(grid[-1, number * columns // len(kinds) : (number + 1) * columns // len(kinds)])
        for state, part in each(charges[charges["counted"] == kind], "state"):
            low, high = part["charge_e_low"], part["charge_e_high"]
            axes.fill_between(part["r_out_A"], low, high, color=colour(state - 1), alpha=0.2, lw=0)
            axes.plot(part["r_out_A"], part["charge_e"], color=colour(state - 1), lw=1.1, label=f"state {state}")
        axes.axhline(0, color="#202124", lw=0.6)
        axes.axvline(shell_A, color=REFERENCE, lw=0.7, ls=":")
        axes.set(xlabel="r (Å)", ylabel="charge within r (e)")
        axes.set_title(f"whole {kind}" if kind == "molecules" else f"charges of {kind}")
        if number == 0:
            label_panel(axes, "c")
    return figure


@styled
def draw_profile(structure: Structure) -> Figure:
    """Draw how probable each state is along one lattice vector, and where samples are; above, a slice of a long cell.

    Parameters
    ----------
    structure : by which states.

    Returns
    -------
    Figure
    """
    profile, section = structure.profile, structure.section
    length, width = section["along_A"].max(), section["across_A"].max()
    if length >= LONG_CELL * width:
        picture = WIDTH_INCH * width / length
        figure = new_figure(3.4 + picture)
        panels = panels_of(figure, 3, 1, sharex=True, height_ratios=(picture, 1.8, 1.2))
        _draw_section(panels[0], section)
    else:
        figure = new_figure(3.6, 4.8)
        panels = panels_of(figure, 2, 1, sharex=True, height_ratios=(1.5, 1.0))
    top, bottom = panels[-2:]
    total = profile.groupby("place_A")["share"].sum()
    for state, part in each(profile, "state"):
        top.fill_between(part["place_A"], part["low"], part["high"], color=colour(state - 1), alpha=0.2, lw=0)
        look: dict[str, Any] = (
            {"marker": "."} if part["probability"].notna().mean() < 0.5 else {}
        )  # a line needs two neighbors
        top.plot(part["place_A"], part["probability"], color=colour(state - 1), lw=1.2, label=f"state {state}", **look)
        bottom.plot(part["place_A"], 100 * part["share"], color=colour(state - 1), lw=1.0)
    bottom.plot(total.index, 100 * total, color=REFERENCE, lw=0.8, ls="--", label="all")
    top.set(ylabel="probability of the state", ylim=(-0.03, 1.25))
    top.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    bottom.set(ylabel="samples (%)", xlabel=f"{profile['axis'].iloc[0]} (Å)")
    top.legend(loc="upper center", ncols=8, fontsize=6.5, handlelength=1.4)
    for axes, letter in zip(panels, "abc", strict=False):
        label_panel(axes, letter)
    return figure


def _draw_section(axes: Axes, section: pd.DataFrame) -> None:
    """The atoms of a slice: targets in the mixed colours of their states, others faint."""
    targets = section[section["target"]]
    bystanders = section[~section["target"]]
    diameter = ATOM_A / section["along_A"].max() * 0.87 * WIDTH_INCH * 72
    size = diameter**2
    probabilities = targets[
        [name for name in map(str, section) if name.startswith("p") and name[1:].isdigit()]
    ].to_numpy()
    pure = np.array([to_rgb(colour(s)) for s in range(probabilities.shape[1])])
    faint = [ELEMENTS.get(element, FAINT) for element in bystanders["element"]]
    axes.scatter(bystanders["along_A"], bystanders["across_A"], s=0.5 * size, c=faint, alpha=0.35, lw=0)
    mixed = np.clip(probabilities @ pure, 0.0, 1.0)
    axes.scatter(targets["along_A"], targets["across_A"], s=size, c=mixed, edgecolors="white", lw=0.2)
    axes.set(ylabel="across (Å)")
    axes.set_aspect("equal")
    axes.tick_params(labelbottom=False)
