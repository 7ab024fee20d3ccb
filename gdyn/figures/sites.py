"""The learned states in the cell, against known sites."""

import itertools

import numpy as np
from matplotlib.colors import LinearSegmentedColormap

from gdyn.figures.style import REFERENCE, STATES, at_faces, label_panel, new_figure, styled

MARKERS = "o^sDvP"
OTHERS = ("#d9c24a", "#9fb4a5", "#b79ab8", "#8fa7c4")


@styled
def draw_sites(points, comparison):
    """Draw where each state is found: in the cell, and projected along its third lattice vector.

    Parameters
    ----------
    points : table of fractional positions ``x``, ``y``, ``z`` and probabilities ``p1``, ``p2`` ...
    comparison : the content of ``sites.json``.

    Returns
    -------
    Figure
    """
    cell = np.array(comparison["cell_A"])
    shown = points.iloc[:: max(1, len(points) // 6000)]
    where, strength = shown[["x", "y", "z"]].to_numpy() @ cell, shown["p1"].to_numpy()
    scale = LinearSegmentedColormap.from_list("states", [STATES[1], "#f1efe9", STATES[0]])
    figure = new_figure(3.3)
    left = figure.add_subplot(1, 2, 1, projection="3d")
    right = figure.add_subplot(1, 2, 2)

    for a, b in itertools.combinations(np.array(list(itertools.product((0, 1), repeat=3))), 2):
        if np.abs(a - b).sum() == 1:
            left.plot(*np.stack([a, b]).astype(float).dot(cell).T, color="#9aa0a6", lw=0.7)
    left.scatter(*where.T, c=strength, cmap=scale, vmin=0, vmax=1, s=2.5, alpha=0.55, lw=0, rasterized=True)
    others = comparison["surroundings"]
    names = np.array(others["elements"])
    for number, name in enumerate(np.unique(names)):
        at = at_faces(np.array(others["fractional"])[names == name]) @ cell
        left.scatter(*at.T, c=OTHERS[number % len(OTHERS)], s=42, edgecolors="#4d4d4d", lw=0.5, alpha=0.85, label=name)
    if len(names):
        left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.96), handletextpad=0.2)
    left.set_box_aspect(np.ptp(np.stack([np.zeros(3), *cell, cell.sum(0)]), axis=0), zoom=1.18)
    left.view_init(elev=16, azim=-66)
    left.set_axis_off()

    image = right.scatter(
        *where[:, :2].T, c=strength, cmap=scale, vmin=0, vmax=1, s=3, alpha=0.6, lw=0, rasterized=True
    )
    for number, (name, sites) in enumerate(comparison["sites"].items()):
        right.scatter(
            *(at_faces(np.array(sites)) @ cell)[:, :2].T,
            marker=MARKERS[number % len(MARKERS)],
            s=34,
            facecolors="none",
            edgecolors="#202124",
            lw=1.0,
            label=name,
            clip_on=False,
        )
    right.set(aspect="equal", xlabel="x (Å)", ylabel="y (Å)")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handletextpad=0.3)
    bar = figure.colorbar(image, ax=right, shrink=0.8, pad=0.03)
    bar.set_label("probability of state 1")
    bar.solids.set_alpha(1.0)
    bar.outline.set_edgecolor(REFERENCE)
    left.text2D(0.0, 1.0, "a", transform=left.transAxes, fontweight="bold", fontsize=10)
    label_panel(right, "b")
    return figure
