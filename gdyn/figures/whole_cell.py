"""From local to global: what each model says of the dynamics in the whole cell, side by side."""

from textwrap import wrap

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.ticker import LogLocator, NullLocator

from gdyn.figures.style import FAINT, REFERENCE, STATES, at_faces, colour, new_figure, styled
from gdyn.figures.timescales import believed, limits_of
from gdyn.statistics.interval import Interval

TWELVE = (*STATES, "#86b6d6", "#e8b98a", "#97c7ab", "#d199b9")
MARKERS = "o^sDvP"
POINTS = 4000
CURVES = 4  # at most, in a panel of the test


@styled
def draw_whole_cell(cell, timescales, points, comparison):
    """Draw timescales, places and Chapman-Kolmogorov test of every model: local, VAMPnets, rebuilt.

    Parameters
    ----------
    cell : the content of ``whole_cell.json``.
    timescales : table of the timescales of every model.
    points : table of positions in the cell, with the probabilities of the states of every model.
    comparison : the content of ``sites.json``.

    Returns
    -------
    Figure
    """
    vampnets = [(f"vampnet {len(found['populations'])}", found) for found in cell["vampnets"]]
    columns = [("local", f"local: GDyNet,\n{len(cell['local']['populations'])} states", cell["local"])]
    columns += [(name, f"global: VAMPnet,\n{len(found['populations'])} states", found) for name, found in vampnets]
    columns.append(("rebuilt", f"global: rebuilt from local,\n{cell['n_sites']} sites", cell["rebuilt"]))
    n = len(columns)
    figure = new_figure(6.6, max(5.0, 1.85 * n))
    panels = figure.subplots(3, n, squeeze=False, height_ratios=(1.0, 1.0, 0.9))
    limits = _limits(timescales)
    for column, (name, title, found) in enumerate(columns):
        _timescales(panels[0, column], timescales, name, cell, limits)
        panels[0, column].set_title(title, fontsize=8)
        if name == "rebuilt":
            _network(panels[1, column], comparison)
        else:
            _places(panels[1, column], points, name, len(found["populations"]), comparison)
        (_rebuilt_test if name == "rebuilt" else _test)(panels[2, column], found, comparison)
        for axes in panels[:, column]:
            if column and axes.get_ylabel():
                axes.set_ylabel("")
    panels[0, 0].set_ylabel("timescale (ps)")
    panels[2, 0].set_ylabel("probability to be\nin the same state")
    for row, letter in zip(panels, "abc", strict=True):
        row[0].text(-0.42, 1.1, letter, fontweight="bold", fontsize=10, transform=row[0].transAxes)
    return figure


def _limits(table):
    lag, _ = limits_of(table["lag_ps"].to_numpy(float))
    low, high = limits_of(np.append(table["timescale_ps"].to_numpy()[believed(table)], lag))
    return 0.5 * low, 2.0 * high


def _timescales(axes, table, name, cell, limits):
    lags = limits_of(table["lag_ps"].to_numpy(float))
    wedge = np.geomspace(*lags, 50)
    axes.fill_between(wedge, limits[0], wedge, color=FAINT, lw=0, zorder=0)
    own = table[table["model"] == name]
    curves = [(own, STATES[0], "-", "learned")]
    if name != "local":
        observed = table[table["model"] == "observed"]
        alike = observed[observed["process"] <= cell["degenerate"]]
        for process, rows in alike.groupby("process"):
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
        for process, part in rows.groupby("process"):
            axes.fill_between(part["lag_ps"], part["low_ps"], part["high_ps"], color=color, alpha=0.2, lw=0)
            axes.plot(
                part["lag_ps"], part["timescale_ps"], color=color, ls=line, lw=1.1, zorder=4,
                label=label if process == 1 else None,
            )  # fmt: skip
    axes.axvline(cell["lag_ps"], color="#9aa0a6", lw=0.8, ls=":", zorder=1)
    axes.set(xlabel="lag time (ps)", xscale="log", yscale="log", xlim=lags, ylim=limits)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.legend(loc="lower right", fontsize=6.5, handlelength=1.4)


def _palette(n_states):
    return np.array([to_rgb(TWELVE[i % len(TWELVE)]) for i in range(n_states)])


def _places(axes, points, name, n_states, comparison):
    """Positions along the third lattice vector, each in the colours of its states, mixed as its probabilities are."""
    prefix = "" if name == "local" else f"{name}, "
    shown = points.iloc[:: max(1, len(points) // POINTS)]
    probabilities = shown[[f"{prefix}p{i + 1}" for i in range(n_states)]].to_numpy()
    where = shown[["x", "y", "z"]].to_numpy() @ np.array(comparison["cell_A"])
    axes.scatter(
        *where[:, :2].T, c=np.clip(probabilities @ _palette(n_states), 0, 1), s=2, alpha=0.6, lw=0, rasterized=True
    )
    axes.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")


def _network(axes, comparison):
    """The sites along the third lattice vector."""
    for number, (name, sites) in enumerate(comparison["sites"].items()):
        where = at_faces(np.array(sites)) @ np.array(comparison["cell_A"])
        axes.scatter(
            *where[:, :2].T, marker=MARKERS[number % len(MARKERS)], s=30, facecolors="none", edgecolors=colour(number),
            lw=1.1, label=name, clip_on=False,
        )  # fmt: skip
    corner = np.array(comparison["cell_A"]).sum(0)
    axes.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)", xlim=(-0.05 * corner[0], 1.05 * corner[0]))
    axes.set_ylim(-0.05 * corner[1], 1.05 * corner[1])
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=6.5, handletextpad=0.1, columnspacing=0.6
    )


def _test(axes, found, comparison):
    test = found["test"]
    if test["outcome"] == "cannot say":
        _nothing(axes, "\n".join(wrap(f"no test: {test['reason']}", 28)))
        return
    predicted, observed = (Interval.read(test[kind]) for kind in ("predicted", "observed"))
    n = predicted.value.shape[-1]
    pairs = [(predicted[:, i, i], observed[:, i, i]) for i in range(n)][:CURVES]
    _curves(axes, test["lag_ps"], pairs, [TWELVE[i] for i in range(n)])
    axes.set_title(f"{_verdict(test)}\nassigned: {_verdict(found['assigned']['test'])}", fontsize=7)


def _verdict(test):
    if test["outcome"] == "cannot say":
        return "not tested"
    return f"{'passed' if test['passed'] else 'NOT passed'}, {test['max_deviation']['value']:.3f}"


def _rebuilt_test(axes, found, comparison):
    form = found and (found["generator"] or found["matrix"])
    if not form:
        _nothing(axes, "not rebuilt")
        return
    predicted, observed = (Interval.read(curves) for curves in (form["predicted"], found["observed"]))
    n = predicted.value.shape[-1]
    pairs = [(predicted[:, i], observed[:, i]) for i in range(n)]
    _curves(axes, found["lag_ps"], pairs, [colour(i) for i in range(n)])
    deviation = "not known" if form["max_deviation"] is None else f"{form['max_deviation']:.3f}"
    axes.set_title(f"at the same site,\n{deviation}", fontsize=7)


def _curves(axes, lags, pairs, colours):
    lags = np.array(lags)
    for (predicted, observed), color in zip(pairs, colours, strict=False):
        axes.fill_between(lags, predicted.low, predicted.high, color=color, alpha=0.2, lw=0)
        axes.plot(lags, predicted.value, color=color, lw=1.1)
        look = {"color": color, "fmt": "o", "ms": 2.4, "mec": "#202124", "mew": 0.4, "lw": 0.8, "capsize": 1.2}
        axes.errorbar(lags, observed.value, observed.arms, **look)
    axes.set(xlabel="lag time (ps)", ylabel="probability", ylim=(-0.05, 1.05))


def _nothing(axes, text):
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=REFERENCE, transform=axes.transAxes)
    axes.set_axis_off()
