"""What the formats share: opening with a check, and datasets that grow frame by frame."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import h5py
import numpy as np

import gdyn
from gdyn.errors import InputError
from gdyn.files import FilePath, whole_file

CHUNK_BYTES = 512 * 1024
TEXT = h5py.string_dtype("utf-8")


@contextmanager
def create(path: FilePath, kind: str, version: int) -> Iterator[h5py.File]:
    """Open a new file of the format ``kind``; it appears under its name only once it is whole."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = kind
        file.attrs["version"] = version
        file.attrs["gdyn_version"] = gdyn.__version__
        yield file


@contextmanager
def read(path: FilePath, kind: str, version: int) -> Iterator[h5py.File]:
    """Open a file of the format ``kind`` for reading.

    Raises
    ------
    InputError : the file cannot be opened, or is of another format or version.
    """
    try:
        file = h5py.File(path, "r")
    except FileNotFoundError:
        raise InputError(f"{path}: cannot be opened, as it is not there; let the workflow make it") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened as HDF5 ({error}); delete it and let the workflow remake it"
        ) from None
    with file:
        found_format, found_version = file.attrs.get("format"), file.attrs.get("version")
        if (found_format, found_version) != (kind, version):
            raise InputError(
                f"{path}: holds {found_format} version {found_version}, but {kind} version {version} is "
                f"needed; delete it and let the workflow remake it"
            )
        yield file


def append(file: h5py.File, name: str, values: Sequence[float] | np.ndarray) -> None:
    """Append the frames ``values`` (frames, ...) to the dataset ``name``, made at the first call.

    Chunks hold whole frames, about 512 kB of them.
    """
    values = np.asarray(values)
    if name not in file:
        frame_bytes = max(1, prod(values.shape[1:]) * values.dtype.itemsize)
        chunk = (max(1, CHUNK_BYTES // frame_bytes), *values.shape[1:])
        file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]), chunks=chunk)
        return
    dataset = file[name]
    begin = len(dataset)
    dataset.resize(begin + len(values), axis=0)
    dataset[begin:] = values


class Descriptor:
    """A file opened for reading by several threads, closed when it is no longer needed."""

    def __init__(self, path: FilePath) -> None:
        self.path, self.number = path, os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        os.close(self.number)


class Rows:
    """A stretch of rows of a dataset written by :func:`append`, read as they lie in the file when asked for.

    Several threads may read at once, which HDF5 does not allow.

    Parameters
    ----------
    dataset : h5py dataset.
    file : Descriptor of its file.
    rows : slice of it.
    """

    def __init__(self, dataset: h5py.Dataset, file: Descriptor, rows: slice) -> None:
        self.file, self.begin, self.dtype = file, rows.start, dataset.dtype
        self.shape = (max(0, rows.stop - rows.start), *dataset.shape[1:])
        self.chunk = dataset.chunks[0]
        self.row_bytes = prod(self.shape[1:]) * self.dtype.itemsize
        self.offset = np.zeros(-(-len(dataset) // self.chunk), np.int64)

        def note(stored: Any) -> None:
            self.offset[stored.chunk_offset[0] // self.chunk] = stored.byte_offset

        dataset.id.chunk_iter(note)

    @property
    def nbytes(self) -> int:
        return self.shape[0] * self.row_bytes

    def read(self, rows: slice | None = None) -> np.ndarray:
        """The rows of a slice, or all of them, as an array.

        Raises
        ------
        InputError : the file has become shorter since it was opened.
        """
        begin, end, _ = (rows or slice(None)).indices(self.shape[0])
        out = np.empty((end - begin, *self.shape[1:]), self.dtype)
        left, at = out.reshape(-1).view(np.uint8).data, self.begin + begin
        while len(left):
            piece = min((self.chunk - at % self.chunk) * self.row_bytes, len(left))
            offset = self.offset[at // self.chunk] + (at % self.chunk) * self.row_bytes
            if os.preadv(self.file.number, [left[:piece]], offset) != piece:
                raise InputError(
                    f"{self.file.path}: ends before its last row; delete it and let the workflow remake it"
                )
            at, left = at + piece // self.row_bytes, left[piece:]
        return out
