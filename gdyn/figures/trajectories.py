"""The trajectories of a system, or several systems, side by side."""

import numpy as np

from gdyn.figures.style import REFERENCE, colour, label_panel, new_figure, styled
from gdyn.statistics.interval import Interval


@styled
def draw_side_by_side(labels, populations, processes, lags_ps):
    """Draw populations and timescales of models beside each other, with 95 % intervals.

    Parameters
    ----------
    labels : names of the models.
    populations : for each, the Interval of those of its states.
    processes : for each, a list of mappings ``value``, ``low``, ``high``, ``resolved``; numbers may be None.
    lags_ps : for each, its lag time.

    Returns
    -------
    Figure
    """
    n = len(labels)
    figure = new_figure(2.9 + 0.012 * max(map(len, labels)) * (n > 4))
    left, right = figure.subplots(1, 2)
    x = np.arange(n)
    most = max(map(len, populations))
    for state in range(most):
        mine = [i for i in range(n) if state < len(populations[i])]
        place = x[mine] + (state - (most - 1) / 2) * min(0.16, 0.8 / most)
        found = Interval.join(populations[i][state] for i in mine)
        left.errorbar(
            place, found.value, found.arms,
            fmt="o", color=colour(state), capsize=2, lw=0.9, label=f"state {state + 1}",
        )  # fmt: skip
    slowest = max(map(len, processes))
    for process in range(slowest):
        mine = [i for i in range(n) if process < len(processes[i])]
        place = x[mine] + (process - (slowest - 1) / 2) * min(0.16, 0.8 / max(slowest, 1))
        found = Interval.join(Interval.read(processes[i][process]) for i in mine)
        resolved = np.array([processes[i][process]["resolved"] for i in mine])
        for which, face in ((resolved, colour(process)), (~resolved, "white")):
            if np.isfinite(found.value[which]).any():
                right.errorbar(
                    place[which], found.value[which], found.arms[:, which],
                    fmt="o", color=colour(process), mfc=face, capsize=2, lw=0.9,
                    label=f"process {process + 1}" if face != "white" else None,
                )  # fmt: skip
    for i, lag in enumerate(lags_ps):
        right.plot(
            [i - 0.42, i + 0.42], [lag, lag], color=REFERENCE, lw=0.8, ls=":", label="lag time" if not i else None
        )
    left.set(ylabel="population", ylim=(-0.02, 1.02))
    right.set(ylabel="timescale (ps)", yscale="log")
    if not any(np.isfinite(Interval.read(one).value) for each in processes for one in each):
        right.text(0.5, 0.6, "no timescale is determined", ha="center", color=REFERENCE, transform=right.transAxes)
    for axes, letter in ((left, "a"), (right, "b")):
        axes.set_xlim(-0.6, n - 0.4)
        axes.set_xticks(
            x, labels, rotation=30 if n > 4 or max(map(len, labels)) > 12 else 0, ha="right" if n > 4 else "center"
        )
        axes.legend(fontsize=6.5, handlelength=1.0, loc="best")
        label_panel(axes, letter)
    return figure
