"""The training of one network, to be read from top to bottom.

Two stages. The first, ``kinetics``, maximises the VAMP-2 score: it finds the slow processes, but
leaves the states mixed, because the score does not change under a linear map of them. Then the
states are rotated to the corners of their simplex (PCCA+), and the second stage, ``states``,
maximises VAMP-2 plus the crispness of the states. See equation 14 of docs/theory.md.

After every epoch the whole validation set is scored at once; the best epoch of each stage is kept,
and everything needed to go on is written to an undeclared file that a killed job finds again.
"""

import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from gdyn.errors import InputError
from gdyn.files import write_json, write_table
from gdyn.graphs.dataset import GraphDataset
from gdyn.logs import LOG, progress
from gdyn.networks import GDyNet
from gdyn.provenance import settings_checksum
from gdyn.statistics import Covariances, noise_floor, present_rows, purity, simplex_rotation, vamp2
from gdyn.store import States
from gdyn.training import checkpoint
from gdyn.training.vamp import crispness
from gdyn.training.vamp import vamp2 as vamp2_of_batch
from gdyn.trajectory.lag import lagged_frames
from gdyn.units import multiple

STAGES = ("kinetics", "states")
SLOWER_STEPS = {"kinetics": 1.0, "states": 0.2}  # of the learning rate
LARGEST_GRADIENT = 1.0
LEAST_IMPROVEMENT = 5e-4  # of the validation score, to count as one
CHUNK_NODES = 40_000  # atoms embedded at once where no gradient is needed


def train(shards, model, history, states, numbers, resume, trial, seed, threads, device, splits, network, training):
    """Train one network and write its model, its history, its validation states and its numbers.

    Parameters
    ----------
    shards : paths of the graph shards of all trajectories.
    model, history, states, numbers : paths to write: the checkpoint, a CSV with a row per epoch,
        the states on the validation frames, and a JSON of scores and speeds.
    resume : path of the file that an interrupted training goes on from; removed at the end.
    trial, seed : the point of the search.
    threads : CPU threads to use.
    device : ``auto``, ``cpu`` or ``cuda``.
    splits, network, training : those sections of the system.

    Raises
    ------
    InputError : the shards cannot be used, or the splits hold too few pairs of frames.
    """
    torch.set_num_threads(threads)
    device = pick_device(device)
    data = GraphDataset.load(shards, splits, "train")
    validation = GraphDataset.load(shards, splits, "validation", data.elements)
    settings = {"trial": trial, "seed": seed, "splits": splits, "network": network, "training": training}
    fingerprint = settings_checksum(
        {"shards": data.checksum, **{k: getattr(v, "model_dump", lambda v=v: v)() for k, v in settings.items()}}
    )
    trainer = Trainer(data, validation, trial, seed, network, training, device, resume, fingerprint)
    trainer.run()

    net = trainer.network
    probabilities = embed(net, validation, device)
    net.rotate(np.eye(trial.n_states)[:, np.argsort(-present_rows(probabilities).mean(0))])
    probabilities = embed(net, validation, device)
    score, floor = whole_set_score(probabilities, validation.segment, trainer.lag_frames)
    LOG.info("%s", describe_end(score, floor, probabilities))
    checkpoint.save_model(
        model, net, elements=data.elements, trial=trial.model_dump(), seed=seed, fingerprint=fingerprint
    )
    write_table(history, pd.DataFrame(trainer.history))
    States(
        probabilities=probabilities,
        time_ps=validation.time_ps,
        trajectory=validation.trajectory,
        segment=validation.segment,
        target_ids=validation.target_ids,
        split="validation",
        lag_ps=trial.lag_ps,
        frame_interval_ps=validation.frame_interval_ps,
    ).write(states)
    write_json(
        numbers,
        {
            "trial": trial.model_dump(),
            "seed": seed,
            "validation_vamp2": score,
            "noise_floor": floor,
            "purity": purity(probabilities),
            "populations": present_rows(probabilities).mean(0, dtype=np.float64),
            "epochs": len(trainer.history) - 1,
            "wall_s": trainer.seconds,
            "frames_per_s": trainer.frames / trainer.seconds,
            "device": device_name(device),
        },
    )
    Path(resume).unlink(missing_ok=True)


class Trainer:
    """The state of a training between epochs: everything that a resumed one needs to be the same."""

    def __init__(self, data, validation, trial, seed, network, training, device, resume, fingerprint):
        self.data, self.validation, self.training, self.device = data, validation, training, device
        self.lag_frames = multiple(trial.lag_ps, data.frame_interval_ps, "search.lag_ps", "the frame interval")
        self.learning_rate = trial.learning_rate
        self.resume, self.fingerprint = Path(resume), fingerprint
        torch.manual_seed(seed)
        self.network = GDyNet(
            len(data.elements),
            trial.n_states,
            trial.width,
            trial.convolutions,
            network.radial_max_A,
            network.radial_step_A,
        ).to(device)
        self.hops = trial.convolutions
        self.pairs = PairStream(data, self.lag_frames, training.batch_samples, seed)
        if len(lagged_frames(validation.segment, self.lag_frames)) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {trial.lag_ps:g} ps the validation split has no pair of frames; "
                f"shorten the lag or widen splits.validation"
            )
        self.history, self.seconds, self.frames = [], 0.0, 0
        self.begin_stage(0)

    def begin_stage(self, stage):
        self.stage = stage
        self.stale = 0
        self.stage_epochs = 0
        self.best = {"value": -np.inf, "weights": None}
        if stage < len(STAGES):
            self.optimiser = torch.optim.Adam(
                self.network.parameters(), self.learning_rate * SLOWER_STEPS[STAGES[stage]]
            )

    def run(self):
        self.load()
        if not self.history:
            self.note(None, 0.0, *self.validate())
        while self.stage < len(STAGES):
            self.epoch()
            if self.stale >= self.training.patience or self.stage_epochs >= self.training.max_epochs:
                self.end_stage()
            self.save()

    def epoch(self):
        """Some optimisation steps, then one score of the whole validation set."""
        begin = time.monotonic()
        stage = STAGES[self.stage]
        weight = self.training.crispness if stage == "states" else 0.0
        batch_scores = []
        self.network.train()
        for _ in progress(range(self.training.epoch_steps), f"{stage}, epoch {len(self.history)}"):
            first = next(self.pairs)
            graph = self.data.batch(np.concatenate([first, first + self.lag_frames]), self.hops).to(self.device)
            x, y = self.data.pairs(self.network(graph), first, self.lag_frames)
            if not torch.isfinite(x).all():
                raise InputError(
                    f"the training became unstable in epoch {len(self.history)}: a probability is not a number; "
                    f"lower search.learning_rate"
                )
            score = vamp2_of_batch(x, y)
            objective = score + weight * 0.5 * (crispness(x) + crispness(y)) if weight else score
            self.optimiser.zero_grad()
            (-objective).backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
            self.optimiser.step()
            batch_scores.append(float(score.detach()))
            self.frames += 2 * len(first)
        seconds = time.monotonic() - begin
        self.seconds += seconds
        self.judge(weight, float(np.mean(batch_scores)), seconds)

    def judge(self, weight, batch_score, seconds):
        """Score the validation set, and keep the weights if they are the best."""
        score, floor, probabilities = self.validate()
        value = score + weight * float(crispness(torch.from_numpy(present_rows(probabilities))))
        self.stale = 0 if value > self.best["value"] + LEAST_IMPROVEMENT else self.stale + 1
        if value > self.best["value"]:
            self.best = {
                "value": value,
                "weights": {name: tensor.detach().cpu().clone() for name, tensor in self.network.state_dict().items()},
            }
        self.stage_epochs += 1
        self.note(batch_score, seconds, score, floor, probabilities)

    def validate(self):
        probabilities = embed(self.network, self.validation, self.device)
        return *whole_set_score(probabilities, self.validation.segment, self.lag_frames), probabilities

    def note(self, batch_score, seconds, score, floor, probabilities):
        """Add an epoch to the history; epoch 0 is the network before its training."""
        row = {
            "epoch": len(self.history),
            "stage": STAGES[self.stage],
            "batch_vamp2": batch_score,
            "validation_vamp2": score,
            "noise_floor": floor,
            "validation_purity": purity(probabilities),
            "seconds": seconds,
        }
        self.history.append(row)
        speed = f", {2 * self.pairs.size * self.training.epoch_steps / seconds:.0f} frames/s" if seconds else ""
        LOG.info(
            "epoch %d (%s): validation VAMP-2 %.4f, noise floor %.4f, purity %.3f%s",
            row["epoch"],
            row["stage"],
            score,
            floor,
            row["validation_purity"],
            speed,
        )

    def end_stage(self):
        """Go back to the best epoch; after the first stage, rotate the states to their simplex."""
        self.network.load_state_dict(self.best["weights"])
        if STAGES[self.stage] == "kinetics":
            rotation = simplex_rotation(embed(self.network, self.data, self.device), self.data.segment, self.lag_frames)
            if rotation is None:
                LOG.warning("the states are linearly dependent: fewer processes were found than there are states")
            else:
                self.network.rotate(rotation)
        self.begin_stage(self.stage + 1)

    def save(self):
        checkpoint.save(
            self.resume,
            {
                "fingerprint": self.fingerprint,
                "stage": self.stage,
                "stage_epochs": self.stage_epochs,
                "stale": self.stale,
                "best": self.best,
                "weights": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "pairs": self.pairs.state(),
                "history": self.history,
                "seconds": self.seconds,
                "frames": self.frames,
            },
        )

    def load(self):
        """Go on from an interrupted training of the same data and settings, if there is one."""
        if not self.resume.exists():
            return
        saved = checkpoint.load(self.resume)
        if saved["fingerprint"] != self.fingerprint:
            LOG.info("%s belongs to other data or settings: beginning anew", self.resume)
            return
        self.begin_stage(saved["stage"])
        self.network.load_state_dict(saved["weights"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.pairs.restore(saved["pairs"])
        for name in ("stage_epochs", "stale", "best", "history", "seconds", "frames"):
            setattr(self, name, saved[name])
        LOG.info("going on after epoch %d", len(self.history) - 1)


class PairStream:
    """Endless batches of first frames of lagged pairs, every pair once before any comes again.

    Parameters
    ----------
    data : GraphDataset
    lag_frames : int
    samples : pairs of target surroundings in a batch; a frame brings one for each target.
    seed : int
    """

    def __init__(self, data, lag_frames, samples, seed):
        pairs = lagged_frames(data.segment, lag_frames)
        targets = data.both_present(pairs, lag_frames).sum(1)
        self.pairs = torch.from_numpy(pairs[targets > 0])
        if len(self.pairs) < 2:
            raise InputError(
                f"search.lag_ps: at a lag of {lag_frames} frames the train split has no pair of frames; "
                f"shorten the lag or widen splits.train"
            )
        per_frame = targets[targets > 0].mean()
        self.size = min(max(2, int(np.ceil(samples / per_frame))), len(self.pairs))
        if self.size * per_frame < 1000:
            LOG.warning(
                "there are only %d pairs of surroundings to train on: scores of so few are biased upwards",
                self.size * per_frame,
            )
        self.generator = torch.Generator().manual_seed(seed)
        self.order = torch.empty(0, dtype=torch.int64)

    def __next__(self):
        if len(self.order) < self.size:
            self.order = self.pairs[torch.randperm(len(self.pairs), generator=self.generator)]
        batch, self.order = self.order[: self.size], self.order[self.size :]
        return batch.numpy()

    def state(self):
        return {"generator": self.generator.get_state(), "order": self.order.clone()}

    def restore(self, state):
        self.generator.set_state(state["generator"])
        self.order = state["order"]


@torch.no_grad()
def embed(network, data, device):
    """State probabilities of every target: (frames, target sets, states) float32, NaN where a set is not present."""
    network.eval()
    hops = len(network.convolutions)
    chunk = max(1, int(CHUNK_NODES / max(1.0, data.counts[:, hops].mean())))
    found = None
    for begin in range(0, len(data), chunk):
        frames = np.arange(begin, min(begin + chunk, len(data)))
        present = data.present[data.window[frames]]
        if not present.any():
            continue
        part = network(data.batch(frames, hops).to(device)).cpu().numpy()
        if found is None:
            found = np.full((len(data), data.n_targets, part.shape[1]), np.nan, np.float32)
        found[frames[0] : frames[-1] + 1][present] = part
    if found is None:
        raise InputError("targets: no target is present in any frame of a split; widen it under splits")
    return found


def whole_set_score(probabilities, segment, lag_frames):
    """VAMP-2 score of a whole set, from float64 covariances, and its noise floor."""
    covariances = Covariances.of(probabilities, segment, lag_frames)
    score = vamp2(covariances)
    return score, noise_floor(score, probabilities.shape[-1], covariances.samples, lag_frames)


def describe_end(score, floor, probabilities):
    populations = " ".join(f"{p:.3f}" for p in present_rows(probabilities).mean(0))
    verdict = "" if score > 3 * floor else "; the score is hardly above its noise floor: do not trust these states"
    return (
        f"validation VAMP-2 {score:.4f} (noise floor {floor:.4f}), populations {populations}, "
        f"purity {purity(probabilities):.3f}{verdict}"
    )


def pick_device(name):
    """The torch device for ``auto``, ``cpu`` or ``cuda``.

    Raises
    ------
    InputError : a GPU is asked for and torch finds none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device: cuda is asked for, but torch finds no GPU here; set it to auto or cpu")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def device_name(device):
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
