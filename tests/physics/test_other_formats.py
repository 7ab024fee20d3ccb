"""Formats other than dumps, written by LAMMPS or MDAnalysis, against the dump of the same run."""

import re
import subprocess
import warnings

import MDAnalysis
import numpy as np
import pytest

from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.simulation.lammps import executable
from gdyn.store import TrajectoryStore
from gdyn.trajectory.ingest import ingest

DECK = """
units metal
atom_style full
boundary p p p
region b prism -1.0 11.0 2.0 13.0 0.5 13.0 {tilt}
create_box 2 b
mass 1 6.94
mass 2 32.06
create_atoms 1 random 10 1 NULL
create_atoms 2 random 20 2 NULL
set type 1 charge 0.5
set type 2 charge -0.25
set type 1 mol 3
pair_style lj/cut 5.0
pair_coeff * * 0.01 2.0
minimize 1e-6 1e-6 500 500
reset_timestep 0
write_data run.data
velocity all create 800 7
timestep 0.002
fix 1 all npt temp 800 800 0.1 tri 3000 3000 0.3
dump a all custom 50 run.lammpstrj id type element x y z
dump_modify a sort id format float %.10g element Li S
dump b all dcd 50 run.dcd
dump c all xtc 50 run.xtc
dump_modify c precision 100000
dump d all extxyz 50 run.extxyz
dump_modify d sort id element Li S
dump e all xyz 50 run.types.extxyz
dump_modify e sort id
run 400
"""
FORMATS = ("run.dcd", "run.xtc", "run.extxyz", "run.h5md", "run.nc")


def settings(folder, **changes):
    about = {"units": "metal", "timestep": 0.002, "frame_interval_ps": 0.1, "topology": str(folder / "run.data")}
    return Trajectory(**about | changes)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the same nine frames in every format, and the dump of them as a store."""
    folder = tmp_path_factory.mktemp("formats")
    (folder / "in.run").write_text(DECK.format(tilt="2.0 -1.0 1.5"))
    command = [*executable("lmp"), "-in", "in.run", "-log", "none"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    ingest([folder / "run.lammpstrj"], folder / "run.h5", settings(folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe.empty(30, trajectory=True)
        universe.load_new(str(folder / "run.xtc"))
        for name in ("run.h5md", "run.nc"):
            with MDAnalysis.Writer(str(folder / name), n_atoms=30, velocities=False, forces=False) as writer:
                for _ in universe.trajectory:
                    writer.write(universe.atoms)
    return folder


def read(folder, name, store, **changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ingest([folder / name], store, settings(folder, **changes))
    with TrajectoryStore.open(store) as opened:
        return opened.positions(), opened.cells(), opened.time_ps, opened.atoms, opened.unwrapped


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_trajectory(run, tmp_path, name):
    with TrajectoryStore.open(run / "run.h5") as store:
        expected, cells, time_ps = store.positions(), store.cells(), store.time_ps
    found, boxes, times, atoms, unwrapped = read(run, name, tmp_path / "a.h5")
    np.testing.assert_allclose(times, time_ps, atol=1e-9)
    np.testing.assert_allclose(boxes, cells, atol=5e-4)
    # The origin of the box, which only a dump knows, moves all atoms alike.
    relative = (found - found[:, :1]) @ np.linalg.inv(boxes) - (expected - expected[:, :1]) @ np.linalg.inv(cells)
    np.testing.assert_allclose(relative - np.rint(relative), 0, atol=2e-4)
    assert atoms.element.tolist() == ["Li"] * 10 + ["S"] * 20
    assert atoms.charge_e.tolist() == [0.5] * 10 + [-0.25] * 20
    assert atoms.molecule.tolist() == [3] * 10 + [0] * 20
    assert unwrapped == "rebuilt"


def test_extxyz_names_its_atoms_itself(run, tmp_path):
    *_, atoms, _ = read(run, "run.extxyz", tmp_path / "a.h5", topology=None)
    assert atoms.element.tolist() == ["Li"] * 10 + ["S"] * 20


def test_frames_without_steps_or_times_are_warned_of(run, tmp_path, caplog):
    text = (run / "run.extxyz").read_text()
    (tmp_path / "a.extxyz").write_text(re.sub(r"Timestep=\d+ Time=\S+ ", "", text))
    _, _, times, _, _ = read(tmp_path, "a.extxyz", tmp_path / "a.h5", topology=None)
    np.testing.assert_allclose(times, 0.1 * np.arange(9))
    assert "its frames are taken to be trajectory.frame_interval_ps apart" in caplog.text


@pytest.mark.parametrize("name", ["run.dcd", "run.xtc", "run.extxyz", "run.h5md", "run.nc"])
def test_times_in_a_file_are_compared_with_the_configuration(run, tmp_path, name):
    with pytest.raises(InputError, match=r"trajectory\.frame_interval_ps is 0\.05"):
        read(run, name, tmp_path / "a.h5", frame_interval_ps=0.05)


@pytest.mark.parametrize("name", ["run.dcd", "run.xtc", "run.h5md", "run.nc"])
def test_formats_without_atoms_need_a_data_file(run, tmp_path, name):
    with pytest.raises(InputError, match=r"does not contain the atoms; .* under trajectory\.topology"):
        read(run, name, tmp_path / "a.h5", topology=None)


def test_formats_without_a_box_are_refused(run, tmp_path):
    with pytest.raises(InputError, match=r"frame 0 .* there is no periodic box in it"):
        read(run, "run.types.extxyz", tmp_path / "a.h5", topology=None, elements={1: "Li", 2: "S"})


def test_a_data_file_of_another_run(run, tmp_path):
    text = (run / "run.data").read_text()
    (tmp_path / "other.data").write_text(text.replace("\n30 3", "\n99 3"))
    lines = [line for line in text.splitlines() if not line.startswith("30 ")]
    (tmp_path / "short.data").write_text("\n".join(lines).replace("30 atoms", "29 atoms"))
    with pytest.raises(InputError, match=r"run\.dcd: "):
        read(run, "run.dcd", tmp_path / "a.h5", topology=str(tmp_path / "short.data"))


def test_a_file_that_is_cut_off(run, tmp_path):
    content = (run / "run.xtc").read_bytes()
    (tmp_path / "run.xtc").write_bytes(content[: len(content) // 2 + 7])
    with pytest.raises(InputError, match=r"run\.xtc"):
        read(tmp_path, "run.xtc", tmp_path / "a.h5", topology=str(run / "run.data"))
    assert not (tmp_path / "a.h5").exists()
