"""Folders in which Snakemake really runs, and a toy that is short enough for it."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml


class Workflow:
    """A folder with a configuration of its own, and Snakemake in it."""

    profile = "default"
    options = ("--cores", "2")
    env = None

    def __init__(self, root, folder):
        self.root, self.folder = root, folder
        self.results = folder / "results"
        (folder / "systems").mkdir(parents=True)
        shutil.copytree(root / "config/systems/toy", folder / "systems/toy")

    def configure(self, name, system):
        (self.folder / "systems" / f"{name}.yaml").write_text(yaml.safe_dump(system))
        (self.folder / "config.yaml").write_text(yaml.safe_dump({"systems": [name], "system_dir": "systems"}))

    def start(self, *arguments):
        """Start Snakemake in the background; see :meth:`finish`."""
        command = [
            *(sys.executable, "-m", "snakemake", "--snakefile", str(self.root / "Snakefile")),
            *("--directory", str(self.folder), "--configfile", str(self.folder / "config.yaml")),
            *("--profile", str(self.root / f"config/profiles/{self.profile}"), *self.options, *arguments),
        ]
        with tempfile.NamedTemporaryFile("w", prefix="said-", dir=self.folder, delete=False) as said:
            process = subprocess.Popen(command, cwd=self.folder, stdout=said, stderr=subprocess.STDOUT, env=self.env)
        process.said = Path(said.name)
        return process

    def finish(self, process):
        """Wait for Snakemake; return its exit status and everything it said."""
        status, said = process.wait(), process.said.read_text()
        process.said.unlink()
        return status, said

    def succeed(self, process):
        """Wait for Snakemake, which has to end well; return everything it said."""
        status, said = self.finish(process)
        assert status == 0, said
        return said

    def snakemake(self, *arguments):
        """Run Snakemake; return its exit status and everything it said."""
        return self.finish(self.start(*arguments))

    def planned(self, *arguments):
        """The rules that a run would execute now, and how often."""
        status, text = self.snakemake("--dry-run", *arguments)
        assert status == 0, text
        jobs = dict(re.findall(r"^(\w+) +(\d+)$", text.split("Job stats:")[-1], re.M)) if "Job stats:" in text else {}
        return {rule: int(count) for rule, count in jobs.items() if rule not in ("total", "all")}


def wait_for(ready, seconds=120, every=0.2):
    """What ``ready`` returns, once it is something."""
    end = time.monotonic() + seconds
    while not (found := ready()):
        assert time.monotonic() < end, f"{ready}: not within {seconds} s"
        time.sleep(every)
    return found


def short_toy(root):
    """The toy system, 2 x 20 ns, two seeds, and few epochs."""
    system = yaml.safe_load((root / "config/systems/toy.yaml").read_text())
    system["simulate"] |= {"length_ps": 20000, "seed": 12}
    system["search"] = {"n_states": 2, "lag_ps": 10}
    system["seeds"] = [1, 2]
    system["training"] = {"max_epochs": 5, "epoch_steps": 15}
    system["kinetics"] = {"chapman_kolmogorov_steps": 5}
    return system
