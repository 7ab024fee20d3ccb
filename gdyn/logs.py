"""What a job reports: a log file, one sentence for a user's mistake, and visible progress."""

import errno
import logging
import signal
import sys
import time
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self, TypeVar

from tqdm import tqdm

from gdyn.errors import GdynError
from gdyn.guard import end_with

LOG = logging.getLogger("gdyn")
Item = TypeVar("Item")


@contextmanager
def job(snakemake: Any) -> Iterator[None]:
    """Run a workflow job: log to its log file and, in brief, to the terminal.

    Parameters
    ----------
    snakemake : the object of that name in a Snakemake script.

    Raises
    ------
    SystemExit : after a :class:`GdynError`, whose sentence alone is logged. Any other exception is a defect; it is
        logged with its traceback and raised again.
    """
    path = Path(snakemake.log[0])
    label = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    path.parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(path, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    # On a terminal, the line may hold the progress bar of another job.
    clear_line = "\r\033[K" if sys.stderr.isatty() else ""
    to_terminal.setFormatter(logging.Formatter(f"{clear_line}{label}: %(message)s"))
    LOG.handlers = [to_file, to_terminal]
    to_terminal.setLevel(logging.INFO)
    LOG.setLevel(logging.DEBUG)
    LOG.propagate = False
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").handlers = [to_file]
    logging.getLogger("py.warnings").propagate = False
    warnings.simplefilter("default")
    # A cluster ends a job with SIGTERM, a lost terminal with SIGHUP, unless nohup has it ignored: leave as for Ctrl-C,
    # so that nothing half-written stays.
    signal.signal(signal.SIGTERM, _leave)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _leave)
    end_with("snakemake")
    try:
        yield
    except GdynError as error:
        LOG.error("%s", error)
        sys.exit(1)
    except KeyboardInterrupt:
        LOG.error("interrupted")
        sys.exit(130)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        LOG.error("%s: %s; make room, and start it again", error.filename or "a file", error.strerror)
        sys.exit(1)
    except Exception:
        to_terminal.setLevel(logging.CRITICAL)
        LOG.exception("an unexpected error in gdyn; this is a defect, please report it")
        raise
    finally:
        to_file.close()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    for later in (signal.SIGTERM, signal.SIGHUP):  # a second one must not cut the cleaning short
        signal.signal(later, signal.SIG_IGN)
    sys.exit(128 + number)


class Progress:
    """The progress of a long piece of work: a bar on a terminal, and a line every ``every_s`` seconds in a log."""

    def __init__(self, what: str, every_s: float = 10.0) -> None:
        self.what, self.every_s = what, every_s
        self._bar: tqdm | None = None
        self._level = logging.INFO
        self._begin = self._last = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._level = logging.DEBUG  # for the log file alone: the terminal has the bar
            self._bar = tqdm(desc=self.what, total=1, leave=False, mininterval=0.2, dynamic_ncols=True, unit_scale=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def at(self, done: float, total: float) -> None:
        """Report that ``done`` of ``total`` are done, in any unit."""
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        now = time.monotonic()
        if now - self._last >= self.every_s and 0 < done < total:
            self._last = now
            left = (now - self._begin) / done * (total - done)
            LOG.log(
                self._level, "%s: %d of %d (%.0f %%), %.0f s to go", self.what, done, total, 100 * done / total, left
            )


def progress(items: Collection[Item], what: str, every_s: float = 10.0) -> Iterator[Item]:
    """Iterate over ``items`` and report the progress; see :class:`Progress`."""
    with Progress(what, every_s) as bar:
        for count, item in enumerate(items, start=1):
            yield item
            bar.at(count, len(items))
