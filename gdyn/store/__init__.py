"""The HDF5 formats. Each module's docstring is the definition of its format."""

from gdyn.store.graphs import GraphShard
from gdyn.store.states import States
from gdyn.store.trajectory import TrajectoryStore

__all__ = ["GraphShard", "States", "TrajectoryStore"]
