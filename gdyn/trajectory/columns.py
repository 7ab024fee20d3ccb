"""The columns of a dump: its coordinates, and which of them are read."""

from collections.abc import Iterable
from dataclasses import dataclass

from gdyn.errors import InputError
from gdyn.files import FilePath

IMAGES = ("ix", "iy", "iz")
STATIC = ("type", "mol", "q", "mass")  # what does not change from frame to frame


@dataclass(frozen=True)
class Coordinates:
    """A set of three coordinate columns: whether they are fractions of the box, and whether they are unwrapped."""

    names: tuple[str, str, str]
    scaled: bool
    unwrapped: bool


# In the order in which they are preferred; image flags unwrap the last two.
COORDINATES = (
    Coordinates(("xu", "yu", "zu"), scaled=False, unwrapped=True),
    Coordinates(("xsu", "ysu", "zsu"), scaled=True, unwrapped=True),
    Coordinates(("x", "y", "z"), scaled=False, unwrapped=False),
    Coordinates(("xs", "ys", "zs"), scaled=True, unwrapped=False),
)


def choose_coordinates(columns: Iterable[str], path: FilePath = "the dump") -> tuple[Coordinates, bool]:
    """The best set of coordinates among the columns of a dump, and whether image flags unwrap it.

    Raises
    ------
    InputError : there is none.
    """
    for coordinates in COORDINATES:
        if set(columns).issuperset(coordinates.names):
            return coordinates, not coordinates.unwrapped and set(columns).issuperset(IMAGES)
    raise InputError(
        f"{path}: there are no coordinates among the columns {' '.join(columns)}; dump xu yu zu, or x y z ix iy iz"
    )


def numbers_of(columns: Iterable[str], path: FilePath = "the dump") -> list[str]:
    """The columns of a dump that are read as numbers: its coordinates, image flags if they unwrap it, and STATIC ones.

    Raises
    ------
    InputError : there are no coordinates.
    """
    coordinates, images = choose_coordinates(columns, path)
    return [*coordinates.names, *(IMAGES if images else ()), *(name for name in STATIC if name in columns)]
