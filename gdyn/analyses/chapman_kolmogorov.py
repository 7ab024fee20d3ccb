"""The Chapman-Kolmogorov test of the states."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import TRUST, Analysis, Figure, Row, twins

if TYPE_CHECKING:
    from gdyn.kinetics.chapman_kolmogorov import ChapmanKolmogorov as Test


class ChapmanKolmogorov(Analysis):
    """Whether the model predicts what is observed after many lag times."""

    name = "chapman_kolmogorov"
    place = 20
    estimator = "gdyn.kinetics.chapman_kolmogorov:ck_test"
    files = {"result": "analysis/chapman_kolmogorov.json", "table": "analysis/chapman_kolmogorov.csv"}
    units = {"ck_max_deviation": "1, probability", "ck": "in words"}
    figures = (
        Figure(
            "chapman_kolmogorov",
            "Chapman-Kolmogorov test",
            "gdyn.figures.chapman_kolmogorov:draw_chapman_kolmogorov",
            caption=(
                "Chapman-Kolmogorov test on the test frames. Lines: probability of being in the second state a time nτ "
                "after the first, predicted by the n-th power of the Koopman matrix at the lag time τ. Points: the "
                "same, estimated at the lag time nτ. Bands and bars are 95 % intervals. Where there is no test, the "
                "reason is given above."
            ),
        ),
    )

    def summary(self, result: "Test") -> dict[str, Any]:
        """The verdict and the largest deviation."""
        return verdict_of(result)

    def rows(self, result: "Test") -> dict[str, list[Row]]:
        """The verdict in words."""
        return {TRUST: [Row("Chapman-Kolmogorov test", result.verdict)]}


def verdict_of(test: "Test") -> dict[str, Any]:
    """The part of a Chapman-Kolmogorov test in the summary."""
    return {
        **twins(ck_max_deviation=test.max_deviation),
        "ck_passed": test.passed,
        "ck": {
            "outcome": test.outcome,
            "reason": test.reason,
            "effect": test.effect,
            "power": test.power,
            "chance": test.chance,
            **twins(timescale_ratio=test.timescale_ratio),
            "seen_deviation": test.unseen,
        },
    }
