"""The stages of a training, by the name of their scheme; see section "Pure states" of docs/theory.md."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Stage:
    """What is maximised in one stage of a training.

    name : as in the history
    score : name of a function of the moments, among the ``SCORES`` of :mod:`gdyn.training.vamp`
    crisp : whether the weighted crispness of the states is added
    rotated : whether the states are rotated to the corners of their simplex before it
    learning_rate : as a multiple of the trial's
    """

    name: str
    score: str = "vamp2"
    crisp: bool = False
    rotated: bool = False
    learning_rate: float = 1.0


class Scheme(NamedTuple):
    """The stages of a training in their order, and what they are in words, for the reference of the configuration."""

    stages: tuple[Stage, ...]
    means: str


SCHEMES = {
    # Find the processes; then rotate to pure states and polish those.
    "simplex": Scheme(
        (Stage("kinetics"), Stage("states", crisp=True, rotated=True, learning_rate=0.2)),
        "rotation to the simplex and a polish",
    ),
    # The network alone.
    "vamp2": Scheme((Stage("kinetics"),), "VAMP-2 alone"),
    "three_stages": Scheme(
        (Stage("kinetics"), Stage("reversible", score="reversible_vamp1"), Stage("states")),
        "VAMP-2, reversible VAMP-1, VAMP-2 as in the paper's code",
    ),
    # Pure states asked for from the beginning.
    "crisp": Scheme((Stage("states", crisp=True),), "VAMP-2 with a crispness term from the beginning"),
}
