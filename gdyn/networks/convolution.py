"""The graph convolution of GDyNet and its radial functions."""

import torch
from torch import nn
from torch.nn import functional

ROWS_PER_A = 1000


def radial_basis(max_A, step_A):
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
    """

    def __init__(self, width, n_radial):
        super().__init__()
        self.atom = nn.Linear(width, 1 + width)
        self.neighbor = nn.Linear(width, 1 + width, bias=False)
        self.distance = nn.Linear(n_radial, 1 + width, bias=False)
        self.norm = nn.LayerNorm(width)

    def forward(self, features, neighbors, distance_rows, radial):
        """Update the features of the first nodes, those whose neighbors are given.

        Parameters
        ----------
        features : (nodes, width)
        neighbors, distance_rows : (updated, M) nodes, and rows of the radial table.
        radial : (table rows, n_radial)

        Returns
        -------
        (updated, width)
        """
        own = features[: len(neighbors)]
        z = functional.embedding(neighbors, self.neighbor(features))
        z = z + functional.embedding(distance_rows, self.distance(radial))
        z = z + self.atom(own).unsqueeze(1)
        attention = torch.softmax(z[..., :1], dim=1)
        message = (attention * torch.relu(z[..., 1:])).sum(1)
        return own + self.norm(message)
