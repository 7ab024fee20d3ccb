"""How fast a training goes and when its stages end: plain numbers, no network."""

from collections.abc import Sequence
from dataclasses import InitVar, dataclass, field
from enum import Enum

import numpy as np

from gdyn.config.models import Training
from gdyn.config.schemes import SCHEMES, Stage

LEAST_IMPROVEMENT = 5e-4  # of the validation score, to count as one ...
LEAST_OF_GAP = 0.02  # ... or this part of what is missing to the highest score, where that is less
LEAST_CRISPNESS = 0.01  # of training.crispness
SLOWER = 0.3  # what a learning rate is lowered by


class Turn(Enum):
    """What follows an epoch."""

    ON = "more of the same"
    BACK = "back to the best epoch of the stage, and on from there in other steps"
    NEXT = "back to the best epoch of the stage, and on from there with the next stage, if there is one"


@dataclass(frozen=True)
class Rules:
    """What a schedule follows.

    stages : of the scheme, in their order
    learning_rate : of a stage whose multiple is 1
    patience : epochs without a better one, after which the steps become smaller or the stage ends
    max_epochs : of a stage
    learning_rate_drops : in a stage
    crispness : weight of the crispness of the states at the beginning of a stage
    timescale_loss : which part of a timescale may be given up for pure states
    """

    stages: tuple[Stage, ...]
    learning_rate: float
    patience: int
    max_epochs: int
    learning_rate_drops: int
    crispness: float
    timescale_loss: float

    @classmethod
    def of(cls, training: Training, learning_rate: float, epoch_steps: int) -> "Rules":
        """Those of a training; its epochs are as many more as they are shorter than ``training.epoch_steps``."""
        return cls(
            stages=SCHEMES[training.scheme].stages,
            learning_rate=learning_rate,
            patience=-(-training.patience * training.epoch_steps // epoch_steps),
            max_epochs=-(-training.max_epochs * training.epoch_steps // epoch_steps),
            learning_rate_drops=training.learning_rate_drops,
            crispness=training.crispness,
            timescale_loss=training.timescale_loss,
        )


@dataclass
class Schedule:
    """Where a training is in its stages; the fields are all that changes.

    stage : number of the present one; at the end, how many there are
    epochs : of this stage so far
    stale : the last of them, none of which was better
    drops : of the learning rate in this stage
    learning_rate : of the present steps
    full_rate : of a stage whose multiple is 1; only recoveries lower it
    crispness : present weight of the crispness of the states
    best : highest value of an epoch of this stage; None before the first
    reference : singular values when the states were rotated, largest first; empty where they were not in this stage
    purer : whether any epoch of this stage has been the best one since
    recoveries : from NaN
    unconverged : names of the stages that were still improving at their end
    """

    rules: InitVar[Rules]
    stage: int = field(init=False)
    epochs: int = field(init=False)
    stale: int = field(init=False)
    drops: int = field(init=False)
    learning_rate: float = field(init=False)
    full_rate: float = field(init=False)
    crispness: float = field(init=False)
    best: float | None = field(init=False)
    reference: list[float] = field(init=False)
    purer: bool = field(init=False)
    recoveries: int = field(init=False, default=0)
    unconverged: list[str] = field(init=False, default_factory=list)

    def __post_init__(self, rules: Rules) -> None:
        self._rules = rules
        self.full_rate = rules.learning_rate
        self.begin(0)

    def begin(self, stage: int) -> None:
        """Begin a stage, by its number."""
        self.stage = stage
        self.epochs = self.stale = self.drops = 0
        self.crispness = self._rules.crispness
        self.best, self.reference, self.purer = None, [], False
        if not self.over:
            self.learning_rate = self.full_rate * self.present.learning_rate

    @property
    def over(self) -> bool:
        """Whether all stages have ended."""
        return self.stage == len(self._rules.stages)

    @property
    def present(self) -> Stage:
        return self._rules.stages[self.stage]

    @property
    def epochs_left(self) -> int:
        """How many there are if no stage ends before its time."""
        return (len(self._rules.stages) - self.stage) * self._rules.max_epochs - self.epochs

    def count(self, value: float, gap: float) -> bool:
        """Count an epoch; return whether it is the best of its stage so far.

        Parameters
        ----------
        value : of its validation, in what the stage maximises.
        gap : how far the score is from the highest possible one.
        """
        before = -np.inf if self.best is None else self.best
        self.epochs += 1
        self.stale = 0 if value > before + min(LEAST_IMPROVEMENT, LEAST_OF_GAP * max(0.0, gap)) else self.stale + 1
        if self.best is not None and not value > before:
            return False
        self.best, self.purer = value, True
        return True

    def turn(self) -> Turn:
        """Decide what follows the last epoch, and update the counts."""
        rules, ended = self._rules, self.epochs >= self._rules.max_epochs
        if not ended and self.stale < rules.patience:
            return Turn.ON
        too_crisp = self.reference and not self.purer and self.crispness > LEAST_CRISPNESS * rules.crispness
        if not ended and too_crisp:
            # Purer states cost too much of the timescales: ask for less.
            self.stale, self.crispness = 0, SLOWER * self.crispness
            return Turn.BACK
        if not ended and self.drops < rules.learning_rate_drops:
            self.stale, self.drops, self.learning_rate = 0, self.drops + 1, SLOWER * self.learning_rate
            return Turn.BACK
        if ended and self.stale < rules.patience:
            self.unconverged.append(self.present.name)
        self.begin(self.stage + 1)
        return Turn.NEXT

    def recover(self) -> None:
        """After NaN: continue in smaller steps."""
        self.recoveries += 1
        self.learning_rate *= SLOWER
        self.full_rate *= SLOWER

    def allows(self, singular_values: np.ndarray) -> bool:
        """Whether pure states of these singular values, largest first, still have the processes they were made of.

        An epoch that costs one of them more than ``timescale_loss`` of its timescale, or of the score, is rejected.
        """
        if not self.reference:
            return True
        before, after = (np.clip(values, 1e-9, 1 - 1e-9) for values in (self.reference, singular_values))
        timescales = np.log(before) / np.log(after)
        resolved = before > np.exp(-1.0)
        left: Sequence[float] = [*timescales[resolved], np.square(after).sum() / np.square(before).sum()]
        return bool(min(left) >= 1.0 - self._rules.timescale_loss)
