"""The M nearest neighbors of all atoms, or of those that matter to the targets, in a periodic cell of any shape."""

from collections.abc import Sequence

import numba
import numpy as np
from jaxtyping import Float, Int

from gdyn.errors import InputError

ATOMS_PER_BIN = 2.0
EVERYWHERE = (True, True, True)

# Cell, widths and numbers of bins, periodic directions; positions by place, positions in bins and home bins by atom;
# the atom at each place, the place of each atom, and where each bin's places begin.
Grid = tuple[np.ndarray, ...]


def nearest_neighbors(
    positions: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    m: int,
    periodic: Sequence[bool] | np.ndarray = EVERYWHERE,
) -> tuple[Int[np.ndarray, "atoms {m}"], Float[np.ndarray, "atoms {m}"]]:
    """Return the ``m`` nearest neighbors of every atom, nearest first.

    Every periodic image is a neighbor of its own, so in a small cell one index may appear several
    times in a row, and an atom may be a neighbor of itself. The search is exact for every cell
    shape: bins are opened shell by shell until nothing outside them can be nearer.

    Parameters
    ----------
    positions : (atoms, 3) array, A. Need not lie inside the cell.
    cell : (3, 3) array, A. Rows are the lattice vectors.
    m : number of neighbors of each atom.
    periodic : (3,) bool, which lattice vectors repeat.

    Returns
    -------
    neighbors : (atoms, m) int32
    distances : (atoms, m) float64, A, ascending along each row.

    Raises
    ------
    InputError : ``m`` is not positive, the cell has no volume, a position is not a number, or fewer
        than ``m`` neighbors can be reached.
    """
    grid = _grid(positions, cell, m, periodic)
    n = len(positions)
    neighbors = np.empty((n, m), np.int32)
    distances = np.empty((n, m), np.float64)
    _search_all(grid, neighbors, distances)
    return neighbors, distances


def receptive_field(
    positions: Float[np.ndarray, "atoms 3"],
    cell: Float[np.ndarray, "3 3"],
    m: int,
    targets: Int[np.ndarray, " targets"],
    hops: int,
    periodic: Sequence[bool] | np.ndarray = EVERYWHERE,
) -> tuple[
    Int[np.ndarray, " nodes"],
    Int[np.ndarray, " {hops}+1"],
    Int[np.ndarray, "inner {m}"],
    Float[np.ndarray, "inner {m}"],
]:
    """Return the part of the graph that can reach the targets in a number of hops.

    Only the neighbors of atoms up to ``hops - 1`` hops away are looked for: a network of ``hops``
    convolutions gives the same features of the targets as on the whole graph.

    Parameters
    ----------
    positions, cell, m, periodic : as in :func:`nearest_neighbors`.
    targets : (atoms,) indices of the atoms whose features are asked for, each once.
    hops : int, at least 1.

    Returns
    -------
    nodes : (nodes,) int32, indices of atoms; the targets first, in their order, then the atoms one hop
        away, and so on.
    counts : (hops + 1,) int64, numbers of nodes within 0, 1 ... ``hops`` hops.
    neighbors : (counts[hops - 1], m) int32, indices into ``nodes``.
    distances : (counts[hops - 1], m) float64, A, ascending along each row.

    Raises
    ------
    InputError : as in :func:`nearest_neighbors`.
    """
    grid = _grid(positions, cell, m, periodic)
    return _search_field(grid, np.ascontiguousarray(targets, np.int32), hops, m)


def _grid(positions: np.ndarray, cell: np.ndarray, m: int, periodic: Sequence[bool] | np.ndarray) -> Grid:
    """Check the input, and sort the atoms into bins."""
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    periodic = np.asarray(periodic, dtype=np.bool_)
    if periodic.shape != (3,):
        raise InputError(f"periodic: should be three of True or False, one for each lattice vector, not {periodic}")
    if positions.ndim != 2 or positions.shape[1] != 3:
        raise InputError(f"positions: should be (atoms, 3), not of shape {positions.shape}")
    if cell.shape != (3, 3):
        raise InputError(f"cell: should be lattice vectors in rows, (3, 3); of a box, np.diag(edges); not {cell.shape}")
    if not isinstance(m, int | np.integer) or m < 1:
        raise InputError(f"the number of neighbors must be a whole number, at least 1, not {m}")
    volume = abs(np.linalg.det(cell)) if np.isfinite(cell).all() else np.nan
    if not volume > 1e-9:
        raise InputError(f"the simulation cell has no volume: its lattice vectors are {cell.tolist()}")
    if not np.isfinite(positions).all():
        atom = int(np.argwhere(~np.isfinite(positions))[0, 0])
        raise InputError(f"the position of atom {atom} (counted from 0) is not a number")
    if not periodic.any() and len(positions) <= m:
        raise InputError(
            f"{m} neighbors are asked for, but an atom can reach only {len(positions) - 1} others: no direction of "
            f"the box is periodic; lower graphs.neighbors"
        )
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    width = (volume * ATOMS_PER_BIN / max(len(positions), 1)) ** (1 / 3)
    bins = np.maximum(1, (heights / width).astype(np.int64))
    wrapped, scaled, home, order, place, start = _sort(positions, cell, inverse, bins, periodic)
    return cell, heights / bins, bins, periodic, wrapped, scaled, home, order, place, start


@numba.njit(cache=True)
def _sort(
    positions: np.ndarray, cell: np.ndarray, inverse: np.ndarray, bins: np.ndarray, periodic: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Wrap into the cell and sort the atoms by bin, so that a bin's atoms lie next to each other.

    Returns positions (by place), positions in units of bins and home bins (by atom), the atom at each
    place, the place of each atom, and where each bin's places begin.
    """
    n = positions.shape[0]
    scaled = positions @ inverse
    home = np.empty((n, 3), np.int64)
    start = np.zeros(bins[0] * bins[1] * bins[2] + 1, np.int64)
    flat = np.empty(n, np.int64)
    for i in range(n):
        for d in range(3):
            s = scaled[i, d]
            if periodic[d]:
                s -= np.floor(s)
                if s >= 1.0:  # rounding of a tiny negative number
                    s = 0.0
            # Beyond a face that does not repeat, the outermost bin reaches as far as there are atoms.
            scaled[i, d] = s * bins[d]
            home[i, d] = max(0, min(np.int64(np.floor(scaled[i, d])), bins[d] - 1))
        flat[i] = (home[i, 0] * bins[1] + home[i, 1]) * bins[2] + home[i, 2]
        start[flat[i] + 1] += 1
    start = np.cumsum(start)
    cursor = start[:-1].copy()
    order = np.empty(n, np.int64)
    place = np.empty(n, np.int64)
    wrapped = np.empty((n, 3), np.float64)
    for i in range(n):
        k = cursor[flat[i]]
        cursor[flat[i]] += 1
        order[k] = i
        place[i] = k
        a = scaled[i, 0] / bins[0]
        b = scaled[i, 1] / bins[1]
        c = scaled[i, 2] / bins[2]
        for d in range(3):
            wrapped[k, d] = a * cell[0, d] + b * cell[1, d] + c * cell[2, d]
    return wrapped, scaled, home, order, place, start


@numba.njit(cache=True)
def _search_all(grid: Grid, neighbors: np.ndarray, distances: np.ndarray) -> None:
    order = grid[7]
    who = np.empty(neighbors.shape[1], np.int32)
    best = np.empty(neighbors.shape[1], np.float64)
    for k in range(len(order)):
        i = order[k]
        _search_one(grid, i, who, best)
        for p in range(len(who)):
            neighbors[i, p] = who[p]
            distances[i, p] = np.sqrt(best[p])


@numba.njit(cache=True)
def _search_field(
    grid: Grid, targets: np.ndarray, hops: int, m: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n = len(grid[7])
    nodes = np.empty(n, np.int32)
    number = np.full(n, -1, np.int32)
    counts = np.empty(hops + 1, np.int64)
    for count in range(len(targets)):
        nodes[count] = targets[count]
        number[targets[count]] = count
    n_nodes = len(targets)
    counts[0] = n_nodes
    capacity = n_nodes
    neighbors = np.empty((capacity, m), np.int32)
    distances = np.empty((capacity, m), np.float64)
    who = np.empty(m, np.int32)
    best = np.empty(m, np.float64)
    begin = 0
    for hop in range(hops):
        end = counts[hop]
        if end > capacity:
            capacity = end
            grown_neighbors = np.empty((capacity, m), np.int32)
            grown_distances = np.empty((capacity, m), np.float64)
            grown_neighbors[:begin] = neighbors[:begin]
            grown_distances[:begin] = distances[:begin]
            neighbors, distances = grown_neighbors, grown_distances
        for row in range(begin, end):
            _search_one(grid, nodes[row], who, best)
            for p in range(m):
                j = who[p]
                if number[j] < 0:
                    number[j] = n_nodes
                    nodes[n_nodes] = j
                    n_nodes += 1
                neighbors[row, p] = number[j]
                distances[row, p] = np.sqrt(best[p])
        begin = end
        counts[hop + 1] = n_nodes
    return nodes[:n_nodes].copy(), counts, neighbors, distances


@numba.njit(cache=True)
def _beyond(steps: int, at: float, width: float, worst: float) -> bool:
    """Whether bins so many steps away in one direction are farther than the square root of ``worst``."""
    if steps == 0:
        return False
    gap = (steps - at if steps > 0 else at - steps - 1.0) * width
    return gap > 0.0 and gap * gap >= worst


@numba.njit(cache=True)
def _search_one(grid: Grid, i: int, who: np.ndarray, best: np.ndarray) -> None:
    """Find the nearest neighbors of atom ``i``: ``who`` (m,) and their squared distances ``best`` (m,), A^2."""
    cell, widths, bins, periodic, wrapped, scaled, home, order, place, start = grid
    m = len(who)
    k = place[i]
    x, y, z = wrapped[k, 0], wrapped[k, 1], wrapped[k, 2]
    # Where the atom is in its own bin, and its distance to the nearer face of it, in each direction.
    at_x = scaled[i, 0] - home[i, 0]
    at_y = scaled[i, 1] - home[i, 1]
    at_z = scaled[i, 2] - home[i, 2]
    inside_x = min(at_x, 1.0 - at_x) * widths[0]
    inside_y = min(at_y, 1.0 - at_y) * widths[1]
    inside_z = min(at_z, 1.0 - at_z) * widths[2]
    count = 0
    worst = np.inf
    shell = 1  # of bins opened; the first time with all that is inside
    while True:
        for dx in range(-shell, shell + 1):
            bx = home[i, 0] + dx
            ix = bx // bins[0]
            if (ix != 0 and not periodic[0]) or _beyond(dx, at_x, widths[0], worst):
                continue
            bx -= ix * bins[0]
            for dy in range(-shell, shell + 1):
                by = home[i, 1] + dy
                iy = by // bins[1]
                if (iy != 0 and not periodic[1]) or _beyond(dy, at_y, widths[1], worst):
                    continue
                by -= iy * bins[1]
                # Bins that follow each other in the third direction are one stretch of places.
                whole = shell == 1 or abs(dx) == shell or abs(dy) == shell
                dz = -shell
                while dz <= shell:
                    last = shell if whole else dz
                    first_bin = home[i, 2] + dz
                    iz = first_bin // bins[2]
                    # Up to the end of this image of the cell.
                    last = min(last, (iz + 1) * bins[2] - 1 - home[i, 2])
                    stretch_first, stretch_last = dz, last
                    dz = last + 1 if whole else dz + 2 * shell
                    if iz != 0 and not periodic[2]:
                        continue
                    while stretch_first <= stretch_last and _beyond(stretch_first, at_z, widths[2], worst):
                        stretch_first += 1
                    while stretch_first <= stretch_last and _beyond(stretch_last, at_z, widths[2], worst):
                        stretch_last -= 1
                    if stretch_first > stretch_last:
                        continue
                    sx = ix * cell[0, 0] + iy * cell[1, 0] + iz * cell[2, 0] - x
                    sy = ix * cell[0, 1] + iy * cell[1, 1] + iz * cell[2, 1] - y
                    sz = ix * cell[0, 2] + iy * cell[1, 2] + iz * cell[2, 2] - z
                    itself = k if ix == 0 and iy == 0 and iz == 0 else -1
                    column = (bx * bins[1] + by) * bins[2] + home[i, 2] - iz * bins[2]
                    for q in range(start[column + stretch_first], start[column + stretch_last + 1]):
                        ux = wrapped[q, 0] + sx
                        uy = wrapped[q, 1] + sy
                        uz = wrapped[q, 2] + sz
                        r2 = ux * ux + uy * uy + uz * uz
                        if r2 >= worst or q == itself:
                            continue
                        p = count if count < m else m - 1
                        while p > 0 and best[p - 1] > r2:
                            best[p] = best[p - 1]
                            who[p] = who[p - 1]
                            p -= 1
                        best[p] = r2
                        who[p] = order[q]
                        if count < m:
                            count += 1
                        if count == m:
                            worst = best[m - 1]
        # Nothing outside the shells opened so far is nearer than this.
        reach = min(inside_x + shell * widths[0], inside_y + shell * widths[1], inside_z + shell * widths[2])
        if count == m and reach > 0.0 and worst <= reach * reach:
            return
        shell += 1
        repeats = periodic[0] or periodic[1] or periodic[2]
        if not repeats and shell > max(bins[0], bins[1], bins[2]):
            return
