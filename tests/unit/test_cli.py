"""The first two minutes: what a file holds, and a system file drafted from it."""

import gzip

import numpy as np
import pytest
import yaml
from helpers import dump_text, states_of

from gdyn.config import load_config, load_system
from gdyn.errors import ConfigError
from gdyn.files import expand
from gdyn.tools.cli import main

ATOMS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])
DECK = """units    real   # for organic matter
variable dt index 2.0
timestep ${dt}
dump     1 all custom 100 a.lammpstrj id type xu yu zu
dump_modify 1 sort id element Li S H
"""


def write(folder, name="a.lammpstrj", steps=range(0, 1000, 100), **look):
    path = folder / name
    path.write_text("".join(dump_text(ATOMS, step=step, **look) for step in steps))
    return str(path)


def inspect(capsys, *paths, status=0):
    assert main(["inspect", *map(str, paths)]) == status
    said = capsys.readouterr()
    return said.out if status == 0 else said.err


def new(capsys, folder, *arguments, status=0):
    assert main(["new", "mine", "--system-dir", str(folder / "systems"), *map(str, arguments)]) == status
    said = capsys.readouterr()
    return said.out if status == 0 else said.err


def system(folder):
    return load_system("mine", load_config({"systems": ["mine"], "system_dir": str(folder / "systems")}))


def lines(text):
    """The facts by their names."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in text.splitlines() if line.startswith("  ")}


@pytest.mark.parametrize("packed", [False, True])
def test_inspect_tells_what_a_dump_holds(tmp_path, capsys, packed):
    path = write(tmp_path, columns="id mol type element q xu yu zu", boundary="pp ff pp")
    if packed:
        (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a.lammpstrj").read_bytes()))
        path = tmp_path / "a.gz"
    said = inspect(capsys, path)
    facts = lines(said)
    assert facts["frames"] == "10"
    assert facts["steps"] == "0 to 900, every 100"
    assert facts["atoms"] == "3, ids 1 to 3, in order"
    assert facts["types"] == "1 (Li): 1, 2 (S): 2"
    assert facts["elements"] == "Li: 1, S: 2"
    assert facts["molecules"] == "2"
    assert facts["charges"] == "+1.5000 in all"
    assert facts["box"] == "orthogonal, 6.5 x 6.5 x 6.5, periodic along a and c only, constant"
    assert facts["positions"] == "xu yu zu, unwrapped"
    assert facts["columns"] == "id mol type element q xu yu zu"
    assert "no problems found" in said
    assert (": LAMMPS dump, compressed" in said) == packed


def test_inspect_finds_problems(tmp_path, capsys):
    path = write(tmp_path, steps=[0, 100, 200, 200, 500, 600, 0, 100, 200], columns="id type x y z")
    with open(path, "a") as file:
        file.write("ITEM: TIMESTEP\n300\nITEM: NUM")
    said = inspect(capsys, path)
    assert "frames     9, and 1 incomplete, which will be left out" in said
    assert "frames that repeat the step of the one before, and are dropped: 1" in said
    assert "the steps begin again (times: 1), first after step 600 with step 0" in said
    assert (
        "the interval is not always 100 steps (exceptions: 1), first after step 200, which is followed by step 500"
        in said
    )
    assert "elements   not in this dump: a type map or a data file is needed" in said
    assert "wrapped: will be unwrapped from frame to frame" in said


def test_inspect_tells_of_steps_too_long_to_unwrap(tmp_path, capsys):
    (tmp_path / "a.lammpstrj").write_text(
        "".join(dump_text((ATOMS + 3.2 * t) % 6.5, step=t, columns="id type element x y z") for t in range(9))
    )
    assert "moves by 0.49 of a lattice vector: these wrapped positions cannot be unwrapped" in inspect(
        capsys, tmp_path / "a.lammpstrj"
    )


def test_inspect_gdyns_own_files_and_data_files(tmp_path, capsys):
    states_of(np.array([[0, 1], [1, 1]]), 2).write(tmp_path / "test.h5")
    said = inspect(capsys, tmp_path / "test.h5")
    assert "gdyn-states, version 1" in said
    assert "2 frames from 0 to 1 ps in 1 segments" in said
    (tmp_path / "a.data").write_text(
        "x\n\n2 atoms\n1 atom types\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\nMasses\n\n1 6.94\n\n"
        "Atoms # charge\n\n1 1 0.5 0 0 0\n2 1 0.5 1 1 1\n"
    )
    said = inspect(capsys, tmp_path / "a.data")
    assert "type 1     2 atoms, mass 6.94: Li, charge +0.5 on average" in said
    assert "charges    +1.0000 in all" in said


@pytest.mark.parametrize(("content", "says"), [("", "the file is empty"), ("hello\n", "cannot be read by MDAnalysis")])
def test_inspect_what_is_no_trajectory(tmp_path, capsys, content, says):
    (tmp_path / "a.txt").write_text(content)
    assert says in inspect(capsys, tmp_path / "a.txt", status=1)
    assert "there is no such file" in inspect(capsys, tmp_path / "b.txt", status=1)
    assert "this is a folder" in inspect(capsys, tmp_path, status=1)


def test_new_finds_units_timestep_and_elements_in_the_deck(tmp_path, capsys):
    (tmp_path / "in.prod").write_text(DECK)
    said = new(capsys, tmp_path, write(tmp_path, columns="id type xu yu zu"))
    assert "To fill in" not in said
    made = system(tmp_path)
    assert made.trajectory.units == "real"
    assert made.trajectory.timestep == 2.0
    assert made.trajectory.frame_interval_ps == pytest.approx(0.2)
    assert made.trajectory.elements == {1: "Li", 2: "S"}
    assert made.targets.selection == "element Li"


def test_new_leaves_open_only_what_no_file_says(tmp_path, capsys):
    said = new(capsys, tmp_path, write(tmp_path))
    assert (
        "To fill in, because no file says it: trajectory.units, trajectory.timestep, trajectory.frame_interval_ps"
        in said
    )
    with pytest.raises(ConfigError, match=r"trajectory\.timestep: .* 'FILL_IN'"):
        system(tmp_path)
    text = (tmp_path / "systems" / "mine.yaml").read_text()
    assert yaml.safe_load(text)["trajectory"]["units"] == "FILL_IN"


def test_new_takes_what_it_is_told(tmp_path, capsys):
    told = ["--units", "metal", "--timestep", "0.001", "--targets", "element S"]
    assert "To fill in" not in new(capsys, tmp_path, write(tmp_path), *told)
    made = system(tmp_path)
    assert (made.trajectory.units, made.trajectory.frame_interval_ps) == ("metal", 0.1)
    assert made.targets.selection == "element S"


def test_new_does_not_choose_between_decks_that_differ(tmp_path, capsys):
    (tmp_path / "in.one").write_text("units metal\ntimestep 0.001\n")
    (tmp_path / "in.two").write_text("units metal\ntimestep 0.002\n")
    said = new(capsys, tmp_path, write(tmp_path))
    assert "trajectory.timestep: 0.001 (" in said
    assert "To fill in, because no file says it: trajectory.timestep," in said


def test_new_knows_the_parts_of_one_trajectory(tmp_path, capsys):
    told = ["--units", "metal", "--timestep", "0.001"]
    parts = [write(tmp_path, "a1", range(0, 500, 100)), write(tmp_path, "a2", range(400, 900, 100))]
    other = write(tmp_path, "b", range(0, 700, 100))
    new(capsys, tmp_path, other, parts[1], parts[0], *told)
    assert system(tmp_path).trajectory.files == [other, parts]


def test_new_finds_the_data_file(tmp_path, capsys):
    (tmp_path / "in.prod").write_text("units metal\ntimestep 0.001\nread_data start\n")
    (tmp_path / "start").write_text(
        "x\n\n3 atoms\n2 atom types\n0 9 xlo xhi\n0 9 ylo yhi\n0 9 zlo zhi\n\nMasses\n\n1 6.94\n2 32.06\n\n"
        "Atoms # full\n\n1 1 1 0.5 0 0 0\n2 1 2 0.5 1 1 1\n3 2 2 0.5 1 1 1\n"
    )
    new(capsys, tmp_path, write(tmp_path, columns="id type xu yu zu"))
    made = system(tmp_path)
    assert made.trajectory.topology == str(tmp_path / "start")
    assert made.trajectory.elements == {}


def test_new_covers_the_types_of_all_dumps(tmp_path, capsys):
    told = ["--units", "metal", "--timestep", "0.001"]
    few = tmp_path / "few.lammpstrj"
    few.write_text("".join(dump_text(ATOMS[:1], step=step, columns="id type xu yu zu") for step in (0, 100)))
    said = new(capsys, tmp_path, few, write(tmp_path, columns="id type xu yu zu"), *told)
    assert "To fill in, because no file says it: trajectory.elements." in said
    path = tmp_path / "systems" / "mine.yaml"
    assert yaml.safe_load(path.read_text())["trajectory"]["elements"] == {1: "FILL_IN", 2: "FILL_IN"}
    path.unlink()
    # One dump names its atoms, which tells what the types of the other are.
    said = new(capsys, tmp_path, write(tmp_path, "named"), write(tmp_path, columns="id type xu yu zu"), *told)
    assert "To fill in" not in said
    assert system(tmp_path).trajectory.elements == {1: "Li", 2: "S"}
    path.unlink()
    (tmp_path / "in.prod").write_text(DECK)
    new(capsys, tmp_path, few, write(tmp_path, columns="id type xu yu zu"), *told)
    made = system(tmp_path)
    assert made.trajectory.elements == {1: "Li", 2: "S"}
    assert made.targets.selection == "element Li"


def test_new_takes_elements_from_masses(tmp_path, capsys):
    told = ["--units", "metal", "--timestep", "0.001"]
    path = tmp_path / "a.lammpstrj"
    for mass, elements in (("32.06", {}), ("14.027", {2: "FILL_IN"})):
        write(tmp_path, columns="id type xu yu zu")
        text = path.read_text().replace("ATOMS id type", "ATOMS id type mass").replace("\n1 1 ", "\n1 1 6.94 ")
        path.write_text(text.replace("\n2 2 ", f"\n2 2 {mass} ").replace("\n3 2 ", f"\n3 2 {mass} "))
        said = new(capsys, tmp_path, path, *told)
        made = tmp_path / "systems" / "mine.yaml"
        assert yaml.safe_load(made.read_text())["trajectory"].get("elements", {}) == elements
        assert ("trajectory.elements" in said) == bool(elements)
        assert "targets.selection: element Li" in said
        made.unlink()
    assert "by masses in u: Li: 1, no element: 2" in inspect(capsys, path)


def test_new_asks_for_the_masses_of_what_is_no_element(tmp_path, capsys):
    path = write(tmp_path)
    text = (tmp_path / "a.lammpstrj").read_text().replace(" S ", " CH2 ")
    (tmp_path / "a.lammpstrj").write_text(text)
    said = new(capsys, tmp_path, path, "--units", "metal", "--timestep", "0.001")
    assert "To fill in, because no file says it: trajectory.species." in said
    with pytest.raises(ConfigError, match=r"mine\.yaml, line \d+: trajectory\.species\.CH2: is still 'FILL_IN'"):
        system(tmp_path)
    assert "names in the element column that are not chemical elements: CH2; declare them" in inspect(capsys, path)


def test_new_does_not_overwrite(tmp_path, capsys):
    path = write(tmp_path)
    new(capsys, tmp_path, path)
    assert "this system exists already" in new(capsys, tmp_path, path, status=1)


def test_patterns_sort_numbers_as_numbers(tmp_path):
    for number in (1000, 200, 30):
        (tmp_path / f"dump.{number}.lammpstrj").write_text("x")
    found = expand(str(tmp_path / "dump.*.lammpstrj"))
    assert [path.split(".")[-2] for path in found] == ["30", "200", "1000"]
    assert expand(["a", "b"]) == ["a", "b"]
    with pytest.raises(ConfigError, match=r"trajectory\.files: no file fits the pattern"):
        expand(str(tmp_path / "*.nothing"))
