"""The learned states in the cell, against known sites."""

import itertools

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gdyn.figures.style import REFERENCE, STATES, at_faces, label_panel, new_figure, styled
from gdyn.kinetics.site_analysis import SiteComparison

MARKERS = "o^sDvP"
OTHERS = ("#d9c24a", "#9fb4a5", "#b79ab8", "#8fa7c4")


@styled
def draw_sites(comparison: SiteComparison) -> Figure:
    """Draw where each state is found: in the cell, and projected along its third lattice vector.

    Parameters
    ----------
    comparison : of which states and sites.

    Returns
    -------
    Figure
    """
    cell, points = comparison.cell_A, comparison.points
    shown = points.iloc[:: max(1, len(points) // 6000)]
    x, y, z = (shown[["x", "y", "z"]].to_numpy() @ cell).T
    strength = shown["p1"].to_numpy()
    scale = LinearSegmentedColormap.from_list("states", [STATES[1], "#f1efe9", STATES[0]])
    figure = new_figure(3.3)
    left = figure.add_subplot(1, 2, 1, projection="3d")
    right = figure.add_subplot(1, 2, 2)

    for a, b in itertools.combinations(np.array(list(itertools.product((0, 1), repeat=3))), 2):
        if np.abs(a - b).sum() == 1:
            left.plot(*np.stack([a, b]).astype(float).dot(cell).T, color="#9aa0a6", lw=0.7)
    left.scatter(x, y, z, c=strength, cmap=scale, vmin=0, vmax=1, s=2.5, alpha=0.55, lw=0, rasterized=True)
    surroundings = comparison.surroundings
    names = np.array(surroundings.elements)
    for number, name in enumerate(np.unique(names)):
        at = (at_faces(surroundings.fractional[names == name]) @ cell).T
        color = OTHERS[number % len(OTHERS)]
        left.scatter(at[0], at[1], at[2], c=color, s=42, edgecolors="#4d4d4d", lw=0.5, alpha=0.85, label=name)
    if len(names):
        left.legend(loc="upper right", bbox_to_anchor=(1.0, 0.96), handletextpad=0.2)
    left.set_box_aspect(np.ptp(np.stack([np.zeros(3), *cell, cell.sum(0)]), axis=0), zoom=1.18)
    left.view_init(elev=16, azim=-66)
    left.set_axis_off()

    image = right.scatter(x, y, c=strength, cmap=scale, vmin=0, vmax=1, s=3, alpha=0.6, lw=0, rasterized=True)
    for number, (name, sites) in enumerate(comparison.sites.items()):
        at = (at_faces(sites) @ cell).T
        right.scatter(
            at[0],
            at[1],
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
    if bar.solids is not None:
        bar.solids.set_alpha(1.0)
    bar.outline.set_edgecolor(REFERENCE)
    left.text2D(0.0, 1.0, "a", transform=left.transAxes, fontweight="bold", fontsize=10)
    label_panel(right, "b")
    return figure
