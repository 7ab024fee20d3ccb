"""The choice among the models that were trained."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import TRUST, Analysis, Figure, Row

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.selection import Choice


def trained_here(system: "System") -> bool:
    """Where the model was trained on the system itself."""
    return not system.apply


class Selection(Analysis):
    """Which model was chosen and why, how far its seeds agree, and how it was trained."""

    name = "select"
    place = 80
    estimator = "gdyn.selection:select"
    files = {
        "result": "selected/choice.json",
        "histories": "analysis/training.csv",
        "models": "analysis/selection.csv",
    }
    units = {
        "seeds": "1, counted",
        "seeds.timescales_ps": "ps",
        "training.wall_s": "s, measured",
        "training.frames_per_s": "1/s, measured",
        "training.epochs": "1, counted",
    }
    of_model = True
    figures = (
        Figure(
            "selection",
            "selection",
            "gdyn.figures.selection:draw_selection",
            caption=(
                "The models that were trained, by their number of states. (a) VAMP-2 score (means removed) on the "
                "whole validation set of every model, and of the best one of every lag time with its 95 % interval; "
                "the grey area is what unrelated features would score. The best ones are tested on the validation "
                "frames: one holds (disk) if the Chapman-Kolmogorov test holds and its timescales do not rise beyond "
                "the lag time. The ring marks the chosen model. (b) Timescales of the best models at the lag time that "
                "was chosen, with 95 % intervals; a full disk is a process that is resolved at that lag time (the edge "
                "of the grey area). A state more is wanted where the score rises beyond its error and all "
                "processes are resolved; choice.json says why."
            ),
            applies=trained_here,
        ),
        Figure(
            "training",
            "training",
            "gdyn.figures.training:draw_training",
            caption=(
                "Training of the chosen trial. (a) VAMP-2 score (means removed) of the whole validation set after "
                "every epoch, for each seed; epoch 0 is the untrained network. (b) Purity of the states, the mean "
                "probability of the most probable state. At the dotted line the slow processes have been found and "
                "the states are rotated to their simplex and made pure."
            ),
            applies=trained_here,
        ),
    )

    def summary(self, result: "Choice") -> dict[str, Any]:
        """The choice, how far the seeds are apart on the validation frames, and the training."""
        seeds = result.seeds
        return {
            "seeds": {
                "tried": seeds.tried,
                "agreeing": seeds.agreeing,
                "timescales_ps": [seed.timescale_ps for seed in seeds.each],
                "populations": [seed.populations for seed in seeds.each],
                "least_overlap": [seed.overlap.min() for seed in seeds.each],
                "together": seeds.together
                and {
                    "populations": seeds.together.populations,
                    "least_overlap": [
                        seed.overlap_together.min() for seed in seeds.each if seed.overlap_together is not None
                    ],
                },
            },
            "choice": {"trial": result.trial, "seed": result.seed, "reason": result.reason},
            "training": result.training,
        }

    def rows(self, result: "Choice") -> dict[str, list[Row]]:
        """How far the seeds agree."""
        seeds = result.seeds
        rows = [Row("seeds that agree", f"{seeds.agreeing} of {seeds.tried}")]
        if seeds.together:
            populations = " ".join(f"{p:.3f}" for p in seeds.together.populations)
            rows.append(Row("populations, PCCA+ of all seeds", f"{populations} on the validation frames"))
        return {TRUST: rows}
