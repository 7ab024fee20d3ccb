"""The configuration: typed models, and reading them from YAML with one sentence per problem."""

from gdyn.config.load import load_config, load_system, read_yaml, sections, validated
from gdyn.config.models import (
    Config,
    Kinetics,
    OrderParameter,
    Selection,
    Sites,
    Splits,
    Structure,
    System,
    Transport,
    Trial,
)

__all__ = [
    "Config",
    "Kinetics",
    "OrderParameter",
    "Selection",
    "Sites",
    "Splits",
    "Structure",
    "System",
    "Transport",
    "Trial",
    "load_config",
    "load_system",
    "read_yaml",
    "sections",
    "validated",
]
