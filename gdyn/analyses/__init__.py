"""All analyses of the workflow, in the order of the report, and which of them a system has.

Each is a class in a module of this package; a new module is found automatically. Nothing here takes long to import, as
the rules of the workflow ask it for the files of every system.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from gdyn.analyses.base import Analysis, Figure

if TYPE_CHECKING:
    from gdyn.config import System

NO_ANALYSES = ("base", "docs", "draw", "run")


def _discover() -> tuple[Analysis, ...]:
    modules = [import_module(f"{__name__}.{one.name}") for one in iter_modules(__path__) if one.name not in NO_ANALYSES]
    kinds = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Analysis) and kind.__module__ == module.__name__
    }
    return tuple(sorted((kind() for kind in kinds), key=lambda analysis: analysis.place))


ANALYSES = _discover()
BY_NAME = {analysis.name: analysis for analysis in ANALYSES}
FIGURES = {figure.name: (figure, analysis) for analysis in ANALYSES for figure in analysis.figures}


def analyses_of(system: "System") -> list[Analysis]:
    """Those that a system has."""
    return [analysis for analysis in ANALYSES if analysis.applies(system)]


def figures_of(system: "System") -> list[Figure]:
    """Those that a system has."""
    return [figure for one in analyses_of(system) for figure in one.figures if figure.applies(system)]


def behind(figure: str, system: "System") -> list[Analysis]:
    """The analyses of a system whose results a figure shows."""
    drawn, analysis = FIGURES[figure]
    return [analysis, *(BY_NAME[name] for name in drawn.beside if BY_NAME[name].applies(system))]
