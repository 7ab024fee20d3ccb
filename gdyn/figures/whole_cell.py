"""From local to global: what each model says of the dynamics in the whole cell, side by side."""

from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from gdyn.figures.style import FAINT, REFERENCE, STATES, at_faces, colour, each, new_figure, panels_of, styled
from gdyn.figures.timescales import believed, limits_of
from gdyn.kinetics.chapman_kolmogorov import CANNOT_SAY, ChapmanKolmogorov
from gdyn.kinetics.site_analysis import SiteComparison
from gdyn.kinetics.whole_cell import ModelOfCell, Rebuilt, WholeCell
from gdyn.statistics.interval import Interval

TWELVE = (*STATES, "#86b6d6", "#e8b98a", "#97c7ab", "#d199b9")
MARKERS = "o^sDvP"
POINTS = 4000
CURVES = 4  # at most, in a panel of the test


@styled
def draw_whole_cell(comparison: SiteComparison) -> Figure:
    """Draw timescales, places and Chapman-Kolmogorov test of every model: local, VAMPnets, rebuilt.

    Parameters
    ----------
    comparison : of which states and sites.

    Returns
    -------
    Figure
    """
    cell, timescales, points = comparison.cell, comparison.cell_timescales, comparison.points
    models = [("local", "local: GDyNet", cell.local)]
    models += [(f"vampnet {len(model.populations)}", "global: VAMPnet", model) for model in cell.vampnets]
    n = len(models) + 1
    figure = new_figure(6.6, max(5.0, 1.85 * n))
    panels = panels_of(figure, 3, n, height_ratios=(1.0, 1.0, 0.9))
    times, places, tests = panels[:n], panels[n : 2 * n], panels[2 * n :]
    limits = _limits(timescales)
    for column, (name, title, model) in enumerate(models):
        _timescales(times[column], timescales, name, cell, limits)
        times[column].set_title(f"{title},\n{len(model.populations)} states", fontsize=8)
        _places(places[column], points, name, len(model.populations), comparison)
        _test(tests[column], model)
    _timescales(times[-1], timescales, "rebuilt", cell, limits)
    times[-1].set_title(f"global: rebuilt from local,\n{cell.n_sites} sites", fontsize=8)
    _network(places[-1], comparison)
    _rebuilt_test(tests[-1], cell.rebuilt)
    for axes in (*times[1:], *places[1:], *tests[1:]):
        axes.set_ylabel("")
    times[0].set_ylabel("timescale (ps)")
    tests[0].set_ylabel("probability to be\nin the same state")
    for axes, letter in ((times[0], "a"), (places[0], "b"), (tests[0], "c")):
        axes.text(-0.42, 1.1, letter, fontweight="bold", fontsize=10, transform=axes.transAxes)
    return figure


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    lag, _ = limits_of(table["lag_ps"].to_numpy(float))
    low, high = limits_of(np.append(table["timescale_ps"].to_numpy()[believed(table)], lag))
    return 0.5 * low, 2.0 * high


def _timescales(axes: Axes, table: pd.DataFrame, name: str, cell: WholeCell, limits: tuple[float, float]) -> None:
    lags = limits_of(table["lag_ps"].to_numpy(float))
    wedge = np.geomspace(*lags, 50)
    axes.fill_between(wedge, limits[0], wedge, color=FAINT, lw=0, zorder=0)
    curves = [(table[table["model"] == name], STATES[0], "-", "learned")]
    if name != "local":
        observed = table[table["model"] == "observed"]
        alike = observed[observed["process"] <= cell.degenerate]
        for process, rows in each(alike, "process"):
            axes.plot(
                rows["lag_ps"], rows["timescale_ps"], color=REFERENCE, ls="--", lw=0.9, zorder=3,
                label="observed" if process == 1 else None,
            )  # fmt: skip
            axes.fill_between(rows["lag_ps"], rows["low_ps"], rows["high_ps"], color=REFERENCE, alpha=0.12, lw=0)
    if name == "rebuilt":
        curves = [
            (table[(table["model"] == f"rebuilt, {form}") & (table["process"] == 1)], color, "-", form)
            for form, color in (("matrix", STATES[1]), ("generator", STATES[0]))
        ]
    for rows, color, line, label in curves:
        for process, part in each(rows, "process"):
            axes.fill_between(part["lag_ps"], part["low_ps"], part["high_ps"], color=color, alpha=0.2, lw=0)
            axes.plot(
                part["lag_ps"], part["timescale_ps"], color=color, ls=line, lw=1.1, zorder=4,
                label=label if process == 1 else None,
            )  # fmt: skip
    axes.axvline(cell.lag_ps, color="#9aa0a6", lw=0.8, ls=":", zorder=1)
    axes.set(xlabel="lag time (ps)", xscale="log", yscale="log", xlim=lags, ylim=limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.legend(loc="lower right", fontsize=6.5, handlelength=1.4)


def _palette(n_states: int) -> np.ndarray:
    return np.array([to_rgb(TWELVE[i % len(TWELVE)]) for i in range(n_states)])


def _places(axes: Axes, points: pd.DataFrame, name: str, n_states: int, comparison: SiteComparison) -> None:
    """Positions along the third lattice vector, each in the colours of its states, mixed as its probabilities are."""
    prefix = "" if name == "local" else f"{name}, "
    shown = points.iloc[:: max(1, len(points) // POINTS)]
    probabilities = shown[[f"{prefix}p{i + 1}" for i in range(n_states)]].to_numpy()
    x, y, _ = (shown[["x", "y", "z"]].to_numpy() @ comparison.cell_A).T
    axes.scatter(x, y, c=np.clip(probabilities @ _palette(n_states), 0, 1), s=2, alpha=0.6, lw=0, rasterized=True)
    axes.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")


def _network(axes: Axes, comparison: SiteComparison) -> None:
    """The sites along the third lattice vector."""
    for number, (name, sites) in enumerate(comparison.sites.items()):
        x, y, _ = (at_faces(sites) @ comparison.cell_A).T
        axes.scatter(
            x, y, marker=MARKERS[number % len(MARKERS)], s=30, facecolors="none", edgecolors=colour(number),
            lw=1.1, label=name, clip_on=False,
        )  # fmt: skip
    corner = comparison.cell_A.sum(0)
    axes.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)", xlim=(-0.05 * corner[0], 1.05 * corner[0]))
    axes.set_ylim(-0.05 * corner[1], 1.05 * corner[1])
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6.5, handletextpad=0.1, columnspacing=0.6
    )


def _test(axes: Axes, model: ModelOfCell) -> None:
    test = model.test
    if test.outcome == CANNOT_SAY:
        _nothing(axes, "\n".join(wrap(f"no test: {test.reason}", 28)))
        return
    predicted, observed = test.predicted, test.observed
    n = predicted.value.shape[-1]
    pairs = [(predicted[:, i, i], observed[:, i, i]) for i in range(n)][:CURVES]
    _curves(axes, test.lag_ps, pairs, [TWELVE[i] for i in range(n)])
    axes.set_title(f"{_verdict(test)}\nassigned: {_verdict(model.assigned.test)}", fontsize=7)


def _verdict(test: ChapmanKolmogorov) -> str:
    if test.outcome == CANNOT_SAY:
        return "not tested"
    return f"{'passed' if test.passed else 'NOT passed'}, {test.max_deviation.value:.3f}"


def _rebuilt_test(axes: Axes, rebuilt: Rebuilt | None) -> None:
    form = rebuilt and (rebuilt.generator or rebuilt.matrix)
    if not rebuilt or not form:
        _nothing(axes, "not rebuilt")
        return
    predicted, observed = form.predicted, rebuilt.observed
    n = predicted.value.shape[-1]
    pairs = [(predicted[:, i], observed[:, i]) for i in range(n)]
    _curves(axes, rebuilt.lag_ps, pairs, [colour(i) for i in range(n)])
    deviation = "not known" if np.isnan(form.max_deviation) else f"{form.max_deviation:.3f}"
    axes.set_title(f"at the same site,\n{deviation}", fontsize=7)


def _curves(axes: Axes, lags: np.ndarray, pairs: list[tuple[Interval, Interval]], colours: list[str]) -> None:
    for (predicted, observed), color in zip(pairs, colours, strict=False):
        axes.fill_between(lags, predicted.low, predicted.high, color=color, alpha=0.2, lw=0)
        axes.plot(lags, predicted.value, color=color, lw=1.1)
        look: dict[str, Any] = {
            "color": color,
            "fmt": "o",
            "ms": 2.4,
            "mec": "#202124",
            "mew": 0.4,
            "lw": 0.8,
            "capsize": 1.2,
        }
        axes.errorbar(lags, observed.value, observed.arms, **look)
    axes.set(xlabel="lag time (ps)", ylabel="probability", ylim=(-0.05, 1.05))


def _nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=REFERENCE, transform=axes.transAxes)
    axes.set_axis_off()
