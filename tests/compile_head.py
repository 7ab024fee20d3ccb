"""Compile the kernels of the head as :mod:`compile_ahead` does those of the convolution.

``python compile_head.py TARGET,... W,STATES ...`` prints a line of JSON for each target, case and kernel, in the same
circumstances.
"""

import contextlib
import io
import json
import sys
import time

import torch
import triton
from compile_ahead import TARGETS, Recorder, of_amd, of_nvidia

from gdyn.kernels import triton_classify, triton_head

RECORDERS = {name: Recorder(triton_head, name) for name in ("classify", "classify_backward")}


def record(w, states, targets=48, programs=6):
    """Launch both kernels, on tensors as they come in training."""
    new = torch.zeros
    weights = new(w, w), new(w), new(states, w), new(states)
    given = new(targets, w), *weights, new(states, states), 1e-5
    triton_classify.classify(*given, new(targets, states))
    partial = new(programs, sum(one.numel() for one in weights))
    triton_classify.classify_backward(*given, new(targets, states), new(targets, w), partial)


def compile_for(target, recorder):
    """What came out."""
    begin, log = time.monotonic(), io.StringIO()
    source, options = recorder.source()
    with contextlib.redirect_stdout(log):
        compiled = triton.compile(source, target=TARGETS[target], options=options)
    nvidia = TARGETS[target].backend == "cuda"
    facts = of_nvidia(compiled, target, options["num_warps"], log.getvalue()) if nvidia else of_amd(compiled)
    return facts | {"warps": options["num_warps"], "s": round(time.monotonic() - begin, 2)}


def main(targets, *cases):
    for case in cases:
        record(*map(int, case.split(",")))
        for target in targets.split(","):
            for name, recorder in RECORDERS.items():
                facts = compile_for(target, recorder)
                print(json.dumps({"case": case, "kernel": name, "target": target, **facts}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
