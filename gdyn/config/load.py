"""Reading the configuration, with one sentence for every problem."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from gdyn.config.models import NOW, Config, System
from gdyn.errors import ConfigError

FRAME = b"ITEM: TIMESTEP"  # with which each begins in a dump
FOUND_BEFORE = "GDYN_RUNS_SO_FAR"  # in the environment of a workflow's jobs, as JSON
OF_MODEL = (  # what a system needs to which that model is applied
    "selected/model.pt",
    "selected/choice.json",
    "analysis/training.csv",
    "analysis/selection.csv",
    "states/test.h5",
)
FILL_IN = "FILL_IN"  # what `gdyn new` writes where no file says a value
BROUGHT = ("model", "network", "search", "seeds", "selection")  # by a model that is applied to another system
NOTHING_TO_TRAIN = {"train": (0.0, 0.1), "validation": (0.1, 0.2), "test": (0.2, 1.0)}

Model = TypeVar("Model", bound=BaseModel)


def load_config(values: Mapping[str, Any], where: str = "config/config.yaml") -> Config:
    """Check the workflow's top-level configuration.

    Parameters
    ----------
    values : mapping, as Snakemake has merged it from the config file and ``--config``.

    Raises
    ------
    ConfigError : one sentence for each problem.
    """
    _refuse_unfilled(values, Path(where))
    return validated(Config, values, where)


def load_system(name: str, config: Config) -> System:
    """Read and check the file of the system called ``name``.

    Parameters
    ----------
    name : str, the file name without ``.yaml``; with ``@now`` behind it, its simulations are taken as they are now.
    config : Config, for ``system_dir`` and ``defaults``.

    Raises
    ------
    ConfigError : the file is missing or is not YAML, or one sentence for each problem in it.
    """
    if name.endswith(NOW):
        name = name.removesuffix(NOW)
        return _so_far(name, load_system(name, config))
    path = Path(config.system_dir) / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ConfigError(
            f"{path}: no such system file{_suggestion(name, known)}; the systems in {path.parent} are: "
            f"{', '.join(known) or 'none'}"
        )
    values = read_yaml(path)
    _refuse_unfilled(values, path)
    scales = values.get("scales") or {}
    scale = config.scale if config.scale in scales else values.get("scale")
    if scale is not None:
        if scale not in scales:
            raise ConfigError(
                f"{path}: scale: {scale!r} is not among scales ({', '.join(scales) or 'there are none'}); "
                f"choose one of them"
            )
        values = _merge(values, scales[scale]) | {"scale": scale}
    values = _merge(config.defaults, values)
    if isinstance(values.get("apply"), str):
        values = _applying(name, values, config, path)
    return validated(System, values, str(path))


def _so_far(name: str, system: System) -> System:
    """A system whose trajectories are what its simulations have written up to now.

    Raises
    ------
    ConfigError : it has no simulations, or none has written anything.
    """
    if not system.simulate:
        raise ConfigError(
            f"{name}: until: only simulations that run here are analysed while they run; your own dumps are read "
            f"as far as they go: leave out until=now"
        )
    dumps = written_so_far(name, system)
    if system.apply:
        missing = [path for path in OF_MODEL if not Path("results", system.apply, path).exists()]
        if missing:
            raise ConfigError(
                f"{name}: until: results/{system.apply}/{missing[0]} is not there yet, and the model of {system.apply} "
                f"would be applied; run {system.apply} first"
            )
    if not dumps:
        raise ConfigError(
            f"{name}: until: no run has written {system.graphs.shards + 1} frames yet under results/{name}/simulation; "
            f"look again later"
        )
    labels = {run: label for run, label in enumerate(system.labels)}
    trajectory = {
        "files": list(dumps.values()),
        "labels": [labels.pop(run) for run in dumps],
        "not_begun": list(labels.values()),
        "planned_ps": system.simulate.length_ps,
    }
    values = system.model_dump() | {"simulate": None}
    values["trajectory"] |= trajectory
    return validated(System, values, f"{name}: until")


def written_so_far(name: str, system: System) -> dict[int, str]:
    """The dumps of the runs of a system that have written more frames than their graphs have files, by run.

    The runs that Snakemake has found are also those of its jobs, which read the configuration again when they begin.
    """
    folder = Path("results", name, "simulation")
    dumps: dict[int, str] = {}
    for run in json.loads(os.environ.get(FOUND_BEFORE, "{}")).get(name, range(system.simulated.runs)):
        # A deck that cannot continue writes under another name until it has ended.
        candidates = [folder / f"{run}.lammpstrj", *folder.glob(f".unfinished-*-{run}.lammpstrj")]
        written = [path for path in candidates if path.exists() and _has_frames(path, system.graphs.shards + 1)]
        if written:
            dumps[run] = str(max(written, key=lambda path: path.stat().st_mtime))
    return dumps


def _has_frames(path: Path, number: int) -> bool:
    """Whether a dump has this many whole frames with another one after them; a dump that is not text counts as such."""
    with open(path, "rb") as file:
        if not FRAME.startswith(file.read(5)):
            return True
        file.seek(0)
        frames = (line for line in file if line.rstrip() == FRAME)
        return any(count > number for count, _ in enumerate(frames, start=1))


def _applying(name: str, values: dict[str, Any], config: Config, path: Path) -> dict[str, Any]:
    """Complete a system to which another system's model is applied with the keys that come with that model.

    Raises
    ------
    ConfigError : it is the same system, or applies a model itself, or a key of this one contradicts it.
    """
    source = values["apply"]
    origin = None if source == name else load_system(source, config)
    if origin is None or origin.apply:
        raise ConfigError(f"{path}: apply: {source!r} has no model of its own; name a system that trains one")
    for key in BROUGHT:
        if key in values and key not in config.defaults:
            raise ConfigError(f"{path}: {key}: the model of {source} brings this with it; remove the key, or apply")
    neighbors = (values.get("graphs") or {}).get("neighbors", origin.graphs.neighbors)
    if neighbors != origin.graphs.neighbors:
        raise ConfigError(
            f"{path}: graphs.neighbors: {neighbors}, but the model of {source} was trained on "
            f"{origin.graphs.neighbors}; remove the key"
        )
    brought = origin.model_dump(include={"graphs", *BROUGHT})
    return _merge({"splits": NOTHING_TO_TRAIN} | brought, {k: v for k, v in values.items() if k not in BROUGHT})


def sections(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn plain sections of a system, as they travel through Snakemake's params, into their models.

    Parameters
    ----------
    values : mapping of a section's name to its plain values, or None where the system has none.
    """
    models = {name: _inner(System.model_fields[name].annotation) for name in values}
    return {name: None if value is None else models[name].model_validate(value) for name, value in values.items()}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values.

    Raises
    ------
    ConfigError : it cannot be read, is not YAML, or holds something else.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{path}, line {line}: this is not YAML ({error.problem}); correct that line") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path}: should hold keys and values, see config/README.md")
    return values


def _refuse_unfilled(values: Mapping[str, Any], path: Path) -> None:
    """Refuse every value, and every name of a key, that is still to be filled in, with its line in the file."""
    unfilled = list(_unfilled(values))
    if not unfilled:
        return
    tree = yaml.compose(path.read_text(encoding="utf-8")) if path.is_file() else None
    lines = [_line(tree, parts) for parts in unfilled]
    raise ConfigError(
        "\n".join(
            f"{path}{f', line {line}' if line else ''}: {_key(parts)}: is still '{FILL_IN}'; write its value there, "
            f"config/README.md explains every key"
            for parts, line in zip(unfilled, lines, strict=True)
        )
    )


def _unfilled(values: Any, parts: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value, or name of a key, that holds ``FILL_IN``."""
    if isinstance(values, dict | list | tuple):
        for name, value in values.items() if isinstance(values, dict) else enumerate(values):
            if FILL_IN in str(name):
                yield (*parts, name)
            yield from _unfilled(value, (*parts, name))
    elif isinstance(values, str) and FILL_IN in values:
        yield parts


def _line(tree: yaml.Node | None, parts: Sequence[Any]) -> int | None:
    """The line where the value at ``parts`` stands in a YAML tree, or None where it is not in there."""
    for part in parts:
        if isinstance(tree, yaml.MappingNode):
            tree = next((value for key, value in tree.value if key.value == str(part)), None)
        else:
            tree = tree.value[part] if isinstance(tree, yaml.SequenceNode) and part < len(tree.value) else None
    return tree.start_mark.line + 1 if tree else None


def _key(parts: Sequence[Any]) -> str:
    return re.sub(r"\.(\d+)", r"[\1]", ".".join(map(str, parts)))


def _merge(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the mapping ``values`` over ``defaults``, section by section."""
    merged = dict(defaults)
    for key, value in values.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def validated(model: type[Model], values: Mapping[str, Any], where: str) -> Model:
    """A section of the configuration from plain values.

    Raises
    ------
    ConfigError : one sentence for each problem, each beginning with ``where``.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        sentences = [f"{where}: {_sentence(model, problem)}" for problem in _merged(error.errors(), values)]
        raise ConfigError("\n".join(dict.fromkeys(sentences))) from None


def _merged(problems: Sequence[Any], values: Any) -> list[dict[str, Any]]:
    """The problems of a value that may be of several kinds as one; of these, those of the items of a list alone."""
    merged: dict[tuple, dict[str, Any]] = {}
    for problem in problems:
        path = _path(problem, values)
        message = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").rstrip(".")
        if problem["type"] == "too_short":
            message = f"should have at least {problem['ctx']['min_length']} of them"
        if path not in merged:
            merged[path] = dict(problem) | {"loc": path, "msg": message}
        elif message not in merged[path]["msg"]:
            merged[path]["msg"] += f", or {message.removeprefix('should ').removeprefix('be ')}"
    return [one for path, one in merged.items() if not path or not any(path == other[:-1] for other in merged)]


def _path(problem: Any, values: Any) -> tuple[str | int, ...]:
    """Where a problem is, without the names that pydantic has for the kinds that a value may be of."""
    *above, last = problem["loc"] or [None]
    path: list[str | int] = []
    for part in above:
        if (isinstance(values, dict) and part in values) or (isinstance(values, list) and isinstance(part, int)):
            path.append(part)
            values = values[part]
    at_key = isinstance(values, dict) or (isinstance(values, list) and isinstance(last, int))
    return (*path, last) if last is not None and at_key else tuple(path)


def _sentence(model: type[BaseModel], problem: Any) -> str:
    path = [str(part) for part in problem["loc"]]
    key = _key(path)
    kind = problem["type"]
    if kind == "extra_forbidden":
        known = sorted(_fields(model, path[:-1]))
        return f"{key}: unknown key{_suggestion(path[-1], known)}; the keys here are: {', '.join(known)}"
    if kind == "missing":
        meaning = (_fields(model, path[:-1]).get(path[-1]) or "").split("\n")[0].rstrip(".")
        return f"{key}: this key is missing; add it" + (f" ({' '.join(meaning.split())})" if meaning else "")
    message = problem["msg"]
    if not path:
        return message
    if isinstance(problem["input"], str | int | float | bool | None):
        message += f", but is {problem['input']!r}"
    return f"{key}: {message}"


def _suggestion(word: str, known: Sequence[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""


def _fields(model: Any, path: Sequence[str]) -> dict[str, str | None]:
    """Names and meanings of the keys that may stand at ``path`` below ``model``."""
    for part in path:
        models = [model] if isinstance(model, type) and issubclass(model, BaseModel) else []
        if models and part in model.model_fields:
            model = _inner(model.model_fields[part].annotation)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {}
    return {name: field.description for name, field in model.model_fields.items()}


def _inner(annotation: Any) -> Any:
    """The model inside an annotation such as ``Model | None`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, list, dict, tuple):
        for argument in get_args(annotation):
            model = _inner(argument)
            if isinstance(model, type) and issubclass(model, BaseModel):
                return model
    return None
