"""While tests run, arguments are held against their annotations, shapes and dtypes included.

In the packages of numerical functions, but for modules of which numba compiles a part. Import this before gdyn.
"""

from pathlib import Path
from typing import Self

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import install_import_hook

GDYN = Path(__file__).resolve().parents[1] / "gdyn"
PACKAGES = ("statistics", "kinetics", "structure", "transport", "trajectory")
CHECKED = [
    f"gdyn.{package}.{path.stem}"
    for package in PACKAGES
    for path in sorted((GDYN / package).glob("*.py"))
    if path.stem != "__init__" and "import numba" not in path.read_text(encoding="utf-8")
]
NUMBERS = {  # numpy's are numbers too
    bool: bool | np.bool_,
    int: int | np.integer,
    float: float | int | np.floating | np.integer,
    Self: object,  # which beartype knows only of whole classes
}
held = beartype(conf=BeartypeConf(hint_overrides=FrozenDict(NUMBERS)))
install_import_hook(CHECKED, "shapes.held")
