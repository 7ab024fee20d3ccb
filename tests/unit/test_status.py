"""What ``gdyn status`` tells from the files of jobs that it never touches."""

import json

import pytest
import yaml

from gdyn.errors import ConfigError
from gdyn.simulation.restarts import MAGIC
from gdyn.tools.cli import main
from gdyn.tools.status import status

SYSTEM = {
    "trajectory": {"files": ["a.lammpstrj"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 0.5},
    "targets": {"selection": "element Li"},
    "graphs": {"neighbors": 12},
    "search": {"n_states": [2, 3], "lag_ps": 10},
    "seeds": [1, 2],
}
PROGRESS = {
    "epoch": 12, "stage": "states", "validation_vamp2": 0.6627, "noise_floor": 0.0024, "purity": 0.97, "epoch_s": 2.0,
    "left_s": 90.0, "time": 1000.0,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config/systems").mkdir(parents=True)
    (tmp_path / "config/systems/mine.yaml").write_text(yaml.safe_dump(SYSTEM))
    (tmp_path / "config/config.yaml").write_text("systems: mine\n")
    return tmp_path


def training(folder, n_states, seed, **files):
    path = folder / f"results/mine/trials/n_states~{n_states}_lag_ps~10_width~16_convolutions~2_learning_rate~0.005"
    path = path / f"seed~{seed}"
    path.mkdir(parents=True)
    for name, content in files.items():
        (path / f"{name}.json").write_text(json.dumps(content))


def test_before_anything_has_run(folder):
    assert status() == ["mine: 0 of 1 trajectories read, 0 of 2 shards of graphs; trainings: 0 of 4 done, 0 begun"]


def test_how_far_simulations_are(root, folder):
    """By whole parts, and by whole restart files of the part that is at work."""
    (folder / "config/systems/in.argon").write_text((root / "tests/decks/in.argon").read_text())
    trajectory = {name: value for name, value in SYSTEM["trajectory"].items() if name != "files"}
    simulate = {"deck": "in.argon", "runs": 2, "length_ps": 300, "part_ps": 100}
    system = SYSTEM | {"trajectory": trajectory, "simulate": simulate}
    (folder / "config/systems/mine.yaml").write_text(yaml.safe_dump(system))
    assert status()[0].startswith(
        "mine: 0 of 2 simulations (to 0, 0 of 300 ps), 0 of 2 trajectories read, 0 of 12 shards"
    )
    place = folder / "results/mine/simulation"
    place.mkdir(parents=True)
    for run, part in ((0, 0), (0, 1), (0, 2), (1, 0)):
        # The last attempt went on from the middle of the part.
        record = {"went_on_from_step": 100000 * part + 50000, "end_step": 100000 * (part + 1), "wall_s": 432.0}
        (place / f"{run}-{part}.json").write_text(json.dumps(record))
    (place / "1.restart.0123abcd.120000").write_bytes(MAGIC * 3)
    (place / "1.restart.0123abcd.140000").write_bytes(MAGIC + bytes(40))
    (place / "1.restart.0123abcd.140000.bak").write_bytes(MAGIC * 3)
    # Of a run of other settings, which has been begun anew.
    (place / "1-2.json").write_text(json.dumps(record))
    assert status()[0].startswith(
        "mine: 1 of 2 simulations (to 300, 120 of 300 ps, 10 ns a day each), 0 of 2 trajectories read"
    )


def test_trainings_in_all_conditions(folder):
    training(folder, 2, 1, numbers={"validation_vamp2": 0.5})
    training(folder, 3, 1, numbers={"validation_vamp2": 0.6})
    training(folder, 3, 2, numbers={"validation_vamp2": 0.7})
    training(folder, 2, 2, progress=PROGRESS)
    lines = status(now=1005.0)
    assert lines[0].endswith("trainings: 3 of 4 done, 1 begun")
    assert [line.split(" so far")[0] for line in lines[1:3]] == [
        "  best of 2 states at 10 ps",
        "  best of 3 states at 10 ps",
    ]
    assert lines[1].endswith("seed 1: validation VAMP-2 0.5000")
    assert lines[2].endswith("seed 2: validation VAMP-2 0.7000")
    assert "seed 2: epoch 12 (states), validation VAMP-2 0.6627, noise floor 0.0024, purity 0.970" in lines[3]
    assert lines[3].endswith("at most 90 s to go, reported 5 s ago")


def test_a_training_that_is_silent_for_long(folder):
    training(folder, 2, 2, progress=PROGRESS)
    assert status(now=1000.0 + 2 * 3600)[-1].endswith("reported 2 h ago: interrupted?")


def test_the_end(folder):
    (folder / "results/mine").mkdir(parents=True)
    for name in ("report.pdf", "summary.json"):
        (folder / "results/mine" / name).touch()
    assert status()[0].startswith("mine: report.pdf is there")


def test_the_command(folder, capsys):
    assert main(["status", "mine"]) == 0
    assert capsys.readouterr().out.startswith("mine: 0 of 1 trajectories read")
    assert main(["status", "other"]) == 1
    assert "no such system file" in capsys.readouterr().err


def test_no_configuration_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="--configfile"):
        status()


def test_trainings_whose_lag_time_is_found(folder):
    (folder / "config/systems/mine.yaml").write_text(yaml.safe_dump(SYSTEM | {"search": {}, "seeds": [1]}))
    name = "n_states~{}_lag_ps~auto_width~16_convolutions~2_learning_rate~0.005"
    for trial, numbers in (
        ("lag", {"validation_vamp2": 0.9, "trial": {"lag_ps": 2.5}}),
        (name.format(2), {"validation_vamp2": 0.5, "trial": {"lag_ps": 7}}),
        (name.format(3), {"skipped": "2 states have no process"}),
    ):
        path = folder / f"results/mine/trials/{trial}/seed~1"
        path.mkdir(parents=True)
        (path / "numbers.json").write_text(json.dumps(numbers))
    lines = status()
    assert lines[0].endswith("trainings: 2 of 8 done, 1 not needed, 0 begun")
    assert lines[1].startswith("  best of 2 states at 7 ps so far")
    assert len(lines) == 2
