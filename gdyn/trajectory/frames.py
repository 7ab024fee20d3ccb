"""The frames of a LAMMPS text dump, read one after another in one pass and in constant memory."""

import re
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import numpy as np
from jaxtyping import Float

from gdyn.errors import InputError
from gdyn.logs import LOG
from gdyn.trajectory import scan
from gdyn.trajectory.header import BLANK, Box, DamageError, Header, parse_header
from gdyn.trajectory.streams import Stream, Window

LONGEST_HEADER = 2**16

# Names of number columns, or a function that chooses them, of the names of all columns and of the file's.
Wanted = Sequence[str] | Callable[[list[str], str], Sequence[str]]


class NotADumpError(InputError):
    """A file that does not begin as LAMMPS text dumps do."""


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
    table: Float[np.ndarray, "atoms columns"]


class _CutOffError(Exception):
    """The data end within a frame."""


class FrameReader:
    """Reads the frames of a dump from some place on; the first frame sets what the others must be like.

    Parameters
    ----------
    path : for sentences.
    stream : at its beginning.
    wanted : names of number columns to read besides ``id``; or a function that chooses them, given the names of all
        columns and the path.

    Attributes
    ----------
    columns : names of all columns; ``wanted`` : of those that are read.
    ids : (atoms,) int64, ascending.
    units : LAMMPS unit style, or None.
    first : the first Frame; ``first_order`` : (atoms,) the rows of its atoms in the file; ``first_lines`` : these rows.
    first_size : of the first frame, in bytes; ``first_end`` : the byte behind it.
    marker : the end of the line before a frame, and how its first line begins.
    stream : where they are read from.
    offset : the byte of the content behind the frame that was read last.
    number : of the next frame.
    n_cut_off : frames that were cut off, and left out.

    Raises
    ------
    NotADumpError, InputError : as of :class:`gdyn.trajectory.dump.Dump`.
    """

    def __init__(self, path: str, stream: Stream, wanted: Wanted) -> None:
        self.path = path
        self.columns: list[str] = []  # until they are known, as are the ids
        self.ids = np.empty(0, np.int64)
        self._start(stream, stream.begin, 0)
        self._read_first(wanted)

    def _start(self, stream: Stream, offset: int, number: int) -> None:
        self.stream = stream
        self._window = Window(stream)
        self._window.offset = offset
        self.number = number
        self._line = 1 if offset == 0 else None
        self.n_cut_off = 0

    def at(self, offset: int, number: int) -> Self:
        """A reader of the same dump, through the same open file, that continues with another frame.

        Parameters
        ----------
        offset : the byte of the content where it begins; in a compressed file, that of the first frame alone.
        number : of that frame.
        """
        other = copy(self)
        other._start(self.stream.again(offset), offset, number)
        return other

    def ids_alone(self) -> Self:
        """Read no column but ``id`` from now on, for frames that are only counted; return the reader itself."""
        self._read_columns([])
        return self

    @property
    def offset(self) -> int:
        return self._window.offset

    def _read_first(self, wanted: Wanted) -> None:
        """Read the first frame, and all that it says about the others."""
        path = self.path
        whole = InputError(f"{path}: there is not one whole frame in it; is the run still writing its first one?")
        try:
            header = self._read_header()
        except _CutOffError:
            raise whole from None
        if header is None:
            if self._window.head().strip():
                raise whole
            raise InputError(f"{path}: the file is empty; point trajectory.files at a dump with frames in it")
        self.columns, self.n_atoms, self.units = header.columns, header.n_atoms, header.units
        wanted = wanted(self.columns, path) if callable(wanted) else wanted
        absent = [name for name in ("id", *wanted) if name not in self.columns]
        if absent:
            raise self._problem(
                -1, f"there is no column {absent[0]} among {' '.join(self.columns)}; add it to the dump command"
            )
        self._check_size(header)
        self._read_columns(wanted)
        self._rows = np.empty(self.n_atoms, np.int64)
        self._expected = 0
        first = self.next_frame(header)
        if first is None:
            raise whole
        self.first, self.first_end = first, self.offset

    def _read_columns(self, names: Sequence[str]) -> None:
        self.wanted = ["id", *(name for name in names if name != "id")]
        self._plan = np.array([self.wanted.index(c) if c in self.wanted else -1 for c in self.columns], np.int64)
        self._table = np.zeros((self.n_atoms, len(self.wanted)))

    def next_frame(self, header: Header | None = None) -> Frame | None:
        """The next whole frame, or None at the end.

        Parameters
        ----------
        header : its header, where that has been read.

        Raises
        ------
        InputError : the frame is damaged, or its atoms or columns are not those of the first one.
        """
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
                    f" ({self.stream.cut_off})" if self.stream.cut_off else "",
                    self.number,
                )
                return None
            if table is not None:
                frame = Frame(self.number, begin, header.step, header.time, header.box, table)
                self.number += 1
                return frame
            header = None

    def _read_header(self) -> Header | None:
        window = self._window
        want = 1024
        while True:
            window.reach(want)
            head = window.head(want)
            content = head.lstrip(BLANK)
            if not self.columns and not content.startswith(b"ITEM:"[: len(content)]):
                line = content.splitlines()[0][:40].decode("utf-8", "replace").strip()
                raise NotADumpError(
                    f"{self.path}, line 1: {line!r} stands where a LAMMPS text dump has 'ITEM: TIMESTEP'; give a "
                    f"dump of style atom or custom, or name a file of another format by its usual suffix"
                )
            if not content:
                if len(head) < want:
                    return None
            else:
                try:
                    header = parse_header(head)
                except DamageError as error:
                    raise self._problem(error.line, error.what) from None
                if header is not None:
                    break
                if len(head) < want:
                    raise _CutOffError
            if want > LONGEST_HEADER:
                raise self._problem(0, "no line that begins with 'ITEM: ATOMS' follows; the file is damaged")
            want *= 4
        if not self.columns:
            newline = b"\r\n" if b"\r\n" in head else b"\n"
            self.marker = b"\nITEM: TIMESTEP" if header.time is None else b"\nITEM: TIME" + newline
        elif header.columns != self.columns:
            raise self._problem(
                header.lines - 1,
                f"the columns change from {' '.join(self.columns)} to {' '.join(header.columns)}; "
                f"divide the dump there, and give the parts as a list",
            )
        window.leave(header.size)
        if self._line is not None:
            self._line += header.lines
        return header

    def _read_table(self, header: Header) -> Float[np.ndarray, "atoms columns"] | None:
        """Read the atoms of a frame, by id; None if they break off and another frame begins."""
        window = self._window
        if header.n_atoms != self.n_atoms:
            raise self._problem(
                None,
                f"there are {header.n_atoms} atoms, but {self.n_atoms} in the first frame; "
                f"dump a group whose atoms stay the same",
            )
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
        size = place - window.begin
        if not len(self.ids):
            self._learn_ids(place)
            self.first_size = header.size + size
        self._expected = size + size // 64
        window.leave(size)
        table = self._by_id()
        if self._line is not None:
            self._line += self.n_atoms
        return table

    def _by_id(self) -> Float[np.ndarray, "atoms columns"]:
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

    def _learn_ids(self, end: int) -> None:
        """Take the ids of the first frame, whose last line ends at ``end``, for those of all frames."""
        ids = self._table[:, 0].astype(np.int64)
        self.first_order = np.argsort(ids, kind="stable")
        self.ids = ids[self.first_order]
        twice = np.flatnonzero(self.ids[1:] == self.ids[:-1])
        if len(twice):
            raise self._twice(self.ids[twice[0]], int(self.first_order[twice[0] + 1]))
        self.first_lines = self._window.data[self._window.begin : end].tobytes().splitlines()

    def _twice(self, atom: int, row: int) -> InputError:
        return self._problem(None, f"the atom id {atom} comes twice; each atom needs an id of its own", row)

    def _check_size(self, header: Header) -> None:
        """A damaged number of atoms must not ask for all memory there is."""
        if not self.stream.compressed and header.n_atoms * 2 * len(self.columns) > self.stream.raw_size + 2:
            raise InputError(
                f"{self.path}: there is not one whole frame in it: {header.n_atoms} atoms do not fit into "
                f"{self.stream.raw_size} bytes; is the run still writing its first frame?"
            )

    def _read_line(self, place: int) -> None:
        """Have the buffer reach beyond the end of the line at ``place`` and of the one after it, if there is one."""
        window = self._window
        ahead = place - window.begin
        while bytes(window.data[window.begin + ahead : window.end]).count(b"\n") < 2 and window.more():
            pass

    def _broken(self, status: int, place: int, row: int, column: int) -> None:
        """Skip a frame that breaks off where another begins, or report what is wrong with a line."""
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
                "" if self._line is None else f" (line {self._line})",
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
            hint = "; the simulation has failed there; cut the dump before this frame" if "n" in word.lower() else ""
            raise self._problem(None, f"{name}{atom} is {word!r}, which is not a number{hint}", row)
        count = len(line.split())
        raise self._problem(
            None,
            f"there are {count} words where the columns are {len(self.columns)} ({' '.join(self.columns)}); "
            f"the file is damaged there",
            row,
        )

    def _problem(self, header_line: int | None, what: str, row: int = 0) -> InputError:
        """An error in the present frame, at a line of its header or at a row of its atoms."""
        ahead = row if header_line is None else header_line
        line = "" if self._line is None else f", line {self._line + ahead}"
        return InputError(f"{self.path}, frame {self.number} (counted from 0){line}: {what}")
