"""Which models there were, how they scored, and which was taken."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from gdyn.figures.style import FAINT, STATES, colour, label_panel, new_figure, panels_of, styled
from gdyn.figures.timescales import limits_of
from gdyn.selection import Choice

HOLDS, FAILS = STATES[2], STATES[1]
OTHERS = "#a9b4bd"
LEAST = 0.05  # lag times, below which no timescale is drawn


@styled
def draw_selection(choice: Choice) -> Figure:
    """Draw scores and timescales against the number of states.

    Parameters
    ----------
    choice : among which models.

    Returns
    -------
    Figure
    """
    figure = new_figure(3.0)
    scores, times = panels_of(figure, 1, 2)
    _draw_scores(scores, choice)
    _draw_timescales(times, choice)
    numbers = sorted({one.n_states for one in choice.candidates})
    for axes, letter in zip((scores, times), "ab", strict=True):
        axes.set(xlabel="number of states", xlim=(numbers[0] - 0.6, numbers[-1] + 0.6))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        label_panel(axes, letter)
    marks = [
        Line2D([], [], ls="", marker="o", color=HOLDS, ms=6, label="holds"),
        Line2D([], [], ls="", marker="X", color=FAILS, ms=6, label="does not hold"),
        Line2D([], [], ls="", marker="o", color=OTHERS, ms=3, label="other models"),
        Line2D([], [], ls="", marker="o", mfc="none", mec="#202124", ms=10, label="chosen"),
        Line2D([], [], ls="", marker="o", mfc="white", mec=STATES[0], ms=5, label="not resolved"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=5)
    return figure


def _draw_scores(axes: Axes, choice: Choice) -> None:
    """The scores of all models, and for each lag time those of the best ones, over the noise floor."""
    table = choice.models
    floor = table.groupby("n_states")["noise_floor"].max()
    steps = np.array([floor.index - 0.6, floor.index + 0.6]).T.ravel()
    axes.fill_between(steps, 0, np.repeat(floor, 2), color=FAINT, lw=0)
    axes.plot(table["n_states"], table["validation_vamp2"], "o", ms=3, color=OTHERS, mew=0)
    lags = sorted({one.lag_ps for one in choice.candidates})
    for place, lag_ps in enumerate(lags):
        best = [one for one in choice.candidates if one.lag_ps == lag_ps]
        numbers = [one.n_states for one in best]
        grey = str(0.75 - 0.5 * (place + 1) / len(lags))
        axes.plot(numbers, [one.validation_vamp2 for one in best], color=grey, lw=0.9, zorder=2)
        end = numbers[-1] + 0.25, best[-1].validation_vamp2
        axes.text(*end, f"{lag_ps:g} ps", fontsize=6.5, color=grey, va="center", clip_on=False)
        for one in best:
            at = one.n_states, one.validation_vamp2
            low, high = (x if np.isfinite(x) else at[1] for x in (one.score.low, one.score.high))
            axes.plot([at[0]] * 2, [low, high], color=grey, lw=0.9, zorder=2)
            look = ("o", HOLDS) if one.holds else ("X", FAILS)
            axes.plot(*at, look[0], ms=6, color=look[1], mec="white", mew=0.5, zorder=3)
            if (one.n_states, one.lag_ps) == (choice.n_states, choice.lag_ps):
                axes.plot(*at, "o", ms=12, mfc="none", mec="#202124", mew=1.2, zorder=4)
    highest = max(
        table["validation_vamp2"].max(), floor.max(), *(np.nan_to_num(c.score.high) for c in choice.candidates)
    )
    axes.set(ylabel="VAMP-2 score, validation", ylim=(0, 1.12 * max(highest, 1e-3)))


def _draw_timescales(axes: Axes, choice: Choice) -> None:
    """The timescales of the best models at the lag time that was chosen; full disks are resolved."""
    at_lag = [one for one in choice.candidates if one.lag_ps == choice.lag_ps]
    known = [time.value for one in at_lag for time in one.timescales_ps if time.resolved]
    every = [float(time.value) for one in at_lag for time in one.timescales_ps if time.value > 0]
    _, top = limits_of(np.array([choice.lag_ps, *known], float))
    bottom = max(0.5 * min([choice.lag_ps, *every]), LEAST * choice.lag_ps)
    axes.axhspan(bottom, choice.lag_ps, color=FAINT, lw=0, zorder=0)
    for one in at_lag:
        for process, time in enumerate(one.timescales_ps):
            shift = one.n_states + 0.12 * (process - (len(one.timescales_ps) - 1) / 2)
            look = colour(process)
            if np.isfinite(time.low):
                axes.plot([shift] * 2, [time.low, time.high], color=look, lw=1.0, zorder=2)
            if np.isfinite(time.value):
                axes.plot(shift, time.value, "o", ms=5, mfc=look if time.resolved else "white", mec=look, zorder=3)
    axes.set(
        ylabel="timescale (ps)",
        yscale="log",
        ylim=(bottom, 3.0 * top),
        title=f"at a lag time of {choice.lag_ps:g} ps",
    )
