"""The recipes of docs/extending.md, read and carried out on a copy of the project."""

import re
import shutil
import subprocess


def recipes(root):
    """{title: [(path, kind, text of the block)]} of the document."""
    text = (root / "docs/extending.md").read_text()
    parts = re.split(r"^## (.+)$", text, flags=re.M)
    block = re.compile(r"^`([\w/.]+)`\n\n```(\w+)\n(.*?)^```$", re.M | re.S)
    return {title: block.findall(body) for title, body in zip(parts[1::2], parts[2::2], strict=True)}


def copy_of(root, folder):
    """A copy of what git has of the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, text=True, check=False).stdout
    names = listed.split("\0") if listed else [
        str(path.relative_to(root)) for part in ("gdyn", "rules", "workflow_scripts", "config", "envs", "docs")
        for path in (root / part).rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ] + ["Snakefile", "pyproject.toml"]  # fmt: skip
    for name in names:
        if name and not name.startswith("tests/data") and (root / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / name, folder / name)
    return folder


def carry_out(recipe, folder):
    """Do what the blocks of a recipe say."""
    for name, kind, text in recipe:
        path = folder / name
        if kind == "diff":
            path.write_text(patched(path.read_text(), text, name))
        else:
            assert not path.exists(), f"{name} is there already"
            path.write_text(text)


def patched(text, block, name):
    """Lines with ``+`` are added where those without are, and those with ``-`` are removed."""
    lines = block.splitlines()
    before = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    after = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    assert text.count(before) == 1, f"{name} has {text.count(before)} times:\n{before}"
    return text.replace(before, after)
