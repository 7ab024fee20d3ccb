"""What was measured after every epoch of a training, and where it is reported."""

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gdyn.errors import InputError
from gdyn.files import remove, write_json
from gdyn.logs import LOG

BRIEF_S = 2.0  # between two epochs that are reported on the terminal; the log has all


@dataclass
class History:
    """What was measured.

    rows : one for each epoch, which no longer changes once it is there; epoch 0 is the network before its training
    seconds : that the steps of all epochs took
    frames : that were embedded for them
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    frames: int = 0

    @property
    def epoch(self) -> int:
        """Number of the last epoch; -1 before there is any."""
        return len(self.rows) - 1

    @property
    def seconds_an_epoch(self) -> float:
        return self.seconds / max(1, self.epoch)

    def describe_time(self) -> str:
        """What the time of the epochs was spent on."""
        total = {key: sum(row.get(f"{key}_s", 0.0) for row in self.rows) for key in ("load", "forward", "backward")}
        everything = sum(row.get("seconds", 0.0) for row in self.rows)
        parts = ", ".join(f"{100 * seconds / everything:.0f} % {key}" for key, seconds in total.items())
        return f"{everything:.0f} s of steps: {parts}, the rest in the optimiser and elsewhere"


class Reporter:
    """Reports the last row of a history: in the log, on TensorBoard's board, and to ``gdyn status``.

    Parameters
    ----------
    folder : of the training.
    tensorboard : whether event files are written, in ``tensorboard`` there.

    Raises
    ------
    InputError : the package for them is not installed.
    """

    def __init__(self, folder: Path, tensorboard: bool) -> None:
        self.progress = folder / "progress.json"
        self._board = open_tensorboard(folder / "tensorboard") if tensorboard else None
        self._last_s = 0.0

    def log(self, history: History, epochs_left: int) -> None:
        """Log an epoch, on the terminal too if it begins a stage or the last such line was some time ago."""
        row = history.rows[-1]
        for name, value in row.items():
            if self._board and name not in ("epoch", "stage"):
                self._board.add_scalar(name, value, row["epoch"])
        now = time.monotonic()
        brief = row["epoch"] and now - self._last_s < BRIEF_S and row["stage"] == history.rows[-2]["stage"]
        self._last_s = self._last_s if brief else now
        speed = ""
        if row["epoch"]:
            left_s = epochs_left * history.seconds_an_epoch
            speed = f", {row['frames_per_s']:.0f} frames/s, {row['memory_mb']:.0f} MB, at most {left_s:.0f} s to go"
        LOG.log(
            logging.DEBUG if brief else logging.INFO,
            "epoch %d (%s): validation VAMP-2 %.4f, noise floor %.4f, purity %.3f%s",
            row["epoch"],
            row["stage"],
            row["validation_vamp2"],
            row["noise_floor"],
            row["validation_purity"],
            speed,
        )

    def leave_word(self, history: History, epochs_left: int) -> None:
        """Write the progress, for ``gdyn status``."""
        row = history.rows[-1]
        word = {
            **{name: row[name] for name in ("epoch", "stage", "validation_vamp2", "noise_floor")},
            "purity": row["validation_purity"],
            "epoch_s": row.get("seconds", 0.0),
            "left_s": epochs_left * history.seconds_an_epoch,
            "time": time.time(),
        }
        write_json(self.progress, word)

    def close(self) -> None:
        """End the board's files."""
        if self._board:
            self._board.close()

    def withdraw(self) -> None:
        """Remove the progress file: the training has ended."""
        remove(self.progress)


def open_tensorboard(folder: Path) -> Any:
    """A writer of TensorBoard's event files.

    Raises
    ------
    InputError : the package for it is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise InputError(
            "training.tensorboard: needs the package tensorboardX: pip install 'gdyn[tensorboard]', or set it to false"
        ) from None
    return SummaryWriter(str(folder), flush_secs=10)
