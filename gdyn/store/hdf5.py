"""What the formats share: opening with a check, and datasets that grow frame by frame."""

from contextlib import contextmanager
from math import prod

import h5py
import numpy as np

import gdyn
from gdyn.errors import InputError
from gdyn.files import whole_file

CHUNK_BYTES = 512 * 1024
TEXT = h5py.string_dtype("utf-8")


@contextmanager
def create(path, kind, version):
    """Open a new file of the format ``kind``; it appears under its name only once it is whole."""
    with whole_file(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs["format"] = kind
        file.attrs["version"] = version
        file.attrs["gdyn_version"] = gdyn.__version__
        yield file


@contextmanager
def read(path, kind, version):
    """Open a file of the format ``kind`` for reading.

    Raises
    ------
    InputError : the file cannot be opened, or is of another format or version.
    """
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be opened as HDF5 ({error}); delete it and let the workflow remake it"
        ) from None
    with file:
        found, found_version = file.attrs.get("format"), file.attrs.get("version")
        if (found, found_version) != (kind, version):
            raise InputError(
                f"{path}: holds {found} version {found_version}, but {kind} version {version} is "
                f"needed; delete it and let the workflow remake it"
            )
        yield file


def append(file, name, values):
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
