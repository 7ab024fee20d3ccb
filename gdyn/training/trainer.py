"""One epoch of a training: the steps along the gradient, and the score of all validation frames."""

import contextlib
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdyn.config.models import Network, Training, Trial
from gdyn.errors import InputError
from gdyn.graphs.loader import Loader
from gdyn.graphs.pairs import Dataset, PairBatch
from gdyn.logs import progress
from gdyn.networks import NETWORKS
from gdyn.networks.base import arithmetic
from gdyn.networks.convolution import RunningNorm
from gdyn.statistics import Covariances, present_rows, purity, score_with_floor, singular_values
from gdyn.statistics import vamp2 as vamp2_of_set
from gdyn.statistics.lag import lagged_frames
from gdyn.training import checkpoint
from gdyn.training.batches import PairStream, frames_at_once, in_chains
from gdyn.training.embed import UnstableError, embed
from gdyn.training.processes import World
from gdyn.training.schedule import Rules, Schedule
from gdyn.training.state import TrainingState
from gdyn.training.vamp import Moments, moments, moments_of, objective, vamp2
from gdyn.units import multiple

LARGEST_GRADIENT = 1.0
SHARES = {"train": 0.5, "validation": 0.25, "work": 0.25}  # of training.memory_mb


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
        self.precision = "float32" if device.type == "cpu" else training.precision
        memory = 1e6 * training.memory_mb
        if device.type == "cuda":
            memory = torch.cuda.mem_get_info(device)[0]
            for part, share in ((data, "train"), (validation, "validation")):
                if part.nbytes <= SHARES[share] * memory:
                    part.read(device)
        self.work_bytes = SHARES["work"] * memory
        self.loader = Loader(device, torch.get_num_threads())
        pairs = PairStream(data, self.lag_frames, training.batch_samples, training.chain_frames, seed)
        # A frame may serve two pairs, but in the worst case each pair brings two of its own.
        self.piece = max(1, frames_at_once(data, self.network, self.work_bytes, gradient=True) // 2)
        if len(lagged_frames(validation.segment, self.lag_frames)) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {trial.lag_ps:g} ps the validation split has no pair of frames; "
                f"shorten the lag or widen splits.validation"
            )
        # With few data, validate after each pass, over as many steps in all.
        self.steps = min(training.epoch_steps, max(1, len(pairs.pairs) // pairs.size))
        schedule = Schedule(Rules.of(training, trial.learning_rate, self.steps))
        self.state = TrainingState(self.network, self.optimiser(schedule.learning_rate), pairs, schedule)

    def optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        """A new optimiser, without memory of past gradients."""
        return torch.optim.Adam(self.network.parameters(), learning_rate)

    def settle_norms(self) -> None:
        """Before the first step: let every running norm see evenly spaced pairs, layer after layer."""
        pairs = self.state.pairs
        every = max(1, len(pairs.pairs) // pairs.size)
        pieces = self.pieces(np.sort(pairs.pairs)[::every][: pairs.size])
        for norm in self.network.running_norms():
            sums = norm.no_sums()
            with torch.no_grad():
                for batch in self.loader(self.pairs_of, pieces):
                    self.moments_of_batch(batch, [norm], [sums])
            self.world.sum(sums)
            norm.update(sums, momentum=1.0)

    def epoch(self) -> None:
        """Some optimisation steps, then one score of the whole validation set.

        Raises
        ------
        UnstableError : a probability, a score or a gradient is not a number.
        """
        history, pairs = self.state.history, self.state.pairs
        begin, frames, self.loader.waited_s = time.monotonic(), history.frames, 0.0
        times = {"forward_s": 0.0, "backward_s": 0.0}
        self.network.train()
        self.world.agree(self.network)
        batches = [self.pieces(next(pairs)) for _ in range(self.steps)]
        # A batch in several pieces is embedded twice: once for its moments, once for the gradient.
        requests = [piece for pieces in batches for piece in (pieces if len(pieces) == 1 else pieces + pieces)]
        ready = self.loader(self.pairs_of, requests)
        what = f"{self.state.schedule.present.name}, epoch {history.epoch + 1}"
        scores = [self.step([ready] * len(pieces), times) for pieces in progress(batches, what)]
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

    def step(self, ready: Sequence[Iterator[PairBatch]], times: dict[str, float]) -> float:
        """One step of the optimiser, along the gradient of the whole batch (section "Batches" of docs/theory.md).

        The objective depends on the batch by its moments alone, and those of all pieces add up. So their sum comes
        first; the objective's slope with respect to it then goes back through every piece.

        Parameters
        ----------
        ready : for each piece, where it comes from; each comes twice, one after the other, unless there is only one.
        times : seconds of the two passes, which are added to.

        Returns
        -------
        float : VAMP-2 score of the batch, before the step.
        """
        alone = len(ready) == 1  # then one pass does for both
        norms = self.network.running_norms()
        with self.timed("forward_s", times):
            seen = [norm.no_sums() for norm in norms]
            with contextlib.nullcontext() if alone else torch.no_grad():
                parts = [self.moments_of_batch(next(batch), norms, seen) for batch in ready]
            total = self.of_all_processes(parts)
            self.world.sum(*seen)
            if not torch.isfinite(total.sums).all():
                raise UnstableError("a probability is not a number")
            value = self.objective(Moments(total.sums.requires_grad_(True), total.centre))
            (slope,) = torch.autograd.grad(value, total.sums)
        with self.timed("backward_s", times):
            parameters = list(self.network.parameters())
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
            for part in parts if alone else (self.moments_of_batch(next(batch)) for batch in ready):
                (-(slope * part.about(total.centre).sums).sum()).backward()
            self.world.sum(*(parameter.grad for parameter in parameters if parameter.grad is not None))
            if not torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)):
                raise UnstableError("a gradient is not a number")
            self.state.optimiser.step()
            for norm, sums in zip(norms, seen, strict=True):
                norm.update(sums)
        return float(vamp2(Moments(total.sums.detach(), total.centre)))

    def of_all_processes(self, parts: Sequence[Moments]) -> Moments:
        """The moments of all pieces of a batch, in all processes, without what they were computed from."""
        nothing = Moments.nothing(self.network.arguments["n_states"], self.device)
        here = sum((Moments(part.sums.detach(), part.centre) for part in parts), nothing)
        number = here.sums[0, 0]
        ends = torch.cat([number.unsqueeze(0), number * here.mean()])
        self.world.sum(ends)
        here = here.about(ends[1:] / ends[0].clamp_min(1.0))
        self.world.sum(here.sums)
        return here

    def objective(self, sums: Moments) -> Tensor:
        """What the present stage maximises."""
        schedule = self.state.schedule
        try:
            return objective(schedule.present, sums, schedule.crispness)
        except torch.linalg.LinAlgError:
            raise UnstableError("a score is not a number") from None

    def moments_of_batch(
        self, batch: PairBatch, norms: Sequence[RunningNorm] = (), seen: Sequence[Tensor] = ()
    ) -> Moments:
        """The moments of some pairs; what passes some norms is added to what they have ``seen``."""
        self.state.history.frames += batch.graph.starts.shape[1] - 1
        for norm, sums in zip(norms, seen, strict=True):
            norm.collect(sums, batch.uses)
        with arithmetic(self.device, self.precision):
            probabilities = self.network(batch.graph)
        for norm in norms:
            norm.collect(None, None)
        return moments(probabilities[batch.first], probabilities[batch.second])

    @contextlib.contextmanager
    def timed(self, name: str, times: dict[str, float]) -> Iterator[None]:
        """Add the time inside, less what was spent waiting for batches, to ``times[name]``."""
        begin, waited = time.monotonic(), self.loader.waited_s
        yield
        times[name] += time.monotonic() - begin - (self.loader.waited_s - waited)

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
            value = float(objective(schedule.present, moments_of(covariances), self.crispness))
        except torch.linalg.LinAlgError:
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
        row: dict[str, Any] = {
            "epoch": history.epoch + 1,
            "stage": schedule.present.name,
            "validation_vamp2": score,
            "noise_floor": floor,
            "validation_purity": purity(probabilities),
            "smallest_population": float(present_rows(probabilities).mean(0).min()),
            "learning_rate": schedule.learning_rate,
            "memory_mb": peak_memory_mb(self.device),
            **epoch,
        }
        history.rows.append(row)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory so far, of the GPU or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
