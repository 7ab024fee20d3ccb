"""One look for all figures."""

import functools
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, ParamSpec, TypeVar

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure

from gdyn.files import FilePath, whole_file

P = ParamSpec("P")
T = TypeVar("T")

WIDTH_INCH = 7.1  # two columns of a journal
STATES = ("#0f5c8c", "#d9822b", "#3a8a5f", "#a4407a", "#7a6a2f", "#5b5ea6", "#b5403a", "#4d4d4d")
REFERENCE = "#6b6b6b"
FAINT = "#d5d8dc"
# Colours by element as most programs have them, toned to print; others are grey.
ELEMENTS = {
    "H": "#e8e8e8", "Li": "#8f6fc4", "C": "#6f6f6f", "N": "#4a6fd0", "O": "#cf3b34", "F": "#8fc36b", "Na": "#8f6fc4",
    "Si": "#d9b380", "P": "#e08a2e", "S": "#d9c24a", "Cl": "#62b86a", "K": "#8f6fc4", "Au": "#e0b23c",
}  # fmt: skip

PARAMETERS: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "legend.fontsize": 7.5,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 3.5,
    "pdf.fonttype": 42,
    "mathtext.default": "regular",
}


def styled(function: Callable[P, T]) -> Callable[P, T]:
    """Let a function draw in the common style, and leave that of its caller as it was."""

    @functools.wraps(function)
    def in_style(*arguments: P.args, **keywords: P.kwargs) -> T:
        with matplotlib.rc_context(PARAMETERS):
            return function(*arguments, **keywords)

    return in_style


class StyledFigure(Figure):
    """A figure that looks the same wherever it is shown: matplotlib chooses the look of ticks only then."""

    def _repr_png_(self) -> bytes:
        """How a notebook shows it."""
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=150)
        return picture.getvalue()

    @styled
    def draw(self, renderer: RendererBase) -> None:
        super().draw(renderer)


def new_figure(height_inch: float, width_inch: float = WIDTH_INCH) -> Figure:
    """An empty figure in the common style, for functions that are :func:`styled`."""
    return StyledFigure(figsize=(width_inch, height_inch), layout="constrained")


def panels_of(figure: Figure, rows: int, columns: int, **look: Any) -> list[Axes]:
    """Divide a figure into panels, row after row; ``look`` is as for matplotlib's ``subplots``."""
    return figure.subplots(rows, columns, squeeze=False, **look).ravel().tolist()


@styled
def save(figure: Figure, path: FilePath) -> None:
    """Write a figure as PDF; the same numbers give the same bytes."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="pdf", dpi=300, metadata={"CreationDate": None})


def label_panel(axes: Axes, letter: str) -> None:
    """Mark a panel with its letter."""
    axes.set_title(letter, loc="left", fontweight="bold", fontsize=10)


def colour(state: int) -> str:
    """The colour of a state, counted from 0."""
    return STATES[state % len(STATES)]


def each(table: pd.DataFrame, column: str) -> Iterator[tuple[int, pd.DataFrame]]:
    """The rows of each number in a column, as of each state or process, in the order of the numbers."""
    for number in np.unique(table[column].to_numpy(int)).tolist():
        yield number, table[table[column] == number]


def at_faces(fractional: np.ndarray, edge: float = 0.02) -> np.ndarray:
    """Positions in the cell; those on a face are repeated at the opposite face."""
    points = fractional % 1.0
    for axis in np.eye(3):
        along = points @ axis
        points = np.concatenate([points, points[along < edge] + axis, points[along > 1.0 - edge] - axis])
    return points
