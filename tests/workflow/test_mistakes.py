"""What a user's mistake looks like from Snakemake."""

import numpy as np
from helpers import dump_text

RNG = np.random.default_rng(1)


def system(**changes):
    return {
        "trajectory": {"files": ["mine.lammpstrj"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 1.0},
        "targets": {"selection": "element Li"},
        "graphs": {"neighbors": 3, "shards": 1},
        "search": {"n_states": 2, "lag_ps": 2},
        "seeds": [1],
    } | changes


def dump(n_frames, interval=1000):
    return "".join(dump_text(RNG.uniform(0, 6.5, (3, 3)), step=interval * t) for t in range(n_frames))


def test_a_wrong_key_ends_the_run_before_any_job(workflow):
    workflow.configure("mine", system(graphs={"neighbours": 3}))
    status, text = workflow.snakemake()
    assert status != 0
    assert "systems/mine.yaml: graphs.neighbours: unknown key, did you mean 'neighbors'?" in text
    assert "systems/mine.yaml: graphs.neighbors: this key is missing" in text
    assert "Traceback" not in text
    assert not workflow.results.exists()


def test_a_damaged_dump_is_told_in_one_sentence(workflow):
    workflow.configure("mine", system())
    (workflow.folder / "mine.lammpstrj").write_text(dump(20).replace("ITEM: ATOMS", "ITEM: ATMOS", 1))
    status, text = workflow.snakemake()
    assert status != 0
    sentence = "line 9: 'ITEM: ATMOS id type element xu yu zu' stands where a header line"
    assert sentence in text
    assert sentence in (workflow.results / "mine/logs/ingest/0.log").read_text()
    assert "Traceback" not in text
    assert not list(workflow.results.rglob("*.h5"))


def test_a_frame_interval_that_the_dump_contradicts(workflow):
    workflow.configure("mine", system())
    (workflow.folder / "mine.lammpstrj").write_text(dump(20, interval=2000))
    status, text = workflow.snakemake()
    assert status != 0
    assert "step 2000 follows step 0, which are 2 ps; trajectory.frame_interval_ps is 1" in text
    assert not list(workflow.results.rglob("*.h5"))


def test_a_lag_longer_than_the_trajectory(workflow):
    workflow.configure("mine", system(search={"n_states": 2, "lag_ps": 50}))
    (workflow.folder / "mine.lammpstrj").write_text(dump(20))
    status, text = workflow.snakemake()
    assert status != 0
    assert "search.lag_ps: at a lag of 50 " in text
    assert "split has no pair of frames" in text
    assert "Traceback" not in text


def test_a_target_that_is_not_there(workflow):
    workflow.configure("mine", system(targets={"selection": "element Na"}))
    (workflow.folder / "mine.lammpstrj").write_text(dump(20))
    status, text = workflow.snakemake()
    assert status != 0
    assert "targets.selection: 'element Na' selects no atom; the elements here are Li, S" in text
    assert not list((workflow.results / "mine/graphs").glob("*.h5"))


def test_a_deck_that_fails(workflow):
    (workflow.folder / "systems/bad.in").write_text("units metal\nfrobnicate\n")
    trajectory = {"units": "metal", "timestep": 0.001, "frame_interval_ps": 1.0}
    simulate = {"deck": "bad.in", "length_ps": 100}
    workflow.configure("mine", system(trajectory=trajectory, simulate=simulate))
    status, text = workflow.snakemake()
    assert status != 0
    assert "LAMMPS stopped: ERROR: Unknown command: frobnicate" in text
    assert "Traceback" not in text
    assert not list((workflow.results / "mine/simulation").glob("*"))
