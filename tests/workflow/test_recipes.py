"""What docs/extending.md says is all that it takes."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from recipes import carry_out, copy_of, recipes
from workflows import Workflow

TRIGGERS = ("--rerun-triggers", "mtime", "params", "input")  # the copy is at another place, which "code" would see
MOST_FILES = {"Another figure": 2, "Another analysis": 4, "Another network": 2, "Another training objective": 2}


@pytest.fixture
def project(root, tmp_path):
    return copy_of(root, tmp_path / "project")


@pytest.fixture
def finished(toy, project, tmp_path, monkeypatch):
    """The finished toy, in a folder of its own, and Snakemake with the copy of the project."""
    monkeypatch.setenv("PYTHONPATH", str(project))
    workflow = Workflow(project, tmp_path / "toy")
    shutil.rmtree(workflow.folder)
    shutil.copytree(toy.folder, workflow.folder, copy_function=shutil.copy2)
    workflow.system = toy.system
    return workflow


def python(project, code):
    env, command = {**os.environ, "PYTHONPATH": str(project)}, [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_each_recipe_takes_few_files(root):
    found = {title: len({path for path, _, _ in recipe}) for title, recipe in recipes(root).items()}
    assert found == MOST_FILES


def test_another_figure(finished, project, root):
    carry_out(recipes(root)["Another figure"], project)
    planned = finished.planned("results/toy/report.pdf", *TRIGGERS)
    assert planned == {"figure": 1, "report": 1}
    status, said = finished.snakemake("results/toy/report.pdf", *TRIGGERS)
    assert status == 0, said
    assert (finished.results / "toy/figures/stays.pdf").stat().st_size > 5000
    code = f"import gdyn; print(gdyn.results({str(finished.results / 'toy')!r}).plot_stays())"
    assert "Figure(" in python(project, code)


def test_another_analysis(finished, project, root):
    carry_out(recipes(root)["Another analysis"], project)
    planned = finished.planned("results/toy/report.pdf", *TRIGGERS)
    assert planned == {"entropy": 1, "figure": 1, "summary": 1, "report": 1}
    status, said = finished.snakemake("results/toy/report.pdf", *TRIGGERS)
    assert status == 0, said
    result = json.loads((finished.results / "toy/analysis/entropy.json").read_text())
    summary = json.loads((finished.results / "toy/summary.json").read_text())
    assert summary["entropy"] == result["entropy"]["value"] > 0
    assert summary["units"]["entropy"] == "1, per lag time"
    assert (finished.results / "toy/figures/entropy.pdf").exists()


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("Another network", {"model": "linear"}),
        ("Another training objective", {"training": {"scheme": "vamp1", "max_epochs": 2, "epoch_steps": 5}}),
    ],
)
def test_another_network_or_objective(finished, project, root, recipe, settings):
    """It trains, and the configuration knows it."""
    carry_out(recipes(root)[recipe], project)
    system = finished.system | {"training": {"max_epochs": 2, "epoch_steps": 5}} | settings | {"seeds": [1]}
    for section in ("baseline", "sites"):
        system.pop(section, None)
    finished.configure("toy", system)
    status, said = finished.snakemake(
        "results/toy/selected/choice.json", "--rerun-triggers", "mtime", "params", "input"
    )
    assert status == 0, said
    choice = json.loads((finished.results / "toy/selected/choice.json").read_text())
    assert choice["training"]["epochs"] >= 1
    assert ("linear" in choice["trial"]) is (recipe == "Another network")
    python(project, "import runpy; runpy.run_module('gdyn.config.docs', run_name='__main__')")
    new = "linear" if recipe == "Another network" else "vamp1"
    assert new in (project / "config/README.md").read_text()
    assert new in json.dumps(json.loads((project / "config/schema/system.schema.json").read_text()))
