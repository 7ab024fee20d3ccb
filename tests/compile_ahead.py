"""Compile the kernels as their launchers would launch them, for GPUs that are not here, and tell what came out.

``python compile_ahead.py TARGETS WIDTH NEIGHBORS DTYPE [KERNELS]`` prints JSON: a line of facts for each kernel and
target. To be run in a process of its own, without TRITON_INTERPRET and with its own TRITON_CACHE_DIR.
"""

import json
import re
import subprocess
import sys
import tempfile
import time

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.backends.nvidia.compiler import get_ptxas
from triton.compiler import ASTSource

from gdyn.kernels import triton_edges, triton_nodes
from gdyn.kernels import triton_kernels as kernels
from gdyn.kernels.layout import Norm, row_stride

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx90a": GPUTarget("hip", "gfx90a", 64),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
KINDS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32", torch.int16: "i16",
         torch.uint8: "u8"}  # fmt: skip
SHARED_BYTES = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}


class Recorder:
    """Stands for a kernel while its launcher is called, and keeps with what."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launch(*arguments, **options):
            self.grid, self.arguments, self.options = grid, arguments, options

        return launch

    def source(self):
        """What Triton would compile for this launch, and its options."""
        parameters = self.kernel.params
        values = dict(zip([one.name for one in parameters], self.arguments, strict=False))
        options = {name: value for name, value in self.options.items() if name not in {one.name for one in parameters}}
        constants = {name: value for name, value in self.options.items() if name not in options}
        signature, attributes = {}, {}
        for place, one in enumerate(parameters):
            value = constants.get(one.name, values.get(one.name))
            if one.is_constexpr:
                signature[one.name] = "constexpr"
            elif isinstance(value, torch.Tensor):
                signature[one.name] = "*" + KINDS[value.dtype]
                if not one.do_not_specialize_on_alignment:
                    assert value.data_ptr() % 16 == 0
                    attributes[(place,)] = [["tt.divisibility", 16]]
            else:
                signature[one.name] = "fp32" if isinstance(value, float) else "i32"
        return ASTSource(fn=self.kernel, signature=signature, constexprs=constants, attrs=attributes), options


def recorded(w, m, dtype, n_radial=36, precision="ieee"):
    """The launches of all kernels, on tensors as they come in training."""
    n, nodes, t, p = 48, 64, 800, 8
    stride, of_gradient = row_stride(w, dtype), row_stride(w)
    new = torch.zeros
    features, out, messages, gradient, grad_messages = (new(k, w) for k in (nodes, n, n, n, n))
    receiver, sender, table = (new(k, stride, dtype=dtype) for k in (n, nodes, t))
    grad_receiver, grad_sender = (new(k, of_gradient) for k in (n, nodes))
    weight, of_distance, radial = new(w + 1, w), new(w + 1, n_radial), new(t, n_radial)
    neighbors, rows = (new(n, m, dtype=torch.int32) for _ in range(2))
    attention, grad_logit = new(n, m), new(n, m)
    begin, end, incoming = (new(k, dtype=torch.int32) for k in (nodes, nodes, n * m))
    norm = Norm(features, new(w), new(w), 1e-5, out)
    found = {
        name: Recorder(getattr(triton_nodes, name)) for name in ("project", "tabulate", "project_backward", "gather")
    }
    found |= {name: Recorder(getattr(triton_edges, name)) for name in ("attend", "attend_backward", "send_backward")}
    for name, recorder in found.items():
        setattr(triton_edges if hasattr(triton_edges, name) else triton_nodes, name, recorder)
    kernels.project(features, weight, new(w + 1), weight, receiver, sender)
    kernels.tabulate(radial, of_distance, table)
    kernels.attend(receiver, sender, table, neighbors, rows, attention, messages, norm)
    kernels.attend_backward(
        receiver, sender, table, radial, neighbors, rows, attention, messages, gradient, norm, grad_messages,
        grad_receiver, grad_logit, new(p, w + 1, n_radial), new(p, 2, w), precision
    )  # fmt: skip
    kernels.send_backward(
        receiver, sender, table, rows, begin, end, incoming, attention, grad_messages, grad_logit, grad_sender
    )
    kernels.project_backward(
        features, weight, weight, grad_receiver, grad_sender, gradient, features, new(p, 2 * (w + 1) * w + w + 1)
    )
    bits = neighbors.to(torch.int16)
    kernels.gather(
        begin.to(torch.uint8), bits, bits, incoming, begin, new(2, 5 + 2 * 4, dtype=torch.int64), 4000, begin.long(),
        neighbors, rows, incoming, begin, end
    )  # fmt: skip
    return found


def of_nvidia(compiled, name, warps):
    ptx = compiled.asm["ptx"]
    (arch,) = re.findall(r"\.target (\w+)", ptx)
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [get_ptxas(TARGETS[name].arch).path, "-v", f"--gpu-name={arch}", file.name, "-o", "/dev/null"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    (registers,) = map(int, re.findall(r"Used (\d+) registers", told))
    spills = sum(map(int, re.search(r"(\d+) bytes spill stores, (\d+) bytes spill loads", told).groups()))
    shared = compiled.metadata.shared
    blocks = min(
        65536 // (-(-registers * 32 // 256) * 256 * warps), 64 // warps, 32, SHARED_BYTES[name] // (shared + 1024)
    )
    loads = re.findall(r"ld\.global(?:\.\w+|::)*?(\.v2|\.v4)?\.b(\d+)", ptx)
    widths = [(int(vector[2:]) if vector else 1) * int(bits) // 8 for vector, bits in loads]
    return {
        "registers": registers, "spills": spills, "shared": shared, "occupancy": blocks * warps / 64,
        "loads": {width: widths.count(width) for width in sorted(set(widths))},
        "atomics": len(re.findall(r"^\s*(?:@\S+ )?(?:red|atom)\.", ptx, re.M)),
        "products": len(re.findall(r"\b(?:mma|wgmma)\.", ptx)),
    }  # fmt: skip


def of_amd(compiled):
    text = compiled.asm["amdgcn"]
    value = {
        key: int(re.search(rf"\.{key}:\s+(\d+)", text)[1])
        for key in ("vgpr_count", "agpr_count", "sgpr_count", "vgpr_spill_count", "sgpr_spill_count")
    }
    widths = [16 if "x4" in one else 8 if "x2" in one else 4
              for one in re.findall(r"(?:global|buffer)_load_(dwordx?\d?)", text)]  # fmt: skip
    return {
        "registers": value["vgpr_count"], "of_which_agpr": value["agpr_count"], "sgpr": value["sgpr_count"],
        "spills": value["vgpr_spill_count"] + value["sgpr_spill_count"], "shared": compiled.metadata.shared,
        "loads": {width: widths.count(width) for width in sorted(set(widths))},
        "atomics": len(re.findall(r"(?:global|flat|buffer)_atomic", text)), "products": len(re.findall("v_mfma", text)),
    }  # fmt: skip


if __name__ == "__main__":
    targets, width, neighbors, dtype, *rest = sys.argv[1:]
    names = rest[0].split(",") if rest else None
    launches = recorded(int(width), int(neighbors), getattr(torch, dtype), precision=rest[1] if rest[1:] else "ieee")
    for name, recorder in launches.items():
        for target in targets.split(","):
            if names and name not in names:
                continue
            begin = time.monotonic()
            source, options = recorder.source()
            compiled = triton.compile(source, target=TARGETS[target], options=options)
            facts = of_nvidia(compiled, target, options["num_warps"]) if target[0] == "s" else of_amd(compiled)
            print(json.dumps({"kernel": name, "target": target, **facts, "s": round(time.monotonic() - begin, 2)}))
