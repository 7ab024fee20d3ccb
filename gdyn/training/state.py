"""All that a training is between two epochs: what it resumes from after it was interrupted."""

import copy
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from gdyn.networks import StateNetwork
from gdyn.training.batches import PairStream
from gdyn.training.history import History
from gdyn.training.schedule import Schedule


@dataclass
class TrainingState:
    """All that changes in a training.

    A field is a dataclass like this one, or has a ``state_dict``, or is a plain value or a tensor: so another field is
    saved without further code. What is not a field is lost when a training is interrupted.

    network : with its weights
    optimiser : with its moments
    pairs : which come next, with the state of their random numbers
    schedule : the stage, and how far it is
    centre : (2 (states - 1),) float64, about which moments are summed; see :class:`gdyn.training.vamp.Moments`
    history : what was measured so far
    best : weights of the best epoch of the stage, on the CPU, by their names; empty before there is one
    """

    network: StateNetwork
    optimiser: Optimizer
    pairs: PairStream
    schedule: Schedule
    centre: Tensor
    history: History = field(default_factory=History)
    best: dict[str, Tensor] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors by the names of the fields; they are those of the training, not copies."""
        return _content(self)

    def load_state_dict(self, content: dict[str, Any]) -> None:
        """Become what :meth:`state_dict` gave, of a training of the same data and settings."""
        _load(self, content)

    def snapshot(self) -> dict[str, Any]:
        """The same as :meth:`state_dict`, but on the host, and the training no longer changes it."""
        # A row of the history never changes, and they become many.
        return _kept(self.state_dict(), {id(row): row for row in self.history.rows})


def _content(part: Any) -> Any:
    if is_dataclass(part):
        return {one.name: _content(getattr(part, one.name)) for one in fields(part)}
    return part.state_dict() if hasattr(part, "state_dict") else part


def _kept(content: Any, as_they_are: dict[int, Any]) -> Any:
    if isinstance(content, dict) and id(content) not in as_they_are:
        return {key: _kept(value, as_they_are) for key, value in content.items()}
    if isinstance(content, Tensor):
        return content.detach().clone() if content.device.type == "cpu" else content.detach().cpu()
    return copy.deepcopy(content, as_they_are)


def _load(part: Any, content: dict[str, Any]) -> None:
    for one in fields(part):
        value, saved = getattr(part, one.name), content[one.name]
        if is_dataclass(value):
            _load(value, saved)
        elif hasattr(value, "load_state_dict"):
            value.load_state_dict(saved)
        else:
            setattr(part, one.name, saved)
