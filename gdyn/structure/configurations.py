"""Surroundings of single targets, and the file of extended XYZ that they are kept in."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from jaxtyping import Bool, Float

from gdyn.files import FilePath, whole_file

# What is written of each beside its atoms.
NUMBERS = {
    "state": int, "probability": float, "trajectory": int, "time_ps": float, "target_id": int, "first_shell_A": float,
}  # fmt: skip


@dataclass
class Configuration:
    """The surroundings of one target at one moment.

    elements, positions : of the atoms within reach, relative to the target, which comes first; A
    coordinating : (atoms,) bool, of these
    """

    state: int
    probability: float
    trajectory: int
    time_ps: float
    target_id: int
    first_shell_A: float
    elements: list[str]
    positions: Float[np.ndarray, "atoms 3"]
    coordinating: Bool[np.ndarray, " atoms"]


class Configurations(list[Configuration]):
    """Several of them; those of a state the most typical first."""

    def write(self, path: FilePath) -> None:
        """Write them as extended XYZ, one frame each, the target first."""
        with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
            for one in self:
                values = ((name, getattr(one, name), kind) for name, kind in NUMBERS.items())
                about = " ".join(f"{name}={value:{'d' if kind is int else '.6g'}}" for name, value, kind in values)
                print(len(one.elements), file=file)
                print(f'Properties=species:S:1:pos:R:3:coordinating:I:1 pbc="F F F" {about}', file=file)
                for element, (x, y, z), binds in zip(one.elements, one.positions, one.coordinating, strict=True):
                    print(f"{element} {x:.4f} {y:.4f} {z:.4f} {int(binds)}", file=file)

    @classmethod
    def read(cls, path: FilePath) -> Self:
        """Read what :meth:`write` has written."""
        lines, configurations, at = Path(path).read_text(encoding="utf-8").splitlines(), cls(), 0
        while at < len(lines):
            n = int(lines[at])
            about = dict(word.split("=", 1) for word in lines[at + 1].split() if "=" in word)
            rows = [line.split() for line in lines[at + 2 : at + 2 + n]]
            configurations.append(
                Configuration(
                    **{name: kind(about[name]) for name, kind in NUMBERS.items()},
                    elements=[row[0] for row in rows],
                    positions=np.array([row[1:4] for row in rows], float).reshape(-1, 3),
                    coordinating=np.array([row[4] == "1" for row in rows], bool),
                )
            )
            at += n + 2
        return configurations
