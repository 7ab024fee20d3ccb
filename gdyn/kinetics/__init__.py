"""From state probabilities to kinetics: Koopman matrices, timescales, tests and their uncertainty.

Numpy in float64, and no torch: analysis meets training in the states files only.
"""
