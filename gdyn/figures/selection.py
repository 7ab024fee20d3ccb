"""Which models there were, how they scored, and which was taken."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gdyn.figures.style import FAINT, STATES, label_panel, new_figure, panels_of, styled
from gdyn.selection import Choice

HOLDS, FAILS = STATES[2], STATES[1]


@styled
def draw_selection(choice: Choice) -> Figure:
    """Draw the score of every model against its lag time, a panel for each number of states.

    Parameters
    ----------
    choice : among which models.

    Returns
    -------
    Figure
    """
    table = choice.models
    numbers = sorted(table["n_states"].unique())
    figure = new_figure(2.7)
    panels = panels_of(figure, 1, len(numbers), sharex=True)
    lags = np.sort(table["lag_ps"].unique())
    for axes, n_states, letter in zip(panels, numbers, "abcdefghij", strict=False):
        models = table[table["n_states"] == n_states]
        floor = models.groupby("lag_ps")["noise_floor"].max()
        axes.fill_between(floor.index, 0, floor, color=FAINT, lw=0)
        axes.plot(models["lag_ps"], models["validation_vamp2"], "o", ms=3, color="#a9b4bd", mew=0)
        best = models[models["holds"].notna()].sort_values("lag_ps")
        axes.plot(best["lag_ps"], best["validation_vamp2"], color="#6b6b6b", lw=0.9, zorder=2)
        for _, model in best.iterrows():
            holds = str(model["holds"]) == "True"
            axes.plot(
                model["lag_ps"],
                model["validation_vamp2"],
                "o" if holds else "X",
                ms=6,
                color=HOLDS if holds else FAILS,
                mec="white",
                mew=0.5,
                zorder=3,
            )
            if model["chosen"]:
                axes.plot(
                    model["lag_ps"], model["validation_vamp2"], "o", ms=12, mfc="none", mec="#202124", mew=1.2, zorder=4
                )
        axes.set(
            title=f"{n_states} states",
            xlabel="lag time (ps)",
            xscale="log",
            xticks=lags,
            xlim=(0.7 * lags[0], 1.4 * lags[-1]),
            ylim=(0, 1.12 * max(models["validation_vamp2"].max(), floor.max(), 1e-3)),
        )
        axes.set_xticklabels([f"{lag:g}" for lag in lags])
        axes.minorticks_off()
        label_panel(axes, letter)
    panels[0].set_ylabel("VAMP-2 score, validation")
    marks = [
        ("o", HOLDS, 6, "holds"),
        ("X", FAILS, 6, "does not hold"),
        ("o", "#a9b4bd", 3, "other models"),
    ]
    handles = [Line2D([], [], ls="", marker=m, color=c, ms=size, label=text) for m, c, size, text in marks]
    handles.append(Line2D([], [], ls="", marker="o", mfc="none", mec="#202124", ms=10, label="chosen"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure
