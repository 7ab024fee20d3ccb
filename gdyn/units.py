"""LAMMPS unit styles, converted once, when files are read, to A, ps, e and u."""

from dataclasses import dataclass
from math import isfinite

from gdyn.errors import ConfigError

BOHR_A = 0.529177210903  # CODATA 2018
E_COULOMB = 1.602176634e-19  # exact, SI 2019
BOLTZMANN_J_PER_K = 1.380649e-23  # exact, SI 2019
U_KG = 1.66053906660e-27  # CODATA 2018
STATCOULOMB_C = 3.3356409519815204e-10  # 1 / (10 c), exact

DIFFUSION_M2_PER_S = 1e-8  # one A^2/ps
# Of one e^2 A^2/ps in an A^3 at 1 K: e^2 D / (V kB T).
CONDUCTIVITY_S_PER_M = E_COULOMB**2 * DIFFUSION_M2_PER_S / (1e-30 * BOLTZMANN_J_PER_K)


@dataclass(frozen=True)
class UnitStyle:
    """What one unit of a LAMMPS unit style is worth."""

    length_A: float
    time_ps: float
    charge_e: float
    mass_u: float


UNIT_STYLES = {
    "real": UnitStyle(length_A=1.0, time_ps=1e-3, charge_e=1.0, mass_u=1.0),
    "metal": UnitStyle(length_A=1.0, time_ps=1.0, charge_e=1.0, mass_u=1.0),
    "electron": UnitStyle(length_A=BOHR_A, time_ps=1e-3, charge_e=1.0, mass_u=1.0),
    "si": UnitStyle(length_A=1e10, time_ps=1e12, charge_e=1.0 / E_COULOMB, mass_u=1.0 / U_KG),
    "cgs": UnitStyle(length_A=1e8, time_ps=1e12, charge_e=STATCOULOMB_C / E_COULOMB, mass_u=1e-3 / U_KG),
    "micro": UnitStyle(length_A=1e4, time_ps=1e6, charge_e=1e-12 / E_COULOMB, mass_u=1e-15 / U_KG),
    "nano": UnitStyle(length_A=10.0, time_ps=1e3, charge_e=1.0, mass_u=1e-21 / U_KG),
}


def multiple(time_ps: float, unit_ps: float, key: str, unit_name: str) -> int:
    """Return ``time_ps / unit_ps`` as an integer.

    Parameters
    ----------
    time_ps, unit_ps : float, ps
    key, unit_name : how the two are called in the sentence of the error.

    Raises
    ------
    ConfigError : ``time_ps`` is not a positive whole multiple of ``unit_ps``.
    """
    if not (isfinite(time_ps) and isfinite(unit_ps) and unit_ps > 0):
        raise ConfigError(f"{key}: {time_ps} ps is no time that can be divided by {unit_name} ({unit_ps} ps)")
    n = round(time_ps / unit_ps)
    if n < 1 or abs(time_ps - n * unit_ps) > 1e-6 * unit_ps:
        raise ConfigError(
            f"{key}: {time_ps:g} ps is not a whole multiple of {unit_name} ({unit_ps:g} ps); "
            f"the nearest one is {max(1, n) * unit_ps:.10g} ps"
        )
    return n
