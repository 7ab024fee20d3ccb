"""gdyn: what the atoms of a molecular dynamics trajectory do, learned without labels.

Follows every target atom (or molecule) through a trajectory, learns from graphs of its
surroundings a few soft states and the Koopman matrix of the hops among them, tests that model and
turns it into populations, timescales and transport.

The workflow runs from the folder of its Snakefile. For a notebook there are

- ``gdyn.results("results/toy")``: what the workflow has found for a system, as objects, tables and figures;
- ``gdyn.read_dump(path, units=..., timestep=..., frame_interval_ps=...)``: a trajectory;
- ``gdyn.koopman(states, lag_ps)``, ``gdyn.ck_test``, ``gdyn.structure_by_state``, ``gdyn.order_by_state``,
  ``gdyn.transport_by_state``, ``gdyn.compare_with_sites``: the estimators, of States and trajectories;
- ``gdyn.neighbors(positions, cell, count)``: nearest neighbors, every periodic image counted.

Each is loaded when it is first used. Lengths are in A, times in ps, charges in e, temperatures in K and energies in eV.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdyn.api import Results, koopman, neighbors, read_dump, results
    from gdyn.config import Kinetics, Sites, Structure, Transport
    from gdyn.kinetics.chapman_kolmogorov import ck_test
    from gdyn.kinetics.site_analysis import compare_with_sites
    from gdyn.statistics.interval import Interval
    from gdyn.store import States, TrajectoryStore
    from gdyn.structure.analysis import structure_by_state
    from gdyn.structure.order import order_by_state
    from gdyn.transport.analysis import transport_by_state

__version__ = "0.2.0"

_WHERE = {
    "gdyn.api": ("Results", "koopman", "neighbors", "read_dump", "results"),
    "gdyn.config": ("Kinetics", "Sites", "Structure", "Transport"),
    "gdyn.kinetics.chapman_kolmogorov": ("ck_test",),
    "gdyn.kinetics.site_analysis": ("compare_with_sites",),
    "gdyn.statistics.interval": ("Interval",),
    "gdyn.store": ("States", "TrajectoryStore"),
    "gdyn.structure.analysis": ("structure_by_state",),
    "gdyn.structure.order": ("order_by_state",),
    "gdyn.transport.analysis": ("transport_by_state",),
}
_PUBLIC = {name: module for module, names in _WHERE.items() for name in names}

__all__ = [
    "Interval",
    "Kinetics",
    "Results",
    "Sites",
    "States",
    "Structure",
    "TrajectoryStore",
    "Transport",
    "__version__",
    "ck_test",
    "compare_with_sites",
    "koopman",
    "neighbors",
    "order_by_state",
    "read_dump",
    "results",
    "structure_by_state",
    "transport_by_state",
]


def __getattr__(name: str) -> Any:
    """Load what is public when it is first used.

    Raises
    ------
    AttributeError : there is no public name like this.
    """
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gdyn' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """The names of the module, the public ones included."""
    return sorted({*globals(), *__all__})
