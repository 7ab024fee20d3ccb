"""The stages of a training, by the name of their scheme; see section "Pure states" of docs/theory.md."""

from dataclasses import dataclass

from gdyn.training.vamp import crispness, reversible_vamp1, vamp2


@dataclass(frozen=True)
class Stage:
    """What is maximised in one stage of a training.

    name : as in the history
    score : function of the moments
    crisp : whether the weighted crispness of the states is added
    rotated : whether the states are rotated to the corners of their simplex before it
    learning_rate : as a multiple of the trial's
    """

    name: str
    score: callable = vamp2
    crisp: bool = False
    rotated: bool = False
    learning_rate: float = 1.0

    def objective(self, moments, weight):
        value = self.score(moments)
        return value + weight * crispness(moments) if self.crisp else value


SCHEMES = {
    # Find the processes; then rotate to pure states and polish those.
    "simplex": (Stage("kinetics"), Stage("states", crisp=True, rotated=True, learning_rate=0.2)),
    # The network alone.
    "vamp2": (Stage("kinetics"),),
    # As the paper's code does it.
    "three_stages": (Stage("kinetics"), Stage("reversible", score=reversible_vamp1), Stage("states")),
    # Pure states asked for from the beginning.
    "crisp": (Stage("states", crisp=True),),
}
