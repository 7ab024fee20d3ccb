"""Trajectories of different atoms, in several files, with a changing selection, through the whole workflow."""

import gzip

import numpy as np
from helpers import dump_text, markov_chain

from gdyn.files import read_json
from gdyn.store import States, TrajectoryStore

CELL = (20.0, 20.0, 20.0)


def frames(n_frames, n_pairs, seed):
    """Pairs of a Li and an S whose distance tells the state of the Li, in a box that is wrapped."""
    rng = np.random.default_rng(seed)
    labels = markov_chain([[0.97, 0.03], [0.07, 0.93]], n_frames, rng, n_pairs)
    li = np.array([[4.0 + 8.0 * (i % 2), 4.0 + 8.0 * (i // 2), 19.5] for i in range(n_pairs)])
    for t in range(n_frames):
        s = li + np.stack([np.zeros(n_pairs), np.zeros(n_pairs), np.where(labels[t] == 0, 2.0, 3.5)], axis=1)
        positions = np.concatenate([li, s]) + 0.05 * rng.standard_normal((2 * n_pairs, 3))
        text = dump_text(positions % 20.0, CELL, step=1000 * t, columns="id type element x y z")
        # dump_text makes the first atom Li; here the first half are.
        lines = text.splitlines()
        lines[9:] = [
            line.replace("2 S", "1 Li", 1) if i < n_pairs else line.replace("1 Li", "2 S", 1)
            for i, line in enumerate(lines[9:])
        ]
        yield "\n".join(lines) + "\n"


def test_trajectories_of_every_shape_end_in_one_report(workflow):
    first, second = list(frames(3000, 1, 1)), list(frames(2000, 3, 2))
    # The first run was continued from a restart file and repeats some frames; its last frame is still being written.
    (workflow.folder / "one.9.lammpstrj").write_text("".join(first[:1700]))
    (workflow.folder / "one.10.lammpstrj.gz").write_bytes(gzip.compress("".join(first[1650:]).encode()[:-30]))
    (workflow.folder / "two.lammpstrj").write_text("".join(second))
    workflow.configure(
        "shapes",
        {
            "trajectory": {
                "files": ["one.*.lammpstrj*", "two.lammpstrj"],
                "units": "metal",
                "timestep": 0.001,
                "frame_interval_ps": 1.0,
            },
            "targets": {"selection": "element Li and prop y < 10", "dynamic_ps": [20]},
            "graphs": {"neighbors": 1},
            "search": {"n_states": 2, "lag_ps": 5, "width": 8, "convolutions": 1, "learning_rate": 0.01},
            "seeds": [1],
            "training": {"max_epochs": 6, "epoch_steps": 15},
        },
    )
    status, said = workflow.snakemake()
    assert status == 0, said
    assert "that last frame is left out" in said
    assert "repeated frames, dropped: 50" in said
    results = workflow.results / "shapes"
    with TrajectoryStore.open(results / "trajectory/0.h5") as store:
        assert store.step.tolist() == list(range(0, 2999000, 1000))
        assert set(store.segment.tolist()) == {0}
        assert store.unwrapped == "rebuilt"
    states = States.read(results / "states/test.h5")
    # One Li in the first trajectory; in the second, two of three were chosen.
    assert states.target_ids.tolist() == [[1], [1], [2]]
    assert np.array_equal(states.present.any(0), [True] * 3)
    assert not states.present[states.trajectory == 0, 1:].any()
    assert not states.present[states.trajectory == 1, 0].any()
    train = States.read(results / "states/train.h5")
    begin = train.time_ps < 20
    assert not train.present[begin].any()
    assert train.present[~begin].any(1).all()
    summary = read_json(results / "summary.json")
    np.testing.assert_allclose(summary["populations"], [0.7, 0.3], atol=0.06)
    assert summary["timescales_ps"][0]["low"] < -1 / np.log(0.9) < summary["timescales_ps"][0]["high"]
    for note in ("repeated frames, dropped: 50", "incomplete frames, left out: 1"):
        assert sum(note in sentence for sentence in summary["warnings"]) == 1
    assert [t["segments"] for t in summary["provenance"]["trajectories"]] == [1, 1]
    assert (results / "report.pdf").stat().st_size > 10_000
