"""The systems that come with gdyn, simulated at the scale of a test, from the builder to the report."""

import json
import shutil

import h5py
import MDAnalysis
import numpy as np
import pandas as pd
import pytest
import yaml


@pytest.fixture(scope="module")
def systems(root, tmp_path_factory, make_workflow):
    """Systems of config/systems after one run at the scale `test`."""
    workflow = make_workflow(tmp_path_factory.mktemp("systems"))
    shutil.rmtree(workflow.folder / "systems")
    shutil.copytree(root / "config/systems", workflow.folder / "systems")
    peo = yaml.safe_load((workflow.folder / "systems/peo_litfsi.yaml").read_text())
    (workflow.folder / "systems/peo_litfsi.yaml").write_text(yaml.safe_dump(peo | {"export": "lammps"}))
    config = {"systems": ["peo_litfsi"], "system_dir": "systems", "scale": "test"}
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(config))
    status, workflow.said = workflow.snakemake()
    assert status == 0, workflow.said
    return workflow


def summary_of(systems, name):
    return json.loads((systems.results / name / "summary.json").read_text())


def test_peo_litfsi_has_its_transport(systems):
    transport = summary_of(systems, "peo_litfsi")["transport"]
    assert transport["msd_closure_residual"] < 1e-6
    assert np.sum(transport["contribution_percent"]) == pytest.approx(100)
    assert np.sum(transport["contribution_percent_paper"]) == pytest.approx(100)
    assert np.shape(transport["diffusion_m2_per_s"]) == (2, 2)
    assert len(transport["charges_e"]) == 2
    assert transport["conductivity_S_per_m"] > 0
    flags = " ".join(summary_of(systems, "peo_litfsi")["flags"]["transport"])
    assert "a cell of 2 ions of a kind" in flags


def test_li_is_coordinated_by_oxygen(systems):
    """Even in so short a run: the first peak of Li-O lies between 1.8 and 2.2 A, and the shell holds 3 to 7 O."""
    table = pd.read_csv(systems.results / "peo_litfsi/analysis/structure.csv")
    total = table.groupby("r_A")["g"].sum()
    assert 1.8 < total.idxmax() < 2.2
    structure = summary_of(systems, "peo_litfsi")["structure"]
    coordination = np.sum(list(structure["coordination"].values()), axis=0)
    assert ((coordination > 2) & (coordination < 7)).all()


def test_states_are_exported_as_a_dump(systems):
    """Other programs read it; probabilities, places and times are those of the states."""
    folder = systems.results / "peo_litfsi/states"
    universe = MDAnalysis.Universe(
        folder / "test.lammpstrj", format="LAMMPSDUMP", topology_format="LAMMPSDUMP", lengthunit="A", dt=0.1
    )
    with h5py.File(folder / "test.h5") as file:
        probabilities, ids = file["probabilities"][:], file["target_ids"][:, 0]
    assert len(universe.trajectory) == len(probabilities)
    lines = (folder / "test.lammpstrj").read_text().splitlines()
    assert lines[8].split()[2:] == ["id", "type", "element", "xu", "yu", "zu", "state", "p0", "p1"]
    first = [line.split() for line in lines[9 : 9 + len(ids)]]
    assert [int(row[0]) for row in first] == ids.tolist()
    np.testing.assert_allclose([[float(x) for x in row[7:]] for row in first], probabilities[0], atol=1e-4)
    assert [int(row[6]) for row in first] == probabilities[0].argmax(1).tolist()


def test_another_scale_is_another_system(systems):
    planned = systems.planned("--config", "scale=small")
    assert {"build", "simulate", "train"} <= set(planned)
