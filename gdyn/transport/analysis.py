"""The numbers of the transport report: which transitions carry diffusion and conduction, with 95 % intervals."""

import numpy as np
import pandas as pd

from gdyn.files import read_json, write_json, write_table
from gdyn.kinetics.analysis import blocks_of
from gdyn.kinetics.koopman import koopman_of, stationary_distribution
from gdyn.logs import LOG
from gdyn.statistics import Covariances
from gdyn.statistics.interval import POSITIVE, PROBABILITY, Interval
from gdyn.statistics.uncertainty import Estimate
from gdyn.store import States
from gdyn.transport.displacement import FRAMES, by_transition, mean_square, read_paths
from gdyn.units import CONDUCTIVITY_S_PER_M, DIFFUSION_M2_PER_S, multiple

DIFFUSIVE = 0.85  # least slope of ln MSD against ln t of a motion that is called diffusive
MANY_CARRIERS = 100  # of each sign, from which on a collective conductivity is worth its name
LARGEST_ERROR = 0.5  # relative half width of an interval that is called converged
PERCENT = (0.0, 100.0)


def analyse_transport(states, trajectories, structure_result, result, transitions, displacements, transport, kinetics):
    """Divide diffusion and conduction among the transitions between states, on the test frames.

    Parameters
    ----------
    states : path of the states of the test frames.
    trajectories : paths of the trajectory stores, in the order of their numbers.
    structure_result : path of the JSON of the structure, for the charges of the states.
    result, transitions, displacements : paths to write: a JSON, a CSV of ``D_ij`` against time, and one of mean square
        displacements.
    transport, kinetics : those sections of a system.

    Raises
    ------
    InputError : displacements mean nothing in these trajectories.
    """
    states = States.read(states)
    blocks = blocks_of(states, kinetics)
    paths = read_paths(states, trajectories, transport.reference)
    lag, lag_ps = states.lag_frames, states.lag_ps
    flags = list(paths.flags)
    by_kind = {kind: Interval.read(found, "e") for kind, found in read_json(structure_result)["charges_e"].items()}
    charges = by_kind.get(transport.charges)
    if charges is None and (charges := by_kind.get("atoms")) is not None:
        flags.append("no molecules are known, so the charges of states are made of those of single atoms")
    known = charges is not None
    if known and not (np.isfinite(charges.value).all() and charges.value.any()):
        known = False
        flags.append("the charge of a state is not known: contributions are to diffusion, every carrier counted alike")
    if charges is None:
        flags.append("there are no charges in the dump: contributions are to diffusion, every carrier counted alike")
    z = charges.value if known else np.ones(states.probabilities.shape[-1])
    pair_z = 0.5 * (z[:, None] + z)

    n = len(z)
    moved = transitions_at(states, blocks, paths, lag)
    weights = Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks).map_or_nan(_paper_weights, (n, n))
    exact = moved.map(lambda m: pair_z**2 * m[1])
    paper = Estimate.join(lambda m, w: pair_z**2 * w * _ratio(m[1], m[0]), moved, weights)
    msd = mean_square(paths.targets, states.segment, lag)
    carriers = states.present.sum(1).mean()
    to_sigma = CONDUCTIVITY_S_PER_M * carriers / (paths.volume_A3 * transport.temperature_K) / (6.0 * lag_ps)
    diffusion = DIFFUSION_M2_PER_S / (6.0 * lag_ps)
    answer = {
        "lag_ps": lag_ps,
        "diffusion_m2_per_s": moved.map(lambda m: diffusion * _ratio(m[1], m[0])).interval(within=POSITIVE),
        "joint_probability": moved.map(lambda m: m[0]).interval(within=PROBABILITY),
        "contribution_percent": exact.map(_percent).interval(within=PERCENT),
        "contribution_percent_paper": paper.map(_percent).interval(within=PERCENT),
        "msd_closure_residual": abs(_ratio(moved.whole[1].sum(), msd) - 1.0),
        "msd_closure_residual_paper": abs(
            _ratio((weights.whole * _ratio(moved.whole[1], moved.whole[0])).sum(), msd) - 1.0
        ),
        "charges_e": charges if known else None,
        "conductivity_S_per_m": exact.map(lambda c: to_sigma * c.sum()).interval(within=POSITIVE) if known else None,
        "carriers": carriers,
        "volume_A3": paths.volume_A3,
        "temperature_K": transport.temperature_K,
    }
    lags = lag_series(states, blocks, transport)
    squares = Estimate.of(
        lambda p, s, x: np.array([mean_square(x, s, n) for n in lags]), states, blocks, paths.targets
    )  # fmt: skip
    answer |= tracer(lags * states.frame_interval_ps, squares, flags)
    answer |= collective(states, paths, blocks, lags, transport, flags)
    answer["flags"] = flags
    for sentence in flags:
        LOG.warning("%s", sentence)
    write_json(result, answer)
    write_table(transitions, transition_table(states, blocks, paths, lags))
    found = squares.interval(logarithmic=True)
    write_table(
        displacements,
        pd.DataFrame(
            {
                "time_ps": lags * states.frame_interval_ps,
                "msd_A2": found.value,
                "low": found.low,
                "high": found.high,
            }
        ),
    )


def _paper_weights(covariances):
    """``pi_i K_ij``."""
    matrix = koopman_of(covariances)
    return stationary_distribution(matrix)[:, None] * matrix


def _ratio(numerator, denominator):
    """Their ratio, no number where there is nothing to divide by."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(np.asarray(denominator) != 0, np.divide(numerator, denominator), np.nan)


def _percent(contributions):
    return 100.0 * _ratio(contributions, contributions.sum())


def transitions_at(states, blocks, paths, lag_frames):
    """Estimate of the joint probabilities and squared displacements of all transitions: (2, states, states)."""
    n = states.probabilities.shape[-1]
    blank = np.full((2, n, n), np.nan)

    def found(probabilities, segment, positions):
        try:
            return by_transition(probabilities, segment, positions, lag_frames)
        except np.linalg.LinAlgError:
            return blank

    return Estimate.of(found, states, blocks, paths.targets)


def lag_series(states, blocks, transport):
    """The lag times of displacements in frames: those asked for, or a series up to a half of a block."""
    if transport.lags_ps:
        interval = states.frame_interval_ps
        lags = np.array([multiple(t, interval, "transport.lags_ps", "the frame interval") for t in transport.lags_ps])
    else:
        lags = np.unique(np.geomspace(1, max(2, blocks.frames // 2), 25).astype(int))
    lags = np.unique([*lags[2 * lags <= blocks.frames], states.lag_frames])
    return lags


def tracer(times_ps, squares, flags):
    """Diffusion coefficient of the targets: slope of their mean square displacement over the last half of the times."""
    late = last_half(times_ps)
    found = squares.map(lambda m: slope_of(times_ps[late], m[late]) / 6.0 * DIFFUSION_M2_PER_S)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = slope_of(np.log(times_ps[late]), np.log(squares.whole[late]))
    if np.isnan(slope):
        flags.append("nothing moves, or the frames are too few: there is no diffusion coefficient")
    elif not found.whole > 0:
        flags.append("the diffusion coefficient is not determined: its value is not above zero")
    elif not slope >= DIFFUSIVE:
        flags.append(
            f"the motion is not diffusive yet: the mean square displacement grows as t^{slope:.2f} between "
            f"{times_ps[late][0]:g} and {times_ps[-1]:g} ps, so no diffusion coefficient here is final"
        )
    return {"tracer_diffusion_m2_per_s": found.interval(within=POSITIVE), "msd_exponent": slope}


def last_half(times_ps):
    """Which times are in the last half, at least two of them where there are so many: (times,) bool."""
    late = times_ps >= 0.5 * times_ps[-1]
    return late if late.sum() > 1 else np.arange(len(times_ps)) >= len(times_ps) - 2


def slope_of(x, y):
    """Slope of a straight line through points; no number where they do not determine it."""
    if len(x) < 2 or not np.isfinite(y).all():
        return np.nan
    return float(np.polyfit(x, y, 1)[0])


def collective(states, paths, blocks, lags, transport, flags):
    """Conductivity of tracers (Nernst-Einstein), of the dipole of all charges (Einstein), and the targets' part.

    Equations 24 and 25 of docs/theory.md, from the slopes over the last half of the times. Transference numbers depend
    on what is taken to be at rest: ``transference`` is in the frame of ``transport.reference``, ``collective`` has
    those in the barycentric frame and in that of the solvent.
    """
    nothing = {
        "conductivity_nernst_einstein_S_per_m": None,
        "conductivity_einstein_S_per_m": None,
        "transference": None,
        "collective": {"transference": dict.fromkeys(FRAMES)},
    }
    if paths.dipole is None or not paths.ions or blocks.method == "targets":
        return nothing
    times_ps = lags * states.frame_interval_ps
    late = last_half(times_ps)
    factor = CONDUCTIVITY_S_PER_M / (paths.volume_A3 * transport.temperature_K) / 6.0

    def slope(positions, segment, others=None):
        values = [mean_square(positions, segment, n, others) for n in lags[late]]
        return slope_of(times_ps[late], np.array(values))

    everything = Estimate.of(lambda p, s, m: slope(m[:, None], s), states, blocks, by_frame=paths.dipole)

    def transference(centre):
        """The targets' part, with a centre at rest; the dipole of a neutral system does not depend on it."""
        of_targets = paths.target_dipole - paths.target_charge[:, None] * centre
        own = Estimate.of(
            lambda p, s, m: slope(m[:, None, :3], s, m[:, None, 3:]),
            states, blocks, by_frame=np.concatenate([of_targets, paths.dipole], axis=1),
        )  # fmt: skip
        return Estimate.join(_ratio, own, everything).interval()

    nernst = None
    for net, positions in paths.ions.items():
        part = Estimate.of(lambda p, s, x, q=net: q**2 * x.shape[1] * slope(x, s), states, blocks, by_frame=positions)
        nernst = part if nernst is None else Estimate.join(np.add, nernst, part)
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
        flags.append("there are no neutral molecules, and so no transference number in the frame of a solvent")
    for name, found in by_frame.items():
        if found is not None and not found.half < LARGEST_ERROR:
            flags.append(
                f"the transference number in the {name} frame is not determined: its interval is wider than all values "
                f"from 0 to 1"
            )
    return {
        "conductivity_nernst_einstein_S_per_m": nernst.map(lambda v: factor * v).interval(within=POSITIVE),
        "conductivity_einstein_S_per_m": einstein,
        "transference": transference(np.zeros(3)),
        "collective": {"transference": by_frame},
    }


def transition_table(states, blocks, paths, lags):
    """``D_ij`` and the joint probability of every transition against time."""
    rows = []
    for lag in lags:
        time_ps = lag * states.frame_interval_ps
        moved = transitions_at(states, blocks, paths, lag)
        found = moved.map(lambda m, t=time_ps: DIFFUSION_M2_PER_S / (6.0 * t) * _ratio(m[1], m[0]))
        found = found.interval(within=POSITIVE)
        n = len(found)
        rows += [
            {"time_ps": time_ps, "from": i + 1, "to": j + 1, "joint_probability": moved.whole[0, i, j]}
            | found[i, j].columns("D_m2_per_s")
            for i in range(n)
            for j in range(n)
        ]
    return pd.DataFrame(rows)
