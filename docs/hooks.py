"""Pages of the site that are made from other files: the README, the configuration, the notebook, the gallery.

mkdocs calls what begins with ``on_``.
"""

import json
import posixpath
import re
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import gdyn
from gdyn.analyses import FIGURES

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "tests/data/formats/0.1/results"
# Pages that are files elsewhere.
ELSEWHERE = {
    "index.md": "README.md",
    "configuration.md": "config/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "environments.md": "envs/README.md",
}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not in docs/."""
    for page, path in ELSEWHERE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    files.append(File.generated(config, "notebook.md", content=_notebook()))
    kept = gdyn.results(KEPT)
    files.append(File.generated(config, "gallery.md", content=_gallery(kept)))
    for name in kept.figures:
        files.append(File.generated(config, f"gallery/{name}.png", content=_png(kept.plot(name))))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links between files of the project into links between pages; what is no page is named without a link."""
    pages = {path: name for name, path in ELSEWHERE.items()} | {"docs/notebook.ipynb": "notebook.md"}
    pages |= {f"docs/{one.src_uri}": one.src_uri for one in files}
    here = posixpath.dirname(ELSEWHERE.get(page.file.src_uri, f"docs/{page.file.src_uri}"))

    def linked(match: re.Match[str]) -> str:
        image, text, to, anchor = match.groups()
        there = pages.get(posixpath.normpath(posixpath.join(here, to)))
        return f"{image}[{text}]({there}{anchor or ''})" if there else text

    return LINK.sub(linked, markdown)


def _notebook() -> str:
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for text, kind in texts)


def _gallery(kept: gdyn.Results) -> str:
    parts = [
        text
        for figure, analysis in (FIGURES[name] for name in kept.figures)
        for text in (
            f"## {figure.label[0].upper()}{figure.label[1:]}",
            f"![{figure.label}](gallery/{figure.name}.png)",
            figure.caption,
            f"`gdyn.results(...).plot_{figure.name}()`, of the analysis [{analysis.name}](results.md#{analysis.name})",
        )
    ]
    return "\n\n".join(["# Gallery", GALLERY, *parts])


GALLERY = """\
Every figure of the report, from a made-up world that the tests keep: three Li that hop between two types of site. What
real systems look like is shown [beside them](systems.md)."""


def _png(figure: Figure) -> bytes:
    png = BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()
