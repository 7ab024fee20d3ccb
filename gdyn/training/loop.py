"""The training of one network, to be read from top to bottom.

A training has stages (:mod:`gdyn.config.schemes`). In each, after every epoch (:mod:`gdyn.training.trainer`) the whole
validation set is scored at once and the best epoch is kept. Several epochs without a better one lower the
learning rate, and in the end close the stage (:mod:`gdyn.training.schedule`). Everything needed to resume
(:mod:`gdyn.training.state`) is written after every epoch to an undeclared file that a killed job finds again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from gdyn.config.models import Network, Splits, Targets, Training, Trial
from gdyn.device import device_name, on_gpu, pick_device, share_out, told_where_full
from gdyn.errors import InputError
from gdyn.files import FilePath, remove, write_json, write_table
from gdyn.graphs.dataset import GraphDataset
from gdyn.kernels import why_plain
from gdyn.logs import LOG
from gdyn.networks import NETWORKS
from gdyn.provenance import settings_checksum
from gdyn.statistics import present_rows, purity, score_with_floor, simplex_rotation, singular_values
from gdyn.training import checkpoint
from gdyn.training.embed import UnstableError, states_of
from gdyn.training.findings import problems, summarise_validation
from gdyn.training.history import Reporter
from gdyn.training.processes import World, launch
from gdyn.training.schedule import Turn
from gdyn.training.seen import ranges
from gdyn.training.trainer import SHARES, NoMemoryError, Trainer

MOST_RECOVERIES = 3  # from NaN


def train(*, threads: int, training: Training, **arguments: Any) -> None:
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
    files: Sequence[FilePath],
    model: FilePath,
    history: FilePath,
    states: FilePath,
    numbers: FilePath,
    resume: FilePath,
    trial: Trial,
    seed: int,
    threads: int,
    device: str,
    splits: Splits,
    targets: Targets,
    network: Network,
    training: Training,
    warm: str | None = None,
    name: str | None = None,
    shared: bool = False,
) -> None:
    """Train in this process, or as one of several that do the same.

    Parameters
    ----------
    files : paths of what the network reads: the graph shards of all trajectories, or the trajectory stores in order.
    model, history, states, numbers : paths to write: the checkpoint, a CSV with a row per epoch,
        the states on the validation frames, and a JSON of scores and speeds.
    resume : path of the file from which an interrupted training resumes; removed at the end.
    trial, seed : the point of the search.
    threads : CPU threads of each process.
    device : ``auto``, ``cpu`` or ``cuda``.
    splits, targets, network, training : those sections of the system.
    warm : path of a model to begin from, if any.
    name : of the trial, where it is not what its values say.
    shared : whether other jobs use the same GPU.

    Raises
    ------
    InputError : see :func:`train`.
    """
    torch.set_num_threads(threads)
    if shared and training.processes == 1:
        share_out(seed, device)
    at, resume = pick_device(device), Path(resume)
    world = World(at)
    # What fits into a GPU goes there without coming to rest here.
    open_split, memory_mb = NETWORKS[trial.model].open_split, 0 if on_gpu(at) else training.memory_mb
    data = open_split(files, splits, "train", targets, None, SHARES["train"] * memory_mb)
    validation = open_split(files, splits, "validation", targets, data.elements, SHARES["validation"] * memory_mb)
    settings = {"trial": trial, "seed": seed, "splits": splits, "network": network, "training": training, "warm": warm}
    fingerprint = settings_checksum(
        {"shards": data.checksum, **{k: getattr(v, "model_dump", lambda v=v: v)() for k, v in settings.items()}}
    )
    reporter = Reporter(resume.parent, training.tensorboard and not world.rank)
    with told_where_full(at):
        trainer = Trainer(data, validation, trial, seed, network, training, at, world, warm, shared)
        run(trainer, resume, fingerprint, reporter)
        reporter.close()
        probabilities = trainer.embed(validation)
    if world.rank:
        return
    order = np.argsort(-present_rows(probabilities).mean(0))
    net, course, schedule = trainer.network, trainer.state.history, trainer.state.schedule
    probabilities = probabilities[..., order]
    net.rotate(np.eye(trial.n_states)[:, order])
    score, floor = score_with_floor(trainer.covariances(probabilities), trainer.lag_frames)
    populations = present_rows(probabilities).mean(0, dtype=np.float64)
    LOG.info("%s", summarise_validation(score, floor, populations, purity(probabilities)))
    LOG.info("%s", course.describe_time())
    lag_ps = trainer.lag_frames * data.frame_interval_ps
    for problem in (sentences := problems(schedule, score, floor, populations, lag_ps, why_plain(at))):
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
    write_table(history, pd.DataFrame(course.rows))
    states_of(validation, probabilities, "validation", trial.lag_ps).write(states)
    write_json(
        numbers,
        {
            "trial": trial.model_dump(),
            "name": name or trial.name,
            "seed": seed,
            "validation_vamp2": score,
            "noise_floor": floor,
            "purity": purity(probabilities),
            "populations": populations,
            "converged": not schedule.unconverged,
            "problems": sentences,
            "epochs": course.epoch,
            "wall_s": course.seconds,
            "frames_per_s": course.frames / course.seconds,
            "device": device_name(at),
            "processes": world.size,
        },
    )
    remove(resume)
    reporter.withdraw()


def run(trainer: Trainer, resume: Path, fingerprint: str, reporter: Reporter) -> None:
    """Train to the end of the last stage, from the beginning or from where the same training was interrupted.

    Raises
    ------
    InputError : the training stays unstable, or ``resume`` cannot be read.
    """
    state, schedule = trainer.state, trainer.state.schedule
    saved = checkpoint.load_resume(resume, fingerprint)
    if saved is None:
        settle(trainer)
        probabilities = trainer.embed(trainer.validation)
        trainer.note({}, probabilities, trainer.covariances(probabilities))
        reporter.log(state.history, schedule.epochs_left)
    else:
        state.load_state_dict(saved)
        LOG.info("resuming after epoch %d", state.history.epoch)
    sound = state.snapshot()
    while not schedule.over:
        short = False
        try:
            trainer.epoch()
        except NoMemoryError:
            short = True  # outside of this block nothing holds on to what the device was to do
        except UnstableError as error:
            recover(trainer, sound, error)
            sound = state.snapshot()
            continue
        if short:
            state.load_state_dict(sound)
            trainer.halve()
            continue
        reporter.log(state.history, schedule.epochs_left)
        turn(trainer)
        sound = state.snapshot()
        if not trainer.world.rank:
            checkpoint.save_resume(resume, fingerprint, sound)
            reporter.leave_word(state.history, schedule.epochs_left)


def settle(trainer: Trainer) -> None:
    """Let the running norms see something, in pieces as small as memory asks for."""
    while True:
        try:
            return trainer.settle_norms()
        except NoMemoryError:
            pass
        trainer.halve()


def turn(trainer: Trainer) -> None:
    """Follow the schedule after an epoch: continue, or go back to the best epoch of the stage and change steps."""
    state, schedule = trainer.state, trainer.state.schedule
    what = schedule.turn()
    if what is Turn.ON:
        return
    trainer.network.load_state_dict(state.best)
    if what is Turn.NEXT:
        state.best = {}
    if schedule.over:
        return
    state.optimiser = trainer.optimiser(schedule.learning_rate)
    if what is Turn.NEXT and schedule.present.rotated:
        rotate(trainer)


def rotate(trainer: Trainer) -> None:
    """Rotate the states to the corners of their simplex; then they may become purer, but keep the processes."""
    rotation = simplex_rotation(trainer.embed(trainer.data), trainer.data.segment, trainer.lag_frames)
    if rotation is None:
        LOG.warning("the states are linearly dependent: fewer processes were found than there are states")
        return
    state, schedule = trainer.state, trainer.state.schedule
    schedule.reference = singular_values(trainer.covariances(trainer.embed(trainer.validation))).tolist()
    trainer.network.rotate(rotation)
    schedule.best = trainer.value_of(trainer.covariances(trainer.embed(trainer.validation)))
    state.best = trainer.weights()


def recover(trainer: Trainer, sound: dict[str, Any], error: UnstableError) -> None:
    """Go back to the last whole epoch, and continue from there in smaller steps.

    Raises
    ------
    InputError : it did not help.
    """
    state, schedule = trainer.state, trainer.state.schedule
    epoch = state.history.epoch + 1
    if schedule.recoveries == MOST_RECOVERIES:
        raise InputError(f"the training became unstable in epoch {epoch}: {error}; lower search.learning_rate")
    LOG.warning("epoch %d: %s; going back an epoch and continuing in smaller steps", epoch, error)
    state.load_state_dict(sound)
    schedule.recover()
    for group in state.optimiser.param_groups:
        group["lr"] = schedule.learning_rate
