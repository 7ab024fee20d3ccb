"""The house keeps its shape: floors, thin adapters, pinned environments."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from contextlib import suppress
from graphlib import TopologicalSorter
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gdyn.analyses import ANALYSES

FLOORS = {
    "errors": 0, "units": 0, "files": 0, "guard": 0, "rounding": 0, "logs": 0, "provenance": 0, "config": 0,
    "trajectory": 1, "store": 1, "statistics": 1, "simulation": 1, "device": 1, "kernels": 1,
    "graphs": 2, "result": 2,
    "networks": 3,
    "training": 4, "kinetics": 4, "structure": 4, "transport": 4,
    "selection": 5, "figures": 6, "analyses": 7, "report": 8, "tools": 8, "api": 8,
}  # fmt: skip
# Within a floor, what may be imported from a neighbor.
BESIDE = {
    ("store", "trajectory"): False,
    ("trajectory", "store"): True,
    ("simulation", "trajectory"): True,
    ("statistics", "store"): True,
    ("structure", "kinetics"): True,
    ("transport", "kinetics"): True,
}
LONG = 400  # lines of a module
HEAVY = {"torch", "MDAnalysis", "snakemake", "lammps"}
CONDA_NAMES = {"freud": "freud-analysis", "pytorch": "torch", "python-isal": "isal"}  # to those of PyPI
ENVIRONMENTS = ("analyse", "simulate", "train")
# Imports what it is told, for each rule, as if none of some modules were there; says which rules cannot.
IMPORT_WITHOUT = """
import json, sys
rules, absent = json.load(sys.stdin)
class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)
for rule, imports in rules.items():
    try:
        exec(imports)
    except ImportError as error:
        print(f"{rule}: {error}")
"""


def modules(root):
    return sorted(
        path for path in (root / "gdyn").rglob("*.py") if path.parent != root / "gdyn" or path.stem != "__init__"
    )


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        yield from imported_by(node)


def imported_by(node):
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(path, root):
    return path.relative_to(root / "gdyn").with_suffix("").parts[0]


def test_every_module_has_a_floor(root):
    assert {floor_of(path, root) for path in modules(root)} == set(FLOORS)


def test_no_module_is_long_but_those_that_are_named_with_a_reason(root):
    named = set(re.findall(r"^\| `(gdyn/[\w/]+\.py)` \|", (root / "docs/ARCHITECTURE.md").read_text(), re.M))
    long = {str(path.relative_to(root)) for path in modules(root) if len(path.read_text().splitlines()) > LONG}
    assert long == named


def test_packages_import_each_other_in_no_circle(root):
    """Of what is imported when a module is, and within functions too."""
    needs = {}
    for path in modules(root):
        there = {
            name.split(".")[1] for name in cannot_do_without(ast.parse(path.read_text())) if name.startswith("gdyn.")
        }
        needs.setdefault(floor_of(path, root), set()).update(there & set(FLOORS))
    assert list(TopologicalSorter({here: there - {here} for here, there in needs.items()}).static_order())


def test_imports_only_go_down(root):
    for path in modules(root):
        here = floor_of(path, root)
        for name in imports(path):
            there = name.split(".")[1] if name.startswith("gdyn.") else None
            if there in FLOORS and there != here:
                down = FLOORS[there] < FLOORS[here]
                beside = FLOORS[there] == FLOORS[here] and (FLOORS[here] == 0 or BESIDE.get((here, there), False))
                assert down or beside, f"{path.relative_to(root)} imports {name}"


def test_the_ground_floor_and_the_analysis_need_no_torch(root):
    for path in modules(root):
        here = floor_of(path, root)
        packages = {name.split(".")[0] for name in imports(path)}
        if FLOORS[here] == 0:
            assert not packages & HEAVY, path
        if here in (
            "kinetics",
            "structure",
            "transport",
            "figures",
            "report",
            "selection",
            "statistics",
            "simulation",
            "store",
            "tools",
            "trajectory",
        ):
            assert "torch" not in packages, path


def test_what_the_snakefile_imports_needs_no_numpy(root):
    statements = re.findall(r"^(?:from|import) gdyn.*$", (root / "rules/common.smk").read_text(), re.M)
    assert statements
    program = "\n".join([*statements, "import sys", "print({'jaxtyping', 'numpy'} & set(sys.modules))"])
    run = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "set()\n"), run.stdout + run.stderr


def rules(root):
    text = "\n".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def adapter_of(rule):
    """The program of a rule: of the same name, but for analyses, which have one together."""
    return "analyse" if rule in {analysis.name for analysis in ANALYSES} - {"select"} else rule


def test_every_rule_is_complete(root):
    for name, body in rules(root).items():
        parts = ["output", "log", "benchmark", "message", "resources", "conda", "script"]
        if name != "build":  # which begins from nothing but the configuration
            parts.append("input")
        for part in parts:
            assert re.search(rf"^    {part}:", body, re.M), f"rule {name} has no {part}"
        assert f'"../workflow_scripts/{adapter_of(name)}.py"' in body
        for part in ("mem_mb", "runtime"):
            assert part in body, f"rule {name} has no resource {part}"
        assert "retries" not in body


def test_adapters_are_one_call_each(root):
    scripts = {path.stem: ast.parse(path.read_text()) for path in (root / "workflow_scripts").glob("*.py")}
    assert set(scripts) == set(map(adapter_of, rules(root)))
    for name, tree in scripts.items():
        forbidden = (ast.FunctionDef, ast.Lambda, ast.For, ast.While, ast.If, ast.ListComp, ast.ClassDef)
        assert not [node for node in ast.walk(tree) if isinstance(node, forbidden)], name
        body = tree.body[-1]
        assert isinstance(body, ast.With), name
        assert len(body.body) == 1, name


def requirements(root):
    content = tomllib.loads((root / "pyproject.toml").read_text())
    extras = content["project"]["optional-dependencies"].values()
    listed = [
        *content["build-system"]["requires"],
        *content["project"]["dependencies"],
        *(r for e in extras for r in e),
    ]
    return {re.match(r"[\w.-]+", r)[0].lower(): r for r in listed}


def test_conda_environments_agree_with_pyproject(root):
    needed = requirements(root)
    files = sorted((root / "envs").glob("*.yaml"))
    used = set(re.findall(r'"\.\./envs/(\w+)\.yaml"', "".join(rules(root).values())))
    assert used == {path.stem for path in files}
    for path in files:
        for dependency in yaml.safe_load(path.read_text())["dependencies"]:
            name, *pin = dependency.split(maxsplit=1)
            if name == "python":
                assert pin == [">=3.11,<3.14"], path
            elif name not in ("pip", "lammps"):  # pip has no pin; LAMMPS counts its versions otherwise there
                name = CONDA_NAMES.get(name, name).lower()
                assert needed[name].lower() == name + pin[0], path


def rules_in(environment, root):
    """The rules of a conda environment, and the program of each."""
    found = {
        name: ast.parse((root / "workflow_scripts" / f"{adapter_of(name)}.py").read_text())
        for name, body in rules(root).items()
        if f'"../envs/{environment}.yaml"' in body
    }
    assert found
    return found


def listed_in(environment, root):
    """The packages that a conda environment lists, by their names on PyPI."""
    lines = yaml.safe_load((root / "envs" / f"{environment}.yaml").read_text())["dependencies"]
    names = [line.split()[0] for line in lines]
    return {canonicalize_name(CONDA_NAMES.get(name, name)) for name in names}


def with_requirements(packages):
    """Some packages and all that they require in turn, as far as they are installed here."""
    found, new = set(), set(packages)
    while new:
        found.add(name := new.pop())
        with suppress(metadata.PackageNotFoundError):
            required = map(Requirement, metadata.requires(name) or [])
            needed = [one for one in required if one.marker is None or one.marker.evaluate({"extra": ""})]
            new |= {canonicalize_name(one.name) for one in needed} - found
    return found


def packages_of_modules():
    """The packages, by their names on PyPI, of every module that is installed here."""
    return {module: set(map(canonicalize_name, of)) for module, of in metadata.packages_distributions().items()}


@pytest.fixture(params=ENVIRONMENTS)
def environment(request):
    if request.param == "train":
        pytest.importorskip("torch")
    return request.param


def test_a_conda_environment_has_what_its_rules_import(root, environment):
    there = with_requirements(listed_in(environment, root)) | {"gdyn"}
    absent = [module for module, packages in packages_of_modules().items() if not packages & there]
    assert "snakemake" in absent
    statements = {
        name: "\n".join(ast.unparse(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        for name, tree in rules_in(environment, root).items()
    }
    command = [sys.executable, "-c", IMPORT_WITHOUT]
    told = json.dumps([statements, absent])
    run = subprocess.run(command, input=told, cwd=root, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, ""), run.stdout + run.stderr


def cannot_do_without(node):
    """What is imported below a node, within functions too, but for what may fail to be imported."""
    yield from imported_by(node)
    parts = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        parts = node.orelse
    if isinstance(node, ast.Try):
        caught = [name.id for h in node.handlers if h.type for name in ast.walk(h.type) if isinstance(name, ast.Name)]
        if {"ImportError", "ModuleNotFoundError"} & set(caught):
            parts = [*node.handlers, *node.orelse, *node.finalbody]
    for part in parts:
        yield from cannot_do_without(part)


def modules_of_gdyn(name, root):
    """The files that are read when ``name``, a module of gdyn or something in it, is imported."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:end])
        yield from (file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file())
    if name.startswith("gdyn.analyses"):  # which imports all of its modules
        yield from (root / "gdyn/analyses").glob("*.py")


def named_in(tree):
    """What a module names as ``module:function``, to import it when it is needed."""
    texts = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return [text.replace(":", ".") for text in texts if re.fullmatch(r"gdyn[\w.]+:\w+", str(text))]


def modules_of_others(tree, root):
    """The modules, neither of gdyn nor of Python, that a program may come to import, and by what file."""
    found, read, new = {}, set(), [("the adapter", tree)]
    while new:
        where, tree = new.pop()
        by_name = named_in(tree) if where.startswith("gdyn/analyses") else ()
        for name in (*cannot_do_without(tree), *by_name):
            top = name.split(".")[0]
            if top == "gdyn":
                files = set(modules_of_gdyn(name, root)) - read
                read |= files
                new += [(str(file.relative_to(root)), ast.parse(file.read_text())) for file in files]
            elif top not in sys.stdlib_module_names:
                found.setdefault(top, where)
    return found


def test_a_conda_environment_lists_all_that_its_rules_may_come_to_import(root, environment):
    listed, packages = listed_in(environment, root), packages_of_modules()
    for rule, tree in rules_in(environment, root).items():
        for module, where in modules_of_others(tree, root).items():
            assert packages[module] & listed, f"rule {rule}: {where} imports {module}, not in envs/{environment}.yaml"


def test_imports_within_functions_are_followed_and_optional_ones_are_not(root):
    found = {}
    for environment in ENVIRONMENTS:
        for tree in rules_in(environment, root).values():
            found |= modules_of_others(tree, root)
    assert {"MDAnalysis", "freud"} <= set(found)  # within functions alone
    assert "tensorboardX" not in found


def test_every_figure_is_drawn_in_the_common_style(root):
    drawn = {
        f"{path.stem}.{node.name}": [ast.unparse(decorator) for decorator in node.decorator_list]
        for path in (root / "gdyn/figures").glob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and (node.name.startswith("draw_") or node.name == "save")
    }
    assert "style.save" in drawn
    assert not [name for name, decorators in drawn.items() if "styled" not in decorators]


def test_constraints_pin_every_direct_dependency_and_name_no_host(root):
    text = (root / "constraints.txt").read_text()
    pinned = {line.split("==")[0] for line in text.splitlines()}
    assert set(requirements(root)) - {"gdyn"} <= pinned
    assert not re.search(r"https?:|://|--|\+cpu", text)


def committed(root):
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no git checkout, so which files are committed is not known")
    names = listed.stdout.decode().split("\0")
    return [root / name for name in names if name and (root / name).is_file()]


@pytest.mark.parametrize("pattern", [r"https?://[^\s)>\"']*(pypi|conda|debian|npm)[^\s]*", r"/(work|root|home)/\w+"])
def test_committed_text_names_no_registry_and_no_path_of_one_machine(root, pattern):
    for path in committed(root):
        if path.suffix not in (".png", ".pdf", ".h5", ".pt"):
            found = re.search(pattern, path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(root)}: {found and found[0]}"


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda one: one.name)
def test_the_rule_of_an_analysis_writes_its_files(root, analysis):
    rules = "\n".join(path.read_text() for path in (root / "rules").glob("*.smk"))
    (rule,) = re.findall(rf"^rule {analysis.name}:\n(.*?)(?=^\S|\Z)", rules, re.M | re.S)
    outputs = re.search(r"    output:\n(.*?)    \w+:\n", rule, re.S)[1]
    written = dict(re.findall(r'(\w+)="results/\{system\}/([^"]+)"', outputs))
    assert analysis.files.items() <= written.items()
