"""Elements, masses, charges and molecules of the atoms, from a dump, the configuration and a LAMMPS data file."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Int, Shaped

from gdyn.config.elements import ELEMENTS, respelled
from gdyn.config.models import Trajectory
from gdyn.errors import InputError
from gdyn.files import FilePath
from gdyn.logs import LOG
from gdyn.store.trajectory import Atoms
from gdyn.trajectory.elements import element_of_mass
from gdyn.units import UNIT_STYLES

ODD_MASS = 0.2  # relative to the mass of the element, beyond which it is reported
_ATOM_STYLES = {
    "atomic": "id type x y z",
    "charge": "id type charge x y z",
    "bond": "id resid type x y z",
    "angle": "id resid type x y z",
    "molecular": "id resid type x y z",
    "full": "id resid type charge x y z",
}


@dataclass
class Topology:
    """What a LAMMPS data file says about its atoms, ordered by id; all arrays are (atoms,).

    ``mass`` and ``charge`` in the units of the data file; None where unknown.
    """

    path: str
    id: Int[np.ndarray, " atoms"]
    type: Int[np.ndarray, " atoms"]
    mass: Float[np.ndarray, " atoms"] | None
    molecule: Int[np.ndarray, " atoms"] | None
    charge: Float[np.ndarray, " atoms"] | None


def read_topology(path: FilePath) -> Topology:
    """Read a LAMMPS data file through MDAnalysis; the atom style is taken from the comment behind ``Atoms``.

    Raises
    ------
    InputError : there is no such file, or it is not a data file.
    """
    from MDAnalysis.topology.LAMMPSParser import DATAParser

    from gdyn.trajectory.streams import open_file

    open_file(path).close()
    style = atom_style(path)
    if style is not None and style not in _ATOM_STYLES:
        raise InputError(
            f"{path}: the atom style {style!r} of this data file cannot be read; give one of "
            f"{', '.join(_ATOM_STYLES)} (LAMMPS: write_data after 'atom_style full')"
        )
    keywords = {} if style is None else {"atom_style": _ATOM_STYLES[style]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with DATAParser(str(path)) as parser:
                atoms = parser.parse(**keywords)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: this is not a LAMMPS data file that can be read ({str(error).splitlines()[0]}); check "
            f"trajectory.topology, and that the line 'Atoms' gives its style, as in 'Atoms # full'"
        ) from None
    molecules = style in ("bond", "angle", "molecular", "full") or style is None
    return Topology(
        path=str(path),
        id=atoms.ids.values.astype(np.int64),
        type=atoms.types.values.astype(np.int64),
        mass=atoms.masses.values if hasattr(atoms, "masses") else None,
        molecule=atoms.resids.values[atoms.tt.atoms2residues(np.arange(atoms.n_atoms))] if molecules else None,
        charge=atoms.charges.values.astype(float) if hasattr(atoms, "charges") else None,
    )


def atom_style(path: FilePath) -> str | None:
    """The atom style that a data file names behind ``Atoms``, or None."""
    from MDAnalysis.lib.util import anyopen

    try:
        with anyopen(str(path), "rt") as file:
            for line in file:
                match = re.match(r"\s*Atoms\b\s*(?:#\s*(\w+))?", line)
                if match:
                    return match[1]
    except (UnicodeDecodeError, OSError):
        pass
    return None


def identify(
    columns: Mapping[str, np.ndarray], trajectory: Trajectory, topology: Topology | None, source: str
) -> Atoms:
    """Gather what is known about the atoms, in gdyn's units.

    Elements come from the column ``element``, else from ``trajectory.elements``, else from masses.
    Where a dump says C for every atom of several types, the elements were not given to LAMMPS
    (``dump_modify element``), and anything else that is known takes precedence. Masses are those of the dump, else
    those of the data file, else those of the elements and of ``trajectory.species``.

    Parameters
    ----------
    columns : mapping with ``id`` (atoms,) and, where the trajectory has them, ``type``, ``element``,
        ``mol``, ``q``, ``mass``.
    trajectory : that section of a system.
    topology : Topology or None
    source : the name of the file, for sentences.

    Returns
    -------
    Atoms

    Raises
    ------
    InputError : an element is unknown or contradicts the configuration, or the data file lacks an atom.
    """
    columns, style = dict(columns), UNIT_STYLES[trajectory.units]
    ids = columns["id"]
    if topology is not None:
        at = np.searchsorted(topology.id, ids).clip(max=len(topology.id) - 1)
        lacking = topology.id[at] != ids
        if lacking.any():
            raise InputError(
                f"{topology.path}: atom id {ids[lacking][0]} of {source} is not in this data file; "
                f"trajectory.topology must be that of the same simulation"
            )
        if "type" in columns and not np.array_equal(topology.type[at], columns["type"]):
            wrong = np.flatnonzero(topology.type[at] != columns["type"])[0]
            raise InputError(
                f"{topology.path}: atom id {ids[wrong]} has type {topology.type[at][wrong]} there, but type "
                f"{columns['type'][wrong]} in {source}; trajectory.topology must be that of the same simulation"
            )
        columns.setdefault("type", topology.type[at])
        for name, values in (("mol", topology.molecule), ("q", topology.charge), ("mass", topology.mass)):
            if values is not None:
                columns.setdefault(name, values[at])
    types = np.asarray(columns.get("type", np.zeros(len(ids))), np.int64)
    charge, molecule = columns.get("q"), columns.get("mol")
    if "mass" in columns:
        columns["mass"] = np.asarray(columns["mass"], float) * style.mass_u
    element = _elements(columns, types, trajectory, source)
    return Atoms(
        id=ids,
        type=types,
        element=element,
        molecule=None if molecule is None else np.asarray(molecule, np.int64),
        charge_e=None if charge is None else np.asarray(charge, float) * style.charge_e,
        mass_u=_masses(columns, element, trajectory.species, source),
    )


def _elements(
    columns: Mapping[str, np.ndarray], types: Int[np.ndarray, " atoms"], trajectory: Trajectory, source: str
) -> Shaped[np.ndarray, " atoms"]:
    ids, named, mapping = columns["id"], columns.get("element"), trajectory.elements
    several = len(np.unique(types)) > 1
    other = bool(mapping) or "mass" in columns
    if named is not None and several and (named == "C").all():
        LOG.warning(
            "%s: the element column says C for every atom, as LAMMPS does unless dump_modify element sets it%s",
            source,
            ": it is not used" if other else "",
        )
        named = None if other else named
    mapped = np.array([mapping.get(int(type_), "") for type_ in types], dtype=object)
    if named is not None:
        _check_names(named, ids, trajectory.species, source)
        wrong = np.flatnonzero((mapped != "") & (mapped != named))
        if len(wrong):
            i = wrong[0]
            raise InputError(
                f"{source}: atom id {ids[i]} is {named[i]} by the element column, but trajectory.elements says that "
                f"type {types[i]} is {mapped[i]}; correct or remove that key"
            )
        return np.asarray(named, dtype=object)
    if "mass" in columns:
        for type_ in np.unique(types[mapped == ""]):
            of_type = (types == type_) & (mapped == "")
            masses, which = np.unique(columns["mass"][of_type], return_inverse=True)
            names = [element_of_mass(mass) or _unknown(source, type_, mass) for mass in masses]
            mapped[of_type] = np.array(names, dtype=object)[which]
    if (mapped == "").any():
        _unknown(source, types[mapped == ""][0])
    return mapped


def _check_names(named: np.ndarray, ids: np.ndarray, species: dict[str, float], source: str) -> None:
    """Refuse a name that is neither a chemical element nor declared."""
    wrong = np.flatnonzero([name not in ELEMENTS and name not in species for name in named])
    if len(wrong):
        name, meant = named[wrong[0]], respelled(named[wrong[0]])
        raise InputError(
            f"{source}: atom id {ids[wrong[0]]} is named {name!r}, which is not a chemical element"
            f"{f' (did you mean {meant!r}?)' if meant else ''}; declare the name with its mass under "
            f"trajectory.species, e.g. {{{name}: {ELEMENTS[meant] if meant else 72.0}}}, or correct it in the file"
        )


def _masses(
    columns: Mapping[str, np.ndarray], element: np.ndarray, species: dict[str, float], source: str
) -> Float[np.ndarray, " atoms"]:
    """Masses of the atoms, u; one that is far from that of its element is reported and used."""
    known = ELEMENTS | species
    expected = np.array([known[name] for name in element], float)
    if "mass" not in columns:
        return expected
    mass = np.where(columns["mass"] > 0, columns["mass"], expected)
    odd = np.flatnonzero(np.abs(mass - expected) > ODD_MASS * expected)
    if len(odd):
        LOG.warning(
            "%s: atom id %d has a mass of %.4g u, but that of %s is %.4g u (such atoms: %d); the masses are taken as "
            "LAMMPS had them, which is right for heavy hydrogen, for example",
            source, columns["id"][odd[0]], mass[odd[0]], element[odd[0]], expected[odd[0]], len(odd),
        )  # fmt: skip
    return mass


def _unknown(source: str, type_: int, mass: float | None = None) -> NoReturn:
    because = "nothing says which element type" if mass is None else f"no element has the mass {mass:g} of type"
    verb = " is" if mass is None else ""
    raise InputError(
        f"{source}: {because} {type_}{verb}; add it under trajectory.elements, e.g. {{{type_}: Li}}"
        + (
            ", or your own name for it, declared with its mass under trajectory.species"
            if mass is not None
            else ", or name the LAMMPS data file under trajectory.topology"
        )
    )


def is_data_file(path: FilePath) -> bool:
    """Whether a file looks like a LAMMPS data file, from its name."""
    name = Path(path).name.lower()
    return name.startswith("data.") or name.endswith((".data", ".data.gz", ".lmpdat"))
