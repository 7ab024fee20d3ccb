"""From a dump to the trajectory store, in gdyn's units."""

import numpy as np

from gdyn.errors import InputError
from gdyn.logs import LOG, progress
from gdyn.provenance import file_checksum
from gdyn.store import trajectory as trajectory_store
from gdyn.store.trajectory import Atoms
from gdyn.trajectory.dump import open_dump
from gdyn.units import UNIT_STYLES

BLOCK_BYTES = 16 * 2**20


def ingest(dump, store, trajectory):
    """Read a LAMMPS text dump and write it, in gdyn's units, as a trajectory store.

    Parameters
    ----------
    dump : path of a dump with the columns ``id``, ``type`` and coordinates; ``element``, ``mol``
        and ``q`` are used where they exist.
    store : path of the trajectory store to write.
    trajectory : that section of a system.

    Raises
    ------
    InputError : the dump cannot be read, or does not agree with the settings.
    """
    style = UNIT_STYLES[trajectory.units]
    with open_dump(dump) as source:
        atoms = _atoms(source, trajectory.elements, style)
        block = max(1, BLOCK_BYTES // (12 * len(atoms)))
        LOG.info("reading %s: %d frames of %d atoms", dump, source.n_frames, len(atoms))
        with trajectory_store.write(
            store,
            atoms,
            frame_interval_ps=trajectory.frame_interval_ps,
            unwrapped=source.unwrapped,
            source=str(dump),
            checksum=file_checksum(dump),
        ) as append:
            for frames in _blocks(source, block, trajectory):
                step = np.array([frame.step for frame in frames])
                append(
                    position=np.stack([frame.position for frame in frames]) * style.length_A,
                    cell=np.stack([frame.cell for frame in frames]) * style.length_A,
                    step=step,
                    time_ps=step * trajectory.timestep_ps,
                    segment=np.zeros(len(frames)),
                )


def _blocks(source, block, trajectory):
    """Yield the frames in lists of ``block``, and see that they follow each other as the configuration says."""
    frames, previous = [], None
    for number in progress(range(source.n_frames), "reading frames"):
        frame = source.frame(number)
        if previous is not None and frame.step - previous != trajectory.steps_per_frame:
            raise InputError(
                f"{source.path}, frame {number} (counted from 0): step {frame.step} follows step {previous}, which are "
                f"{(frame.step - previous) * trajectory.timestep_ps:g} ps; trajectory.frame_interval_ps is "
                f"{trajectory.frame_interval_ps:g}: mend that key, trajectory.timestep or the dump"
            )
        previous = frame.step
        frames.append(frame)
        if len(frames) == block:
            yield frames
            frames = []
    if frames:
        yield frames


def _atoms(source, elements, style):
    columns = source.atoms
    named = columns.get("element")
    mapped = [elements.get(int(type_)) for type_ in columns["type"]]
    if named is not None and all(named):
        wrong = [i for i, name in enumerate(mapped) if name not in (None, named[i])]
        if wrong:
            i = wrong[0]
            raise InputError(
                f"{source.path}: atom id {columns['id'][i]} is {named[i]} by the element column, but "
                f"trajectory.elements says that type {columns['type'][i]} is {mapped[i]}; mend or remove that key"
            )
        mapped = list(named)
    elif None in mapped:
        type_ = columns["type"][mapped.index(None)]
        raise InputError(
            f"{source.path}: nothing says which element type {type_} is; add it under trajectory.elements, "
            f"e.g. {{{type_}: Li}}"
        )
    charge = columns.get("q")
    return Atoms(
        id=columns["id"],
        type=columns["type"],
        element=np.array(mapped),
        molecule=columns.get("mol"),
        charge_e=None if charge is None else charge * style.charge_e,
    )
