"""The trajectories of a system, or several systems, side by side."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gdyn.figures.style import REFERENCE, colour, label_panel, new_figure, panels_of, styled
from gdyn.kinetics.by_trajectory import ByTrajectory
from gdyn.kinetics.timescales import Process
from gdyn.statistics.interval import Interval


@styled
def draw_trajectories(trajectories: ByTrajectory) -> Figure:
    """Draw the trajectories of a system side by side; see :func:`draw_side_by_side`."""
    several = trajectories.trajectories
    return draw_side_by_side(
        [one.label for one in several],
        [one.populations for one in several],
        [one.timescales_ps for one in several],
        [trajectories.lag_ps] * len(several),
    )


@styled
def draw_side_by_side(
    labels: Sequence[str],
    populations: Sequence[Interval],
    processes: Sequence[Sequence[Process]],
    lags_ps: Sequence[float],
) -> Figure:
    """Draw populations and timescales of models side by side, with 95 % intervals.

    Parameters
    ----------
    labels : names of the models.
    populations : for each, the Interval of those of its states.
    processes : for each, those of its processes.
    lags_ps : for each, its lag time.

    Returns
    -------
    Figure
    """
    n = len(labels)
    figure = new_figure(2.9 + 0.012 * max(map(len, labels)) * (n > 4))
    left, right = panels_of(figure, 1, 2)
    x = np.arange(n)
    most = max(map(len, populations))
    for state in range(most):
        those = [i for i in range(n) if state < len(populations[i])]
        place = x[those] + (state - (most - 1) / 2) * min(0.16, 0.8 / most)
        held = Interval.join(populations[i][state] for i in those)
        left.errorbar(
            place, held.value, held.arms,
            fmt="o", color=colour(state), capsize=2, lw=0.9, label=f"state {state + 1}",
        )  # fmt: skip
    slowest = max(map(len, processes))
    for process in range(slowest):
        those = [i for i in range(n) if process < len(processes[i])]
        place = x[those] + (process - (slowest - 1) / 2) * min(0.16, 0.8 / max(slowest, 1))
        times = Interval.join(processes[i][process] for i in those)
        resolved = np.array([processes[i][process].resolved for i in those])
        for which, face in ((resolved, colour(process)), (~resolved, "white")):
            if np.isfinite(times.value[which]).any():
                right.errorbar(
                    place[which], times.value[which], times.arms[:, which],
                    fmt="o", color=colour(process), mfc=face, capsize=2, lw=0.9,
                    label=f"process {process + 1}" if face != "white" else None,
                )  # fmt: skip
    for i, lag in enumerate(lags_ps):
        right.plot(
            [i - 0.42, i + 0.42], [lag, lag], color=REFERENCE, lw=0.8, ls=":", label="lag time" if not i else None
        )
    left.set(ylabel="population", ylim=(-0.02, 1.02))
    right.set(ylabel="timescale (ps)", yscale="log")
    if not any(np.isfinite(one.value) for several in processes for one in several):
        right.text(0.5, 0.6, "no timescale is determined", ha="center", color=REFERENCE, transform=right.transAxes)
    for axes, letter in ((left, "a"), (right, "b")):
        axes.set_xlim(-0.6, n - 0.4)
        axes.set_xticks(
            x, labels, rotation=30 if n > 4 or max(map(len, labels)) > 12 else 0, ha="right" if n > 4 else "center"
        )
        axes.legend(fontsize=6.5, handlelength=1.0, loc="best")
        label_panel(axes, letter)
    return figure
