"""Drawing figures of results; only what draws them loads matplotlib."""

from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from gdyn.analyses import FIGURES
from gdyn.analyses.base import resolve
from gdyn.analyses.run import read_results
from gdyn.figures.style import save
from gdyn.files import FilePath
from gdyn.result import Result


def draw(figure: str, paths: Iterable[FilePath], pdf: FilePath) -> None:
    """Draw a figure.

    Parameters
    ----------
    figure : its name.
    paths : files of the results that it shows.
    pdf : path to write.
    """
    save(drawn(figure, read_results(paths)), pdf)


def drawn(figure: str, results: Mapping[str, Result]) -> Figure:
    """A figure, from results by the names of their analyses; optional results that are missing are left out."""
    what, analysis = FIGURES[figure]
    beside = {name: results[name] for name in what.beside if name in results}
    return resolve(what.draw)(results[analysis.name], **beside)
