"""LAMMPS restart files: which are complete, and which are kept."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gdyn.files import FilePath

ANY = "[0-9a-f]+"  # identity
MAGIC = b"LammpS RestartT\0"  # with which LAMMPS begins a restart file, and ends it


@dataclass(frozen=True)
class Restarts:
    """The restart files of a run: ``<dump>.restart.<identity>.<step>``.

    dump : path of the dump that they lie beside.
    identity : of all that the run follows from, so that files of another run are never mistaken for those of this one.
    """

    dump: Path
    identity: str

    @property
    def pattern(self) -> str:
        """For LAMMPS, which puts the step in place of the star."""
        return f"{self._stem}{self.identity}.*"

    def at(self, step: int) -> Path:
        """The file of a step."""
        return Path(f"{self._stem}{self.identity}.{step}")

    def steps(self) -> list[int]:
        """Steps of the files that are whole, the latest first."""
        return sorted((step for step, path in self._files(self.identity) if whole(path)), reverse=True)

    def tidy(self, begin: int, keep: int = 2) -> int | None:
        """Of the files after a step, remove all but the latest whole ones.

        Returns the step of one that is not whole although there is a later one.
        """
        files = sorted(((step, path) for step, path in self._files(self.identity) if step > begin), reverse=True)
        sound = [(step, path) for step, path in files if whole(path)]
        for _, path in sound[keep:]:
            path.unlink(missing_ok=True)
        broken = [step for step, path in files[1:] if not whole(path) and path.exists()]
        return broken[0] if broken else None

    def remove(self, begin: int, end: int | None = None) -> None:
        """Remove all files, of whatever identity, of the steps between two, or after one."""
        for step, path in self._files(ANY):
            if step > begin and (end is None or step < end):
                path.unlink(missing_ok=True)

    @property
    def _stem(self) -> str:
        return f"{self.dump.with_suffix('')}.restart."

    def _files(self, identity: str) -> Iterator[tuple[int, Path]]:
        form = re.compile(rf"{re.escape(Path(self._stem).name)}{identity}\.(\d+)")
        for path in list(self.dump.parent.glob("*.restart.*")):
            if match := form.fullmatch(path.name):
                yield int(match[1]), path


def whole(path: FilePath) -> bool:
    """Whether a restart file is there from its beginning to its end."""
    try:
        with open(path, "rb") as file:
            begins = file.read(len(MAGIC)) == MAGIC
            size = file.seek(0, 2)
            file.seek(max(0, size - len(MAGIC)))
            return begins and size > 2 * len(MAGIC) and file.read() == MAGIC
    except FileNotFoundError:
        return False
