"""Measure a step of training beside a plain implementation, in one run.

    python tests/benchmarks/training.py [--json FILE]

Two cases: ``big``, 5770 atoms with 20 neighbors each, 50 targets, 3 convolutions; ``toy``, 5 atoms with 12 neighbors,
1 target, 2 convolutions; both with 16 features and 36 Gaussians. The plain implementation concatenates the features of
both atoms and the Gaussians for every edge, normalises over the batch, and computes every atom, as the paper's code
does. Each line is a process of its own: the least of several times for forward and backward, the CPU time of all
threads, and the most memory beyond what the process had with its data loaded. ``pairs`` and ``chains`` are steps as the
trainer takes them, from gathering the graphs to the gradient, per lagged pair: of two frames of its own, or of one that
it shares with the next pair. The last table trains two epochs on graphs that stay on disk, for trajectories of two
lengths: the memory does not depend on it, and the loader is not waited for.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
from record import Record
from torch import nn

CASES = {
    "big": {"atoms": 5770, "neighbors": 20, "targets": 50, "convolutions": 3, "side_A": 38.0, "frames": 16, "lag": 2},
    "toy": {"atoms": 5, "neighbors": 12, "targets": 1, "convolutions": 2, "side_A": 6.5, "frames": 4096, "lag": 8},
}
FEWER = {"big": 2, "toy": 1024}  # frames for the plain implementation, which needs the memory
WIDTH, STATES, SPECIES, REPEATS = 16, 4, 5, 5


class PlainConvolution(nn.Module):
    """One convolution with all that it needs for an edge side by side."""

    def __init__(self, n_gaussians):
        super().__init__()
        n = 2 * WIDTH + n_gaussians
        self.message, self.attention = nn.Linear(n, WIDTH), nn.Linear(n, 1)
        self.norm1, self.norm2 = nn.BatchNorm1d(WIDTH), nn.BatchNorm1d(WIDTH)

    def forward(self, features, neighbors, gaussians):
        own = features.unsqueeze(1).expand(-1, neighbors.shape[1], -1)
        z = torch.cat([own, features[neighbors], gaussians], dim=-1)
        attention = torch.softmax(self.attention(z), dim=1)
        message = self.message(z)
        message = torch.relu(self.norm1(message.flatten(0, 1)).view_as(message))
        return torch.relu(features + self.norm2((attention * message).sum(1)))


class PlainNetwork(nn.Module):
    """The network of the paper's code."""

    def __init__(self, convolutions):
        super().__init__()
        self.register_buffer("centres", torch.arange(36) * 0.2)
        self.embedding = nn.Embedding(SPECIES, WIDTH)
        self.convolutions = nn.ModuleList(PlainConvolution(36) for _ in range(convolutions))
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, STATES))

    def forward(self, species, neighbors, distances, targets):
        features = self.embedding(species)
        gaussians = torch.exp(-(((distances.unsqueeze(-1) - self.centres) / 0.2) ** 2))
        for convolution in self.convolutions:
            features = convolution(features, neighbors, gaussians)
        return torch.softmax(self.head(features[targets]), dim=1)


def frames_of(case, number):
    """Random atoms, none nearer to another than 1.5 A where there are many: positions and cell."""
    rng = np.random.default_rng(number)
    n, side = case["atoms"], case["side_A"]
    if n == 5:
        return np.array([[1, 1, 1], [0, 0, 0], [0, 3.25, 3.25], [3.25, 0, 3.25], [3.25, 3.25, 0]]) + 0.3 * rng.random(
            (5, 3)
        ), side * np.eye(3)
    per_side = int(np.ceil(n ** (1 / 3)))
    lattice = np.stack(np.meshgrid(*[np.arange(per_side)] * 3, indexing="ij"), -1).reshape(-1, 3)
    chosen = rng.choice(len(lattice), n, replace=False)
    return (lattice[chosen] + 0.4 * rng.random((n, 3))) * side / per_side, side * np.eye(3)


def plain_step(case, n_frames):
    from gdyn.graphs.neighbors import nearest_neighbors

    n, m = case["atoms"], case["neighbors"]
    found = [nearest_neighbors(*frames_of(case, i % 8), m) for i in range(min(n_frames, 8))]
    neighbors = torch.from_numpy(np.concatenate([found[i % 8][0] + i * n for i in range(n_frames)])).long()
    distances = torch.from_numpy(np.concatenate([found[i % 8][1] for i in range(n_frames)])).float()
    species = torch.arange(n * n_frames) % SPECIES
    targets = torch.from_numpy(np.concatenate([np.arange(case["targets"]) + i * n for i in range(n_frames)]))
    network = PlainNetwork(case["convolutions"])

    def step():
        network(species, neighbors, distances, targets)[:, 0].sum().backward()
        return n_frames

    return step


def write_shard(case, n_frames, folder):
    """A shard of a random trajectory."""
    from gdyn.graphs.neighbors import receptive_field
    from gdyn.store import graphs as graph_store

    n_targets = case["targets"]
    path = Path(folder, "0-0.h5")
    fields = [
        receptive_field(*frames_of(case, i), case["neighbors"], np.arange(n_targets), case["convolutions"])
        for i in range(8)
    ]
    about = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": ""}
    atoms = np.arange(n_targets)[:, None]
    elements = [f"X{i % SPECIES}" for i in range(case["atoms"])]
    with graph_store.write(path, elements, atoms, atoms + 1, np.ones((1, n_targets)), **about) as append:
        for i in range(n_frames):
            append([fields[i % 8]], [i], [float(i)], [0], [0])
    return path


def train_from_disk(n_frames, threads, folder):
    """Two epochs on graphs that stay on disk; print memory and times as JSON."""
    from gdyn.config.models import Network, Splits, Training, Trial
    from gdyn.device import peak_memory_mb
    from gdyn.graphs.dataset import GraphDataset
    from gdyn.training.processes import World
    from gdyn.training.trainer import Trainer

    torch.set_num_threads(threads)
    path = write_shard(CASES["big"], n_frames, folder)
    size = path.stat().st_size / 1e6
    splits = Splits(train=(0, 0.8), validation=(0.8, 0.9), test=(0.9, 1))
    data = [GraphDataset.load([path], splits, name, memory_mb=0) for name in ("train", "validation")]
    trial = Trial(n_states=STATES, lag_ps=2.0, width=WIDTH, convolutions=3, learning_rate=0.005)
    settings = Training(memory_mb=400, epoch_steps=2, batch_samples=4096)
    cpu = torch.device("cpu")
    trainer = Trainer(*data, trial, 1, Network(), settings, cpu, World(cpu))
    trainer.epoch()
    trainer.epoch()
    row = trainer.state.history.rows[-1]
    times = {key: row[key] for key in ("load_s", "forward_s", "backward_s", "seconds")}
    print(json.dumps({"mb": peak_memory_mb(cpu), "size": size, "frames_per_s": row["frames_per_s"], **times}))


def our_step(case, n_frames, kind, folder):
    from gdyn.config.models import Splits
    from gdyn.config.schemes import Stage
    from gdyn.graphs.dataset import GraphDataset
    from gdyn.networks.gdynet import GDyNet
    from gdyn.training.batches import in_chains
    from gdyn.training.processes import World
    from gdyn.training.sums import Sums
    from gdyn.training.vamp import objective

    splits = Splits(train=(0, 0.9999), validation=(0.9999, 0.99995), test=(0.99995, 1))
    data = GraphDataset.load([write_shard(case, 2 * case["frames"], folder)], splits, "train")
    hops = case["convolutions"]
    network = GDyNet(SPECIES, STATES, WIDTH, hops, 7.0, 0.2)
    if kind == "ours":
        batch = data.batch(np.arange(n_frames), hops)

        def step():
            network(batch)[:, 0].sum().backward()
            return n_frames

        return step
    world, stage = World(torch.device("cpu")), Stage("kinetics")
    sums, centre = Sums(STATES, 0, torch.device("cpu")), torch.zeros(2 * STATES - 2, dtype=torch.float64)
    lag = case["lag"]
    if kind == "ours, pairs":  # no frame serves two
        first = np.concatenate([np.arange(i, i + lag) for i in range(0, n_frames, 2 * lag)])[: n_frames // 2]
    else:
        first = in_chains(np.arange(n_frames - lag), lag)

    def step():
        batch = data.pairs(first, lag, hops)
        probabilities = network(batch.graph)
        sums.begin(centre)
        z = sums.add(probabilities, batch.ends)
        _, slope = objective(stage, sums.read(world)[0], 0.0)
        probabilities.backward(sums.gradient(sums.send(slope), z, probabilities, batch.ends))
        return len(first)

    return step


def measure(name, kind, threads, folder):
    """Run one case in this process and print its numbers as JSON."""
    torch.set_num_threads(threads)
    case = CASES[name]
    n_frames = FEWER[name] if kind == "plain" else case["frames"]
    step = plain_step(case, n_frames) if kind == "plain" else our_step(case, n_frames, kind, folder)

    def rss():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    before, times = rss(), []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        n = step()
        times.append(((time.perf_counter() - wall) / n, (time.process_time() - cpu) / n))
    wall, cpu = np.min(times, axis=0) * 1e3
    print(json.dumps({"wall": wall, "cpu": cpu, "mb": (rss() - before) / n_frames}))


def main():
    """Run every case in a process of its own and print the table."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--one", nargs=3, metavar=("CASE", "KIND", "THREADS"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    record = Record()
    with tempfile.TemporaryDirectory() as folder:
        if given.one:
            case, kind, threads = given.one
            if case == "disk":
                train_from_disk(int(kind), int(threads), folder)
            else:
                measure(case, kind, int(threads), folder)
            return

        def run(*arguments):
            command = [sys.executable, __file__, "--one", *arguments]
            return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

        print("case  threads  what            wall ms/frame   CPU ms/frame   MB/frame   plain/this (CPU)")
        for case in CASES:
            for threads in ("1", "2"):
                plain = None
                for kind in ("plain", "ours", "ours, pairs", "ours, chains"):
                    found = run(case, kind, threads)
                    plain = plain or found["cpu"]
                    ratio = plain * (2 if "," in kind else 1) / found["cpu"]
                    per = "/pair" if "," in kind else ""
                    print(
                        f"{case:5} {threads:>7}  {kind + per:20} {found['wall']:8.4f} {found['cpu']:14.4f} "
                        f"{found['mb']:10.3f} {ratio:14.1f}",
                        flush=True,
                    )
                    label = f"{case}, {threads} threads, {kind}"
                    record.add(f"{label}, a {'pair' if per else 'frame'}", found["cpu"], "CPU ms")
                    record.add(f"{label}, memory a frame", found["mb"], "MB")
                    if kind != "plain":
                        record.ratio(f"{label}, plain to this", ratio)
        print("\nframes  graphs, MB   peak memory, MB   frames/s   an epoch, s: all   load  forward  backward")
        for n_frames in ("200", "2000"):
            found = run("disk", n_frames, "1")
            print(
                f"{n_frames:>6} {found['size']:11.0f} {found['mb']:17.0f} {found['frames_per_s']:10.0f} "
                f"{found['seconds']:18.2f} {found['load_s']:6.2f} {found['forward_s']:8.2f} {found['backward_s']:9.2f}",
                flush=True,
            )
            record.add(f"from disk, {n_frames} frames, peak memory", found["mb"], "MB")
            record.add(f"from disk, {n_frames} frames", found["frames_per_s"], "frames/s")
        if given.json:
            record.write(given.json)


if __name__ == "__main__":
    main()
