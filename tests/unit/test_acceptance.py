"""The acceptance of training on a GPU: it passes on a CPU, names what fails, and runs on the pretend GPU."""

import json
import subprocess
import sys

import pytest
import torch
from pretend_gpu import pretend  # noqa: F401 - a fixture
from trainings import kernels_on

from gdyn import kernels as kernels_module

# gdyn with a wrong attention, a part that crashes and one that hangs; run as the acceptance itself.
BROKEN = """
import os, sys, time
sys.path.insert(0, "{folder}")
import acceptance
from gdyn.networks import convolution
from gpu import speed

right = convolution.attend
convolution.attend = lambda *given: right(*given[:4], given[4] + 20, *given[5:])  # atoms 0.02 A further apart
speed.machine = lambda *_: os.abort()
speed.step = lambda *_: time.sleep(100)
acceptance.PARTS["step"] = "speed", 7
if __name__ == "__main__":
    sys.exit(acceptance.main())
"""


def run(*command):
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_it_passes_where_there_is_no_gpu(root, tmp_path):
    status, said = run(root / "tests/gpu/acceptance.py", "--device", "cpu", "--small", "--out", tmp_path)
    assert status == 0, said
    found = json.loads((tmp_path / "acceptance.json").read_text())
    assert found["passed"]
    assert found["small"]
    assert found["on"] == "a CPU, not a GPU"
    assert list(found["parts"]) == ["machine", "kernels", "step", "training", "precisions", "seeds", "ranks"]
    for name, part in found["parts"].items():
        assert part["failed"] == [], name
        assert part["found"]["done"], name
        assert part["found"]["checks"], name
        numbers = part["found"]["numbers"].values()
        assert {one["on"] for one in numbers} <= {"a CPU, not a GPU"}
    assert found["parts"]["step"]["found"]["numbers"]["toy: a step"]["value"] > 0
    table = (tmp_path / "acceptance.md").read_text()
    assert table.startswith("Measured on a CPU, not a GPU")
    assert "| step | big: a step | " in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {6}


def test_a_part_that_is_wrong_crashes_or_hangs_is_named_and_loses_no_other(root, tmp_path):
    program = tmp_path / "broken.py"
    program.write_text(BROKEN.format(folder=root / "tests/gpu"))
    parts = ["machine", "kernels", "step"]
    status, said = run(program, "--device", "cpu", "--small", "--out", tmp_path, "--only", *parts)
    assert status == 1, said
    assert "failed: machine, kernels, step" in said
    found = json.loads((tmp_path / "acceptance.json").read_text())
    assert not found["passed"]
    failed = {name: part["failed"] for name, part in found["parts"].items()}
    assert failed["machine"] == ["ended with status -6, before it was done"]
    wrong = [f"{case}: a convolution and its gradient, against float64" for case in ("toy", "big")]
    assert failed["kernels"] == wrong
    assert failed["step"] == ["took longer than 7 s"]
    assert "**failed**" in (tmp_path / "acceptance.md").read_text()


def test_without_a_gpu_one_that_is_asked_for_is_refused(root, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    status, said = run(root / "tests/gpu/acceptance.py", "--device", "cuda", "--out", tmp_path)
    assert status == 2, said
    assert "torch finds no GPU here" in said
    assert not list(tmp_path.iterdir())


@pytest.fixture
def setting(pretend, tmp_path, monkeypatch):  # noqa: F811
    from gpu.systems import Setting

    monkeypatch.setitem(kernels_module.KERNELS, "pretend", lambda device: kernels_on(pretend))
    kernels_module._found.cache_clear()
    yield Setting(torch.device("pretend", 0), True, tmp_path)
    kernels_module._found.cache_clear()


@pytest.mark.parametrize("part", ["machine", "kernels", "step", "training"])  # the others take long
def test_its_parts_run_on_the_pretend_gpu(setting, part, monkeypatch):
    from gpu import speed, whole
    from gpu.report import Report

    monkeypatch.setattr(whole, "FEW_SEEDS", (1,))
    report = Report(setting.folder / "report.json", "a pretend GPU")
    getattr(whole if part == "training" else speed, part)(setting, report)
    failed = [name for name, one in report.content["checks"].items() if not one["passed"]]
    assert failed == []
