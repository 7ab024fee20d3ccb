"""Measure reading, neighbors and shards on a synthetic dump, beside peers in the same run.

``python tests/benchmarks/reading.py [--frames 100 10000] [--folder DIR]``; times are CPU times of one process,
medians of repetitions that alternate between gdyn and its peer.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from statistics import median

import h5py
import MDAnalysis
import numpy as np
import vesin
from MDAnalysis.coordinates.LAMMPS import DumpReader as StockReader
from record import Record

from gdyn.config.models import Graphs, Targets, Trajectory
from gdyn.graphs.build import build_shard
from gdyn.graphs.neighbors import nearest_neighbors, receptive_field
from gdyn.store import GraphShard, TrajectoryStore
from gdyn.trajectory.columns import choose_coordinates as choose
from gdyn.trajectory.dump import Dump, positions
from gdyn.trajectory.ingest import ingest
from gdyn.trajectory.mdanalysis import LAMMPSDumpReader

N_ATOMS, N_TARGETS, NEIGHBORS = 5770, 50, 20
LENGTH_A = 40.0
COLUMNS = "id mol type element q x y z ix iy iz"
EDGES = ("neighbors", "distance_mA")
DISTINCT = 20  # frames that are made; a long dump repeats them
SETTINGS = Trajectory(units="real", timestep=2.0, frame_interval_ps=1.0)
GRAPHS = {"hops": 2, "graphs": Graphs(neighbors=NEIGHBORS, shards=1), "targets": Targets(selection="element Li")}


def make_dump(path, n_frames):
    """Write a dump of unsorted atoms, wrapped, with image flags: about 280 kB a frame."""
    rng = np.random.default_rng(0)
    unwrapped = rng.uniform(0, LENGTH_A, (N_ATOMS, 3))
    bodies = []
    for _ in range(DISTINCT):
        unwrapped += rng.normal(0, 0.05, unwrapped.shape)
        image = np.floor(unwrapped / LENGTH_A).astype(int)
        x = unwrapped - image * LENGTH_A
        rows = [
            f"{i + 1} {i // 12 + 1} {1 if i < N_TARGETS else 2 + i % 4} {'Li' if i < N_TARGETS else 'COHN'[i % 4]} "
            f"{0.1:.4f} {x[i, 0]:.4f} {x[i, 1]:.4f} {x[i, 2]:.4f} {image[i, 0]} {image[i, 1]} {image[i, 2]} \n"
            for i in rng.permutation(N_ATOMS)
        ]
        bodies.append("".join(rows).encode())
    bounds = f"0.0 {LENGTH_A}\n" * 3
    with open(path, "wb") as file:
        for frame in range(n_frames):
            # Back and forth through the frames, so that no atom jumps.
            place = frame % (2 * DISTINCT)
            body = bodies[min(place, 2 * DISTINCT - 1 - place)]
            head = (
                f"ITEM: TIMESTEP\n{500 * frame}\nITEM: NUMBER OF ATOMS\n{N_ATOMS}\nITEM: BOX BOUNDS pp pp pp\n{bounds}"
            )
            file.write(f"{head}ITEM: ATOMS {COLUMNS}\n".encode() + body)


def cpu_ms(*tasks, repeat=5):
    """Median CPU time of each task, ms; a task returns how many units it has done."""
    for task in tasks:
        task()
    times = [[] for _ in tasks]
    for _ in range(repeat):
        for task, found in zip(tasks, times, strict=True):
            begin = time.process_time()
            count = task()
            found.append((time.process_time() - begin) / count * 1e3)
    return [median(found) for found in times]


def readers(path, unwrap, n=30):
    """ms a frame of the plain reader, of the drop-in reader, and of MDAnalysis."""
    names = ("x", "y", "z", *(("ix", "iy", "iz") if unwrap else ()))

    def ours():
        with Dump(path, names) as dump:
            coordinates, _ = choose(dump.columns)
            for count, frame in enumerate(dump, start=1):
                positions(dump, frame, coordinates, unwrap)
                if count == n:
                    return count

    def of(reader):
        opened = reader(str(path), unwrap_images=unwrap, dt=1.0)
        len(opened)  # the index of MDAnalysis is not what is measured

        def task():
            for count, _ in enumerate(opened, start=1):
                if count == n:
                    return count

        return task

    return cpu_ms(ours, of(LAMMPSDumpReader), of(StockReader), repeat=3)


def neighbor_searches():
    rng = np.random.default_rng(1)
    cell, x = LENGTH_A * np.eye(3), rng.uniform(0, LENGTH_A, (N_ATOMS, 3))
    reach = nearest_neighbors(x, cell, NEIGHBORS)[1].max() + 1e-9
    targets = rng.choice(N_ATOMS, N_TARGETS, replace=False)
    toy = 6.5 * np.array([[0.5, 0.5, 0.5], [0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    search = vesin.NeighborList(cutoff=reach, full_list=True)

    def ours():
        return len([nearest_neighbors(x, cell, NEIGHBORS) for _ in range(5)])

    def peer():
        i, j, d = search.compute(points=x, box=cell, periodic=True, quantities="ijd")
        order = np.lexsort((d, i))
        rows = order[np.searchsorted(i[order], np.arange(N_ATOMS))[:, None] + np.arange(NEIGHBORS)]
        assert j[rows].shape == (N_ATOMS, NEIGHBORS)
        return 1

    def field(hops):
        return lambda: len([receptive_field(x, cell, NEIGHBORS, targets, hops) for _ in range(5)])

    def small():
        return len([nearest_neighbors(toy, 6.5 * np.eye(3), 12) for _ in range(500)])

    return cpu_ms(ours, peer, field(1), field(2), field(3), small)


def shard(folder):
    """ms a frame of building, ms of reading one frame, kB a frame."""
    path = folder / "shard.h5"
    build, read = [], []
    for _ in range(3):
        begin = time.process_time()
        build_shard([folder / "store.h5"], path, 0, 0, **GRAPHS)
        build.append(time.process_time() - begin)
    with TrajectoryStore.open(folder / "store.h5") as store:
        n = len(store)
    ends = np.concatenate([np.zeros((1, 3), int), np.cumsum(GraphShard.read(path).counts, 0)])
    with h5py.File(path) as file:
        for frame in np.random.default_rng(0).integers(0, n, 60):
            begin = time.process_time()
            (_, rows, nodes), (_, rows_end, nodes_end) = ends[frame : frame + 2]
            for name, part in (("nodes", slice(nodes, nodes_end)), *((k, slice(rows, rows_end)) for k in EDGES)):
                file[name][part]
            read.append(time.process_time() - begin)
    return median(build) / n * 1e3, median(read) * 1e3, path.stat().st_size / n / 1e3


def measure_alone(task, folder, n_frames):
    """CPU ms a frame and peak memory in MB of a task in a process of its own."""
    command = [sys.executable, __file__, "--folder", str(folder), "--alone", task]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(said[-2]) / n_frames * 1e3, float(said[-1])


def alone(task, folder):
    begin = time.process_time()
    if task == "ingest":
        ingest([folder / "a.lammpstrj"], folder / "store.h5", SETTINGS)
    else:
        build_shard([folder / "store.h5"], folder / "shard.h5", 0, 0, **GRAPHS)
    # Not ru_maxrss, which begins with the size of the process that started this one.
    peak = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    print(time.process_time() - begin, int(peak[1]) / 1024)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 10000])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.alone:
        return alone(options.alone, options.folder)
    record = Record()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        dump = folder / "a.lammpstrj"
        print(
            f"Python {platform.python_version()}, MDAnalysis {MDAnalysis.__version__}, {os.cpu_count()} cores, "
            f"{N_ATOMS} atoms, {NEIGHBORS} neighbors, {N_TARGETS} targets; CPU times of one process"
        )
        make_dump(dump, 100)
        print(f"\nreading a frame of {dump.stat().st_size / 1e5:.0f} kB, ms      gdyn  drop-in  MDAnalysis   ratios")
        for what, unwrap in (("as it is", False), ("unwrapped", True)):
            ours, drop_in, stock = readers(dump, unwrap)
            ratios = f"{stock / ours:.1f}, {stock / drop_in:.1f}"
            print(f"  {what:<35} {ours:8.2f} {drop_in:8.2f} {stock:11.1f}   {ratios}")
            record.add(f"reading a frame {what}", ours, "ms")
            record.ratio(f"reading a frame {what}, MDAnalysis to gdyn", stock / ours)
            record.ratio(f"reading a frame {what}, MDAnalysis to the drop-in", stock / drop_in)
        with Dump(dump) as opened:
            begin = time.process_time()
            n = opened.n_frames
            index = (time.process_time() - begin) / n * 1e3
        print(f"  index, ms a frame {index:27.4f}")
        record.add("index of a frame", index, "ms")
        ours, peer, one, two, three, small = neighbor_searches()
        ratio = f"ratio {peer / ours:.1f}"
        print(f"\nneighbors, ms a frame                  gdyn {ours:.1f}, vesin and sorting {peer:.1f}: {ratio}")
        print(f"  receptive field of 1, 2, 3 hops      {one:.2f}, {two:.2f}, {three:.2f}")
        print(f"  the toy cell of 5 atoms              {1e3 * small:.0f} microseconds")
        record.add("neighbors of a frame", ours, "ms")
        record.ratio("neighbors of a frame, vesin and sorting to gdyn", peer / ours)
        for hops, field in enumerate((one, two, three), start=1):
            record.add(f"receptive field of {hops} hops", field, "ms")
        record.add("neighbors of the toy", 1e3 * small, "microseconds")
        ingest([dump], folder / "store.h5", SETTINGS)
        build, read, size = shard(folder)
        print(
            f"\nshards, a frame                        {build:.2f} ms and {size:.0f} kB, {read:.2f} ms to read any one"
        )
        record.add("building the shard of a frame", build, "ms")
        record.add("reading a frame of a shard", read, "ms")
        record.add("shard of a frame", size, "kB")
        print("\nwhole jobs                             frames   ingest: ms a frame, MB   graphs: ms a frame, MB")
        for n_frames in options.frames:
            make_dump(dump, n_frames)
            jobs = {task: measure_alone(task, folder, n_frames) for task in ("ingest", "graphs")}
            (read_ms, read_mb), (build_ms, build_mb) = jobs.values()
            print(f"{n_frames:45} {read_ms:18.2f} {read_mb:6.0f} {build_ms:18.2f} {build_mb:6.0f}")
            for task, (ms, mb) in jobs.items():
                record.add(f"{task} of {n_frames} frames, a frame", ms, "ms")
                record.add(f"{task} of {n_frames} frames, peak memory", mb, "MB")
    if options.json:
        record.write(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
