"""Networks that turn graphs into state probabilities."""

from gdyn.networks.gdynet import GDyNet

__all__ = ["GDyNet"]
