"""Transport by state: which transitions carry diffusion and conduction, with 95 % intervals."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from gdyn.config import Kinetics
from gdyn.config import Transport as Settings
from gdyn.kinetics.koopman import blocks_of, koopman_of, stationary_distribution
from gdyn.result import Charge, Number, Result, Sentences, Share, Table, measured
from gdyn.statistics import Covariances
from gdyn.statistics.interval import POSITIVE, PROBABILITY, Interval
from gdyn.statistics.shapes import Matrix
from gdyn.statistics.uncertainty import FEW_BLOCKS, Blocks, Estimate, covariances_of
from gdyn.store import States
from gdyn.store.walk import Integers, Trajectories
from gdyn.transport.displacement import (
    FRAMES,
    Paths,
    Walkers,
    mean_of,
    mean_square,
    read_paths,
    square_sums,
    transition_sums,
)
from gdyn.units import CONDUCTIVITY_S_PER_M, DIFFUSION_M2_PER_S, multiple

DIFFUSIVE = 0.85  # least slope of ln MSD against ln t of a motion that is called diffusive
MANY_CARRIERS = 100  # of each sign, from which on finite size matters little to a collective conductivity
LARGEST_ERROR = 0.5  # relative half width of an interval that is called converged
PERCENT = (0.0, 100.0)

Times = Float[np.ndarray, " times"]
Diffusion = Annotated[Interval, measured("m2/s")]
Conductivity = Annotated[Interval, measured("S/m")]
Percent = Annotated[Interval, measured("%")]


class Collective(Result):
    """What all ions together carry."""

    transference: dict[str, Share | None]
    """Part of the targets in the collective conductivity, by what is at rest."""


class Transport(Result):
    """Diffusion and conduction, divided among the transitions between states.

    Matrices are (states, states), from row to column.
    """

    lag_ps: float
    diffusion_m2_per_s: Diffusion
    """Diffusion coefficient of each transition."""
    joint_probability: Share
    """Probability of each transition within the lag time."""
    contribution_percent: Percent
    """Share of each transition, by weights whose sum is the mean square displacement."""
    contribution_percent_paper: Percent
    """Share of each transition, by population times Koopman matrix."""
    msd_closure_residual: Number
    """By how much the sum over transitions differs from the mean square displacement, relative."""
    msd_closure_residual_paper: Number
    charges_e: Charge | None
    """(states,), by which transitions are weighted; None where these are not known."""
    conductivity_S_per_m: Conductivity | None
    """Sum over the transitions."""
    carriers: Number
    volume_A3: float
    temperature_K: float
    tracer_diffusion_m2_per_s: Diffusion
    """From the slope of the mean square displacement at long times."""
    msd_exponent: Number
    """Of time, with which the mean square displacement grows there."""
    conductivity_nernst_einstein_S_per_m: Conductivity | None = None
    conductivity_einstein_S_per_m: Conductivity | None = None
    """From the dipole of all charges."""
    transference: Share | None = None
    """Part of the targets in it, with the reference at rest."""
    collective: Collective
    flags: Sentences
    transitions: Table
    """Diffusion coefficient and joint probability of every transition against time."""
    displacements: Table
    """Mean square displacement against time."""


def transport_by_state(
    states: States,
    trajectories: Trajectories,
    charges_e: Mapping[str, Interval],
    transport: Settings,
    kinetics: Kinetics,
) -> Transport:
    """Divide diffusion and conduction among the transitions between states.

    Parameters
    ----------
    states : of the test frames.
    trajectories : those of the system, in the order of their numbers.
    charges_e : charges of the states (states,) by how they are counted, ``atoms`` or ``molecules``; see
        :class:`gdyn.structure.analysis.Structure`.
    transport, kinetics : those sections of a system.

    Raises
    ------
    InputError : displacements are meaningless in these trajectories.
    """
    if kinetics.chunks == "auto":  # displacements take long, and many short blocks would not hold them
        kinetics = kinetics.model_copy(update={"chunks": FEW_BLOCKS})
    blocks = blocks_of(states, kinetics)
    paths = read_paths(states, trajectories, transport.reference)
    flags = list(paths.flags)
    charges = charges_of(charges_e, transport.charges, flags)
    lags = lag_series(states, blocks, transport)
    times_ps = lags * states.frame_interval_ps
    squares = Estimate.of(
        lambda p, s, x: [square_sums(x, s, n) for n in lags], states, blocks, paths.targets
    ).map(means_of)  # fmt: skip
    of_transitions = by_transitions(states, blocks, paths, charges, transport.temperature_K)
    together = tracer(times_ps, squares, flags) | collective(states, paths, blocks, lags, transport, flags)
    msd = squares.interval(logarithmic=True)
    return Transport(
        lag_ps=states.lag_ps,
        **of_transitions,
        carriers=states.present.sum(1).mean(),
        volume_A3=paths.volume_A3,
        temperature_K=transport.temperature_K,
        **together,
        flags=flags,
        transitions=transition_table(states, blocks, paths, lags),
        displacements=pd.DataFrame({"time_ps": times_ps, "msd_A2": msd.value, "low": msd.low, "high": msd.high}),
    )


def charges_of(by_kind: Mapping[str, Interval], kind: str, flags: list[str]) -> Interval | None:
    """The charges that transitions are weighted by; None, and a sentence in ``flags``, where they are not known."""
    charges = by_kind.get(kind)
    if charges is None and (charges := by_kind.get("atoms")) is not None:
        flags.append("molecules are not known, so the charges of states are sums over single atoms")
    if charges is None:
        flags.append(
            "there are no charges in the dump: contributions are to diffusion, with equal weight for every carrier"
        )
    elif not (np.isfinite(charges.value).all() and charges.value.any()):
        flags.append(
            "the charge of a state is not known: contributions are to diffusion, with equal weight for every carrier"
        )
        return None
    return charges


def by_transitions(
    states: States, blocks: Blocks, paths: Paths, charges: Interval | None, temperature_K: float
) -> dict[str, Any]:
    """What each transition contributes at the lag time (equations 21 to 23 of docs/theory.md)."""
    lag, lag_ps, n = states.lag_frames, states.lag_ps, states.probabilities.shape[-1]
    z = np.ones(n) if charges is None else charges.value
    pair_z = 0.5 * (z[:, None] + z)
    moved = transitions_at(states, blocks, paths, lag)
    weights = covariances_of(states, blocks).map_or_nan(_paper_weights, (n, n))
    exact = moved.map(lambda m: pair_z**2 * m[1])
    paper = Estimate.join(lambda m, w: pair_z**2 * w * _ratio(m[1], m[0]), moved, weights)
    msd = mean_square(paths.targets, states.segment, lag)
    carriers = states.present.sum(1).mean()
    to_sigma = CONDUCTIVITY_S_PER_M * carriers / (paths.volume_A3 * temperature_K) / (6.0 * lag_ps)
    conductivity = exact.map(lambda c: to_sigma * c.sum()).interval(within=POSITIVE)
    by_paper = (weights.whole * _ratio(moved.whole[1], moved.whole[0])).sum()
    return {
        "diffusion_m2_per_s": diffusion_of(moved, lag_ps),
        "joint_probability": moved.map(lambda m: m[0]).interval(within=PROBABILITY),
        "contribution_percent": exact.map(_percent).interval(within=PERCENT),
        "contribution_percent_paper": paper.map(_percent).interval(within=PERCENT),
        "msd_closure_residual": abs(_ratio(moved.whole[1].sum(), msd) - 1.0),
        "msd_closure_residual_paper": abs(_ratio(by_paper, msd) - 1.0),
        "charges_e": charges,
        "conductivity_S_per_m": None if charges is None else conductivity,
    }


def diffusion_of(moved: Estimate[np.ndarray], time_ps: float) -> Interval:
    """Diffusion coefficient of each transition within a time: (states, states), m2/s."""
    factor = DIFFUSION_M2_PER_S / (6.0 * time_ps)
    return moved.map(lambda m: factor * _ratio(m[1], m[0])).interval(within=POSITIVE)


def _paper_weights(covariances: Covariances) -> Matrix:
    """``pi_i K_ij``."""
    matrix = koopman_of(covariances)
    return stationary_distribution(matrix)[:, None] * matrix


def _ratio(numerator: Any, denominator: Any) -> Any:
    """Their ratio, NaN where the divisor is zero."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(denominator) != 0, np.divide(numerator, denominator), np.nan)


def _percent(contributions: Float[np.ndarray, "*states"]) -> Float[np.ndarray, "*states"]:
    return 100.0 * _ratio(contributions, contributions.sum())


def transitions_at(states: States, blocks: Blocks, paths: Paths, lag_frames: int) -> Estimate[np.ndarray]:
    """Estimate of the joint probabilities and squared displacements of all transitions: (2, states, states)."""
    moved = Estimate.of(lambda p, s, x: transition_sums(p, s, x, lag_frames), states, blocks, paths.targets)
    return moved.map(mean_of)


def means_of(several: Sequence[Sequence[np.ndarray]]) -> Times:
    """The means of several sums: (times,)."""
    return np.array([mean_of(sums) for sums in several])


def lag_series(states: States, blocks: Blocks, transport: Settings) -> Integers:
    """The lag times of displacements in frames: those asked for, or a series up to a half of a block."""
    if transport.lags_ps:
        interval = states.frame_interval_ps
        lags = np.array([multiple(t, interval, "transport.lags_ps", "the frame interval") for t in transport.lags_ps])
    else:
        lags = np.unique(np.geomspace(1, max(2, blocks.frames // 2), 25).astype(int))
    lags = np.unique([*lags[2 * lags <= blocks.frames], states.lag_frames])
    return lags


def tracer(times_ps: Times, squares: Estimate[Times], flags: list[str]) -> dict[str, Any]:
    """Diffusion coefficient of the targets: slope of their mean square displacement over the last half of the times."""
    late = last_half(times_ps)
    coefficient = squares.map(lambda m: slope_of(times_ps[late], m[late]) / 6.0 * DIFFUSION_M2_PER_S)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = slope_of(np.log(times_ps[late]), np.log(squares.whole[late]))
    if np.isnan(slope):
        flags.append("nothing moves, or there are too few frames: there is no diffusion coefficient")
    elif not coefficient.whole > 0:
        flags.append("the diffusion coefficient is not determined: its value is not above zero")
    elif not slope >= DIFFUSIVE:
        flags.append(
            f"the motion is not diffusive yet: the mean square displacement grows as t^{slope:.2f} between "
            f"{times_ps[late][0]:g} and {times_ps[-1]:g} ps, so no diffusion coefficient here is final"
        )
    return {"tracer_diffusion_m2_per_s": coefficient.interval(within=POSITIVE), "msd_exponent": slope}


def last_half(times_ps: Times) -> Bool[np.ndarray, " times"]:
    """Which times are in the last half, at least two of them where there are two: (times,) bool."""
    late = times_ps >= 0.5 * times_ps[-1]
    return late if late.sum() > 1 else np.arange(len(times_ps)) >= len(times_ps) - 2


def slope_of(x: Float[np.ndarray, " points"], y: Float[np.ndarray, " points"]) -> float:
    """Slope of a straight line through points; NaN where they do not determine it."""
    if len(x) < 2 or not np.isfinite(y).all():
        return np.nan
    return float(np.polyfit(x, y, 1)[0])


def collective(
    states: States, paths: Paths, blocks: Blocks, lags: Integers, transport: Settings, flags: list[str]
) -> dict[str, Any]:
    """Conductivity of tracers (Nernst-Einstein), of the dipole of all charges (Einstein), and the targets' part.

    Equations 24 and 25 of docs/theory.md, from the slopes over the last half of the times. Transference numbers depend
    on what is taken to be at rest: ``transference`` is in the frame of ``transport.reference``, ``collective`` has
    those in the barycentric frame and in that of the solvent.
    """
    if paths.dipole is None or not paths.ions or blocks.method == "targets":
        return {"collective": Collective(transference=dict.fromkeys(FRAMES))}
    times_ps = lags * states.frame_interval_ps
    late = last_half(times_ps)
    factor = CONDUCTIVITY_S_PER_M / (paths.volume_A3 * transport.temperature_K) / 6.0

    def slope(
        positions: Callable[[np.ndarray], Walkers],
        data: np.ndarray,
        others: Callable[[np.ndarray], Walkers] | None = None,
    ) -> Estimate[float]:
        """Slope of the mean square of some of the data, or of its product with others."""
        sums = Estimate.of(
            lambda p, s, x: [square_sums(positions(x), s, n, others and others(x)) for n in lags[late]],
            states, blocks, by_frame=data,
        )  # fmt: skip
        return sums.map(lambda several: slope_of(times_ps[late], means_of(several)))

    everything = slope(lambda x: x[:, None], paths.dipole)

    def transference(centre: np.ndarray) -> Interval:
        """The targets' part, with a centre at rest; the dipole of a neutral system does not depend on it."""
        of_targets = paths.target_dipole - paths.target_charge[:, None] * centre
        both = np.concatenate([of_targets, paths.dipole], axis=1)
        part = slope(lambda x: x[:, None, :3], both, lambda x: x[:, None, 3:])
        return Estimate.join(_ratio, part, everything).interval()

    def carried(net: float, positions: Walkers) -> Estimate[float]:
        """By ions of one net charge, each by itself."""
        return slope(lambda x: x, positions).map(lambda one: net**2 * positions.shape[1] * one)

    nernst = Estimate.join(lambda *of_ions: sum(of_ions), *(carried(*ions) for ions in paths.ions.items()))
    einstein = everything.map(lambda v: factor * v).interval(within=POSITIVE)
    carriers = min(positions.shape[1] for positions in paths.ions.values())
    if carriers < MANY_CARRIERS:
        flags.append(
            f"the collective conductivity is that of a cell of {carriers} ions of a kind: the effect of its finite "
            f"size is large, and not corrected for"
        )
    flags += paths.charge_flags
    if not einstein.high - einstein.value < LARGEST_ERROR * abs(einstein.value):
        flags.append("the collective conductivity has not converged: its interval is wider than half of its value")
    by_frame = {name: transference(paths.centres[name]) if name in paths.centres else None for name in FRAMES}
    if by_frame["solvent"] is None:
        flags.append("there are no neutral molecules, so there is no transference number in the frame of a solvent")
    for name, number in by_frame.items():
        if number is not None and not number.half < LARGEST_ERROR:
            flags.append(
                f"the transference number in the {name} frame is not determined: its interval is wider than all values "
                f"from 0 to 1"
            )
    return {
        "conductivity_nernst_einstein_S_per_m": nernst.map(lambda v: factor * v).interval(within=POSITIVE),
        "conductivity_einstein_S_per_m": einstein,
        "transference": transference(np.zeros(3)),
        "collective": Collective(transference=by_frame),
    }


def transition_table(states: States, blocks: Blocks, paths: Paths, lags: Integers) -> pd.DataFrame:
    """``D_ij`` and the joint probability of every transition against time."""
    rows = []
    for lag in lags:
        time_ps = lag * states.frame_interval_ps
        moved = transitions_at(states, blocks, paths, lag)
        diffusion = diffusion_of(moved, time_ps)
        n = len(diffusion)
        rows += [
            {"time_ps": time_ps, "from": i + 1, "to": j + 1, "joint_probability": moved.whole[0, i, j]}
            | diffusion[i, j].columns("D_m2_per_s")
            for i in range(n)
            for j in range(n)
        ]
    return pd.DataFrame(rows)
