"""What all networks share: probabilities of states, and a linear map of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from gdyn.config import models
from gdyn.files import FilePath
from gdyn.graphs.pairs import Dataset
from gdyn.networks.arithmetic import full_precision
from gdyn.networks.convolution import RunningNorm
from gdyn.networks.lean import mapped_states

SMALLEST_PROBABILITY = 1e-5


@runtime_checkable
class Network(Protocol):
    """A model that gives the states of the targets in frames of a dataset, whatever it reads.

    arguments : plain values of its constructor, ``n_states`` among them
    hops : how many neighbors away it sees
    """

    arguments: dict[str, Any]

    @property
    def hops(self) -> int: ...

    def __call__(self, batch: Any) -> Float[Tensor, "samples states"]:
        """State probabilities of a batch of its dataset, a row for each target in each frame; rows sum to 1."""
        ...

    def bytes_per_frame(self, data: Any, gradient: bool) -> float:
        """Memory that a frame of its dataset needs on average, with or without a gradient, in bytes."""
        ...


class StateNetwork(nn.Module):
    """A network whose outputs become probabilities of states.

    The softmax is followed by a fixed linear map of the states, ``rotation``, which is the identity until
    :meth:`rotate` is called: a VAMP score does not change under such a map, but which states are
    pure does (equation 14 of docs/theory.md).

    A network has ``arguments``, of its constructor, and ``hops``, how many neighbors away it sees; it defines
    :meth:`open_split`, :meth:`of`, :meth:`outputs`, float32 in any arithmetic (see :meth:`exactly`), and
    :meth:`bytes_per_frame`.

    Parameters
    ----------
    n_states : int
    arguments : mapping of plain values that build the network again.
    """

    rotation: Float[Tensor, "states states"]

    def __init__(self, n_states: int, arguments: Mapping[str, Any]) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {"n_states": n_states, **arguments}
        self.register_buffer("rotation", torch.eye(n_states))

    @property
    def hops(self) -> int:
        return 0

    @classmethod
    def open_split(
        cls,
        files: Sequence[FilePath],
        splits: models.Splits,
        name: str,
        targets: models.Targets,
        elements: Sequence[str] | None = None,
        memory_mb: float = np.inf,
    ) -> Dataset:
        """The dataset of a split for such a network.

        Parameters
        ----------
        files : paths of what it reads (:mod:`gdyn.config.networks`): the graph shards of all trajectories, or the
            trajectory stores in order.
        splits, targets : those sections of a system.
        name : of the split.
        elements : names of the elements in the order of a model, if there is one.
        memory_mb : graphs that need more are left on disk.

        Raises
        ------
        InputError : the files cannot be used, or hold nothing for this split.
        """
        raise NotImplementedError

    @classmethod
    def of(cls, trial: models.Trial, settings: models.Network, data: Any) -> "StateNetwork":
        """The network of a trial for a dataset, with the ``network`` section of a system."""
        raise NotImplementedError

    def outputs(self, batch: Any) -> Float[Tensor, "samples states"]:
        """The logits, for a batch of its dataset."""
        raise NotImplementedError

    def bytes_per_frame(self, data: Any, gradient: bool) -> float:
        """As of a :class:`Network`."""
        raise NotImplementedError

    def forward(self, batch: Any) -> Float[Tensor, "samples states"]:
        """State probabilities of every sample of a batch of its dataset; rows sum to 1."""
        return mapped_states(self.outputs(batch), self.rotation, SMALLEST_PROBABILITY)

    def exactly(self, layers: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        """Apply the last layers in the arithmetic of the weights, float32: of logits with 8 bits there are few."""
        with full_precision(values.device):
            return layers(values.to(self.rotation.dtype))

    def running_norms(self) -> list[RunningNorm]:
        """The norms, first layer first, that follow what they see."""
        return [module for module in self.modules() if isinstance(module, RunningNorm)]

    @torch.no_grad()
    def rotate(self, matrix: Float[np.ndarray, "states states"] | Float[Tensor, "states states"]) -> None:
        """Compose the present map of the states with ``matrix``, whose rows sum to 1."""
        before = self.rotation.cpu().double()
        self.rotation.copy_(
            (before @ torch.as_tensor(np.ascontiguousarray(matrix), dtype=torch.float64)).to(self.rotation.dtype)
        )
