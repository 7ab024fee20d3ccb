"""Whole trainings on the device beside the same on the CPU, and what is said of them."""

import time
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import numpy as np
import torch
from gpu.meters import Meter
from gpu.systems import TWO_STATES, an_epoch, shard_of, some_batches, steps, trainer_of, trial_of
from helpers import write_two_states
from torch import distributed

from gdyn.config.models import Network, Splits, Targets, Training
from gdyn.device import backend_of
from gdyn.errors import InputError
from gdyn.files import read_json
from gdyn.kernels import kernels_of
from gdyn.kinetics.koopman import slowest_timescale
from gdyn.statistics import present_rows
from gdyn.store import States
from gdyn.training import checkpoint
from gdyn.training.loop import train
from gdyn.training.predict import predict
from gdyn.training.processes import launch

SEEDS, FEW_SEEDS = (1, 2, 3), (1, 2)
# Trainings magnify rounding, so that devices differ as seeds do; with few seeds their spread may be small by chance.
POPULATION, TIMESCALE = 0.01, 0.05  # apart, the latter relative
# The network has to find what the system was made of; noise of 0.1 A in 1.5 A leaves states pure to a few per cent.
TRUE_POPULATION, TRUE_TIMESCALE = 0.03, 0.15
SAME_PROBABILITY = 1e-5  # one model on two devices: float32, sums in another order
# Other arithmetics change score, population and timescale, the latter relative, by no more than seeds may.
BETWEEN_ARITHMETICS = (0.02, 2 * POPULATION, 2 * TIMESCALE)
OF_DISTINCT = 0.5  # probabilities are made in float32: distances of 8 bits may merge, but not most of them
SAME_WEIGHTS = 1e-5  # of plain gradient descent by one process or more, relative: sums in another order
FINDINGS, UNITS = ("score", "population", "timescale"), ("", "", "ps")
MADE_UP = {"splits": Splits(train=(0.0, 0.6), validation=(0.6, 0.8), test=(0.8, 1.0)),
           "targets": Targets(selection="element Li"), "network": Network(radial_max_A=4.0)}  # fmt: skip


def settings(setting, **more):
    """Of a training of the two states that ends in a minute or less."""
    few = {"epoch_steps": 12, "max_epochs": 12, "batch_samples": 1024}
    if setting.small:
        few = {"epoch_steps": 6, "max_epochs": 5, "batch_samples": 200}
    return Training(**{"patience": 3, "learning_rate_drops": 0, "memory_mb": 2000, **few, **more})


def run(folder, device, shards, training, seed=1, trial=TWO_STATES, **about):
    """The files of a whole training on a device."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {"model": "model.pt", "history": "history.csv", "states": "states.h5", "numbers": "numbers.json"}
    outputs = {name: folder / file for name, file in names.items()}
    train(
        files=[str(path) for path in shards], resume=folder / "resume.pt", trial=trial, seed=seed,
        threads=2 if device == "auto" else 1, device=device, training=training, **outputs, **{**MADE_UP, **about},
    )  # fmt: skip
    return outputs


def findings(outputs):
    """Score, population of the first state, and timescale in ps."""
    states = States.read(outputs["states"])
    populations = np.sort(present_rows(states.probabilities).mean(0, dtype=np.float64))[::-1]
    score = read_json(outputs["numbers"])["validation_vamp2"]
    return score, populations[0], slowest_timescale(states)


def distinct(outputs):
    """How many different probabilities there are."""
    return len(np.unique(States.read(outputs["states"]).probabilities[..., 0]))


def truth(labels, like):
    """The population and the timescale of the states that the system was made of, in the validation frames."""
    states = States.read(like)
    hard = np.eye(2, dtype=np.float32)[labels[states.time_ps.astype(int)]][:, None]
    states.probabilities = hard
    return np.sort(hard.mean((0, 1), dtype=np.float64))[-1], slowest_timescale(states)


def training(setting, report):
    """The two-state system on the device and on the CPU: what is found, predicted, and found after an interruption."""
    labels, shards = write_two_states(setting.folder)
    seeds, how, found = FEW_SEEDS if setting.small else SEEDS, settings(setting), {}
    for on in ("device", "CPU"):
        device = setting.name if on == "device" else "cpu"
        begin = time.perf_counter()
        runs = [run(setting.folder / f"{on}-{seed}", device, shards, how, seed) for seed in seeds]
        where = report.on if on == "device" else "a CPU, not a GPU"
        report.number(f"{on}: a training", (time.perf_counter() - begin) / len(seeds), "s", where)
        found[on] = np.array([findings(one) for one in runs])
        for name, unit, values in zip(FINDINGS, UNITS, found[on].T, strict=True):
            report.number(f"{on}: {name}, mean of {len(seeds)} seeds", values.mean(), unit, where)
            report.number(f"{on}: {name}, most apart", np.ptp(values), unit, where)
    exact = truth(labels, runs[0]["states"])
    bounds = {"population": (1, POPULATION, TRUE_POPULATION), "timescale": (2, TIMESCALE, TRUE_TIMESCALE)}
    for (name, (column, between, to_truth)), true in zip(bounds.items(), exact, strict=True):
        here, there = (found[on][:, column] for on in ("device", "CPU"))
        unit = 1.0 if name == "population" else true
        spread = max(np.ptp(here), np.ptp(there))
        report.check(f"{name}, device and CPU apart", abs(here.mean() - there.mean()) / unit,
                     most=max(between, float(spread / unit)), why="as seeds are, or the stated bound")  # fmt: skip
        report.check(f"{name}, device and truth apart", abs(here.mean() - true) / unit, most=to_truth,
                     why="the states that the system was made of")  # fmt: skip
    prediction(setting, report, setting.folder / f"device-{seeds[0]}", shards)
    interruption(setting, report, shards)


def prediction(setting, report, folder, shards):
    """One model says the same on both devices, and what it said in its training."""
    said = {}
    for device in dict.fromkeys((setting.name, "cpu")):
        outputs = {name: folder / f"{device}-{name}.h5" for name in ("validation", "test")}
        predict(
            files=[str(path) for path in shards], models=[folder / "model.pt"], outputs=outputs, threads=1,
            device=device, splits=MADE_UP["splits"], targets=MADE_UP["targets"], memory_mb=100.0,
        )  # fmt: skip
        said[device] = States.read(outputs["validation"]).probabilities
    said["training"] = States.read(folder / "states.h5").probabilities
    for other in ("cpu", "training"):
        apart = float(np.abs(said[setting.name] - said[other]).max())
        of = {"cpu": "device and CPU", "training": "prediction and training"}[other]
        report.check(f"probabilities of one model, {of} apart", apart, most=SAME_PROBABILITY, why="float32")


@contextmanager
def dying_after(epochs):
    """Inside, a training dies once it has saved so many epochs."""
    save, left = checkpoint.save_resume, [epochs]

    def save_and_die(*arguments):
        save(*arguments)
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt

    checkpoint.save_resume = save_and_die
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        checkpoint.save_resume = save


def interruption(setting, report, shards):
    how, weights = settings(setting, epoch_steps=4, max_epochs=3), []
    for name, epochs in (("whole", None), ("broken", 2)):
        folder = setting.folder / name
        if epochs:
            with dying_after(epochs):
                run(folder, setting.name, shards, how)
            report.check("an interrupted training leaves what it resumes from", (folder / "resume.pt").exists())
        weights.append(torch.load(run(folder, setting.name, shards, how)["model"])["weights"])
    same = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    if kernels_of(setting.device) is not None or not setting.gpu:
        report.check("interrupted and resumed: the same weights, bit for bit", same)
    else:
        report.note(f"interrupted and resumed by plain operations: the same weights, bit for bit: {same}")


def precisions(setting, report):
    """What the arithmetics of a training cost and change."""
    shards, found, numbers = write_two_states(setting.folder)[1], {}, {}
    meter = Meter(setting.device, setting.small)
    for precision in ("float32", "tf32", "bfloat16"):
        how = settings(setting, precision=precision)
        found[precision] = findings(run(setting.folder / precision, setting.name, shards, how))
        # In the end all are as near to 0 and 1 as they may be, and few; so they are counted in the beginning.
        brief = settings(setting, precision=precision, scheme="vamp2", max_epochs=1, epoch_steps=4)
        numbers[precision] = distinct(run(setting.folder / f"{precision}-brief", setting.name, shards, brief))
        for name, unit, value in zip(FINDINGS, UNITS, found[precision], strict=True):
            report.number(f"{precision}: {name}", value, unit)
        report.number(f"{precision}: distinct probabilities after 4 steps", numbers[precision], "")
        trainer = trainer_of("big", setting, precision=precision)
        steps(trainer, some_batches(trainer, 2))
        each = 1 if setting.few else 10
        ms = meter.wall_ms(lambda: steps(trainer, some_batches(trainer, each)), repeats=3, warm=0) / each  # noqa: B023
        report.number(f"{precision}: a step of the large case", ms, "ms")
        if precision == "float32":
            continue
        for name, value, exact, most in zip(
            FINDINGS, found[precision], found["float32"], BETWEEN_ARITHMETICS, strict=True
        ):
            apart = abs(value - exact) / (exact if name == "timescale" else 1.0)
            report.check(
                f"{precision}: {name}, from that of float32", apart, most=most, why="as much as seeds may differ"
            )
        share = numbers[precision] / numbers["float32"]
        report.check(f"{precision}: distinct probabilities, of those of float32", share, least=OF_DISTINCT,
                     why="probabilities are made in float32")  # fmt: skip
    if not setting.gpu:
        report.note("a CPU computes in float32 whatever is asked for")


def seeds(setting, report):
    """Ten seeds of the toy on the device, beside one on one core of the CPU."""
    shards, number = [shard_of("toy", setting)], 2 if setting.few else 10
    few = {"epoch_steps": 3, "max_epochs": 1} if setting.small else {"epoch_steps": 20, "max_epochs": 4}
    how = Training(**few, patience=4, learning_rate_drops=0)
    about = {"training": how, "trial": trial_of("toy"), "splits": Splits(), "targets": Targets(selection="all"),
             "network": Network()}  # fmt: skip
    if util.find_spec("gdyn.training.group"):
        report.note("gdyn.training.group is there, but not used: this file was written before it; see `seeds` here")
    brief = about | {"training": how.model_copy(update={"max_epochs": 1, "epoch_steps": 1})}
    for device in dict.fromkeys((setting.name, "cpu")):  # what is compiled is compiled now
        run(setting.folder / f"warm-{device}", device, shards, **brief)
    begin = time.perf_counter()
    for seed in range(1, number + 1):
        run(setting.folder / f"device-{seed}", setting.name, shards, seed=seed, **about)
    together = time.perf_counter() - begin
    report.number(f"{number} seeds, one after the other", together, "s")
    begin = time.perf_counter()
    run(setting.folder / "core", "cpu", shards, **about)
    alone = time.perf_counter() - begin
    report.number("one seed on one core", alone, "s", "a CPU, not a GPU")
    report.number(f"{number} seeds on the device to one on a core", together / alone, "times")
    numbers = [read_json(setting.folder / f"device-{seed}" / "numbers.json") for seed in range(1, number + 1)]
    scores = [one["validation_vamp2"] for one in numbers]
    report.check("seeds differ", len(set(scores)) > 1)
    report.check("all scores are numbers", bool(np.isfinite(scores).all()))


def ranks(setting, report):
    """Several processes that train together, and what is said where there are too few GPUs for them."""
    shards = [str(path) for path in write_two_states(setting.folder)[1]]
    gpu = setting.gpu
    count = torch.get_device_module(setting.device).device_count() if gpu else 2
    backend = backend_of(setting.device)
    if gpu:
        report.check(f"sums by {backend}, of one process", alone(setting, backend))
    if count > 1:
        about = {
            "shards": shards,
            "trial": TWO_STATES,
            "training": settings(setting, epoch_steps=3),
            "device": setting.name,
        }
        files = [setting.folder / f"{n}.pt" for n in (1, 2)]
        begin = time.perf_counter()
        for n, weights in enumerate(files, start=1):
            if n == 1:
                an_epoch(weights=weights, **about)
            else:
                launch(an_epoch, n, 1, setting.folder, {"weights": weights, **about})
        report.number("an epoch by one process and by two, with their start", time.perf_counter() - begin, "s")
        one, two = (torch.cat([part.double().flatten() for part in torch.load(path).values()]) for path in files)
        apart = float((one - two).norm() / one.norm())
        report.check(f"weights of one process and of two by {backend} apart", apart, most=SAME_WEIGHTS,
                     why="float32, sums in another order")  # fmt: skip
    else:
        report.note("there is one GPU: two processes that train together cannot be tried")
    if gpu:
        report.check("more processes than GPUs are refused in a sentence", refused(setting, shards, count + 1))
    else:
        report.note("processes on a CPU are never refused")


def alone(setting, backend):
    """Whether sums of float64 and float32 come back from a group of one process as they were."""
    store = distributed.FileStore(str(Path(setting.folder, "meeting")), 1)
    distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        for dtype in (torch.float64, torch.float32):
            values = torch.arange(5, dtype=dtype, device=setting.device)
            distributed.all_reduce(values)
            if values.tolist() != [0, 1, 2, 3, 4]:
                return False
        return True
    finally:
        distributed.destroy_process_group()


def refused(setting, shards, processes):
    try:
        run(setting.folder / "refused", setting.name, shards, settings(setting, processes=processes))
    except InputError as error:
        return str(error).startswith(f"training.processes: {processes} processes")
    return False
