"""What a notebook needs, reached as ``gdyn.NAME``: dumps, results of the workflow, and estimators."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gdyn.analyses import BY_NAME, FIGURES
from gdyn.analyses.run import read_results
from gdyn.config import Kinetics, validated
from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.files import FilePath, expand, read_json
from gdyn.graphs.neighbors import nearest_neighbors
from gdyn.kinetics.model import KoopmanModel, koopman_model
from gdyn.result import Result
from gdyn.statistics.interval import Interval
from gdyn.store import States, TrajectoryStore
from gdyn.trajectory.ingest import ingest

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def read_dump(files: FilePath | Sequence[str], **trajectory: Any) -> TrajectoryStore:
    """Read a trajectory: a LAMMPS dump, or any file that MDAnalysis reads, in gdyn's units.

    It is read once, into a temporary file from which positions are then taken frame by frame; so a dump may be larger
    than the memory. The file is removed together with the trajectory.

    Parameters
    ----------
    files : path of the dump, or those of its parts in their order; patterns with ``*`` are allowed.
    trajectory : what a dump does not say about itself, as in a system's section of that name: ``units``,
        ``timestep`` and ``frame_interval_ps``, and if necessary ``topology``, ``elements`` or ``species``.

    Returns
    -------
    TrajectoryStore : ``atoms``, ``time_ps``, ``positions(frames, atoms)`` and ``cells(frames)``, in A.

    Raises
    ------
    ConfigError : a keyword does not exist, or has no such value.
    InputError : a file cannot be read, or does not agree with ``trajectory``.
    """
    paths = expand([str(files)] if isinstance(files, str | PathLike) else [str(path) for path in files])
    if not paths:
        raise InputError("read_dump: no file is given")
    trajectory = {key: str(value) if isinstance(value, PathLike) else value for key, value in trajectory.items()}
    settings = validated(Trajectory, {"files": [paths], **trajectory}, "read_dump")
    with ExitStack() as stack:
        path = Path(stack.enter_context(TemporaryDirectory(prefix="gdyn-")), "trajectory.h5")
        ingest(paths, path, settings)
        return TrajectoryStore.keep_open(path, stack.pop_all().close)


def neighbors(
    positions: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    count: int,
    periodic: Sequence[bool] = (True, True, True),
) -> tuple[Int[np.ndarray, "atoms count"], Float[np.ndarray, "atoms count"]]:
    """The nearest neighbors of every atom, nearest first; every periodic image counts.

    Parameters
    ----------
    positions : (atoms, 3), A, of any image.
    cell : (3, 3), A, lattice vectors in rows.
    count : how many of each atom.
    periodic : by lattice vector.

    Returns
    -------
    tuple : numbers (atoms, count) and distances (atoms, count), A.
    """
    return nearest_neighbors(positions, cell, count, periodic)


def koopman(
    states: States | Float[np.ndarray, "frames targets states"],
    lag_ps: float,
    frame_interval_ps: float | None = None,
    **kinetics: Any,
) -> KoopmanModel:
    """The Koopman model of states at a lag time, every number with its 95 % interval.

    Parameters
    ----------
    states : States, or their probabilities (frames, targets, states).
    lag_ps : lag time.
    frame_interval_ps : time from frame to frame, where only probabilities are given.
    kinetics : as in a system's section of that name, such as ``chunks`` or ``intervals``.

    Raises
    ------
    ConfigError : the lag time is not a whole number of frames, or a keyword does not exist or has no such value.
    InputError : they are no probabilities, or there are too few trajectories or targets for the intervals that are
        asked for.
    """
    settings = validated(Kinetics, kinetics, "koopman")
    if not isinstance(states, States):
        if frame_interval_ps is None:
            raise InputError("frame_interval_ps: give the time from frame to frame of these probabilities")
        states = States.of(np.asarray(states), lag_ps, frame_interval_ps)
    elif frame_interval_ps not in (None, states.frame_interval_ps):
        raise InputError(
            f"frame_interval_ps: {frame_interval_ps:g}, but the states are {states.frame_interval_ps:g} ps apart; "
            f"leave it out"
        )
    return koopman_model(states.at_lag(lag_ps), settings)


def results(folder: FilePath) -> "Results":
    """The results of a system: ``results("results/toy")``.

    Raises
    ------
    InputError : there are none in this folder.
    """
    return Results(folder)


class Results:
    """The results of one system of the workflow, read when they are asked for.

    Every analysis is an attribute of its name (``koopman``, ``chapman_kolmogorov``, ``sites``, ``trajectories``,
    ``structure``, ``order``, ``transport``, ``select``), as far as the system has it, and every figure a method
    ``plot_NAME()`` that gives a matplotlib figure.
    """

    def __init__(self, folder: FilePath) -> None:
        self.folder = Path(folder).resolve()
        self._results: dict[str, Result] = {}
        if not (self.folder / "summary.json").is_file():
            raise InputError(
                f"{self.folder}: there is no summary.json in it; give the folder of a system that has been run to the "
                f"end, such as results/toy"
            )

    def __repr__(self) -> str:
        """Which system, and which of its results exist."""
        return f"Results('{self.folder}'): {', '.join(self.analyses)}; figures {', '.join(self.figures)}"

    def __str__(self) -> str:
        """The Koopman model in a few lines, and the caveats about its numbers."""
        caveats = "".join(f"\ncaveat: {sentence}" for sentence in self.summary["warnings"])
        return f"{self.summary['system']}: {self.koopman}{caveats}"

    def __dir__(self) -> list[str]:
        """With the analyses and figures that there are."""
        return [*super().__dir__(), *self.analyses, *(f"plot_{name}" for name in self.figures)]

    def __getattr__(self, name: str) -> Any:
        """An analysis, or a function that draws a figure.

        Raises
        ------
        AttributeError : the system does not have it.
        """
        if name.startswith("_") or "folder" not in self.__dict__:  # while it is copied or unpickled
            raise AttributeError(name)
        if name in BY_NAME and name in self.analyses:
            return self._read(name)
        figure = name.removeprefix("plot_")
        if figure != name and figure in self.figures:
            return lambda: self.plot(figure)
        raise AttributeError(
            f"{self.folder}: there is no {name!r}; it has the analyses {', '.join(self.analyses)} and the figures "
            f"{', '.join(self.figures)}"
        )

    @property
    def summary(self) -> dict[str, Any]:
        """All numbers of the report, as in summary.json."""
        return read_json(self.folder / "summary.json")

    @property
    def analyses(self) -> list[str]:
        """The names of those that the summary is made of; files of others are of an earlier run."""
        summary = self.summary
        there = summary.get("analyses", BY_NAME)  # version 0.1 did not record them
        names = [name for name in BY_NAME if name in there]
        return [name for name in names if all(path.is_file() for path in self._files(name, summary))]

    @property
    def figures(self) -> list[str]:
        """The names of those that can be drawn; how an applied model was trained is shown where it was."""
        analyses, applied = self.analyses, bool(self.summary["applied"])
        return [
            name
            for name, (_, analysis) in FIGURES.items()
            if analysis.name in analyses and not (applied and analysis.of_model)
        ]

    @property
    def states(self) -> States:
        """Of the test frames."""
        return self.states_of("test")

    def states_of(self, split: str) -> States:
        """Of the frames of a split: ``train``, ``validation`` or ``test``."""
        return States.read(self.folder / f"states/{split}.h5")

    @property
    def trajectory_files(self) -> list[Path]:
        """Paths of the trajectory stores in the order of their numbers, as estimators take them."""
        stores = [path for path in (self.folder / "trajectory").glob("*.h5") if path.stem.isdigit()]
        return sorted(stores, key=lambda path: int(path.stem))

    @property
    def populations(self) -> pd.DataFrame:
        """A row for each state: its population and the interval of it."""
        return _table("state", "population", self.koopman.populations)

    @property
    def timescales(self) -> pd.DataFrame:
        """A row for each process: its timescale at the lag time of the model, ps, and the interval of it."""
        processes = self.koopman.timescales_ps
        table = _table("process", "timescale_ps", processes)
        return table.assign(resolved=[process.resolved for process in processes])

    def plot(self, figure: str) -> "Figure":
        """Draw a figure by its name."""
        if figure not in self.figures:
            raise InputError(f"{self.folder}: there is no figure {figure!r}; there are {', '.join(self.figures)}")
        from gdyn.analyses.draw import drawn  # loads matplotlib

        what, analysis = FIGURES[figure]
        names = {analysis.name, *what.beside} & set(self.analyses)
        return drawn(figure, {name: self._read(name) for name in names})

    def _read(self, name: str) -> Result:
        if name not in self._results:
            self._results |= read_results(self._files(name, self.summary))
        return self._results[name]

    def _files(self, name: str, summary: dict[str, Any]) -> list[Path]:
        """The files of an analysis; where it belongs to an applied model, those of that model's system."""
        analysis = BY_NAME[name]
        source = summary["applied"] if analysis.of_model else None
        folder = self.folder.parent / source if source else self.folder
        return [folder / file for file in analysis.files.values()]


def _table(kind: str, name: str, numbers: "Interval | Sequence[Interval]") -> pd.DataFrame:
    rows: Iterator[Interval] = iter(numbers)
    return pd.DataFrame({kind: i} | number.columns(name) for i, number in enumerate(rows, start=1)).set_index(kind)
