"""Which atoms are in a liquid, or in the first layers of the solid beside it."""

import numpy as np
import scipy
from jaxtyping import Bool, Float, Int

from gdyn.errors import InputError
from gdyn.logs import LOG

BIN_A = 0.05
LIQUID_SMOOTHING_A = 1.0
LAYER_SMOOTHING_A = 0.35
DILUTE = 0.25  # part of the liquid's own density of its marker, below which it is not the liquid
DISTINCT = 0.7  # the density between two layers, as a part of that within
FULL, STRAY = 0.5, 0.2  # of the atoms of a layer in the middle, and of atoms of the liquid for each of its own


def near_interface(
    chosen: Int[np.ndarray, " chosen"],
    marker: Int[np.ndarray, " marker"],
    scaled: Float[np.ndarray, " atoms"],
    height_A: float,
    layers: int,
) -> Int[np.ndarray, " near"]:
    """The chosen atoms that are not deep in the solid.

    The liquid is where its marker is, atoms that the solid has none of; the solid is the longest stretch of the
    periodic axis without. Its layers are what lies between minima of the density of the chosen atoms, counted from
    each of its two ends.

    Parameters
    ----------
    chosen, marker : indices of atoms: those to choose from, and those that are in the liquid alone.
    scaled : (atoms,) positions along the axis, as fractions of the cell from 0 to 1.
    height_A : of the cell along the axis.
    layers : number of layers on each side that belong to the interface.

    Returns
    -------
    array : the part of ``chosen`` that is in the liquid or in these layers.

    Raises
    ------
    InputError : there is no solid, or it has no more layers than are asked for.
    """
    bins = max(16, round(height_A / BIN_A))

    def density(atoms: np.ndarray, width_A: float) -> Float[np.ndarray, " bins"]:
        counts = np.bincount((scaled[atoms] * bins).astype(int) % bins, minlength=bins)
        return scipy.ndimage.gaussian_filter1d(counts.astype(float), width_A * bins / height_A, mode="wrap")

    of_marker = density(marker, LIQUID_SMOOTHING_A)
    dense = of_marker[of_marker > of_marker.mean()]
    begin, length = _longest_stretch(of_marker < DILUTE * dense.mean())
    step = height_A / bins
    middle = (begin + length // 2) % bins  # places from here on are signed
    along = np.roll(density(chosen, LAYER_SMOOTHING_A), bins // 2 - middle)
    gaps = _gaps(along, round(LAYER_SMOOTHING_A / step)) - bins // 2
    place, foreign = (((scaled[atoms] * bins - middle + bins / 2) % bins) - bins / 2 for atoms in (chosen, marker))
    gaps = _crystalline(gaps, np.histogram(place, gaps)[0], np.histogram(foreign, gaps)[0]) if len(gaps) > 1 else gaps
    n_layers = len(gaps) - 1
    if n_layers <= 2 * layers:
        raise InputError(
            f"targets.interface: the longest stretch without atoms of its key liquid is {length * step:.1f} A long "
            f"and has {max(n_layers, 0)} layers of the selection, too few for {layers} on each side and a solid "
            f"between them; look at the density along this axis, lower layers, or leave interface out"
        )
    kept = chosen[(place < gaps[layers]) | (place > gaps[-1 - layers])]
    LOG.info(
        "the solid is from %.1f to %.1f A and has %d layers; %d of %d atoms of the selection are in the liquid or in "
        "its first %d layers on each side",
        *((middle + gap) % bins * step for gap in (gaps[0], gaps[-1])),
        *(n_layers, len(kept), len(chosen), layers),
    )
    return kept


def _longest_stretch(inside: Bool[np.ndarray, " bins"]) -> tuple[int, int]:
    """Where the longest stretch of True of a periodic array begins, and its length."""
    if inside.all() or not inside.any():
        return 0, len(inside) * int(inside.all())
    first = np.flatnonzero(~inside)[0]
    rolled = np.roll(inside, -first)  # begins outside of any stretch
    edges = np.flatnonzero(np.diff(np.concatenate([rolled, [False]]).astype(int)))
    begins, ends = edges[::2] + 1, edges[1::2] + 1
    longest = np.argmax(ends - begins)
    return int((begins[longest] + first) % len(inside)), int(ends[longest] - begins[longest])


def _gaps(along: Float[np.ndarray, " bins"], reach: int) -> Int[np.ndarray, " gaps"]:
    """The minima of a density that bound distinct layers, from the middle of the array outwards until one is not."""
    around = np.array([np.roll(along, shift) for shift in range(-reach, reach + 1)])
    minima = np.flatnonzero(along <= around.min(0))
    # Bins of a broad empty gap are all minima: each gap once, by its middle.
    runs = np.split(minima, np.flatnonzero(np.diff(minima) > 1) + 1)
    middles = np.array([run[len(run) // 2] for run in runs if len(run)], int)
    if not len(middles):
        return middles
    first = int(np.abs(middles - len(along) // 2).argmin())
    kept = [middles[first]]
    for outwards in (middles[first + 1 :], middles[:first][::-1]):
        last = middles[first]
        for gap in outwards:
            peak = along[min(last, gap) : max(last, gap) + 1].max()
            if max(along[last], along[gap]) > DISTINCT * peak:
                break
            kept.append(gap)
            last = gap
    return np.sort(kept)


def _crystalline(
    gaps: Int[np.ndarray, " gaps"], solid: Int[np.ndarray, " layers"], liquid: Int[np.ndarray, " layers"]
) -> Int[np.ndarray, " kept"]:
    """Those gaps between which layers are full, and hardly hold an atom of the liquid."""
    full = (solid >= FULL * np.median(solid)) & (liquid <= STRAY * solid)
    inside = np.flatnonzero(full)
    if not len(inside):
        return gaps[:1]
    return gaps[inside[0] : inside[-1] + 2]
