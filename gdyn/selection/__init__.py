"""Choosing among trained models: how many states, which lag time, which seed."""

from gdyn.selection.choice import Choice, choose, select, write_added
from gdyn.selection.lag import LagTime, choose_lag
from gdyn.selection.seeds import SAME_OVERLAP, compare_seeds, same_timescale

__all__ = [
    "SAME_OVERLAP",
    "Choice",
    "LagTime",
    "choose",
    "choose_lag",
    "compare_seeds",
    "same_timescale",
    "select",
    "write_added",
]
