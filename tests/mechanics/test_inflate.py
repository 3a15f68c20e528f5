"""Pressures at which cavities have given volumes, and how they move with what they depend on."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import small_ventricle
from twinjax._results import RESULTS
from twinjax.geometry import slab
from twinjax.mechanics import Load, MooneyRivlin, Quadratic, Wall, deform, inflate


@pytest.fixture(scope="module")
def wall():
    return small_ventricle()


def test_pressures_are_those_that_make_the_volumes(wall):
    load = Load(1.3, 4.0)
    there = deform(wall, load)
    done = inflate(wall, there.observations["volumes"], Load(tension=4.0))
    np.testing.assert_allclose(done.state.pressure, [1.3], rtol=1e-7)
    u = done.state.deformation.displacement
    np.testing.assert_allclose(u, there.state.displacement, atol=1e-7)
    known = (there.state, load)
    again = inflate(wall, there.observations["volumes"], load, start=known, first_step=1.0)
    assert int(again.stats["corrections"]) <= 2


def test_derivatives_three_ways(wall):
    """Of the pressure and of the apex, by volume, tension and stiffness."""
    rest = float(wall.volumes(jnp.zeros_like(wall.elements.points))[0])
    apex = int(jnp.argmin(wall.elements.points[:, 2]))

    def outputs(theta):
        stiffer = eqx.tree_at(lambda w: w.energy.stiffness, wall, theta[2])
        done = inflate(stiffer, theta[0] * rest, Load(tension=theta[1]), rtol=1e-13)
        u = done.state.deformation.displacement[apex, 2]
        return jnp.stack([done.state.pressure[0], u])

    start, along = jnp.array([1.2, 3.0, 2.0]), jnp.array([0.3, 1.0, -0.5])
    value, forward = jax.jvp(outputs, (start,), (along,))
    reverse = jax.jacrev(outputs)(start)
    np.testing.assert_allclose(reverse @ along, forward, rtol=1e-9)
    h = 1e-4
    difference = (outputs(start + h * along) - outputs(start - h * along)) / (2 * h)
    np.testing.assert_allclose(difference, forward, rtol=1e-5)
    np.testing.assert_allclose(value, outputs(start), rtol=1e-9)


class Reservoir(eqx.Module):
    """Blood that the cavity shares with an elastic vessel."""

    whole: jax.Array
    compliance: jax.Array

    def __call__(self, pressure):
        return self.whole - self.compliance * pressure


def test_blood_that_depends_on_the_pressure(wall):
    """A cavity and a vessel share their blood; derivatives by what there is of it."""
    there = deform(wall, Load(1.3, 4.0))
    compliance = jnp.array([7.0])
    whole = there.observations["volumes"] + compliance * 1.3

    def pressure(theta):
        done = inflate(wall, Reservoir(theta[:1], theta[1:]), Load(tension=4.0), rtol=1e-13)
        return done.state.pressure[0]

    start, along = jnp.concatenate([whole, compliance]), jnp.array([1.0, 2.0])
    value, forward = jax.jvp(pressure, (start,), (along,))
    np.testing.assert_allclose(value, 1.3, rtol=1e-7)
    np.testing.assert_allclose(jax.grad(pressure)(start) @ along, forward, rtol=1e-9)
    difference = (pressure(start + 1e-3 * along) - pressure(start - 1e-3 * along)) / 2e-3
    np.testing.assert_allclose(difference, forward, rtol=1e-5)


def test_volumes_out_of_reach_are_told(wall):
    done = inflate(wall, 1e7, least_step=0.2, throw=False)
    assert int(done.result) == RESULTS.no_filling
    assert np.all(np.isfinite(done.state.deformation.displacement))
    with pytest.raises(RuntimeError, match="the cavities do not take the volumes asked for"):
        inflate(wall, 1e7, least_step=0.2)


def test_wrong_volumes_are_refused(wall):
    with pytest.raises(ValueError, match=r"volumes have shape \(2,\); valid: \(1,\)"):
        inflate(wall, [1.0, 2.0])
    with pytest.raises(ValueError, match="volumes must be above 0 mm³, not -3"):
        inflate(wall, -3.0)
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    solid = Wall(elements, MooneyRivlin(), fixed=elements.mask(1))
    with pytest.raises(ValueError, match="the wall has no cavities to fill"):
        inflate(solid, 1.0)


@pytest.mark.slow
def test_pressures_inside_of_a_compiled_program(wall):
    volume = deform(wall, Load(1.3)).observations["volumes"]
    pressure = jax.jit(lambda v: inflate(wall, v).state.pressure)(volume)
    np.testing.assert_allclose(pressure, [1.3], rtol=1e-7)
