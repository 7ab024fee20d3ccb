from typing import get_args

import pytest

from gdyn.config.models import Trajectory
from gdyn.errors import ConfigError
from gdyn.units import UNIT_STYLES, multiple


def test_unit_styles_against_hand_calculation():
    assert UNIT_STYLES["real"].time_ps == pytest.approx(1e-3)  # fs
    assert UNIT_STYLES["metal"].time_ps == 1.0
    assert UNIT_STYLES["nano"].length_A == 10.0
    assert UNIT_STYLES["micro"].time_ps == 1e6  # us
    # One bohr is 0.529 A; one electron is 4.803e-10 statcoulomb and 1.602e-19 coulomb, which is 1.602e-7 pC.
    assert UNIT_STYLES["electron"].length_A == pytest.approx(0.529177, rel=1e-6)
    assert 4.80320471e-10 * UNIT_STYLES["cgs"].charge_e == pytest.approx(1.0, rel=1e-8)
    assert 1.602176634e-19 * UNIT_STYLES["si"].charge_e == pytest.approx(1.0)
    assert 1.602176634e-7 * UNIT_STYLES["micro"].charge_e == pytest.approx(1.0)


def test_masses_against_hand_calculation():
    # A dalton is 1.6605e-27 kg, 1.6605e-24 g, 1.6605e-12 pg and 1.6605e-6 ag; g/mol are daltons for each atom.
    daltons = {"si": 1.66053907e-27, "cgs": 1.66053907e-24, "micro": 1.66053907e-12, "nano": 1.66053907e-6}
    for style, dalton in daltons.items():
        assert dalton * UNIT_STYLES[style].mass_u == pytest.approx(1.0, rel=1e-8)
    assert [UNIT_STYLES[style].mass_u for style in ("real", "metal", "electron")] == [1.0, 1.0, 1.0]


def test_reduced_units_have_no_angstrom():
    assert "lj" not in UNIT_STYLES


@pytest.mark.parametrize(
    ("value", "unit", "n"), [(10, 1, 10), (0.3, 0.1, 3), (1.0, 0.001, 1000), (2e5, 0.1, 2_000_000)]
)
def test_multiple(value, unit, n):
    assert multiple(value, unit, "lag", "interval") == n


@pytest.mark.parametrize(("value", "nearest"), [(10.5, "10 ps"), (0.2, "1 ps"), (1.0001, "1 ps")])
def test_no_multiple(value, nearest):
    with pytest.raises(ConfigError, match=f"lag: .* whole multiple of the interval .* nearest one is {nearest}"):
        multiple(value, 1.0, "lag", "the interval")


def test_the_configuration_knows_every_unit_style():
    assert get_args(Trajectory.model_fields["units"].annotation) == tuple(UNIT_STYLES)
