"""From local to global: the dynamics on all sites of the cell, rebuilt, observed, and learned by VAMPnets."""

from dataclasses import replace

import numpy as np
import pandas as pd

from gdyn.kinetics.analysis import as_processes, assign, blocks_of, lag_times, score
from gdyn.kinetics.chapman_kolmogorov import tested
from gdyn.kinetics.koopman import koopman_matrix, koopman_of, timescales
from gdyn.logs import LOG
from gdyn.statistics import Covariances
from gdyn.statistics.interval import PROBABILITY
from gdyn.statistics.uncertainty import Estimate
from gdyn.units import multiple

SAME_TIMESCALE = 1e-3  # of degenerate processes, relative
FORMS = ("matrix", "generator")


def whole_cell(network, states, state_of_type, by_site, vampnets, kinetics):
    """Compare what is known of the dynamics on all sites of the cell.

    Parameters
    ----------
    network : SiteNetwork
    states : the States of the graph network.
    state_of_type : (types,) which state is which type of site, or None where they do not correspond.
    by_site : the States by cores: every target in one of the sites for certain.
    vampnets : list of the States of global VAMPnets.
    kinetics : that section of a system.

    Returns
    -------
    answer : dict ``local``, ``rebuilt`` (None, and ``not_rebuilt`` why), ``observed`` and ``vampnets``, each with
        timescales, and what predicts them with its Chapman-Kolmogorov test; and ``flags``.
    table : timescales of each at many lag times.
    """
    steps, blocks = kinetics.chapman_kolmogorov_steps, blocks_of(states, kinetics)
    reason = network.cannot_be_rebuilt
    if not reason and state_of_type is None:
        reason = "the states do not correspond one to one to the types of site"
    observed = slow(by_site, by_site.lag_frames, blocks)
    answer = {
        "lag_ps": states.lag_ps,
        "n_sites": len(network.type_of),
        "local": of_states(states, kinetics),
        "observed": {"timescales_ps": observed.interval(logarithmic=True)},
        "rebuilt": None,
        "not_rebuilt": reason,
        "vampnets": [of_states(vampnet, kinetics) for vampnet in vampnets],
    }
    tables = [
        lag_table("local", states, kinetics),
        lag_table("observed", by_site, kinetics),
        *(lag_table(f"vampnet {len(found['populations'])}", vampnet, kinetics)
          for vampnet, found in zip(vampnets, answer["vampnets"], strict=True)),
    ]  # fmt: skip
    flags = []
    if reason:
        LOG.warning("the dynamics on all sites is not rebuilt: %s", reason)
        flags.append(f"the dynamics on all sites is not rebuilt from the states: {reason}")
        alike = 1
    else:
        answer["rebuilt"], alike = rebuilt(network, states, state_of_type, by_site, steps, blocks)
        for form, name in enumerate(FORMS):
            tables.append(
                lag_table(
                    f"rebuilt, {name}",
                    states,
                    kinetics,
                    lambda k, lag, f=form: network.rebuild(k, lag)[f],
                    state_of_type,
                )
            )
    answer["degenerate"] = alike
    answer["observed"]["slowest_ps"] = mean_of_slowest(observed, alike)
    for vampnet, found in zip(vampnets, answer["vampnets"], strict=True):
        n = len(found["populations"])
        if n == len(network.type_of):
            own = slow(vampnet, vampnet.lag_frames, blocks_of(vampnet, kinetics))
            found["slowest_ps"] = mean_of_slowest(own, alike)
    candidates = {f"the timescale rebuilt by {form}": (answer["rebuilt"] or {}).get(form) for form in FORMS}
    candidates |= {f"the {len(f['populations'])}-state VAMPnet": f for f in answer["vampnets"] if "slowest_ps" in f}
    observed_ps = answer["observed"]["slowest_ps"]
    known = np.isfinite([observed_ps.value, observed_ps.high]).all()
    if not np.isfinite(observed_ps.value):
        flags.append("some sites are never visited in the test frames: no timescale of all sites is observed")
    elif not known:
        flags.append(
            "some sites are not visited in every block of the test frames: what is observed of all sites has no "
            "interval, and nothing can be compared with it"
        )
    for name, found in candidates.items():
        if found:
            found["agrees"] = None
        if found and known:
            found["agrees"] = overlap(found["slowest_ps"], observed_ps)
            if not found["agrees"]:
                flags.append(f"{name} does not agree with what is observed by cores within their intervals")
    answer["flags"] = flags
    return answer, pd.concat(tables)


def of_states(states, kinetics):
    """What a model says: populations, timescales, score, and Chapman-Kolmogorov test.

    ``assigned`` is what becomes of timescales and test where every target is assigned to its most probable state: soft
    states may follow one process without being states, and then only this tells.
    """
    return {
        "lag_ps": states.lag_ps,
        "populations": np.nanmean(states.probabilities, axis=(0, 1), dtype=np.float64),
        "vamp2": score(states, kinetics),
        **_kinetics_of(states, kinetics),
        "assigned": _kinetics_of(replace(states, probabilities=assign(states.probabilities)), kinetics),
    }


def _kinetics_of(states, kinetics):
    blocks = blocks_of(states, kinetics)
    times = slow(states, states.lag_frames, blocks).interval(logarithmic=True)
    return {
        "timescales_ps": as_processes(times, states),
        "test": tested(states, kinetics.chapman_kolmogorov_steps, blocks),
    }


def slow(states, lag_frames, blocks):
    """Estimate of the timescales at a lag: (states - 1,), ps; no numbers where some state never occurs."""
    lag_ps = lag_frames * states.frame_interval_ps
    covariances = Estimate.of(lambda p, s: Covariances.of(p, s, lag_frames), states, blocks)
    return covariances.map_or_nan(lambda c: timescales(koopman_of(c), lag_ps), states.probabilities.shape[-1] - 1)


def rebuilt(network, states, state_of_type, by_site, steps, blocks):
    """Timescales of both forms at the lag of the states, and whether the rebuilt network predicts what is observed.

    Returns
    -------
    dict with ``matrix`` and ``generator``, and how many times its slowest process is degenerate
    """
    lag, lag_ps = states.lag_frames, states.lag_ps
    order = np.ix_(state_of_type, state_of_type)
    n = len(state_of_type)
    local = Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks).map_or_nan(
        lambda c: koopman_of(c)[order], (n, n)
    )
    fitting = min(steps, blocks.frames // (2 * lag))
    types = np.eye(len(network.types))[network.type_of]

    def staying(matrices):
        """Mean probability to be at the same site, for each type, of the sites that are visited: (steps + 1, types)."""
        stays = np.array([np.diag(matrix) for matrix in matrices])
        with np.errstate(invalid="ignore"):
            return np.nan_to_num(stays) @ types / (np.isfinite(stays) @ types)

    observed = Estimate.of(
        lambda p, s: [_transitions(p, s, n * lag) for n in range(fitting + 1)], by_site, blocks
    ).map(staying).interval(within=PROBABILITY)  # fmt: skip
    found, alike = {}, 1
    for form, name in enumerate(FORMS):
        n_sites = len(network.type_of)
        sites = local.map_or_nan(lambda matrix, form=form: network.rebuild(matrix, lag_ps)[form], (n_sites, n_sites))
        if not np.isfinite(sites.whole).all():
            found[name] = None
            continue
        times = sites.map(lambda matrix: timescales(matrix, lag_ps))
        alike = int(np.isclose(times.whole, times.whole[0], rtol=SAME_TIMESCALE).sum())
        predicted = sites.map(
            lambda matrix: staying([np.linalg.matrix_power(matrix, n) for n in range(fitting + 1)])
        ).interval(within=PROBABILITY)
        found[name] = {
            "timescales_ps": times.interval(logarithmic=True),
            "slowest_ps": mean_of_slowest(times, alike),
            "sites": sites.whole,
            "predicted": predicted,
            "max_deviation": float(np.nanmax(np.abs(predicted.value - observed.value), initial=0.0)),
        }
    return {**found, "observed": observed, "lag_ps": np.arange(fitting + 1) * lag_ps}, alike


def _transitions(probabilities, segment, lag_frames):
    """Transition matrix of hard states; rows of those that are never visited are not numbers."""
    c = Covariances.of(probabilities, segment, lag_frames)
    with np.errstate(invalid="ignore", divide="ignore"):
        return c.c01 / c.mean0[:, None]


def mean_of_slowest(times, number):
    """The slowest timescale where it is of ``number`` processes alike, which noise sets apart: their geometric mean."""
    return times.map(lambda t: np.exp(np.log(t[:number]).mean())).interval(logarithmic=True)


def overlap(a, b):
    """Whether two positive numbers differ by no more than their 95 % intervals, added in squares on the logarithm."""
    numbers = [a.value, a.high, b.value, b.high]
    if not (np.isfinite(numbers).all() and min(numbers) > 0):
        return False
    half = np.hypot(np.log(a.high / a.value), np.log(b.high / b.value))
    return bool(abs(np.log(a.value / b.value)) <= half)


def lag_table(name, states, kinetics, change=None, order=None):
    """Timescales at many lag times: one row for each lag and process.

    Parameters
    ----------
    name : of the model, for the table.
    states, kinetics : as for :func:`gdyn.kinetics.analysis.scan_lags`.
    change : function of the Koopman matrix and the lag in ps whose timescales are meant instead.
    order : of the states in that matrix.
    """
    blocks = blocks_of(states, kinetics)
    rows = []
    for lag_ps in lag_times(states, kinetics):
        lag = multiple(lag_ps, states.frame_interval_ps, "kinetics.timescale_lags_ps", "the frame interval")
        if 2 * lag >= blocks.frames:
            continue

        def estimate(p, s, lag=lag, lag_ps=lag_ps):
            matrix = koopman_matrix(p, s, lag)
            if change:
                matrix = change(matrix[np.ix_(order, order)], lag_ps)
                if not np.isfinite(matrix).all():
                    raise np.linalg.LinAlgError("this form does not exist")
            return timescales(matrix, lag_ps)

        try:
            found = Estimate.of(estimate, states, blocks).interval(logarithmic=True)
        except np.linalg.LinAlgError:
            continue
        rows += [
            {"model": name, "lag_ps": lag_ps, "process": i}
            | {f"{'timescale' if part == 'value' else part}_ps": process[part] for part in ("value", "low", "high")}
            | {"resolved": process["resolved"]}
            for i, process in enumerate(as_processes(found, states, lag_ps=lag_ps), start=1)
        ]
    columns = ("model", "lag_ps", "process", "timescale_ps", "low_ps", "high_ps", "resolved")
    return pd.DataFrame(rows, columns=columns)
