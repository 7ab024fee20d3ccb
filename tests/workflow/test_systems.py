"""The systems that come with gdyn, simulated at the scale of a test, from the builder to the report."""

import json
import os
import re
import shutil

import h5py
import MDAnalysis
import numpy as np
import pandas as pd
import pytest
import yaml

SYSTEMS = ["toy", "si_au", "peo_litfsi", "water"]


@pytest.fixture(scope="module")
def systems(root, tmp_path_factory, make_workflow):
    """All systems of config/systems after one run at the scale `test`; the toy has none and is shortened here."""
    workflow = make_workflow(tmp_path_factory.mktemp("systems"))
    folder = workflow.folder / "systems"
    shutil.rmtree(folder)
    shutil.copytree(root / "config/systems", folder)
    workflow.edit = lambda name, **changes: edit(folder / f"{name}.yaml", **changes)
    workflow.edit("peo_litfsi", export="lammps")
    toy = yaml.safe_load((folder / "toy.yaml").read_text())
    workflow.edit(
        "toy",
        simulate=toy["simulate"] | {"length_ps": 4000},
        baseline=None,
        seeds=[1],
        training={"max_epochs": 2, "epoch_steps": 5},
        kinetics={"chapman_kolmogorov_steps": 3},
    )
    config = {"systems": SYSTEMS, "system_dir": "systems", "scale": "test"}
    (workflow.folder / "config.yaml").write_text(yaml.safe_dump(config))
    status, workflow.said = workflow.snakemake()
    assert status == 0, workflow.said
    return workflow


def edit(path, **changes):
    """Set keys of a system file; None removes one."""
    system = yaml.safe_load(path.read_text()) | changes
    path.write_text(yaml.safe_dump({key: value for key, value in system.items() if value is not None}))


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


@pytest.mark.filterwarnings("ignore:No mass column")
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
    # Counted from 1 as everywhere else; the columns of probabilities begin with p0.
    assert [int(row[6]) for row in first] == (probabilities[0].argmax(1) + 1).tolist()


def test_who_asks_for_the_report_gets_the_dump_that_the_system_asks_for(systems):
    planned = systems.planned("--forcerun", "export_dump", "results/peo_litfsi/report.pdf")
    assert planned.get("export_dump") == 1


def test_another_scale_is_another_system(systems):
    planned = systems.planned("--config", "scale=small")
    assert {"build", "simulate", "train"} <= set(planned)


def test_the_targets_are_at_the_interface(systems):
    """Of two times four layers of 12 Si atoms, the two on each side, and the Si of the liquid."""
    with h5py.File(systems.results / "si_au/states/test.h5") as file:
        targets = file["target_ids"][:, 0]
    with h5py.File(systems.results / "si_au/trajectory/0.h5") as file:
        elements, ids = file["atoms/element"].asstr()[:], file["atoms/id"][:]
        z = file["position"][0, :, 2] / file["cell"][0, 2, 2] % 1.0
    assert set(elements[np.isin(ids, targets)]) == {"Si"}
    assert len(targets) == 4 * 12 + round(0.38 * 90)
    deep = z[(elements == "Si") & ~np.isin(ids, targets)]
    assert (np.abs(deep - np.rint(deep)) < 0.15).all()  # about the periodic boundary, where the two slabs meet


def test_crystal_and_liquid_beside_the_order_parameter(systems):
    summary = summary_of(systems, "si_au")
    order = summary["order_parameter"]
    assert 0 <= order["disagreement"] <= 1
    assert len(order["mean"]) == 2
    profile = pd.read_csv(systems.results / "si_au/analysis/order_profile.csv")
    crystal = profile[profile["place_A"] < 5]
    liquid = profile[(profile["place_A"] - profile["place_A"].mean()).abs() < 4]
    assert np.average(crystal["by_order"].dropna(), weights=crystal["samples"][crystal["by_order"].notna()]) > 0.8
    assert np.average(liquid["by_order"].dropna(), weights=liquid["samples"][liquid["by_order"].notna()]) < 0.2
    assert summary["transitions"][0]["forward"] >= 0
    assert (systems.results / "si_au/figures/order.pdf").exists()


def test_a_target_is_a_molecule_of_three_atoms(systems):
    with h5py.File(systems.results / "water/states/test.h5") as file:
        assert file["target_ids"].shape == (64, 3)
        assert file["probabilities"].shape[1:] == (64, 2)
    table = pd.read_csv(systems.results / "water/analysis/structure.csv")
    total = table.groupby(["group", "r_A"])["g"].sum()
    assert total["O"].idxmax() == pytest.approx(2.75, abs=0.15)  # neighbors, and none of the molecule's own atoms
    assert total["H"][:2.3].idxmax() == pytest.approx(1.8, abs=0.15)
    assert total["H"][:1.3].max() == 0


def test_all_systems_side_by_side(systems):
    table = pd.read_csv(systems.results / "comparison.csv").set_index("system")
    assert list(table.index) == SYSTEMS
    for name in SYSTEMS:
        summary = summary_of(systems, name)
        assert table.loc[name, "population_1"] == pytest.approx(summary["populations"][0])
        assert table.loc[name, "ck_passed"] == summary["ck_passed"]
    assert (systems.results / "comparison.pdf").exists()


def test_an_edit_of_one_system_touches_that_one_alone(systems):
    assert systems.planned() == {}
    before = (systems.folder / "systems/water.yaml").read_text()
    systems.edit("water", kinetics={"chunks": 4})
    status, said = systems.snakemake("--dry-run")
    assert status == 0, said
    touched = set(re.findall(r"^Job \d+: ([^:\n]+)", said, re.M))
    assert touched == {"water", "comparing the systems"}
    (systems.folder / "systems/water.yaml").write_text(before)


def test_a_model_is_applied_to_another_trajectory(systems):
    """At another temperature, in two runs: nothing is trained, each run is analysed, and what is new to it is told."""
    water = yaml.safe_load((systems.folder / "systems/water.yaml").read_text())
    applied = {
        "apply": "water",
        "scales": {
            "test": water["scales"]["test"] | {
                "simulate": {
                    "structure": {"molecules": 64, "density_g_cm3": 0.5},
                    "length_ps": 6,
                    "runs": 2,
                    "variables": {"T": [298, 900], "press_ps": 4, "settle_ps": 1, "cutoff": 5.5},
                },
                "search": None, "seeds": None,
            }
        },
        "simulate": water["simulate"],
        "scale": "test",
        "trajectory": water["trajectory"] | {"labels": ["298 K", "900 K"]},
        "targets": water["targets"],
        "structure": water["structure"],
    }  # fmt: skip
    for key in ("search", "seeds"):
        del applied["scales"]["test"][key]
    (systems.folder / "systems/hot.yaml").write_text(yaml.safe_dump(applied))
    planned = systems.planned("--config", "systems=hot")
    assert "train" not in planned
    assert "select" not in planned
    status, said = systems.snakemake("--config", "systems=hot")
    assert status == 0, said
    summary = summary_of(systems, "hot")
    assert summary["applied"] == "water"
    assert [one["label"] for one in summary["by_trajectory"]] == ["298 K", "900 K"]
    assert np.sum(summary["by_trajectory"][1]["populations"]) == pytest.approx(1.0)
    assert any("unlike any that the model was trained on" in sentence for sentence in summary["warnings"])
    assert (systems.results / "hot/figures/trajectories.pdf").exists()
    assert not (systems.results / "hot/trials").exists()
    with (
        h5py.File(systems.results / "hot/states/test.h5") as hot,
        h5py.File(systems.results / "water/states/test.h5") as own,
    ):
        assert hot.attrs["order"].tolist() == own.attrs["order"].tolist()


def test_what_is_looked_at_now_takes_the_model_of_another_system_as_it_is(systems):
    """Even while that one is lengthened, which would simulate and train anew; and the whole report comes out."""
    before = (systems.folder / "systems/water.yaml").read_text()
    longer = yaml.safe_load(before)
    longer["scales"]["test"]["simulate"]["length_ps"] = 16
    (systems.folder / "systems/water.yaml").write_text(yaml.safe_dump(longer))
    now = ("--config", "systems=hot", "until=now")
    systems.env = os.environ | {"GDYN_RUNS_SO_FAR": "{"}  # whatever an earlier one has left
    try:
        planned = systems.planned(*now)
        assert not {"prepare", "simulate", "train", "select"} & set(planned)
        assert (planned["ingest"], planned["predict"]) == (2, 1)
        status, said = systems.snakemake(*now)
        assert status == 0, said
    finally:
        systems.env = None
        (systems.folder / "systems/water.yaml").write_text(before)
    summary = summary_of(systems, "hot@now")
    assert summary["planned_ps"] == {"length_ps": 6, "reached_ps": pytest.approx([6, 6]), "not_begun": []}
    assert summary["populations"] == summary_of(systems, "hot")["populations"]
    assert not [sentence for sentence in summary["warnings"] if "still being written" in sentence]
    assert (systems.results / "hot@now/report.pdf").exists()
