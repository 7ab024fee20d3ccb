"""95 % intervals from parts of the data that are independent of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Generic, Self, TypeVar

import numpy as np
import scipy
from jaxtyping import Float, Shaped

from gdyn.config.models import Kinetics
from gdyn.errors import InputError
from gdyn.statistics.covariance import Covariances
from gdyn.statistics.interval import HALF, Bounds, Interval, jackknife_weight
from gdyn.store import States

INDEPENDENT = 5.0  # length of a stretch of time, in slowest timescales, from which on stretches are independent
FEWEST_BLOCKS, FEW_BLOCKS, MANY_BLOCKS = 3, 5, 20
ENOUGH_TRAJECTORIES = 5
SIMILAR = 0.5  # length of the shortest trajectory beside the longest, from which on they are blocks by themselves
SURELY_MORE = 0.9  # level at which the variance between times is larger than that between targets
SHUFFLE_SEED = 2019  # of the targets, where groups of them are the blocks

Part = tuple[slice, slice | np.ndarray]  # of the frames and of the target sets
T = TypeVar("T")
Other = TypeVar("Other")


@dataclass
class Blocks:
    """Parts of the frames of a split that are taken to be independent of each other.

    method : ``time``, ``trajectories`` or ``targets``
    parts : of the frames (a slice) and of the target sets (a slice, or their numbers)
    frames : number of frames of the shortest
    length_ps : that as a time
    correction : of the variance of what a process as slow as the slowest one moves; see :func:`correction_of`.
    shares : of the data that are in each, where they are of different length; else None
    beside : five stretches of time beside groups of targets, or beside many stretches. Targets that share what moves
        them, such as an interface, are not independent, nor are stretches that are short beside it: where the five
        differ by clearly more, it is they that count.
    """

    method: str
    parts: list[Part]
    frames: int
    length_ps: float
    correction: float = 1.0
    beside: "Blocks | None" = None
    shares: np.ndarray | None = None

    @classmethod
    def of(cls, states: States, kinetics: Kinetics, slowest_ps: float = np.nan) -> Self:
        """Divide the frames of a split as its system sets it.

        Parameters
        ----------
        states : States
        kinetics : that section of a system. ``intervals: auto`` takes trajectories where there are at least five of
            similar length; else stretches of time; else, where five of these are not five slowest timescales long each
            but there are enough targets, groups of targets. ``chunks: auto`` takes as many as are independent, from 5
            to 20.
        slowest_ps : the slowest timescale, where it is known.

        Raises
        ------
        InputError : there are too few trajectories or targets.
        """
        numbers, begins = np.unique(states.trajectory, return_index=True)
        edges = [*np.sort(begins), len(states.trajectory)]
        asked = None if kinetics.chunks == "auto" else kinetics.chunks
        fitting = INDEPENDENT * slowest_ps if np.isfinite(slowest_ps) else 0.0
        fitting = max(fitting, 4.0 * states.lag_ps)
        in_time = asked or int(np.clip(states.length_ps // fitting, FEW_BLOCKS, MANY_BLOCKS))
        in_targets = asked or int(np.clip(len(states.target_ids), FEW_BLOCKS, MANY_BLOCKS))
        by_time = cls.by_time(states, in_time, slowest_ps)
        method = kinetics.intervals
        if method == "auto":
            lengths = np.diff(edges)
            similar = lengths.min() >= SIMILAR * lengths.max()
            method = "trajectories" if len(numbers) >= ENOUGH_TRAJECTORIES and similar else "time"
            too_short = INDEPENDENT * slowest_ps > by_time.length_ps
            if method == "time" and too_short and len(states.target_ids) >= 2 * FEW_BLOCKS:
                method = "targets"
        if method == "time":
            if asked is None and len(by_time) > 2 * FEW_BLOCKS:
                by_time.beside = cls.by_time(states, FEW_BLOCKS, slowest_ps)
            return by_time
        everything = slice(None)
        if method == "trajectories":
            if len(numbers) < FEWEST_BLOCKS:
                raise InputError(
                    f"kinetics.intervals: trajectories needs at least {FEWEST_BLOCKS} of them in the {states.split} "
                    f"split, and there are {len(numbers)}; choose time or targets"
                )
            parts: list[Part] = [(slice(a, b), everything) for a, b in pairwise(edges)]
            sizes = np.array([states.present[part].sum() for part, _ in parts], float)
            return cls._of_parts(method, parts, states, shares=sizes / max(1.0, sizes.sum()))
        if len(states.target_ids) < in_targets:
            raise InputError(
                f"kinetics.intervals: {len(states.target_ids)} targets cannot be divided into {in_targets} groups; "
                f"lower kinetics.chunks or choose time"
            )
        order = np.random.default_rng(SHUFFLE_SEED).permutation(len(states.target_ids))
        parts = [(everything, np.sort(group)) for group in np.array_split(order, in_targets)]
        beside = by_time if asked else cls.by_time(states, FEW_BLOCKS, slowest_ps)
        return cls._of_parts(method, parts, states, beside=beside)

    @classmethod
    def by_time(cls, states: States, number: int, slowest_ps: float = np.nan) -> Self:
        """Stretches of equal length of the frames in which there are targets."""
        there = np.flatnonzero(states.present.any(1))
        if len(there) < number:
            there = np.arange(len(states.segment))
        chunks = time_chunks(len(there), number)
        ends = np.append(there, len(states.segment))
        parts: list[Part] = [(slice(*ends[[c.start, c.stop]]), slice(None)) for c in chunks]
        blocks = cls._of_parts("time", parts, states)
        blocks.correction = correction_of(number, blocks.length_ps, slowest_ps)
        return blocks

    @classmethod
    def _of_parts(cls, method: str, parts: list[Part], states: States, **more: Any) -> Self:
        frames = min(len(states.segment[part]) for part, _ in parts)
        return cls(method, parts, frames, frames * states.frame_interval_ps, **more)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def described(self) -> str:
        means = {
            "time": "stretches of time",
            "trajectories": "independent trajectories",
            "targets": "random groups of targets",
        }[self.method]
        return f"{means}, or five stretches of time where these differ more" if self.beside else means


def correction_of(number: int, length_ps: float, slowest_ps: float) -> float:
    """By how much the variance of a mean is larger than that which stretches of time show.

    A mean over a time ``t`` of what is correlated for ``tau`` has the variance ``g(t / tau)`` (equation 27 of
    docs/theory.md). Stretches that are not much longer than ``tau`` are alike, and differ by less than independent ones
    would.

    Parameters
    ----------
    number, length_ps : of the stretches.
    slowest_ps : ``tau``; 1 is returned where it is not known.
    """
    if np.isnan(slowest_ps) or slowest_ps <= 0:
        return 1.0
    within, whole = (variance_of_mean(n * length_ps / slowest_ps) for n in (1, number))
    return (number - 1) * whole / (within - whole) if within > whole else np.inf


def scale_of(shares: Float[np.ndarray, " blocks"]) -> Float[np.ndarray, " blocks"]:
    """By how much more estimates with one block for a half would move if all blocks were of one length.

    The estimate of a block with a share ``w`` of the data is off that of all by a variance ``s^2 (1 / w - 1)``, where
    ``s^2`` is that of all, which follows from each block so, and is averaged (section "Intervals" of docs/theory.md).
    """
    k, part = len(shares), 1.0 - HALF
    w = np.clip(shares, 1e-12, 1.0 - 1e-12)
    with_one = (1.0 - part * w) / (part * w) * np.sqrt(w * (k - 1.0) / ((1.0 - w) * k))
    return np.asarray(with_one / jackknife_weight(k, part))


def variance_of_mean(times: float) -> float:
    """``g(x) = 2 / x (1 - (1 - exp(-x)) / x)``: of the mean over a time ``x`` of what is correlated for a time 1."""
    return 2.0 / times * (1.0 + np.expm1(-times) / times) if times > 1e-4 else 1.0 - times / 3.0


def time_chunks(n_frames: int, n_chunks: int) -> list[slice]:
    """Divide frames into ``n_chunks`` stretches of equal length: a list of slices.

    Frames are those of one split, trajectory after trajectory; estimators see the segments and do
    not pair frames across them, so a chunk may reach from one trajectory into the next.
    """
    edges = np.linspace(0, n_frames, n_chunks + 1).round().astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]


def covariances_of(states: States, blocks: Blocks, lag_frames: int | None = None) -> "Estimate[Covariances]":
    """Estimate of the covariances of the states, by default at their own lag time."""
    lag = states.lag_frames if lag_frames is None else lag_frames
    return Estimate.of(lambda p, s: Covariances.of(p, s, lag), states, blocks)


def together(parts: Sequence[Any], weights: Sequence[float]) -> Any:
    """The sums, or the covariances, of several parts of the data in one, each with a weight; or a list of such."""
    if isinstance(parts[0], Covariances):
        return Covariances.together(parts, weights)
    if isinstance(parts[0], list | tuple):
        return [together(some, weights) for some in zip(*parts, strict=True)]
    return np.asarray(sum(weight * np.asarray(part) for weight, part in zip(weights, parts, strict=True)))


def holds_data(part: Any) -> bool:
    """Whether there is anything in the sums, or in the covariances, of a part of the data; or in any of a list."""
    if isinstance(part, Covariances):
        return bool(part.samples > 0)
    if isinstance(part, list | tuple):
        return any(map(holds_data, part))
    return bool(np.any(part))


@dataclass
class Estimate(Generic[T]):
    """Something estimated from all frames, and again with each block counting for a half in turn.

    This is the jackknife, but with nothing left out: a number that only one block determines has an interval, too, and
    a wide one (section "Intervals" of docs/theory.md).

    whole : from all frames
    samples : with each block for a half; None where that does not determine it, or one block has all that there is
    correction : of the variance, see :class:`Blocks`
    beside : the samples by the blocks beside, if there are any, and their correction
    scale : of how far each sample is from the whole, for blocks of different length; see :func:`scale_of`
    """

    whole: T
    samples: list[T | None]
    correction: float = 1.0
    beside: "tuple[list[T | None], float] | None" = None
    scale: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        function: Callable[..., Other],
        states: States,
        blocks: Blocks,
        by_target: Shaped[np.ndarray, "frames targets ..."] | None = None,
        by_frame: Shaped[np.ndarray, "frames ..."] | None = None,
    ) -> "Estimate[Other]":
        """Apply a function of (probabilities, segment) that gives sums to all frames, and to each block.

        Parameters
        ----------
        function : of (probabilities, segment), or of these and what is given besides. What it returns is additive:
            :class:`gdyn.statistics.Covariances`, an array of sums, or a list of these. What follows from sums, such as
            a mean, is for :meth:`map`.
        states : States
        blocks : Blocks
        by_target : (frames, target sets, ...) further data, divided into blocks likewise.
        by_frame : (frames, ...) further data of the system as a whole; of its axes, only that of the frames is divided.

        Raises
        ------
        numpy.linalg.LinAlgError : all frames together do not determine it.
        """

        def part(frames: slice, targets: slice | np.ndarray) -> list[np.ndarray]:
            data = [states.probabilities[frames][:, targets], states.segment[frames]]
            data += [] if by_target is None else [by_target[frames][:, targets]]
            return data + ([] if by_frame is None else [by_frame[frames]])

        def halved(of: Blocks) -> list[Other | None]:
            parts = [function(*part(*place)) for place in of.parts]
            if sum(map(holds_data, parts)) < 2:  # nothing varies between blocks of which one has everything
                return [None] * len(parts)
            total = together(parts, [1.0] * len(parts))
            return [together([total, one], [1.0, HALF - 1.0]) for one in parts]

        whole = function(*part(slice(None), slice(None)))
        beside = (halved(blocks.beside), blocks.beside.correction) if blocks.beside else None
        scale = None if blocks.shares is None else scale_of(blocks.shares)
        return Estimate(whole, halved(blocks), blocks.correction, beside, scale)

    @classmethod
    def join(cls, function: Callable[..., Other], *estimates: "Estimate[Any]") -> "Estimate[Other]":
        """What follows from several estimates of the same blocks by a function of all."""

        def rows(samples: Sequence[list[Any]]) -> list[Any]:
            return [None if any(x is None for x in row) else row for row in zip(*samples, strict=True)]

        first = estimates[0]
        beside = None
        if first.beside:
            beside = (rows([one.beside[0] for one in estimates if one.beside]), first.beside[1])
        joined = Estimate[Sequence[Any]](
            [one.whole for one in estimates],
            rows([one.samples for one in estimates]),
            first.correction,
            beside,
            first.scale,
        )
        return joined.map(lambda values: function(*values))

    def map(self, function: Callable[[T], Other]) -> "Estimate[Other]":
        """What follows from it by a function of the same number.

        Raises
        ------
        numpy.linalg.LinAlgError : the function has no answer for all frames together.
        """

        def each(samples: list[T | None]) -> list[Other | None]:
            return [None if x is None else _or_none(function, x) for x in samples]

        beside = self.beside and (each(self.beside[0]), self.beside[1])
        return Estimate(function(self.whole), each(self.samples), self.correction, beside, self.scale)

    def map_or_nan(self, function: Callable[[T], Any], shape: int | tuple[int, ...] = ()) -> "Estimate[Any]":
        """As :meth:`map`, but NaN where all frames together do not determine it."""
        try:
            return self.map(function)
        except np.linalg.LinAlgError:
            return Estimate(np.full(shape, np.nan), [None] * len(self.samples), self.correction)

    def interval(
        self,
        logarithmic: bool = False,
        within: Bounds | None = None,
        trials: Any = None,
        correlated: bool = False,
    ) -> Interval:
        """The estimate with its 95 % interval: an :class:`Interval`.

        Parameters
        ----------
        logarithmic, within, trials : as of :meth:`Interval.of`.
        correlated : whether it is a mean that moves with the slowest process, such as a population, so that stretches
            of time that are not much longer than its timescale need the correction of :class:`Blocks`. What counts
            transitions does not: how many there are in one stretch says nothing about the next.
        """
        value = np.asarray(self.whole)

        def by(
            samples: list[T | None], correction: float, scale: np.ndarray | None = None
        ) -> tuple[Interval, Any, int]:
            """The interval, the variance, and the number of estimates."""
            unknown = np.full(value.shape, np.nan)
            arrays = np.array([unknown if x is None else np.asarray(x) for x in samples], float)
            if scale is not None:
                by_block = scale.reshape(-1, *[1] * value.ndim)
                with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                    arrays = (
                        value * (arrays / value) ** by_block if logarithmic else value + by_block * (arrays - value)
                    )
            weight = jackknife_weight(len(samples)) * (np.sqrt(correction) if correlated else 1.0)
            found = Interval.of(value, arrays, logarithmic, within, weight, trials)
            with np.errstate(invalid="ignore", divide="ignore"):
                spread = weight * (np.log(arrays) if logarithmic else arrays).std(0, ddof=1)
            return found, np.square(spread), len(samples)

        one, variance, k = by(self.samples, self.correction, self.scale)
        if self.beside is None:
            return one
        other, larger, n = by(*self.beside)
        # The quantile of the F distribution: scipy.stats has it, too, and takes a second to import.
        more = scipy.special.fdtri(n - 1, k - 1, SURELY_MORE)
        with np.errstate(invalid="ignore"):
            those = (larger > more * variance) | np.isnan(one.low)
        low, high = (np.where(those, getattr(other, part), getattr(one, part)) for part in ("low", "high"))
        return replace(one, low=low, high=high)


def _or_none(function: Callable[[T], Other], argument: T) -> Other | None:
    try:
        return function(argument)
    except np.linalg.LinAlgError:
        return None
