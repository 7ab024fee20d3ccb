"""The shapes of arrays that estimators have in common."""

import numpy as np
from jaxtyping import Float, Int

Probabilities = Float[np.ndarray, "frames targets states"]
Segment = Int[np.ndarray, " frames"]
Matrix = Float[np.ndarray, "states states"]
PerState = Float[np.ndarray, " states"]
PerProcess = Float[np.ndarray, " processes"]
Eigenvectors = Float[np.ndarray, "processes states"]
