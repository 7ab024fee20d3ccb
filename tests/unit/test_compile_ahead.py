"""The kernels compile for GPUs that are not here, without spilling registers, and read rows 16 bytes at a time."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton", reason="Triton is not installed, so that its kernels cannot be compiled")

TARGETS = ("sm_80", "sm_90", "gfx90a", "gfx942")
FEW = "8,7,float32,ieee"
CASES = ("16,20,float32,ieee", "24,12,float32,ieee", FEW, "64,33,float32,ieee", "16,20,bfloat16,ieee")
ON_TENSOR_CORES = "16,20,float32,tf32"
KERNELS = ("project", "tabulate", "attend", "attend_backward", "send_backward", "project_backward", "gather")
OF_ROWS = ("attend", "attend_backward", "send_backward", "project_backward")
# NVIDIA's, by Triton 3.7 (which comes with torch 2.13) and 3.9; up to 32 features, and for more.
MOST_REGISTERS = {
    "project": 128, "tabulate": 80, "attend": 64, "attend_backward": 168, "send_backward": 72, "project_backward": 112,
    "gather": 56,
}  # fmt: skip
MOST_REGISTERS_WIDE = MOST_REGISTERS | {"project": 136, "project_backward": 176}


@pytest.fixture(scope="module")
def compiled(root, tmp_path_factory):
    """What is known of each kernel, in each case, by target."""
    kept = {}

    def compile_for(target):
        if target not in kept:
            cases = CASES[: None if target in ("sm_90", "gfx942") else 2]  # the older ones get the usual sizes alone
            cases = (*cases, ON_TENSOR_CORES) if target.startswith("sm") else cases
            environment = {name: value for name, value in os.environ.items() if not name.startswith("TRITON")}
            environment |= {
                "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp(target)), "TRITON_DUMP_PTXAS_LOG": "1",
                "TRITON_ALWAYS_COMPILE": "1", "PYTHONPATH": str(root),
            }  # fmt: skip
            command = [sys.executable, str(root / "tests/compile_ahead.py"), target, *cases]
            run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert run.returncode == 0, run.stderr
            kept[target] = [json.loads(line) for line in run.stdout.splitlines()]
        return kept[target]

    return compile_for


@pytest.mark.parametrize("target", TARGETS)
def test_every_kernel_compiles_without_spills_and_atomics(compiled, target):
    found = compiled(target)
    assert {one["kernel"] for one in found} == set(KERNELS)
    for one in found:
        assert (one["spills"], one["atomics"]) == (0, 0), one


@pytest.mark.parametrize("target", TARGETS)
def test_rows_are_read_by_16_bytes(compiled, target):
    for one in compiled(target):
        if one["kernel"] in OF_ROWS and one["case"] != FEW:  # numbers for the lanes of a warp
            of_amd = target.startswith("gfx")
            if of_amd and one["case"].startswith("64,"):  # 64 lanes share a row of 64
                continue
            assert one["loads"].get("16", 0) >= (1 if of_amd else 3), one


@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_registers_leave_room_for_other_warps(compiled, target):
    for one in compiled(target):
        most = MOST_REGISTERS if int(one["case"].split(",")[0]) <= 32 else MOST_REGISTERS_WIDE
        assert one["registers"] <= most[one["kernel"]], one


@pytest.mark.parametrize("target", ["sm_80", "sm_90"])
def test_tensor_cores_are_used_where_it_is_asked_for_alone(compiled, target):
    products = {(one["case"], one["kernel"]): one["products"] for one in compiled(target)}
    assert products[ON_TENSOR_CORES, "attend_backward"] > 0
    assert not [of for of, number in products.items() if number and of != (ON_TENSOR_CORES, "attend_backward")]


@pytest.mark.parametrize("target", ["gfx90a", "gfx942"])
def test_amds_matrix_cores_multiply_in_float32(compiled, target):
    products = {one["kernel"]: one["products"] for one in compiled(target)}
    assert products["attend_backward"] > 0
