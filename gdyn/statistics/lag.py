"""Which frames form time-lagged pairs."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int


def lagged_frames(segment: Int[np.ndarray, " frames"], lag_frames: int) -> Int[np.ndarray, " pairs"]:
    """Return the frames ``t`` for which ``t + lag_frames`` lies in the same segment.

    Frames of a segment follow each other without a gap, so the pair is exactly the lag apart; no
    pair crosses a gap, the end of a split or the end of a trajectory.

    Parameters
    ----------
    segment : (frames,) integers that do not decrease.
    lag_frames : int, at least 0.

    Returns
    -------
    (pairs,) int64, ascending
    """
    if lag_frames >= len(segment):
        return np.empty(0, np.int64)
    same = segment[: len(segment) - lag_frames] == segment[lag_frames:]
    return np.flatnonzero(same)


def longest_segment(segment: Int[np.ndarray, " frames"]) -> int:
    """The number of frames of the longest segment: what no lag time can be longer than."""
    return int(np.unique(segment, return_counts=True)[1].max(initial=0))


def split_frames(n_frames: int, fractions: Sequence[float]) -> slice:
    """Return the slice of a trajectory's frames that a split given in fractions covers.

    The end of one split is the beginning of the next: no frame is in two splits.
    """
    begin, end = (round(fraction * n_frames) for fraction in fractions)
    return slice(begin, end)
