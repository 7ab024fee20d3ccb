"""Graphs of the surroundings of every atom: building them, and reading them for the network."""
