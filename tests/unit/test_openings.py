"""A dump is opened once for each use that is made of it, whoever asks for its bytes."""

import ctypes
import gzip
import os
import struct
import sys
from contextlib import contextmanager

import MDAnalysis
import numpy as np
import pytest
from helpers import dump_text

from gdyn.config.models import Trajectory
from gdyn.simulation.tape import frames_from
from gdyn.tools.draft import draft
from gdyn.tools.inspect import inspect
from gdyn.trajectory.ingest import ingest
from gdyn.trajectory.mdanalysis import LAMMPSDumpReader

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts openings by inotify")
IN_ACCESS, IN_CLOSE, IN_OPEN = 0x1, 0x18, 0x20  # of linux/inotify.h
EVENT = "iIII"
ATOMS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])
SETTINGS = Trajectory(units="metal", timestep=0.001, frame_interval_ps=0.1)
N_FRAMES = 60


@contextmanager
def openings(path):
    """Yield a list that has, after the block, an entry for each time that anybody has opened a file."""
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    # Reading and closing too, since of equal events in a row the kernel keeps one.
    assert libc.inotify_add_watch(watch, os.fsencode(path), IN_OPEN | IN_ACCESS | IN_CLOSE) >= 0
    times = []
    try:
        yield times
        times += [event for event in struct.iter_unpack(EVENT, os.read(watch, 2**20)) if event[1] & IN_OPEN]
    finally:
        os.close(watch)


@pytest.fixture(params=["plain", "gzip"])
def dump(tmp_path, request):
    path = tmp_path / f"a.lammpstrj{'.gz' if request.param == 'gzip' else ''}"
    pack = gzip.compress if request.param == "gzip" else bytes
    path.write_bytes(pack("".join(dump_text(ATOMS, step=100 * t) for t in range(N_FRAMES)).encode()))
    return path


def test_an_ingestion_opens_each_dump_once(dump, tmp_path):
    part = tmp_path / "b.lammpstrj"
    part.write_text("".join(dump_text(ATOMS, step=100 * t) for t in range(N_FRAMES, 2 * N_FRAMES)))
    with openings(dump) as first, openings(part) as second:
        ingest([dump, part], tmp_path / "a.h5", SETTINGS)
    assert (len(first), len(second)) == (1, 1)


def test_an_inspection_opens_a_dump_once(dump):
    with openings(dump) as times:
        assert f"  frames     {N_FRAMES}" in inspect(dump)
    assert len(times) == 1


def test_a_draft_opens_a_dump_once(dump):
    with openings(dump) as times:
        draft("some", [dump])
    assert len(times) == 1


def test_the_tape_opens_a_dump_once(tmp_path):
    path = tmp_path / "a.lammpstrj"
    path.write_text("".join(dump_text(ATOMS, step=100 * t) for t in range(N_FRAMES)))
    with openings(path) as times:
        assert frames_from(path, 0, 0, 100).reaches(100 * (N_FRAMES - 1))
    assert len(times) == 1


def test_the_reader_for_mdanalysis_opens_a_dump_once_however_it_is_read(dump):
    """A compressed one too: it is decompressed again from its beginning, through the file that is open."""
    with openings(dump) as times, LAMMPSDumpReader(str(dump), dt=0.1) as reader:
        assert len(reader) == N_FRAMES
        assert [frame.data["step"] for frame in reader] == [100 * t for t in range(N_FRAMES)]
        assert [reader[number].data["step"] for number in (50, 7, 8)] == [5000, 700, 800]
    assert len(times) == 1


def test_a_universe_opens_a_dump_once_for_its_topology_and_once_for_its_frames(dump):
    with openings(dump) as times:
        universe = MDAnalysis.Universe(
            str(dump), format="LAMMPSDUMP", topology_format="LAMMPSDUMP", to_guess=(), dt=0.1
        )
        assert len(universe.trajectory) == N_FRAMES
        universe.trajectory.close()
    assert len(times) == 2
