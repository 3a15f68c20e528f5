"""Derivatives of equilibria: finite differences, forward mode and reverse mode."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import small_ventricle
from twinjax._parameters import ParameterSpace
from twinjax.mechanics import Ellipsoid, Load, deform

WALL = None


def wall():
    global WALL
    WALL = small_ventricle() if WALL is None else WALL
    return WALL


# pressure, tension, stiffness, b_f, helix angle; length of the heart, springs, bulk modulus
START = jnp.array([1.0, 5.0, 2.0, 8.0, 60.0, 1.0, 0.2, 1e3])
FEW = 5


def outputs(theta):
    """Volume of the cavity [mL], the apex's height, and the greatest pressure in the wall."""
    base = wall()
    frames = Ellipsoid().frames(base.elements, theta[4], -60.0)
    changed = eqx.tree_at(
        lambda w: (w.energy.stiffness, w.energy.b_f, w.frames),
        base,
        (theta[2], theta[3], frames),
    )
    if len(theta) > FEW:
        points = base.elements.points * jnp.stack([1.0, 1.0, theta[5]])[None]
        changed = eqx.tree_at(
            lambda w: (w.elements.points, w.springs[0].stiffness, w.volume.bulk),
            changed,
            (points, theta[6], theta[7]),
        )
    done = deform(changed, Load(theta[0], theta[1]), rtol=1e-12)
    apex = jnp.argmin(base.elements.points[:, 2])
    u = done.state.displacement[apex, 2]
    return jnp.stack([done.observations["volumes"][0] / 1e3, u, jnp.max(done.state.pressure)])


@pytest.mark.parametrize("number", [FEW, pytest.param(len(START), marks=pytest.mark.slow)])
def test_three_ways_to_the_derivatives_agree(number):
    start = START[:number]
    forward = jax.jacfwd(outputs)(start)
    reverse = jax.jacrev(outputs)(start)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)
    for i, value in enumerate(start):
        h = 1e-4 * float(value)
        step = jnp.zeros_like(start).at[i].set(h)
        difference = (outputs(start + step) - outputs(start - step)) / (2 * h)
        np.testing.assert_allclose(difference, forward[:, i], rtol=1e-5, err_msg=str(i))


@pytest.mark.slow
def test_derivatives_inside_of_a_compiled_program():
    eager = jax.grad(lambda theta: outputs(theta)[0])(START)
    value, compiled = jax.jit(jax.value_and_grad(lambda theta: outputs(theta)[0]))(START)
    np.testing.assert_allclose(value, outputs(START)[0], rtol=1e-9)
    np.testing.assert_allclose(compiled, eager, rtol=1e-7)


@pytest.mark.slow
def test_a_parameter_space_reaches_the_energy():
    space = ParameterSpace(wall(), ["energy.stiffness", "energy.b_f"])

    def volume(theta):
        return deform(space.write(wall(), theta), Load(1.0, 5.0)).observations["volumes"][0]

    slope = jax.grad(volume)(jnp.array([2.0, 8.0]))
    expected = jax.grad(lambda theta: outputs(theta)[0])(START)[2:4] * 1e3
    np.testing.assert_allclose(slope, expected, rtol=1e-6)
