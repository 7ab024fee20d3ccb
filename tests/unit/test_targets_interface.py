"""The liquid and the first layers of the crystal beside it, found from densities alone."""

import numpy as np
import pytest

from gdyn.errors import InputError
from gdyn.trajectory.interface import near_interface

HEIGHT_A, SPACING_A, LAYERS = 60.0, 1.9, 10


def slab(shift, rng, stray=0):
    """Ten layers of 24 atoms and a liquid of 100 of them and 200 others; ``stray`` of these are in the crystal."""
    layers = np.repeat(np.arange(LAYERS), 24) * SPACING_A + rng.normal(0, 0.15, 24 * LAYERS)
    liquid = rng.uniform(LAYERS * SPACING_A + 0.5, HEIGHT_A - SPACING_A - 0.5, 300)
    liquid[100 : 100 + stray] = rng.uniform(5.0, 12.0, stray)
    place = np.concatenate([layers, liquid]) + shift
    chosen, marker = np.arange(24 * LAYERS + 100), np.arange(24 * LAYERS + 100, len(place))
    return chosen, marker, place / HEIGHT_A % 1.0


@pytest.mark.parametrize("shift", [0.0, 20.0, 45.0, 55.0])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_layers_are_found_wherever_the_crystal_is(shift, layers):
    chosen, marker, scaled = slab(shift, np.random.default_rng(1))
    kept = near_interface(chosen, marker, scaled, HEIGHT_A, layers)
    layer = np.repeat(np.arange(LAYERS), 24)
    expected = np.concatenate([np.flatnonzero((layer < layers) | (layer >= LAYERS - layers)), np.arange(240, 340)])
    np.testing.assert_array_equal(kept, expected)


def test_a_few_atoms_of_the_liquid_in_the_crystal_do_not_end_it():
    chosen, marker, scaled = slab(0.0, np.random.default_rng(2), stray=2)
    assert len(near_interface(chosen, marker, scaled, HEIGHT_A, 2)) == 4 * 24 + 100


def test_no_crystal_is_told():
    rng = np.random.default_rng(3)
    scaled = rng.random(500)
    with pytest.raises(InputError, match=r"targets\.interface.*lower layers, or leave interface out"):
        near_interface(np.arange(300), np.arange(300, 500), scaled, HEIGHT_A, 2)


def test_a_thin_crystal_is_told():
    chosen, marker, scaled = slab(0.0, np.random.default_rng(4))
    with pytest.raises(InputError, match="10 layers of the selection, too few for 5"):
        near_interface(chosen, marker, scaled, HEIGHT_A, 5)
