"""gdyn: what the atoms of a molecular dynamics trajectory do, learned without labels.

Follows every target atom (or molecule) through a trajectory, learns from graphs of its
surroundings a few soft states and the Koopman matrix of the hops among them, tests that model and
turns it into populations, timescales and transport.

The package is a set of floors; imports only go down:

==========  =====================================================================================
5           ``figures``, ``report``
4           ``training`` (torch); ``kinetics`` (numpy)
3           ``networks``
2           ``graphs``
1           ``trajectory``, ``store``
0           ``config``, ``errors``, ``units``, ``files``, ``guard``, ``logs``, ``provenance``, ``rounding``
==========  =====================================================================================

Inside gdyn lengths are in A, times in ps, charges in e, temperatures in K and energies in eV.
"""

__version__ = "0.1.0"
