"""The global baseline: a VAMPnet, from where all targets are to the states of the whole cell."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn

from gdyn.config.models import Network, Splits, Targets, Trial
from gdyn.files import FilePath
from gdyn.graphs.configurations import ConfigurationBatch, ConfigurationDataset
from gdyn.networks.base import StateNetwork

BYTES_PER_NUMBER = 4


class VAMPnet(StateNetwork):
    """Fully connected layers and a softmax over the states.

    After Mardt, Pasquali, Wu and Noe, Nat. Commun. 9, 5 (2018): the input is the configuration as a whole, and there is
    one state for all targets together.

    Parameters
    ----------
    n_features : of a configuration; see :class:`~gdyn.graphs.configurations.ConfigurationDataset`.
    n_states : number of states.
    width : of every hidden layer.
    layers : hidden layers.
    """

    def __init__(self, n_features: int, n_states: int, width: int, layers: int) -> None:
        super().__init__(n_states, {"n_features": n_features, "width": width, "layers": layers})
        sizes = [n_features] + layers * [width]
        hidden = [
            part for begin, end in pairwise(sizes) for part in (nn.Linear(begin, end), nn.LayerNorm(end), nn.ELU())
        ]
        self.network = nn.Sequential(*hidden, nn.Linear(sizes[-1], n_states))

    @classmethod
    def open_split(
        cls,
        files: Sequence[FilePath],
        splits: Splits,
        name: str,
        targets: Targets,
        elements: Sequence[str] | None = None,
        memory_mb: float = np.inf,
    ) -> ConfigurationDataset:
        return ConfigurationDataset.load(files, splits, name, targets, elements)

    @classmethod
    def of(cls, trial: Trial, settings: Network, data: ConfigurationDataset) -> "VAMPnet":
        return cls(data.n_features, trial.n_states, trial.width, trial.convolutions)

    def outputs(self, batch: ConfigurationBatch) -> Float[Tensor, "frames states"]:
        return self.exactly(self.network[-1], self.network[:-1](batch.features))

    def bytes_per_frame(self, data: ConfigurationDataset, gradient: bool) -> float:
        layers = self.arguments["layers"] if gradient else 1
        return BYTES_PER_NUMBER * (data.n_features + 6 * layers * self.arguments["width"])
