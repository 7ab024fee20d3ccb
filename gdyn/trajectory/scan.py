"""The two loops over the bytes of a dump that decide how fast it is read."""

import numba
import numpy as np

DONE, MORE, NOT_A_NUMBER, TOO_FEW, TOO_MANY = range(5)
_POWERS = 10.0 ** np.arange(23)
_NEWLINE, _RETURN, _SPACE, _TAB = 10, 13, 32, 9


@numba.njit(cache=True)
def parse_rows(
    data: np.ndarray, begin: int, end: int, plan: np.ndarray, table: np.ndarray
) -> tuple[int, int, int, int]:
    """Read the lines of a frame's atoms as numbers.

    Parameters
    ----------
    data : (bytes,) uint8
    begin, end : where the lines begin in ``data``, and where ``data`` ends.
    plan : (columns in the dump,) where a column goes in ``table``, or -1 to skip it.
    table : (rows, wanted) float64, filled here.

    Returns
    -------
    status : ``DONE``; ``MORE`` if ``data`` ends before the lines do; or what is wrong.
    position : of the first byte after the lines, or of the word or line in question.
    row, column : where it stopped.
    """
    n_columns = len(plan)
    p = begin
    for row in range(len(table)):
        column = 0
        line = p
        while True:
            while p < end and (data[p] == _SPACE or data[p] == _TAB or data[p] == _RETURN):
                p += 1
            if p >= end:
                return MORE, line, row, column
            if data[p] == _NEWLINE:
                p += 1
                break
            if column == n_columns:
                return TOO_MANY, line, row, column
            into = plan[column]
            word = p
            if into >= 0:
                negative = data[p] == 45
                if negative or data[p] == 43:
                    p += 1
                first = p
                mantissa = np.int64(0)
                exponent = 0
                while p < end and 48 <= data[p] <= 57:
                    mantissa = mantissa * 10 + (data[p] - 48)
                    p += 1
                n_digits = p - first
                if p < end and data[p] == 46:
                    p += 1
                    point = p
                    while p < end and 48 <= data[p] <= 57:
                        mantissa = mantissa * 10 + (data[p] - 48)
                        p += 1
                    exponent = point - p
                    n_digits -= exponent
                seen = n_digits > 0
                if n_digits > 18:
                    mantissa, exponent = _long_number(data, first, p)
                if seen and p < end and (data[p] == 101 or data[p] == 69):
                    p += 1
                    down = p < end and data[p] == 45
                    if p < end and (data[p] == 45 or data[p] == 43):
                        p += 1
                    power = 0
                    seen = False
                    while p < end and 48 <= data[p] <= 57:
                        seen = True
                        power = min(power * 10 + (data[p] - 48), 9999)
                        p += 1
                    exponent += -power if down else power
                if p >= end:
                    return MORE, line, row, column
                if not seen or not (data[p] == _SPACE or data[p] == _NEWLINE or data[p] == _TAB or data[p] == _RETURN):
                    return NOT_A_NUMBER, word, row, column
                value = np.float64(mantissa)
                if exponent < 0:
                    # Exact to the last bit for up to 15 digits and 22 places.
                    value = value / _POWERS[-exponent] if exponent >= -22 else value * 10.0**exponent
                elif exponent > 0:
                    value = value * _POWERS[exponent] if exponent <= 22 else value * 10.0**exponent
                table[row, into] = -value if negative else value
            else:
                while p < end and not (
                    data[p] == _SPACE or data[p] == _NEWLINE or data[p] == _TAB or data[p] == _RETURN
                ):
                    p += 1
                if p >= end:
                    return MORE, line, row, column
            column += 1
        if column < n_columns:
            return TOO_FEW, line, row, column
    return DONE, p, len(table), 0


@numba.njit(cache=True)
def _long_number(data: np.ndarray, begin: int, end: int) -> tuple[np.int64, int]:
    """The first 18 significant digits of a number, and its power of 10."""
    mantissa = np.int64(0)
    digits = exponent = 0
    fraction = False
    for p in range(begin, end):
        if data[p] == 46:
            fraction = True
        elif digits < 18:
            mantissa = mantissa * 10 + (data[p] - 48)
            digits += mantissa > 0
            exponent -= fraction
        else:
            exponent += not fraction
    return mantissa, exponent


@numba.njit(cache=True)
def rows_by_id(ids: np.ndarray, known: np.ndarray, rows: np.ndarray) -> int:
    """Find the row of every known atom.

    Parameters
    ----------
    ids : (atoms,) float64, as in the dump.
    known : (atoms,) int64, ascending.
    rows : (atoms,) int64, filled here.

    Returns
    -------
    -1 if every known atom has one row, else the row of an id that is unknown or comes twice.
    """
    n = len(known)
    dense = known[n - 1] - known[0] == n - 1
    rows[:] = -1
    for row in range(n):
        atom = np.int64(ids[row])
        at = atom - known[0] if dense else np.searchsorted(known, atom)
        if at < 0 or at >= n or known[at] != atom or rows[at] >= 0:
            return row
        rows[at] = row
    return -1
