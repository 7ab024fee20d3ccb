"""The reader of dumps against every place where a file can break off, and against damage of any kind."""

import gzip

import numpy as np
import pytest
from helpers import dump_text

from gdyn.errors import InputError
from gdyn.trajectory import scan
from gdyn.trajectory.dump import Dump

ATOMS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [0.5, 0.25, 0.125]])
TEXT = "".join(dump_text(ATOMS + t, step=10 * t) for t in range(4)).encode()
ENDS = np.cumsum([len(dump_text(ATOMS + t, step=10 * t)) for t in range(4)])


def tables(path):
    with Dump(path, ["xu", "yu", "zu"]) as dump:
        return [(frame.step, frame.table) for frame in dump]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_breaks_off_anywhere_gives_its_whole_frames(tmp_path, pack):
    path = tmp_path / "a"
    for cut in range(1, len(TEXT) + 1, 1 if pack is bytes else 7):
        path.write_bytes(pack(TEXT[:cut]))
        whole = int((cut >= ENDS).sum())
        if whole == 0:
            with pytest.raises(InputError, match="there is not one whole frame in it"):
                Dump(path)
            continue
        found = tables(path)
        assert [step for step, _ in found] == [10 * t for t in range(whole)]
        for t, (_, table) in enumerate(found):
            np.testing.assert_allclose(table[:, 1:], ATOMS + t, atol=1e-9)
        with Dump(path) as dump:
            assert dump.n_frames == whole


def test_damage_of_any_kind_is_told_and_never_a_crash(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "a"
    sentences = []
    for _ in range(1500):
        content = bytearray(TEXT)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content)))
            kind = rng.integers(3)
            if kind == 0:
                content[at] = int(rng.integers(256))
            elif kind == 1:
                del content[at : at + int(rng.integers(1, 30))]
            else:
                content[at:at] = rng.integers(0, 256, int(rng.integers(1, 9))).astype(np.uint8).tobytes()
        path.write_bytes(bytes(content))
        try:
            found = tables(path)
        except InputError as error:
            sentences.append(str(error))
            continue
        assert all(np.isfinite(table).all() for _, table in found)
    assert len(sentences) > 500
    assert all(sentence.startswith(str(path)) and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize(
    "word",
    [
        "0",
        "-1",
        "+2.5",
        "0.0001",
        "-12345.678901",
        "1e-5",
        "1E+22",
        "6.02214076e23",
        ".5",
        "5.",
        "3.141592653589793",
        "100000000000000000000",
        "123456789012345678901234.5",
        "0.00000000000000000000123456789012345678",
        "-1.5e-30",
    ],
)
def test_numbers_are_those_of_python(word):
    text = np.frombuffer(f"{word}\t{word} \r\n".encode(), np.uint8)
    table = np.zeros((1, 2))
    status, *_ = scan.parse_rows(text, 0, len(text), np.arange(2), table)
    assert status == scan.DONE
    np.testing.assert_allclose(table[0], float(word), rtol=3e-16)


@pytest.mark.parametrize("word", ["nan", "inf", "1.2.3", "-", "1e", "abc", "12a", "1e5x", "--1", "0x10", "1,5"])
def test_what_is_not_a_number(word):
    text = np.frombuffer(f"{word} 1\n".encode(), np.uint8)
    status, *_ = scan.parse_rows(text, 0, len(text), np.arange(2), np.zeros((1, 2)))
    assert status == scan.NOT_A_NUMBER


def test_frames_that_break_off_do_not_hide_those_after_them(tmp_path):
    """A run that was killed twice and appended to its dump: the index skips what the reader skips."""
    parts = [dump_text(ATOMS + t, step=10 * t) for t in range(8)]
    parts[2], parts[5] = parts[2][:-20], parts[5][: len(parts[5]) // 2 + 30]
    (tmp_path / "a").write_text("".join(parts))
    steps = [step for step, _ in tables(tmp_path / "a")]
    assert steps == [0, 10, 30, 40, 60, 70]
