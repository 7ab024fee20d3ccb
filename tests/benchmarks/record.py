"""What a benchmark has measured, as JSON, and two such files side by side.

    python tests/benchmarks/record.py KEPT NEW

Times depend on the machine; a ratio to another program that
was measured in the same run hardly does. So only ratios are judged: the status is 1 if one has become worse by more
than a fifth, or is no longer measured.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import gdyn

WORSE = 0.8  # times what a ratio was


class Record:
    """Numbers by name, printed by whoever measures them and written at the end."""

    def __init__(self):
        self.numbers = {}

    def add(self, name, value, unit):
        self.numbers[name] = {"value": float(value), "unit": unit}

    def ratio(self, name, value):
        """How many times less a thing costs than the same by another program."""
        self.add(name, value, "ratio")

    def write(self, path):
        """Write the numbers, and what they were measured on."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        record = {"gdyn": gdyn.__version__, "commit": _commit(), "machine": machine(), "numbers": self.numbers}
        path.write_text(json.dumps(record, indent=2) + "\n")


def machine():
    """What times depend on, in words."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _commit():
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def compare(kept, new):
    """Lines that set two records side by side, and the names of the ratios that have become worse."""
    lines = [f"kept: {kept['commit']} on {kept['machine']}", f"new:  {new['commit']} on {new['machine']}"]
    if kept["machine"] != new["machine"]:
        lines.append("Two machines: only the ratios can be compared.")
    lines.append(f"{'':58} {'kept':>10} {'new':>10}  new/kept")
    worse = []
    for name in dict.fromkeys([*kept["numbers"], *new["numbers"]]):
        before, now = kept["numbers"].get(name), new["numbers"].get(name)
        label = f"{name}, {(now or before)['unit']}"
        if before is None or now is None:
            lines.append(f"{label:58} {_text(before)} {_text(now)}  only in one")
            worse += [name] if now is None and before["unit"] == "ratio" else []
            continue
        change = now["value"] / before["value"] if before["value"] else float("nan")
        is_worse = now["unit"] == "ratio" and not change >= WORSE
        lines.append(f"{label:58} {_text(before)} {_text(now)}  {change:8.2f}{'  worse' if is_worse else ''}")
        if is_worse:
            worse.append(name)
    return lines, worse


def _text(number):
    return f"{number['value']:10.4g}" if number else f"{'-':>10}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kept", type=Path)
    parser.add_argument("new", type=Path)
    given = parser.parse_args()
    missing = [path for path in (given.kept, given.new) if not path.exists()]
    if missing:
        print(f"{missing[0]}: is not there; `make bench` measures, `make bench-keep` keeps what it measured")
        return 2
    lines, worse = compare(*(json.loads(path.read_text()) for path in (given.kept, given.new)))
    print("\n".join(lines))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
