"""How the training went: score and purity after every epoch, for every seed of the chosen trial."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gdyn.figures.style import FAINT, STATES, label_panel, new_figure, panels_of, styled
from gdyn.selection import Choice


@styled
def draw_training(choice: Choice) -> Figure:
    """Draw the training curves.

    Parameters
    ----------
    choice : of which model; its seed is drawn in colour.

    Returns
    -------
    Figure
    """
    histories = choice.histories
    figure = new_figure(2.6)
    score, purity = panels_of(figure, 1, 2)
    seeds = sorted(histories["seed"].unique(), key=lambda seed: seed == choice.seed)
    for seed in seeds:
        history = histories[histories["seed"] == seed]
        chosen = seed == choice.seed
        look: dict[str, Any] = {
            "color": STATES[0] if chosen else "#a9b4bd",
            "lw": 1.8 if chosen else 0.9,
            "zorder": 3 if chosen else 2,
            "label": f"seed {seed} (chosen)" if chosen else ("other seeds" if seed == seeds[0] else None),
        }
        score.plot(history["epoch"], history["validation_vamp2"], **look)
        purity.plot(history["epoch"], history["validation_purity"], **look)
        switch = history.loc[history["stage"] == "states", "epoch"].min()
        if chosen and np.isfinite(switch):
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
