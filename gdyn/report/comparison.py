"""The numbers of several systems side by side: a table and a figure."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from gdyn.figures.style import save
from gdyn.figures.trajectories import draw_side_by_side
from gdyn.files import FilePath, read_json, write_table
from gdyn.kinetics.timescales import Process
from gdyn.statistics.interval import Interval


def compare(summaries: Iterable[FilePath], table: FilePath, figure: FilePath) -> None:
    """Write the comparison of systems.

    Parameters
    ----------
    summaries : paths of their summaries.
    table : path of the CSV to write, a row for each system.
    figure : path of the PDF to write.
    """
    systems = [read_json(path) for path in summaries]
    write_table(table, pd.DataFrame([row_of(one) for one in systems]))
    populations = [Interval.twin(one, "populations") for one in systems]
    save(
        draw_side_by_side(
            [one["system"] for one in systems],
            populations,
            [[Process.read(process, "ps") for process in one["timescales_ps"]] for one in systems],
            [one["lag_ps"] for one in systems],
        ),
        figure,
    )


def row_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The main numbers of a system, with their intervals, as one row of a table."""
    row = {name: summary[name] for name in ("system", "description", "n_states", "lag_ps")}
    for i, process in enumerate(summary["timescales_ps"], start=1):
        row |= Interval.read(process).columns(f"timescale_{i}_ps") | {f"timescale_{i}_resolved": process["resolved"]}
        seen = summary["transitions"][i - 1]
        row |= {f"transitions_{i}": seen["forward"] + seen["backward"]}
    for i, population in enumerate(Interval.twin(summary, "populations"), start=1):
        row |= population.columns(f"population_{i}")
    row |= {
        "vamp2_test": summary["vamp2"]["test"],
        "noise_floor": summary["vamp2"]["noise_floor"],
        "ck_passed": summary["ck_passed"],
        "ck_max_deviation": summary["ck_max_deviation"],
        "seeds_agreeing": summary["seeds"]["agreeing"],
        "seeds_tried": summary["seeds"]["tried"],
        "warnings": len(summary["warnings"]),
    }
    return {name: np.nan if value is None else value for name, value in row.items()}
