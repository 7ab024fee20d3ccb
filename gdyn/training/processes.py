"""Several processes that train one network together, each on its share of every batch.

What they exchange are sums: the moments of the batch, the gradients, and the probabilities of the validation frames.
So the result is that of one process, to rounding.
"""

import json
import logging
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import distributed

from gdyn.errors import GdynError, InputError
from gdyn.logs import LOG


class World:
    """The processes that train together; one alone unless torchrun has started this one."""

    def __init__(self, device):
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if self.size > 1 and not distributed.is_initialized():
            distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")

    def sum(self, *tensors):
        """Replace every tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                distributed.all_reduce(tensor)

    def share(self, items):
        """The share of this process in a list or an array."""
        ends = np.linspace(0, len(items), self.size + 1).round().astype(int)
        return items[ends[self.rank] : ends[self.rank + 1]]

    def agree(self, module):
        """Give every process the weights of the first."""
        if self.size > 1:
            for tensor in module.state_dict().values():
                distributed.broadcast(tensor, 0)


def launch(function, n_processes, arguments):
    """Call ``function(**arguments)`` in processes that torchrun starts; log what the first of them says.

    Raises
    ------
    InputError : with the sentence of the first process that gave up for a user's mistake.
    RuntimeError : another one ended badly; what it said is in the log.
    """
    with tempfile.TemporaryDirectory(prefix="gdyn-") as folder:
        call = Path(folder, "call.pickle")
        call.write_bytes(pickle.dumps((function, arguments)))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
        process = subprocess.Popen(
            [*command, "-m", "gdyn.training.processes", str(call)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        refused = None
        try:
            for line in process.stderr:
                try:
                    level, message = json.loads(line)
                except ValueError:
                    LOG.debug("%s", line.rstrip())
                    continue
                if level >= logging.ERROR:
                    refused = refused or message
                else:
                    LOG.log(level, "%s", message)
        finally:
            if process.poll() is None:
                process.terminate()
            status = process.wait()
            process.stderr.close()
    if refused:
        raise InputError(refused)
    if status:
        raise RuntimeError(f"the training processes ended with status {status}")


class _Lines(logging.Handler):
    """Log records as lines that :func:`launch` reads."""

    def emit(self, record):
        line = json.dumps([record.levelno, record.getMessage()]) + "\n"
        os.write(2, line.encode())  # at once, so that lines of two processes do not mix


def main():
    """What torchrun starts."""
    function, arguments = pickle.loads(Path(sys.argv[1]).read_bytes())
    LOG.handlers, LOG.propagate = [_Lines()], False
    LOG.setLevel(logging.DEBUG if os.environ["RANK"] == "0" else logging.ERROR)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
    try:
        function(**arguments)
    except GdynError as error:
        LOG.error("%s", error)
        sys.exit(1)
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


if __name__ == "__main__":
    main()
