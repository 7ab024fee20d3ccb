"""States as a LAMMPS dump."""

import numpy as np
from helpers import states_of
from worlds import store

from gdyn.structure.export import export_dump
from gdyn.trajectory.dump import Dump


def test_states_in_a_dump_are_counted_from_1(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, (4, 2))
    states = states_of(labels, 3)
    states.probabilities = (0.7 * states.probabilities + 0.1).astype(np.float32)
    path = store(tmp_path / "0.h5", rng.random((4, 3, 3)) * 10, ["Li", "Li", "S"])
    export_dump(states, [path], tmp_path / "test.lammpstrj")
    with Dump(tmp_path / "test.lammpstrj", ["state", "p0", "p1", "p2"]) as dump:
        assert list(dump.columns)[-4:] == ["state", "p0", "p1", "p2"]
        for frame, expected in zip(dump, labels, strict=True):
            assert dump.column(frame, "state").tolist() == (expected + 1).tolist()
            p = np.stack([dump.column(frame, f"p{i}") for i in range(3)], axis=1)
            assert p.argmax(1).tolist() == expected.tolist()
