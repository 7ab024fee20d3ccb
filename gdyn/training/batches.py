"""Which pairs of frames make a batch, and in which pieces it is embedded."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from gdyn.errors import InputError
from gdyn.graphs.gather import ranges
from gdyn.graphs.pairs import Dataset
from gdyn.logs import LOG
from gdyn.networks.base import Network
from gdyn.statistics.lag import lagged_frames

SMALLEST_BATCH = 1000  # pairs; scores of fewer are biased


class PairStream:
    """Endless batches of first frames of lagged pairs, every pair once before any comes again.

    Pairs come in chains ``t, t + lag, t + 2 lag ...``: a chain of k frames holds k - 1 pairs, and each frame is
    embedded once.

    Parameters
    ----------
    data : Dataset
    lag_frames : int
    samples : pairs of target surroundings in a batch; a frame brings one for each target.
    chain_frames : frames of a chain, at least 2.
    seed : int
    """

    def __init__(self, data: Dataset, lag_frames: int, samples: int, chain_frames: int, seed: int) -> None:
        pairs = lagged_frames(data.segment, lag_frames)
        targets = data.both_present(pairs, lag_frames).sum(1)
        self.pairs = in_chains(pairs[targets > 0], lag_frames)
        if len(self.pairs) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {lag_frames} frames the train split has no pair of frames; "
                f"shorten the lag or widen splits.train"
            )
        begins = np.concatenate([[True], np.diff(self.pairs) != lag_frames])
        chain = np.cumsum(begins) - 1
        self.chain, self.place = chain, np.arange(len(chain)) - np.flatnonzero(begins)[chain]
        self.length = chain_frames - 1
        per_frame = targets[targets > 0].mean()
        self.size = min(max(2, int(np.ceil(samples / per_frame))), len(self.pairs))
        if self.size * per_frame < SMALLEST_BATCH:
            LOG.warning(
                "there are only %d pairs of surroundings to train on: scores of so few are biased upwards",
                self.size * per_frame,
            )
        self.generator = torch.Generator().manual_seed(seed)
        self.order = np.empty(0, np.int64)

    def __next__(self) -> Int64[np.ndarray, " batch"]:
        if len(self.order) < self.size:
            self.order = self._shuffle()
        batch, self.order = self.order[: self.size], self.order[self.size :]
        return batch

    def _shuffle(self) -> Int64[np.ndarray, " pairs"]:
        """All pairs in stretches of their chains, cut at random and in random order."""
        n_chains = self.chain[-1] + 1
        cut = torch.randint(self.length, (n_chains,), generator=self.generator).numpy()
        stretch = (self.place + cut[self.chain]) // self.length
        begins = np.flatnonzero(np.concatenate([[True], (np.diff(stretch) != 0) | (np.diff(self.chain) != 0)]))
        lengths = np.diff(begins, append=len(self.pairs))
        order = torch.randperm(len(begins), generator=self.generator).numpy()
        return self.pairs[ranges(begins[order], lengths[order])]

    def state_dict(self) -> dict[str, Any]:
        """The random numbers to come, and what is left of the present order."""
        return {"generator": self.generator.get_state(), "order": torch.from_numpy(self.order.copy())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.set_state(state["generator"])
        self.order = state["order"].numpy()


def in_chains(first: Int64[np.ndarray, " pairs"], lag_frames: int) -> Int64[np.ndarray, " pairs"]:
    """The same first frames of pairs, ordered so that each is followed by the one a lag later, where there is one.

    Pairs that share a frame are then neighbors, and pieces of the list embed few frames twice.
    """
    return first[np.lexsort((first, first % lag_frames))]


def frames_at_once(data: Dataset, network: Network, bytes_at_most: float, gradient: bool) -> int:
    """How many frames of a dataset can be embedded together in some memory, with or without a gradient."""
    return max(1, int(bytes_at_most / network.bytes_per_frame(data, gradient)))
