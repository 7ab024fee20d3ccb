"""The whole workflow on a real, shortened toy system."""

import copy
import json
import re
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
from pypdf import PdfReader

from gdyn.rounding import rounded

TRIAL = "n_states~2_lag_ps~10_width~16_convolutions~2_learning_rate~0.005"


@pytest.fixture(scope="module")
def summary(toy):
    return json.loads((toy.results / "toy/summary.json").read_text())


def test_every_result_is_in_its_place(toy):
    found = {str(path.relative_to(toy.results / "toy")) for path in (toy.results / "toy").rglob("*") if path.is_file()}
    kinetics = ("timescales", "chapman_kolmogorov", "koopman", "network", "selection", "training")
    figures = ("sites", "whole_cell", *kinetics, "structure", "surroundings", "profile")
    assert {
        *("report.pdf", "summary.json", "selected/model.pt", "selected/choice.json"),
        *(f"states/{split}.h5" for split in ("train", "validation", "test")),
        *(f"trials/{TRIAL}/seed~{seed}/model.pt" for seed in (1, 2)),
        *(f"figures/{figure}.pdf" for figure in figures),
        *("analysis/koopman.json", "analysis/implied_timescales.csv", "analysis/training.csv"),
    } <= found
    assert not [name for name in found if "unfinished" in name or name.endswith("resume.pt")]
    logs = {name.split("/")[1].removesuffix(".log") for name in found if name.startswith("logs/")}
    assert {"simulate", "ingest", "graphs", "train", "select", "predict", "koopman", "sites", "report"} <= logs


def test_states_files_hold_what_users_rely_on(toy):
    covered = []
    for split in ("train", "validation", "test"):
        with h5py.File(toy.results / f"toy/states/{split}.h5") as file:
            probabilities = file["probabilities"][:]
            assert probabilities.dtype == np.float32
            assert probabilities.shape == (len(file["time_ps"]), 1, 2)
            np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=1e-5)
            assert file["target_ids"][:].tolist() == [[5]]
            covered += list(zip(file["trajectory"][:].tolist(), file["time_ps"][:].tolist(), strict=True))
    assert len(covered) == len(set(covered)) == 2 * 20001


def test_summary_has_every_key(summary):
    assert summary["n_states"] == 2
    assert summary["lag_ps"] == 10.0
    assert summary["populations"] == sorted(summary["populations"], reverse=True)
    assert set(summary["timescales_ps"][0]) == {"value", "low", "high", "resolved"}
    assert np.shape(summary["koopman"]) == (2, 2)
    assert set(summary["vamp2"]) == {"train", "validation", "test", "noise_floor", "convention"}
    assert isinstance(summary["ck_passed"], bool)
    assert summary["seeds"]["tried"] == 2
    assert {"wall_s", "frames_per_s", "device"} <= set(summary["training"])
    assert {"version", "config", "trajectories", "seed"} <= set(summary["provenance"])
    assert {
        "local_timescale_ps",
        "reconstructed_timescale_ps",
        "reconstructed_generator_timescale_ps",
        "observed_timescales_ps",
    } <= set(summary["global"])
    assert len(summary["global"]["observed_timescales_ps"]) == 3
    assert set(summary["global"]["vampnets"]) == {"2", "12"}


EXACT = {
    "first_shell_A",
    "msd_closure_residual",
    "msd_closure_residual_paper",
    "msd_exponent",
    "n_states",
    "lag_ps",
    "noise_floor",
    "transitions",
    "frames",
    "tried",
    "agreeing",
    "blocks",
    "block_ps",
    "training",
    "provenance",
    "lower_bound_ps",
    "longest_lag_ps",
    "next_lag_ps",
    "to_10_percent_ps",
    "to_5_percent_ps",
    "chance",
    "seen_deviation",
}


def test_every_number_has_a_unit_and_an_interval_or_is_exact(summary):
    """A twin ``x_interval`` of the same shape, or ``low`` and ``high`` beside it; what is counted or set has none."""

    def walk(values, path):
        for key, value in values.items():
            here = [*path, key]
            if key in EXACT | {"units", "flags", "choice", "each", "seeds"} or key.endswith("_interval"):
                continue
            if isinstance(value, dict):
                between = values.get(f"{key}_interval")
                walk(value, here) if between is None else check(value, between, here)
            elif isinstance(value, int | float | list) and not isinstance(value, bool) and holds_numbers(value):
                if isinstance(value, list) and isinstance(value[0], dict) and "value" not in value[0]:
                    for part in value:
                        walk(part, here)
                elif isinstance(value, list) and isinstance(value[0], dict):
                    assert {"value", "low", "high", "resolved"} <= set(value[0]), here
                else:
                    assert f"{key}_interval" in values, here
                    between = values[f"{key}_interval"]
                    assert np.shape(between["low"]) == np.shape(between["high"]) == np.shape(value), here
            if len(here) == 1 and (isinstance(value, dict) or holds_numbers(value)):
                assert key in summary["units"] or key in ("intervals",), here

    def check(values, between, here):
        for key, value in values.items():
            if isinstance(value, float) and key not in EXACT:
                assert key in between["low"], [*here, key]

    def holds_numbers(value):
        while isinstance(value, list) and value:
            value = value[0]
        return isinstance(value, int | float | dict) and not isinstance(value, bool)

    walk(summary, [])
    assert summary["units"]["timescales_ps"] == "ps"


def test_what_is_not_to_be_trusted_is_flagged_where_it_stands(summary):
    assert summary["warnings"] == [sentence for sentences in summary["flags"].values() for sentence in sentences]
    assert set(summary["flags"]) <= set(summary)


def test_global_vampnets_see_slower_processes_than_the_local_states(toy, summary):
    whole = summary["global"]
    two = whole["vampnets"]["2"]["timescales_ps"][0]
    assert two["value"] > 3 * whole["local_timescale_ps"]
    assert len(whole["vampnets"]["12"]["timescales_ps"]) == 11
    assert whole["reconstructed_timescale_ps"] > whole["reconstructed_generator_timescale_ps"]
    table = pd.read_csv(toy.results / "toy/analysis/whole_cell_timescales.csv")
    names = {"local", "observed", "vampnet 2", "vampnet 12", "rebuilt, matrix", "rebuilt, generator"}
    assert set(table["model"]) == names
    at_lag = table[(table["model"] == "rebuilt, generator") & (table["lag_ps"] == 10) & (table["process"] == 1)]
    assert at_lag["timescale_ps"].item() == pytest.approx(whole["reconstructed_generator_timescale_ps"], rel=1e-6)


def test_states_are_the_sites(summary):
    """No assignment without memory agrees with the cores in more than 99.6 % of the frames."""
    sites = summary["sites"]
    assert sites["type_of_state"] == ["octahedral", "tetrahedral"]
    assert sites["agreement"] > 0.99
    assert summary["purity"] > 0.97
    assert summary["populations"][0] == pytest.approx(sites["populations"][0], abs=0.01)
    assert summary["populations"][0] == pytest.approx(0.919, abs=0.05)


def test_timescale_is_that_of_the_cores(summary):
    found = summary["timescales_ps"][0]
    assert found["resolved"]
    assert found["value"] == pytest.approx(summary["sites"]["timescales_ps"][0], rel=0.15)
    # The 200 ns reference: 43.2 ps. These are 20 ns of test frames.
    assert found["low"] < 43.2 * 1.2
    assert found["high"] > 43.2 / 1.2


def test_numbers_behind_figures_are_those_of_the_summary(toy, summary):
    table = pd.read_csv(toy.results / "toy/analysis/implied_timescales.csv")
    at_lag = table[table["lag_ps"] == 10.0].iloc[0]
    assert at_lag["timescale_ps"] == pytest.approx(summary["timescales_ps"][0]["value"])
    curves = pd.read_csv(toy.results / "toy/analysis/chapman_kolmogorov.csv")
    assert (curves["predicted"] - curves["observed"]).abs().max() == pytest.approx(summary["ck_max_deviation"])


def test_report_has_the_numbers_and_all_figures(toy, summary):
    pages = PdfReader(toy.results / "toy/report.pdf").pages
    text = " ".join(page.extract_text() for page in pages)
    between = [summary["populations_interval"][part][0] for part in ("low", "high")]
    assert rounded(summary["populations"][0], *between) in text
    for number in range(1, 12):
        assert f"Figure {number}." in text
    for page in PdfReader(toy.results / "toy/figures/timescales.pdf").pages:
        assert "lag time (ps)" in page.extract_text()


def test_the_notebook_analyses_it_in_ten_lines(toy, root, monkeypatch, capsys):
    cells = json.loads((root / "docs/notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert sum(len(cell.splitlines()) for cell in code) <= 15
    monkeypatch.chdir(toy.folder)
    names = {}
    for cell in code:
        exec(cell, names)
    assert "population of state 1: 0." in capsys.readouterr().out
    assert names["model"].lag_ps == 20
    six, four = names["shells"].coordination["S"].value
    assert (six, four) == pytest.approx((6.0, 4.0), abs=0.3)


def test_progress_was_visible(toy):
    assert "simulate toy 0 0: LAMMPS" in toy.said or "simulate toy 0 0: starting" in toy.said
    assert re.search(rf"train toy {re.escape(TRIAL)} 1: epoch \d+ \(kinetics\): validation VAMP-2", toy.said)
    log = (toy.results / f"toy/logs/train/{TRIAL}/seed~1.log").read_text()
    n = len(pd.read_csv(toy.results / f"toy/trials/{TRIAL}/seed~1/history.csv"))
    assert len(re.findall(r"epoch \d+ \([a-z]+\): validation VAMP-2", log)) == n  # the log has every epoch
    assert "summary toy: 2 states at a lag of 10 ps" in toy.said


def test_a_second_run_does_nothing(toy):
    status, text = toy.snakemake()
    assert status == 0
    assert "Nothing to be done" in text


@pytest.fixture
def edited(toy):
    """Change the system file for one test."""

    def edit(change):
        system = copy.deepcopy(toy.system)
        change(system)
        toy.configure("toy", system)
        return toy.planned()

    yield edit
    toy.configure("toy", toy.system)


def test_a_new_seed_trains_only_itself(edited):
    planned = edited(lambda system: system["seeds"].append(3))
    assert planned["train"] == 3  # of the search, and of two VAMPnets
    assert not {"simulate", "ingest", "graphs"} & set(planned)


def test_a_new_lag_trains_only_itself(edited):
    planned = edited(lambda system: system["search"].update(lag_ps=[10, 20]))
    assert planned["train"] == 2
    assert not {"simulate", "ingest", "graphs"} & set(planned)


def test_another_analysis_trains_nothing(edited):
    planned = edited(lambda system: system["kinetics"].update(chunks=4))
    assert {"koopman", "chapman_kolmogorov", "sites", "select", "summary", "report"} <= set(planned)
    assert not {"simulate", "ingest", "graphs", "train"} & set(planned)


def test_another_description_redoes_only_the_report(edited):
    assert edited(lambda system: system.update(description="other words")) == {"summary": 1, "report": 1}


def test_other_neighbors_do_not_read_the_trajectory_again(edited):
    planned = edited(lambda system: system["graphs"].update(neighbors=10))
    assert planned["graphs"] == 4
    assert not {"simulate", "ingest"} & set(planned)


def test_snakemake_report(toy):
    status, text = toy.snakemake("--report", "results/report.zip")
    assert status == 0, text
    with zipfile.ZipFile(toy.results / "report.zip") as archive:
        names = archive.namelist()
    assert any(name.endswith("report.html") for name in names)
    pages = sorted(name.rpartition("/")[2] for name in names if name.endswith(".pdf"))
    assert pages == sorted(["report.pdf", *(path.name for path in (toy.results / "toy" / "figures").glob("*.pdf"))])
    assert len(pages) == 13
