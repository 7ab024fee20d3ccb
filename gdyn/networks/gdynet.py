"""The graph dynamical network: from the graph around a target to its state probabilities."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Float32
from torch import Tensor, nn
from torch.nn import functional

from gdyn.config.models import Network, Splits, Targets, Trial
from gdyn.files import FilePath
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.gather import GraphBatch
from gdyn.networks.base import StateNetwork
from gdyn.networks.convolution import GraphConvolution, radial_basis

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

    def bytes_per_frame(self, data: GraphDataset, gradient: bool) -> float:
        width = self.arguments["width"]
        nodes = data.counts[:, : self.hops + 1].mean(0)
        edges = nodes[:-1] * data.n_neighbors
        fused = self.rotation.device.type == "cpu"
        of_node, of_updated, of_edge = (6, 14, 2) if gradient else (4, 6, 1)  # numbers for each feature; measured
        per_frame = 8 * nodes[-1] + 8 * edges[-1]
        kept = slice(None) if gradient else slice(-1, None)
        per_frame += BYTES_PER_NUMBER * width * (of_node * nodes[1:][kept].sum() + of_updated * nodes[:-1][kept].sum())
        return per_frame + BYTES_PER_NUMBER * (1 if fused else 2 * of_edge * width) * edges[kept].sum()

    def pool(self, graph: GraphBatch) -> Float[Tensor, "targets width"]:
        """Mean of the features over the atoms of each target."""
        n_hops = self.hops
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
