"""95 % intervals from parts of the data that are independent of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Self, TypeVar

import numpy as np
from jaxtyping import Shaped

from gdyn.config.models import Kinetics
from gdyn.errors import InputError
from gdyn.statistics.interval import Interval, jackknife_weight
from gdyn.store import States

INDEPENDENT = 5.0  # length of a stretch of time, in slowest timescales, from which on stretches are independent
FEWEST_BLOCKS = 3
ENOUGH_TRAJECTORIES = 5
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
    """

    method: str
    parts: list[Part]
    frames: int
    length_ps: float

    @classmethod
    def of(cls, states: States, kinetics: Kinetics, slowest_ps: float = np.nan) -> Self:
        """Divide the frames of a split as its system sets it.

        Parameters
        ----------
        states : States
        kinetics : that section of a system. ``intervals: auto`` takes trajectories where there are at least five;
            else stretches of time; else, where these are not five slowest timescales long but there are enough targets,
            groups of targets.
        slowest_ps : the slowest timescale, where it is known.

        Raises
        ------
        InputError : there are too few trajectories or targets.
        """
        k = kinetics.chunks
        numbers, begins = np.unique(states.trajectory, return_index=True)
        by_time = cls.by_time(states, k)
        method = kinetics.intervals
        if method == "auto":
            method = "trajectories" if len(numbers) >= ENOUGH_TRAJECTORIES else "time"
            too_short = INDEPENDENT * slowest_ps > by_time.length_ps
            if method == "time" and too_short and len(states.target_ids) >= 2 * k:
                method = "targets"
        if method == "time":
            return by_time
        everything = slice(None)
        if method == "trajectories":
            if len(numbers) < FEWEST_BLOCKS:
                raise InputError(
                    f"kinetics.intervals: trajectories needs at least {FEWEST_BLOCKS} of them in the {states.split} "
                    f"split, and there are {len(numbers)}; choose time or targets"
                )
            edges = [*np.sort(begins), len(states.trajectory)]
            parts: list[Part] = [(slice(a, b), everything) for a, b in pairwise(edges)]
        else:
            if len(states.target_ids) < k:
                raise InputError(
                    f"kinetics.intervals: {len(states.target_ids)} targets cannot be divided into {k} groups; "
                    f"lower kinetics.chunks or choose time"
                )
            order = np.random.default_rng(SHUFFLE_SEED).permutation(len(states.target_ids))
            parts = [(everything, np.sort(group)) for group in np.array_split(order, k)]
        return cls._of_parts(method, parts, states)

    @classmethod
    def by_time(cls, states: States, number: int) -> Self:
        """Stretches of equal length of all frames from the first on in which there are targets."""
        begin = int(states.present.any(1).argmax())  # before this, a selection had not been made
        chunks = time_chunks(len(states.segment) - begin, number)
        parts: list[Part] = [(slice(c.start + begin, c.stop + begin), slice(None)) for c in chunks]
        return cls._of_parts("time", parts, states)

    @classmethod
    def _of_parts(cls, method: str, parts: list[Part], states: States) -> Self:
        frames = min(len(states.segment[part]) for part, _ in parts)
        return cls(method, parts, frames, frames * states.frame_interval_ps)

    def __len__(self) -> int:
        return len(self.parts)

    @property
    def described(self) -> str:
        return {
            "time": "stretches of time",
            "trajectories": "independent trajectories",
            "targets": "random groups of targets",
        }[self.method]


def time_chunks(n_frames: int, n_chunks: int) -> list[slice]:
    """Divide frames into ``n_chunks`` stretches of equal length: a list of slices.

    Frames are those of one split, trajectory after trajectory; estimators see the segments and do
    not pair frames across them, so a chunk may reach from one trajectory into the next.
    """
    edges = np.linspace(0, n_frames, n_chunks + 1).round().astype(int)
    return [slice(a, b) for a, b in pairwise(edges)]


@dataclass
class Estimate(Generic[T]):
    """Something estimated from all frames, and again from each block, or from all blocks but one.

    whole : from all frames
    samples : from each block; None where a block does not determine it
    without_one : whether a sample is of all blocks but one (the jackknife) instead
    """

    whole: T
    samples: list[T | None]
    without_one: bool = False

    @classmethod
    def of(
        cls,
        function: Callable[..., Other],
        states: States,
        blocks: Blocks,
        by_target: Shaped[np.ndarray, "frames targets ..."] | None = None,
        by_frame: Shaped[np.ndarray, "frames ..."] | None = None,
    ) -> "Estimate[Other]":
        """Apply a function of (probabilities, segment) to all frames and to each block.

        Parameters
        ----------
        function : of (probabilities, segment), or of these and what is given besides.
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

        everything = part(slice(None), slice(None))
        return Estimate(everything, [part(*place) for place in blocks.parts]).map(lambda data: function(*data))

    @classmethod
    def join(cls, function: Callable[..., Other], *estimates: "Estimate[Any]") -> "Estimate[Other]":
        """What follows from several estimates of the same blocks by a function of all."""
        rows = zip(*(estimate.samples for estimate in estimates), strict=True)
        joined = Estimate[Sequence[Any]](
            [estimate.whole for estimate in estimates],
            [None if any(x is None for x in row) else row for row in rows],
            estimates[0].without_one,
        )
        return joined.map(lambda values: function(*values))

    def jackknife(self, together: Callable[[list[T]], T]) -> "Estimate[T]":
        """The same, estimated again from all blocks but one: what a single block does not determine, the others do.

        Parameters
        ----------
        together : function of a list of blocks' estimates, of all of them together.
        """
        known = [x for x in self.samples if x is not None]
        samples: list[T | None] = [None] * len(self.samples)
        if len(known) > 2:
            samples = [together(known[:i] + known[i + 1 :]) for i in range(len(known))]
        return Estimate(self.whole, samples, without_one=True)

    def map(self, function: Callable[[T], Other]) -> "Estimate[Other]":
        """What follows from it by a function of the same number.

        Raises
        ------
        numpy.linalg.LinAlgError : the function has no answer for all frames together.
        """
        samples = [None if x is None else _or_none(function, x) for x in self.samples]
        return Estimate(function(self.whole), samples, self.without_one)

    def map_or_nan(self, function: Callable[[T], Any], shape: int | tuple[int, ...] = ()) -> "Estimate[Any]":
        """As :meth:`map`, but NaN where all frames together do not determine it."""
        try:
            return self.map(function)
        except np.linalg.LinAlgError:
            return Estimate(np.full(shape, np.nan), [None] * len(self.samples), self.without_one)

    def interval(self, logarithmic: bool = False, within: tuple[float, float] | None = None) -> Interval:
        """The estimate with its 95 % interval: an :class:`Interval`.

        Parameters
        ----------
        logarithmic, within : as of :meth:`Interval.of`.
        """
        value, k = np.asarray(self.whole), len(self.samples)
        unknown = np.full(value.shape, np.nan)
        samples = [unknown if x is None else np.asarray(x) for x in self.samples]
        weight = jackknife_weight(k) if self.without_one else None
        return Interval.of(value, samples, logarithmic, within, weight)


def _or_none(function: Callable[[T], Other], argument: T) -> Other | None:
    try:
        return function(argument)
    except np.linalg.LinAlgError:
        return None


def with_interval(
    estimate: Callable[..., Any],
    states: States,
    blocks: Blocks,
    logarithmic: bool = False,
    within: tuple[float, float] | None = None,
) -> Interval:
    """A function of (probabilities, segment) with its interval; see :class:`Estimate`."""
    return Estimate.of(estimate, states, blocks).interval(logarithmic, within)
