"""The networks that there are, by name: what is known of each without importing torch."""

from typing import Literal, NamedTuple


class NetworkKind(NamedTuple):
    """One kind of network.

    path : of its class, as ``module:class``; :mod:`gdyn.networks` imports it
    reads : what it reads of a system, ``graphs`` (its states are those of single targets, by the graph around each) or
        ``trajectories`` (one state for all targets together)
    learns : the same in words, for the reference of the configuration
    """

    path: str
    reads: Literal["graphs", "trajectories"]
    learns: str


NETWORKS = {
    "gdynet": NetworkKind("gdyn.networks.gdynet:GDyNet", "graphs", "states of each target, from the graph around it"),
    "vampnet": NetworkKind(
        "gdyn.networks.vampnet:VAMPnet",
        "trajectories",
        "one state of all targets together, from where they are in the cell",
    ),
}
