"""From the ``simulate.structure`` of a system to the data file that its deck reads."""

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter

from gdyn.config.models import Built, PEOLiTFSI, SiAu, Water
from gdyn.files import FilePath, whole_file
from gdyn.logs import LOG
from gdyn.simulation.builders import peo_litfsi, si_au, water
from gdyn.simulation.builders.molecules import total_mass, write_data
from gdyn.simulation.builders.packing import edge_of, pack


def build(data: FilePath, structure: Built | dict[str, Any], run: int, seed: int) -> None:
    """Write the starting structure of one run.

    Parameters
    ----------
    data : path of the LAMMPS data file to write.
    structure : the ``simulate.structure`` of a system, or its plain values.
    run : number of the run; its seed is ``seed + run``.
    seed : of the first run.

    Raises
    ------
    InputError : the molecules cannot be packed.
    """
    settings = TypeAdapter(Built).validate_python(structure)
    BUILDERS[settings.kind](data, settings, seed + run)


def _peo_litfsi(data: FilePath, structure: PEOLiTFSI, seed: int) -> None:
    field = peo_litfsi.force_field(structure.charge_scale)
    molecules = peo_litfsi.molecules(structure.chains, structure.degree_of_polymerisation, structure.li_per_eo, seed)
    edge_A = edge_of(total_mass(molecules, field), structure.density_g_cm3)
    placed = pack(molecules, edge_A, seed)
    with whole_file(data) as temporary, open(temporary, "w", encoding="utf-8") as file:
        write_data(file, "PEO/LiTFSI, OPLS-AA and CL&P", placed, [edge_A] * 3, field)
    LOG.info(
        "%d atoms in %d molecules at %g g/cm3, in a cube of %.1f A",
        sum(len(molecule.types) for molecule in placed),
        len(placed),
        structure.density_g_cm3,
        edge_A,
    )


def _si_au(data: FilePath, structure: SiAu, seed: int) -> None:
    settings = structure.model_dump(exclude={"kind"})
    types, positions, cell = si_au.structure(**settings, seed=seed)
    with whole_file(data) as temporary, open(temporary, "w", encoding="utf-8") as file:
        si_au.write(file, types, positions, cell)
    LOG.info("%d atoms in a box of %.1f x %.1f x %.1f A", len(types), *cell)


def _water(data: FilePath, structure: Water, seed: int) -> None:
    molecules = [water.molecule() for _ in range(structure.molecules)]
    edge_A = edge_of(total_mass(molecules, water.FORCE_FIELD), structure.density_g_cm3)
    placed = pack(molecules, edge_A, seed)
    with whole_file(data) as temporary, open(temporary, "w", encoding="utf-8") as file:
        write_data(file, "water, SPC/E", placed, [edge_A] * 3, water.FORCE_FIELD)
    LOG.info("%d molecules at %g g/cm3, in a cube of %.1f A", len(placed), structure.density_g_cm3, edge_A)


BUILDERS: dict[str, Callable[[FilePath, Any, int], None]] = {
    "peo_litfsi": _peo_litfsi,
    "si_au": _si_au,
    "water": _water,
}
