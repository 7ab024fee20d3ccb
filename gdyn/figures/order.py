"""A bond order parameter beside the learned states."""

from gdyn.figures.style import REFERENCE, colour, label_panel, new_figure, styled

DISAGREE = "#b5403a"


@styled
def draw_order(result, distribution, profile):
    """Draw the order parameter by state, and along an axis what it calls crystal and what the states do.

    Parameters
    ----------
    result : the content of ``order.json``.
    distribution, profile : the content of ``order.csv`` and ``order_profile.csv``.

    Returns
    -------
    Figure
    """
    figure = new_figure(2.7)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.35))
    for state, part in distribution.groupby("state"):
        name = f"state {state}, {'crystal' if result['ordered'][state - 1] else 'liquid'}"
        left.fill_between(part["order"], 0, part["density"], color=colour(state - 1), alpha=0.15, lw=0)
        left.plot(part["order"], part["density"], color=colour(state - 1), lw=1.2, label=name)
    left.axvline(result["threshold"], color=REFERENCE, lw=0.8, ls=":")
    highest = distribution["density"].max()
    left.set(
        xlabel=f"order parameter q$_{{{result['degree']}}}$",
        ylabel="density",
        xlim=(-0.6, 1.0),
        ylim=(0, 1.45 * highest),
    )
    left.legend(loc="upper left", fontsize=6.5, handlelength=1.2)
    for name, color, style, text in (
        ("by_order", REFERENCE, "--", f"crystal by q$_{{{result['degree']}}}$"),
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
