"""The states compared with known sites, and the dynamics on all sites of the cell."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import SITES, Analysis, Figure, Row, percent, twins
from gdyn.analyses.chapman_kolmogorov import verdict_of

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.kinetics.site_analysis import SiteComparison
    from gdyn.kinetics.whole_cell import Assigned, ModelOfCell, WholeCell
    from gdyn.statistics.interval import Interval


class Sites(Analysis):
    """How the states compare with known sites, and what they imply for the whole site network."""

    name = "sites"
    place = 30
    estimator = "gdyn.kinetics.site_analysis:compare_with_sites"
    files = {
        "result": "analysis/sites.json",
        "timescales": "analysis/sites_timescales.csv",
        "points": "analysis/sites_points.csv",
        "cell": "analysis/whole_cell.json",
        "cell_timescales": "analysis/whole_cell_timescales.csv",
    }
    units = {
        "sites": "1",
        "sites.timescales_ps": "ps",
        "global": "ps",
        "global.local": "as of the same keys above",
        "global.vampnets": "as of the same keys above",
    }
    figures = (
        Figure(
            "sites",
            "states and sites",
            "gdyn.figures.sites:draw_sites",
            caption=(
                "Learned states and known sites, test frames. (a) Positions of the target in the cell, coloured by "
                "the probability of state 1, with the atoms around it as in the first frame. (b) The same positions "
                "projected along the third lattice vector; open symbols are the known sites."
            ),
        ),
        Figure(
            "whole_cell",
            "local and global dynamics",
            "gdyn.figures.whole_cell:draw_whole_cell",
            caption=(
                "From local to global: one column for each model of the dynamics in the cell. (a) Implied timescales "
                "with 95 % intervals. The local model sees one target and its surroundings; global VAMPnets see where "
                "all targets are; the rebuilt network follows from the local model and the bonds between the sites, "
                "by one hop per lag time (matrix) or by any number (generator). Dashed: the slowest processes on all "
                "sites, assigned by cores. Grey wedge: not resolved; dotted: the lag time of the models. (b) "
                "Positions of the targets along the third lattice vector, coloured by their state; right: the sites. "
                "(c) Chapman-Kolmogorov test: probability of being in the same state, or at the same site, after some "
                "time; lines are predictions, dots what is observed. At most four states are shown. Above: whether "
                "the test is passed, and the largest deviation of any probability, for the states as they are and "
                "with every target assigned to its most probable state."
            ),
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where a system has ``sites``."""
        return bool(system.sites)

    def summary(self, result: "SiteComparison") -> dict[str, Any]:
        """Both comparisons."""
        return {
            "sites": {
                "types": list(result.sites),
                "type_of_state": result.site_type_of_state,
                **twins(agreement=result.agreement, populations=result.populations, timescales_ps=result.timescales_ps),
            },
            "global": _cell_numbers(result.cell),
        }

    def rows(self, result: "SiteComparison") -> dict[str, list[Row]]:
        """Which state is which site, and the slowest timescales of each model."""
        rows = [Row(f"state {i} is", name) for i, name in enumerate(result.site_type_of_state, start=1)]
        rows.append(Row("frames assigned alike", percent(result.agreement)))
        for name, population in zip(result.sites, result.populations, strict=True):
            rows.append(Row(f"population of {name} by cores", str(population)))
        rows.append(Row("slowest timescale by cores", str(result.timescales_ps[0])))
        cell = result.cell
        slowest: dict[str, Interval | None] = {"all sites, observed by cores": cell.observed.slowest_ps}
        for name in ("matrix", "generator"):
            form = cell.rebuilt_by(name)
            slowest[f"all sites, rebuilt by {name}"] = form.slowest_ps if form else None
        rows += [Row(name, "not known" if time is None else str(time)) for name, time in slowest.items()]
        for model in cell.vampnets:
            text = f"{model.timescales_ps[0]}; test: {model.test.verdict}"
            rows.append(Row(f"global VAMPnet, {len(model.populations)} states", text))
        return {SITES: rows}


def _cell_numbers(cell: "WholeCell") -> dict[str, Any]:
    """The dynamics on all sites of the cell; a form that could not be rebuilt has no numbers."""
    numbers = twins(local_timescale_ps=cell.local.timescales_ps[0]) | {"local": _model_numbers(cell.local)}
    for name, key in (("matrix", "reconstructed"), ("generator", "reconstructed_generator")):
        form = cell.rebuilt_by(name)
        numbers |= twins(**{f"{key}_timescale_ps": form.slowest_ps if form else None})
        numbers[f"{key}_agrees"] = form.agrees if form else None
    return (
        numbers
        | twins(
            observed_timescales_ps=cell.observed.timescales_ps[: cell.degenerate],
            observed_timescale_ps=cell.observed.slowest_ps,
        )
        | {"vampnets": {str(len(model.populations)): _model_numbers(model) for model in cell.vampnets}}
    )


def _model_numbers(model: "ModelOfCell") -> dict[str, Any]:
    numbers = {
        "lag_ps": model.lag_ps,
        **twins(vamp2=model.vamp2),
        "noise_floor": model.vamp2.noise_floor,
        **_tested(model),
        "assigned": _tested(model.assigned),
    }
    if model.slowest_ps is not None:
        numbers |= twins(timescale_ps=model.slowest_ps) | {"agrees": model.agrees}
    return numbers


def _tested(model: "Assigned") -> dict[str, Any]:
    return {"timescales_ps": model.timescales_ps, **verdict_of(model.test)}
