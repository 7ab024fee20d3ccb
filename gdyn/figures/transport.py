"""Which transitions carry diffusion and conduction."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gdyn.figures.style import REFERENCE, colour, each, label_panel, new_figure, styled
from gdyn.transport.analysis import Transport

SHOWN = 12  # transitions in the bars, at most


@styled
def draw_transport(transport: Transport) -> Figure:
    """Draw mean square displacements, the diffusion of transitions against time, and their contributions.

    Parameters
    ----------
    transport : by which states.

    Returns
    -------
    Figure
    """
    transitions, displacements = transport.transitions, transport.displacements
    figure = new_figure(5.0)
    grid = figure.add_gridspec(2, 2)
    left, right, below = (figure.add_subplot(grid[place]) for place in ((0, 0), (0, 1), (1, slice(None))))

    times = displacements["time_ps"].to_numpy()
    left.fill_between(times, displacements["low"], displacements["high"], color=colour(0), alpha=0.2, lw=0)
    left.plot(times, displacements["msd_A2"], color=colour(0), marker="o", ms=2.5)
    left.plot(
        times, displacements["msd_A2"].iloc[-1] * times / times[-1], color=REFERENCE, lw=0.8, ls="--", label="slope 1"
    )
    left.set(xlabel="time (ps)", ylabel="mean square displacement (Å²)")
    _logarithmic(left, times, displacements["msd_A2"])
    left.legend(loc="upper left")

    share = transport.contribution_percent.value
    n = len(share)
    for i, leaving in each(transitions, "from"):
        for j, part in each(leaving, "to"):
            look: dict[str, Any] = {"lw": 1.3, "ls": "-"} if i == j else {"lw": 0.8, "ls": "--", "marker": ".", "ms": 2}
            right.plot(part["time_ps"], part["D_m2_per_s"], color=colour(i - 1), label=f"{i} → {j}", **look)
    right.axvline(transport.lag_ps, color="#9aa0a6", lw=0.8, ls=":")
    right.set(xlabel="time (ps)", ylabel="D (m²/s)")
    _logarithmic(right, times, transitions["D_m2_per_s"])
    if n <= 3:
        right.legend(loc="lower left", ncols=n, fontsize=6)

    order = sorted(np.ndindex(n, n), key=lambda ij: -np.nan_to_num(share[ij]))[:SHOWN]
    places = np.arange(len(order))
    for shift, percent, face, label in (
        (-0.2, transport.contribution_percent, colour(0), "exact weights, which close"),
        (0.2, transport.contribution_percent_paper, "#b9c4cc", "weights of the paper"),
    ):
        shown = percent[tuple(np.transpose(order))]
        below.bar(places + shift, shown.value, 0.38, color=face, label=label)
        below.errorbar(places + shift, shown.value, shown.arms, fmt="none", ecolor="#202124", lw=0.8, capsize=1.8)
    what = "diffusion" if transport.charges_e is None else "conduction"
    below.set(xticks=places, xticklabels=[f"{i + 1} → {j + 1}" for i, j in order], ylabel=f"share of {what} (%)")
    below.axhline(0, color="#202124", lw=0.6)
    below.legend(loc="upper right")
    for axes, letter in ((left, "a"), (right, "b"), (below, "c")):
        label_panel(axes, letter)
    return figure


def _logarithmic(axes: Axes, times: np.ndarray, values: pd.Series) -> None:
    """Logarithmic axes: of the times, and of the values where anything has moved."""
    if len(np.unique(times)) > 1:
        axes.set_xscale("log")
    if (values > 0).any():
        axes.set_yscale("log")
    else:
        axes.text(0.5, 0.6, "nothing has moved", ha="center", color=REFERENCE, transform=axes.transAxes)
