"""The M nearest neighbours of every atom in a periodic cell of any shape, images counted."""

import numba
import numpy as np

from gdyn.errors import InputError

ATOMS_PER_BIN = 4.0


def nearest_neighbors(positions, cell, m):
    """Return the ``m`` nearest neighbours of every atom, nearest first.

    Every periodic image is a neighbour of its own, so in a small cell one index may appear several
    times in a row, and an atom may be a neighbour of itself. The search is exact for every cell
    shape: bins are opened shell by shell until nothing outside them can be nearer.

    Parameters
    ----------
    positions : (atoms, 3) array, A. Need not lie inside the cell.
    cell : (3, 3) array, A. Rows are the lattice vectors; all three directions are periodic.
    m : number of neighbours of each atom.

    Returns
    -------
    neighbors : (atoms, m) int32
    distances : (atoms, m) float64, A, ascending along each row.

    Raises
    ------
    InputError : ``m`` is not positive, the cell has no volume, or a position is not a number.
    """
    positions = np.ascontiguousarray(positions, dtype=np.float64)
    cell = np.ascontiguousarray(cell, dtype=np.float64)
    if m < 1:
        raise InputError(f"the number of neighbors must be at least 1, not {m}")
    volume = abs(np.linalg.det(cell))
    if not volume > 1e-9:
        raise InputError(f"the simulation cell has no volume: its lattice vectors are {cell.tolist()}")
    if not np.isfinite(positions).all():
        atom = int(np.argwhere(~np.isfinite(positions))[0, 0])
        raise InputError(f"the position of atom {atom} (counted from 0) is not a number")
    inverse = np.linalg.inv(cell)
    heights = 1.0 / np.linalg.norm(inverse, axis=0)
    width = (volume * ATOMS_PER_BIN / max(len(positions), 1)) ** (1 / 3)
    bins = np.maximum(1, (heights / width).astype(np.int64))
    return _search(positions, cell, inverse, heights / bins, bins, m)


@numba.njit(cache=True)
def _search(positions, cell, inverse, widths, bins, m):
    """Shell search over bins; ``widths`` are the perpendicular widths of a bin in A."""
    n = positions.shape[0]
    n_bins = bins[0] * bins[1] * bins[2]

    # Wrap into the cell and sort the atoms by bin, so that a bin's atoms lie next to each other.
    scaled = positions @ inverse
    home = np.empty((n, 3), np.int64)
    count = np.zeros(n_bins + 1, np.int64)
    flat = np.empty(n, np.int64)
    for i in range(n):
        for d in range(3):
            s = scaled[i, d] - np.floor(scaled[i, d])
            if s >= 1.0:  # rounding of a tiny negative number
                s = 0.0
            scaled[i, d] = s * bins[d]
            home[i, d] = min(np.int64(scaled[i, d]), bins[d] - 1)
        flat[i] = (home[i, 0] * bins[1] + home[i, 1]) * bins[2] + home[i, 2]
        count[flat[i] + 1] += 1
    start = np.cumsum(count)
    cursor = start[:-1].copy()
    order = np.empty(n, np.int64)
    wrapped = np.empty((n, 3), np.float64)
    for i in range(n):
        k = cursor[flat[i]]
        cursor[flat[i]] += 1
        order[k] = i
        a = scaled[i, 0] / bins[0]
        b = scaled[i, 1] / bins[1]
        c = scaled[i, 2] / bins[2]
        for d in range(3):
            wrapped[k, d] = a * cell[0, d] + b * cell[1, d] + c * cell[2, d]

    neighbors = np.empty((n, m), np.int32)
    distances = np.empty((n, m), np.float64)
    best = np.empty(m, np.float64)
    who = np.empty(m, np.int32)
    inside = np.empty(3, np.float64)
    for k in range(n):
        i = order[k]
        x, y, z = wrapped[k, 0], wrapped[k, 1], wrapped[k, 2]
        # Distance from the atom to the nearer face of its own bin, in each direction.
        for d in range(3):
            offset = scaled[i, d] - home[i, d]
            inside[d] = min(offset, 1.0 - offset) * widths[d]
        found = 0
        worst = np.inf
        shell = 0
        while True:
            for dx in range(-shell, shell + 1):
                bx = home[i, 0] + dx
                ix = bx // bins[0]
                bx -= ix * bins[0]
                for dy in range(-shell, shell + 1):
                    by = home[i, 1] + dy
                    iy = by // bins[1]
                    by -= iy * bins[1]
                    edge = dx == -shell or dx == shell or dy == -shell or dy == shell
                    stride = 1 if edge else max(1, 2 * shell)
                    for dz in range(-shell, shell + 1, stride):
                        bz = home[i, 2] + dz
                        iz = bz // bins[2]
                        bz -= iz * bins[2]
                        sx = ix * cell[0, 0] + iy * cell[1, 0] + iz * cell[2, 0] - x
                        sy = ix * cell[0, 1] + iy * cell[1, 1] + iz * cell[2, 1] - y
                        sz = ix * cell[0, 2] + iy * cell[1, 2] + iz * cell[2, 2] - z
                        image = ix != 0 or iy != 0 or iz != 0
                        b = (bx * bins[1] + by) * bins[2] + bz
                        for q in range(start[b], start[b + 1]):
                            if q == k and not image:
                                continue
                            ux = wrapped[q, 0] + sx
                            uy = wrapped[q, 1] + sy
                            uz = wrapped[q, 2] + sz
                            r2 = ux * ux + uy * uy + uz * uz
                            if r2 >= worst:
                                continue
                            p = found if found < m else m - 1
                            while p > 0 and best[p - 1] > r2:
                                best[p] = best[p - 1]
                                who[p] = who[p - 1]
                                p -= 1
                            best[p] = r2
                            who[p] = order[q]
                            if found < m:
                                found += 1
                            if found == m:
                                worst = best[m - 1]
            # Nothing outside the shells opened so far is nearer than this.
            reach = np.inf
            for d in range(3):
                reach = min(reach, inside[d] + shell * widths[d])
            if found == m and worst <= reach * reach:
                break
            shell += 1
        for p in range(m):
            neighbors[i, p] = who[p]
            distances[i, p] = np.sqrt(best[p])
    return neighbors, distances
