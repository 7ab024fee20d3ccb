"""Several processes that train one network together, each on its share of every batch.

What they exchange are sums: the moments of the batch, the gradients, and the probabilities of the validation frames.
So the result is that of one process, to rounding.
"""

import json
import logging
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, distributed, nn

from gdyn.device import backend_of, claim
from gdyn.errors import GdynError, InputError
from gdyn.guard import guarded, how_it_ended
from gdyn.logs import LOG

Items = TypeVar("Items", Sequence[Any], np.ndarray)


class World:
    """The processes that train together; one alone unless torchrun has started this one."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.size > 1 and not distributed.is_initialized():
            distributed.init_process_group(backend_of(device))

    def sum(self, *tensors: Tensor) -> None:
        """Replace every tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def any(self, here: bool, device: torch.device) -> bool:
        """Whether something is so in any of the processes."""
        if self.size == 1:
            return here
        number = torch.tensor(float(here), device=device)
        self.sum(number)
        return bool(number)

    def share(self, items: Items) -> Items:
        """The share of this process in a list or an array."""
        ends = np.linspace(0, len(items), self.size + 1).round().astype(int)
        return items[ends[self.rank] : ends[self.rank + 1]]

    def agree(self, module: nn.Module) -> None:
        """Give every process the weights of the first."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)


def launch(
    function: Callable[..., None],
    n_processes: int,
    n_nodes: int,
    shared: str | os.PathLike[str],
    arguments: dict[str, Any],
) -> None:
    """Call ``function(**arguments)`` in processes that torchrun starts; log what the first of them says.

    On several nodes it is srun that starts one torchrun on each node of the Slurm job that this process is in. However
    this process ends, they end with it (:mod:`gdyn.guard`).

    Parameters
    ----------
    function, arguments : what is called, with the same arguments in every process.
    n_processes, n_nodes : how many in all, and on how many nodes.
    shared : a folder that all nodes see.

    Raises
    ------
    InputError : with the sentence of the first process that stopped at a user's mistake; or there are several nodes,
        and this is not a job of Slurm.
    RuntimeError : a process failed; its output is in the log.
    """
    Path(shared).mkdir(parents=True, exist_ok=True)
    for left in Path(shared).glob(".gdyn-*"):  # by a launch that was killed
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".gdyn-", dir=shared) as folder:
        call = Path(folder, "call.pickle")
        call.write_bytes(pickle.dumps((function, arguments)))
        command = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={n_processes // n_nodes}"]
        command = [*spread(n_nodes), *command, *(meeting(n_nodes) if n_nodes > 1 else ["--standalone"])]
        command += ["-m", "gdyn.training.processes", str(call)]
        refused = None
        with guarded(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
            for line in process.stderr or ():
                try:
                    level, message = json.loads(line)
                except ValueError:
                    LOG.debug("%s", line.rstrip())
                    continue
                if level >= logging.ERROR:
                    refused = refused or message
                else:
                    LOG.log(level, "%s", message)
    if refused:
        raise InputError(refused)
    if process.returncode:
        raise RuntimeError(f"what starts the training processes {how_it_ended(process.returncode)}")


def spread(n_nodes: int) -> list[str]:
    """The words that start a command on each of several nodes of this Slurm job.

    Raises
    ------
    InputError : this is not a job of Slurm.
    """
    if n_nodes == 1:
        return []
    if "SLURM_JOB_ID" not in os.environ or not shutil.which("srun"):
        raise InputError(
            f"training.nodes: {n_nodes} nodes are asked for, but this is not a job of Slurm; set it to 1, or run "
            f"Snakemake with --profile config/profiles/slurm"
        )
    return ["srun", f"--nodes={n_nodes}", f"--ntasks={n_nodes}", "--ntasks-per-node=1", "--overlap"]


def meeting(n_nodes: int) -> list[str]:
    """The options that tell torchrun where the processes of several nodes meet: here, at a port that is free now."""
    with socket.socket() as one:
        one.bind(("", 0))
        port = one.getsockname()[1]
    where = f"{socket.gethostname()}:{port}"
    name = f"gdyn-{os.environ['SLURM_JOB_ID']}"
    return [f"--nnodes={n_nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={where}", f"--rdzv-id={name}"]


class _Lines(logging.Handler):
    """Log records as lines that :func:`launch` reads."""

    def emit(self, record: logging.LogRecord) -> None:
        line = json.dumps([record.levelno, record.getMessage()]) + "\n"
        os.write(2, line.encode())  # at once, so that lines of two processes do not mix


def main() -> None:
    """What torchrun starts."""
    function, arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    LOG.handlers, LOG.propagate = [_Lines()], False
    LOG.setLevel(logging.DEBUG if os.environ["RANK"] == "0" else logging.ERROR)
    try:
        claim(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]), arguments.get("device", "cpu"))
        function(**arguments)
    except GdynError as error:
        LOG.error("%s", error)
        sys.exit(1)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


if __name__ == "__main__":
    main()
