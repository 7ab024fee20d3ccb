"""report.pdf: the numbers in a table, then every figure with its caption."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from pypdf import PageObject, PdfReader, PdfWriter, Transformation

from gdyn.analyses import ANALYSES, FIGURES
from gdyn.analyses.base import SECTIONS, Row
from gdyn.analyses.run import read_results
from gdyn.figures import style
from gdyn.files import FilePath, read_json, whole_file
from gdyn.result import Result

A4_INCH = (8.27, 11.69)
MARGIN_INCH = 0.6
LINE_INCH = 0.165
GAP_INCH = 0.32
CAPTION_COLUMNS = 122
POINTS = 72
# Of the verdict: colours that differ in lightness, too, and what they say in a word.
COLOURS = {"green": "#2e8b57", "amber": "#d98e04", "red": "#b2182b", "cannot say": "#7a7a7a"}
ANSWERS = {"green": "yes", "amber": "doubtful", "red": "NO", "cannot say": "unknown"}

Numbers = Mapping[str, Any]
Text = tuple[float, float, str, dict[str, Any]]
"""x and y in inches from the lower left, text, matplotlib text properties."""


def compose(summary: FilePath, results: Iterable[FilePath], figures: Sequence[FilePath], report: FilePath) -> None:
    """Write the report.

    Parameters
    ----------
    summary : path of summary.json.
    results : paths of the files of the analyses.
    figures : paths of the figures as PDF, in order.
    report : path to write.
    """
    blocks = [_figure_block(number, figure) for number, figure in enumerate(figures, start=1)]
    writer = PdfWriter()
    for texts in front_pages(read_json(summary), read_results(results)):
        writer.add_page(_text_page(texts))
    for page_blocks in _divide(blocks):
        _add_figure_page(writer, page_blocks)
    with whole_file(report) as temporary, open(temporary, "wb") as file:
        writer.write(file)


@dataclass
class _Block:
    """A figure, scaled to the text width where it is wider, and the lines of its caption."""

    page: PageObject
    scale: float
    caption: list[str]

    @property
    def width_inch(self) -> float:
        return float(self.page.mediabox.width) / POINTS * self.scale

    @property
    def figure_inch(self) -> float:
        return float(self.page.mediabox.height) / POINTS * self.scale

    @property
    def height_inch(self) -> float:
        return self.figure_inch + LINE_INCH * (len(self.caption) + 0.5)


def _figure_block(number: int, figure: FilePath) -> _Block:
    page = PdfReader(Path(figure)).pages[0]
    width, height = (float(side) / POINTS for side in (page.mediabox.width, page.mediabox.height))
    caption = FIGURES[Path(figure).stem][0].caption
    lines = textwrap.wrap(f"Figure {number}. {caption}", CAPTION_COLUMNS)
    room = A4_INCH[1] - 2 * MARGIN_INCH - LINE_INCH * (len(lines) + 0.5)
    scale = min(1.0, (A4_INCH[0] - 2 * MARGIN_INCH) / width, room / height)
    return _Block(page, scale, lines)


def _divide(blocks: list[_Block]) -> list[list[_Block]]:
    """Set the blocks one below the other, on as many pages as needed."""
    pages: list[list[_Block]] = [[]]
    room = A4_INCH[1] - 2 * MARGIN_INCH
    for block in blocks:
        if pages[-1] and sum(b.height_inch + GAP_INCH for b in pages[-1]) + block.height_inch > room:
            pages.append([])
        pages[-1].append(block)
    return pages


def _add_figure_page(writer: PdfWriter, blocks: list[_Block]) -> None:
    top, texts, placed = A4_INCH[1] - MARGIN_INCH, [], []
    for block in blocks:
        bottom = top - block.figure_inch
        placed.append((block, (A4_INCH[0] - block.width_inch) / 2, bottom))
        texts += [
            (MARGIN_INCH, bottom - LINE_INCH * (i + 1), line, {"fontsize": 8}) for i, line in enumerate(block.caption)
        ]
        top -= block.height_inch + GAP_INCH
    page = writer.add_page(_text_page(texts))
    for block, left, bottom in placed:
        move = Transformation().scale(block.scale).translate(left * POINTS, bottom * POINTS)
        page.merge_transformed_page(block.page, move)


@style.styled
def _text_page(texts: list[Text]) -> PageObject:
    """A page with lines of text."""
    figure = Figure(figsize=A4_INCH)
    for x, y, text, look in texts:
        figure.text(x / A4_INCH[0], y / A4_INCH[1], text, va="baseline", **look)
    buffer = BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None})
    return PdfReader(buffer).pages[0]


def front_pages(numbers: Numbers, results: dict[str, Result]) -> list[list[Text]]:
    """The table of numbers and their caveats, on as many pages as needed: the texts of each.

    Parameters
    ----------
    numbers : the content of summary.json.
    results : those of the analyses, by their names.
    """
    pages: list[list[Text]] = [[]]
    y = A4_INCH[1] - MARGIN_INCH - 0.2

    def put(text: str, x: float = MARGIN_INCH, advance: float = 0.0, room: float = 0.0, **look: Any) -> None:
        nonlocal y
        y -= advance
        if y - room < MARGIN_INCH:
            pages.append([])
            y = A4_INCH[1] - MARGIN_INCH - 0.2
        pages[-1].append((x, y, text, {"fontsize": 8.5, **look}))

    put(numbers["system"], fontsize=18, fontweight="bold")
    for line in textwrap.wrap(numbers["description"], 100):
        put(line, advance=0.26, fontsize=9.5, color="#4d4d4d")
    y -= 0.12
    if numbers.get("verdict"):
        put("Verdict", advance=0.3, room=0.4, fontsize=10, fontweight="bold", color=style.STATES[0])
    for line in numbers.get("verdict", ()):
        colour = COLOURS[line["answer"]]
        lines = textwrap.wrap(line["reason"], 64) or [""]
        put("●", advance=0.21, room=0.17 * (len(lines) - 1), color=colour, fontsize=11)
        put(line["question"], x=MARGIN_INCH + 0.2, fontweight="bold" if line["answer"] == "red" else "normal")
        put(ANSWERS[line["answer"]], x=MARGIN_INCH + 2.6, color=colour, fontweight="bold")
        for number, text in enumerate(lines):
            put(text, x=MARGIN_INCH + 3.25, advance=0.17 if number else 0.0)
    for title, rows in _sections(numbers, results):
        put(title, advance=0.36, room=0.4, fontsize=10, fontweight="bold", color=style.STATES[0])
        for name, text in rows:
            lines = textwrap.wrap(text, 72) or [""]
            put(name, advance=0.2, room=0.17 * (len(lines) - 1))
            for number, line in enumerate(lines):
                put(line, x=MARGIN_INCH + 2.6, advance=0.17 if number else 0.0)
    put(
        "Caveats" if numbers["warnings"] else "No warnings",
        advance=0.4,
        room=0.4,
        fontsize=10,
        fontweight="bold",
        color=style.STATES[1] if numbers["warnings"] else style.STATES[2],
    )
    for sentence in numbers["warnings"]:
        lines = textwrap.wrap(sentence, 105)
        for number, line in enumerate(lines):
            put(("• " if number == 0 else "   ") + line, advance=0.19, room=0.19 * (len(lines) - 1 - number))
    return pages


def _sections(numbers: Numbers, results: dict[str, Result]) -> list[tuple[str, list[Row]]]:
    """The table of the front page: titles with their rows."""
    rows: dict[str, list[Row]] = {title: [] for title in SECTIONS}
    for analysis in ANALYSES:
        if analysis.name in results:
            for title, more in analysis.rows(results[analysis.name]).items():
                rows.setdefault(title, []).extend(more)
    return [*((title, some) for title, some in rows.items() if some), ("Where it comes from", _origin(numbers))]


def _origin(numbers: Numbers) -> list[Row]:
    """Where the numbers come from: model, training, version, configuration, trajectories."""
    training, provenance = numbers["training"], numbers["provenance"]
    rows = [
        Row("model", f"of the system {numbers['applied']}, applied here" if numbers["applied"] else "trained here"),
        Row("choice", numbers["choice"]["reason"]),
        Row(
            "training of the chosen model",
            f"{training['wall_s']:.0f} s on {training['device']}, {training['frames_per_s']:.0f} frames/s; "
            f"{training['epochs']} epochs, " + ("converged" if training["converged"] else "NOT converged"),
        ),
        Row("gdyn", provenance["version"]),
        Row("configuration", provenance["config"][:23] + "…"),
    ]
    for trajectory in provenance["trajectories"]:
        text = f"{trajectory['source']}, {trajectory['frames']} frames, {trajectory['checksum'][:23]}…"
        rows.append(Row("trajectory", text))
    return rows
