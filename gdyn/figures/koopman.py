"""The Koopman model: matrix, populations and eigenvectors by state."""

import numpy as np
from matplotlib.figure import Figure

from gdyn.figures.style import colour, label_panel, new_figure, panels_of, styled
from gdyn.kinetics.model import KoopmanModel

PROCESSES = ("#4a4f55", "#8b9299", "#c2c7cc")


@styled
def draw_koopman(model: KoopmanModel) -> Figure:
    """Draw the Koopman matrix, the populations and the eigenvectors, with 95 % intervals.

    Parameters
    ----------
    model : of which system or states.

    Returns
    -------
    Figure
    """
    n, matrix, populations, vectors = model.n_states, model.koopman, model.populations, model.eigenvectors
    names = [str(i + 1) for i in range(n)]
    figure = new_figure(2.5)
    left, middle, right = panels_of(figure, 1, 3, width_ratios=(1.05, 0.8, 1.25))

    left.imshow(matrix.value, cmap="Blues", vmin=0, vmax=1)
    for i, j in np.ndindex(n, n):
        value, half = matrix.value[i, j], matrix.half[i, j]
        text = f"{value:.3f}\n±{half:.3f}" if n <= 4 else f"{value:.2f}"
        if np.isnan([value, half]).any():
            text = "?" if np.isnan(value) else f"{value:.3f}"[: 5 if n <= 4 else 4]
        left.text(
            j,
            i,
            text,
            ha="center",
            va="center",
            fontsize=7.5 if n <= 4 else 6,
            color="white" if value > 0.55 else "#202124",
        )
    left.set(
        xticks=range(n), yticks=range(n), xticklabels=names, yticklabels=names, xlabel="to state", ylabel="from state"
    )
    left.tick_params(length=0)
    left.spines[:].set_visible(False)

    middle.bar(names, populations.value, color=[colour(i) for i in range(n)], width=0.65)
    middle.errorbar(names, populations.value, populations.arms, fmt="none", ecolor="#202124", lw=0.9, capsize=2)
    middle.set(xlabel="state", ylabel="population", ylim=(0, 1))

    width = 0.8 / max(n - 1, 1)
    for process in range(n - 1):
        x = np.arange(n) + (process - (n - 2) / 2) * width
        vector, timescale = vectors[process], model.timescales_ps[process]
        label = timescale.as_brief_time() if timescale.resolved else "not resolved"
        right.bar(x, vector.value, width * 0.9, color=PROCESSES[process % len(PROCESSES)], label=label)
        right.errorbar(x, vector.value, vector.arms, fmt="none", ecolor="#202124", lw=0.9, capsize=2)
    right.axhline(0, color="#202124", lw=0.7)
    right.set(xticks=range(n), xticklabels=names, xlabel="state", ylabel="left eigenvector", ylim=(-1.15, 1.45))
    right.legend(loc="upper right", ncols=min(n - 1, 3))
    for axes, letter in ((left, "a"), (middle, "b"), (right, "c")):
        label_panel(axes, letter)
    return figure
