"""Each trajectory of a system by itself."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import Analysis, Figure, twins

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.kinetics.by_trajectory import ByTrajectory


class Trajectories(Analysis):
    """Populations and timescales of each trajectory, and whether they differ by more than chance."""

    name = "trajectories"
    place = 40
    estimator = "gdyn.kinetics.by_trajectory:by_trajectory"
    files = {"result": "analysis/trajectories.json"}
    key = "by_trajectory"
    units = {"by_trajectory": "as of the same keys above", "by_trajectory.frames": "1, counted"}
    figures = (
        Figure(
            "trajectories",
            "trajectories",
            "gdyn.figures.trajectories:draw_trajectories",
            caption=(
                "Each trajectory by itself, in the states that all share, with 95 % intervals. (a) Populations. "
                "(b) Timescales; open symbols: not resolved; dotted: the lag time."
            ),
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where there are several trajectories."""
        return system.n_trajectories > 1

    def summary(self, result: "ByTrajectory") -> dict[str, Any]:
        """A row for each."""
        return {
            "by_trajectory": [
                {
                    "label": one.label,
                    "frames": one.frames,
                    "timescales_ps": one.timescales_ps,
                    **twins(populations=one.populations, koopman=one.koopman),
                }
                for one in result.trajectories
            ]
        }
