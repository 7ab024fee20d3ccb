"""The graph dynamical network: from the graph around a target to its state probabilities."""

import torch
from torch import nn
from torch.nn import functional

from gdyn.networks.convolution import GraphConvolution, RunningNorm, radial_basis

SMALLEST_PROBABILITY = 1e-5


class GDyNet(nn.Module):
    """Graph convolutions, pooling over the atoms of a target, and a softmax over the states.

    After Xie, France-Lanord, Wang, Shao-Horn and Grossman, Nat. Commun. 10, 2667 (2019). The softmax
    is followed by a fixed linear map of the states, ``rotation``, which is the identity until
    :meth:`rotate` is called: a VAMP score does not change under such a map, but which states are
    pure does (equation 14 of docs/theory.md).

    Parameters
    ----------
    n_species, n_states : numbers of elements and of states.
    width : features of an atom.
    convolutions : rounds of messages.
    radial_max_A, radial_step_A : centre of the last Gaussian and distance between two, A.
    normalisation : ``layer`` or ``batch``, of :class:`~gdyn.networks.convolution.GraphConvolution`.
    """

    def __init__(self, n_species, n_states, width, convolutions, radial_max_A, radial_step_A, normalisation="layer"):
        super().__init__()
        self.arguments = {
            "n_species": n_species,
            "n_states": n_states,
            "width": width,
            "convolutions": convolutions,
            "radial_max_A": radial_max_A,
            "radial_step_A": radial_step_A,
            "normalisation": normalisation,
        }
        self.register_buffer("radial", radial_basis(radial_max_A, radial_step_A), persistent=False)
        self.register_buffer("rotation", torch.eye(n_states))
        self.embedding = nn.Embedding(n_species, width)
        n_radial = self.radial.shape[1]
        self.convolutions = nn.ModuleList(GraphConvolution(width, n_radial, normalisation) for _ in range(convolutions))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n_states))

    def forward(self, graph):
        """State probabilities of every target of a :class:`~gdyn.graphs.dataset.GraphBatch`.

        Returns
        -------
        (targets, states), rows sum to 1
        """
        probabilities = torch.softmax(self.head(self.pool(graph)), dim=1) @ self.rotation
        probabilities = probabilities.clamp_min(SMALLEST_PROBABILITY)
        return probabilities / probabilities.sum(1, keepdim=True)

    def pool(self, graph):
        """Mean of the features over the atoms of each target: (targets, width)."""
        n_hops = len(self.convolutions)
        counts = graph.counts
        # One number per species times a matrix, because its gradient is a matrix product too.
        species = functional.one_hot(graph.species[: counts[n_hops]], self.embedding.num_embeddings)
        features = species.to(self.embedding.weight.dtype) @ self.embedding.weight
        # Each convolution brings the features that matter one hop nearer to the targets.
        for hop, convolution in zip(reversed(range(n_hops)), self.convolutions, strict=True):
            n = counts[hop]
            features = convolution(
                features, graph.neighbors[:n], graph.distance_mA[:n], graph.starts[: hop + 1], self.radial
            )
        present = graph.targets >= 0
        atoms = graph.targets.clamp_min(0)
        features = features[atoms]
        if atoms.shape[1] == 1:
            return features.squeeze(1)
        weights = present.to(features.dtype)
        return (features * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True)

    def running_norms(self):
        """The norms, first layer first, that follow what they see."""
        return [module for module in self.modules() if isinstance(module, RunningNorm)]

    @torch.no_grad()
    def rotate(self, matrix):
        """Follow the present map of the states by ``matrix`` (states, states), whose rows sum to 1."""
        self.rotation.copy_(self.rotation @ torch.as_tensor(matrix, dtype=self.rotation.dtype))
