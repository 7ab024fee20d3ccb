import gzip

import numpy as np
import pytest
from helpers import dump_text

from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.store import TrajectoryStore
from gdyn.trajectory.ingest import ingest

ATOMS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])


def settings(**changes):
    return Trajectory(**{"files": ["x"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 0.1} | changes)


def frames(n, **look):
    return [dump_text(ATOMS + 0.1 * t, step=100 * t, **look) for t in range(n)]


def read(tmp_path, text, name="a.lammpstrj", **changes):
    dump, store = tmp_path / name, tmp_path / "a.h5"
    if isinstance(text, bytes):
        dump.write_bytes(text)
    else:
        dump.write_text("".join(text))
    ingest(dump, store, settings(**changes))
    return store


def problem(tmp_path, text, **changes):
    with pytest.raises(InputError) as caught:
        read(tmp_path, text, **changes)
    assert [p.name for p in tmp_path.iterdir() if p.suffix == ".h5"] == [], "something half-written stays"
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


def test_a_dump_is_stored_in_gdyn_units(tmp_path):
    with TrajectoryStore.open(read(tmp_path, frames(5, columns="id mol type element q xu yu zu"))) as store:
        assert len(store) == 5
        assert store.unwrapped
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
        np.testing.assert_allclose(store.positions(0), ATOMS, atol=1e-5)


def test_elements_from_the_configuration(tmp_path):
    store = read(tmp_path, frames(2, columns="id type xu yu zu"), elements={1: "Na", 2: "Cl"})
    with TrajectoryStore.open(store) as store:
        assert store.atoms.element.tolist() == ["Na", "Cl", "Cl"]


def test_wrapped_coordinates_are_marked_so(tmp_path):
    with TrajectoryStore.open(read(tmp_path, frames(2, columns="id type element x y z"))) as store:
        assert not store.unwrapped


def test_compressed_dumps(tmp_path):
    store = read(tmp_path, gzip.compress("".join(frames(3)).encode()), name="a.lammpstrj.gz")
    with TrajectoryStore.open(store) as store:
        assert len(store) == 3


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


def test_a_compressed_dump_that_is_cut_off(tmp_path):
    content = gzip.compress("".join(frames(30)).encode())
    (tmp_path / "a.lammpstrj.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"cannot be read .* is the file cut off or damaged"):
        ingest(tmp_path / "a.lammpstrj.gz", tmp_path / "a.h5", settings())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: "", "the file is empty"),
        (lambda text: "hello\nworld\n" * 9, "line 1: 'hello' stands where a LAMMPS text dump has 'ITEM: TIMESTEP'"),
        (lambda text: text[:60], "line 9: '' stands where a LAMMPS text dump has 'ITEM: ATOMS'"),
        (lambda text: text.replace("id type", "type"), "line 9: there is no column 'id'"),
        (lambda text: text.replace("xu yu zu", "vx vy vz"), "there are no coordinates among the columns"),
        (lambda text: text.replace("1.3000", "nan"), "frame 3 (step 300): the position of atom id 1 is not a number"),
        (lambda text: text.replace("1.3000", "oops"), "frame 3 (counted from 0): cannot be read"),
        (lambda text: text.replace("\n300\n", "\n350\n"), "step 350 follows step 200, which are 0.15 ps"),
        (lambda text: text.replace("pp pp pp", "pp pp ff"), "the boundaries are pp pp ff"),
        (lambda text: "ITEM: UNITS\nmetal\n" + text, "'ITEM: UNITS' headers cannot be read yet"),
        (lambda text: text.replace("0.0 6.5", "0.0 abc", 1), "lines 6 to 8: a box bound is not a number"),
    ],
)
def test_bad_dumps(tmp_path, change, says):
    assert says in problem(tmp_path, change("".join(frames(5))))


def test_atoms_that_come_and_go(tmp_path):
    text = frames(3)[0] + dump_text(ATOMS[:2], step=100) + frames(3)[2]
    assert "frame 1" in problem(tmp_path, text)


def test_a_type_without_an_element(tmp_path):
    sentence = problem(tmp_path, frames(2, columns="id type xu yu zu"), elements={1: "Li"})
    assert "nothing says which element type 2 is; add it under trajectory.elements" in sentence


def test_an_element_column_that_contradicts_the_type_map(tmp_path):
    sentence = problem(tmp_path, frames(2), elements={1: "Na"})
    assert "atom id 1 is Li by the element column, but trajectory.elements says that type 1 is Na" in sentence


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="there is no such file"):
        ingest(tmp_path / "no.dump", tmp_path / "a.h5", settings())


def test_scaled_coordinates_need_a_box_that_begins_at_0(tmp_path):
    look = {"columns": "id type element xs ys zs"}
    with TrajectoryStore.open(read(tmp_path, [dump_text(ATOMS / 6.5, **look)])) as store:
        np.testing.assert_allclose(store.positions(0), ATOMS, atol=1e-3)
    (tmp_path / "a.h5").unlink()
    text = dump_text(ATOMS / 6.5, **look).replace("0.0 6.5", "-1.0 5.5")
    assert "in a box that does not begin at 0" in problem(tmp_path, text)
