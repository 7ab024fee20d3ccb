"""A bond order parameter beside the learned states."""

from matplotlib.figure import Figure

from gdyn.figures.style import REFERENCE, colour, each, label_panel, new_figure, panels_of, styled
from gdyn.structure.order import Order

DISAGREE = "#b5403a"


@styled
def draw_order(order: Order) -> Figure:
    """Draw the order parameter by state, and along an axis what it calls crystal and what the states do.

    Parameters
    ----------
    order : beside which states.

    Returns
    -------
    Figure
    """
    profile = order.profile
    figure = new_figure(2.7)
    left, right = panels_of(figure, 1, 2, width_ratios=(1.0, 1.35))
    for state, part in each(order.distribution, "state"):
        name = f"state {state}, {'crystal' if order.ordered[state - 1] else 'liquid'}"
        left.fill_between(part["order"], 0, part["density"], color=colour(state - 1), alpha=0.15, lw=0)
        left.plot(part["order"], part["density"], color=colour(state - 1), lw=1.2, label=name)
    left.axvline(order.threshold, color=REFERENCE, lw=0.8, ls=":")
    highest = order.distribution["density"].max()
    left.set(
        xlabel=f"order parameter q$_{{{order.degree}}}$",
        ylabel="density",
        xlim=(-0.6, 1.0),
        ylim=(0, 1.45 * highest),
    )
    left.legend(loc="upper left", fontsize=6.5, handlelength=1.2)
    for name, color, style, text in (
        ("by_order", REFERENCE, "--", f"crystal by q$_{{{order.degree}}}$"),
        ("by_states", colour(0), "-", "crystal by states"),
        ("disagreement", DISAGREE, "-", "they disagree"),
    ):
        right.fill_between(
            profile["place_A"], profile[f"{name}_low"], profile[f"{name}_high"], color=color, alpha=0.15, lw=0
        )
        right.plot(profile["place_A"], profile[name], color=color, ls=style, lw=1.2, label=text)
    right.set(xlabel=f"{profile['axis'].iloc[0]} (Å)", ylabel="share of the targets there", ylim=(-0.03, 1.3))
    right.set_yticks([0, 0.25, 0.5, 0.75, 1.0])
    right.legend(loc="upper center", ncols=3, fontsize=6.5, handlelength=1.4)
    for axes, letter in ((left, "a"), (right, "b")):
        label_panel(axes, letter)
    return figure
