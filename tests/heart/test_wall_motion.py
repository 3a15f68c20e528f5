"""Long axis, thickness and twist of deformations that are known."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.geometry import Surface
from twinjax.heart import WallMotion
from twinjax.mechanics import Ellipsoid, Guccione, Wall

SHAPE = Ellipsoid()


@pytest.fixture(scope="module")
def wall():
    return Wall(SHAPE.hexahedra(3, 5, 1), Guccione(), cavities=(Surface.LV_ENDO,))


def test_sizes_at_rest(wall):
    seen = WallMotion(wall)(jnp.zeros_like(wall.elements.points))
    np.testing.assert_allclose(seen["long_axis"], 17.0 + 5.0)  # from the apex at -17 to the base
    np.testing.assert_allclose(seen["thickness"], 3.0, rtol=0.06)  # nodes are not opposite
    np.testing.assert_allclose(seen["twist"], 0.0, atol=1e-9)


def test_a_wall_that_grows_is_not_twisted(wall):
    motion, x = WallMotion(wall), wall.elements.points
    rest, grown = motion(jnp.zeros_like(x)), motion(0.1 * x + jnp.array([[1.0, 2.0, 3.0]]))
    np.testing.assert_allclose(grown["long_axis"], 1.1 * rest["long_axis"])
    np.testing.assert_allclose(grown["thickness"], 1.1 * rest["thickness"])
    np.testing.assert_allclose(grown["twist"], 0.0, atol=1e-9)


@pytest.mark.parametrize("angle", [10.0, -25.0])
def test_twist_is_that_of_the_apex_seen_from_the_apex(wall, angle):
    """The apex is below: seen from there, x turns towards -y against the clock."""
    x = np.asarray(wall.elements.points)
    turned = x[:, 2] < -4.0
    cosine, sine = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    u = np.where(turned[:, None], x @ turn.T - x, 0.0)
    seen = WallMotion(wall)(jnp.asarray(u))
    np.testing.assert_allclose(seen["twist"], angle)


def test_a_cavity_without_a_mouth_is_refused(wall):
    closed = eqx.tree_at(lambda w: w.mouths, wall, (jnp.zeros(0, int),))
    with pytest.raises(ValueError, match="no mouth"):
        WallMotion(closed)
