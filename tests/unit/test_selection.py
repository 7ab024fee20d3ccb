import numpy as np
import pandas as pd
import pytest
from helpers import markov_chain, states_of

from gdyn import selection
from gdyn.config.models import Kinetics, Selection, Trial
from gdyn.files import read_json, write_json, write_table
from gdyn.kinetics.convergence import convergence_of
from gdyn.selection import judge
from gdyn.statistics.interval import Interval
from gdyn.statistics.uncertainty import Blocks
from gdyn.training.skip import not_needed, skip

MARKOV = np.array([[0.97, 0.02, 0.01], [0.04, 0.95, 0.01], [0.01, 0.02, 0.97]])
HIDDEN = np.array([[0.98, 0.02, 0.0], [0.02, 0.88, 0.10], [0.0, 0.02, 0.98]])


def make(folder, labels, n_states, score, seed=1, width=16, lag_ps=2.0):
    trial = Trial(n_states=n_states, lag_ps=lag_ps, width=width, convolutions=2, learning_rate=0.005)
    path = folder / trial.name / f"seed~{seed}"
    path.mkdir(parents=True)
    (path / "model.pt").write_text(f"{trial.name} {seed}")
    states = states_of(labels, n_states, lag_ps=lag_ps, split="validation")
    states.write(path / "validation.h5")
    write_table(path / "history.csv", pd.DataFrame({"epoch": [0, 1], "validation_vamp2": [0.0, score]}))
    write_json(path / "numbers.json", {
        "trial": trial.model_dump(), "seed": seed, "validation_vamp2": score, "noise_floor": 0.001, "purity": 0.99,
        "populations": [0.5, 0.5], "epochs": 1, "wall_s": 1.0, "frames_per_s": 1.0, "device": "CPU",
        "converged": True, "problems": [],
    })  # fmt: skip
    return path


def choose(folder, paths, **wanted):
    files = {"models": "model.pt", "states": "validation.h5", "numbers": "numbers.json", "histories": "history.csv"}
    selection.choose(
        {name: [path / file for path in paths] for name, file in files.items()},
        {"model": folder / "model.pt", "result": folder / "choice.json", "histories": folder / "training.csv",
         "models": folder / "selection.csv"},
        kinetics=Kinetics(),
        selection=Selection(**wanted),
    )  # fmt: skip
    return read_json(folder / "choice.json")


@pytest.fixture
def chains():
    rng = np.random.default_rng(3)
    return markov_chain(MARKOV, 8000, rng, 8), markov_chain(HIDDEN, 20_000, rng, 8)


def test_the_best_score_among_seeds_and_widths(tmp_path, chains):
    labels, _ = chains
    paths = [make(tmp_path, labels, 3, s, seed, w) for s, seed, w in ((0.5, 1, 16), (0.7, 2, 16), (0.6, 1, 32))]
    choice = choose(tmp_path, paths)
    assert (choice["seed"], choice["width"]) == (2, 16)
    assert (tmp_path / "model.pt").read_text() == (paths[1] / "model.pt").read_text()
    assert choice["seeds"]["tried"] == 2
    assert sorted(pd.read_csv(tmp_path / "training.csv")["seed"].unique()) == [1, 2]
    assert "is the only choice; it passes the Chapman-Kolmogorov test" in choice["reason"]


def test_fewest_states_that_pass_the_test(tmp_path, chains):
    """Two states hide a third one, three have one more process, and four none beside these."""
    _, hidden = chains
    four = np.where((hidden == 0) & (np.random.default_rng(1).random(hidden.shape) < 0.5), 3, hidden)
    paths = [
        make(tmp_path, (hidden == 2).astype(int), 2, 0.9),
        make(tmp_path, hidden, 3, 1.5),
        make(tmp_path, four, 4, 2.0),
    ]
    choice = choose(tmp_path, paths)
    assert choice["n_states"] == 3
    assert [c["added"] for c in choice["candidates"]] == [True, True, False]
    assert "3 states add a process of" in choice["reason"]
    assert "4 states add no process to 3" in choice["reason"]
    assert not choice["more_may_be"]
    by_paper = choose(tmp_path, paths, rule="paper")
    assert by_paper["n_states"] == 3
    assert [c["ck_passed"] for c in by_paper["candidates"]][:2] == [False, True]
    assert "as the first, in order of fewest states and then shortest lag, that passes" in by_paper["reason"]
    assert "; 2 states at 2 ps does not pass the Chapman-Kolmogorov test (from state" in by_paper["reason"]
    choose(tmp_path, paths)
    table = pd.read_csv(tmp_path / "selection.csv")
    assert table["chosen"].tolist() == [False, True, False]
    overruled = choose(tmp_path, paths, n_states=2)
    assert (overruled["n_states"], overruled["lag_ps"]) == (2, 2.0)
    assert "2 states at a lag of 2 ps was asked for; it does not pass" in overruled["reason"]


def test_timescales_that_change_with_the_lag_do_not_hold(tmp_path, chains, monkeypatch):
    """The test of the predictions alone would take the shorter lag."""
    labels, _ = chains
    paths = [make(tmp_path, labels, 3, 0.9, lag_ps=lag) for lag in (2.0, 4.0)]
    assert choose(tmp_path, paths)["lag_ps"] == 2.0
    real = judge.convergence_of

    def rising(states, blocks, n_resolved):
        found = real(states, blocks, n_resolved)
        if states.lag_ps > 2.0:
            return found
        rise = found.processes[0].model_copy(update={"outcome": "rising", "change": Interval(1.5, 1.4, 1.6)})
        return found.model_copy(update={"processes": [rise]})

    monkeypatch.setattr(judge, "convergence_of", rising)
    choice = choose(tmp_path, paths)
    assert choice["lag_ps"] == 4.0
    assert not choice["candidates"][0]["holds"]
    assert "Of the lag times, it is the shortest at which such a model passes" in choice["reason"]


def test_timescales_that_rise_are_told_from_flat_ones(chains):
    labels, hidden = chains
    markov = states_of(labels, 3, lag_ps=2.0)
    found = convergence_of(markov, Blocks.by_time(markov, 10), [0, 1])
    assert [rise.outcome for rise in found.processes] == ["converged", "converged"]
    assert np.isnan(found.next_lag_ps)
    lumped = states_of((hidden == 2).astype(int), 2, lag_ps=1.0)
    found = convergence_of(lumped, Blocks.by_time(lumped, 10), [0])
    assert found.outcome == "rising"
    assert found.processes[0].change.low > 1.0
    assert found.next_lag_ps > 1.0
    assert "not converged: still rising by a factor of" in found.processes[0].verdict
    short = states_of(labels[:50], 3, lag_ps=5.0)
    assert convergence_of(short, Blocks.by_time(short, 5), [0, 1]).outcome == "cannot say"


def test_a_score_below_its_noise_floor_is_not_chosen(tmp_path, chains):
    labels, _ = chains
    paths = [make(tmp_path, (labels == 2).astype(int), 2, 0.0005), make(tmp_path, labels, 3, 0.9)]
    assert choose(tmp_path, paths)["n_states"] == 3


def test_where_none_passes_the_least_deviation_and_a_word_of_it(tmp_path, chains):
    _, hidden = chains
    two = (hidden == 2).astype(int)
    choice = choose(tmp_path, [make(tmp_path, two, 2, 0.9, lag_ps=lag) for lag in (1.0, 4.0)])
    assert choice["lag_ps"] == 4.0
    assert "At no lag time does such a model hold" in choice["reason"]
    paper = choose(tmp_path, [tmp_path / c["trial"] / "seed~1" for c in choice["candidates"]], rule="paper")
    deviations = {c["lag_ps"]: c["ck_max_deviation"] for c in paper["candidates"]}
    assert paper["lag_ps"] == min(deviations, key=deviations.get)
    assert "although none passes" in paper["reason"]


def test_seeds_agree_by_their_states_and_not_by_their_order(tmp_path, chains):
    labels, _ = chains
    shuffled = np.array([2, 0, 1])[labels]
    other = np.roll(labels, 4000, axis=0)
    paths = [
        make(tmp_path, x, 3, s, seed) for seed, (x, s) in enumerate([(labels, 0.9), (shuffled, 0.8), (other, 0.7)])
    ]
    seeds = choose(tmp_path, paths)["seeds"]
    assert (seeds["tried"], seeds["agreeing"]) == (3, 2)
    assert [row["agrees"] for row in seeds["each"]] == [True, True, False]
    np.testing.assert_allclose(seeds["each"][1]["overlap"], 1.0)
    np.testing.assert_allclose(seeds["each"][1]["populations"], seeds["each"][0]["populations"])


def test_states_of_all_seeds_together(tmp_path, chains):
    """They are those that the seeds agree on, in the order of the chosen one, and every seed is compared with them."""
    labels, _ = chains
    shuffled = np.array([2, 0, 1])[labels]
    seeds = choose(tmp_path, [make(tmp_path, x, 3, s, i) for i, (x, s) in enumerate([(labels, 0.9), (shuffled, 0.8)])])[
        "seeds"
    ]
    np.testing.assert_allclose(seeds["together"]["populations"], np.bincount(labels.ravel()) / labels.size, atol=1e-4)
    np.testing.assert_allclose([row["overlap_together"] for row in seeds["each"]], 1.0, atol=1e-4)


def test_a_seed_whose_states_are_no_states_does_not_win(tmp_path, chains):
    """A collapsed seed may have the highest score, which is blind to how far states vary."""
    labels, _ = chains
    paths = [make(tmp_path, labels, 3, 0.8, seed=1), make(tmp_path, labels, 3, 0.9, seed=2)]
    states = states_of(labels, 3, lag_ps=2.0, split="validation")
    states.probabilities = (np.array([0.56, 0.24, 0.2]) + 1e-7 * (states.probabilities - 1 / 3)).astype(np.float32)
    states.write(paths[1] / "validation.h5")
    choice = choose(tmp_path, paths)
    assert choice["seed"] == 1
    assert choice["candidates"][0]["holds"]


def test_a_model_without_a_resolved_process_does_not_hold(tmp_path):
    noise = np.random.default_rng(4).integers(0, 2, (4000, 4))
    choice = choose(tmp_path, [make(tmp_path, noise, 2, 0.9)])
    (candidate,) = choice["candidates"]
    assert not candidate["holds"]
    assert "has no process that is resolved at its lag time" in choice["reason"] or not candidate["ck_passed"]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (10.0, 10.5, True),
        (10.0, 12.0, False),
        (0.0, 0.0, True),
        (1.0, 0.0, False),
        (np.nan, np.inf, True),
        (np.nan, 1.0, False),
    ],
)
def test_timescales_of_seeds_are_compared_whatever_they_are(one, other, same):
    assert selection.same_timescale(one, other) is same


def test_whether_a_state_more_adds_a_process_is_written_down(tmp_path, chains):
    """As is said of what was not tried; and nothing of that is among what is chosen from."""
    labels, _ = chains
    two, three = (np.minimum(labels, n - 1) for n in (2, 3))
    noise = np.where(three == 2, 2 + np.random.default_rng(1).integers(2, size=three.shape), three)
    paths = [make(tmp_path, one, n, score) for one, n, score in ((two, 2, 0.8), (three, 3, 1.6), (noise, 4, 1.6))]
    for n, added in ((2, True), (3, True), (4, False)):
        files = {name: [path / file for path in paths[: n - 1]] for name, file in
                 (("states", "validation.h5"), ("numbers", "numbers.json"))}  # fmt: skip
        selection.write_added(**files, kinetics=Kinetics(), result=tmp_path / f"{n}.json")
        assert read_json(tmp_path / f"{n}.json")["added"] is added
    reason = not_needed(tmp_path / "4.json")
    assert "4 states add no process to 3" in reason
    assert not not_needed(tmp_path / "3.json")
    assert not not_needed(None)
    left_out = tmp_path / "n_states~5/seed~1"
    left_out.mkdir(parents=True)
    files = {"model": "model.pt", "states": "validation.h5", "numbers": "numbers.json", "history": "history.csv"}
    skip({name: left_out / file for name, file in files.items()}, reason)
    choice = choose(tmp_path, [*paths, left_out])
    assert choice["n_states"] == 3
    assert not choice["more_may_be"]
    everything = [path / "numbers.json" for path in [*paths, left_out]]
    states = [path / "validation.h5" for path in [*paths, left_out]]
    selection.write_added(states=states, numbers=everything, kinetics=Kinetics(), result=tmp_path / "5.json")
    assert read_json(tmp_path / "5.json") == {"added": False, "reason": reason}
