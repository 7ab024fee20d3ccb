"""Networks that turn graphs, or whole configurations, into state probabilities."""

from pkgutil import resolve_name

from gdyn.config import networks
from gdyn.networks.base import StateNetwork

NETWORKS: dict[str, type[StateNetwork]] = {name: resolve_name(kind.path) for name, kind in networks.NETWORKS.items()}

__all__ = ["NETWORKS", "StateNetwork"]
