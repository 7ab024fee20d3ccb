"""What former versions have written is read, and its numbers come out again."""

import json
import math

import pytest
import yaml

from gdyn.analyses import ANALYSES, FIGURES
from gdyn.analyses.draw import draw
from gdyn.analyses.run import read_results
from gdyn.config import System
from gdyn.errors import InputError
from gdyn.files import read_json, write_json
from gdyn.kinetics.by_trajectory import by_trajectory
from gdyn.kinetics.chapman_kolmogorov import ck_test
from gdyn.kinetics.model import KoopmanModel, koopman_model
from gdyn.kinetics.site_analysis import compare_with_sites
from gdyn.report.pages import compose
from gdyn.report.summary import summarise
from gdyn.selection import Choice
from gdyn.store import States
from gdyn.structure.analysis import structure_by_state
from gdyn.structure.order import order_by_state
from gdyn.transport.analysis import transport_by_state

# What later versions add, or what says which version it was.
OTHERWISE = ("units", "version", "config")
# What 0.1 estimated in another way: intervals, and with them what is said of numbers, and the test of the predictions.
IN_OTHER_WAYS = (
    *("low", "high", "flags", "warnings", "ck", "ck_passed", "ck_max_deviation", "test", "intervals", "resolved"),
    *("reason", "rates_from", "agrees", "max_deviation"),
)


@pytest.fixture(params=["0.1"])
def kept(root, request):
    return root / "tests/data/formats" / request.param


def files_of(kept):
    return [path for path in (kept / "results").rglob("*") if path.is_file()]


def compare(now, then, place="", but=OTHERWISE):
    """That ``now`` has all that ``then`` has, to rounding."""
    if isinstance(then, dict):
        for key in then:
            assert key in now or key in OTHERWISE, f"{place}.{key}"
            if key not in but:
                compare(now[key], then[key], f"{place}.{key}", but)
    elif isinstance(then, list):
        assert len(now) == len(then), place
        for number, (a, b) in enumerate(zip(now, then, strict=True)):
            compare(a, b, f"{place}[{number}]", but)
    elif isinstance(then, float):
        assert now is not None, place
        assert math.isclose(now, then, rel_tol=1e-6, abs_tol=1e-9), f"{place}: {now} instead of {then}"
    else:
        assert now == then, place


def test_numbers_are_those_of_former_versions(kept, tmp_path):
    """From the same states and trajectories to the same values."""
    inputs = kept / "inputs"
    settings = yaml.safe_load((inputs / "system.yaml").read_text())
    settings["kinetics"] = settings.get("kinetics", {}) | {"chunks": 5}  # which was the default
    system = System.model_validate(settings)
    names = ("train", "validation", "test", "vampnet")
    train, validation, test, vampnet = (States.read(inputs / f"{name}.h5") for name in names)
    stores, kinetics = [inputs / "0.h5", inputs / "1.h5"], system.kinetics
    structure = structure_by_state(test, stores, system.structure, kinetics)
    results = {
        "koopman": koopman_model(test, kinetics, train, validation),
        "chapman_kolmogorov": ck_test(test, kinetics),
        "trajectories": by_trajectory(test, kinetics, system.labels),
        "sites": compare_with_sites(test, [vampnet], stores, system.sites, kinetics),
        "structure": structure,
        "order": order_by_state(test, stores, system.structure, kinetics),
        "transport": transport_by_state(test, stores, structure.charges_e, system.transport, kinetics),
        "select": read_results(files_of(kept))["select"],
    }
    write_json(tmp_path / "summary.json", summarise(results, stores, "made_up", system))
    then = read_json(kept / "results/summary.json")
    compare(read_json(tmp_path / "summary.json"), then, but=(*OTHERWISE, *IN_OTHER_WAYS))


def test_results_of_former_versions_are_read_and_drawn(kept, tmp_path):
    results = read_results(files_of(kept))
    assert len(results) >= 8
    for analysis in (one for one in ANALYSES if one.name in results):
        written = {part: tmp_path / analysis.name / file for part, file in analysis.files.items()}
        results[analysis.name].write(written)
        compare(json.loads(written["result"].read_text()), read_json(kept / "results" / analysis.files["result"]))
    figures = [tmp_path / f"{name}.pdf" for name, (_, analysis) in FIGURES.items() if analysis.name in results]
    for path in figures:
        draw(path.stem, files_of(kept), path)
    compose(kept / "results/summary.json", files_of(kept), figures, tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").stat().st_size > 100_000


def test_a_result_that_is_none_is_refused_in_a_sentence(tmp_path):
    write_json(tmp_path / "choice.json", {"trial": "x"})
    with pytest.raises(InputError, match=r"choice.json: cannot be read as a result .* let the workflow remake it"):
        Choice.read({"result": tmp_path / "choice.json"})


def test_a_number_without_a_value_is_refused_in_a_sentence(kept, tmp_path):
    plain = read_json(kept / "results/analysis/koopman.json")
    write_json(tmp_path / "koopman.json", plain | {"purity": None})
    with pytest.raises(InputError, match=r"koopman.json: cannot be read .*purity.*no number with its interval"):
        KoopmanModel.read({"result": tmp_path / "koopman.json"})
