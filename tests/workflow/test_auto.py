"""A lag time and a number of states that are found, on the trajectories of the shortened toy."""

import json

import pytest

WANTED = ("results/auto/summary.json", "results/auto/figures/lag.pdf")
TRIAL = "n_states~{}_lag_ps~auto_width~16_convolutions~2_learning_rate~0.005"


@pytest.fixture(scope="module")
def auto(toy):
    """The toy workflow after a second system, whose search is left out."""
    files = sorted(str(path) for path in (toy.results / "toy/simulation").glob("*.lammpstrj"))
    system = {key: toy.system[key] for key in ("targets", "graphs", "training")} | {
        "trajectory": toy.system["trajectory"] | {"files": files},
        "seeds": [1],
        "kinetics": {"chapman_kolmogorov_steps": 3},
    }
    toy.configure("auto", system)
    status, said = toy.snakemake(*WANTED)
    assert status == 0, said
    yield system, said
    toy.configure("toy", toy.system)


def test_both_are_found(toy, auto):
    summary = json.loads((toy.results / "auto/summary.json").read_text())
    assert summary["n_states"] == 2
    lag = json.loads((toy.results / "auto/analysis/lag.json").read_text())
    assert summary["lag_ps"] == lag["lag_ps"] < 20.0
    assert summary["lag"]["reason"].startswith(f"a lag time of {lag['lag_ps']:g} ps was taken")
    assert (toy.results / "auto/figures/lag.pdf").exists()
    choice = json.loads((toy.results / "auto/selected/choice.json").read_text())
    assert choice["trial"] == TRIAL.format(2)
    assert not choice["more_may_be"]
    assert [one["n_states"] for one in choice["candidates"]] == [2, 3]


def test_what_was_not_needed_says_why_and_is_empty(toy, auto):
    _, said = auto
    for number in range(4, 9):
        folder = toy.results / "auto/trials" / TRIAL.format(number) / "seed~1"
        assert "add no process" in json.loads((folder / "numbers.json").read_text())["skipped"]
        assert (folder / "model.pt").stat().st_size == 0
    assert "not trained, as 3 states add no process" in said
    assert json.loads((toy.results / "auto/trials/added/2.json").read_text())["added"]


def test_a_second_run_does_nothing_and_a_verdict_looked_at_anew_trains_nothing_again(toy, auto):
    system, _ = auto
    toy.configure("auto", system)
    assert toy.planned(*WANTED) == {}
    toy.configure("auto", system | {"seeds": [1, 2]})
    planned = toy.planned(*WANTED)
    assert planned["added"] == 6
    # Seed 2 of every number; seed 1 only where it was not needed, and may be now.
    assert planned["train"] == 7 + 5
    assert "lag" not in planned
