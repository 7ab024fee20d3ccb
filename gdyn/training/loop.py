"""The training of one network, to be read from top to bottom.

A training has stages (:mod:`gdyn.config.schemes`). In each, after every epoch the whole validation set is scored at
once and the best epoch is kept. An epoch that brings no better one for a while lowers the learning rate, and in the
end closes the stage. Everything needed to go on is written after every epoch to an undeclared file that a killed job
finds again.
"""

import contextlib
import copy
import logging
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gdyn.config.schemes import SCHEMES
from gdyn.errors import InputError
from gdyn.files import remove, write_json, write_table
from gdyn.graphs.dataset import GraphDataset
from gdyn.graphs.loader import Loader
from gdyn.logs import LOG, progress
from gdyn.networks import NETWORKS
from gdyn.networks.base import arithmetic
from gdyn.provenance import settings_checksum
from gdyn.statistics import (
    Covariances,
    present_rows,
    purity,
    score_with_floor,
    simplex_rotation,
    singular_values,
)
from gdyn.statistics import vamp2 as vamp2_of_set
from gdyn.statistics.lag import lagged_frames
from gdyn.training import checkpoint
from gdyn.training.batches import PairStream, frames_at_once, in_chains
from gdyn.training.embed import UnstableError, device_name, embed, pick_device, states_of
from gdyn.training.processes import World, launch
from gdyn.training.seen import ranges
from gdyn.training.vamp import Moments, moments, moments_of, objective, vamp2
from gdyn.units import multiple

LARGEST_GRADIENT = 1.0
LEAST_IMPROVEMENT = 5e-4  # of the validation score, to count as one ...
LEAST_OF_GAP = 0.02  # ... or this part of what is missing to the highest score, where that is less
LEAST_CRISPNESS = 0.01  # of training.crispness
SLOWER = 0.3  # what a learning rate is lowered by
MOST_RECOVERIES = 3  # from numbers that are none
SMALLEST_POPULATION = 1e-3  # of a state that is one
VISIBLE = 0.9  # singular value of noise, beyond which the frames could not have shown any process
TELL_S = 2.0  # between two epochs that are told on the terminal; the log has all
SHARES = {"train": 0.5, "validation": 0.25, "work": 0.25}  # of training.memory_mb


def train(*, threads, training, **arguments):
    """Train one network and write its model, its history, its validation states and its numbers.

    Parameters
    ----------
    threads : CPU threads to use.
    training : that section of the system.
    arguments : all others of :func:`train_here`.

    Raises
    ------
    InputError : the files cannot be used, or the splits hold too few pairs of frames.
    """
    arguments = {"threads": max(1, threads // training.processes), "training": training, **arguments}
    if training.processes > 1:
        launch(train_here, training.processes, training.nodes, Path(arguments["resume"]).parent, arguments)
    else:
        train_here(**arguments)


def train_here(
    *,
    files,
    model,
    history,
    states,
    numbers,
    resume,
    trial,
    seed,
    threads,
    device,
    splits,
    targets,
    network,
    training,
    warm=None,
):
    """Train in this process, or as one of several that do the same.

    Parameters
    ----------
    files : paths of the graph shards of all trajectories, or, for a VAMPnet, of the trajectory stores in order.
    model, history, states, numbers : paths to write: the checkpoint, a CSV with a row per epoch,
        the states on the validation frames, and a JSON of scores and speeds.
    resume : path of the file that an interrupted training goes on from; removed at the end.
    trial, seed : the point of the search.
    threads : CPU threads of each process.
    device : ``auto``, ``cpu`` or ``cuda``.
    splits, targets, network, training : those sections of the system.
    warm : path of a model to begin from, if any.

    Raises
    ------
    InputError : see :func:`train`.
    """
    torch.set_num_threads(threads)
    device = pick_device(device)
    world = World(device)
    open_split, memory_mb = NETWORKS[trial.model].open_split, training.memory_mb
    data = open_split(files, splits, "train", targets, None, SHARES["train"] * memory_mb)
    validation = open_split(files, splits, "validation", targets, data.elements, SHARES["validation"] * memory_mb)
    settings = {"trial": trial, "seed": seed, "splits": splits, "network": network, "training": training, "warm": warm}
    fingerprint = settings_checksum(
        {"shards": data.checksum, **{k: getattr(v, "model_dump", lambda v=v: v)() for k, v in settings.items()}}
    )
    trainer = Trainer(data, validation, trial, seed, network, training, device, world, resume, fingerprint, warm)
    trainer.run()
    if trainer.board:
        trainer.board.close()
    probabilities = trainer.embed(validation)
    if world.rank:
        return
    order = np.argsort(-present_rows(probabilities).mean(0))
    net, probabilities = trainer.network, probabilities[..., order]
    net.rotate(np.eye(trial.n_states)[:, order])
    score, floor = score_with_floor(trainer.covariances(probabilities), trainer.lag_frames)
    populations = present_rows(probabilities).mean(0, dtype=np.float64)
    LOG.info("%s", describe_end(score, floor, populations, purity(probabilities)))
    LOG.info("%s", describe_time(trainer.history))
    for problem in (problems := trainer.problems(score, floor, populations)):
        LOG.warning("%s", problem)
    checkpoint.save_model(
        model,
        net,
        elements=data.elements,
        trial=trial.model_dump(),
        seed=seed,
        fingerprint=fingerprint,
        seen=ranges(data) if isinstance(data, GraphDataset) else None,
        precision=trainer.precision,
    )
    write_table(history, pd.DataFrame(trainer.history))
    states_of(validation, probabilities, "validation", trial.lag_ps).write(states)
    write_json(
        numbers,
        {
            "trial": trial.model_dump(),
            "seed": seed,
            "validation_vamp2": score,
            "noise_floor": floor,
            "purity": purity(probabilities),
            "populations": populations,
            "converged": not trainer.unconverged,
            "problems": problems,
            "epochs": len(trainer.history) - 1,
            "wall_s": trainer.seconds,
            "frames_per_s": trainer.frames / trainer.seconds,
            "device": device_name(device),
            "processes": world.size,
        },
    )
    for left in (Path(resume), Path(resume).with_name("progress.json")):
        remove(left)


class Trainer:
    """The state of a training between epochs: everything that a resumed one needs to be the same."""

    def __init__(self, data, validation, trial, seed, network, training, device, world, resume, fingerprint, warm=None):
        self.data, self.validation, self.training, self.device, self.world = data, validation, training, device, world
        self.lag_frames = multiple(trial.lag_ps, data.frame_interval_ps, "search.lag_ps", "the frame interval")
        self.learning_rate = trial.learning_rate
        self.resume, self.fingerprint = Path(resume), fingerprint
        torch.manual_seed(seed)
        self.network = NETWORKS[trial.model].of(trial, network, data)
        if warm is not None:
            checkpoint.begin_from(self.network, warm, data.elements)
        self.network.to(device)
        # A CPU gains nothing from another arithmetic.
        self.precision = "float32" if device.type == "cpu" else training.precision
        self.memory = 1e6 * training.memory_mb
        if device.type == "cuda":
            self.memory = torch.cuda.mem_get_info(device)[0]
            for part, share in ((data, "train"), (validation, "validation")):
                if part.nbytes <= SHARES[share] * self.memory:
                    part.read(device)
        self.loader = Loader(device, torch.get_num_threads())
        self.pairs = PairStream(data, self.lag_frames, training.batch_samples, training.chain_frames, seed)
        # A frame may serve two pairs, but in the worst case each pair brings two of its own.
        self.piece = max(1, frames_at_once(data, self.network, SHARES["work"] * self.memory, gradient=True) // 2)
        if len(lagged_frames(validation.segment, self.lag_frames)) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {trial.lag_ps:g} ps the validation split has no pair of frames; "
                f"shorten the lag or widen splits.validation"
            )
        # Of few data, a pass is what brings news: look after each, over as many steps in all.
        self.steps = min(training.epoch_steps, max(1, len(self.pairs.pairs) // self.pairs.size))
        self.patience, self.max_epochs = (
            -(-number * training.epoch_steps // self.steps) for number in (training.patience, training.max_epochs)
        )
        self.stages = SCHEMES[training.scheme].stages
        self.board = None
        if training.tensorboard and not world.rank:
            self.board = open_tensorboard(self.resume.parent / "tensorboard")
        self.told_s = 0.0
        self.history, self.seconds, self.frames, self.recoveries, self.unconverged = [], 0.0, 0, 0, []
        self.begin_stage(0)

    def begin_stage(self, stage):
        self.stage = stage
        self.stale, self.drops, self.stage_epochs = 0, 0, 0
        self.best = {"value": -np.inf, "weights": None}
        self.crispness = self.training.crispness
        self.reference, self.purer = None, False
        if stage < len(self.stages):
            self.optimise(self.learning_rate * self.stages[stage].learning_rate)

    def run(self):
        self.load()
        if not self.history:
            self.settle_norms()
            probabilities = self.embed(self.validation)
            self.note({}, probabilities, self.covariances(probabilities))
        self.keep()
        while self.stage < len(self.stages):
            try:
                self.epoch()
            except UnstableError as error:
                self.recover(error)
                continue
            if self.stale >= self.patience or self.stage_epochs >= self.max_epochs:
                self.slow_down()
            self.keep()
            self.save()

    def epoch(self):
        """Some optimisation steps, then one score of the whole validation set."""
        begin, frames, self.loader.waited_s = time.monotonic(), self.frames, 0.0
        times = {"forward_s": 0.0, "backward_s": 0.0}
        self.network.train()
        self.world.agree(self.network)
        batches = [self.pieces(next(self.pairs)) for _ in range(self.steps)]
        # A batch in several pieces is embedded twice: once for its moments, once for the gradient.
        requests = [piece for pieces in batches for piece in (pieces if len(pieces) == 1 else pieces + pieces)]
        ready = self.loader(self.pairs_of, requests)
        scores = [
            self.step([ready] * len(pieces), times)
            for pieces in progress(batches, f"{self.stages[self.stage].name}, epoch {len(self.history)}")
        ]
        seconds = time.monotonic() - begin
        self.seconds += seconds
        times = {"seconds": seconds, "load_s": self.loader.waited_s, **times}
        self.judge({"batch_vamp2": float(np.mean(scores)), "frames_per_s": (self.frames - frames) / seconds, **times})

    def pairs_of(self, first):
        """The PairBatch of some first frames."""
        return self.data.pairs(first, self.lag_frames, self.network.hops)

    def pieces(self, first):
        """The share of this process in a batch of pairs, divided as memory allows."""
        mine = self.world.share(in_chains(first, self.lag_frames))
        return [mine[begin : begin + self.piece] for begin in range(0, len(mine), self.piece)]

    def step(self, ready, times):
        """One step of the optimiser, along the gradient of the whole batch (section "Batches" of docs/theory.md).

        The objective depends on the batch by its moments alone, and those of all pieces add up. So their sum comes
        first; the objective's slope with respect to it then goes back through every piece.
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
            objective = self.objective(Moments(total.sums.requires_grad_(True), total.centre))
            (slope,) = torch.autograd.grad(objective, total.sums)
        with self.timed("backward_s", times):
            parameters = list(self.network.parameters())
            for parameter in parameters:
                parameter.grad = torch.zeros_like(parameter)
            for part in parts if alone else (self.moments_of_batch(next(batch)) for batch in ready):
                (-(slope * part.about(total.centre).sums).sum()).backward()
            self.world.sum(*(parameter.grad for parameter in parameters))
            if not torch.isfinite(torch.nn.utils.clip_grad_norm_(parameters, LARGEST_GRADIENT)):
                raise UnstableError("a gradient is not a number")
            self.optimiser.step()
            for norm, sums in zip(norms, seen, strict=True):
                norm.update(sums)
        return float(vamp2(Moments(total.sums.detach(), total.centre)))

    def of_all_processes(self, parts):
        """The moments of all pieces of a batch, in all processes, without what they were computed from."""
        nothing = Moments.nothing(self.network.arguments["n_states"], self.device)
        own = sum((Moments(part.sums.detach(), part.centre) for part in parts), nothing)
        number = own.sums[0, 0]
        ends = torch.cat([number.unsqueeze(0), number * own.mean()])
        self.world.sum(ends)
        own = own.about(ends[1:] / ends[0].clamp_min(1.0))
        self.world.sum(own.sums)
        return own

    def objective(self, sums):
        """What the present stage maximises."""
        try:
            return objective(self.stages[self.stage], sums, self.crispness)
        except torch.linalg.LinAlgError:
            raise UnstableError("a score is not a number") from None

    def moments_of_batch(self, batch, norms=(), seen=()):
        """The moments of a PairBatch; what passes some norms is added to what they have ``seen``."""
        self.frames += batch.graph.starts.shape[1] - 1
        for norm, sums in zip(norms, seen, strict=True):
            norm.collect(sums, batch.uses)
        with arithmetic(self.device, self.precision):
            probabilities = self.network(batch.graph)
        for norm in norms:
            norm.collect(None, None)
        return moments(probabilities[batch.first], probabilities[batch.second])

    @contextlib.contextmanager
    def timed(self, name, times):
        """Add the time inside, less what was spent waiting for batches, to ``times[name]``."""
        begin, waited = time.monotonic(), self.loader.waited_s
        yield
        times[name] += time.monotonic() - begin - (self.loader.waited_s - waited)

    def settle_norms(self):
        """Before the first step: let every running norm see evenly spaced pairs, layer after layer."""
        every = max(1, len(self.pairs.pairs) // self.pairs.size)
        pieces = self.pieces(np.sort(self.pairs.pairs)[::every][: self.pairs.size])
        for norm in self.network.running_norms():
            sums = norm.no_sums()
            with torch.no_grad():
                for batch in self.loader(
                    lambda first: self.data.pairs(first, self.lag_frames, self.network.hops), pieces
                ):
                    self.moments_of_batch(batch, [norm], [sums])
            self.world.sum(sums)
            norm.update(sums, momentum=1.0)

    def judge(self, epoch):
        """Score the validation set, and keep the weights if they are the best."""
        probabilities = self.embed(self.validation)
        covariances = self.covariances(probabilities)
        value, score = self.value_of(covariances), vamp2_of_set(covariances)
        least = min(LEAST_IMPROVEMENT, LEAST_OF_GAP * max(0.0, probabilities.shape[-1] - 1 - score))
        self.stale = 0 if value > self.best["value"] + least else self.stale + 1
        if value > self.best["value"] or self.best["weights"] is None:
            self.best, self.purer = {"value": value, "weights": self.weights()}, True
        self.stage_epochs += 1
        self.note(epoch, probabilities, covariances)

    def value_of(self, covariances):
        """What the best epoch has most of, on the validation frames: the stage's objective.

        Where pure states are made of known processes, an epoch that costs one of them more than
        ``training.timescale_loss`` of its timescale, or of the score, is out.
        """
        try:
            value = float(objective(self.stages[self.stage], moments_of(covariances), self.training.crispness))
        except torch.linalg.LinAlgError:
            return -np.inf
        if not self.reference:
            return value
        before, after = (np.clip(values, 1e-9, 1 - 1e-9) for values in (self.reference, singular_values(covariances)))
        timescales = np.log(before) / np.log(after)
        resolved = before > np.exp(-1.0)
        left = [*timescales[resolved], np.square(after).sum() / np.square(before).sum()]
        return value if min(left) >= 1.0 - self.training.timescale_loss else -np.inf

    def covariances(self, probabilities):
        """Those of the whole validation set."""
        return Covariances.of(probabilities, self.validation.segment, self.lag_frames)

    def embed(self, data):
        self.network.eval()
        with arithmetic(self.device, self.precision):
            return embed(self.network, data, self.loader, self.world, SHARES["work"] * self.memory)

    def note(self, epoch, probabilities, covariances):
        """Add an epoch to the history; epoch 0 is the network before its training."""
        score, floor = score_with_floor(covariances, self.lag_frames)
        row = {
            "epoch": len(self.history),
            "stage": self.stages[self.stage].name,
            "validation_vamp2": score,
            "noise_floor": floor,
            "validation_purity": purity(probabilities),
            "smallest_population": float(present_rows(probabilities).mean(0).min()),
            "learning_rate": self.optimiser.param_groups[0]["lr"],
            "memory_mb": peak_memory_mb(self.device),
            **epoch,
        }
        self.history.append(row)
        for name, value in row.items():
            if self.board and name not in ("epoch", "stage"):
                self.board.add_scalar(name, value, row["epoch"])
        now = time.monotonic()
        brief = row["epoch"] and now - self.told_s < TELL_S and row["stage"] == self.history[-2]["stage"]
        self.told_s = self.told_s if brief else now
        LOG.log(
            logging.DEBUG if brief else logging.INFO,
            "epoch %d (%s): validation VAMP-2 %.4f, noise floor %.4f, purity %.3f%s",
            row["epoch"],
            row["stage"],
            score,
            floor,
            row["validation_purity"],
            self.speed(row) if epoch else "",
        )

    def speed(self, row):
        left = self.seconds_left()
        return f", {row['frames_per_s']:.0f} frames/s, {row['memory_mb']:.0f} MB, at most {left:.0f} s to go"

    def seconds_left(self):
        """How long it takes if no stage ends before its time."""
        epochs = (len(self.stages) - self.stage) * self.max_epochs - self.stage_epochs
        return epochs * self.seconds / max(1, len(self.history) - 1)

    def slow_down(self):
        """Go back to the best epoch of the stage, and on from there in smaller steps or with the next stage."""
        self.network.load_state_dict(self.best["weights"])
        ended = self.stage_epochs >= self.max_epochs
        if (
            not ended
            and self.reference
            and not self.purer
            and self.crispness > LEAST_CRISPNESS * self.training.crispness
        ):
            # Purer states cost too much of the timescales: ask for less.
            self.stale, self.crispness = 0, SLOWER * self.crispness
            self.optimise(self.optimiser.param_groups[0]["lr"])
            return
        if not ended and self.drops < self.training.learning_rate_drops:
            self.drops, self.stale = self.drops + 1, 0
            self.optimise(SLOWER * self.optimiser.param_groups[0]["lr"])
            return
        if ended and self.stale < self.patience:
            self.unconverged.append(self.stages[self.stage].name)
        self.begin_stage(self.stage + 1)
        if self.stage < len(self.stages) and self.stages[self.stage].rotated:
            self.rotate()

    def rotate(self):
        """Rotate the states to the corners of their simplex; then they may become purer, but keep the processes."""
        rotation = simplex_rotation(self.embed(self.data), self.data.segment, self.lag_frames)
        if rotation is None:
            LOG.warning("the states are linearly dependent: fewer processes were found than there are states")
            return
        self.reference = singular_values(self.covariances(self.embed(self.validation))).tolist()
        self.network.rotate(rotation)
        value = self.value_of(self.covariances(self.embed(self.validation)))
        self.best = {"value": value, "weights": self.weights()}

    def weights(self):
        return {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()}

    def optimise(self, learning_rate):
        self.optimiser = torch.optim.Adam(self.network.parameters(), learning_rate)

    def problems(self, score, floor, populations):
        """What a reader of the results should know, in sentences."""
        found = [
            f"the stage '{name}' was still improving at its end; raise training.max_epochs" for name in self.unconverged
        ]
        if score <= floor:
            found = [self.nothing_found(score, floor)]
        if floor < score <= 3.0 * floor:
            found.append("the validation score is hardly above its noise floor; do not trust these states")
        empty = int((populations < SMALLEST_POPULATION).sum())
        if empty:
            found.append(f"{empty} of {len(populations)} states hold nearly nothing; ask for fewer states")
        if self.recoveries:
            found.append(f"the training became unstable {self.recoveries} times and went on in smaller steps")
        return found

    def nothing_found(self, score, floor):
        """A score that is not above its noise floor is a finding, and says how slow a process would have been seen."""
        lag_ps = self.lag_frames * self.data.frame_interval_ps
        visible = np.sqrt(floor / (self.network.arguments["n_states"] - 1))  # as a singular value
        slower = f"slower than {-lag_ps / np.log(visible):.2g} ps " if 0 < visible < VISIBLE else ""
        return (
            f"at a lag of {lag_ps:g} ps nothing {slower}was found: the validation score ({score:.2g}) is not above its "
            f"noise floor ({floor:.2g}). The lag may be longer than all that happens, the states may be mirror images "
            f"(a network that sees distances cannot tell these apart), or the data too few"
        )

    def recover(self, error):
        """Go back to the last whole epoch, and on from there in smaller steps.

        Raises
        ------
        InputError : it did not help.
        """
        if self.recoveries == MOST_RECOVERIES:
            raise InputError(
                f"the training became unstable in epoch {len(self.history)}: {error}; lower search.learning_rate"
            )
        LOG.warning("epoch %d: %s; going back an epoch, and on in smaller steps", len(self.history), error)
        recoveries = self.recoveries + 1
        self.restore(self.good)
        self.recoveries, self.learning_rate = recoveries, SLOWER * self.learning_rate
        for group in self.optimiser.param_groups:
            group["lr"] *= SLOWER
        self.keep()

    def snapshot(self):
        """Everything that changes in a training."""
        return {
            "weights": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "pairs": self.pairs.state(),
            **{name: getattr(self, name) for name in self.COUNTERS},
        }

    COUNTERS = (
        "stage",
        "stage_epochs",
        "stale",
        "drops",
        "crispness",
        "reference",
        "purer",
        "best",
        "history",
        "seconds",
        "frames",
        "learning_rate",
        "recoveries",
        "unconverged",
    )

    def restore(self, snapshot):
        snapshot = copy_of(snapshot)
        self.begin_stage(snapshot["stage"])
        self.network.load_state_dict(snapshot["weights"])
        self.optimiser.load_state_dict(snapshot["optimiser"])
        self.pairs.restore(snapshot["pairs"])
        for name in self.COUNTERS:
            setattr(self, name, snapshot[name])

    def keep(self):
        """Remember this epoch as one that is sound."""
        self.good = copy_of(self.snapshot())

    def save(self):
        if not self.world.rank:
            checkpoint.save_resume(self.resume, self.fingerprint, self.good)
            self.tell()

    def tell(self):
        """Leave word of how far it is, for ``gdyn status``."""
        row = self.history[-1]
        told = {
            **{name: row[name] for name in ("epoch", "stage", "validation_vamp2", "noise_floor")},
            "purity": row["validation_purity"],
            "epoch_s": row.get("seconds", 0.0),
            "left_s": self.seconds_left(),
            "time": time.time(),
        }
        write_json(self.resume.with_name("progress.json"), told)

    def load(self):
        """Go on from an interrupted training of the same data and settings, if there is one."""
        snapshot = checkpoint.load_resume(self.resume, self.fingerprint)
        if snapshot is not None:
            self.restore(snapshot)
            LOG.info("going on after epoch %d", len(self.history) - 1)


def open_tensorboard(folder):
    """A writer of TensorBoard's event files.

    Raises
    ------
    InputError : the package for it is not there.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError(
            "training.tensorboard: needs the package tensorboardX: pip install 'gdyn[tensorboard]', or set it to false"
        ) from None
    return SummaryWriter(str(folder), flush_secs=10)


def peak_memory_mb(device):
    """Most memory that was in use so far, of the GPU or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def describe_end(score, floor, populations, pure):
    populations = " ".join(f"{p:.3f}" for p in populations)
    return f"validation VAMP-2 {score:.4f} (noise floor {floor:.4f}), populations {populations}, purity {pure:.3f}"


def copy_of(snapshot):
    """A snapshot that the training no longer changes; what was told of an epoch never does."""
    history = snapshot["history"]
    return copy.deepcopy(snapshot, {id(history): list(history)})


def describe_time(history):
    """What the time of the epochs went into."""
    total = {key: sum(row.get(f"{key}_s", 0.0) for row in history) for key in ("load", "forward", "backward")}
    everything = sum(row.get("seconds", 0.0) for row in history)
    parts = ", ".join(f"{100 * seconds / everything:.0f} % {key}" for key, seconds in total.items())
    return f"{everything:.0f} s of steps: {parts}, the rest in the optimiser and in between"
