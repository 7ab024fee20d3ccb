"""Measure and judge, in one command of less than ten minutes, all that gdyn claims of training on a GPU.

    python tests/gpu/acceptance.py [--device auto|cpu|cuda] [--small] [--out FOLDER] [--only PART ...]

Each part runs in a process of its own, with a limit of time, so that what crashes, hangs or needs too much memory loses
none of the others. FOLDER/acceptance.json has everything, FOLDER/acceptance.md one table of it. The status is 1 if a
part failed, 2 if there is no such device. Without a GPU everything runs on the CPU, and the table says that this is not
a GPU; ``--small`` then takes less than a minute, with two parts at a time, since its times say nothing.
"""

import argparse
import contextlib
import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

from benchmarks import record  # noqa: E402 - found by now
from gpu.report import Report, table  # noqa: E402

import gdyn  # noqa: E402

# In which module beside this one a part is, and after how many seconds it is given up; what matters most comes first.
PARTS = {
    "machine": ("speed", 60), "kernels": ("speed", 110), "step": ("speed", 120), "training": ("whole", 120),
    "precisions": ("whole", 80), "seeds": ("whole", 90), "ranks": ("whole", 60),
}  # fmt: skip
ALL_S = 580  # seconds, of all parts together
LEAST_S = 5  # in which a part can do nothing
REFUSED = 2
RUNNING = []  # processes of parts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--small", action="store_true", help="small sizes and few repetitions")
    parser.add_argument("--out", type=Path, default=Path(".benchmarks"), metavar="FOLDER")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    return run_part(given) if given.part else run_all(given)


def run_all(given):
    from gdyn.device import pick_device
    from gdyn.errors import InputError

    try:
        pick_device(given.device)
    except InputError as error:
        print(error)
        return REFUSED
    given.out.mkdir(parents=True, exist_ok=True)
    begin, parts, chosen = time.monotonic(), {}, [name for name in PARTS if name in given.only]
    with tempfile.TemporaryDirectory(prefix="acceptance-") as work, ThreadPoolExecutor(2 if given.small else 1) as pool:
        ends = {name: pool.submit(in_a_process, name, given, Path(work), begin) for name in chosen}
        try:
            for name in chosen:
                parts[name] = ends[name].result()
                write(given, parts, time.monotonic() - begin)
                for failure in parts[name]["failed"]:
                    print(f"FAILED {name}: {failure}", flush=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for process in list(RUNNING):  # none, unless this ends early
                end(process)
    failed = [name for name, result in parts.items() if result["failed"]]
    where = given.out / "acceptance.md"
    print(f"[{time.monotonic() - begin:4.0f} s] {'failed: ' + ', '.join(failed) if failed else 'all passed'}; {where}")
    return 1 if failed else 0


def in_a_process(name, given, work, begin):
    """Run a part as the program that was started, so that one which changes gdyn and calls :func:`main` is judged."""
    began = time.monotonic()
    limit = min(PARTS[name][1], ALL_S - (began - begin))
    path, status, failed = work / f"{name}.json", None, []
    print(f"[{began - begin:4.0f} s] {name}", flush=True)
    if limit > LEAST_S:
        command = [sys.executable, sys.argv[0], "--part", name, "--device", given.device, "--work", str(work)]
        command += ["--small"] * given.small
        process = subprocess.Popen(command, env=environment(name, work), start_new_session=True)
        RUNNING.append(process)
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            failed = [f"took longer than {limit:.0f} s"]
        end(process)
        RUNNING.remove(process)
    else:
        failed = ["no time was left"]
    empty = {"done": False, "numbers": {}, "checks": {}, "notes": []}
    found = json.loads(path.read_text()) if path.exists() else empty
    failed += [check for check, one in found["checks"].items() if not one["passed"]]
    if not found["done"] and not failed:
        failed = [found.get("error", f"ended with status {status}, before it was done")]
    return {"failed": failed, "seconds": time.monotonic() - began, "found": found}


def end(process):
    """A part and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def environment(name, work):
    """Of a part: processes that it starts find the tests, and Triton has nothing compiled when its times matter."""
    of_part = name if name in ("kernels", "step") else "others"
    path = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path)),
            "TRITON_CACHE_DIR": str(work / f"triton-{of_part}")}  # fmt: skip


def write(given, parts, seconds):
    """What there is so far."""
    machine = parts.get("machine", {}).get("found", {}).get("machine", {})
    on = next((one["found"]["on"] for one in parts.values() if "on" in one["found"]), "an unknown device")
    about = {"gdyn": gdyn.__version__, "commit": record._commit(), "on": on, "machine": machine, "small": given.small}
    whole = {**about, "seconds": seconds, "passed": not any(one["failed"] for one in parts.values()), "parts": parts}
    (given.out / "acceptance.json").write_text(json.dumps(whole, indent=1) + "\n")
    sizes = ", in small sizes whose times say nothing" if given.small else ""
    named = "".join(f", {name} {value}" for name, value in machine.items() if name not in ("device",))
    head = f"Measured on {on}{sizes}: gdyn {about['gdyn']} ({about['commit']}){named}; {seconds:.0f} s in all."
    (given.out / "acceptance.md").write_text("\n".join([head, "", *table(parts)]) + "\n")


def run_part(given):
    """One part, in this process; what it finds goes to a file."""
    import torch
    from gpu.systems import Setting

    from gdyn.device import device_name, on_gpu, pick_device
    from gdyn.logs import LOG

    path, device = given.work / f"{given.part}.json", pick_device(given.device)
    on = device_name(device) if on_gpu(device) else "a CPU, not a GPU"
    report = Report(path, on)
    report.content["on"] = on
    folder = given.work / given.part
    folder.mkdir()
    if given.small:  # on a machine that does other things besides, threads would wait for one another
        torch.set_num_threads(1)
    LOG.setLevel(logging.ERROR)  # trainings end early here, and would say so
    part = getattr(importlib.import_module(f"gpu.{PARTS[given.part][0]}"), given.part)
    try:
        part(Setting(device, given.small, folder), report)
    except Exception as error:
        traceback.print_exc()
        said = str(error).strip().splitlines()
        report.content["error"] = f"{type(error).__name__}: {said[0] if said else ''}"
        report.note(report.content["error"])
        return 1
    report.done()
    return 0


if __name__ == "__main__":
    sys.exit(main())
