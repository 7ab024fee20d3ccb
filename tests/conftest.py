"""Fixtures of all tests."""

import os

# Before numpy and torch are read. Matrices are small, and tests side by side: threads would wait for one another.
for library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import shapes  # noqa: F401 - before anything of gdyn
from helpers import write_two_states

ROOT = Path(__file__).resolve().parents[1]
OF_TORCH = re.compile(
    r"^(import torch|from torch|from trainings|from gdyn\.(training|networks|device|kernels))\b", re.MULTILINE
)
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
    """Shards of a made-up system in which a target hops between two states: those, and their paths."""
    return write_two_states(tmp_path)
