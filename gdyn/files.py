"""Files that are either whole or absent."""

import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from gdyn.errors import ConfigError, InputError, SupersededError

FilePath = str | PathLike[str]

FULL_MB = 20.0  # left on a disk, below which it is taken to be full


class Table(Protocol):
    """A pandas table; most modules that write files do not need pandas."""

    def to_csv(self, path: Path, /, *, index: bool) -> object: ...


@contextmanager
def whole_file(path: FilePath) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that takes its place only if the block succeeds.

    A block that raises, or a process that dies, leaves ``path`` as it was. The next process that writes the same file
    removes what a killed process has left beside it.

    Raises
    ------
    SupersededError : another process has started to write the same file in the meantime.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_unfinished(path)
    # By chance, as the number of a process may be that of another one on another node.
    temporary = path.with_name(f".unfinished-{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        try:
            os.replace(temporary, path)
        except FileNotFoundError:
            raise SupersededError(
                f"{path}: another process has started to write this file while it was being written here; make "
                f"sure that only one Snakemake works in a folder, and start it again"
            ) from None
    finally:
        temporary.unlink(missing_ok=True)


def full_disk(folder: FilePath) -> str | None:
    """A sentence about a disk that is full; None if it is not."""
    free_MB = shutil.disk_usage(folder).free / 1e6
    if free_MB < FULL_MB:
        return f"there are {free_MB:.1f} MB left on the disk of {folder}; make room, and start it again"
    return None


def remove(path: FilePath) -> None:
    """Remove a file, if it exists, and what processes that were killed while writing it have left beside it."""
    Path(path).unlink(missing_ok=True)
    _remove_unfinished(Path(path))


def _remove_unfinished(path: Path) -> None:
    name = re.compile(rf"\.unfinished-[0-9a-f]+-{re.escape(path.name)}")
    for unfinished in path.parent.glob(".unfinished-*"):
        if name.fullmatch(unfinished.name):
            unfinished.unlink(missing_ok=True)


def expand(entry: str | Sequence[str]) -> list[str]:
    """The files that an entry of ``trajectory.files`` stands for, in order.

    Parameters
    ----------
    entry : a path, a pattern with ``*``, ``?`` or ``[]``, or a list of such. The files of a pattern
        are sorted by name, with the numbers in it as numbers.

    Raises
    ------
    ConfigError : a pattern fits no file.
    """
    paths: list[str] = []
    for pattern in [entry] if isinstance(entry, str) else entry:
        if not glob.has_magic(pattern) or Path(pattern).exists():
            paths.append(pattern)
            continue
        matches = sorted(
            (path for path in glob.glob(pattern) if Path(path).is_file()),
            key=lambda path: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path)],
        )
        if not matches:
            raise ConfigError(f"trajectory.files: no file fits the pattern {pattern!r}; correct it")
        paths += matches
    return paths


def write_json(path: FilePath, value: Any) -> None:
    """Write ``value`` as indented JSON; NaN and infinity become null.

    Numpy arrays and scalars are allowed, and objects with a method ``plain`` that returns such values.
    """
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: FilePath) -> Any:
    """The value that a JSON file holds.

    Raises
    ------
    InputError : it is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is not JSON ({error}); delete it and let the workflow remake it") from None


def write_table(path: FilePath, table: Table) -> None:
    """Write a pandas table as CSV, every float with all of its digits."""
    with whole_file(path) as temporary:
        table.to_csv(temporary, index=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "plain"):
        value = value.plain()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
