"""Where the first shell around the targets ends."""

from dataclasses import dataclass

import numpy as np
import scipy

from gdyn.structure.surroundings import Edges, PerShell, Shells

SMOOTHING_A = 0.08  # of the distribution whose minimum ends the first shell
FEWEST = 8  # atoms that a peak is made of
LEAST_PEAK = 0.1  # of the highest place of a distribution, to be its first peak
RISE = 0.1  # of the mean density, from which on a distribution has risen again
FLAT = 0.01  # of the mean density, up to which places are equally low
GONE = 0.02  # of the peak, below which no atoms of this kind are left
CLEAR = 0.5  # of the peak, that a minimum may be high


@dataclass
class FirstShell:
    """The first peak of a distribution and the minimum behind it, A; ``clear`` if it is one."""

    peak_A: float
    end_A: float
    clear: bool


def sum_over_targets(whole: Shells, group: int) -> tuple[PerShell, PerShell]:
    """Atoms of a group in each shell about all targets, and how many there would be at uniform density."""
    counts = whole.counts[:, group].sum(0)
    return counts, whole.density[:, group].sum() * 4 / 3 * np.pi * np.diff(whole.edges_A**3)


def first_shell(edges_A: Edges, counts: PerShell, expected: PerShell, with_A: float = 0.0) -> FirstShell:
    """Where the first shell of a distribution ends: its lowest place between the first peak and what comes next.

    What comes next is where the distribution has risen again, by 0.1 of the mean density and by three times its noise:
    a ripple on a slope is no minimum. It is clear where it rises at all, and is no more than half as high as the peak,
    or where nothing is left behind the peak.

    Parameters
    ----------
    edges_A : (bins + 1,)
    counts, expected : (bins,) of :func:`sum_over_targets`
    with_A : a distance that the first shell reaches in any case, that of the farthest of several kinds of atoms in it.

    Returns
    -------
    FirstShell : its peak is NaN where there is none; then, and where nothing comes next, the shell ends at the
        lowest place that there is behind the peak.
    """
    step = edges_A[1] - edges_A[0]
    width = SMOOTHING_A / step
    with np.errstate(invalid="ignore", divide="ignore"):
        g = scipy.ndimage.gaussian_filter1d(np.nan_to_num(counts / expected), width)
        samples = scipy.ndimage.gaussian_filter1d(counts, width) * 2.0 * np.sqrt(np.pi) * width
        noise = g / np.sqrt(np.maximum(samples, 1.0))
    middle = edges_A[:-1] + 0.5 * step
    highest = g[samples >= FEWEST].max(initial=0.0)
    inner = slice(1, -1)
    peaked = (g[inner] >= g[:-2]) & (g[inner] > g[2:]) & (g[inner] > LEAST_PEAK * highest) & (samples[inner] >= FEWEST)
    peaks = np.flatnonzero(peaked) + 1
    if not len(peaks):
        return FirstShell(np.nan, float(edges_A[-1]), False)
    start = max(peaks[0], min(int(np.searchsorted(middle, with_A)), len(g) - 1))
    lowest = np.minimum.accumulate(g[start:])
    # Another peak on the way, before anything like a minimum, belongs to the same shell.
    rises = np.flatnonzero(g[start:] - lowest > np.maximum(RISE, 3.0 * noise[start:]))
    until = start + (rises[0] if len(rises) else len(lowest) - 1)
    behind = slice(start, until + 1)
    least = g[behind].min()
    top = g[peaks[0] : until + 1].max()
    flat = np.flatnonzero(g[behind] <= least + FLAT * min(top, 1.0)) + start
    gone = least <= GONE * top  # nothing lies beyond it, so nothing need come next
    clear = bool((len(rises) and least <= CLEAR * top) or gone)
    end = middle[flat].mean() if len(rises) else middle[flat[0]]
    return FirstShell(float(middle[peaks[0]]), float(end), clear)
