"""What the documentation shows is so: its Python runs, its YAML is valid, its commands exist, its site is built."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

import gdyn
from gdyn.analyses import ANALYSES
from gdyn.config import load_config, load_system
from gdyn.config.docs import models_in
from gdyn.config.models import Config, System
from gdyn.tools import cli

PAGES = ("README.md", "CONTRIBUTING.md", "config/README.md", "envs/README.md", "docs/*.md")
CARRIED_OUT = "docs/extending.md"  # by tests/workflow/test_recipes.py
EQUATIONS = "docs/theory.md"  # are indented
DECKS = {"docs/tutorial.md": 2}
# Blocks that are checked below, by page.
CHECKED = ("python", "yaml", "sh")
# Programs of others, whose arguments are not checked.
OTHERS = {"apptainer", "cd", "cp", "git", "module", "mpirun", "pip", "pre-commit", "pytest", "rm", "tar", "uv"}
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"`((?:\w+=\S+ )*(?:make|snakemake|gdyn|\.venv/bin/\w+) [^`]+|--config\s[^`]+)`")


def read(root):
    """{page: its text}."""
    paths = sorted(path for pattern in PAGES for path in root.glob(pattern))
    return {str(path.relative_to(root)): path.read_text() for path in paths}


def blocks(root, kind):
    """{page: the blocks of a kind}, where there are any."""
    found = {page: [text for name, text in BLOCK.findall(page_text) if name == kind]
             for page, page_text in read(root).items() if page != CARRIED_OUT}  # fmt: skip
    return {page: texts for page, texts in found.items() if texts}


def test_every_block_is_of_a_kind_that_is_checked_or_shows_output(root):
    for page, text in read(root).items():
        kinds = {kind for kind, _ in BLOCK.findall(text)}
        more = {"diff"} if page == CARRIED_OUT else {"lammps"} if page in DECKS else set()
        assert kinds <= {*CHECKED, "text", *more}, page
        if page != EQUATIONS:
            assert not re.search(r"\n\n    \S", BLOCK.sub("", text)), f"{page} has an indented block; mark it as text"
    assert {page: len(texts) for page, texts in blocks(root, "lammps").items()} == DECKS


@pytest.fixture
def project(root, tmp_path, monkeypatch):
    """A folder with the results of two systems: those that are kept, and what they follow from."""
    kept = root / "tests/data/formats/0.1"
    for name in ("toy", "mine"):
        folder = tmp_path / "results" / name
        for part in ("states", "trajectory"):
            (folder / part).mkdir(parents=True)
        for path in (kept / "results").iterdir():
            (folder / path.name).symlink_to(path)
        for split in ("train", "validation", "test"):
            (folder / f"states/{split}.h5").symlink_to(kept / f"inputs/{split}.h5")
        for number in range(2):
            (folder / f"trajectory/{number}.h5").symlink_to(kept / f"inputs/{number}.h5")
    monkeypatch.chdir(tmp_path)


def run(texts):
    names = {}
    for text in texts:
        exec(compile(text, "the documentation", "exec"), names)
    return names


def test_python_runs(root, project):
    pages = blocks(root, "python")
    assert set(pages) == {"docs/tutorial.md"}
    for texts in pages.values():
        run(texts)


def test_the_notebook_runs(root, project, capsys):
    cells = json.loads((root / "docs/notebook.ipynb").read_text())["cells"]
    names = run("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert names["model"].lag_ps == 20
    assert "population of state 1" in capsys.readouterr().out


def test_yaml_is_valid(root, tmp_path):
    """As whole systems, parts of one, or parts of a profile of Snakemake."""
    for path in (root / "config/systems").glob("*.yaml"):
        (tmp_path / path.name).symlink_to(path)
    number = 0
    for page, texts in blocks(root, "yaml").items():
        for text in texts:
            values = yaml.safe_load(text)
            if {"default-resources", "set-resources"} & set(values):
                assert set(values["set-resources"]) <= rules(root), page
                assert {f"--{key}" for key in values} <= options_of_snakemake(), page
            elif {"trajectory", "targets"} <= set(values):
                number += 1
                (tmp_path / f"block_{number}.yaml").write_text(text)
                config = load_config({"systems": f"block_{number}", "system_dir": str(tmp_path)})
                assert load_system(f"block_{number}", config), page
            else:
                assert not list(unknown(values, [System])), page
    assert number >= 3


def unknown(values, models):
    """The keys that none of some models has."""
    for key, value in values.items():
        fields = [model.model_fields[key] for model in models if key in model.model_fields]
        if not fields:
            yield key
        inner = [model for field in fields for model in models_in(field.annotation)]
        if inner and isinstance(value, dict):
            yield from unknown(value, inner)


def test_unknown_keys_are_found():
    found = unknown({"simulate": {"runs": 1, "rums": 2}, "split": {}}, [System])
    assert list(found) == ["rums", "split"]


def rules(root):
    texts = [path.read_text() for path in (root / "Snakefile", *(root / "rules").glob("*.smk"))]
    return set(re.findall(r"^rule (\w+):", "\n".join(texts), re.M))


def outputs(root):
    """Patterns of the files that the workflow makes."""
    text = "\n".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    found = set(re.findall(r'"(results/[^"]+)"', text))
    return [re.sub(r"\\{.*?\\}", "[^/]+", re.escape(pattern)) for pattern in found]


def options_of_snakemake():
    return {option for action in get_argument_parser()._actions for option in action.option_strings}


def commands(root):
    """Every command of the pages: page, command and whether it is in the text, where it may be no more than a name."""
    for page, text in read(root).items():
        for block in blocks(root, "sh").get(page, []):
            for line in block.replace("\\\n", " ").splitlines():
                yield page, line, False
        for line in INLINE.findall(BLOCK.sub("", text)):
            yield page, " ".join(line.split()), True


def test_commands_exist(root):
    seen = set()
    for page, line, inline in commands(root):
        for command in re.split(r" && ", line):
            words = [word for word in shlex.split(command, comments=True) if word not in ("$P", "...")]
            while words and re.fullmatch(r"\w+=.*", words[0]):
                words.pop(0)
            if words:
                seen.add(program := "snakemake" if words[0] == "--config" else Path(words.pop(0)).name)
                problem = problem_of(program, words, inline, root)
                assert not problem, f"{page}: {line}: {problem}"
    assert {"gdyn", "make", "python", "snakemake"} <= seen


def problem_of(program, words, inline, root):
    """What is wrong with a command; nothing where it is right."""
    match program:
        case "make":
            there = set(re.findall(r"^(\S+):", (root / "Makefile").read_text(), re.M))
            return {word for word in words if "=" not in word} - there
        case "gdyn":
            if inline and len(words) == 1:  # is named, not run
                return set(words) - {"inspect", "new", "status"}
            return refused(cli.parser(), words)
        case "snakemake":
            return problem_of_snakemake(words, root)
        case "python" if words[0] == "-c":
            return not compile(words[1], "the documentation", "exec")
        case "python" if words[0].endswith(".py"):
            return not (root / words[0]).is_file() and "there is no such file"
        case "python" if words[0] == "-m":
            return not importlib.util.find_spec(words[1])
        case _:
            return program not in OTHERS and "is not known"


def problem_of_snakemake(words, root):
    parser = get_argument_parser()
    if problem := refused(parser, words):
        return problem
    options = parser.parse_args(words)
    keys = {setting.partition("=")[0] for setting in options.config or ()}
    if keys - set(Config.model_fields):
        return f"there is no key {keys - set(Config.model_fields)}"
    if set(options.forcerun or ()) - rules(root):
        return f"there is no rule {options.forcerun}"
    targets = [re.sub(r"<(\w+)>", r"\1", target) for target in options.targets]
    made = [target for target in targets if any(re.fullmatch(pattern, target) for pattern in outputs(root))]
    return {*targets} - {*made} - rules(root)


def refused(parser, words):
    """Whether a parser refuses arguments."""
    try:
        parser.parse_args(words)
    except SystemExit:
        return f"refuses {words}"
    return None


@pytest.mark.parametrize(
    "command",
    [
        "make demos",
        "gdyn watch",
        "gdyn new mine x --elements Li",
        "snakemake --config system=toy",
        "snakemake --forcerun figures",
        "snakemake results/toy/rapport.pdf",
        "snakemake --no-such-option",
        "frobnicate",
    ],
)
def test_commands_that_do_not_exist_are_found(root, command, capsys):
    program, *words = command.split()
    assert problem_of(program, words, False, root)


def test_the_reference_has_all_that_is_public(root):
    text = (root / "docs/api.md").read_text()
    described = set(re.findall(r"^::: (\S+)$", text, re.M))
    assert {f"gdyn.{name}" for name in gdyn.__all__ if name != "__version__"} <= described
    kinds = {analysis.kind for analysis in ANALYSES}
    assert {f"{kind.__module__}.{kind.__qualname__}" for kind in kinds} <= described


def test_the_site_is_built_without_warnings(root, tmp_path):
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    env = {**os.environ, "PYTHONPATH": str(root), "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "site/gallery/timescales.png").stat().st_size > 5000
