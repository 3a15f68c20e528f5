"""Walls in motion, against motions that are known."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax._results import RESULTS
from twinjax.geometry import slab
from twinjax.mechanics import (
    Load,
    MooneyRivlin,
    Moving,
    Quadratic,
    QuadraticVolume,
    Springs,
    Wall,
    deform,
    move,
)

WALL = None


def block():
    """A cube of 1 mm that slides along x, on springs at one side."""
    global WALL
    if WALL is None:
        elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
        sides = np.zeros((len(elements.points), 3), bool)
        sides[:, 1:] = True
        WALL = Wall(
            elements,
            MooneyRivlin(5.0),
            volume=QuadraticVolume(bulk=100.0),
            fixed=sides,
            cavities=(2,),
            springs=(Springs(elements, 1, stiffness=0.0, normal=True, damping=0.0),),
            density=1.0,
            viscosity=0.0,
        )
    return WALL


def changed(*, springs=(0.0, 0.0), stiff=1.0, density=1.0, viscosity=0.0):
    return eqx.tree_at(
        lambda w: (
            w.springs[0].stiffness,
            w.springs[0].damping,
            w.energy.c_1,
            w.volume.bulk,
            w.density,
            w.viscosity,
        ),
        block(),
        tuple(map(jnp.asarray, (*springs, 5.0 * stiff, 100.0 * stiff, density, viscosity))),
    )


def of_first_node(moving):
    return moving.deformation.displacement[0, 0]


def test_a_thrown_block_flies_as_galileo_says():
    wall = changed(density=2.0)
    nodes = wall.elements.points
    pull = jnp.zeros((1, 27, 3)).at[..., 0].set(2.0 * 0.3)  # density times 0.3 mm/ms²
    load = Load(force=wall.elements.load(pull))
    along = jnp.zeros_like(nodes).at[:, 0].set(1.0)
    start = Moving(wall.at_rest(), -0.2 * along, 0.3 * along)
    done = move(wall, lambda t: load, step=0.5, steps=6, start=start, observe=of_first_node)
    t = np.asarray(done.times)
    np.testing.assert_allclose(t, np.arange(7) * 0.5)
    np.testing.assert_allclose(done.observations, -0.2 * t + 0.15 * t**2, atol=1e-10)


def oscillation(step, damping):
    """The error of a stiff block on springs of 0.1 kPa/mm, let go at 0.3 mm, after 8 ms."""
    wall = changed(springs=(0.1, damping), stiff=1e4)
    rest = wall.at_rest()
    u = jnp.zeros_like(rest.displacement).at[:, 0].set(0.3)
    a = -0.1 * u
    start = Moving(eqx.tree_at(lambda d: d.displacement, rest, u), jnp.zeros_like(u), a)
    steps = round(8.0 / step)
    done = move(wall, lambda t: Load(), step=step, steps=steps, start=start, observe=of_first_node)
    ζω = damping / 2
    ω = np.sqrt(0.1 - ζω**2)
    exact = 0.3 * np.exp(-8 * ζω) * (np.cos(8 * ω) + ζω / ω * np.sin(8 * ω))
    return abs(float(done.observations[-1]) - exact)


@pytest.mark.parametrize("damping", [0.0, 0.2])
def test_a_block_on_springs_swings_with_order_2(damping):
    errors = [oscillation(step, damping) for step in (0.8, 0.4)]
    assert errors[1] < 0.01
    assert np.log2(errors[0] / errors[1]) > 1.7, errors


def test_viscosity_slows_the_wall_as_it_should():
    """Without inertia η dE/dt + M E = p t at a modulus M = κ + 4/3 μ, where strains are small."""
    wall = changed(springs=(1e7, 0.0), density=1e-9, viscosity=50.0)
    modulus, pull = 100.0 + 4 / 3 * 10.0, 1e-3
    delay = 50.0 / modulus
    exact = pull / modulus * (1 - delay * (1 - np.exp(-1 / delay)))

    def end(moving):
        return jnp.max(moving.deformation.displacement[:, 0])

    errors = []
    for steps in (4, 8):
        done = move(wall, lambda t: Load(-pull * t), step=1 / steps, steps=steps, observe=end)
        errors.append(abs(float(done.observations[-1]) / exact - 1))
    assert errors[1] < 0.005
    assert errors[0] / errors[1] > 3, errors


def test_a_motion_comes_to_rest_at_the_equilibrium():
    wall = changed(springs=(1.0, 2.0), viscosity=100.0)
    done = move(wall, lambda t: Load(0.5), step=4.0, steps=12, damping_radius=0.0)
    still = deform(wall, Load(0.5))
    np.testing.assert_allclose(
        done.state.deformation.displacement, still.state.displacement, atol=1e-5
    )


@pytest.mark.slow
def test_derivatives_go_through_the_steps():
    def end(theta):
        wall = changed(springs=(theta[0], 0.1), viscosity=theta[1])
        done = move(wall, lambda t: Load(theta[2] * t), step=0.5, steps=2, observe=of_first_node)
        return done.observations[-1]

    start = jnp.array([0.1, 5.0, 0.2])
    reverse = jax.grad(end)(start)
    forward = jax.jacfwd(end)(start)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9)
    for i in range(3):
        h = 1e-4 * float(start[i])
        step = jnp.zeros(3).at[i].set(h)
        difference = (end(start + step) - end(start - step)) / (2 * h)
        np.testing.assert_allclose(difference, forward[i], rtol=1e-5, err_msg=str(i))


def test_a_motion_that_fails_is_told():
    wall = changed(springs=(0.1, 0.0))
    done = move(wall, lambda t: Load(0.1 if t < 2 else 1e6), step=1.0, steps=5, throw=False)
    assert int(done.result) == RESULTS.no_equilibrium
    assert len(done.times) == 3
    with pytest.raises(RuntimeError, match="the wall found no equilibrium under its load"):
        move(wall, lambda t: Load(1e6), step=1.0, steps=1)


def test_a_wrong_step_is_refused():
    with pytest.raises(ValueError, match="a motion needs a step and steps above 0 and a radius in"):
        move(block(), lambda t: Load(), step=0.0, steps=5)
