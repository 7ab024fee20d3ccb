"""Trainings that are not needed; read before torch is."""

from collections.abc import Mapping

from gdyn.files import FilePath, read_json, whole_file, write_json
from gdyn.logs import LOG


def not_needed(fewer: FilePath | None) -> str:
    """Why a training is not needed, from what was found of one state fewer; empty if it is."""
    found = read_json(fewer) if fewer else {"added": True}
    return "" if found["added"] else str(found["reason"])


def skip(outputs: Mapping[str, FilePath], reason: str) -> None:
    """Write the files of a training that was not needed: all of them empty but ``numbers``, which says why."""
    LOG.info("not trained, as %s", reason)
    for name, path in outputs.items():
        if name == "numbers":
            write_json(path, {"skipped": reason})
        else:
            with whole_file(path) as temporary:
                temporary.write_bytes(b"")
