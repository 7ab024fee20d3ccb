"""A shortened toy system, run once by Snakemake from LAMMPS to the report."""

import pytest
from workflows import Workflow, short_toy


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
