"""Timescales of the processes with their intervals, at one lag time and at many."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gdyn.config import Kinetics
from gdyn.kinetics.flags import BEYOND
from gdyn.kinetics.koopman import blocks_of, koopman_of, timescales
from gdyn.logs import LOG
from gdyn.statistics.interval import Interval
from gdyn.statistics.shapes import PerProcess
from gdyn.statistics.uncertainty import Blocks, Estimate, covariances_of
from gdyn.store import States
from gdyn.units import multiple

COLUMNS = ["lag_ps", "process", "timescale_ps", "low_ps", "high_ps", "resolved"]


@dataclass(frozen=True)
class Process(Interval):
    """The timescale of a process, ps, and whether it is resolved at the lag time."""

    resolved: bool = False

    def as_time(self) -> str:
        """In words, which say so where it is not resolved."""
        return super().as_time() + ("" if self.resolved else ", not resolved")


def resolved_of(processes: Sequence[Process]) -> list[int]:
    """Which processes are resolved: their places, from 0."""
    return [place for place, process in enumerate(processes) if process.resolved]


def slow(states: States, lag_frames: int, blocks: Blocks) -> Estimate[PerProcess]:
    """Estimate of the timescales at a lag: (states - 1,), ps; NaN where some state never occurs."""
    lag_ps = lag_frames * states.frame_interval_ps
    covariances = covariances_of(states, blocks, lag_frames)
    return covariances.map_or_nan(lambda c: timescales(koopman_of(c), lag_ps), states.probabilities.shape[-1] - 1)


def process_timescales(states: States, lag_frames: int, blocks: Blocks) -> list[Process]:
    """Timescales with intervals at a lag time, see :func:`as_processes`; NaN where there are none."""
    times = slow(states, lag_frames, blocks).interval(logarithmic=True)
    return as_processes(times, states, lag_ps=lag_frames * states.frame_interval_ps)


def as_processes(
    times: Interval, states: States, seen: list[dict[str, Any]] | None = None, lag_ps: float | None = None
) -> list[Process]:
    """The timescale of each process, and whether it is resolved.

    It is resolved where the timescale, with its whole interval, is longer than the lag time, and not beyond what the
    frames can show: 100 times their length, or slower than any observed transition.

    Parameters
    ----------
    times : Interval of the timescales, (processes,), ps.
    states : States
    seen : their :func:`gdyn.kinetics.events.transitions`, where known.
    lag_ps : where it is not that of the states.
    """
    lag_ps, processes = lag_ps or states.lag_ps, []
    for number, one in enumerate(times):
        known = np.isfinite(one.value) and np.isfinite(one.low)
        resolved = bool(known and one.low > lag_ps and one.value <= BEYOND * states.length_ps)
        if seen is not None:
            resolved = resolved and seen[number]["forward"] + seen[number]["backward"] > 0
        processes.append(Process(one.value, one.low, one.high, "ps", resolved=resolved))
    return processes


def implied_timescales(states: States, kinetics: Kinetics) -> pd.DataFrame:
    """Implied timescales at many lag times: one row for each lag and process.

    Returns
    -------
    table with the columns ``lag_ps``, ``process`` (from 1), ``timescale_ps``, ``low_ps``, ``high_ps`` and ``resolved``.
    """
    rows = []
    blocks = blocks_of(states, kinetics)
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= blocks.frames and lag != states.lag_frames:
            LOG.warning("the lag of %g ps does not fit twice into a block of the test frames: left out", lag_ps)
            continue
        rows += rows_of(lag_ps, process_timescales(states, lag, blocks))
    return pd.DataFrame(rows, columns=COLUMNS)


def rows_of(lag_ps: float, processes: list[Process]) -> list[dict[str, Any]]:
    """The rows of :func:`implied_timescales` at one lag time."""
    return [
        dict(zip(COLUMNS, (lag_ps, number, one.value, one.low, one.high, one.resolved), strict=True))
        for number, one in enumerate(processes, start=1)
    ]


def lag_times(states: States, kinetics: Kinetics) -> list[float]:
    """The lag times of the implied timescales, ps: those asked for, or a series from one frame to ten lags."""
    if kinetics.timescale_lags_ps:
        return sorted({*kinetics.timescale_lags_ps, states.lag_ps})
    series = np.geomspace(1, 10 * states.lag_frames, 12).round().astype(int)
    return (np.unique([*series, states.lag_frames]) * states.frame_interval_ps).tolist()
