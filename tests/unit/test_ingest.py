"""From dumps to the trajectory store: units, time, segments, identity, and what bad input is told."""

import bz2
import gzip

import numpy as np
import pytest
import zstandard
from helpers import dump_text

from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.store import TrajectoryStore
from gdyn.trajectory.identity import element_of_mass
from gdyn.trajectory.ingest import ingest

ATOMS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])
DATA = """a comment

3 atoms
3 atom types
0.0 6.5 xlo xhi
0.0 6.5 ylo yhi
0.0 6.5 zlo zhi

Masses

1 6.941
2 32.065
3 1.0

Atoms # full

2 7 2 -0.5 4.0 5.0 6.0
1 7 1 1.0 1.0 2.0 3.0
3 8 2 -0.5 0.5 0.25 0.125
"""


def settings(**changes):
    return Trajectory(**{"files": ["x"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 0.1} | changes)


def frames(n, begin=0, **look):
    """Frames 100 steps apart in which everything moves along by 0.1 A a frame."""
    return [dump_text(ATOMS + 0.1 * t, step=100 * t, **look) for t in range(begin, begin + n)]


def read(tmp_path, *texts, name="a{}.lammpstrj", **changes):
    store = tmp_path / "a.h5"
    paths = []
    for number, text in enumerate(texts):
        paths.append(tmp_path / name.format(number))
        paths[-1].write_bytes(text if isinstance(text, bytes) else "".join(text).encode())
    ingest(paths, store, settings(**changes))
    return store


def problem(tmp_path, *texts, **changes):
    with pytest.raises(InputError) as caught:
        read(tmp_path, *texts, **changes)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".h5"] == [], "something half-written stays"
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def contents(store):
    with TrajectoryStore.open(store) as opened:
        return opened.step.tolist(), opened.segment.tolist(), opened.time_ps, opened.positions(), opened.unwrapped


def test_a_dump_is_stored_in_gdyn_units(tmp_path):
    with TrajectoryStore.open(read(tmp_path, frames(5, columns="id mol type element q xu yu zu"))) as store:
        assert len(store) == 5
        assert store.unwrapped == "yes"
        assert store.periodic == (True, True, True)
        np.testing.assert_allclose(store.positions(3), ATOMS + 0.3, atol=1e-5)
        np.testing.assert_allclose(store.positions(atoms=[2])[:, 0], ATOMS[2] + 0.1 * np.arange(5)[:, None], atol=1e-5)
        np.testing.assert_allclose(store.cells()[0], np.diag([6.5] * 3), atol=1e-6)
        np.testing.assert_allclose(store.time_ps, [0, 0.1, 0.2, 0.3, 0.4])
        assert store.step.tolist() == [0, 100, 200, 300, 400]
        assert store.atoms.element.tolist() == ["Li", "S", "S"]
        assert store.atoms.molecule.tolist() == [1, 1, 2]
        assert store.atoms.charge_e.tolist() == [0.5, 0.5, 0.5]
        assert store.checksum.startswith("sha256:")


def test_units_are_converted_at_the_door(tmp_path):
    store = read(tmp_path, frames(2), units="nano", timestep=1e-6, frame_interval_ps=0.1)
    with TrajectoryStore.open(store) as store:
        np.testing.assert_allclose(store.positions(0), 10 * ATOMS, atol=1e-4)
        np.testing.assert_allclose(store.cells()[0], np.diag([65.0] * 3), atol=1e-4)
        np.testing.assert_allclose(store.time_ps, [0, 0.1])


def test_atoms_are_ordered_by_id(tmp_path):
    lines = frames(1)[0].splitlines(keepends=True)
    with TrajectoryStore.open(read(tmp_path, lines[:9] + lines[:8:-1])) as store:
        assert store.atoms.id.tolist() == [1, 2, 3]
        assert store.atoms.element.tolist() == ["Li", "S", "S"]
        np.testing.assert_allclose(store.positions(0), ATOMS, atol=1e-5)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_compressed_dumps_are_known_by_their_content(tmp_path, pack):
    plain = contents(read(tmp_path, frames(30)))
    packed = contents(read(tmp_path, pack("".join(frames(30)).encode())))
    for one, other in zip(plain, packed, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstandard.compress])
def test_a_compressed_dump_that_breaks_off(tmp_path, caplog, pack):
    rng = np.random.default_rng(0)
    text = "".join(dump_text(rng.uniform(0, 6, (40, 3)), step=100 * t) for t in range(900))
    packed = pack(text.encode())
    steps = contents(read(tmp_path, packed[: 4 * len(packed) // 5]))[0]
    if pack is not bz2.compress:  # which has blocks of 900 kB
        assert 300 < len(steps) < 900
    assert "ends within a frame (the compressed data break off): that last frame is left out" in caplog.text


def test_several_members_of_gzip_one_after_another(tmp_path):
    text = "".join(frames(20)).encode()
    packed = gzip.compress(text[:700]) + gzip.compress(text[700:])
    assert len(contents(read(tmp_path, packed))[0]) == 20


def test_a_last_frame_that_is_cut_off_is_left_out(tmp_path, caplog):
    text = "".join(frames(3))
    one = len(frames(1)[0])
    for cut in (1, 3, 40, one - 20):
        caplog.clear()
        with TrajectoryStore.open(read(tmp_path, text[:-cut])) as store:
            assert len(store) == 2
        assert "ends within a frame: that last frame is left out, 2 are whole" in caplog.text
    caplog.clear()
    with TrajectoryStore.open(read(tmp_path, text)) as store:
        assert len(store) == 3
    assert not caplog.text


def test_a_frame_that_breaks_off_in_the_middle_leaves_a_gap(tmp_path, caplog):
    parts = frames(6)
    for cut in (5, 30):
        broken = [*parts[:2], parts[2][:-cut], *parts[3:]]
        steps, segment, *_ = contents(read(tmp_path, broken))
        assert steps == [0, 100, 300, 400, 500]
        assert segment == [0, 0, 1, 1, 1]
    assert "a frame breaks off after" in caplog.text
    assert "step 300 follows step 100: a gap; no pair of frames crosses it" in caplog.text


def test_a_continued_run_repeats_frames(tmp_path, caplog):
    steps, segment, _, positions, _ = contents(read(tmp_path, frames(5), frames(5, begin=3)))
    assert steps == [100 * t for t in range(8)]
    assert set(segment) == {0}
    np.testing.assert_allclose(positions[:, 0, 0], 1 + 0.1 * np.arange(8), atol=1e-5)
    assert "repeated frames, dropped: 2" in caplog.text


def test_a_run_continued_on_another_path_is_a_segment_of_its_own(tmp_path, caplog):
    other = [dump_text(ATOMS - 0.3 * t, step=100 * t) for t in range(3, 8)]
    steps, segment, time_ps, *_ = contents(read(tmp_path, frames(5), other))
    assert steps == [0, 100, 200, 300, 400, 300, 400, 500, 600, 700]
    assert segment == [0] * 5 + [1] * 5
    np.testing.assert_allclose(time_ps, 0.1 * np.arange(10))
    assert "the run was continued on another path" in caplog.text


def test_reset_timestep_begins_a_segment(tmp_path):
    later = [dump_text(ATOMS + 0.1 * t, step=100 * (t - 5)) for t in range(5, 8)]
    begun = frames(3, begin=2)
    steps, segment, time_ps, *_ = contents(read(tmp_path, begun, later))
    assert steps == [200, 300, 400, 0, 100, 200]
    assert segment == [0, 0, 0, 1, 1, 1]
    np.testing.assert_allclose(time_ps, 0.2 + 0.1 * np.arange(6))


def test_a_multiple_of_the_interval_takes_every_nth_frame(tmp_path, caplog):
    steps, segment, *_ = contents(read(tmp_path, frames(9), frame_interval_ps=0.3))
    assert steps == [0, 300, 600]
    assert segment == [0, 0, 0]
    assert "frames between multiples of 0.3 ps, passed over: 6" in caplog.text


def test_an_interval_that_changes_by_a_whole_factor_makes_segments(tmp_path):
    parts = frames(13)
    steps, segment, *_ = contents(read(tmp_path, parts[:8] + parts[9:12:2] + parts[12:]))
    assert steps == [*range(0, 800, 100), 900, 1100, 1200]
    assert segment == [0] * 8 + [1, 2, 2]


@pytest.mark.parametrize(
    ("steps", "interval"),
    [([0, 200, 400, 600], 0.1), ([0, 70, 140, 210], 0.1), ([0, 100, 300, 500, 700, 900], 0.1)],
)
def test_frames_that_are_not_the_interval_apart(tmp_path, steps, interval):
    text = [dump_text(ATOMS, step=step) for step in steps]
    assert "trajectory.frame_interval_ps" in problem(tmp_path, text, frame_interval_ps=interval)


def timed(n, dt, units="metal"):
    parts = [f"ITEM: TIME\n{dt * 100 * t}\n{text}" for t, text in enumerate(frames(n))]
    return "".join([f"ITEM: UNITS\n{units}\n", *parts])


def test_units_and_time_in_a_dump_are_checked(tmp_path):
    assert contents(read(tmp_path, timed(4, 0.001)))[0] == [0, 100, 200, 300]
    sentence = problem(tmp_path / "..", timed(4, 0.002), name=f"{tmp_path.name}/b{{}}.lammpstrj")
    assert "100 steps took 0.2 ps by the dump's own time" in sentence
    assert "trajectory.timestep and trajectory.units make that 0.1 ps" in sentence


def test_units_that_contradict_the_configuration(tmp_path):
    assert "the dump says that its units are real, but trajectory.units is metal" in problem(
        tmp_path, timed(2, 0.001, "real")
    )


def wrapped(n, step, **look):
    text = []
    for t in range(n):
        text.append(dump_text((ATOMS + step * t) % 6.5, step=100 * t, columns="id type element x y z", **look))
    return text


def test_wrapped_coordinates_are_unwrapped_by_steps_to_the_nearest_image(tmp_path):
    *_, positions, unwrapped = contents(read(tmp_path, wrapped(20, 1.3)))
    assert unwrapped == "rebuilt"
    np.testing.assert_allclose(positions - positions[0], np.arange(20)[:, None, None] * 1.3 + 0 * positions, atol=1e-3)


def test_steps_too_long_to_be_unwrapped_are_told(tmp_path, caplog):
    *_, unwrapped = contents(read(tmp_path, wrapped(20, 3.2)))
    assert unwrapped == "no"
    assert "moves by 0.49 of a lattice vector" in caplog.text
    assert "displacements are meaningless; dump xu yu zu" in caplog.text


def test_boundaries_that_are_not_periodic_are_kept(tmp_path):
    with TrajectoryStore.open(read(tmp_path, frames(2, boundary="pp ff ss"))) as store:
        assert store.periodic == (True, False, False)


# Who is what ---------------------------------------------------------------------------------------------------------


def test_elements_from_the_configuration(tmp_path):
    store = read(tmp_path, frames(2, columns="id type xu yu zu"), elements={1: "Na", 2: "Cl"})
    with TrajectoryStore.open(store) as store:
        assert store.atoms.element.tolist() == ["Na", "Cl", "Cl"]


def test_elements_charges_and_molecules_from_a_data_file(tmp_path):
    (tmp_path / "a.data").write_text(DATA)
    store = read(tmp_path, frames(2, columns="id type xu yu zu"), topology=str(tmp_path / "a.data"))
    with TrajectoryStore.open(store) as store:
        assert store.atoms.element.tolist() == ["Li", "S", "S"]
        assert store.atoms.charge_e.tolist() == [1.0, -0.5, -0.5]
        assert store.atoms.molecule.tolist() == [7, 7, 8]


def test_what_the_dump_says_goes_before_the_data_file(tmp_path):
    (tmp_path / "a.data").write_text(DATA.replace("6.941", "22.99"))
    look = {"columns": "id mol type element q xu yu zu"}
    with TrajectoryStore.open(read(tmp_path, frames(2, **look), topology=str(tmp_path / "a.data"))) as store:
        assert store.atoms.element.tolist() == ["Li", "S", "S"]
        assert store.atoms.charge_e.tolist() == [0.5, 0.5, 0.5]
        assert store.atoms.molecule.tolist() == [1, 1, 2]
    (tmp_path / "a.h5").unlink()
    store = read(tmp_path, frames(2, columns="id type xu yu zu"), topology=str(tmp_path / "a.data"), elements={1: "K"})
    with TrajectoryStore.open(store) as store:
        assert store.atoms.element.tolist() == ["K", "S", "S"]


def test_the_default_element_of_lammps_is_not_believed(tmp_path, caplog):
    text = [part.replace("Li", "C").replace(" S ", " C ") for part in frames(2)]
    with TrajectoryStore.open(read(tmp_path, text, elements={1: "Li", 2: "S"})) as store:
        assert store.atoms.element.tolist() == ["Li", "S", "S"]
    assert "the element column says C for every atom" in caplog.text


@pytest.mark.parametrize(
    ("mass", "element"),
    [(6.941, "Li"), (12.0, "C"), (12.0112, "C"), (1.00797, "H"), (15.9994, "O"), (196.97, "Au"), (28.0855, "Si")],
)
def test_elements_of_masses(mass, element):
    assert element_of_mass(mass) == element


@pytest.mark.parametrize("mass", [14.027, 15.035, 3.024, 72.0])
def test_united_atoms_and_beads_are_no_elements(mass):
    assert element_of_mass(mass) is None


def test_a_mass_that_is_no_element(tmp_path):
    (tmp_path / "a.data").write_text(DATA.replace("6.941", "14.027"))
    sentence = problem(tmp_path, frames(2, columns="id type xu yu zu"), topology=str(tmp_path / "a.data"))
    assert "no element has the mass 14.027 of type 1; add it under trajectory.elements, e.g. {1: Li}" in sentence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace("3 8 2", "9 8 2"), "atom id 3 of"),
        (lambda text: text.replace("3 8 2", "3 8 3"), "atom id 3 has type 3 there, but type 2 in"),
        (lambda text: text.replace("full", "sphere"), "the atom style 'sphere' of this data file cannot be read"),
        (lambda text: "nonsense\n", "this is not a LAMMPS data file that can be read"),
    ],
)
def test_data_files_that_do_not_fit(tmp_path, change, says):
    (tmp_path / "a.data").write_text(change(DATA))
    text = frames(2, columns="id type xu yu zu")
    assert says in problem(tmp_path, text, topology=str(tmp_path / "a.data"))


def test_a_data_file_that_is_not_there(tmp_path):
    assert "no.data: there is no such file" in problem(tmp_path, frames(2), topology=str(tmp_path / "no.data"))


def test_a_type_without_an_element(tmp_path):
    sentence = problem(tmp_path, frames(2, columns="id type xu yu zu"), elements={1: "Li"})
    assert "nothing says which element type 2 is; add it under trajectory.elements" in sentence


def test_an_element_column_that_contradicts_the_type_map(tmp_path):
    sentence = problem(tmp_path, frames(2), elements={1: "Na"})
    assert "atom id 1 is Li by the element column, but trajectory.elements says that type 1 is Na" in sentence


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "the file is empty"),
        (lambda text: "hello\nworld\n" * 9, "line 1: 'hello' stands where a LAMMPS text dump has 'ITEM: TIMESTEP'"),
        (lambda text: text[:60], "there is not one whole frame in it"),
        (lambda text: text[:150], "there is not one whole frame in it"),
        (lambda text: text.replace("id type", "nr type"), "frame 0 (counted from 0), line 9: there is no column id"),
        (lambda text: text.replace("type element", "a b"), "there is neither a column type nor a column element"),
        (lambda text: text.replace("xu yu zu", "vx vy vz"), "there are no coordinates among the columns"),
        (lambda text: text.replace("1.3000", "nan"), "frame 3 (counted from 0), line 46: xu of atom id 1 is 'nan'"),
        (lambda text: text.replace("5.3000", "oops"), "frame 3 (counted from 0), line 47: yu of atom id 2 is 'oops'"),
        (lambda text: text.replace("1.3000 ", ""), "frame 3 (counted from 0), line 46: there are 5 words where"),
        (lambda text: text.replace("1.3000 ", "1.3 1.3 "), "line 46: there are 7 words where the columns are 6"),
        (lambda text: text.replace("3 2 S", "2 2 S"), "line 12: the atom id 2 comes twice"),
        (lambda text: text.replace("\n3 2 S 0.8", "\n7 2 S 0.8"), "frame 3 (counted from 0), line 48: the atom id 7"),
        (
            lambda text: text.replace("\n2 2 S 4.2", "\n2 1 S 4.2"),
            "frame 2 (counted from 0): atom id 2 changes its type",
        ),
        (lambda text: text.replace("0.0 6.5", "0.0 abc", 1), "line 6: a box bound is not a number"),
        (lambda text: text.replace("0.0 6.5", "0.0 0.0", 1), "line 6: the box has no volume, or a negative one"),
        (lambda text: text.replace("0.0 6.5", "6.5 0.0"), "the box has no volume, or a negative one"),
        (lambda text: text.replace("\n300\n", "\nxyz\n"), "line 38: 'xyz' stands below 'ITEM: TIMESTEP'"),
        (lambda text: text.replace("ITEM: TIMESTEP\n300", "ITEM: TIM\n300"), "'ITEM: TIM' stands where"),
    ],
)
def test_bad_dumps(tmp_path, change, says):
    assert says in problem(tmp_path, change("".join(frames(5))))


def test_atoms_that_come_and_go(tmp_path):
    text = frames(3)[0] + dump_text(ATOMS[:2], step=100) + frames(3)[2]
    assert "frame 1 (counted from 0), line 22: there are 2 atoms, but 3 in the first frame" in problem(tmp_path, text)


def test_parts_with_other_atoms_or_coordinates(tmp_path):
    other = dump_text(ATOMS[:2], step=300)
    assert "its atoms are not those of the files before" in problem(tmp_path, frames(3), other)
    assert "wrapped coordinates follow unwrapped ones" in problem(tmp_path, frames(3), wrapped(3, 0.1))


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        ingest([tmp_path / "no.dump"], tmp_path / "a.h5", settings())


def test_a_folder(tmp_path):
    with pytest.raises(InputError, match="this is a folder; name the files in it"):
        ingest([tmp_path], tmp_path / "a.h5", settings())


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("gdyn.trajectory.streams.open", refuse, raising=False)
    with pytest.raises(InputError, match=r"a\.dump: cannot be read \(Permission denied\); check its permissions"):
        ingest([tmp_path / "a.dump"], tmp_path / "a.h5", settings())
