"""LAMMPS text dumps: every style of column and box, in one pass, in constant memory, in the dump's own units."""

import os
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from gdyn.errors import InputError
from gdyn.logs import LOG
from gdyn.trajectory import scan
from gdyn.trajectory.streams import Stream, Window

IMAGES = ("ix", "iy", "iz")
STATIC = ("type", "mol", "q", "mass")  # what does not change from frame to frame
LONGEST_HEADER = 2**16
_BLANK = b" \t\r\n\0"


@dataclass(frozen=True)
class Coordinates:
    """A set of three coordinate columns: whether they are fractions of the box, and whether they are unwrapped."""

    names: tuple
    scaled: bool
    unwrapped: bool


# In the order in which they are preferred; image flags unwrap the last two.
COORDINATES = (
    Coordinates(("xu", "yu", "zu"), scaled=False, unwrapped=True),
    Coordinates(("xsu", "ysu", "zsu"), scaled=True, unwrapped=True),
    Coordinates(("x", "y", "z"), scaled=False, unwrapped=False),
    Coordinates(("xs", "ys", "zs"), scaled=True, unwrapped=False),
)


@dataclass(frozen=True)
class Box:
    """A simulation box: lattice vectors in the rows of ``cell``, ``origin``, and which directions are periodic."""

    cell: np.ndarray
    origin: np.ndarray
    periodic: tuple


@dataclass
class Frame:
    """One frame of a dump in its own units.

    number : counted from 0, whole frames alone.
    line : the number, counted from 1, of its first line in the file; None if that is not known.
    step : LAMMPS time step.
    time : elapsed time, or None where the dump has none (``dump_modify time yes``).
    box : Box
    table : (atoms, columns asked for) float64, ordered by id.
    """

    number: int
    line: int | None
    step: int
    time: float | None
    box: Box
    table: np.ndarray


@dataclass
class _Header:
    units: str | None = None
    time: float | None = None
    step: int | None = None
    n_atoms: int | None = None
    box: Box | None = None
    columns: list | None = None
    lines: int = 0
    size: int = 0


class _CutOffError(Exception):
    """The data end within a frame."""


class Dump:
    """A LAMMPS text dump of style atom or custom, plain or compressed with gzip, bzip2 or zstd.

    Iterating gives its frames one after another. A frame that is cut off, because a run was killed or
    is still writing, is left out with a warning; ``n_cut_off`` counts them.

    Parameters
    ----------
    path : the file.
    wanted : names of number columns to read besides ``id``.
    checksum : whether to compute the checksum of the file on the way.
    between : first and last byte (not included) of a stretch of a plain file to which to keep, as if it were all.

    Attributes
    ----------
    columns : names of all columns.
    ids : (atoms,) int64, ascending; frames are in this order.
    first : the first Frame.
    sorted_ids : whether the atoms of the first frame are in the order of their ids.
    units : LAMMPS unit style, or None where the dump has none (``dump_modify units yes``).

    Raises
    ------
    InputError : not a dump, or not one whole frame in it, or a column is missing; while iterating, the
        file is damaged, or its atoms change. One sentence with file, frame and line.
    """

    def __init__(self, path, wanted=(), checksum=False, between=None):
        self.path = str(path)
        self._checksum, self._between = checksum, between
        self.columns = None
        self._open()
        try:
            self._begin(wanted)
        except BaseException:
            self.close()
            raise

    def _begin(self, wanted):
        """Read the first frame, and all that it says about the others."""
        path = self.path
        try:
            header = self._read_header()
        except _CutOffError:
            header = None
        if header is None:
            raise InputError(f"{path}: there is not one whole frame in it; is the run still writing its first one?")
        self.columns, self.n_atoms, self.units = header.columns, header.n_atoms, header.units
        if "id" not in self.columns:
            raise self._problem(-1, f"there is no column id among {' '.join(self.columns)}; add it to the dump command")
        missing = [name for name in wanted if name not in self.columns]
        if missing:
            raise self._problem(
                -1,
                f"there is no column {missing[0]} among {' '.join(self.columns)}; add it to the dump command",
            )
        self.wanted = ["id", *(name for name in wanted if name != "id")]
        self._plan = np.array([self.wanted.index(c) if c in self.wanted else -1 for c in self.columns], np.int64)
        self._check_size(header)
        self._table = np.zeros((self.n_atoms, len(self.wanted)))
        self._rows = np.empty(self.n_atoms, np.int64)
        self._expected = 0
        self.ids = None
        self.ends_within_a_frame = False
        self.first = self._next_frame(header)
        if self.first is None:
            raise InputError(f"{path}: there is not one whole frame in it; is the run still writing its first one?")
        self._first_end = self._window.offset
        self.sorted_ids = bool(np.array_equal(self._first_order, np.arange(self.n_atoms)))
        self._repeat_first = True

    def _open(self, offset=None, number=0):
        self._stream = Stream(self.path, self._checksum, self._between)
        begin = self._stream.begin if offset is None else offset
        if begin:
            self._stream.seek(begin)
        self._window = Window(self._stream)
        self._window.offset = begin
        self._number = number
        self._line = 1 if begin == 0 else None
        self._header_text, self._header_box = None, None
        self._repeat_first = False
        self.n_cut_off = 0

    def __getstate__(self):
        """A copy in another process opens the file anew, and begins at its first frame."""
        return {"path": self.path, "wanted": self.wanted, "checksum": self._checksum, "between": self._between}

    def __setstate__(self, state):
        self.__init__(**state)

    def __iter__(self):
        return self

    def __next__(self):
        if self._repeat_first:
            self._repeat_first = False
            return self.first
        frame = self._next_frame()
        if frame is None:
            raise StopIteration
        return frame

    def close(self):
        self._stream.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def raw_position(self):
        """Bytes of the file read so far."""
        return self._stream.raw_position

    @property
    def raw_size(self):
        return self._stream.raw_size

    @property
    def position(self):
        """Byte of the content behind the frame that was read last."""
        return self._first_end if self._repeat_first else self._window.offset

    def checksum(self):
        """SHA-256 of the file; to be asked for after the last frame."""
        return self._stream.checksum()

    def column(self, frame, name):
        """A column of a frame: (atoms,) float64."""
        return frame.table[:, self.wanted.index(name)]

    def text(self, name):
        """A column of words, such as ``element``, of the first frame: (atoms,) str, ordered by id."""
        place = self.columns.index(name)
        words = np.array([line.split()[place].decode("utf-8", "replace") for line in self._first_lines])
        return words[self._first_order]

    # Random access -----------------------------------------------------------------------------------------------

    @cached_property
    def offsets(self):
        """Where each whole frame begins, in bytes of the content; for compressed files None."""
        if self._stream.compressed:
            return None
        begin, end = self._stream.begin, self._stream.begin + self._stream.raw_size
        offsets = _index(self._stream.fileno(), begin, end, self._first_size, self._marker)
        try:
            with Dump(self.path, between=self._between) as last:
                last.close()
                last._open(offsets[-1], len(offsets) - 1)
                if last._next_frame() is None:
                    offsets.pop()
                    self.ends_within_a_frame = True
        except InputError:  # told when that frame is read
            pass
        return offsets

    def steps(self):
        """The step of every whole frame of a plain file: (frames,) int64."""
        found = np.empty(self.n_frames, np.int64)
        for number, offset in enumerate(self.offsets):
            words = os.pread(self._stream.fileno(), 256, offset).split(b"ITEM: TIMESTEP", 1)[1].split(maxsplit=1)
            found[number] = int(words[0])
        return found

    @cached_property
    def n_frames(self):
        """Number of whole frames; a compressed file has to be read to its end for it."""
        if self.offsets is not None:
            return len(self.offsets)
        with Dump(self.path, between=self._between) as again:
            return sum(1 for _ in again)

    def frame(self, number):
        """Read one frame; in a compressed file, by reading on to it.

        Raises
        ------
        IndexError : there is no such frame.
        InputError : the frame is damaged.
        """
        if not 0 <= number < self.n_frames:
            raise IndexError(f"{self.path} has {self.n_frames} frames, numbered from 0, and no frame {number}")
        if self.offsets is not None:
            if number != self._number or self._repeat_first:
                self.close()
                self._open(self.offsets[number], number)
        elif number < self._number or self._repeat_first:
            self.close()
            self._open()
        while (frame := self._next_frame()).number < number:
            pass
        return frame

    # Parsing -----------------------------------------------------------------------------------------------------

    def _next_frame(self, header=None):
        """The next whole frame, or None at the end."""
        while True:
            begin = self._line
            try:
                header = header or self._read_header()
                if header is None:
                    return None
                table = self._read_table(header)
            except _CutOffError:
                self.n_cut_off += 1
                LOG.warning(
                    "%s ends within a frame%s: that last frame is left out, %d are whole",
                    self.path,
                    f" ({self._stream.cut_off})" if self._stream.cut_off else "",
                    self._number,
                )
                return None
            if table is not None:
                frame = Frame(self._number, begin, header.step, header.time, header.box, table)
                self._number += 1
                return frame
            header = None

    def _read_header(self):
        window = self._window
        want = 1024
        while True:
            window.reach(want)
            head = window.head(want)
            content = head.lstrip(_BLANK)
            if self.columns is None and not content.startswith(b"ITEM:"[: len(content)]):
                raise self._not_a_dump(0, content.splitlines()[0])
            if not content:
                if len(head) < want:
                    return None
            else:
                header = self._parse_header(head)
                if header is not None:
                    break
                if len(head) < want:
                    raise _CutOffError
            if want > LONGEST_HEADER:
                raise self._problem(0, "no line that begins with 'ITEM: ATOMS' follows; the file is damaged")
            want *= 4
        if self.columns is None:
            newline = b"\r\n" if b"\r\n" in head else b"\n"
            self._marker = b"\nITEM: TIMESTEP" if header.time is None else b"\nITEM: TIME" + newline
        window.leave(header.size)
        if self._line is not None:
            self._line += header.lines
        return header

    def _parse_header(self, head):
        """Parse the lines up to ``ITEM: ATOMS``; None if ``head`` ends before."""
        lines = head.split(b"\n")
        n_whole = len(lines) - 1
        header = _Header()
        at = 0
        while at < n_whole and not lines[at].strip(_BLANK):
            at += 1
        while True:
            if at >= n_whole:
                return None
            line = lines[at].strip()
            if line.startswith(b"ITEM: ATOMS"):
                missing = [
                    name
                    for name, value in (
                        ("TIMESTEP", header.step),
                        ("NUMBER OF ATOMS", header.n_atoms),
                        ("BOX BOUNDS", header.box),
                    )
                    if value is None
                ]
                if missing:
                    raise self._problem(at, f"there is no 'ITEM: {missing[0]}' before this line; the file is damaged")
                header.columns = line.decode("utf-8", "replace").split()[2:]
                if self.columns is not None and header.columns != self.columns:
                    raise self._problem(
                        at,
                        f"the columns change from {' '.join(self.columns)} to {' '.join(header.columns)}; "
                        f"divide the dump there, and give the parts as a list",
                    )
                header.lines = at + 1
                header.size = sum(map(len, lines[: at + 1])) + at + 1
                return header
            n_values = 3 if line.startswith(b"ITEM: BOX BOUNDS") else 1
            if at + n_values >= n_whole:
                return None
            values = lines[at + 1 : at + 1 + n_values]
            try:
                if line == b"ITEM: TIMESTEP":
                    header.step = int(values[0])
                elif line == b"ITEM: NUMBER OF ATOMS":
                    header.n_atoms = int(values[0])
                elif n_values == 3:
                    header.box = self._parse_box(line, values, at)
                elif line == b"ITEM: UNITS":
                    header.units = values[0].strip().decode("utf-8", "replace")
                elif line == b"ITEM: TIME":
                    header.time = float(values[0])
                else:
                    raise self._not_a_dump(at, line)
            except ValueError:
                word = values[0].strip()[:40].decode("utf-8", "replace")
                raise self._problem(
                    at + 1, f"{word!r} stands below {line.decode('utf-8', 'replace')!r}; the header is damaged"
                ) from None
            if header.n_atoms is not None and header.n_atoms < 1:
                raise self._problem(at + 1, "the frame has no atoms; dump a group that has some")
            at += 1 + n_values

    def _parse_box(self, line, values, at):
        text = (line, *values)
        if text == self._header_text:
            return self._header_box
        words = line.decode("utf-8", "replace").split()[3:]
        try:
            numbers = np.array([[float(word) for word in value.split()] for value in values])
        except ValueError:
            raise self._problem(at + 1, "a box bound is not a number; the header is damaged") from None
        general, tilted = words[:2] == ["abc", "origin"], words[:3] == ["xy", "xz", "yz"]
        boundary = words[2:] if general else words[3:] if tilted else words
        if numbers.shape != (3, 4 if general else 3 if tilted else 2):
            raise self._problem(at + 1, f"these are not the bounds of a box of the kind {' '.join(words)!r}")
        if general:
            cell, origin = numbers[:, :3], numbers[:, 3]
        elif tilted:
            xy, xz, yz = numbers[:, 2]
            low, high = numbers[:, 0].copy(), numbers[:, 1].copy()
            low[:2] -= min(0.0, xy, xz, xy + xz), min(0.0, yz)
            high[:2] -= max(0.0, xy, xz, xy + xz), max(0.0, yz)
            cell, origin = np.diag(high - low), low
            cell[1, 0], cell[2, 0], cell[2, 1] = xy, xz, yz
        else:
            cell, origin = np.diag(numbers[:, 1] - numbers[:, 0]), numbers[:, 0]
        if (
            not np.isfinite(numbers).all()
            or (not general and (np.diag(cell) <= 0).any())
            or not np.linalg.det(cell) > 0
        ):
            raise self._problem(
                at + 1,
                f"the box has no volume, or a negative one: its lattice vectors are {cell.tolist()}; "
                f"cut the dump before this frame",
            )
        self._header_text = text
        self._header_box = Box(cell, origin, tuple(flags == "pp" for flags in boundary) or (True, True, True))
        return self._header_box

    def _read_table(self, header):
        """Read the atoms of a frame, by id; None if they break off and another frame begins."""
        window = self._window
        if header.n_atoms != self.n_atoms:
            raise self._problem(
                None,
                f"there are {header.n_atoms} atoms, but {self.n_atoms} in the first frame; "
                f"dump a group whose atoms stay the same",
            )
        first = self.ids is None
        window.reach(self._expected)
        while True:
            status, place, row, column = scan.parse_rows(window.data, window.begin, window.end, self._plan, self._table)
            if status != scan.MORE:
                break
            if not window.more():
                raise _CutOffError
        if status != scan.DONE:
            self._read_line(place)
            self._broken(status, place, row, column)
            return None
        if first:
            self._learn_first(place)
        size = place - window.begin
        self._expected = size + size // 64
        if first:
            self._first_size = header.size + size
        window.leave(size)
        table = self._by_id()
        if self._line is not None:
            self._line += self.n_atoms
        return table

    def _by_id(self):
        """The atoms just read, in the order of their ids."""
        if np.array_equal(self._table[:, 0], self.ids):
            return self._table.copy()
        wrong = scan.rows_by_id(self._table[:, 0], self.ids, self._rows)
        if wrong >= 0:
            atom = int(self._table[wrong, 0])
            if (self._table[:, 0] == atom).sum() > 1:
                raise self._twice(atom, wrong)
            raise self._problem(
                None,
                f"the atom id {atom} is not among those of the first frame; dump a group whose atoms stay the same",
                wrong,
            )
        return self._table[self._rows]

    def _learn_first(self, end):
        ids = self._table[:, 0].astype(np.int64)
        self._first_order = np.argsort(ids, kind="stable")
        self.ids = ids[self._first_order]
        twice = np.flatnonzero(self.ids[1:] == self.ids[:-1])
        if len(twice):
            row = int(self._first_order[twice[0] + 1])
            raise self._twice(self.ids[twice[0]], row)
        self._first_lines = self._window.data[self._window.begin : end].tobytes().splitlines()

    def _twice(self, atom, row):
        return self._problem(None, f"the atom id {atom} comes twice; each atom needs an id of its own", row)

    def _check_size(self, header):
        """A damaged number of atoms must not ask for all memory there is."""
        if not self._stream.compressed and header.n_atoms * 2 * len(self.columns) > self._stream.raw_size + 2:
            raise InputError(
                f"{self.path}: there is not one whole frame in it: {header.n_atoms} atoms do not fit into "
                f"{self._stream.raw_size} bytes; is the run still writing its first frame?"
            )

    def _read_line(self, place):
        """Have the buffer reach beyond the end of the line at ``place`` and of the one after it, if there is one."""
        window = self._window
        ahead = place - window.begin
        while bytes(window.data[window.begin + ahead : window.end]).count(b"\n") < 2 and window.more():
            pass

    def _broken(self, status, place, row, column):
        """Skip a frame that breaks off where another begins, or tell what is wrong with a line."""
        window = self._window
        rest = window.data[place : window.end].tobytes()
        begin = window.data[window.begin : place].tobytes().rfind(b"\n") + 1 + window.begin
        line, _, following = window.data[begin : window.end].tobytes().partition(b"\n")
        another = line.find(b"ITEM:")
        if another < 0 and following.startswith(b"ITEM:"):
            another = len(line) + 1
        if another >= 0:
            self.n_cut_off += 1
            if self._line is not None:
                self._line += row + (another > len(line))
            LOG.warning(
                "%s: a frame breaks off after %d of %d atoms, and another follows%s: it is left out",
                self.path,
                row,
                self.n_atoms,
                self._where(0),
            )
            window.leave(begin - window.begin + another)
            return
        if status == scan.NOT_A_NUMBER:
            word = re.split(rb"\s", rest, maxsplit=1)[0][:40].decode("utf-8", "replace")
            name = self.columns[column]
            place_of = self.columns.index("id")
            words = line.split()
            known = name != "id" and len(words) > place_of
            atom = f" of atom id {words[place_of].decode('utf-8', 'replace')}" if known else ""
            hint = "; the simulation has failed there, cut the dump before this frame" if "n" in word.lower() else ""
            raise self._problem(None, f"{name}{atom} is {word!r}, which is not a number{hint}", row)
        count = len(line.split())
        raise self._problem(
            None,
            f"there are {count} words where the columns are {len(self.columns)} ({' '.join(self.columns)}); "
            f"the file is damaged there",
            row,
        )

    def _where(self, ahead):
        return "" if self._line is None else f" (line {self._line + ahead})"

    def _problem(self, header_line, what, row=0):
        """An error in the present frame, at a line of its header or at a row of its atoms."""
        ahead = row if header_line is None else header_line
        line = "" if self._line is None else f", line {self._line + ahead}"
        return InputError(f"{self.path}, frame {self._number} (counted from 0){line}: {what}")

    def _not_a_dump(self, at, line):
        text = line[:40].decode("utf-8", "replace").strip()
        if self._number == 0 and self.columns is None and at == 0:
            return InputError(
                f"{self.path}, line {at + 1}: {text!r} stands where a LAMMPS text dump has 'ITEM: TIMESTEP'; give a "
                f"dump of style atom or custom, or another format by a file name that says which"
            )
        return self._problem(at, f"{text!r} stands where a header line of a LAMMPS dump should; the file is damaged")


def choose_coordinates(columns, path="the dump"):
    """The best set of coordinates among the columns of a dump, and whether image flags unwrap it.

    Raises
    ------
    InputError : there is none.
    """
    for coordinates in COORDINATES:
        if set(columns).issuperset(coordinates.names):
            return coordinates, not coordinates.unwrapped and set(columns).issuperset(IMAGES)
    raise InputError(
        f"{path}: there are no coordinates among the columns {' '.join(columns)}; dump xu yu zu, or x y z ix iy iz"
    )


def numbers_of(columns, path="the dump"):
    """The columns of a dump that are read as numbers: its coordinates, image flags if they unwrap it, and STATIC ones.

    Raises
    ------
    InputError : there are no coordinates.
    """
    coordinates, images = choose_coordinates(columns, path)
    return [*coordinates.names, *(IMAGES if images else ()), *(name for name in STATIC if name in columns)]


def positions(dump, frame, coordinates, images):
    """Positions relative to the origin of the box, in the dump's units: (atoms, 3) float64.

    Parameters
    ----------
    dump, frame : where they are from; the columns have to be among those wanted.
    coordinates : Coordinates
    images : whether to add image flags times lattice vectors.
    """
    at = dump.wanted.index(coordinates.names[0])
    found = frame.table[:, at : at + 3]
    shift = dump.wanted.index("ix") if images else None
    if coordinates.scaled:
        scaled = found + frame.table[:, shift : shift + 3] if images else found
        return scaled @ frame.box.cell
    found = found - frame.box.origin
    return found + frame.table[:, shift : shift + 3] @ frame.box.cell if images else found


def _index(descriptor, begin, end, first_size, marker):
    """Where frames begin in a stretch of a plain file: guess from the size of the frame before, and verify."""
    offsets, length = [begin], first_size
    while True:
        guess = offsets[-1] + length
        found = -1
        reach = 64
        while found < 0 and reach <= max(64, length // 4):
            near = max(offsets[-1] + 1, guess - reach)
            text = os.pread(descriptor, 2 * reach, near - 1)
            found = text.find(marker)
            reach *= 8
        found = found + near if found >= 0 else _scan(descriptor, end, offsets[-1] + 1, marker)
        if not 0 <= found < end:
            return offsets
        length = found - offsets[-1]
        offsets.append(found)


def _scan(descriptor, size, begin, marker):
    """The first place after ``begin`` where a line starts with the marker, by reading everything."""
    block = 2**20
    while begin < size:
        text = os.pread(descriptor, block + len(marker), begin - 1)
        found = text.find(marker)
        if found >= 0:
            return begin + found
        begin += block
    return -1
