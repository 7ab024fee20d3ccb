"""Data that tests make: Markov chains with known kinetics, and small dumps."""

import numpy as np

from gdyn.config import Kinetics
from gdyn.files import read_json
from gdyn.store import States
from gdyn.store import graphs as graph_store

SHARD = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": "sha256:0"}


def markov_chain(transition, n_frames, rng, n_targets=1):
    """Simulate independent Markov chains: (frames, targets) int, begun in the stationary distribution."""
    transition = np.asarray(transition)
    values, vectors = np.linalg.eig(transition.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    stationary = stationary / stationary.sum()
    edges = np.cumsum(transition, axis=1)
    chain = np.empty((n_frames, n_targets), int)
    chain[0] = rng.choice(len(transition), n_targets, p=stationary)
    uniform = rng.random((n_frames, n_targets))
    for t in range(1, n_frames):
        chain[t] = (uniform[t, :, None] > edges[chain[t - 1]]).sum(1)
    return chain


def write_two_states(folder):
    """Shards of a made-up system whose target hops between two distances from its neighbor: states and paths.

    The surroundings of the target tell its state clearly, so training has to find it. 6 000 frames of one
    target among three atoms, hopping with a timescale of about 10 frames.
    """
    rng = np.random.default_rng(7)
    labels = markov_chain([[0.97, 0.03], [0.07, 0.93]], 6000, rng)[:, 0]
    paths = []
    for part in range(2):
        frames = np.arange(part * 3000, (part + 1) * 3000)
        n = len(frames)
        near = np.where(labels[frames] == 0, 2.0, 3.5) + 0.1 * rng.standard_normal(n)
        neighbors = np.array([[1, 2], [0, 2], [0, 1]])
        distances = 4.0 + 0.1 * rng.standard_normal((n, 3, 2))
        distances[:, 0, 0] = distances[:, 1, 0] = near
        paths.append(folder / f"0-{part}.h5")
        with graph_store.write(paths[-1], ["Li", "S", "S"], [[0]], [[1]], [[True]], **SHARD) as append:
            fields = [(np.arange(3), np.array([1, 3, 3]), neighbors, found) for found in distances]
            append(fields, frames, frames * 1.0, np.zeros(n), np.zeros(n))
    return labels, paths


def states_of(labels, n_states, lag_ps=1.0, frame_interval_ps=1.0, split="test"):
    """A states file's content in which every target is in one state for certain."""
    n_frames, n_targets = labels.shape
    return States(
        probabilities=np.eye(n_states, dtype=np.float32)[labels],
        time_ps=np.arange(n_frames) * frame_interval_ps,
        trajectory=np.zeros(n_frames, int),
        segment=np.zeros(n_frames, int),
        target_ids=np.arange(1, n_targets + 1)[:, None],
        split=split,
        lag_ps=lag_ps,
        frame_interval_ps=frame_interval_ps,
    )


def dump_text(positions, cell=(6.5, 6.5, 6.5), step=0, columns="id type element xu yu zu", boundary="pp pp pp"):
    """One frame of a LAMMPS dump: atom 1 is Li, the others S."""
    rows = []
    for i, position in enumerate(positions, start=1):
        first = {"id": i, "type": 1 if i == 1 else 2, "element": "Li" if i == 1 else "S", "mol": (i + 1) // 2, "q": 0.5}
        words = iter(f"{x:.4f}" for x in position)
        rows.append(" ".join(str(first[c]) if c in first else next(words) for c in columns.split()))
    bounds = "\n".join(f"0.0 {length}" for length in cell)
    return (
        f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(positions)}\nITEM: BOX BOUNDS {boundary}\n{bounds}\n"
        f"ITEM: ATOMS {columns}\n" + "\n".join(rows) + "\n"
    )


def plain(result, folder):
    """A result as its JSON has it."""
    result.write({"result": folder / "result.json"})
    return read_json(folder / "result.json")


def koopman_json(paths, folder):
    """The Koopman model of states files, by the names of their splits, as its JSON has it."""
    from gdyn.kinetics.model import koopman_model  # which takes long to import

    states = {split: States.read(path) for split, path in paths.items()}
    return plain(koopman_model(**states, kinetics=Kinetics()), folder)
