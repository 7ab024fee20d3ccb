"""Training where it is needed; torch is read only then."""

from collections.abc import Mapping
from typing import Any

from gdyn.config.models import Trial
from gdyn.files import FilePath, read_json, whole_file, write_json
from gdyn.logs import LOG


def train_if_needed(
    outputs: Mapping[str, FilePath],
    trial: Mapping[str, Any],
    fewer: FilePath | None,
    lag: FilePath | None,
    **arguments: Any,
) -> None:
    """Train a network, unless one state fewer was found to add no process.

    Parameters
    ----------
    outputs : paths to write, by the names that :func:`gdyn.training.loop.train` has for them.
    trial : its values.
    fewer : path of what was found of one state fewer; None where the number of states is set.
    lag : path of the lag time that was found; None where it is set.
    arguments : all others of :func:`gdyn.training.loop.train`.
    """
    if reason := not_needed(fewer):
        skip(outputs, reason)
        return
    from gdyn.training.loop import train

    found = {"lag_ps": read_json(lag)["lag_ps"]} if lag else {}
    train(trial=Trial(**dict(trial) | found), **dict(outputs) | arguments)


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
