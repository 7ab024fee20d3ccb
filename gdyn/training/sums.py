"""The moments of a batch, summed where its states are and looked at on the host."""

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from gdyn.device import Receiver, Sender
from gdyn.training.processes import World
from gdyn.training.vamp import Moments, Slope, basis_of

HEAD = 2  # of the numbers: pairs, and processes that had too little memory


class Sums:
    """Adds up the :class:`~gdyn.training.vamp.Moments` of the pieces of a batch on a device, and sends slopes back.

    Everything is in one tensor, ``numbers``, so that one sum over processes and one small copy do for all.

    Parameters
    ----------
    n_states : of the network.
    more : further numbers that are summed with the moments, in the last places of ``numbers``.
    device : of the states.
    """

    def __init__(self, n_states: int, more: int, device: torch.device) -> None:
        n = 2 * (n_states - 1)
        self.basis = torch.from_numpy(basis_of(n_states)).to(device)
        self.numbers = torch.zeros(HEAD + n + n * n + more, dtype=torch.float64, device=device)
        self._head, self._first, self._second, self.more = self.numbers.split([HEAD, n, n * n, more])
        self.of_pairs = self.numbers[: HEAD + n + n * n]
        self._centre_here = torch.zeros(n, dtype=torch.float64)
        self._receive, self._tell = Receiver(self.of_pairs), Sender(self._head)
        self._centre, self._slope = Sender(self._first), Sender(self._first.new_zeros(1 + n, n))
        self._centre(self._centre_here)
        self._pairs, self._begun, self.short = 0, False, False

    def begin(self, centre: Float64[Tensor, " entries"], anew: bool = True) -> None:
        """Forget the last batch, or, if not ``anew``, its moments alone; the next is summed about a centre."""
        if anew:
            self.more.zero_()
        self._pairs, self._begun = 0, False
        if not torch.equal(centre, self._centre_here):
            self._centre_here = centre.clone()
            self._centre(centre)

    def z(
        self, probabilities: Float[Tensor, "targets states"], ends: Int64[Tensor, "pairs 2"]
    ) -> Float64[Tensor, "pairs entries"]:
        """Both ends of some pairs in the basis, about the centre."""
        z = (probabilities.detach().double() @ self.basis).index_select(0, ends.reshape(-1))
        return z.view(len(ends), 2 * z.shape[1]).sub_(self._centre.there)

    def add(
        self, probabilities: Float[Tensor, "targets states"], ends: Int64[Tensor, "pairs 2"]
    ) -> Float64[Tensor, "pairs entries"]:
        """Add the moments of some pairs; return their ``z``."""
        z = self.z(probabilities, ends)
        first, second = self._first, self._second.view(z.shape[1], -1)
        if self._begun:
            first.add_(z.sum(0))
            second.addmm_(z.T, z)
        else:
            torch.sum(z, 0, out=first)
            torch.mm(z.T, z, out=second)
        self._pairs, self._begun = self._pairs + len(ends), True
        return z

    def share(self, world: World, everything: bool = True) -> None:
        """Add up what all processes have, or only their moments."""
        if not self._begun:  # a process may have no share of a small batch
            self.of_pairs.zero_()
        if world.size > 1:
            self._head.copy_(self._tell(torch.tensor([self._pairs, self.short], dtype=torch.float64)))
            world.sum(self.numbers if everything else self.of_pairs)

    def read(self, world: World) -> tuple[Moments, float]:
        """The moments on the host, and how many processes had too little memory."""
        values, n = self._receive(self.of_pairs).numpy().copy(), len(self._first)
        number = values[0] if world.size > 1 else float(self._pairs)
        first, second = values[HEAD : HEAD + n], values[HEAD + n :].reshape(n, n)
        return Moments(number, first, second, self._centre_here.numpy()), values[1]

    def send(self, slope: Slope) -> Float64[Tensor, "entries+1 entries"]:
        """A slope on the device, downwards: its linear part, and its quadratic part."""
        return self._slope(-torch.cat([torch.from_numpy(slope.linear)[None], torch.from_numpy(slope.quadratic)]))

    def gradient(
        self,
        slope: Float64[Tensor, "entries+1 entries"],
        z: Float64[Tensor, "pairs entries"],
        probabilities: Float[Tensor, "targets states"],
        ends: Int64[Tensor, "pairs 2"],
    ) -> Float[Tensor, "targets states"]:
        """Of an objective of that slope with respect to probabilities."""
        of_z = torch.addmm(slope[0], z, slope[1:]).view(2 * len(ends), self.basis.shape[1])
        of_targets = of_z.new_zeros(len(probabilities), of_z.shape[1]).index_add_(0, ends.reshape(-1), of_z)
        return (of_targets @ self.basis.T).to(probabilities.dtype)
