"""Compile the kernels as their launchers would launch them, for GPUs that are not here, and tell what came out.

``python compile_ahead.py TARGET W,M,DTYPE,PRECISION ...`` prints a line of JSON for each case and each kernel on which
it bears. To be run in a process of its own, without TRITON_INTERPRET, with TRITON_DUMP_PTXAS_LOG=1,
TRITON_ALWAYS_COMPILE=1 and its own TRITON_CACHE_DIR.
"""

import contextlib
import io
import json
import re
import sys
import time

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from gdyn.kernels import triton_edges, triton_nodes
from gdyn.kernels import triton_kernels as kernels
from gdyn.kernels.layout import FRAME_COLUMNS, Norm, row_stride

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx90a": GPUTarget("hip", "gfx90a", 64),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
KINDS = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.int64: "i64", torch.int32: "i32", torch.int16: "i16",
         torch.uint8: "u8"}  # fmt: skip
SHARED_BYTES = {"sm_80": 164 * 1024, "sm_90": 228 * 1024}  # of a processor of NVIDIA's
REGISTERS, WARPS, BLOCKS = 65536, 64, 32
OF_NODES, OF_EDGES = (
    ("project", "tabulate", "project_backward", "gather"),
    ("attend", "attend_backward", "send_backward"),
)


class Recorder:
    """Stands for a kernel while its launcher is called, and keeps with what."""

    def __init__(self, module, name):
        self.kernel = getattr(module, name)
        setattr(module, name, self)

    def __getitem__(self, grid):
        def launch(*arguments, **options):
            self.arguments, self.options = arguments, options

        return launch

    def source(self):
        """What Triton would compile for this launch, and its options."""
        parameters = self.kernel.params
        values = dict(zip([one.name for one in parameters], self.arguments, strict=False)) | self.options
        constants = {one.name: values[one.name] for one in parameters if one.is_constexpr}
        options = {name: value for name, value in self.options.items() if name not in constants}
        signature, attributes = {}, {}
        for place, one in enumerate(parameters):
            value = values[one.name]
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


RECORDERS = {name: Recorder(triton_nodes, name) for name in OF_NODES}
RECORDERS |= {name: Recorder(triton_edges, name) for name in OF_EDGES}


def recorded(w, m, dtype, precision="ieee", n_radial=36):
    """The launches of all kernels, on tensors as they come in training."""
    n, nodes, t, p, shells = 48, 64, 800, 8, 4
    stride, of_gradient = row_stride(w, dtype), row_stride(w)
    new = torch.zeros
    features, out, messages, gradient, grad_messages = (new(k, w) for k in (nodes, n, n, n, n))
    receiver, sender, table = (new(k, stride, dtype=dtype) for k in (n, nodes, t))
    grad_receiver, grad_sender = (new(k, of_gradient) for k in (n, nodes))
    weight, of_distance, radial = new(w + 1, w), new(w + 1, n_radial), new(t, n_radial)
    neighbors, rows = new(n, m, dtype=torch.int32), new(n, m, dtype=torch.int16)
    attention, grad_logit = new(n, m), new(n, m)
    begin, end, incoming = (new(k, dtype=torch.int32) for k in (nodes, nodes, n * m))
    norm = Norm(features, new(w), new(w), 1e-5, out)
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
    bits, frames = neighbors.to(torch.int16), new(2, FRAME_COLUMNS + 2 * shells, dtype=torch.int64)
    kernels.gather(
        begin.to(torch.uint8), bits, bits, incoming, begin, frames, n * m, begin.long(), neighbors, rows, incoming,
        begin, end
    )  # fmt: skip
    return RECORDERS


def of_nvidia(compiled, target, warps, log):
    """What ptxas said, and what is in its input."""
    ptx, shared = compiled.asm["ptx"], compiled.metadata.shared
    (registers,) = map(int, re.findall(r"Used (\d+) registers", log))
    spills = re.search(r"(\d+) bytes stack.*?(\d+) bytes spill stores, (\d+) bytes spill loads", log)
    of_block = -(-registers * 32 // 256) * 256 * warps
    blocks = min(REGISTERS // of_block, WARPS // warps, BLOCKS, SHARED_BYTES[target] // (shared + 1024))
    loads = re.findall(r"ld\.global(?:\.\w+|::)*?(\.v2|\.v4)?\.b(\d+)", ptx)
    return {
        "registers": registers, "spills": sum(map(int, spills.groups())), "shared": shared,
        "occupancy": blocks * warps / WARPS,
        "loads": counted([(int(vector[2:]) if vector else 1) * int(bits) // 8 for vector, bits in loads]),
        "atomics": len(re.findall(r"^\s*(?:@\S+ )?(?:red|atom)\.", ptx, re.M)),
        "products": len(re.findall(r"\b(?:mma|wgmma)\.", ptx)),
    }  # fmt: skip


def of_amd(compiled):
    """What is in the assembly; vector registers include those of accumulation."""
    text = compiled.asm["amdgcn"]
    names = ("vgpr_count", "sgpr_count", "vgpr_spill_count", "sgpr_spill_count", "private_segment_fixed_size")
    vector, scalar, *spills = (int(re.search(rf"\.{name}:\s+(\d+)", text)[1]) for name in names)
    loads = re.findall(r"(?:global|buffer)_load_(dword(?:x\d)?|u?byte|u?short|sbyte|sshort)", text)
    sizes = {"dword": 4, "dwordx2": 8, "dwordx3": 12, "dwordx4": 16}
    return {
        "registers": vector, "scalar": scalar, "spills": sum(spills), "shared": compiled.metadata.shared,
        "loads": counted([sizes.get(one, 1 if "byte" in one else 2) for one in loads]),
        "atomics": len(re.findall(r"(?:global|flat|buffer)_atomic", text)),
        "products": len(re.findall(r"v_mfma_f32_\w+f32", text)),
    }  # fmt: skip


def counted(sizes):
    return {size: sizes.count(size) for size in sorted(set(sizes))}


def main(target, *cases):
    kernels.LANES = TARGETS[target].warp_size
    for case in cases:
        w, m, dtype, precision = case.split(",")
        for name, recorder in recorded(int(w), int(m), getattr(torch, dtype), precision).items():
            if (dtype == "bfloat16" and name not in OF_EDGES) or (precision != "ieee" and name != "attend_backward"):
                continue
            begin, log = time.monotonic(), io.StringIO()
            source, options = recorder.source()
            with contextlib.redirect_stdout(log):
                compiled = triton.compile(source, target=TARGETS[target], options=options)
            nvidia = TARGETS[target].backend == "cuda"
            facts = of_nvidia(compiled, target, options["num_warps"], log.getvalue()) if nvidia else of_amd(compiled)
            facts |= {"warps": options["num_warps"], "s": round(time.monotonic() - begin, 2)}
            print(json.dumps({"case": case, "kernel": name, "target": target, **facts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
