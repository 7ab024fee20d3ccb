"""Choosing among trained models: how many states, which lag time, which seed."""

from gdyn.selection.choice import Choice, choose, select
from gdyn.selection.seeds import SAME_OVERLAP, compare_seeds, same_timescale

__all__ = ["SAME_OVERLAP", "Choice", "choose", "compare_seeds", "same_timescale", "select"]
