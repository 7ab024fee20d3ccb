"""A shortened toy system, run once by Snakemake from LAMMPS to the report."""

import re
import shutil
import subprocess
import sys

import pytest
import yaml


class Workflow:
    """A folder with a configuration of its own, and Snakemake in it."""

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.results = folder / "results"
        (folder / "systems").mkdir(parents=True)
        shutil.copytree(root / "config/systems/toy", folder / "systems/toy")

    def configure(self, name, system):
        (self.folder / "systems" / f"{name}.yaml").write_text(yaml.safe_dump(system))
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"systems": [name], "system_dir": "systems"}))

    def snakemake(self, *arguments):
        """Run Snakemake; return its exit status and everything it said."""
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")),
            *("--profile", str(self.root / "config/profiles/default"), "--cores", "2", *arguments),
        ]
        run = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + run.stderr

    def planned(self, *arguments):
        """The rules that a run would execute now, and how often."""
        status, text = self.snakemake("--dry-run", *arguments)
        assert status == 0, text
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[-1], re.M)) if "Job stats:" in text else {}
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("total", "all")}


def short_toy(root):
    """The toy system, 2 x 20 ns, two seeds, and few epochs."""
    system = yaml.safe_load((root / "config/systems/toy.yaml").read_text())
    system["simulate"] |= {"length_ps": 20000, "seed": 11}
    system["seeds"] = [1, 2]
    system["training"] = {"max_epochs": 5, "epoch_steps": 15}
    system["kinetics"] = {"chapman_kolmogorov_steps": 5}
    return system


@pytest.fixture(scope="session")
def toy(root, tmp_path_factory):
    """The shortened toy after one whole run, and what Snakemake said."""
    workflow = Workflow(root, tmp_path_factory.mktemp("toy"))
    workflow.system = short_toy(root)
    workflow.configure("toy", workflow.system)
    status, workflow.said = workflow.snakemake()
    assert status == 0, workflow.said
    return workflow


@pytest.fixture(scope="session")
def make_workflow(root):
    """Make an empty workflow folder at a path."""
    return lambda folder: Workflow(root, folder)


@pytest.fixture
def workflow(root, tmp_path):
    """An empty workflow folder."""
    return Workflow(root, tmp_path)
