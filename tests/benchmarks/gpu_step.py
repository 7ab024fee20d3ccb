"""Count what a step of training asks of a GPU, on a pretend one, and say how long it should take.

    python tests/benchmarks/gpu_step.py

The cases are those of training.py. Launches, waits and bytes are counted (tests/pretend_gpu.py: what every operation
reads and writes, a fused kernel's tensors once); the time is launches times 5 us and bytes at 4.3 TB/s, an H200's, one
after the other, though a GPU does both at once. No number here is measured on a GPU.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from training import CASES, STATES, WIDTH, write_shard

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pretend_gpu import pretend_gpu
from trainings import kernels_on

from gdyn import kernels as kernels_module
from gdyn.config.models import Network, Splits, Training, Trial
from gdyn.graphs.dataset import GraphDataset
from gdyn.training.processes import World
from gdyn.training.trainer import Trainer

LAUNCH_S, BYTES_PER_S = 5e-6, 4.3e12
FLOOR_S = 0.18  # of an epoch of 40 000 pairs of the big case: 51 400 frames of 3.5 us, all of it memory
PAIRS = 40_000


def first_frames(data, pairs, lag, chain_frames):
    """The first frames of pairs in chains that share no frame with one another."""
    begins = np.arange(0, len(data) - lag * chain_frames, 1)
    free, first = np.ones(len(data), bool), []
    for begin in begins:
        chain = begin + lag * np.arange(chain_frames)
        if free[chain].all():
            free[chain] = False
            first.extend(chain[:-1])
    return np.array(first[:pairs])


def step(gpu, case, chain_frames, folder):
    """Counts of one step, and of how many frames and edges it is."""
    hops, lag, per_frame = case["convolutions"], case["lag"], case["targets"]
    pairs = -(-2048 // per_frame)
    path = write_shard(case, int(4 * pairs), folder)
    splits = Splits(train=(0, 0.8), validation=(0.8, 0.9), test=(0.9, 1))
    device = torch.device("pretend", 0)
    data = [GraphDataset.load([path], splits, name, memory_mb=0) for name in ("train", "validation")]
    trial = Trial(n_states=STATES, lag_ps=float(lag), width=WIDTH, convolutions=hops, learning_rate=0.005)
    trainer = Trainer(*data, trial, 1, Network(), Training(), device, World(device))
    trainer.network.train()
    pieces = trainer.pieces(first_frames(data[0], pairs, lag, chain_frames))
    if len(pieces) != 1:
        raise SystemExit("the batch does not fit into one piece")
    ready = trainer.loader(trainer.pairs_of, pieces * 3)
    trainer.step(ready, pieces)
    with gpu.counting() as counts:
        trainer.step(ready, pieces)
    frames = np.unique(pieces[0] + np.array([[0], [lag]]))
    edges = data[0].counts[frames][:, :hops].sum() * case["neighbors"]
    return counts, len(pieces[0]), len(frames), int(edges)


def main():
    """Print the table."""
    print("case  pairs  frames     edges  launches  waits      MB  peak MB   ms a step   epoch of 40 000 pairs, s")
    for name, case in CASES.items():
        for chain_frames in (2, 4):
            with tempfile.TemporaryDirectory() as folder, pretend_gpu() as gpu:
                kernels_module.KERNELS["pretend"] = lambda device, gpu=gpu: kernels_on(gpu)
                kernels_module._found.cache_clear()
                counts, pairs, frames, edges = step(gpu, case, chain_frames, folder)
            launches, nbytes = counts.launches.total(), counts.bytes.total()
            seconds = launches * LAUNCH_S + nbytes / BYTES_PER_S
            epoch_s = seconds * PAIRS / pairs
            print(
                f"{name:5} {pairs:5d} {frames:7d} {edges:9d} {launches:9d} {counts.syncs.total():6d} "
                f"{nbytes / 1e6:7.0f} {counts.peak / 1e6:8.0f} {1e3 * seconds:11.3f} {epoch_s:11.3f}"
                + (f" ({epoch_s / FLOOR_S:.1f} x {FLOOR_S})" if name == "big" else "")
            )


if __name__ == "__main__":
    main()
