"""From files of frames to the trajectory store, in gdyn's units."""

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.files import FilePath, read_json
from gdyn.logs import LOG, Progress
from gdyn.store import TrajectoryStore
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms, TrajectoryWriter
from gdyn.trajectory.identity import Topology, identify, read_topology
from gdyn.trajectory.sources import RawFrame, Source, open_source
from gdyn.trajectory.timeline import KEEP, REPEAT, Timeline
from gdyn.trajectory.unwrap import LARGEST_STEP, Unwrapper, same_positions

BLOCK_BYTES = 16 * 2**20


def ingest(files: Sequence[FilePath], store: FilePath, trajectory: Trajectory) -> None:
    """Read one trajectory and write it, in gdyn's units, as a trajectory store, in constant memory.

    Parameters
    ----------
    files : paths of its parts, in order: LAMMPS dumps, or files in any format of MDAnalysis; or stores that
        :func:`ingest_part` has written, which are put together.
    store : path of the trajectory store to write.
    trajectory : that section of a system.

    Raises
    ------
    InputError : a file cannot be read, does not agree with the settings, or its atoms change.
    """
    if any(trajectory_store.is_store(path) for path in files):
        trajectory_store.join(files, store)
    else:
        name = str(files[0]) if len(files) == 1 else f"{files[0]} to {files[-1]} ({len(files)} files)"
        _read(files, name, store, trajectory)


def ingest_part(record: FilePath, before: FilePath | None, store: FilePath, trajectory: Trajectory) -> None:
    """Read one part of a simulated trajectory, which follows the part before.

    Parameters
    ----------
    record : what :func:`gdyn.simulation.runs.simulate` has written: which bytes of the dump beside it to read.
    before : the store of the part before, or None.
    store, trajectory : as for :func:`ingest`.

    Raises
    ------
    InputError : as of :func:`ingest`.
    """
    part = read_json(record)
    dump = Path(record).with_name(part["dump"])
    if not dump.exists():
        raise InputError(f"{dump}: is no longer there; put it back, or remove {record} and simulate it again")
    _read([dump], str(dump), store, trajectory, part, before)


def _read(
    files: Sequence[FilePath],
    name: str,
    store: FilePath,
    trajectory: Trajectory,
    part: dict[str, Any] | None = None,
    before: FilePath | None = None,
) -> None:
    """Read files into a store, or a recorded part of a run into a store that continues another."""
    between = (part["first_byte"], part["end_byte"]) if part and part["end_byte"] else None
    topology = read_topology(trajectory.topology) if trajectory.topology else None
    with closing(_sources(files, trajectory, topology, between)) as sources:
        first = next(sources)
        atoms = identify(first.columns, trajectory, topology, first.path)
        LOG.info("reading %s: %d atoms", name, len(atoms))
        with trajectory_store.write(store, atoms, trajectory.frame_interval_ps, name) as writer:
            reading = _Reading(atoms, trajectory, writer)
            if before:
                with TrajectoryStore.open(before) as earlier:
                    reading.go_on(earlier)
            checksums = _read_frames(chain([first], sources), files, reading)
            notes = reading.finish(name)
            if part and part["frames"] not in (None, reading.n_frames):
                raise InputError(
                    f"{name}: of the {part['frames']} frames from step {part['begin_step']} to {part['end_step']}, "
                    f"{reading.n_frames} are there; remove the record of that part beside it, and start again: the "
                    f"missing frames are then simulated again"
                )
            writer.finish(
                notes="\n".join(notes),
                unwrapped=reading.unwrapped_how,
                largest_step=reading.unwrapper.largest,
                periodic=reading.periodic,
                checksum=trajectory_store.combined(checksums),
                # Needed if more frames follow.
                **({"first_frame": reading.first_frame} if part or trajectory.planned_ps else {}),
            )


def _sources(
    files: Sequence[FilePath], trajectory: Trajectory, topology: Topology | None, between: tuple[int, int] | None
) -> Generator[Source]:
    """Open the files one after another, each until the next one is requested."""
    for path in files:
        with closing(open_source(path, trajectory, topology, between)) as source:
            yield source


def _read_frames(sources: Iterable[Source], files: Sequence[FilePath], reading: "_Reading") -> list[str]:
    """Add the frames of all files; return the checksums of the files."""
    checksums, done_MB = [], 0.0
    sizes_MB = [Path(path).stat().st_size / 1e6 if Path(path).exists() else 0.0 for path in files]
    with Progress("reading, MB") as bar:
        for source, size_MB in zip(sources, sizes_MB, strict=True):
            for frame in reading.frames(source):
                bar.at(done_MB + source.fraction_read * size_MB, sum(sizes_MB))
                reading.add(source, frame)
            checksums.append(source.checksum())
            reading.n_cut_off += source.n_cut_off
            done_MB += size_MB
    return checksums


class _Reading:
    """The state of reading a trajectory, frame by frame."""

    def __init__(self, atoms: Atoms, trajectory: Trajectory, writer: TrajectoryWriter) -> None:
        self.atoms, self.writer = atoms, writer
        self.timeline = Timeline(trajectory.steps_per_frame, trajectory.timestep_ps, trajectory.frame_interval_ps)
        self.unwrapper = Unwrapper()
        self.periodic: tuple[bool, ...] = ()  # until it is known
        self.unwrapped: bool | None = None
        self.statics: dict[str, np.ndarray] | None = None
        self.n_frames = self.n_cut_off = self.first_frame = 0
        self.block: list[tuple[np.ndarray, np.ndarray, int, float, int]] = []
        self.block_frames = max(1, BLOCK_BYTES // (12 * len(atoms)))
        self.warned: set[str] = set()

    def go_on(self, store: TrajectoryStore) -> None:
        """Continue after the last frame in the store of the part before."""
        if not np.array_equal(store.atoms.id, self.atoms.id):
            raise InputError(f"{store.source}: its atoms are not the same in all of its parts; start the run again")
        last = len(store) - 1
        self.first_frame = store.first_frame + len(store)
        self.unwrapped = store.unwrapped == "yes"
        self.timeline.go_on(int(store.step[last]), float(store.time_ps[last]), int(store.segment[last]))
        position = store.positions(last).astype(np.float64)
        self.unwrapper.go_on(position, store.cells(last), store.periodic, store.largest_step)

    def frames(self, source: Source) -> Iterator[RawFrame]:
        """The frames of a source, after a look at whether it is one of the same trajectory."""
        if not np.array_equal(source.columns["id"], self.atoms.id):
            raise InputError(
                f"{source.path}: its atoms are not those of the files before; the parts of one trajectory need the "
                f"same atoms: give it as a trajectory of its own"
            )
        if self.unwrapped is None:
            self.unwrapped = source.unwrapped
        elif self.unwrapped != source.unwrapped:
            raise InputError(
                f"{source.path}: {'unwrapped' if source.unwrapped else 'wrapped'} coordinates follow "
                f"{'unwrapped' if self.unwrapped else 'wrapped'} ones; give it as a trajectory of its own"
            )
        return source.frames()

    def add(self, source: Source, frame: RawFrame) -> None:
        """Put a frame into the store, unless it was there before or lies between two intervals."""
        where = f"{source.path}, frame {frame.number} (counted from 0)"
        self._check(frame, where)
        if frame.time_ps is not None:
            self.timeline.check_time(frame.step, frame.time_ps, where)
        segment = self.timeline.segment
        decision = self.timeline.place(frame.step, lambda back: self._same(frame, back), where)
        if decision == REPEAT:
            return
        position = frame.position
        if not self.unwrapped:
            position = self.unwrapper.follow(
                position, frame.cell, self.periodic, self.timeline.segment != segment, self.n_frames
            )
        if decision == KEEP:
            self.block.append((position, frame.cell, frame.step, self.timeline.time_ps, self.timeline.segment))
            self.n_frames += 1
            if len(self.block) == self.block_frames:
                self.flush()

    def flush(self) -> None:
        if self.block:
            position, cell, step, time_ps, segment = zip(*self.block, strict=True)
            self.writer.append(np.stack(position), np.stack(cell), step, time_ps, segment)
            self.block = []

    def finish(self, name: str) -> list[str]:
        """Write the rest; return sentences about what is irregular."""
        self.flush()
        notes = self.timeline.finish(name)
        if self.n_cut_off:
            notes.append(f"{name}: incomplete frames, left out: {self.n_cut_off}")
        if self.unwrapper.where and self.unwrapped_how == "no":
            number, atom = self.unwrapper.where
            notes.append(
                f"{name}: between two frames atom id {self.atoms.id[atom]} (frame {number} of the store) moves by "
                f"{self.unwrapper.largest:.2f} of a lattice vector, over the {LARGEST_STEP} up to which the nearest "
                f"image is certain: the trajectory cannot be unwrapped, so displacements are meaningless; dump xu yu "
                f"zu, or x y z ix iy iz, or more often"
            )
            LOG.warning("%s", notes[-1])
        return notes

    @property
    def unwrapped_how(self) -> str:
        if self.unwrapped:
            return "yes"
        return "rebuilt" if self.unwrapper.trusted else "no"

    def _check(self, frame: RawFrame, where: str) -> None:
        if self.statics is None:
            self.statics, self.periodic = frame.columns, frame.periodic
        if frame.periodic != self.periodic:
            raise InputError(f"{where}: the boundaries of the box change; divide the dump there")
        for name, values in frame.columns.items():
            first = self.statics.get(name)
            if first is None or np.array_equal(values, first):
                continue
            atom = self.atoms.id[np.flatnonzero(values != first)[0]]
            if name == "type":
                raise InputError(
                    f"{where}: atom id {atom} changes its type; atoms that react or are exchanged cannot be followed"
                )
            if name not in self.warned:
                self.warned.add(name)
                LOG.warning("%s: %s of atom id %d changes; that of the first frame is used", where, name, atom)

    def _same(self, frame: RawFrame, back: int) -> bool:
        """Whether a frame has the positions of the one kept ``back`` intervals before the last one."""
        before = self.n_frames - 1 - back
        if before < 0:
            return False
        flushed = self.n_frames - len(self.block)
        stored = self.block[before - flushed][0] if before >= flushed else self.writer.position(before)
        return same_positions(stored, frame.position, frame.cell)
