"""Implied timescales against lag time."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from gdyn.figures.style import FAINT, REFERENCE, colour, each, new_figure, styled
from gdyn.kinetics.model import KoopmanModel
from gdyn.kinetics.site_analysis import SiteComparison


@styled
def draw_timescales(model: KoopmanModel, sites: SiteComparison | None = None) -> Figure:
    """Draw the timescales of every process with their 95 % intervals, and the wedge of the unresolved.

    Parameters
    ----------
    model : of which system or states.
    sites : known ones, whose timescales are drawn beside.

    Returns
    -------
    Figure
    """
    table = model.timescales
    figure = new_figure(2.9, 3.6)
    axes = figure.subplots()
    if sites is not None:
        for process, rows in each(sites.timescales, "process"):
            axes.plot(
                rows["lag_ps"],
                rows["timescale_ps"],
                color=REFERENCE,
                ls="--",
                lw=1.2,
                zorder=3,
                label="assigned by cores" if process == 1 else None,
            )
    plot_curves(axes, table, model.lag_ps, label="learned states")
    axes.legend(loc="upper left")
    return figure


def plot_curves(axes: Axes, table: pd.DataFrame, lag_ps: float, label: str | None = None) -> None:
    """Draw the timescales of each process against the lag time, the one that was chosen, and what is not resolved.

    Parameters
    ----------
    axes : to draw into.
    table : with ``process``, ``lag_ps``, ``timescale_ps``, ``low_ps`` and ``high_ps``.
    lag_ps : the lag time that was chosen.
    label : of the curves in the legend.
    """
    lags = np.sort(table["lag_ps"].unique())
    for process, rows in each(table, "process"):
        axes.fill_between(rows["lag_ps"], rows["low_ps"], rows["high_ps"], color=colour(process - 1), alpha=0.22, lw=0)
        axes.plot(
            rows["lag_ps"],
            rows["timescale_ps"],
            color=colour(process - 1),
            marker="o",
            zorder=4,
            label=label if process == 1 else None,
        )
    first, last = limits_of(lags)
    bottom, top = limits_of(np.append(table[["timescale_ps", "high_ps"]].to_numpy()[believed(table)], last))
    bottom, top = 0.5 * bottom, 2.5 * top
    wedge = np.geomspace(first, last, 50)
    axes.fill_between(wedge, bottom, np.maximum(wedge, bottom), color=FAINT, lw=0, zorder=0)
    axes.plot(wedge, wedge, color="#9aa0a6", lw=0.8, zorder=1)
    if not np.isfinite(table["timescale_ps"]).any():
        nothing = "no timescale is determined\nby these frames"
        axes.text(0.5, 0.6, nothing, fontsize=7.5, color="#5f6368", ha="center", transform=axes.transAxes)
    axes.text(0.985, 0.03, "not resolved", fontsize=6.5, color="#5f6368", ha="right", transform=axes.transAxes)
    axes.axvline(lag_ps, color="#9aa0a6", lw=0.8, ls=":", zorder=1)
    axes.set(
        xlabel="lag time (ps)",
        ylabel="timescale (ps)",
        xscale="log",
        yscale="log",
        xlim=(first, last),
        ylim=(bottom, top),
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def limits_of(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest of some positive numbers, apart from each other, for a logarithmic axis."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = (values.min(), values.max()) if len(values) else (1.0, 1.0)
    return (low, high) if high > low else (0.5 * low, 2.0 * high)


def believed(table: pd.DataFrame) -> np.ndarray:
    """Rows that an axis should reach: those that are resolved, or all where none is."""
    resolved = table["resolved"].to_numpy(bool) if "resolved" in table else np.ones(len(table), bool)
    return resolved if resolved.any() else np.isfinite(table["timescale_ps"].to_numpy(float))
