"""The dump of a run: one file, which is cut after the last frame that is certain, and then continued."""

import os
from dataclasses import dataclass
from pathlib import Path

from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.trajectory.columns import numbers_of
from gdyn.trajectory.dump import Dump


@dataclass(frozen=True)
class Stretch:
    """Frames that follow each other in a dump without a gap, all of them whole.

    steps : of the frames.
    ends : byte behind each of them.
    begin : byte before the first.
    next_step : of the frame that would follow.
    """

    steps: list[int]
    ends: list[int]
    begin: int
    next_step: int

    def end_at(self, step: int) -> int:
        """The byte behind the last frame up to a step."""
        before = [end for at, end in zip(self.steps, self.ends, strict=True) if at <= step]
        return before[-1] if before else self.begin

    def up_to(self, step: int) -> int:
        """The number of frames up to a step."""
        return sum(at <= step for at in self.steps)

    def reaches(self, step: int) -> bool:
        """Whether no frame up to a step is missing."""
        return step < self.next_step


def frames_from(path: FilePath, begin: int, first_step: int, every: int) -> Stretch:
    """Read on from a byte as long as frames are whole, every number of them, and come every so many steps.

    Parameters
    ----------
    path : LAMMPS dump, plain.
    begin : the byte where the frames begin.
    first_step : step of the first of them.
    every : steps from one to the next.

    Returns
    -------
    Stretch : without a frame where the file is missing or holds another one there.
    """
    steps, ends = [], []
    expected = first_step
    if Path(path).exists() and os.stat(path).st_size > begin:
        try:
            with Dump(path, numbers_of, between=(begin, os.stat(path).st_size)) as dump:
                for frame in dump:
                    if frame.step != expected or dump.n_cut_off:
                        break
                    steps.append(frame.step)
                    ends.append(dump.position)
                    expected += every
        except InputError:  # damaged from here on: what came before it is good
            pass
    return Stretch(steps, ends, begin, expected)


def cut(path: FilePath, byte: int) -> None:
    """Cut a file behind a byte; one that is not there is made, empty.

    Raises
    ------
    InputError : the file is shorter.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    size = path.stat().st_size
    if size < byte:
        raise InputError(
            f"{path}: ends after {size} bytes, but the parts of the run that are done had {byte}; put the whole file "
            f"back, or start the run again by removing the files beside it that have its number"
        )
    os.truncate(path, byte)
