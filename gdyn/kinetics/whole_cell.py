"""From local to global: the dynamics on all sites of the cell, rebuilt, observed, and learned by VAMPnets."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Annotated, Any, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from gdyn.config import Kinetics
from gdyn.kinetics.chapman_kolmogorov import ChapmanKolmogorov, ck_test
from gdyn.kinetics.koopman import blocks_of, koopman_of, timescales
from gdyn.kinetics.model import Score, score
from gdyn.kinetics.populations import assign
from gdyn.kinetics.sites import SiteNetwork
from gdyn.kinetics.timescales import COLUMNS, Process, as_processes, lag_times, process_timescales, rows_of, slow
from gdyn.result import Array, Number, Result, Sentences, Share, Time, measured
from gdyn.statistics import Covariances
from gdyn.statistics.interval import PROBABILITY, Interval, overlap
from gdyn.statistics.shapes import Matrix, PerProcess
from gdyn.statistics.uncertainty import Blocks, Estimate, covariances_of
from gdyn.store import States
from gdyn.units import multiple

SAME_TIMESCALE = 1e-3  # of degenerate processes, relative
FORMS = ("matrix", "generator")


class Assigned(Result):
    """Timescales and test of a model, with every target in its most probable state.

    Soft states may follow a process without being metastable, and only this shows it.
    """

    timescales_ps: list[Annotated[Process, measured("ps", Process)]]
    test: ChapmanKolmogorov


class ModelOfCell(Assigned):
    """What a model predicts: populations, timescales, score, and Chapman-Kolmogorov test."""

    lag_ps: float
    populations: Array
    vamp2: Annotated[Score, measured(kind=Score)]
    assigned: Assigned
    slowest_ps: Time | None = None
    """The slowest timescale, over all degenerate processes, where the model has a state for each site."""
    agrees: bool | None = None
    """Whether it agrees with the observed one within the intervals of both."""


class Form(Result):
    """The rebuilt dynamics on all sites, in one of its forms."""

    timescales_ps: Time
    slowest_ps: Time
    sites: Array
    """(sites, sites) transition matrix"""
    predicted: Share
    """(steps + 1, types), probability to be at the same site."""
    max_deviation: Number
    agrees: bool | None = None


class Rebuilt(Result):
    """The dynamics on all sites, rebuilt from the local model; a form that does not exist is None."""

    matrix: Form | None
    generator: Form | None
    observed: Share
    """(steps + 1, types), as ``predicted`` of the forms."""
    lag_ps: Array
    """(steps + 1,)"""

    def of(self, form: str) -> Form | None:
        """One of the forms."""
        return getattr(self, form)


class Observed(Result):
    """Timescales of targets that are assigned to sites by cores."""

    timescales_ps: Time
    slowest_ps: Time


class WholeCell(Result):
    """What each model predicts of the dynamics on all sites of the cell."""

    lag_ps: float
    n_sites: int
    local: ModelOfCell
    observed: Observed
    rebuilt: Rebuilt | None
    not_rebuilt: str | None
    vampnets: list[ModelOfCell]
    degenerate: int
    """How many of the slowest processes are degenerate."""
    flags: Sentences

    def rebuilt_by(self, form: str) -> Form | None:
        """The dynamics rebuilt in one of its forms, where it exists."""
        return None if self.rebuilt is None else self.rebuilt.of(form)


Compared = TypeVar("Compared", Form, ModelOfCell)
StateOfType = Int[np.ndarray, " types"]


def whole_cell(
    network: SiteNetwork,
    states: States,
    state_of_type: StateOfType | None,
    by_site: States,
    vampnets: list[States],
    kinetics: Kinetics,
) -> tuple[WholeCell, pd.DataFrame]:
    """Compare the models of the dynamics on all sites of the cell.

    Parameters
    ----------
    network : SiteNetwork
    states : the States of the graph network.
    state_of_type : (types,) the state of each type of site, or None where they do not correspond.
    by_site : the States by cores: every target in one of the sites with certainty.
    vampnets : list of the States of global VAMPnets.
    kinetics : that section of a system.

    Returns
    -------
    cell : WholeCell
    table : timescales of each model at many lag times.
    """
    blocks = blocks_of(states, kinetics)
    observed = slow(by_site, by_site.lag_frames, blocks)
    reason, rebuilt, alike = network.cannot_be_rebuilt, None, 1
    if state_of_type is None:
        reason = reason or "the states do not correspond one to one to the types of site"
    elif not reason:
        rebuilt, alike = rebuild(network, states, state_of_type, by_site, kinetics.chapman_kolmogorov_steps, blocks)
    slowest = mean_of_slowest(observed, alike)
    models = [assess_model(vampnet, kinetics) for vampnet in vampnets]
    for number, (vampnet, model) in enumerate(zip(vampnets, models, strict=True)):
        if len(model.populations) == len(network.type_of):
            times = slow(vampnet, vampnet.lag_frames, blocks_of(vampnet, kinetics))
            models[number] = agreeing(model, mean_of_slowest(times, alike), slowest)
    if rebuilt:
        forms = {name: rebuilt.of(name) for name in FORMS}
        rebuilt = rebuilt.model_copy(
            update={name: agreeing(form, form.slowest_ps, slowest) for name, form in forms.items() if form}
        )
    cell = WholeCell(
        lag_ps=states.lag_ps,
        n_sites=len(network.type_of),
        local=assess_model(states, kinetics),
        observed=Observed(timescales_ps=observed.interval(logarithmic=True), slowest_ps=slowest),
        rebuilt=rebuilt,
        not_rebuilt=reason,
        vampnets=models,
        degenerate=alike,
        flags=[],
    )
    return cell.with_flags(flags_of(cell)), tables_of(network, states, state_of_type, by_site, vampnets, cell, kinetics)


def agreeing(model: Compared, slowest: Interval, observed: Interval) -> Compared:
    """The same model with its slowest timescale, and whether it agrees with the observed one, where that is known."""
    known = np.isfinite([observed.value, observed.high]).all()
    agrees = {"agrees": overlap(slowest, observed)} if known else {}
    return model.model_copy(update={"slowest_ps": slowest, **agrees})


def flags_of(cell: WholeCell) -> list[str]:
    """Caveats about the comparison, and which models do not agree with what is observed."""
    flags, observed = [], cell.observed.slowest_ps
    if cell.not_rebuilt:
        flags.append(f"the dynamics on all sites is not rebuilt from the states: {cell.not_rebuilt}")
    if not np.isfinite(observed.value):
        flags.append("some sites are never visited in the test frames: no timescale of all sites is observed")
    elif not np.isfinite(observed.high):
        flags.append(
            "some sites are not visited in every block of the test frames: what is observed of all sites has no "
            "interval, and nothing can be compared with it"
        )
    models: list[tuple[str, Form | ModelOfCell | None]] = [
        (f"the timescale rebuilt by {form}", cell.rebuilt_by(form)) for form in FORMS
    ]
    models += [(f"the {len(model.populations)}-state VAMPnet", model) for model in cell.vampnets]
    for name, model in models:
        if model and model.agrees is False:
            flags.append(f"{name} does not agree with what is observed by cores within their intervals")
    return flags


def tables_of(
    network: SiteNetwork,
    states: States,
    state_of_type: StateOfType | None,
    by_site: States,
    vampnets: list[States],
    cell: WholeCell,
    kinetics: Kinetics,
) -> pd.DataFrame:
    """Timescales of every model at many lag times, one table below the other."""
    tables = [lag_table("local", states, kinetics), lag_table("observed", by_site, kinetics)]
    for vampnet in vampnets:
        tables.append(lag_table(f"vampnet {vampnet.probabilities.shape[-1]}", vampnet, kinetics))
    if cell.rebuilt is not None and state_of_type is not None:
        order = np.ix_(state_of_type, state_of_type)
        for form, name in enumerate(FORMS):

            def rebuilt(matrix: Matrix, lag_ps: float, form: int = form) -> Matrix:
                return network.rebuild(matrix[order], lag_ps)[form]

            tables.append(lag_table(f"rebuilt, {name}", states, kinetics, rebuilt))
    return pd.concat(tables)


def assess_model(states: States, kinetics: Kinetics) -> ModelOfCell:
    """What a model predicts, by its states as they are and with every target in its most probable state."""
    hard = replace(states, probabilities=assign(states.probabilities))
    return ModelOfCell(
        lag_ps=states.lag_ps,
        populations=np.asarray(np.nanmean(states.probabilities, axis=(0, 1), dtype=np.float64)),
        vamp2=score(states, kinetics),
        **_kinetics_of(states, kinetics),
        assigned=Assigned(**_kinetics_of(hard, kinetics)),
    )


def _kinetics_of(states: States, kinetics: Kinetics) -> dict[str, Any]:
    blocks = blocks_of(states, kinetics)
    processes = process_timescales(states, states.lag_frames, blocks)
    return {"timescales_ps": processes, "test": ck_test(states, kinetics, blocks)}


def rebuild(
    network: SiteNetwork, states: States, state_of_type: StateOfType, by_site: States, steps: int, blocks: Blocks
) -> tuple[Rebuilt, int]:
    """Timescales of both forms at the lag of the states, and whether the rebuilt network predicts what is observed.

    Returns
    -------
    both forms, and how many times their slowest process is degenerate
    """
    lag, lag_ps = states.lag_frames, states.lag_ps
    order = np.ix_(state_of_type, state_of_type)
    n = len(state_of_type)
    n_sites = len(network.type_of)
    local = covariances_of(states, blocks).map_or_nan(lambda c: koopman_of(c)[order], (n, n))
    of_forms = local.map_or_nan(
        lambda matrix: np.stack(network.rebuild(matrix, lag_ps)), (len(FORMS), n_sites, n_sites)
    )
    fitting = min(steps, blocks.frames // (2 * lag))
    types = np.eye(len(network.types))[network.type_of]

    def staying(matrices: Sequence[Matrix]) -> Float[np.ndarray, "steps types"]:
        """Mean probability to be at the same site, for each type, of the sites that are visited: (steps + 1, types)."""
        stays = np.array([np.diag(matrix) for matrix in matrices])
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(stays) @ types / (np.isfinite(stays) @ types)

    pairs = Estimate.of(
        lambda p, s: [Covariances.of(p, s, n * lag) for n in range(fitting + 1)], by_site, blocks
    )  # fmt: skip
    observed = pairs.map(lambda c: staying([_transitions(one) for one in c])).interval(within=PROBABILITY)
    forms: dict[str, Form | None] = {}
    alike = 1
    for form, name in enumerate(FORMS):
        sites = of_forms.map(itemgetter(form))
        if not np.isfinite(sites.whole).all():
            forms[name] = None
            continue
        times = sites.map(lambda matrix: timescales(matrix, lag_ps))
        alike = int(np.isclose(times.whole, times.whole[0], rtol=SAME_TIMESCALE).sum())
        predicted = sites.map(
            lambda matrix: staying([np.linalg.matrix_power(matrix, n) for n in range(fitting + 1)])
        ).interval(within=PROBABILITY)
        forms[name] = Form(
            timescales_ps=times.interval(logarithmic=True),
            slowest_ps=mean_of_slowest(times, alike),
            sites=sites.whole,
            predicted=predicted,
            max_deviation=float(np.nanmax(np.abs(predicted.value - observed.value), initial=0.0)),
        )
    return Rebuilt(**forms, observed=observed, lag_ps=np.arange(fitting + 1) * lag_ps), alike


def _transitions(covariances: Covariances) -> Matrix:
    """Transition matrix of hard states; rows of those that are never visited are NaN."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return covariances.c01 / covariances.mean0[:, None]


def mean_of_slowest(times: Estimate[PerProcess], number: int) -> Interval:
    """The slowest timescale of ``number`` degenerate processes, which noise separates: their geometric mean."""
    return times.map(lambda t: np.exp(np.log(t[:number]).mean())).interval(logarithmic=True)


def lag_table(
    name: str,
    states: States,
    kinetics: Kinetics,
    change: Callable[[Matrix, float], Matrix] | None = None,
) -> pd.DataFrame:
    """Timescales at many lag times: one row for each lag and process.

    Parameters
    ----------
    name : of the model, for the table.
    states, kinetics : as for :func:`gdyn.kinetics.timescales.implied_timescales`.
    change : function of the Koopman matrix and the lag in ps, whose timescales are taken instead.
    """
    blocks = blocks_of(states, kinetics)
    rows = []
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= blocks.frames:
            continue

        def estimate(covariances: Covariances, lag_ps: float = lag_ps) -> PerProcess:
            matrix = koopman_of(covariances)
            if change:
                matrix = change(matrix, lag_ps)
                if not np.isfinite(matrix).all():
                    raise np.linalg.LinAlgError("this form does not exist")
            return timescales(matrix, lag_ps)

        try:
            times = covariances_of(states, blocks, lag).map(estimate).interval(logarithmic=True)
        except np.linalg.LinAlgError:
            continue
        rows += [{"model": name} | row for row in rows_of(lag_ps, as_processes(times, states, lag_ps=lag_ps))]
    return pd.DataFrame(rows, columns=["model", *COLUMNS])
