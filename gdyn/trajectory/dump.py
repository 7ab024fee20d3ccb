"""LAMMPS text dumps: every style of column and box, frame after frame or in any order, in the dump's own units."""

import os
from functools import cached_property
from typing import Self

import numpy as np
from jaxtyping import Float, Int, Shaped

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.trajectory.columns import Coordinates
from gdyn.trajectory.frames import Frame, FrameReader, Wanted
from gdyn.trajectory.offsets import frame_offsets
from gdyn.trajectory.streams import Stream


class Dump:
    """A LAMMPS text dump of style atom or custom, plain or compressed with gzip, bzip2 or zstd.

    Iterating gives its frames one after another. A frame that is cut off, because a run was killed or
    is still writing, is left out with a warning; ``n_cut_off`` counts them.

    The file is opened once, whatever is asked for: a plain one is read where it is needed, a compressed one is
    decompressed again from its beginning to go back in it, or to count its frames.

    Parameters
    ----------
    path : the file.
    wanted : names of number columns to read besides ``id``; or a function that chooses them, given the names of all
        columns and the path.
    checksum : whether to compute the checksum of the file on the way.
    between : first and last byte (not included) of a stretch of a plain file to which to keep, as if it were all.

    Attributes
    ----------
    columns : names of all columns; ``wanted`` : of those that are read.
    ids : (atoms,) int64, ascending; frames are in this order.
    first : the first Frame.
    sorted_ids : whether the atoms of the first frame are in the order of their ids.
    units : LAMMPS unit style, or None where the dump has none (``dump_modify units yes``).

    Raises
    ------
    NotADumpError : the file does not begin like a dump.
    InputError : it cannot be opened, or there is not one whole frame in it, or a column is missing; while iterating,
        the file is damaged, or its atoms change. One sentence with file, frame and line.
    """

    def __init__(
        self,
        path: FilePath,
        wanted: Wanted = (),
        checksum: bool = False,
        between: tuple[int, int] | None = None,
    ) -> None:
        self.path = str(path)
        self._checksum, self._between = checksum, between
        self._stream = Stream(self.path, checksum, between)
        try:
            reader = FrameReader(self.path, self._stream, wanted)
        except BaseException:
            self.close()
            raise
        self._reader = reader
        self._repeat_first = True
        self.columns, self.wanted, self.units = reader.columns, reader.wanted, reader.units
        self.ids, self.n_atoms, self.first = reader.ids, reader.n_atoms, reader.first
        self.sorted_ids = bool(np.array_equal(reader.first_order, np.arange(self.n_atoms)))
        self.ends_within_a_frame = False

    def __getstate__(self) -> dict[str, object]:
        """A copy in another process reopens the file, and begins at its first frame."""
        return {"path": self.path, "wanted": self.wanted, "checksum": self._checksum, "between": self._between}

    def __setstate__(self, state: dict) -> None:
        self.__init__(**state)  # type: ignore[misc]  # the same class again

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        if self._repeat_first:
            self._repeat_first = False
            return self.first
        frame = self._reader.next_frame()
        if frame is None:
            raise StopIteration
        return frame

    def close(self) -> None:
        self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def closed(self) -> bool:
        return self._stream.closed

    @property
    def n_cut_off(self) -> int:
        return self._reader.n_cut_off

    @property
    def raw_position(self) -> int:
        """Bytes of the file read so far."""
        return self._reader.stream.raw_position

    @property
    def raw_size(self) -> int:
        return self._stream.raw_size

    @property
    def position(self) -> int:
        """Byte of the content behind the frame that was read last."""
        return self._reader.first_end if self._repeat_first else self._reader.offset

    def checksum(self) -> str:
        """SHA-256 of the file; to be asked for after the last frame."""
        return self._stream.checksum()

    def column(self, frame: Frame, name: str) -> Float[np.ndarray, " atoms"]:
        """A column of a frame: (atoms,) float64."""
        return frame.table[:, self.wanted.index(name)]

    def text(self, name: str) -> Shaped[np.ndarray, " atoms"]:
        """A column of words, such as ``element``, of the first frame: (atoms,) str, ordered by id."""
        place = self.columns.index(name)
        words = np.array([line.split()[place].decode("utf-8", "replace") for line in self._reader.first_lines])
        return words[self._reader.first_order]

    # Random access -----------------------------------------------------------------------------------------------

    @cached_property
    def offsets(self) -> list[int] | None:
        """Where each whole frame begins, in bytes of the content; for compressed files None."""
        stream, reader = self._stream, self._reader
        if stream.compressed:
            return None
        end = stream.begin + stream.raw_size
        offsets = frame_offsets(stream.fileno(), stream.begin, end, reader.first_size, reader.marker)
        try:
            if reader.at(offsets[-1], len(offsets) - 1).ids_alone().next_frame() is None:
                offsets.pop()
                self.ends_within_a_frame = True
        except InputError:  # reported when that frame is read
            pass
        return offsets

    def steps(self) -> Int[np.ndarray, " frames"]:
        """The step of every whole frame of a plain file: (frames,) int64; no frame of a compressed one."""
        offsets = self.offsets or []
        steps = np.empty(len(offsets), np.int64)
        for number, offset in enumerate(offsets):
            words = os.pread(self._stream.fileno(), 256, offset).split(b"ITEM: TIMESTEP", 1)[1].split(maxsplit=1)
            steps[number] = int(words[0])
        return steps

    @cached_property
    def n_frames(self) -> int:
        """Number of whole frames; a compressed file must be read to its end for it."""
        if self.offsets is not None:
            return len(self.offsets)
        again = self._reader.at(self._stream.begin, 0).ids_alone()
        return sum(1 for _ in iter(again.next_frame, None))

    def frame(self, number: int) -> Frame:
        """Read one frame; in a compressed file, by reading on to it.

        Raises
        ------
        IndexError : there is no such frame.
        InputError : the frame is damaged.
        """
        if not 0 <= number < self.n_frames:
            raise IndexError(f"{self.path} has {self.n_frames} frames, numbered from 0, and no frame {number}")
        if self.offsets is not None:
            if number != self._reader.number or self._repeat_first:
                self._go(self.offsets[number], number)
        elif number < self._reader.number or self._repeat_first:
            self.rewind()
        for frame in iter(self._reader.next_frame, None):
            if frame.number == number:
                return frame
        raise InputError(f"{self.path}: frame {number} (counted from 0) was in this file before; it has become shorter")

    def rewind(self) -> None:
        """Go back to the first frame."""
        self._go(self._stream.begin, 0)

    def _go(self, offset: int, number: int) -> None:
        self._reader = self._reader.at(offset, number)
        self._repeat_first = False


def positions(dump: Dump, frame: Frame, coordinates: Coordinates, images: bool) -> Float[np.ndarray, "atoms 3"]:
    """Positions relative to the origin of the box, in the dump's units: (atoms, 3) float64.

    Parameters
    ----------
    dump, frame : where they are from; the columns must be among those wanted.
    coordinates : Coordinates
    images : whether to add image flags times lattice vectors.
    """
    at = dump.wanted.index(coordinates.names[0])
    x = frame.table[:, at : at + 3]
    if coordinates.scaled and images:
        return (x + _flags(dump, frame)) @ frame.box.cell
    if coordinates.scaled:
        return x @ frame.box.cell
    x = x - frame.box.origin
    return x + _flags(dump, frame) @ frame.box.cell if images else x


def _flags(dump: Dump, frame: Frame) -> Float[np.ndarray, "atoms 3"]:
    at = dump.wanted.index("ix")
    return frame.table[:, at : at + 3]
