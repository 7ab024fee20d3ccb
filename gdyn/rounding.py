"""Numbers rounded to the digits that their errors leave."""

import math
from typing import TypeGuard

NOTHING = "not known"
NANOSECONDS_PS = 1e4  # from which times are given in ns
SMALLEST = 1e-300  # that Python can divide by
ROUNDING = 1e-12  # relative, below which an error counts as zero
NEGLIGIBLE = 1e-9  # of the width of an interval
TWO_DIGITS = (
    3.55  # of the first digits of an error, up to which two of them are given (as the Particle Data Group does)
)


def rounded(value: float | None, low: float | None = None, high: float | None = None, unit: str = "") -> str:
    """A number with its 95 % interval, rounded to its error: ``37 ps (32 to 44)``.

    Parameters
    ----------
    value, low, high : numbers; None or NaN where unknown. Without an interval, three digits are given.
    unit : put behind the number.
    """
    if not _known(value):
        return NOTHING
    unit = f" {unit}" if unit else ""
    # Numpy rounds 0.415 otherwise than Python does: a number reads the same wherever it comes from.
    value = float(value)
    if not (_known(low) and _known(high)):
        three = f"{value:.3g}"
        return f"{float(three):.6g}{unit} (no interval)" if abs(value) < 1e5 else f"{three}{unit} (no interval)"
    low, high = float(low), float(high)
    if abs(value) < NEGLIGIBLE * (high - low):
        value = 0.0
    arm = min(high - value, value - low)
    place = decimals(arm if arm > NEGLIGIBLE * (high - low) else 0.5 * (high - low), value)
    largest = max(map(abs, (value, low, high)))
    at = _scientific if largest >= 1e5 or 0 < largest < 1e-3 else _plain
    return f"{at(value, place)}{unit} ({at(low, place)} to {at(high, place)})"


def decimals(error: float, value: float = 0.0) -> int:
    """How many decimals an error leaves of a number; negative where digits before the point are lost too."""
    error = abs(error)
    if not error > max(ROUNDING * abs(value), SMALLEST):
        return 2 - math.floor(math.log10(abs(value))) if value else 2
    power = math.floor(math.log10(error))
    first = error / 10.0**power
    return 1 - power if first < TWO_DIGITS else -power


def time(ps: float | None, low: float | None = None, high: float | None = None) -> str:
    """A time with its interval in ps, or in ns where it is long."""
    if not _known(ps):
        return NOTHING
    scale, unit = (1e-3, "ns") if ps >= NANOSECONDS_PS else (1.0, "ps")
    low, high = (x * scale if _known(x) else None for x in (low, high))
    return rounded(ps * scale, low, high, unit)


def brief_time(ps: float | None, low: float | None = None, high: float | None = None) -> str:
    """The time alone, to the digits that its error leaves; three where that is not known."""
    return time(ps, low, high).partition(" (")[0]


def several(number: int, what: str) -> str:
    """A number of things: ``1 time``, ``2 times``."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def _plain(value: float, place: int) -> str:
    place = max(place, -_power(value))
    return f"{round(value, place) + 0.0:.{max(0, min(place, 15))}f}"


def _scientific(value: float, place: int) -> str:
    return f"{value:.{max(0, min(place + _power(value), 15))}e}" if value else "0"


def _power(value: float) -> int:
    """Power of ten of the first digit of a number: at least that digit is given. None for zero."""
    return math.floor(math.log10(abs(value))) if value else 15


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)
