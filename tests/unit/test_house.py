"""The house keeps its shape: floors, thin adapters, pinned environments."""

import ast
import re
import subprocess
import tomllib

import pytest
import yaml

FLOORS = {
    "errors": 0, "units": 0, "files": 0, "logs": 0, "provenance": 0, "config": 0,
    "trajectory": 1, "store": 1, "statistics": 1,
    "graphs": 2,
    "networks": 3, "builders": 3,
    "training": 4, "kinetics": 4, "structure": 4, "transport": 4,
    "figures": 5, "report": 5, "selection": 5, "status": 5, "cli": 5,
}  # fmt: skip
# Within a floor, what may be imported from a neighbor.
BESIDE = {
    ("store", "trajectory"): False,
    ("trajectory", "store"): True,
    ("statistics", "trajectory"): True,
    ("structure", "kinetics"): True,
    ("transport", "kinetics"): True,
    ("report", "figures"): True,
    ("cli", "status"): True,
}
HEAVY = {"torch", "MDAnalysis", "snakemake", "lammps"}


def modules(root):
    return sorted(
        path for path in (root / "gdyn").rglob("*.py") if path.parent != root / "gdyn" or path.stem != "__init__"
    )


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor_of(path, root):
    return path.relative_to(root / "gdyn").with_suffix("").parts[0]


def test_every_module_has_a_floor(root):
    assert {floor_of(path, root) for path in modules(root)} == set(FLOORS)


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
            "status",
            "store",
            "trajectory",
        ):
            assert "torch" not in packages, path


def rules(root):
    text = "\n".join(path.read_text() for path in sorted((root / "rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):$", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_rule_is_complete(root):
    for name, body in rules(root).items():
        parts = ["output", "log", "benchmark", "message", "threads", "resources", "conda", "script"]
        if name != "build":  # which begins from nothing but the configuration
            parts.append("input")
        for part in parts:
            assert re.search(rf"^    {part}:", body, re.M), f"rule {name} has no {part}"
        assert f'"../workflow_scripts/{name}.py"' in body
        for part in ("mem_mb", "runtime"):
            assert part in body, f"rule {name} has no resource {part}"
        assert "retries" not in body


def test_adapters_are_one_call_each(root):
    scripts = {path.stem: ast.parse(path.read_text()) for path in (root / "workflow_scripts").glob("*.py")}
    assert set(scripts) == set(rules(root))
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
    names = {"freud": "freud-analysis", "pytorch": "torch", "python-isal": "isal"}
    files = sorted((root / "envs").glob("*.yaml"))
    used = set(re.findall(r'"\.\./envs/(\w+)\.yaml"', "".join(rules(root).values())))
    assert used == {path.stem for path in files}
    for path in files:
        for dependency in yaml.safe_load(path.read_text())["dependencies"]:
            name, *pin = dependency.split(maxsplit=1)
            if name == "python":
                assert pin == [">=3.11,<3.14"], path
            elif name not in ("pip", "lammps"):  # pip has no pin; LAMMPS counts its versions otherwise there
                name = names.get(name, name).lower()
                assert needed[name].lower() == name + pin[0], path


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
        if path.suffix not in (".png", ".pdf"):
            found = re.search(pattern, path.read_text(encoding="utf-8"))
            assert not found, f"{path.relative_to(root)}: {found and found[0]}"
