"""A number with its interval: the type of every estimate."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import scipy
from numpy.typing import NDArray

from gdyn import rounding

PARTS = ("value", "low", "high")
PROBABILITY, POSITIVE = (0.0, 1.0), (0.0, np.inf)  # bounds of such numbers
ROUNDING = 1e-12  # by which a number at a bound may be beside it
HALF = 0.5  # weight of a block in the estimates from whose spread an interval follows
FEW_EVENTS = 30  # up to which their number, and not only blocks, decides how well a rate is known
FEW = 20  # of what was seen, up to which it is counting that decides how far a probability is known

Array = NDArray[np.float64]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A number, or an array of numbers, with its 95 % interval.

    value : float or array; NaN where it is not known.
    low, high : of the same shape; NaN where there is no interval.
    unit : as it is written behind the number.
    caveats : sentences about its limits.

    A subclass may add fields to the number, which are written to JSON and read back.
    """

    value: Any
    low: Any
    high: Any
    unit: str = ""
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Arrays cannot be changed through an interval."""
        for part in PARTS:
            object.__setattr__(self, part, read_only(getattr(self, part)))

    @classmethod
    def of(
        cls,
        value: float | np.ndarray,
        samples: Sequence[float | np.ndarray] | np.ndarray,
        logarithmic: bool = False,
        within: Bounds | None = None,
        weight: float | None = None,
        trials: Any = None,
    ) -> Self:
        """The interval of an estimate, from the same estimate on independent blocks.

        ``value -+ t(0.975, k - 1) s / sqrt(k)`` with the sample standard deviation ``s`` of the ``k``
        blocks (equation 13 of docs/theory.md); for positive quantities of wide spread on the logarithm.

        Parameters
        ----------
        value : array, the estimate from all data.
        samples : (k, ...) array, the estimates from the blocks; there is no interval where any has none.
        logarithmic : whether to take the interval of the logarithm.
        within : (least, greatest) bounds that the interval keeps; see :func:`bounded`.
        weight : in place of ``1 / sqrt(k)``.
        trials : of a probability, the number of independent chances to see it; see :func:`bounded`.
        """
        value = np.asarray(value)
        if within:
            value = at_bounds(value, within)
        estimate, of_blocks = value.astype(np.float64), np.asarray(samples, np.float64)
        k = len(of_blocks)
        weight = 1.0 / np.sqrt(k) if weight is None else weight
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if logarithmic:
                estimate, of_blocks = np.log(estimate), np.log(of_blocks)
            half = student(0.975, k - 1) * of_blocks.std(axis=0, ddof=1) * weight
            low, high = estimate - half, estimate + half
            if logarithmic:
                low, high = np.exp(low), np.exp(high)
            elif within:
                low, high = bounded(estimate, half, within, trials)
        bad = ~np.isfinite(low) | ~np.isfinite(high)
        return cls(value, np.where(bad, np.nan, low), np.where(bad, np.nan, high))

    @classmethod
    def unknown(cls, shape: int | tuple[int, ...] = ()) -> Self:
        """Neither a value nor an interval."""
        nothing = np.full(shape, np.nan)
        return cls(nothing, nothing.copy(), nothing.copy())

    @classmethod
    def read(cls, plain: Mapping[str, Any], unit: str = "") -> Self:
        """From JSON, in which null stands for what is not known.

        Parameters
        ----------
        plain : mapping with ``value``, ``low`` and ``high``, numbers or nested lists of one shape, and what a subclass
            adds; others are left out.
        """
        value, low, high = (np.array(plain[part], dtype=float)[()] for part in PARTS)
        return cls(value, low, high, unit=unit, **{name: plain[name] for name in cls._added() if name in plain})

    @classmethod
    def _added(cls) -> list[str]:
        """The names of what a subclass adds."""
        return [field.name for field in fields(cls) if field.name not in (*PARTS, "unit", "caveats")]

    @classmethod
    def twin(cls, numbers: Mapping[str, Any], key: str, unit: str = "", of: str | None = None) -> Self:
        """From a summary, in which ``key`` and ``key_interval`` are side by side; unknown where there is none.

        Parameters
        ----------
        numbers : mapping that has both.
        of : which one, where there are several by name, whose names are the innermost keys.
        """
        parts = {"value": numbers[key], **numbers[f"{key}_interval"]}
        return cls.read(parts if of is None else {part: by_name[of] for part, by_name in parts.items()}, unit)

    @classmethod
    def join(cls, several: Iterable["Interval"]) -> Self:
        """One after the other: of several numbers, an array; in their unit, if they have the same one."""
        several = list(several)
        value, low, high = (np.array([getattr(one, part) for one in several], float) for part in PARTS)
        units = {one.unit for one in several}
        return cls(value, low, high, unit=units.pop() if len(units) == 1 else "")

    def plain(self) -> dict[str, Any]:
        """For JSON: a dict of ``value``, ``low`` and ``high``, and what a subclass adds."""
        return {name: getattr(self, name) for name in (*PARTS, *self._added())}

    def with_least(self, events: Any) -> Self:
        """The same positive numbers, with intervals at least as wide as those of a rate of so few counted events.

        Times that follow from a rate are known no better than the events that it rests on allow (exact interval of
        Poisson's distribution). Where there are many, blocks know better.

        Parameters
        ----------
        events : array or number.
        """
        n = np.maximum(np.asarray(events, float), 0.0)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            low = np.asarray(self.value) * np.where(n > 0, n, np.nan) / scipy.special.gammaincinv(n + 1.0, 0.975)
            high = np.asarray(self.value) * n / scipy.special.gammaincinv(np.maximum(n, 1e-9), 0.025)
        known = np.isfinite(low) & np.isfinite(high) & (n < FEW_EVENTS)
        low, high = np.fmin(low, self.low), np.fmax(high, self.high)
        return replace(self, low=np.where(known, low, self.low), high=np.where(known, high, self.high))

    def in_unit(self, unit: str) -> Self:
        """The same, with a unit where it has none."""
        return self if self.unit else replace(self, unit=unit)

    def with_caveats(self, sentences: Iterable[str]) -> Self:
        """The same, with caveats."""
        return replace(self, caveats=tuple(sentences))

    def __getitem__(self, place: Any) -> Self:
        """The interval of one of the numbers, or of some of them."""
        return replace(self, **{part: np.asarray(getattr(self, part))[place] for part in PARTS})

    def __bool__(self) -> bool:
        """Always true: an interval exists, whatever its value."""
        return True

    def __float__(self) -> float:
        """The value of a single number."""
        return float(self.value)

    def __format__(self, form: str) -> str:
        """In words, or the value alone in a form such as ``.2f``."""
        return format(float(self), form) if form else str(self)

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Iterator[Self]:
        return (self[row] for row in range(len(self)))

    def map(self, function: Callable[[Any], Any]) -> Self:
        """An increasing function applied to value, low and high."""
        return replace(self, **{part: function(getattr(self, part)) for part in PARTS})

    @property
    def half(self) -> Any:
        """Half of its width: a number or an array, as the value is."""
        return 0.5 * (np.asarray(self.high) - np.asarray(self.low))

    @property
    def arms(self) -> Array:
        """Error bars: how far it reaches down and up, (2, ...); NaN, which draws none, where that is not known."""
        arms = np.stack([np.asarray(self.value) - self.low, np.asarray(self.high) - self.value])
        return np.maximum(arms, 0.0)

    def columns(self, name: str) -> dict[str, Any]:
        """Of a table: ``name``, ``name_low`` and ``name_high``."""
        return dict(zip((name, f"{name}_low", f"{name}_high"), (getattr(self, part) for part in PARTS), strict=True))

    def __str__(self) -> str:
        """In words, rounded to its error; a long time in ps is given in ns, several numbers in brackets."""
        if np.ndim(self.value):
            return f"[{', '.join(map(str, self))}]"
        if self.unit == "ps":
            return self.as_time()
        return rounding.rounded(self.value, self.low, self.high, self.unit)

    def as_time(self) -> str:
        """The same of a time in ps, in ns where it is long."""
        return rounding.time(self.value, self.low, self.high)

    def as_brief_time(self) -> str:
        """The time alone, to the digits that its error leaves."""
        return rounding.brief_time(self.value, self.low, self.high)


def read_only(value: Any) -> Any:
    """The same; an array as a view that cannot be written to."""
    if not isinstance(value, np.ndarray):
        return value
    view = value.view()
    view.flags.writeable = False
    return view


def student(probability: float, freedom: float) -> Any:
    """Quantile of the t-distribution."""
    return scipy.special.stdtrit(freedom, probability)  # what scipy.stats takes, which is slow to import


def bounded(value: Any, half: Any, within: Bounds, trials: Any = None) -> tuple[Array, Array]:
    """An interval that keeps its bounds (section "Intervals" of docs/theory.md).

    Between two bounds it is symmetric on the logit scale, above one it is so downwards on the logarithm; where the half
    width is small, it is ``value -+ half``. At a bound it is cut off there, and there is none where the blocks do
    not differ at all: what was not observed may still exist. Where the number of ``trials`` of a probability is known,
    and it was seen in less than twenty of them, or in all but so few, the interval reaches at least as far as that of
    counting (Clopper and Pearson, 1934). A value beyond a bound shows that its estimate does not keep it, and the
    interval stays as it is.

    Parameters
    ----------
    value, half : arrays
    within : (least, greatest), the greatest may be infinite.
    trials : array or None, the number of independent trials that a probability rests on.

    Returns
    -------
    low, high : arrays
    """
    least, greatest = within
    value = at_bounds(value, within)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        below = value - least
        if np.isinf(greatest):
            low, high = least + below * np.exp(-half / below), value + half
            inside, at_bound = below > 0, below == 0
        else:
            width = greatest - least
            x = below / width
            shift = half / width / (x * (1.0 - x))
            low, high = (least + width / (1.0 + (1.0 - x) / x * np.exp(sign * shift)) for sign in (1.0, -1.0))
            inside, at_bound = (x > 0) & (x < 1), (x == 0) | (x == 1)
        cut = np.where(half > 0, half, np.nan)
        low = np.where(inside, low, np.where(at_bound, np.maximum(value - cut, least), value - half))
        high = np.where(inside, high, np.where(at_bound, np.minimum(value + cut, greatest), value + half))
        if trials is not None:
            seen, missed = value * trials, (1.0 - value) * trials
            few = (np.minimum(seen, missed) < FEW) & (inside | at_bound)
            least_few = np.where(seen > 0, scipy.special.betaincinv(np.maximum(seen, 1e-9), missed + 1.0, 0.025), 0.0)
            most_few = np.where(missed > 0, scipy.special.betaincinv(seen + 1.0, np.maximum(missed, 1e-9), 0.975), 1.0)
            low, high = np.where(few, np.fmin(low, least_few), low), np.where(few, np.fmax(high, most_few), high)
    return low, high


def at_bounds(value: Any, within: Bounds) -> Array:
    """The same numbers; those beside a bound by rounding are at it."""
    for bound in within:
        with np.errstate(invalid="ignore"):
            value = np.where(np.abs(value - bound) < ROUNDING, bound, value)
    return np.asarray(value)


def overlap(a: Interval, b: Interval) -> bool:
    """Whether two positive numbers differ by no more than their 95 % intervals, added in squares on the logarithm."""
    numbers = [a.value, a.high, b.value, b.high]
    if not (np.isfinite(numbers).all() and min(numbers) > 0):
        return False
    half = np.hypot(np.log(a.high / a.value), np.log(b.high / b.value))
    return bool(abs(np.log(a.value / b.value)) <= half)


def jackknife_weight(k: int, part: float = 1.0 - HALF) -> float:
    """Of the standard deviation of ``k`` estimates in :meth:`Interval.of`, each with ``part`` of one block left out."""
    return (k - part) / (part * np.sqrt(k))
