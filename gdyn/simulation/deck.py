"""LAMMPS decks: which of them can continue from a restart file."""

import re
from dataclasses import dataclass
from pathlib import Path

from gdyn.errors import ConfigError
from gdyn.files import FilePath
from gdyn.provenance import settings_checksum

# The variables of a deck that can continue; docs/tutorial.md shows how it uses them.
GOING_ON = ("go_on", "restart_from", "restart_every", "restart_files", "dump_from")


@dataclass(frozen=True)
class Deck:
    """What gdyn needs to know about a deck.

    goes_on : whether it follows the pattern by which a run continues from a restart file.
    digest : checksum of its commands, without comments and blank lines.
    """

    goes_on: bool
    digest: str


def read_deck(path: FilePath) -> Deck:
    """Read a LAMMPS input script.

    Raises
    ------
    ConfigError : there is none, or it follows the pattern for continuing only in part.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise ConfigError(
            f"{path}: there is no such LAMMPS deck; simulate.deck is relative to the folder of the system files"
        ) from None
    lines = [" ".join(_without_comment(line).split()) for line in text.splitlines()]
    commands = "\n".join(filter(None, lines))
    absent = [name for name in GOING_ON if not re.search(rf"\$\{{{name}\}}|\bv_{name}\b", commands)]
    goes_on = not {"go_on", "restart_from"} <= set(absent)  # the others may be the user's own variables
    if goes_on:
        missing = [f"${{{name}}}" for name in absent]
        joined = re.sub(r"&\n", " ", commands)
        if not re.search(r"^dump_modify .*\bappend (yes|on|true)\b", joined, re.M):
            missing.append("dump_modify ... append yes")
        if missing:
            raise ConfigError(
                f"{path}: it has a part of what a run needs to continue from a restart file, but not "
                f"{', '.join(missing)}; docs/tutorial.md shows the pattern"
            )
    return Deck(goes_on, settings_checksum({"commands": commands}))


def _without_comment(line: str) -> str:
    """A line up to a # that stands outside of quotes."""
    quote = None
    for place, letter in enumerate(line):
        if letter == "#" and not quote:
            return line[:place]
        if letter in "'\"" and quote in (None, letter):
            quote = None if quote else letter
    return line
