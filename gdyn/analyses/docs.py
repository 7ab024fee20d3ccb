"""The page of all results, generated from the analyses.

``python -m gdyn.analyses.docs`` writes it; a test fails where it is out of date.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from gdyn.analyses import ANALYSES
from gdyn.analyses.base import Analysis, always
from gdyn.config.docs import write

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"

INTRODUCTION = """\
# Results

Generated from `gdyn/analyses/` by `make docs`; do not edit.

What each analysis leaves in `results/<system>/`. Its numbers also stand in `summary.json`, where a number `x` that has
a 95 % interval has a twin `x_interval` with `low` and `high`; `units` has the units below, `flags` the caveats about
numbers by their keys, `warnings` all of these caveats, and `provenance` says where the numbers come from. A key that
is not listed has the unit of the key that contains it, or is not numeric. In Python, the result of an analysis is
`gdyn.results("results/<system>").NAME`, and a figure `gdyn.results("results/<system>").plot_NAME()`.
"""


def generate() -> dict[Path, str]:
    """Return the text of the page by its path."""
    return {PAGE: "\n".join([INTRODUCTION, *(line for one in ANALYSES for line in _section(one))]).rstrip() + "\n"}


def _section(analysis: Analysis) -> Iterator[str]:
    files = ((f"`{file}`", _what(analysis, part)) for part, file in analysis.files.items())
    units = ((f"`{key}`", unit) for key, unit in analysis.units.items())
    yield from (f"## {analysis.name}", "", _text(type(analysis)), "", _when(analysis), "")
    yield from (*_table(("file", "what"), files), "", *_table(("summary", "unit"), units), "")
    for figure in analysis.figures:
        where = "" if figure.applies is always else f" {_text(figure.applies)}"
        yield f"- `figures/{figure.name}.pdf`: {figure.caption}{where}"
    yield ""


def _table(titles: tuple[str, str], rows: Iterable[tuple[str, str]]) -> list[str]:
    return [f"| {left} | {right} |" for left, right in (titles, ("---", "---"), *rows)]


def _when(analysis: Analysis) -> str:
    everywhere = type(analysis).applies is Analysis.applies
    applied = " Where a model is applied, the results are those of the system it was trained on."
    return _text(always if everywhere else analysis.applies) + (applied if analysis.of_model else "")


def _what(analysis: Analysis, part: str) -> str:
    """What is in the file of a result or of a part of it, as its type says."""
    kind = analysis.kind
    if part == "result":
        return _text(kind)
    field = kind.model_fields.get(part)
    return _text(getattr(kind, part)) if field is None else field.description or _text(field.annotation)


def _text(documented: Any) -> str:
    return " ".join((documented.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    write(generate())
