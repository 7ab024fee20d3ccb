"""The JSON schemas and the reference page of the configuration, generated from the models.

``python -m gdyn.config.docs`` writes them; a test fails where they are out of date.
"""

import json
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from gdyn.config.models import Config, Section, System
from gdyn.files import whole_file

FOLDER = Path(__file__).resolve().parents[2] / "config"

INTRODUCTION = """\
# Configuration

Generated from `gdyn/config/models.py` by `make docs`; do not edit.

`config.yaml` says which systems to run. Each system is one file, `systems/<system>.yaml`: dropping a
file there is all it takes to add one. Every key is checked before any job starts, and a key that is
wrong is reported in one sentence. Editors that know JSON Schema complete and check the files as you
type (`schema/`).

Any key of `config.yaml` can be given on the command line: `--config systems=toy`, or
`--config 'systems=[toy,si_au]'`. Relative paths of trajectories are relative to the working directory.
Keys without a default must be given. Lengths are in A, times in ps.
"""


def generate() -> dict[Path, str]:
    """Return the text of every generated file by its path."""
    return {
        FOLDER / "schema" / "config.schema.json": _schema(Config, "gdyn: what to run"),
        FOLDER / "schema" / "system.schema.json": _schema(System, "gdyn: one system"),
        FOLDER / "README.md": _page(),
    }


def _schema(model: type[BaseModel], title: str) -> str:
    schema = model.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return json.dumps(_lists_may_be_scalars(schema), indent=2, ensure_ascii=False) + "\n"


def _lists_may_be_scalars(node: Any) -> Any:
    """Where the models take one value for a list of one, let the schema do so too."""
    if isinstance(node, dict):
        node = {key: _lists_may_be_scalars(value) for key, value in node.items()}
        if node.pop("or_one", False):
            outer = {key: node.pop(key) for key in ("default", "description", "title") if key in node}
            return {"anyOf": [node, node["items"]], **outer}
        return node
    return [_lists_may_be_scalars(item) for item in node] if isinstance(node, list) else node


def _page() -> str:
    lines = [INTRODUCTION]
    lines += _table("`config.yaml`", Config, "")
    lines += ["", "# A system", ""]
    lines += _table("Top level", System, "")
    for path, model in _sections(System, ""):
        kind = model.model_fields.get("kind")
        of_kind = f", kind {_kind(kind.annotation)}" if kind else ""
        lines += ["", *_table(f"`{path}`{of_kind}", model, f"{path}.")]
    return "\n".join(lines).rstrip() + "\n"


def _sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        origin = get_origin(field.annotation)
        path = f"{prefix}{name}" + (".NAME" if origin is dict else "[]" if origin is list else "")
        for inner in models_in(field.annotation):
            yield path, inner
            yield from _sections(inner, f"{path}.")


def _table(title: str, model: type[BaseModel], prefix: str) -> list[str]:
    lines = [
        f"## {title}",
        "",
        _paragraph(model.__doc__),
        "",
        "| key | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for name, field in model.model_fields.items():
        inner = models_in(field.annotation)
        default = "" if field.is_required() else "`" + _default(field.get_default(call_default_factory=True)) + "`"
        if inner:
            kind, meaning, default = (
                "section",
                " Or: ".join(_paragraph(model.__doc__).split(". ")[0].rstrip(".") + "." for model in inner),
                "" if field.is_required() else "optional",
            )
        else:
            kind, meaning = _kind(field.annotation), _paragraph(field.description)
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("or_one"):
                kind = kind.removeprefix("list of ") + ", or a list"
        lines.append(f"| `{prefix}{name}` | {kind} | {default} | {meaning} |")
    return lines


def _default(value: Any) -> str:
    return json.dumps(value, default=str)


def _paragraph(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def models_in(annotation: Any) -> list[type[Section]]:
    """Return the sections that an annotation holds, as a container or as alternatives."""
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, Section):
        return [annotation]
    return [model for argument in get_args(annotation) for model in models_in(argument)]


def _kind(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(arguments[0])
    if origin is Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_kind(a) for a in arguments))
    if origin is list:
        return f"list of {_kind(arguments[0])}"
    if origin is tuple:
        return "[" + ", ".join(_kind(a) for a in arguments) + "]"
    if origin is dict:
        return f"{_kind(arguments[0])}: {_kind(arguments[1])}"
    return {
        bool: "true or false",
        int: "integer",
        float: "number",
        str: "text",
        Path: "path",
        dict: "mapping",
        type(None): "nothing",
    }[annotation]


def write(pages: Mapping[Path, str]) -> None:
    """Write generated files."""
    for path, text in pages.items():
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    write(generate())
