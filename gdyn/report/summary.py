"""summary.json: every number of a system's report."""

from collections.abc import Iterable
from itertools import chain
from typing import Any

import numpy as np

import gdyn
from gdyn.analyses import ANALYSES
from gdyn.analyses.run import read_results
from gdyn.config import System
from gdyn.files import FilePath, write_json
from gdyn.logs import LOG
from gdyn.provenance import settings_checksum
from gdyn.report.verdict import verdict_of
from gdyn.result import Result
from gdyn.store.walk import Trajectories, opened

# Of what is in every summary; analyses give the units of their own numbers.
UNITS = {"verdict": "in words", "planned_ps": "ps, set, and counted"}


def write_summary(
    results: Iterable[FilePath],
    trajectories: Trajectories,
    summary: FilePath,
    name: str,
    system: System,
) -> None:
    """Gather the numbers of all analyses of a system in a file.

    Parameters
    ----------
    results : paths of the files of its analyses.
    trajectories : those of the system.
    summary : path to write.
    name, system : the system and its whole configuration.
    """
    read: dict[str, Any] = read_results(results)
    numbers = summarise(read, trajectories, name, system)
    populations = " ".join(f"{p:.3f}" if np.isfinite(p) else "?" for p in numbers["populations"])
    LOG.info(
        "%d states at a lag of %g ps: populations %s, slowest timescale %s, Chapman-Kolmogorov test %s",
        numbers["n_states"],
        numbers["lag_ps"],
        populations,
        numbers["timescales_ps"][0],
        read["chapman_kolmogorov"].outcome,
    )
    for sentence in numbers["warnings"]:
        LOG.warning("%s", sentence)
    for line in numbers["verdict"]:
        (LOG.info if line["answer"] == "green" else LOG.warning)("%s %s: %s", *line.values())
    write_json(summary, numbers)


def summarise(results: dict[str, Result], trajectories: Trajectories, name: str, system: System) -> dict[str, Any]:
    """The numbers of all analyses of a system.

    A number ``x`` that has a 95 % interval has a twin ``x_interval`` with ``low`` and ``high`` of the same
    shape; timescales carry theirs with them. ``units`` has the unit of each, and ``flags`` has
    the caveats of the numbers that have any; ``warnings`` are all these sentences.

    Parameters
    ----------
    results : those of the analyses of the system, by their names.
    trajectories : those of the system.
    name, system : the system and its whole configuration.
    """
    numbers: dict[str, Any] = {
        "system": name,
        "description": system.description,
        "applied": system.apply,
        "analyses": list(results),
        "verdict": [line._asdict() for line in verdict_of(results)],
    }
    flags: dict[str, list[str]] = {}
    units = dict(UNITS)
    for analysis in ANALYSES:
        units |= analysis.units
        if analysis.name in results:
            result = results[analysis.name]
            numbers |= analysis.summary(result)
            flags |= analysis.caveats(result)
    sources, reached_ps = [], []
    for trajectory in trajectories:
        with opened(trajectory) as store:
            reached_ps.append(float(store.time_ps[-1] - store.time_ps[0]))
            flags |= {"provenance": [*flags.get("provenance", []), *store.notes]} if store.notes else {}
            sources.append(
                {
                    "source": store.source,
                    "checksum": store.checksum,
                    "frames": len(store),
                    "segments": len(np.unique(store.segment)),
                    "unwrapped": store.unwrapped,
                }
            )
    planned_ps = system.trajectory.planned_ps
    if planned_ps:
        not_begun = system.trajectory.not_begun
        numbers["planned_ps"] = {"length_ps": planned_ps, "reached_ps": reached_ps, "not_begun": not_begun}
        if not_begun or min(reached_ps) < planned_ps - 0.5 * system.trajectory.frame_interval_ps:
            flags = {"planned_ps": [_describe_progress(planned_ps, reached_ps, system.labels, not_begun)]} | flags
    return numbers | {
        "flags": flags,
        "warnings": list(chain.from_iterable(flags.values())),
        "units": units,
        "provenance": {
            "version": gdyn.__version__,
            "config": settings_checksum(system.model_dump()),
            "trajectories": sources,
            "seed": numbers["choice"]["seed"],
        },
    }


def _describe_progress(planned_ps: float, reached_ps: list[float], labels: list[str], not_begun: list[str]) -> str:
    far = "; ".join(f"{label}: {reached:g}" for label, reached in zip(labels, reached_ps, strict=True))
    nothing = f"; practically nothing of {', '.join(not_begun)}" if not_begun else ""
    return (
        f"these are results of trajectories that are still being written: of {planned_ps:g} ps planned "
        f"for each, this much was there, in ps: {far}{nothing}; they change with every further frame"
    )
