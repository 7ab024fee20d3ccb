"""A number with its interval: the type of everything that is estimated."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t as student

from gdyn import rounding

PARTS = ("value", "low", "high")
PROBABILITY, POSITIVE = (0.0, 1.0), (0.0, np.inf)  # bounds of such numbers


@dataclass(frozen=True)
class Interval:
    """A number, or an array of numbers, with its 95 % interval.

    value : float or array; NaN where it is not known.
    low, high : of the same shape; NaN where there is no interval.
    unit : as it is written behind the number.
    """

    value: object
    low: object
    high: object
    unit: str = ""

    @classmethod
    def of(cls, value, samples, logarithmic=False, within=None, weight=None):
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
        """
        estimate, samples = np.asarray(value, np.float64), np.asarray(samples, np.float64)
        k = len(samples)
        weight = 1.0 / np.sqrt(k) if weight is None else weight
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if logarithmic:
                estimate, samples = np.log(estimate), np.log(samples)
            half = student.ppf(0.975, k - 1) * samples.std(axis=0, ddof=1) * weight
            low, high = estimate - half, estimate + half
            if logarithmic:
                low, high = np.exp(low), np.exp(high)
            elif within:
                low, high = bounded(estimate, half, within)
        bad = ~np.isfinite(low) | ~np.isfinite(high)
        return cls(np.asarray(value), np.where(bad, np.nan, low), np.where(bad, np.nan, high))

    @classmethod
    def unknown(cls, shape=()):
        """Neither a value nor an interval."""
        return cls(*(np.full(shape, np.nan) for _ in PARTS))

    @classmethod
    def read(cls, plain, unit=""):
        """From JSON, in which null is what is not known.

        Parameters
        ----------
        plain : mapping with ``value``, ``low`` and ``high``, numbers or nested lists of one shape; others are left out.
        """
        return cls(*(np.array(plain[part], dtype=float)[()] for part in PARTS), unit)

    @classmethod
    def twin(cls, numbers, key, unit="", of=None):
        """Of a summary, in which ``key`` and ``key_interval`` lie beside each other; unknown where there is none.

        Parameters
        ----------
        numbers : mapping that has both.
        of : which one, where there are several by name, whose names are the innermost keys.
        """
        parts = {"value": numbers[key], **numbers[f"{key}_interval"]}
        return cls.read(parts if of is None else {part: by_name[of] for part, by_name in parts.items()}, unit)

    @classmethod
    def join(cls, several):
        """One after the other: of several numbers, an array."""
        several = list(several)
        return cls(*(np.array([getattr(one, part) for one in several], float) for part in PARTS))

    def plain(self):
        """For JSON: a dict of ``value``, ``low`` and ``high``."""
        return {part: getattr(self, part) for part in PARTS}

    def __getitem__(self, place):
        """The interval of one of the numbers, or of some of them."""
        return replace(self, **{part: np.asarray(getattr(self, part))[place] for part in PARTS})

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def map(self, function):
        """A rising function of value, low and high alike."""
        return replace(self, **{part: function(getattr(self, part)) for part in PARTS})

    @property
    def half(self):
        """Half of its width."""
        return 0.5 * (np.asarray(self.high) - np.asarray(self.low))

    @property
    def arms(self):
        """Error bars: how far it reaches down and up, (2, ...); NaN, which draws none, where that is not known."""
        arms = np.stack([np.asarray(self.value) - self.low, np.asarray(self.high) - self.value])
        return np.maximum(arms, 0.0)

    def columns(self, name):
        """Of a table: ``name``, ``name_low`` and ``name_high``."""
        return dict(zip((name, f"{name}_low", f"{name}_high"), self.plain().values(), strict=True))

    def __str__(self):
        """As a person reads it, rounded to its error."""
        return rounding.rounded(self.value, self.low, self.high, self.unit)

    def as_time(self):
        """The same of a time in ps, in ns where it is long."""
        return rounding.time(self.value, self.low, self.high)

    def as_brief_time(self):
        """The time alone, to the digits that its error leaves."""
        return rounding.brief_time(self.value, self.low, self.high)


def bounded(value, half, within):
    """An interval that keeps its bounds (section "Intervals" of docs/theory.md).

    Between two bounds it is symmetric on the logit scale, above one it is so downwards on the logarithm; where the half
    width is small, it is ``value -+ half``. At a bound it is cut off there, and there is none where the chunks do
    not differ at all: that nothing was seen does not say that nothing is there. A value beyond a bound shows that
    its estimate does not keep it, and the interval stays as it is.

    Parameters
    ----------
    value, half : arrays
    within : (least, greatest), the greatest may be infinite.

    Returns
    -------
    low, high : arrays
    """
    least, greatest = within
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
    return low, high


def jackknife_weight(k):
    """Of the standard deviation of estimates from all of ``k`` chunks but one, in :meth:`Interval.of`."""
    return (k - 1) / np.sqrt(k)
