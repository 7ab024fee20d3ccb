"""Fixtures of all tests."""

import os

# Before numpy and torch are read. Matrices are small, and tests side by side: threads would wait for one another.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import shapes  # noqa: F401 - before anything of gdyn
from helpers import markov_chain

from gdyn.store import graphs as graph_store

SHARD = {"trajectory": 0, "frame_interval_ps": 1.0, "source_checksum": "sha256:0"}
ROOT = Path(__file__).resolve().parents[1]
OF_TORCH = re.compile(r"^(import torch|from torch|from trainings|from gdyn\.(training|networks))\b", re.MULTILINE)
WITHOUT_TORCH = find_spec("torch") is None


def pytest_report_header():
    return "without torch: files of tests that need it are left out" if WITHOUT_TORCH else None


def pytest_ignore_collect(collection_path):
    """Where torch is not installed (``make test-newest``), all that works without it is tested."""
    of_tests = WITHOUT_TORCH and collection_path.suffix == ".py"
    return True if of_tests and OF_TORCH.search(collection_path.read_text(encoding="utf-8")) else None


@pytest.fixture(scope="session")
def root():
    """The folder of the project."""
    return ROOT


@pytest.fixture
def two_state_shards(tmp_path):
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
        paths.append(tmp_path / f"0-{part}.h5")
        with graph_store.write(paths[-1], ["Li", "S", "S"], [[0]], [[1]], [[True]], **SHARD) as append:
            fields = [(np.arange(3), np.array([1, 3, 3]), neighbors, found) for found in distances]
            append(fields, frames, frames * 1.0, np.zeros(n), np.zeros(n))
    return labels, paths
