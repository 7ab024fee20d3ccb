"""The graph convolution of GDyNet, its radial functions and its normalisation."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Float64, Num
from torch import Tensor, nn
from torch.nn import functional

from gdyn.kernels import kernels_of
from gdyn.kernels.convolve import Weights, convolve
from gdyn.kernels.layout import Edges, unsigned
from gdyn.networks.arithmetic import precision_of
from gdyn.networks.attention import attend

ROWS_PER_A = 1000
SMALLEST_VARIANCE = 1e-5
NORM_MOMENTUM = 0.1


def radial_basis(max_A: float, step_A: float) -> Float32[Tensor, "rows gaussians"]:
    """Gaussians of the distance, tabulated at every 0.001 A: (rows, Gaussians) float32.

    ``u_m(d) = exp(-(d - mu_m)^2 / step^2)`` with ``mu_m = 0, step, 2 step ... max`` (equation 1 of
    docs/theory.md). The table ends 5 steps beyond the last centre, where every Gaussian has
    vanished; its last row is zero and stands for all larger distances.
    """
    centres = torch.arange(round(max_A / step_A) + 1, dtype=torch.float64) * step_A
    rows = round((max_A + 5 * step_A) * ROWS_PER_A) + 1
    distances = torch.arange(rows, dtype=torch.float64) / ROWS_PER_A
    table = torch.exp(-(((distances[:, None] - centres) / step_A) ** 2))
    table[-1] = 0.0
    return table.float()


class RunningNorm(nn.Module):
    """Normalises every feature by its mean and variance over all nodes that the network computes.

    Mean and variance are averages over past batches and constants for the gradient, so what comes out for a
    node does not depend on which others are in its batch, nor on how a batch is divided. They are of the
    receptive fields: atoms nearer to targets count more often than in a whole frame.

    Parameters
    ----------
    width : features of a node.
    """

    mean: Float[Tensor, " width"]
    variance: Float[Tensor, " width"]

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("variance", torch.ones(width))
        self.sums: Tensor | None = None
        self.weights: Tensor | None = None

    def forward(self, values: Float[Tensor, "nodes width"]) -> Float[Tensor, "nodes width"]:
        if self.sums is not None and self.weights is not None:
            seen, weights = values.detach().double(), self.weights[: len(values)].double()
            self.sums[0].add_(weights.sum())
            self.sums[1].addmv_(seen.T, weights)
            self.sums[2].addmv_(seen.square().T, weights)
        return functional.batch_norm(
            values, self.mean, self.variance, self.weight, self.bias, training=False, eps=SMALLEST_VARIANCE
        )

    def collect(self, sums: Float64[Tensor, "3 width"] | None, weights: Num[Tensor, " nodes"] | None) -> None:
        """From now on, add what passes through to ``sums``.

        Parameters
        ----------
        sums : of weights, values and squares; None to end it.
        weights : at least as many as come, in their order.
        """
        self.sums, self.weights = sums, weights

    def no_sums(self) -> Float64[Tensor, "3 width"]:
        """Sums of nothing."""
        return torch.zeros(3, len(self.mean), dtype=torch.float64, device=self.mean.device)

    def update(self, sums: Float64[Tensor, "3 width"], momentum: float = NORM_MOMENTUM) -> None:
        """Move towards what ``sums`` say, by ``momentum``."""
        number, total, squares = sums
        mean = total / number
        self.mean.lerp_(mean.to(self.mean), momentum)
        self.variance.lerp_((squares / number - mean.square()).clamp_min(0.0).to(self.mean), momentum)


NORMS: dict[str, Callable[[int], nn.Module]] = {"layer": nn.LayerNorm, "batch": RunningNorm}


class GraphConvolution(nn.Module):
    """One round of messages from the neighbors, weighted by attention.

    With ``z_ij = v_i (+) v_j (+) u_ij``, the attention ``alpha_ij = softmax_j(z_ij W_a + b_a)`` and
    the message ``m_i = sum_j alpha_ij ReLU(z_ij W_n + b_n)``, the update is ``v_i + norm(m_i)``
    (equations 2 and 3 of docs/theory.md). The concatenation is never built: ``z W`` is the sum of a
    part of the atom, a part of the neighbor and a part of the distance, and the last is one row of
    a table.

    Parameters
    ----------
    width : features of an atom.
    n_radial : number of radial functions.
    normalisation : ``layer``, over the features of an atom, or ``batch``, over the atoms.
    """

    def __init__(self, width: int, n_radial: int, normalisation: str = "layer") -> None:
        super().__init__()
        self.atom = nn.Linear(width, width + 1)
        self.neighbor = nn.Linear(width, width + 1, bias=False)
        self.distance = nn.Linear(n_radial, width + 1, bias=False)
        self.norm = NORMS[normalisation](width)

    def forward(
        self,
        features: Float[Tensor, "nodes width"],
        edges: Edges,
        radial: Float[Tensor, "table gaussians"],
    ) -> Float[Tensor, "updated width"]:
        """Update the features of the first nodes, those whose neighbors are given.

        Parameters
        ----------
        features : of all nodes.
        edges : of those that are updated.
        radial : a row for every 0.001 A.
        """
        updated = features[: len(edges.neighbors)]
        kernels = kernels_of(features.device)
        if kernels is None or features.dtype not in kernels.ARITHMETICS:
            rows = unsigned(edges.distance_mA)
            parts = self.atom(updated), self.neighbor(features), self.distance(radial)
            messages = attend(*parts, edges.neighbors, rows, edges.starts)
            return updated + self.norm(messages)
        norm = self.norm if isinstance(self.norm, nn.LayerNorm) else None
        of_norm = (norm.weight, norm.bias) if norm else (None, None)
        weights = Weights(self.atom.weight, self.atom.bias, self.neighbor.weight, self.distance.weight, *of_norm)
        precision, eps = precision_of(features.device), norm.eps if norm else 0.0
        out = convolve(kernels, features, weights, eps, edges, radial, precision)
        return out if norm else updated + self.norm(out)
