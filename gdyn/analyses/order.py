"""A bond order parameter beside the states."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import STRUCTURE, Analysis, Figure, Row, percent, twins

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.structure.order import Order as Result


class Order(Analysis):
    """Where the states and a threshold on the order parameter agree on what is crystal and what is liquid."""

    name = "order"
    place = 60
    estimator = "gdyn.structure.order:order_by_state"
    files = {
        "result": "analysis/order.json",
        "distribution": "analysis/order.csv",
        "profile": "analysis/order_profile.csv",
    }
    key = "order_parameter"
    units = {"order_parameter": "1"}
    figures = (
        Figure(
            "order",
            "order parameter",
            "gdyn.figures.order:draw_order",
            caption=(
                "A bond order parameter and the learned states. (a) Its distribution by the most probable state of "
                "an atom; dotted: the threshold between crystal and liquid. (b) Share of the targets at each place "
                "that are crystal by the threshold, crystal by their state, and for which the two disagree, with 95 % "
                "intervals."
            ),
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where a system has a ``structure.order_parameter``."""
        return bool(system.structure.order_parameter)

    def summary(self, result: "Result") -> dict[str, Any]:
        """All of its numbers."""
        return {
            "order_parameter": {
                "degree": result.degree,
                "neighbors": result.neighbors,
                "threshold": result.threshold,
                "ordered": result.ordered,
                **twins(
                    mean=result.mean,
                    disagreement=result.disagreement,
                    disagreement_by_state=result.disagreement_by_state,
                ),
            }
        }

    def rows(self, result: "Result") -> dict[str, list[Row]]:
        """How often the two disagree."""
        name = f"order parameter q{result.degree} and states disagree"
        return {STRUCTURE: [Row(name, f"{percent(result.disagreement)} of the targets")]}
