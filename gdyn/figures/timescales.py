"""Implied timescales against lag time."""

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

from gdyn.figures.style import FAINT, REFERENCE, colour, new_figure


def draw_timescales(table, lag_ps, reference=None):
    """Draw the timescales of every process with their 95 % intervals, and the wedge of the unresolved.

    Parameters
    ----------
    table : columns ``lag_ps``, ``process``, ``timescale_ps``, ``low_ps``, ``high_ps``.
    lag_ps : the lag time of the model.
    reference : a table of the same columns from known sites, or None.

    Returns
    -------
    Figure
    """
    figure = new_figure(2.9, 3.6)
    axes = figure.subplots()
    lags = np.sort(table["lag_ps"].unique())
    if reference is not None:
        for process, rows in reference.groupby("process"):
            axes.plot(
                rows["lag_ps"],
                rows["timescale_ps"],
                color=REFERENCE,
                ls="--",
                lw=1.2,
                zorder=3,
                label="assigned by cores" if process == 1 else None,
            )
    for process, rows in table.groupby("process"):
        axes.fill_between(rows["lag_ps"], rows["low_ps"], rows["high_ps"], color=colour(process - 1), alpha=0.22, lw=0)
        axes.plot(
            rows["lag_ps"],
            rows["timescale_ps"],
            color=colour(process - 1),
            marker="o",
            zorder=4,
            label="learned states" if process == 1 else None,
        )
    shown = table[np.isfinite(table["timescale_ps"])]
    bottom = 0.5 * min(shown["timescale_ps"].min(), lags[-1])
    top = 2.5 * np.nanmax([shown["timescale_ps"].max(), shown["high_ps"].max(), lags[-1]])
    wedge = np.geomspace(lags[0], lags[-1], 50)
    axes.fill_between(wedge, bottom, np.maximum(wedge, bottom), color=FAINT, lw=0, zorder=0)
    axes.plot(wedge, wedge, color="#9aa0a6", lw=0.8, zorder=1)
    axes.text(0.985, 0.03, "not resolved", fontsize=6.5, color="#5f6368", ha="right", transform=axes.transAxes)
    axes.axvline(lag_ps, color="#9aa0a6", lw=0.8, ls=":", zorder=1)
    axes.set(
        xlabel="lag time (ps)",
        ylabel="timescale (ps)",
        xscale="log",
        yscale="log",
        xlim=(lags[0], lags[-1]),
        ylim=(bottom, top),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.legend(loc="upper left")
    return figure
