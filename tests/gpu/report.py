"""What a part of the acceptance has measured and judged; needs nothing but Python."""

import json
import math
from pathlib import Path


class Report:
    """Numbers and checks of one part, printed as they come and kept in a file, so that a crash loses none of them.

    Parameters
    ----------
    path : of that file.
    on : what numbers are measured on where nothing else is said, in words.
    """

    def __init__(self, path, on):
        self.path, self.on = Path(path), on
        self.content = {"done": False, "numbers": {}, "checks": {}, "notes": []}

    def number(self, name, value, unit, on=None):
        """Something measured; None where it cannot be measured here."""
        one = self.content["numbers"][name] = {"value": plain(value), "unit": unit, "on": on or self.on}
        self._say(f"{name}: {measured(one)} ({one['on']})")

    def check(self, name, value, most=None, least=None, on=None, why=""):
        """Something that has to be within bounds.

        Parameters
        ----------
        value : a number, or a bool that has to be true.
        why : the reason of the bound.
        """
        value = plain(value)
        known = isinstance(value, (int, float)) and not math.isnan(value)
        passed = known and (most is None or value <= most) and (least is None or value >= least)
        passed = value if isinstance(value, bool) else passed
        bounds = [f"at least {text(least)}"] * (least is not None) + [f"at most {text(most)}"] * (most is not None)
        allowed, on = " and ".join(bounds) or "yes", on or self.on
        one = {"value": value, "allowed": allowed, "passed": passed, "why": why, "on": on}
        self.content["checks"][name] = one
        self._say(f"{'passed' if passed else 'FAILED'} {name}: {text(value)}, allowed: {allowed} ({on})")

    def note(self, sentence):
        self.content["notes"].append(sentence)
        self._say(sentence)

    def done(self):
        self.content["done"] = True
        self._save()

    def _say(self, line):
        print(f"  {self.path.stem}: {line}", flush=True)
        self._save()

    def _save(self):
        self.path.write_text(json.dumps(self.content, indent=1))


def plain(value):
    """A value as JSON has it."""
    return value.item() if hasattr(value, "item") else value


def text(value):
    if value is None:
        return "not measured"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) and abs(value) < 1e4 else f"{value:,.0f}".replace(",", " ")


def measured(one):
    """A number with its unit."""
    return text(one["value"]) + (f" {one['unit']}" if one["unit"] and one["value"] is not None else "")


def table(parts):
    """Lines of one Markdown table of the contents of all parts."""
    lines = ["| part | what | found | allowed | on |", "|---|---|---|---|---|"]
    for part, result in parts.items():
        numbers, checks = result["found"]["numbers"], result["found"]["checks"]
        for name, one in numbers.items():
            lines.append(f"| {part} | {name} | {measured(one)} | | {one['on']} |")
        for name, one in checks.items():
            found = text(one["value"]) + ("" if one["passed"] else ", **failed**")
            lines.append(f"| {part} | {name} | {found} | {one['allowed']} | {one['on']} |")
        lines += [f"| {part} | {failure} | **failed** | | |" for failure in result["failed"] if failure not in checks]
    return lines
