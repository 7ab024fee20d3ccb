"""Networks that turn graphs, or whole configurations, into state probabilities."""

from gdyn.networks.gdynet import GDyNet
from gdyn.networks.vampnet import VAMPnet

NETWORKS = {"gdynet": GDyNet, "vampnet": VAMPnet}

__all__ = ["NETWORKS", "GDyNet", "VAMPnet"]
