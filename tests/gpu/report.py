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
        self.content["numbers"][name] = {"value": plain(value), "unit": unit, "on": on or self.on}
        self._say(f"{name}: {text(plain(value))} {unit} ({on or self.on})")

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
        allowed = " and ".join(f"{word} {text(bound)}" for word, bound in (("at least", least), ("at most", most)) if
                               bound is not None) or "yes"  # fmt: skip
        self.content["checks"][name] = {
            "value": value, "allowed": allowed, "passed": passed, "why": why, "on": on or self.on
        }  # fmt: skip
        self._say(f"{'passed' if passed else 'FAILED'} {name}: {text(value)}, allowed: {allowed} ({on or self.on})")

    def note(self, sentence):
        self.content["notes"].append(sentence)
        self._say(sentence)

    def done(self):
        self.content["done"] = True
        self._save()

    def _say(self, line):
        print(f"  {line}", flush=True)
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


def table(parts):
    """Lines of one Markdown table of the contents of all parts."""
    lines = ["| part | what | found | allowed | on |", "|---|---|---|---|---|"]
    for part, result in parts.items():
        content = result["found"]
        for name, one in content["numbers"].items():
            lines.append(f"| {part} | {name} | {text(one['value'])} {one['unit']} | | {one['on']} |")
        for name, one in content["checks"].items():
            found = text(one["value"]) + ("" if one["passed"] else " **failed**")
            lines.append(f"| {part} | {name} | {found} | {one['allowed']} | {one['on']} |")
        lines += [f"| {part} | {failure} | **failed** | | |" for failure in result["failed"] if failure not in
                  content["checks"]]  # fmt: skip
    return [line.replace("| |", "| |").rstrip() for line in lines]
