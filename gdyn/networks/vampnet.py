"""The global baseline: a VAMPnet, from where all targets are to the states of the whole cell."""

from itertools import pairwise

import numpy as np
from torch import nn

from gdyn.graphs.configurations import ConfigurationDataset
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

    def __init__(self, n_features, n_states, width, layers):
        super().__init__(n_states, {"n_features": n_features, "width": width, "layers": layers})
        sizes = [n_features] + layers * [width]
        hidden = [
            part for begin, end in pairwise(sizes) for part in (nn.Linear(begin, end), nn.LayerNorm(end), nn.ELU())
        ]
        self.network = nn.Sequential(*hidden, nn.Linear(sizes[-1], n_states))

    @classmethod
    def open_split(cls, files, splits, name, targets, elements=None, memory_mb=np.inf):
        return ConfigurationDataset.load(files, splits, name, targets, elements)

    @classmethod
    def of(cls, trial, settings, data):
        return cls(data.n_features, trial.n_states, trial.width, trial.convolutions)

    def outputs(self, batch):
        return self.exactly(self.network[-1], self.network[:-1](batch.features))

    def bytes_per_frame(self, data, gradient):
        layers = self.arguments["layers"] if gradient else 1
        return BYTES_PER_NUMBER * (data.n_features + 6 * layers * self.arguments["width"])
