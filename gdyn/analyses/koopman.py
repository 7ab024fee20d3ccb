"""The Koopman model of the states."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import MODEL, TRUST, Analysis, Figure, Row, by_state, twins, twins_by_name
from gdyn.rounding import several

if TYPE_CHECKING:
    from gdyn.kinetics.convergence import Convergence
    from gdyn.kinetics.model import KoopmanModel
    from gdyn.kinetics.stationarity import Stationarity
    from gdyn.statistics.interval import Interval


class Koopman(Analysis):
    """Populations, Koopman matrix, timescales, mean times and scores."""

    name = "koopman"
    place = 10
    estimator = "gdyn.kinetics.model:koopman_model"
    files = {"result": "analysis/koopman.json", "timescales": "analysis/implied_timescales.csv"}
    units = {
        "n_states": "1, set",
        "lag_ps": "ps, set",
        "populations": "1",
        "populations_assigned": "1",
        "purity": "1",
        "timescales_ps": "ps",
        "transitions": "1, counted",
        "koopman": "1, probability per lag time",
        "koopman_reversible": "1, probability per lag time",
        "timescales_reversible_ps": "ps",
        "lifetimes_ps": "ps",
        "counted_lifetimes_ps": "ps",
        "first_passage_ps": "ps, from row to column",
        "stationary_distribution": "1",
        "pcca": "1",
        "vamp2": "1",
        "counted_timescales_ps": "ps",
        "stationary": "in words",
        "convergence": "ps",
        "convergence.change": "1",
        "needed_ps": "ps, length of the whole trajectory",
        "intervals.blocks": "1, counted",
        "intervals.block_ps": "ps, counted",
    }
    figures = (
        Figure(
            "timescales",
            "implied timescales",
            "gdyn.figures.timescales:draw_timescales",
            caption=(
                "Implied timescales of the learned states against lag time, on the test frames, with 95 % intervals. "
                "The dotted line is the lag time of the model. In the grey wedge a timescale is shorter than the lag "
                "time and cannot be resolved. Where sites are known, the dashed line is the timescale of targets "
                "assigned to them by cores."
            ),
            beside=("sites",),
        ),
        Figure(
            "koopman",
            "Koopman model",
            "gdyn.figures.koopman:draw_koopman",
            caption=(
                "The Koopman model on the test frames, with 95 % intervals. (a) Koopman matrix: probability of "
                "going from one state to another within the lag time. (b) Populations of the states. (c) Left "
                "eigenvectors by state: which states each slow process exchanges; the legend gives its timescale."
            ),
        ),
        Figure(
            "network",
            "transition network",
            "gdyn.figures.network:draw_network",
            caption=(
                "The states as a network. The area of a disk is the population of its state; beside it are the "
                "population and the mean time that a target stays. The width of an arrow is the flux along it, its "
                "label the mean first-passage time: how long it takes on average until a target in one state first "
                "reaches the other. Fluxes are those of the reversible matrix, times those of its generator or of "
                "counted visits, as the table of numbers says; the intervals are in summary.json."
            ),
        ),
    )

    def summary(self, result: "KoopmanModel") -> dict[str, Any]:
        """All of its numbers but the eigenvectors."""
        scores = result.vamp2.by_split
        return {
            "n_states": result.n_states,
            "lag_ps": result.lag_ps,
            **twins(populations=result.populations, populations_assigned=result.populations_assigned),
            "timescales_ps": result.timescales_ps,
            "transitions": result.transitions,
            **twins(
                koopman=result.koopman,
                stationary_distribution=result.stationary_distribution,
                koopman_reversible=result.reversible,
                timescales_reversible_ps=result.reversible_timescales_ps,
                lifetimes_ps=result.lifetimes_ps,
                counted_lifetimes_ps=result.counted_lifetimes_ps,
                counted_timescales_ps=result.counted_timescales_ps,
                first_passage_ps=result.first_passage_ps,
                purity=result.purity,
            ),
            "rates_from": result.rates_from,
            "pcca": result.pcca and twins(populations=result.pcca.populations, koopman=result.pcca.koopman),
            "vamp2": {split: score.value for split, score in scores.items()}
            | {"noise_floor": scores["test"].noise_floor, "convention": result.vamp2.convention},
            "vamp2_interval": twins_by_name("vamp2", scores)["vamp2_interval"],
            "intervals": result.intervals,
            "stationary": result.stationarity and _stationary(result.stationarity),
            "convergence": result.convergence and _convergence(result.convergence),
            "needed_ps": result.needed_ps,
        }

    def rows(self, result: "KoopmanModel") -> dict[str, list[Row]]:
        """The most important numbers, and how far the states can be trusted."""
        how = {"generator": "by the generator", "counted": "counted"}[result.rates_from]
        model = [
            Row("states", str(result.n_states)),
            Row("lag time", f"{result.lag_ps:g} ps"),
            *by_state("population of state {}", result.populations),
            *(Row(f"timescale of process {i}", str(one)) for i, one in enumerate(result.timescales_ps, start=1)),
            *(
                Row(f"timescale of process {i}, counted", one.as_time())
                for i, one in enumerate(_counted(result), start=1)
            ),
            *(_observed(i, seen) for i, seen in enumerate(result.transitions, start=1)),
            *by_state(f"mean time in state {{}}, {how}", result.lifetimes_ps),
        ]
        if how != "counted":
            model += by_state("mean time in state {}, counted", result.counted_lifetimes_ps)
        scores = dict(result.vamp2.by_split)
        test = scores.pop("test")
        trust = [
            Row("VAMP-2 score, test frames", str(test)),
            *(Row(f"VAMP-2 score, {split} frames", str(score)) for split, score in scores.items()),
            Row("noise floor of the score", f"{test.noise_floor:.2g} on the test frames"),
        ]
        if result.pcca:
            trust += by_state("population of state {}, PCCA+", result.pcca.populations)
        return {MODEL: [*model, Row("purity of the states", str(result.purity))], TRUST: trust}


def _stationary(found: "Stationarity") -> dict[str, Any]:
    beside = {key: getattr(found, key) for key in ("slower", "collective", "driven")}
    return {"outcome": found.outcome, "reason": found.reason} | beside


def _convergence(found: "Convergence") -> dict[str, Any]:
    changes = {part: [getattr(rise.change, part) for rise in found.processes] for part in ("value", "low", "high")}
    return {
        "outcome": found.outcome,
        "lower_bound_ps": [rise.lower_bound_ps for rise in found.processes],
        "change": changes["value"],
        "change_interval": {part: changes[part] for part in ("low", "high")},
        "longest_lag_ps": [rise.longest_lag_ps for rise in found.processes],
        "next_lag_ps": found.next_lag_ps,
    }


def _counted(result: "KoopmanModel") -> list["Interval"]:
    """Timescales counted from core to core; none where they cannot be counted, or an older version did not."""
    counted = result.counted_timescales_ps
    there = result.not_counted is None and getattr(counted.value, "ndim", 0) == 1
    return list(counted) if there else []


def _observed(process: int, seen: dict[str, Any]) -> Row:
    ends = [", ".join(map(str, seen[end])) for end in ("from", "to")]
    counts = (
        f"{seen['forward']} from {ends[0]} to {ends[1]}, {seen['backward']} back; {several(seen['targets'], 'target')}"
    )
    return Row(f"observed transitions of process {process}", counts if all(ends) else "none")
