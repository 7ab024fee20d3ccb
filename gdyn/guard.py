"""Programs that end with this process, however it ends, ``kill -9`` included.

:func:`guarded` starts a program under a small process of its own, the guard, which is this file run as a script. It
holds one end of a pipe whose other end only we have, so it learns from the kernel when we have ended. Then it ends all
that the program has started, wherever wrappers such as mpirun, srun or torchrun have put that: it adopts the orphans
among them (Linux), so that none is lost.
"""

import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

GRACE_S = 5.0  # between asking to end and killing
ASKED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36  # of linux/prctl.h


def end_with(program: str, every_s: float = 1.0) -> None:
    """Send ourselves SIGTERM when a program that has started us, however far back, has ended.

    So a job whose Snakemake was killed does not run on beside that of the next one. Where there is no /proc, or no
    such ancestor, nothing is done.

    Parameters
    ----------
    program : its name, as Python runs it: a script of that name, or a module.
    every_s : how often to look.
    """
    watched, ancestor = [], os.getppid()
    while ancestor > 1 and (about := _process(ancestor)):
        parent, begin = about
        with suppress(OSError):
            words = Path(f"/proc/{ancestor}/cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name.startswith("python") and program in [Path(word).name for word in words[1:4]]:
                watched.append((ancestor, begin))
        ancestor = parent

    def look() -> None:
        while all((about := _process(number)) and about[1] == begin for number, begin in watched):
            time.sleep(every_s)
        os.kill(os.getpid(), signal.SIGTERM)

    if watched:
        threading.Thread(target=look, daemon=True).start()


def _process(number: int) -> tuple[int, str] | None:
    """Of a running process: the number of its parent, and its start time, which tells reused numbers apart."""
    try:
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if words[0] == "Z" else (int(words[1]), words[19])


@contextmanager
def guarded(words: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program while the block, which reads its output, lasts.

    At the end of the block the program is waited for; if the block raises, it is ended at once. What it has started
    and left running ends with it. It reads nothing, and is in a session of its own.

    Parameters
    ----------
    words : the program, as a path or as a name on PATH, and its arguments.
    streams : ``stdout``, ``stderr`` and ``env`` of :class:`subprocess.Popen`.

    Yields
    ------
    subprocess.Popen, with text streams. After the block its ``returncode`` is that of the program, as if it had been
    started without a guard: for :func:`how_it_ended`.
    """
    held, ours = os.pipe()
    # Without -P, modules beside this file would stand in for those of Python that have their names.
    command = [sys.executable, "-P", "-S", __file__, str(held), *words]
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, text=True, pass_fds=[held], start_new_session=True, **streams
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(held)
    with process:
        try:
            yield process
            process.wait()
        finally:
            os.close(ours)
            process.wait()


def how_it_ended(status: int) -> str:
    """A return code in words, for a sentence that begins with ``it``."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by signal {-status} ({signal.strsignal(-status)})"


def main() -> None:
    """The guard: run the program of the command line until it ends, or until nobody holds the pipe any more."""
    held, words = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    awake, bell = os.pipe()
    os.set_blocking(bell, False)
    signal.set_wakeup_fd(bell)
    for number in (signal.SIGCHLD, *ASKED):
        signal.signal(number, lambda number, frame: None)  # the program's own are the usual ones again
    try:
        program = subprocess.Popen(words)
    except OSError as error:
        print(f"ERROR: {words[0]} cannot be started: {error.strerror}", file=sys.stderr)
        sys.exit(126)
    asked = False
    while program.poll() is None and not asked:
        ready, _, _ = select.select([held, awake], [], [])
        asked = held in ready or any(number in ASKED for number in os.read(awake, 4096))
    end_all()
    if program.poll() is None:  # where there is no /proc
        os.killpg(0, signal.SIGKILL)
    if program.returncode < 0:  # end by the same signal, which has left its core already
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with suppress(OSError):  # SIGKILL has no other meaning
            signal.signal(-program.returncode, signal.SIG_DFL)
        os.kill(os.getpid(), -program.returncode)
    sys.exit(program.returncode)


def end_all() -> None:
    """Ask every descendant of this process to end, and kill those that have not after ``GRACE_S``."""
    begin = time.monotonic()
    asked: set[int] = set()
    while (left := descendants()) and (late := time.monotonic() - begin) < 2 * GRACE_S:
        for process in left if late > GRACE_S else left - asked:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL if late > GRACE_S else signal.SIGTERM)
        asked |= left
        time.sleep(0.01)


def descendants() -> set[int]:
    """The numbers of the running processes that this one has started, directly or indirectly."""
    children: dict[int, set[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), set()).add(int(path.parent.name))
    processes: set[int] = set()
    new = {os.getpid()}
    while new := set().union(*(children.get(process, set()) for process in new)) - processes:
        processes |= new
    return processes


if __name__ == "__main__":
    main()
