"""The lag time that was found."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import TRUST, Analysis, Figure, Row
from gdyn.analyses.selection import trained_here

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.selection import LagTime


class Lag(Analysis):
    """The lag time, where it is to be found: from how the timescales of a first model change with it."""

    name = "lag"
    place = 75
    estimator = "gdyn.selection:choose_lag"
    files = {"result": "analysis/lag.json", "curves": "analysis/lag.csv"}
    of_model = True
    figures = (
        Figure(
            "lag",
            "lag time",
            "gdyn.figures.lag:draw_lag",
            caption=(
                "How the lag time was found: implied timescales of a first model on the validation frames against the "
                "lag time, with 95 % intervals. In the grey area a process would be over within the lag time. The "
                "dotted line is the lag time that was chosen: the timescales of the processes that are resolved there "
                "do not rise beyond it, unless the report says otherwise; ticks mark the lag times that were compared."
            ),
            applies=trained_here,
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where no lag time is set."""
        return system.search.lag_ps == "auto"

    def summary(self, result: "LagTime") -> dict[str, Any]:
        """Why it was chosen."""
        return {"lag": {"reason": result.reason, "outcome": result.outcome}}

    def rows(self, result: "LagTime") -> dict[str, list[Row]]:
        """Whether the timescales of the first model rise beyond it."""
        found = {"converged": "do not rise", "rising": "still rise", "cannot say": "may rise or not"}[result.outcome]
        return {TRUST: [Row("lag time found", f"{result.lag_ps:g} ps, where timescales of a first model {found}")]}
