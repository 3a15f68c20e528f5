"""The stored energy: its derivatives are the forces of the wall."""

import equinox as eqx
import jax
import numpy as np
import pytest

from tests.mechanics._walls import small_ventricle, somewhere
from twinjax.mechanics import LogarithmicVolume, stored_energy
from twinjax.mechanics._balance import residual
from twinjax.mechanics._cells import Cells
from twinjax.mechanics._wall import Load


@pytest.mark.parametrize("volume", [None, LogarithmicVolume(bulk=50.0)], ids=["default", "log"])
def test_forces_are_derivatives_of_the_stored_energy(volume):
    wall = small_ventricle()
    if volume is not None:
        wall = eqx.tree_at(lambda w: w.volume, wall, volume)
    at = somewhere(wall)
    slope = jax.grad(lambda a: stored_energy(wall, a))(at)
    force = residual(wall, Cells(wall), Load().on(wall), at)
    size = float(np.abs(force.displacement).max())
    np.testing.assert_allclose(slope.displacement, force.displacement, rtol=0, atol=1e-9 * size)
    size = float(np.abs(force.pressure).max())
    np.testing.assert_allclose(slope.pressure, force.pressure, rtol=0, atol=1e-6 * size)


def test_a_wall_at_rest_has_stored_nothing():
    wall = small_ventricle()
    assert abs(float(stored_energy(wall, wall.at_rest()))) < 1e-9
