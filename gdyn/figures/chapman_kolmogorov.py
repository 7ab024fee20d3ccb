"""The Chapman-Kolmogorov test, a panel for every entry of the Koopman matrix."""

from textwrap import wrap

import numpy as np
from matplotlib.figure import Figure

from gdyn.figures.style import colour, new_figure, panels_of, styled
from gdyn.kinetics.chapman_kolmogorov import CANNOT_SAY, ChapmanKolmogorov


@styled
def draw_chapman_kolmogorov(test: ChapmanKolmogorov) -> Figure:
    """Draw the prediction of the model and what is observed, with 95 % intervals.

    Parameters
    ----------
    test : what was tested.

    Returns
    -------
    Figure
    """
    lags, predicted, observed = test.lag_ps, test.predicted, test.observed
    n = predicted.value.shape[-1]
    size = max(1.25, min(2.4, 7.1 / n))
    figure = new_figure(size * n * 0.86 + 0.35, size * n)
    panels = panels_of(figure, n, n, sharex=True, sharey=True)
    for (i, j), axes in zip(np.ndindex(n, n), panels, strict=True):
        model, data = predicted[:, i, j], observed[:, i, j]
        axes.fill_between(lags, model.low, model.high, color=colour(i), alpha=0.22, lw=0)
        axes.plot(lags, model.value, color=colour(i), label=r"predicted, $K(\tau)^n$")
        axes.errorbar(
            lags,
            data.value,
            data.arms,
            color="#202124",
            fmt="o",
            ms=3,
            lw=0.9,
            capsize=1.8,
            label=r"observed, $K(n\tau)$",
        )
        axes.set_title(f"{i + 1} → {j + 1}")
        axes.set_ylim(-0.05, 1.05)
    panels[0].legend(loc="lower left")
    if test.outcome == CANNOT_SAY:
        figure.suptitle("\n".join(wrap(f"no test: {test.reason}", max(30, round(14 * size * n)))), fontsize=7)
    figure.supxlabel("lag time (ps)", fontsize=8.5)
    figure.supylabel("probability", fontsize=8.5)
    return figure
