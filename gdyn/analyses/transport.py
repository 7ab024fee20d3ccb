"""Which transitions carry diffusion and conduction."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import STRUCTURE, Analysis, Figure, Row, resolve, twins, twins_by_name

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.transport.analysis import Transport as Result


class Transport(Analysis):
    """Diffusion and conduction, divided among the transitions between states."""

    name = "transport"
    place = 70
    estimator = "gdyn.transport.analysis:transport_by_state"
    files = {
        "result": "analysis/transport.json",
        "transitions": "analysis/transport.csv",
        "displacements": "analysis/displacements.csv",
    }
    key = "transport"
    units = {
        "transport": "as the names of the keys say; percent of the sum, charges in e",
        "transport.transference": "1",
        "transport.collective.transference": "1",
    }
    figures = (
        Figure(
            "transport",
            "transport by state",
            "gdyn.figures.transport:draw_transport",
            caption=(
                "Transport by state. (a) Mean square displacement of the targets with 95 % intervals; dashed: a slope "
                "of 1. (b) Diffusion coefficient of every transition, from its squared displacement, against time; "
                "dotted: the lag time. (c) Share of every transition in the conduction (or, without charges, the "
                "diffusion) at the lag time, by joint probabilities, whose sum is exactly the mean square "
                "displacement, and by the paper's product of population and Koopman matrix, whose sum is not."
            ),
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where a system has a ``transport`` section."""
        return bool(system.transport)

    def prepare(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """The charges of the states are those of their first shells."""
        structure = resolve("gdyn.structure.analysis:Structure").read({"result": inputs.pop("structure_result")})
        return inputs | {"charges_e": structure.charges_e}

    def summary(self, result: "Result") -> dict[str, Any]:
        """All of its numbers but joint probabilities."""
        return {
            "transport": {
                "msd_closure_residual": result.msd_closure_residual,
                "msd_closure_residual_paper": result.msd_closure_residual_paper,
                "msd_exponent": result.msd_exponent,
                **twins(
                    diffusion_m2_per_s=result.diffusion_m2_per_s,
                    contribution_percent=result.contribution_percent,
                    contribution_percent_paper=result.contribution_percent_paper,
                    charges_e=result.charges_e,
                    conductivity_S_per_m=result.conductivity_S_per_m,
                    tracer_diffusion_m2_per_s=result.tracer_diffusion_m2_per_s,
                    conductivity_nernst_einstein_S_per_m=result.conductivity_nernst_einstein_S_per_m,
                    conductivity_einstein_S_per_m=result.conductivity_einstein_S_per_m,
                    transference=result.transference,
                ),
                "collective": twins_by_name("transference", result.collective.transference),
            }
        }

    def rows(self, result: "Result") -> dict[str, list[Row]]:
        """Charges, coefficients and transference numbers, as far as they are known."""
        rows = []
        if result.charges_e is not None:
            rows.append(Row("charge of the first shell, by state", "   ".join(map(str, result.charges_e))))
        numbers = {
            "diffusion coefficient": result.tracer_diffusion_m2_per_s,
            "conductivity, sum over transitions": result.conductivity_S_per_m,
            "conductivity, Nernst-Einstein": result.conductivity_nernst_einstein_S_per_m,
            "conductivity, collective": result.conductivity_einstein_S_per_m,
        }
        rows += [Row(name, str(number)) for name, number in numbers.items() if number is not None and known(number)]
        at_rest = {"barycentric": "centre of mass at rest", "solvent": "solvent at rest"}
        for frame, number in result.collective.transference.items():
            if number is not None and known(number):
                rows.append(Row(f"transference number, {frame}", f"{number}, {at_rest[frame]}"))
        residual = result.msd_closure_residual
        text = f"{residual:.1e}" if known(residual) else "not known"
        return {STRUCTURE: [*rows, Row("sum over transitions and MSD differ by", text)]}


def known(number: Any) -> bool:
    """Whether it is a number."""
    value = getattr(number, "value", number)
    return bool(value == value)
