"""What surrounds the targets of each state."""

from typing import TYPE_CHECKING, Any

from gdyn.analyses.base import STRUCTURE, Analysis, Figure, Row, twins_by_name

if TYPE_CHECKING:
    from gdyn.config import System
    from gdyn.structure.analysis import Structure as Result


class Structure(Analysis):
    """Distribution functions, coordination numbers, charges, profiles and typical surroundings by state."""

    name = "structure"
    place = 50
    estimator = "gdyn.structure.analysis:structure_by_state"
    files = {
        "result": "analysis/structure.json",
        "distributions": "analysis/structure.csv",
        "charges": "analysis/charges.csv",
        "profile": "analysis/profile.csv",
        "section": "analysis/cross_section.csv",
        "configurations": "analysis/surroundings.extxyz",
    }
    key = "structure"
    units = {"structure": "1, atoms", "structure.first_shell_A": "A, set or found"}
    figures = (
        Figure(
            "structure",
            "structure by state",
            "gdyn.figures.structure:draw_structure",
            caption=(
                "What surrounds the targets of each state, with 95 % intervals. (a) State-weighted radial "
                "distribution functions of each group of atoms. (b) Running coordination numbers. (c) Charge within a "
                "distance, that of the target included, from the partial charges of atoms and from whole molecules, "
                "where charges are known. Dotted: end of the first shell."
            ),
        ),
        Figure(
            "surroundings",
            "typical surroundings",
            "gdyn.figures.surroundings:draw_surroundings",
            caption=(
                "Typical surroundings of each state: of its most certain samples, those whose shells are nearest to "
                "the mean. The target is in the middle; dashed lines lead to the atoms of its first shell. Atoms a "
                "little beyond are shown too."
            ),
        ),
        Figure(
            "profile",
            "states along an axis",
            "gdyn.figures.structure:draw_profile",
            caption=(
                "States along a lattice vector: the probability of each state for a target at that place, with 95 % "
                "intervals, and where the targets are, by state and together. Above them, if the cell is long: a "
                "slice of it in the last frame, with the targets in the colours of their states, mixed by "
                "probability, and the other atoms faint."
            ),
        ),
    )

    def applies(self, system: "System") -> bool:
        """Where the states are those of single targets."""
        return system.reads_graphs

    def summary(self, result: "Result") -> dict[str, Any]:
        """The first shell and what is in it."""
        return {
            "structure": {
                "first_shell_A": result.first_shell_A,
                "coordinating": result.coordinating,
                **twins_by_name("coordination", result.coordination),
            }
        }

    def rows(self, result: "Result") -> dict[str, list[Row]]:
        """The same."""
        rows, shell = [Row("coordinating atoms", result.coordinating)], f"within {result.first_shell_A:.2f} A"
        for group, number in result.coordination.items():
            rows.append(Row(f"{group} {shell}, by state", "   ".join(map(str, number))))
        return {STRUCTURE: rows}
