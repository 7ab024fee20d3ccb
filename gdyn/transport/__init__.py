"""Transport by state: displacements, diffusion and conduction of each transition.

Numpy, and no torch: from the states files and the trajectory stores alone.
"""
