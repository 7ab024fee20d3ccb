"""One epoch of a training: the steps along the gradient, and the score of all validation frames."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gdyn.config.models import Network, Training, Trial
from gdyn.device import (
    Clock,
    device_name,
    fits,
    forget_unused,
    memory_of,
    on_gpu,
    peak_memory_mb,
    send,
    work_bytes,
)
from gdyn.errors import InputError
from gdyn.graphs.loader import Loader
from gdyn.graphs.pairs import Dataset, PairBatch
from gdyn.logs import LOG, progress
from gdyn.networks import NETWORKS
from gdyn.networks.arithmetic import arithmetic
from gdyn.statistics import Covariances, present_rows, purity, score_with_floor, singular_values
from gdyn.statistics import vamp2 as vamp2_of_set
from gdyn.statistics.lag import lagged_frames
from gdyn.training import checkpoint
from gdyn.training.batches import PairStream, frames_at_once, in_chains
from gdyn.training.embed import UnstableError, embed
from gdyn.training.flat import Flat
from gdyn.training.processes import World
from gdyn.training.schedule import Rules, Schedule
from gdyn.training.state import TrainingState
from gdyn.training.sums import Sums
from gdyn.training.trial import try_kernels
from gdyn.training.vamp import Moments, Slope, basis_of, moments_of, objective, score
from gdyn.units import multiple

LARGEST_GRADIENT = 1.0
SHARES = {"train": 0.5, "validation": 0.25, "work": 0.25}  # of training.memory_mb


class NoMemoryError(Exception):
    """A piece of a batch does not fit into the memory of a device."""


class Seen(NamedTuple):
    """What is left of a piece of a batch that a gradient can go back through.

    probabilities : (targets, states), with their graph
    ends : (pairs, 2)
    z : (pairs, 2 (states - 1)), see :class:`~gdyn.training.sums.Sums`
    """

    probabilities: Tensor
    ends: Tensor
    z: Tensor


class Trainer:
    """Trains a network epoch by epoch. All that an epoch changes is in ``state``.

    Parameters
    ----------
    data, validation : the frames of these splits.
    trial, seed : the point of the search.
    network, training : those sections of the system.
    device : where the network is.
    world : the processes that train together.
    warm : path of a model to begin from, if any.
    shared : whether others use the same GPU, so that what is free there is not all for this training.

    Raises
    ------
    InputError : the splits hold too few pairs of frames, or the weights to begin from do not fit.
    """

    def __init__(
        self,
        data: Dataset,
        validation: Dataset,
        trial: Trial,
        seed: int,
        network: Network,
        training: Training,
        device: torch.device,
        world: World,
        warm: str | None = None,
        shared: bool = False,
    ) -> None:
        self.data, self.validation, self.device, self.world = data, validation, device, world
        self.crispness = training.crispness
        self.lag_frames = multiple(trial.lag_ps, data.frame_interval_ps, "search.lag_ps", "the frame interval")
        torch.manual_seed(seed)
        self.network = NETWORKS[trial.model].of(trial, network, data)
        if warm is not None:
            checkpoint.begin_from(self.network, warm, data.elements)
        self.network.to(device)
        # A CPU gains nothing from another arithmetic.
        self.precision = training.precision if on_gpu(device) else "float32"
        memory = memory_of(device, training.memory_mb, shared)
        if on_gpu(device):
            for part, share in ((data, "train"), (validation, "validation")):
                place(part, device, SHARES[share] * memory, SHARES[share] * 1e6 * training.memory_mb)
        try_kernels(self.network, data, self.precision, gradient=True)
        self.work_bytes = work_bytes(device, SHARES["work"] * memory)
        self.loader, self.clock = Loader(device, torch.get_num_threads()), Clock(device)
        pairs = PairStream(data, self.lag_frames, training.batch_samples, training.chain_frames, seed)
        # A frame may serve two pairs, but in the worst case each pair brings two of its own.
        at_once = frames_at_once(data, self.network, self.work_bytes, gradient=True)
        self.piece = max(1, min(at_once // 2, pairs.size))
        if len(lagged_frames(validation.segment, self.lag_frames)) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {trial.lag_ps:g} ps the validation split has no pair of frames; "
                f"shorten the lag or widen splits.validation"
            )
        # With few data, validate after each pass, over as many steps in all.
        self.steps = min(training.epoch_steps, max(1, len(pairs.pairs) // pairs.size))
        schedule = Schedule(Rules.of(training, trial.learning_rate, self.steps))
        self.flatten()
        centre = torch.zeros(2 * (trial.n_states - 1), dtype=torch.float64)
        optimiser = self.optimiser(schedule.learning_rate)
        self.state = TrainingState(self.network, optimiser, pairs, schedule, centre)

    def flatten(self) -> None:
        """Make all parameters one tensor, and room for what is summed over a batch."""
        self.flat = Flat(self.network)
        norms = self.network.running_norms()
        sizes = [norm.no_sums().numel() for norm in norms]
        self.sums = Sums(self.network.arguments["n_states"], sum(sizes), self.device)
        self.of_norms = [part.view(3, -1) for part in self.sums.more.split(sizes)] if norms else []

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """A new optimiser, without memory of past gradients."""
        return torch.optim.Adam([self.flat.values], learning_rate, fused=True)

    def settle_norms(self) -> None:
        """Before the first step: let every running norm see evenly spaced pairs, layer after layer."""
        pairs = self.state.pairs
        every = max(1, len(pairs.pairs) // pairs.size)
        pieces = self.pieces(np.sort(pairs.pairs)[::every][: pairs.size])
        for norm, of_norm in zip(self.network.running_norms(), self.of_norms, strict=True):
            self.sums.begin(self.state.centre)
            self.with_memory(lambda: self.look_at(pieces))
            self.sums.share(self.world)
            self.moments()
            norm.update(of_norm, momentum=1.0)

    @torch.no_grad()
    def look_at(self, pieces: Sequence[np.ndarray]) -> None:
        """Let the running norms see some pieces."""
        for batch in self.loader(self.pairs_of, pieces):
            self.probabilities(batch, collect=True)

    def epoch(self) -> None:
        """Some optimisation steps, then one score of the whole validation set.

        Raises
        ------
        UnstableError : a probability or a score is not a number.
        NoMemoryError : a piece does not fit into memory; nothing that has been done since the last epoch counts.
        """
        history, pairs = self.state.history, self.state.pairs
        begin, frames, self.loader.waited_s = time.monotonic(), history.frames, 0.0
        self.network.train()
        self.world.agree(self.network)
        batches = [self.pieces(next(pairs)) for _ in range(self.steps)]
        # A batch in several pieces is embedded twice: once for its moments, once for the gradient.
        requests = [piece for pieces in batches for piece in (pieces if len(pieces) == 1 else pieces + pieces)]
        ready = self.loader(self.pairs_of, requests)
        what = f"{self.state.schedule.present.name}, epoch {history.epoch + 1}"
        scores = [self.step(ready, pieces) for pieces in progress(batches, what)]
        if self.world.any(self.sums.short, self.device):  # in the last step
            raise NoMemoryError
        times = {"forward_s": 0.0, "backward_s": 0.0} | self.clock.read()
        seconds = time.monotonic() - begin
        history.seconds += seconds
        speed = {"frames_per_s": (history.frames - frames) / seconds, "seconds": seconds}
        self.judge({"batch_vamp2": float(np.mean(scores)), **speed, "load_s": self.loader.waited_s, **times})

    def pairs_of(self, first: np.ndarray) -> PairBatch:
        """The batch of some first frames of pairs."""
        return self.data.pairs(first, self.lag_frames, self.network.hops)

    def pieces(self, first: np.ndarray) -> list[np.ndarray]:
        """The share of this process in a batch of pairs, divided as memory allows."""
        share = self.world.share(in_chains(first, self.lag_frames))
        return [share[begin : begin + self.piece] for begin in range(0, len(share), self.piece)]

    def step(self, ready: Iterator[PairBatch], pieces: Sequence[np.ndarray]) -> float:
        """One step of the optimiser, along the gradient of the whole batch (section "Batches" of docs/theory.md).

        The objective depends on the batch by its moments alone, and those of all pieces add up. So their sum comes
        first, to the host; the objective's slope with respect to it then goes back through every piece.

        Parameters
        ----------
        ready : where the pieces come from; all come twice, one after the other, unless there is only one.
        pieces : first frames of their pairs.

        Returns
        -------
        float : VAMP-2 score of the batch, before the step.
        """
        sums, alone = self.sums, len(pieces) == 1  # then one pass does for both
        sums.begin(self.state.centre)
        seen = self.forward(ready, len(pieces), keep=alone, collect=True)
        sums.share(self.world)
        moments = self.moments()
        if not moments.precise:
            sums.begin(torch.from_numpy(moments.mean), anew=False)
            if alone:
                seen = [part._replace(z=sums.add(part.probabilities, part.ends)) for part in seen]
            else:
                self.forward(self.loader(self.pairs_of, pieces), len(pieces), keep=False, collect=False)
            sums.share(self.world, everything=False)
            moments = self.moments()
        slope, of_batch = self.slope(moments)
        self.backward(ready, len(pieces), seen, sums.send(slope))
        self.world.sum(self.flat.gradient)
        self.flat.clip(LARGEST_GRADIENT)
        self.state.optimiser.step()
        for norm, of_norm in zip(self.network.running_norms(), self.of_norms, strict=True):
            norm.update(of_norm)
        return of_batch

    def forward(self, ready: Iterator[PairBatch], n_pieces: int, keep: bool, collect: bool) -> list[Seen]:
        """Add up the moments of the pieces of a batch; return what is to be kept of them for a gradient."""
        kept = []

        def work() -> None:
            for _ in range(n_pieces):
                batch = next(ready)
                with self.clock.part("forward_s"), torch.set_grad_enabled(keep):
                    probabilities = self.probabilities(batch, collect)
                    seen = Seen(probabilities, batch.ends, self.sums.add(probabilities, batch.ends))
                if keep:
                    kept.append(seen)

        self.with_memory(work)
        return kept

    def backward(self, ready: Iterator[PairBatch], n_pieces: int, seen: list[Seen], slope: Tensor) -> None:
        """Set the gradient of all parameters, down the objective, from its slope."""

        def work() -> None:
            for i in range(n_pieces):
                if seen:
                    probabilities, ends, z = seen[i]
                else:
                    batch = next(ready)
                    ends = batch.ends
                    with self.clock.part("forward_s"):
                        probabilities = self.probabilities(batch)
                        z = self.sums.z(probabilities, ends)
                with self.clock.part("backward_s"):
                    self.flat.descend(probabilities, self.sums.gradient(slope, z, probabilities, ends))

        self.flat.forget()
        self.with_memory(work)

    def moments(self) -> Moments:
        """Of the whole batch, of all processes.

        Raises
        ------
        NoMemoryError : a process had too little memory.
        """
        moments, short = self.sums.read(self.world)
        if short:
            raise NoMemoryError
        return moments

    def slope(self, moments: Moments) -> tuple[Slope, float]:
        """Of what the present stage maximises; and the VAMP-2 score."""
        schedule = self.state.schedule
        try:
            return objective(schedule.present, moments, schedule.crispness)[1], score(moments)
        except np.linalg.LinAlgError:
            raise UnstableError("a probability is not a number") from None

    def with_memory(self, work: Callable[[], None]) -> None:
        """Do some work on the device.

        Raises
        ------
        NoMemoryError : its memory is too small. Of several processes, none may leave the others alone: all raise it
            when they next look at their sums.
        """
        if not self.sums.short and not fits(work):
            self.sums.short = True
        if self.sums.short and self.world.size == 1:
            raise NoMemoryError

    def halve(self) -> None:
        """Divide batches into smaller pieces from now on.

        Raises
        ------
        InputError : a piece is one pair of frames already.
        """
        forget_unused(self.device)
        if self.piece == 1:
            raise InputError(
                f"a pair of frames does not fit into the memory of {device_name(self.device)}; take fewer neighbors "
                f"or a smaller search.width, or set device: cpu"
            )
        self.piece, self.sums.short = self.piece // 2, False
        LOG.info("memory is short on %s: batches in pieces of %d pairs", device_name(self.device), self.piece)

    def probabilities(self, batch: PairBatch, collect: bool = False) -> Tensor:
        """Of the states of all targets of a batch; what passes the running norms is added up, if asked for."""
        self.state.history.frames += batch.graph.starts.shape[1] - 1
        norms = self.network.running_norms() if collect else []
        weights = send(batch.uses_of_nodes().double(), self.device) if norms else None
        for norm, of_norm in zip(norms, self.of_norms, strict=False):
            norm.collect(of_norm, weights)
        with arithmetic(self.device, self.precision):
            probabilities: Tensor = self.network(batch.graph)
        for norm in norms:
            norm.collect(None, None)
        return probabilities

    def judge(self, epoch: dict[str, float]) -> None:
        """Score the validation set, and keep the weights if they are the best."""
        probabilities = self.embed(self.validation)
        covariances = self.covariances(probabilities)
        gap = probabilities.shape[-1] - 1 - vamp2_of_set(covariances)
        if self.state.schedule.count(self.value_of(covariances), gap):
            self.state.best = self.weights()
        self.note(epoch, probabilities, covariances)

    def value_of(self, covariances: Covariances) -> float:
        """The value by which the best epoch is chosen: the stage's objective on the validation frames.

        It is minus infinity where pure states have lost too much of the processes they were made of.
        """
        schedule = self.state.schedule
        try:
            value, _ = objective(schedule.present, moments_of(covariances), self.crispness)
        except np.linalg.LinAlgError:
            return -np.inf
        return value if schedule.allows(singular_values(covariances)) else -np.inf

    def covariances(self, probabilities: np.ndarray) -> Covariances:
        """Covariances of the whole validation set."""
        return Covariances.of(probabilities, self.validation.segment, self.lag_frames)

    def embed(self, data: Dataset) -> np.ndarray:
        """State probabilities of all frames: (frames, target sets, states) float32, see :func:`embed`."""
        self.network.eval()
        with arithmetic(self.device, self.precision):
            return embed(self.network, data, self.loader, self.world, self.work_bytes)

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}

    def note(self, epoch: dict[str, float], probabilities: np.ndarray, covariances: Covariances) -> None:
        """Add an epoch to the history; epoch 0 is the network before its training."""
        score, floor = score_with_floor(covariances, self.lag_frames)
        schedule, history = self.state.schedule, self.state.history
        populations = present_rows(probabilities).mean(0, dtype=np.float64)
        self.state.centre = torch.from_numpy(np.tile(populations @ basis_of(len(populations)), 2))
        row: dict[str, Any] = {
            "epoch": history.epoch + 1,
            "stage": schedule.present.name,
            "validation_vamp2": score,
            "noise_floor": floor,
            "validation_purity": purity(probabilities),
            "smallest_population": float(populations.min()),
            "learning_rate": schedule.learning_rate,
            "memory_mb": peak_memory_mb(self.device),
            **epoch,
        }
        history.rows.append(row)


def place(data: Dataset, device: torch.device, bytes_there: float, bytes_here: float) -> None:
    """Bring the graphs of a split to a device if they fit, else to the memory of the host, else leave them on disk."""
    if data.bytes_on(device) <= bytes_there and fits(lambda: data.read(device)):
        return
    if data.nbytes <= bytes_here:
        data.read(torch.device("cpu"))
