"""The graph dynamical network: from the graph around a target to its state probabilities."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn

from gdyn.config.models import Network, Splits, Targets, Trial
from gdyn.device import on_gpu
from gdyn.files import FilePath
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.gather import GraphBatch
from gdyn.graphs.loader import AHEAD
from gdyn.graphs.resident import with_incoming
from gdyn.kernels import kernels_of
from gdyn.kernels.classify import classify
from gdyn.kernels.layout import row_stride
from gdyn.networks.base import SMALLEST_PROBABILITY, StateNetwork
from gdyn.networks.convolution import GraphConvolution, radial_basis
from gdyn.networks.lean import rows_of

BYTES_PER_NUMBER = 4


class GDyNet(StateNetwork):
    """Graph convolutions, pooling over the atoms of a target, and a softmax over the states.

    After Xie, France-Lanord, Wang, Shao-Horn and Grossman, Nat. Commun. 10, 2667 (2019).

    Parameters
    ----------
    n_species, n_states : numbers of elements and of states.
    width : features of an atom.
    convolutions : rounds of messages.
    radial_max_A, radial_step_A : centre of the last Gaussian and distance between two, A.
    normalisation : ``layer`` or ``batch``, of :class:`~gdyn.networks.convolution.GraphConvolution`.
    """

    radial: Float32[Tensor, "table gaussians"]
    kinds: Int64[Tensor, " species"]

    def __init__(
        self,
        n_species: int,
        n_states: int,
        width: int,
        convolutions: int,
        radial_max_A: float,
        radial_step_A: float,
        normalisation: str = "layer",
    ) -> None:
        arguments = {
            "n_species": n_species,
            "width": width,
            "convolutions": convolutions,
            "radial_max_A": radial_max_A,
            "radial_step_A": radial_step_A,
            "normalisation": normalisation,
        }
        super().__init__(n_states, arguments)
        self.register_buffer("radial", radial_basis(radial_max_A, radial_step_A), persistent=False)
        self.register_buffer("kinds", torch.arange(n_species), persistent=False)
        self.embedding = nn.Embedding(n_species, width)
        n_radial = self.radial.shape[1]
        self.convolutions = nn.ModuleList(GraphConvolution(width, n_radial, normalisation) for _ in range(convolutions))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n_states))

    @classmethod
    def open_split(
        cls,
        files: Sequence[FilePath],
        splits: Splits,
        name: str,
        targets: Targets,
        elements: Sequence[str] | None = None,
        memory_mb: float = np.inf,
    ) -> GraphDataset:
        return GraphDataset.load(files, splits, name, elements, memory_mb)

    @classmethod
    def of(cls, trial: Trial, settings: Network, data: GraphDataset) -> "GDyNet":
        return cls(len(data.elements), trial.n_states, trial.width, trial.convolutions, **settings.model_dump())

    @property
    def hops(self) -> int:
        return len(self.convolutions)

    def outputs(self, batch: GraphBatch) -> Float[Tensor, "targets states"]:
        """The logits of every target."""
        return self.exactly(self.head, self.pool(batch))

    def forward(self, batch: GraphBatch) -> Float[Tensor, "targets states"]:
        """State probabilities of every target; rows sum to 1."""
        kernels = kernels_of(self.rotation.device)
        if kernels is None or self.rotation.dtype not in kernels.ARITHMETICS:
            return super().forward(batch)
        weight1, bias1, weight2, bias2 = self.head.parameters()

        def layers(pooled: Tensor) -> Tensor:
            return classify(kernels, pooled, weight1, bias1, weight2, bias2, self.rotation, SMALLEST_PROBABILITY)

        return self.exactly(layers, self.pool(batch))

    def bytes_per_frame(self, data: GraphDataset, gradient: bool) -> float:
        nodes = data.counts[:, : self.hops + 1].mean(0)
        edges = nodes[:-1] * data.n_neighbors
        if kernels_of(self.rotation.device):
            return self._bytes_of_kernels(nodes, edges, gradient)
        width, plain = self.arguments["width"], on_gpu(self.rotation.device)
        of_node, of_updated, of_edge = (6, 14, 2) if gradient else (4, 6, 1)  # numbers for each feature; measured
        per_frame = 8 * nodes[-1] + 8 * edges[-1]
        kept = slice(None) if gradient else slice(-1, None)
        per_frame += BYTES_PER_NUMBER * width * (of_node * nodes[1:][kept].sum() + of_updated * nodes[:-1][kept].sum())
        return per_frame + BYTES_PER_NUMBER * (2 * of_edge * width if plain else 1) * edges[kept].sum()

    def _bytes_of_kernels(self, nodes: np.ndarray, edges: np.ndarray, gradient: bool) -> float:
        """What :mod:`gdyn.kernels.convolve` keeps, and the batches that wait, which are as large as this one."""
        width = self.arguments["width"]
        row, updated, near = row_stride(width), nodes[:-1], nodes[1:]
        numbers = near * row + updated * (row + 2 * width) + edges  # of each convolution, last one first
        of_gradient = near * (row + width) + updated * (row + width) + edges
        kept = numbers.sum() + of_gradient.max() if gradient else numbers.max()
        of_graph = (8 + 8) * nodes[-1] + 3 * BYTES_PER_NUMBER * edges[-1]
        return BYTES_PER_NUMBER * (kept + width * nodes[-1]) + (1 + AHEAD) * of_graph

    def pool(self, graph: GraphBatch) -> Float[Tensor, "targets width"]:
        """Mean of the features over the atoms of each target."""
        n_hops = self.hops
        graph = with_incoming(graph) if torch.is_grad_enabled() else graph
        counts = graph.counts
        features = rows_of(self.embedding.weight, graph.species[: counts[n_hops]], self.kinds)
        # Each convolution brings the features that matter one hop nearer to the targets.
        for hop, convolution in zip(reversed(range(n_hops)), self.convolutions, strict=True):
            features = convolution(features, graph.edges(hop), self.radial)
        if graph.targets.shape[1] == 1:
            return features.index_select(0, graph.targets.view(-1))
        present = graph.targets >= 0
        features = features[graph.targets.clamp_min(0)]
        weights = present.to(features.dtype)
        return (features * weights.unsqueeze(-1)).sum(1) / weights.sum(1, keepdim=True)
