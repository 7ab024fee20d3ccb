"""What a file holds: dumps, other trajectories, LAMMPS data files and gdyn's own stores, at a glance."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from gdyn.config.elements import ELEMENTS
from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.logs import Progress
from gdyn.trajectory.columns import IMAGES, STATIC, Coordinates, choose_coordinates
from gdyn.trajectory.dump import Dump, positions
from gdyn.trajectory.elements import element_of_mass
from gdyn.trajectory.frames import Frame, NotADumpError
from gdyn.trajectory.header import Box
from gdyn.trajectory.identity import is_data_file, read_topology
from gdyn.trajectory.sources import MDAnalysisSource
from gdyn.trajectory.unwrap import LARGEST_STEP

FRAMES_LOOKED_AT = 40


@dataclass
class DumpFacts:
    """What a dump holds; lengths are in its own units.

    types : numbers of atoms by type; named : by (type, element).
    masses : one mass of each type, where the dump has them.
    alone : types of atoms, such as ions, that are single-atom molecules or in no molecule; where there are molecules.
    interval : the commonest number of steps between two frames.
    box_changes : largest change of a lattice vector, relative.
    """

    path: str
    compressed: bool
    ids: np.ndarray
    sorted_ids: bool
    columns: list[str]
    coordinates: Coordinates | None
    images: bool
    units: str | None
    box: Box
    n_frames: int = 0
    n_cut_off: int = 0
    looked_at: int = 0
    types: dict[int, int] = field(default_factory=dict)
    named: dict[tuple[int, str], int] = field(default_factory=dict)
    masses: dict[int, float] = field(default_factory=dict)
    alone: set[int] = field(default_factory=set)
    n_molecules: int | None = None
    charge: float | None = None
    charges_change: bool = False
    timestep: float | None = None
    box_changes: float = 0.0
    steps: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    interval: int | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def n_atoms(self) -> int:
        return len(self.ids)

    @property
    def elements(self) -> dict[str, int]:
        """Numbers of atoms by element, where the dump names them."""
        counts: Counter[str] = Counter()
        for (_, name), count in self.named.items():
            counts[name] += count
        return dict(counts)

    @property
    def names_atoms(self) -> bool:
        """Whether the dump names its atoms, apart from the C that LAMMPS writes by default."""
        return bool(self.named) and not (set(self.elements) == {"C"} and len(self.types) > 1)


def inspect(path: FilePath) -> list[str]:
    """Describe a file in lines of text.

    Raises
    ------
    InputError : it cannot be read.
    """
    try:
        return describe(dump_facts(path))
    except NotADumpError:
        pass
    if h5py.is_hdf5(path) and (lines := _store(path)):
        return lines
    return _data_file(path) if is_data_file(path) else _other(path)


def dump_facts(path: FilePath) -> DumpFacts:
    """Find out what a dump holds: :class:`DumpFacts`.

    All frames of a compressed file are read; of a plain one all steps, and some frames evenly chosen.

    Raises
    ------
    InputError : not a dump with one whole frame in it.
    """
    with Dump(path, _columns_to_read) as dump:
        coordinates, images, problems = _coordinates(dump.columns, dump.path)
        facts = DumpFacts(
            path=dump.path,
            compressed=dump.offsets is None,
            ids=dump.ids,
            sorted_ids=dump.sorted_ids,
            columns=dump.columns,
            coordinates=coordinates,
            images=images,
            units=dump.units,
            box=dump.first.box,
            problems=problems,
        )
        _look_at_atoms(facts, dump)
        _look_at_frames(facts, dump)
    _look_at_steps(facts)
    return facts


def _coordinates(columns: list[str], path: str) -> tuple[Coordinates | None, bool, list[str]]:
    """The coordinates of a dump, whether image flags unwrap them, and a sentence if there are none."""
    try:
        return *choose_coordinates(columns, path), []
    except InputError as error:
        return None, False, [str(error)]


def _columns_to_read(columns: list[str], path: str) -> list[str]:
    coordinates, images, _ = _coordinates(columns, path)
    numbers = [name for name in STATIC if name in columns]
    return [*numbers, *(coordinates.names if coordinates else ()), *(IMAGES if images else ())]


def _look_at_atoms(facts: DumpFacts, dump: Dump) -> None:
    first = {name: dump.column(dump.first, name) for name in STATIC if name in dump.columns}
    types = first["type"].astype(int) if "type" in first else np.zeros(len(facts.ids), int)
    facts.types = dict(sorted(Counter(types.tolist()).items()))
    if "element" in facts.columns:
        facts.named = dict(Counter(zip(types.tolist(), dump.text("element").tolist(), strict=True)))
        if not facts.names_atoms:
            facts.problems.append(
                "the element column says C for every atom, as LAMMPS does unless dump_modify element sets it: give "
                "the element of each type under trajectory.elements"
            )
        strange = sorted(facts.elements.keys() - ELEMENTS.keys())
        if strange:
            facts.problems.append(
                f"names in the element column that are not chemical elements: {' '.join(strange)}; declare them with "
                f"their masses under trajectory.species"
            )
    if "mass" in first:
        facts.masses = {type_: float(first["mass"][types == type_][0]) for type_ in facts.types}
    if "mol" in first:
        molecules, count = np.unique(first["mol"][first["mol"] > 0], return_counts=True)
        facts.n_molecules = len(molecules)
        alone = (first["mol"] <= 0) | np.isin(first["mol"], molecules[count == 1])
        facts.alone = set(types[alone].tolist()) if facts.n_molecules else set()
    if "q" in first:
        facts.charge = float(first["q"].sum())
    if not facts.named and "type" not in facts.columns:
        facts.problems.append("there is neither a column type nor a column element; add one to the dump command")


def _look_at_frames(facts: DumpFacts, dump: Dump) -> None:
    """Boxes, types and charges in time, and the steps that atoms take from frame to frame."""
    coordinates = facts.coordinates
    wrapped = coordinates is not None and not (coordinates.unwrapped or facts.images)
    steps: list[int] = []
    times: list[float | None] = []
    before: tuple[int, np.ndarray] | None = None
    largest = 0.0
    try:
        for frame in _frames(facts, dump):
            steps.append(frame.step)
            times.append(frame.time)
            change = np.abs(frame.box.cell - facts.box.cell).max() / np.abs(facts.box.cell).max()
            facts.box_changes = max(facts.box_changes, float(change))
            if "q" in facts.columns and not np.array_equal(dump.column(frame, "q"), dump.column(dump.first, "q")):
                facts.charges_change = True
            if "type" in facts.columns and not np.array_equal(
                dump.column(frame, "type"), dump.column(dump.first, "type")
            ):
                facts.problems.append(f"frame {frame.number} (step {frame.step}): atoms change their types")
                break
            if coordinates and wrapped:
                now = positions(dump, frame, coordinates, facts.images)
                if before is not None and frame.number == before[0] + 1:
                    step = (now - before[1]) @ np.linalg.inv(frame.box.cell)
                    largest = max(largest, float(np.abs(step - np.rint(step)).max()))
                before = (frame.number, now)
    except InputError as error:
        facts.problems.append(str(error))
    facts.looked_at = len(steps)
    facts.n_cut_off = dump.n_cut_off
    if facts.compressed:
        facts.n_frames, facts.steps = len(steps), np.array(steps)
    else:
        facts.n_frames, facts.steps = dump.n_frames, dump.steps()
        facts.n_cut_off = int(dump.ends_within_a_frame)
    known = [time for time in times if time is not None]
    if 1 < len(known) == len(times) and steps[1] > steps[0]:
        facts.timestep = (known[1] - known[0]) / (steps[1] - steps[0])
    if largest > LARGEST_STEP:
        facts.problems.append(
            f"between two frames an atom moves by {largest:.2f} of a lattice vector: these wrapped positions cannot be "
            f"unwrapped, and displacements will be meaningless; dump xu yu zu, or more often"
        )
    inside = positions(dump, dump.first, coordinates, facts.images) if coordinates else np.zeros((1, 3))
    if len(inside) > 1 and (np.ptp(inside, axis=0) < 1e-9).any():
        facts.problems.append(
            "all atoms lie in one plane: images above and below it count as neighbors; for a two-dimensional "
            "system make the box thick in that direction"
        )


def _frames(facts: DumpFacts, dump: Dump) -> Iterator[Frame]:
    if facts.compressed:
        with Progress(f"reading {facts.path}") as bar:
            for frame in dump:
                bar.at(dump.raw_position, dump.raw_size)
                yield frame
        return
    n = dump.n_frames
    for begin in np.unique(np.linspace(0, max(0, n - 2), FRAMES_LOOKED_AT // 2).astype(int)):
        for number in range(begin, min(begin + 2, n)):
            yield dump.frame(number)


def _look_at_steps(facts: DumpFacts) -> None:
    ahead = np.diff(facts.steps)
    if not len(ahead):
        facts.problems.append("there is only one frame, from which nothing can be learned")
        return
    forward = ahead[ahead > 0]
    facts.interval = int(Counter(forward.tolist()).most_common(1)[0][0]) if len(forward) else None
    repeated, back = int((ahead == 0).sum()), int((ahead < 0).sum())
    exceptions = int((forward != facts.interval).sum())
    if repeated:
        facts.problems.append(f"frames that repeat the step of the one before, and are dropped: {repeated}")
    if back:
        at = int(np.flatnonzero(ahead < 0)[0])
        facts.problems.append(
            f"the steps begin again (times: {back}), first after step {facts.steps[at]} with step "
            f"{facts.steps[at + 1]}: the trajectory is divided there"
        )
    if exceptions:
        at = int(np.flatnonzero((ahead > 0) & (ahead != facts.interval))[0])
        facts.problems.append(
            f"the interval is not always {facts.interval} steps (exceptions: {exceptions}), first after step "
            f"{facts.steps[at]}, which is followed by step {facts.steps[at + 1]}: the trajectory is divided there"
        )


def describe(facts: DumpFacts) -> list[str]:
    """The facts of a dump in lines of text."""
    c = facts.coordinates
    unwrapped = bool(c and (c.unwrapped or facts.images))
    kind = "general triclinic" if np.triu(facts.box.cell, 1).any() else "triclinic" if _tilted(facts) else "orthogonal"
    lengths = " x ".join(f"{length:.4g}" for length in np.linalg.norm(facts.box.cell, axis=1))
    periodic = "".join(axis for axis, flag in zip("abc", facts.box.periodic, strict=True) if flag)
    where = {"abc": "periodic", "": "not periodic"}.get(periodic, f"periodic along {' and '.join(periodic)} only")
    moves = f"changes by up to {100 * facts.box_changes:.2g} %" if facts.box_changes > 1e-9 else "constant"
    lines = [f"{facts.path}: LAMMPS dump{', compressed' if facts.compressed else ''}"]
    add = lambda name, text: lines.append(f"  {name:<10} {text}")  # noqa: E731
    cut = f", and {facts.n_cut_off} incomplete, which will be left out" if facts.n_cut_off else ""
    add("frames", f"{facts.n_frames}{cut}")
    every = f", every {facts.interval}" if facts.interval else ""
    add("steps", f"{facts.steps[0]} to {facts.steps[-1]}{every}")
    time = "not in a dump: the unit style and the timestep are needed"
    if facts.timestep is not None:
        time = f"{facts.timestep:g} a step, in the time unit of the run"
    add("time", time)
    add("units", facts.units or "not in this dump")
    ids = f"ids {facts.ids[0]} to {facts.ids[-1]}"
    add("atoms", f"{facts.n_atoms}, {ids}, {'in order' if facts.sorted_ids else 'in changing order'}")
    if "type" in facts.columns:
        names = {type_: sorted({n for t, n in facts.named if t == type_}) for type_ in facts.types}
        each = (f"{t}{' (' + ' '.join(names[t]) + ')' if names[t] else ''}: {n}" for t, n in facts.types.items())
        add("types", ", ".join(each))
    known = ", ".join(f"{name}: {count}" for name, count in sorted(facts.elements.items()))
    add("elements", known or _by_mass(facts) or "not in this dump: a type map or a data file is needed")
    add("molecules", "not in this dump" if facts.n_molecules is None else facts.n_molecules)
    if facts.charge is None:
        add("charges", "not in this dump")
    else:
        add("charges", f"{facts.charge:+.4f} in all{', changing in time' if facts.charges_change else ''}")
    add("box", f"{kind}, {lengths}, {where}, {moves}")
    if c:
        how = "unwrapped" if unwrapped else "wrapped: will be unwrapped from frame to frame"
        add("positions", f"{' '.join(c.names)}{' with ' + ' '.join(IMAGES) if facts.images else ''}, {how}")
    add("columns", " ".join(facts.columns))
    lines += [f"  problem:   {sentence}" for sentence in facts.problems] or ["  no problems found"]
    if not facts.compressed and facts.looked_at < facts.n_frames:
        lines.append(f"  ({facts.looked_at} of {facts.n_frames} frames were read completely, and the steps of all)")
    return lines


def _by_mass(facts: DumpFacts) -> str:
    """What the masses say about a dump without names, if they are in u."""
    counts: Counter[str] = Counter()
    for type_, mass in facts.masses.items():
        counts[element_of_mass(mass) or "no element"] += facts.types[type_]
    elements = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
    return f"by masses in u: {elements}" if elements else ""


def _tilted(facts: DumpFacts) -> bool:
    return bool((facts.box.cell - np.diag(np.diag(facts.box.cell))).any())


def _data_file(path: FilePath) -> list[str]:
    atoms = read_topology(path)
    lines = [f"{path}: LAMMPS data file", f"  atoms      {len(atoms.id)}, ids {atoms.id[0]} to {atoms.id[-1]}"]
    for type_ in np.unique(atoms.type):
        of_type = atoms.type == type_
        about = [f"{of_type.sum()} atoms"]
        if atoms.mass is not None:
            mass = atoms.mass[of_type][0]
            about.append(f"mass {mass:g}: {element_of_mass(mass) or 'no element'}")
        if atoms.charge is not None:
            about.append(f"charge {atoms.charge[of_type].mean():+.4g} on average")
        lines.append(f"  type {type_:<5} {', '.join(about)}")
    if atoms.molecule is not None:
        lines.append(f"  molecules  {len(np.unique(atoms.molecule[atoms.molecule > 0]))}")
    if atoms.charge is not None:
        lines.append(f"  charges    {atoms.charge.sum():+.4f} in all")
    return lines


def _store(path: FilePath) -> list[str] | None:
    """A file in one of gdyn's formats, or None."""
    with h5py.File(path, "r") as file:
        if not str(file.attrs.get("format", "")).startswith("gdyn-"):
            return None
        lines = [f"{path}: {file.attrs['format']}, version {file.attrs['version']}"]
        for name, value in sorted(file.attrs.items()):
            if name not in ("format", "version"):
                lines.append(f"  {name:<18} {value}")

        def tell(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset):
                shape = " x ".join(map(str, item.shape))
                lines.append(f"  {name:<18} {shape} {item.dtype}, {item.id.get_storage_size() / 1e6:.3g} MB")

        file.visititems(tell)
        if "time_ps" in file and len(file["time_ps"]):
            time, segment = file["time_ps"][:], file["segment"][:]
            lines.append(
                f"  {len(time)} frames from {time[0]:g} to {time[-1]:g} ps in {len(np.unique(segment))} segments"
            )
        if "atoms/element" in file:
            counts = Counter(file["atoms/element"].asstr()[:].tolist())
            lines.append(f"  elements {', '.join(f'{name}: {count}' for name, count in sorted(counts.items()))}")
    return lines


def _other(path: FilePath) -> list[str]:
    # What is asked for here does not depend on units or intervals.
    settings = Trajectory(units="metal", timestep=1.0, frame_interval_ps=1.0)
    with closing(MDAnalysisSource(path, settings, None, must_name_atoms=False)) as source:
        frame = next(source.frames())
        lengths = " x ".join(f"{length:.4g}" for length in np.linalg.norm(frame.cell, axis=1))
        lines = [
            f"{path}: read through MDAnalysis ({source.kind})",
            f"  frames     {source.n_frames}",
            f"  atoms      {source.n_atoms}",
            f"  box        {lengths} A in the first frame",
        ]
        if "element" in source.columns:
            counts = Counter(source.columns["element"].tolist())
            lines.append(f"  elements   {', '.join(f'{name}: {count}' for name, count in sorted(counts.items()))}")
        else:
            lines.append("  elements   not in this format: a LAMMPS data file is needed under trajectory.topology")
    return lines
