"""How a lag time was found."""

from matplotlib.figure import Figure

from gdyn.figures.style import new_figure, styled
from gdyn.figures.timescales import plot_curves
from gdyn.selection import LagTime


@styled
def draw_lag(lag: LagTime) -> Figure:
    """Draw the timescales of the first model against the lag time, those that were compared, and the one chosen.

    Parameters
    ----------
    lag : what was found.

    Returns
    -------
    Figure
    """
    figure = new_figure(2.9, 3.6)
    axes = figure.subplots()
    plot_curves(axes, lag.curves, lag.lag_ps)
    axes.plot(lag.tried_ps, [0.02] * len(lag.tried_ps), "|", color="#202124", transform=axes.get_xaxis_transform())
    return figure
