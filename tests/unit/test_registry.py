"""What there is to choose from by name: networks, and schemes of training."""

import re
import subprocess
import sys

import pytest

from gdyn.config.models import Training
from gdyn.config.networks import NETWORKS
from gdyn.config.schemes import SCHEMES
from gdyn.graphs.configurations import ConfigurationDataset
from gdyn.graphs.dataset import GraphDataset
from gdyn.networks import NETWORKS as CLASSES
from gdyn.networks import StateNetwork
from gdyn.training.vamp import SCORES


def test_every_network_has_a_class():
    assert list(CLASSES) == list(NETWORKS)
    assert all(issubclass(network, StateNetwork) for network in CLASSES.values())


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_opens_what_its_name_says_that_it_reads(name, monkeypatch):
    for dataset, reads in ((GraphDataset, "graphs"), (ConfigurationDataset, "trajectories")):
        monkeypatch.setattr(dataset, "load", lambda *arguments, reads=reads: reads)
    assert CLASSES[name].open_split([], None, "train", None) == NETWORKS[name].reads


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_can_be_asked_for_and_maximises_a_score_that_there_is(name):
    assert Training(scheme=name).scheme == name
    assert {stage.score for stage in SCHEMES[name].stages} <= set(SCORES)


def test_networks_and_schemes_are_named_where_they_are_defined_alone(root):
    """So that another one is a module and a line of a table."""
    names = "|".join(f'"{name}"' for name in (*NETWORKS, *(set(SCHEMES) - set(SCORES))))
    tables = {root / f"gdyn/config/{name}.py" for name in ("networks", "schemes", "models")}
    for path in {*root.glob("gdyn/**/*.py"), *root.glob("rules/*.smk")} - tables:
        assert not re.search(names, path.read_text()), path


def test_the_configuration_knows_all_names_without_torch():
    code = "import sys, gdyn.config; assert not {'torch', 'gdyn.networks'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
