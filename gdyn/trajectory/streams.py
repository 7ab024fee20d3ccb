"""Bytes of a file that may be compressed, in constant memory, up to where it is cut off."""

import bz2
import hashlib
import os
import sys
import zlib
from collections.abc import Callable
from copy import copy
from io import FileIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import zstandard
from isal import isal_zlib

from gdyn.errors import InputError
from gdyn.files import FilePath

RAW_BLOCK = 2**16
_MAGIC: dict[bytes, Callable[[], Any]] = {
    b"\x1f\x8b": lambda: isal_zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    b"\x28\xb5\x2f\xfd": lambda: zstandard.ZstdDecompressor().decompressobj(),
}
_ISAL: Any = isal_zlib.error  # a class, which the types of isal call an instance
_DAMAGED: tuple[type[Exception], ...] = (OSError, ValueError, EOFError, zlib.error, _ISAL, zstandard.ZstdError)


class Stream:
    """The content of a file from its beginning on; gzip, bzip2 and zstd are known by their first bytes.

    Parameters
    ----------
    path : the file.
    checksum : whether to compute the SHA-256 of the file while it is read.
    between : first byte, and byte before which to end, of a stretch of a plain file; by default all of it.

    Attributes
    ----------
    begin : that first byte.
    compressed : bool
    cut_off : None, or why the end of the file is missing or damaged; what came before it has been given out.
    raw_position, raw_size : bytes of the file itself, or of the stretch.

    Raises
    ------
    InputError : the file cannot be opened.
    """

    def __init__(self, path: FilePath, checksum: bool = False, between: tuple[int, int] | None = None) -> None:
        self.path = path
        self._file = open_file(path)
        size = os.fstat(self.fileno()).st_size
        self.begin, self._end = between or (0, sys.maxsize)
        self.raw_size = max(0, min(self._end, size) - self.begin)
        first = os.pread(self.fileno(), 4, 0)
        self._codec: Any = next((codec for magic, codec in _MAGIC.items() if first.startswith(magic)), None)
        self.compressed = self._codec is not None
        self._hash = hashlib.sha256() if checksum else None
        self._start(self.begin)

    def _start(self, at: int) -> None:
        self._at = at  # byte of the file itself
        self._decoder: Any = None
        self._decoded, self._raw = memoryview(b""), b""
        self.cut_off: str | None = None

    def again(self, at: int | None = None) -> Self:
        """The same open file once more, independent of how far this stream is; without a checksum.

        Parameters
        ----------
        at : byte of a plain file to begin with; by default, and in a compressed one always, the first.
        """
        other = copy(self)
        other._hash = None
        other._start(self.begin if at is None or self.compressed else at)
        return other

    @property
    def raw_position(self) -> int:
        return self._at - self.begin

    def readinto(self, target: memoryview) -> int:
        """Fill ``target`` (writable) from its beginning; return the number of bytes, 0 at the end."""
        if not self.compressed:
            count = os.preadv(self.fileno(), [target[: max(0, self._end - self._at)]], self._at)
            self._at += count
            self._digest(target[:count])
            return count
        while not len(self._decoded):
            if self.cut_off or not self._decode():
                return 0
        count = min(len(target), len(self._decoded))
        target[:count] = self._decoded[:count]
        self._decoded = self._decoded[count:]
        return count

    def _decode(self) -> bool:
        """Decompress one more block; False at the end of the file."""
        raw = self._raw or self._read(RAW_BLOCK)
        self._raw = b""
        if not raw:
            if self._decoder is not None:
                self.cut_off = "the compressed data break off"
            return False
        try:
            if self._decoder is None:
                self._decoder = self._codec()
            self._decoded = memoryview(self._decoder.decompress(raw))
            if self._decoder.eof:  # another member may follow
                self._raw = self._decoder.unused_data.lstrip(b"\0")
                self._decoder = None
        except _DAMAGED as error:
            self.cut_off = f"the compressed data are damaged ({error})"
            return False
        return True

    def _read(self, count: int) -> bytes:
        raw = os.pread(self.fileno(), count, self._at)
        self._at += len(raw)
        self._digest(raw)
        return raw

    def _digest(self, raw: bytes | memoryview) -> None:
        if self._hash is not None:
            self._hash.update(raw)

    def checksum(self) -> str:
        """SHA-256 of the whole file, as ``sha256:...``; reads what has not been read yet.

        Raises
        ------
        ValueError : it was not asked for at the beginning.
        """
        if self._hash is None:
            raise ValueError("this stream has no checksum")
        while self._read(min(2**20, max(0, self._end - self._at))):
            pass
        return f"sha256:{self._hash.hexdigest()}"

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        """Close the file, for all streams that read it."""
        self._file.close()


class Window:
    """A buffer that slides along a stream; ``data[begin:end]`` are the bytes read and not yet left behind."""

    def __init__(self, stream: Stream, capacity: int = 2**20) -> None:
        self.stream = stream
        self.data = np.empty(capacity, np.uint8)
        self.begin = self.end = 0
        self.offset = 0  # of data[begin] in the (decompressed) stream

    def more(self) -> bool:
        """Read on, in a larger buffer where this one is full of what is still needed; False at the end."""
        kept = self.end - self.begin
        if kept == len(self.data):
            self.data = np.concatenate([self.data, np.empty(len(self.data), np.uint8)])
        elif self.begin:
            self.data[:kept] = self.data[self.begin : self.end]
            self.begin, self.end = 0, kept
        count = self.stream.readinto(self.data.data[self.end :])
        self.end += count
        return count > 0

    def reach(self, count: int) -> None:
        """Have ``count`` bytes in the buffer, or all there are."""
        while self.end - self.begin < count and self.more():
            pass

    def leave(self, count: int) -> None:
        """Leave ``count`` bytes behind."""
        self.begin += count
        self.offset += count

    def head(self, count: int = 4096) -> bytes:
        """Up to ``count`` bytes from the beginning."""
        return self.data[self.begin : min(self.begin + count, self.end)].tobytes()


def open_file(path: FilePath) -> FileIO:
    """Open a file for reading bytes.

    Raises
    ------
    InputError : there is none, it is a folder, or it may not be read.
    """
    if Path(path).is_dir():
        raise InputError(f"{path}: this is a folder; name the files in it, for example {path}/*.lammpstrj")
    try:
        return open(path, "rb", buffering=0)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; check trajectory.files") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from None
