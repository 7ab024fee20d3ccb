"""Running an analysis of the workflow, and reading its results: from files to files."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from gdyn.analyses import ANALYSES, BY_NAME
from gdyn.analyses.base import resolve
from gdyn.config import sections
from gdyn.files import FilePath
from gdyn.logs import LOG
from gdyn.result import Result
from gdyn.store import States


def analyse(
    name: str, inputs: Mapping[str, Any], outputs: Mapping[str, FilePath], parameters: Mapping[str, Any]
) -> None:
    """Run an analysis and write its result.

    Parameters
    ----------
    name : of the analysis.
    inputs : paths by the names of the estimator's parameters; states files are read, trajectories are opened by the
        estimator itself.
    outputs : paths by what is written there.
    parameters : ``settings``, sections of a system as plain values; ``version``, which is for Snakemake alone; all
        others are the estimator's.
    """
    analysis = BY_NAME[name]
    estimator = resolve(analysis.estimator)
    kinds = get_type_hints(estimator)
    values = {name: _opened(kinds[name], value) for name, value in analysis.prepare(dict(inputs)).items()}
    more = {key: value for key, value in parameters.items() if key not in ("settings", "version")}
    result = estimator(**values, **sections(parameters["settings"]), **more)
    for sentences in analysis.caveats(result).values():
        for sentence in sentences:
            LOG.warning("%s", sentence)
    for rows in analysis.rows(result).values():
        for row in rows:
            LOG.debug("%s: %s", *row)
    result.write(outputs)


def _opened(kind: Any, path: Any) -> Any:
    """What an estimator takes: states of a file or of several, or paths."""
    if kind is States or States in get_args(kind):
        return [States.read(one) for one in path] if isinstance(path, list) else States.read(path)
    return path


def read_results(paths: Iterable[FilePath]) -> dict[str, Result]:
    """The results of the analyses that have their files among some paths, by the names of the analyses."""
    paths = list(paths)
    there = {Path(path).name for path in paths}
    return {one.name: one.read(paths) for one in ANALYSES if Path(one.files["result"]).name in there}
