"""A first system file for a dump, with everything that can be determined from files."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import yaml

from gdyn.config.elements import ELEMENTS
from gdyn.config.load import FILL_IN
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.tools.inspect import DumpFacts, dump_facts
from gdyn.trajectory.elements import element_of_mass
from gdyn.trajectory.identity import is_data_file, read_topology
from gdyn.units import UNIT_STYLES

LARGEST_DECK_BYTES = 5_000_000
Value = TypeVar("Value", str, float)
_DECKS = ("in.*", "*.in", "*.lmp", "*.lammps", "log.*", "*.log")


@dataclass
class Hints:
    """What LAMMPS decks and logs beside a dump say; each a mapping of a value to the file that says it."""

    units: dict[str, Path] = field(default_factory=dict)
    timestep: dict[float, Path] = field(default_factory=dict)
    elements: dict[tuple[str, ...], Path] = field(default_factory=dict)
    read_data: dict[str, Path] = field(default_factory=dict)


@dataclass
class Identity:
    """Which element each type is.

    topology : the data file to name, or None.
    element_of : {type: element}, as far as a file says it.
    elements : the type map to write, of the types whose element a dump or the data file does not say by itself.
    species : {name: mass} to declare.
    """

    topology: str | None
    element_of: dict[int, str] = field(default_factory=dict)
    elements: dict[int, str] = field(default_factory=dict)
    species: dict[str, float | str] = field(default_factory=dict)


@dataclass
class Draft:
    """The text of a system file, which values came from where, and which keys are left to fill in."""

    text: str
    settled: list[str]
    missing: list[str]


def draft(
    name: str,
    dumps: Sequence[FilePath],
    topology: str | None = None,
    units: str | None = None,
    timestep: float | None = None,
    selection: str | None = None,
) -> Draft:
    """Draft a system file.

    Parameters
    ----------
    name : of the system.
    dumps : paths of LAMMPS dumps; those that continue where another ends become one trajectory.
    topology, units, timestep, selection : what the user has said, or None.

    Raises
    ------
    InputError : a dump cannot be read, or two do not fit together.
    """
    facts = [dump_facts(path) for path in dumps]
    first = facts[0]
    settled: list[str] = []
    missing: list[str] = []
    hints = read_hints(sorted({Path(path).parent for path in dumps}))
    units = _settle("units", units or first.units, hints.units, settled, missing)
    step = _settle("timestep", timestep or first.timestep, hints.timestep, settled, missing)
    style = UNIT_STYLES.get(units)
    timestep_ps = float(step) * style.time_ps if style and step != FILL_IN else None
    if first.interval is None:
        raise InputError(f"{first.path}: there is only one frame, from which nothing can be learned")
    interval_ps = float(f"{first.interval * timestep_ps:.10g}") if timestep_ps else None
    if interval_ps is None:
        missing.append("trajectory.frame_interval_ps")
    identity = _identity(facts, topology, hints, style.mass_u if style else 1.0, settled, missing)
    if selection is None:
        selection, why = _rarest(facts, identity)
        settled.append(f"targets.selection: {selection}, {why}; choose yours")
    text = _text(name, facts, units, step, interval_ps, identity, selection)
    problems = [f"{fact.path}: {problem}" for fact in facts for problem in fact.problems]
    return Draft(text, settled + [f"problem: {problem}" for problem in problems], missing)


def read_hints(folders: Iterable[Path]) -> Hints:
    """Look through the LAMMPS decks and logs in some folders: :class:`Hints`."""
    hints = Hints()
    for folder in folders:
        paths = sorted({path for pattern in _DECKS for path in folder.glob(pattern) if path.is_file()})
        for path in paths:
            if path.stat().st_size > LARGEST_DECK_BYTES:
                continue
            variables: dict[str, str] = {}
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                words = _expand(line.split("#")[0], variables).split()
                if len(words) >= 4 and words[0] == "variable" and words[2] in ("index", "equal", "string"):
                    variables.setdefault(words[1], words[3])
                elif len(words) == 2 and words[0] == "units" and words[1] in UNIT_STYLES:
                    hints.units.setdefault(words[1], path)
                elif len(words) == 2 and words[0] == "timestep" and _number(words[1]):
                    hints.timestep.setdefault(float(words[1]), path)
                elif len(words) == 2 and words[0] == "read_data":
                    hints.read_data.setdefault(words[1], path)
                elif words[:1] == ["dump_modify"] and "element" in words:
                    named = takewhile(lambda word: word[0].isupper(), words[words.index("element") + 1 :])
                    hints.elements.setdefault(tuple(named), path)
    return hints


def trajectories(facts: Sequence[DumpFacts]) -> list[list[str]]:
    """Which dumps are parts of one trajectory: a list of lists of paths.

    One that has the same atoms, and begins where another ends (or repeats its last frames), continues it.
    """
    groups: list[list[DumpFacts]] = []
    for fact in sorted(facts, key=lambda fact: int(fact.steps[0])):
        before = [group for group in groups if _continues(fact, group[-1])]
        if before:
            min(before, key=lambda group: abs(int(fact.steps[0] - group[-1].steps[-1]))).append(fact)
        else:
            groups.append([fact])
    order = {fact.path: place for place, fact in enumerate(facts)}
    groups.sort(key=lambda group: order[group[0].path])
    return [[fact.path for fact in group] for group in groups]


def _continues(fact: DumpFacts, last: DumpFacts) -> bool:
    """Whether a dump may continue where another ends."""
    reach = last.steps[-1] + (last.interval or 0)
    ahead = last.steps[0] < fact.steps[0] <= reach and fact.steps[-1] > last.steps[-1]
    return bool(ahead and np.array_equal(fact.ids, last.ids))


def _settle(
    key: str, given: Value | None, hints: Mapping[Value, Path], settled: list[str], missing: list[str]
) -> Value | str:
    """A value that the user or the dump has given, or on which all decks agree."""
    if given is not None:
        return given
    if len(hints) == 1:
        ((value, path),) = hints.items()
        settled.append(f"trajectory.{key}: {value}, from {path}")
        return value
    if hints:
        settled.append(f"trajectory.{key}: {' or '.join(f'{value} ({path})' for value, path in hints.items())}")
    missing.append(f"trajectory.{key}")
    return FILL_IN


def _identity(
    facts: Sequence[DumpFacts],
    topology: str | None,
    hints: Hints,
    mass_u: float,
    settled: list[str],
    missing: list[str],
) -> Identity:
    """Determine which element each type is, over all dumps: :class:`Identity`."""
    if topology is None and not all({"element", "q", "mol"}.issubset(fact.columns) for fact in facts):
        topology = _data_file(facts, hints)
        if topology is not None:
            settled.append(f"trajectory.topology: {topology}, whose atoms are those of the dumps")
    identity, unknown, masses = Identity(topology), set(), {}
    if topology is not None and (known := read_topology(topology)).mass is not None:
        masses = dict(zip(known.type.tolist(), known.mass.tolist(), strict=True))
    for fact in facts:
        of_types = masses | fact.masses
        if fact.names_atoms:
            identity.element_of |= dict(fact.named.keys())
            for type_, name in fact.named:
                if name not in ELEMENTS:
                    identity.species[name] = round(of_types[type_] * mass_u, 4) if type_ in of_types else FILL_IN
            continue
        by_mass = {type_: element_of_mass(of_types[type_] * mass_u) for type_ in fact.types if type_ in of_types}
        identity.element_of |= {type_: name for type_, name in by_mass.items() if name}
        unknown |= {type_ for type_ in fact.types if not by_mass.get(type_)}
    element_names = {}
    if not unknown <= identity.element_of.keys():
        last = max(unknown)
        fitting = [(named, path) for named, path in hints.elements.items() if len(named) >= last]
        if len({named[:last] for named, _ in fitting}) == 1:
            named, path = fitting[0]
            settled.append(f"trajectory.elements: from dump_modify element in {path}")
            element_names = dict(enumerate(named[:last], start=1))
    identity.element_of = {
        type_: element_names[type_] for type_ in unknown & element_names.keys()
    } | identity.element_of
    identity.elements = {type_: identity.element_of.get(type_, FILL_IN) for type_ in sorted(unknown)}
    for name in set(identity.elements.values()) - ELEMENTS.keys() - {FILL_IN}:
        identity.species.setdefault(name, FILL_IN)
    for key in ("elements", "species"):
        if FILL_IN in getattr(identity, key).values():
            missing.append(f"trajectory.{key}")
    return identity


def _data_file(facts: Sequence[DumpFacts], hints: Hints) -> str | None:
    """A LAMMPS data file beside the dumps that has the atoms of all of them, or None."""
    folder = Path(facts[0].path).parent
    candidates = [folder / name for name in hints.read_data] + sorted(folder.iterdir())
    for path in dict.fromkeys(candidates):
        if not path.is_file() or not (is_data_file(path) or path.name in hints.read_data):
            continue
        try:
            known = read_topology(path)
        except InputError:
            continue
        types = set(known.type.tolist())
        if all(np.isin(fact.ids, known.id).all() and set(fact.types) <= types for fact in facts):
            return str(path)
    return None


def _rarest(facts: Sequence[DumpFacts], identity: Identity) -> tuple[str, str]:
    """A guess at the targets: the rarest element in all dumps, among atoms outside molecules if there are any."""
    counts = [_counts(fact, identity) for fact in facts]
    common = set.intersection(*map(set, counts))
    if not common:
        types = set.intersection(*(set(fact.types) for fact in facts)) or set(facts[0].types)
        return f"type {min(sorted(types), key=facts[0].types.__getitem__)}", "the type with the fewest atoms"
    ions = {identity.element_of.get(type_, "") for fact in facts for type_ in fact.alone} & common
    why = "whose atoms are in no molecule" if ions else "the element with the fewest atoms"
    return f"element {min(sorted(ions or common), key=counts[0].__getitem__)}", why


def _counts(fact: DumpFacts, identity: Identity) -> dict[str, int]:
    """Numbers of atoms by element, as far as it is known."""
    if fact.names_atoms:
        return fact.elements
    counts: Counter[str] = Counter()
    for type_, count in fact.types.items():
        if type_ in identity.element_of:
            counts[identity.element_of[type_]] += count
    return dict(counts)


def _text(
    name: str,
    facts: Sequence[DumpFacts],
    units: str,
    timestep: float | str,
    interval_ps: float | None,
    identity: Identity,
    selection: str,
) -> str:
    first = facts[0]
    groups = trajectories(facts)
    files = "\n".join(f"    - {group[0] if len(group) == 1 else '[' + ', '.join(group) + ']'}" for group in groups)
    atoms = ", ".join(f"{count} {element}" for element, count in sorted(_counts(first, identity).items())) or (
        ", ".join(f"{count} of type {type_}" for type_, count in first.types.items())
    )
    frames = " + ".join(str(fact.n_frames) for fact in facts)
    lines = [
        "# yaml-language-server: $schema=../schema/system.schema.json",
        f"# {first.n_atoms} atoms ({atoms}), {frames} frames. All keys are explained in config/README.md.",
        f"description: {name}",
        "",
        "trajectory:",
        "  # One entry for each independent trajectory; the parts of one trajectory are a list in the list.",
        "  files:",
        files,
    ]
    if identity.topology:
        lines += ["  # LAMMPS data file: masses, charges, molecules.", f"  topology: {identity.topology}"]
    lines += [
        "  # Of the LAMMPS run; a dump does not contain them.",
        f"  units: {units}" + (f"    # {', '.join(UNIT_STYLES)}" if units == FILL_IN else ""),
        f"  timestep: {timestep}" + ("    # in the time unit of that unit style" if timestep == FILL_IN else ""),
        f"  # {first.interval} steps from frame to frame.",
        f"  frame_interval_ps: {FILL_IN if interval_ps is None else interval_ps}",
    ]
    if identity.elements:
        lines += ["  # The element of each type.", f"  elements: {_inline(identity.elements)}"]
    if identity.species:
        lines += ["  # Masses of names that are not chemical elements, u.", f"  species: {_inline(identity.species)}"]
    lines += [
        "",
        "targets:",
        "  # Whose states are learned: an MDAnalysis selection, such as 'element Li' or 'type 3'.",
        f"  selection: {selection}",
    ]
    if first.n_molecules:
        lines.append("  # group_by: molecule    # all selected atoms of a molecule as one target")
    lines += [
        "",
        "graphs:",
        "  # The first shell of neighbors, generously.",
        f"  neighbors: {20 if first.n_atoms > 50 else 12}",
        "",
        "search:",
        "  # Both are found; or set them, or give lists to be searched over: n_states: [2, 3, 4].",
        "  n_states: auto",
        "  # In ps: a whole multiple of frame_interval_ps, well below the timescales you look for.",
        "  lag_ps: auto",
        "",
    ]
    return "\n".join(lines)


def _inline(mapping: Mapping[Any, Any]) -> str:
    return yaml.safe_dump(mapping, default_flow_style=True, sort_keys=False, width=10**6).strip()


def _expand(line: str, variables: Mapping[str, str]) -> str:
    """Put the values of LAMMPS variables into a line."""
    line = re.sub(r"\$\{(\w+)\}", lambda match: str(variables.get(match[1], match[0])), line)
    return re.sub(r"\$([a-zA-Z])\b", lambda match: str(variables.get(match[1], match[0])), line)


def _number(word: str) -> bool:
    try:
        return float(word) > 0
    except ValueError:
        return False
