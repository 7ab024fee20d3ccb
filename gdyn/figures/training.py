"""How the training went: score and purity after every epoch, for every seed of the chosen trial."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from gdyn.figures.style import FAINT, STATES, label_panel, new_figure, styled


@styled
def draw_training(histories, chosen_seed):
    """Draw the training curves.

    Parameters
    ----------
    histories : table with a column ``seed`` and those of the history files.
    chosen_seed : int, drawn in colour.

    Returns
    -------
    Figure
    """
    figure = new_figure(2.6)
    score, purity = figure.subplots(1, 2)
    seeds = sorted(histories["seed"].unique(), key=lambda seed: seed == chosen_seed)
    for seed in seeds:
        history = histories[histories["seed"] == seed]
        own = seed == chosen_seed
        look = {
            "color": STATES[0] if own else "#a9b4bd",
            "lw": 1.8 if own else 0.9,
            "zorder": 3 if own else 2,
            "label": f"seed {seed} (chosen)" if own else ("other seeds" if seed == seeds[0] else None),
        }
        score.plot(history["epoch"], history["validation_vamp2"], **look)
        purity.plot(history["epoch"], history["validation_purity"], **look)
        switch = history.loc[history["stage"] == "states", "epoch"].min()
        if own and np.isfinite(switch):
            for axes in (score, purity):
                axes.axvline(switch - 0.5, color=STATES[1], lw=0.9, ls=":", zorder=1)
            score.text(
                switch - 0.3,
                0.04,
                "states made pure",
                color=STATES[1],
                fontsize=7,
                transform=score.get_xaxis_transform(),
            )
    score.axhspan(0, histories["noise_floor"].max(), color=FAINT, lw=0, label="noise floor")
    best = histories["validation_vamp2"].max()
    top = 1.12 * max(best, histories["noise_floor"].max(), 1e-3)
    score.set(xlabel="epoch", ylabel="VAMP-2 score, validation", ylim=(0, top))
    score.legend(loc="center right")
    purity.set(xlabel="epoch", ylabel=r"purity $\langle \max_i\, p_i \rangle$", ylim=(0, 1.04))
    for axes in (score, purity):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes, letter in ((score, "a"), (purity, "b")):
        label_panel(axes, letter)
    return figure
