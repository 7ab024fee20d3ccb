"""Structure by state: radial distribution functions, charges, profiles and representative surroundings.

Numpy and numba, and no torch: from the states files and the trajectory stores alone.
"""
