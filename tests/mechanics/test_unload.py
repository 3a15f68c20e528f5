"""Shapes at rest: what loads made of known ones, derivatives, axes of the tissue, failures."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import bent_box, small_ventricle
from twinjax._results import RESULTS
from twinjax._solve import _finish
from twinjax.geometry import slab
from twinjax.mechanics import (
    Ellipsoid,
    Guccione,
    Load,
    LogarithmicVolume,
    MooneyRivlin,
    Motion,
    Quadratic,
    QuadraticVolume,
    Wall,
    carried,
    deform,
    unload,
)
from twinjax.mechanics._balance import residual
from twinjax.mechanics._cells import Cells

LOAD = Load(1.0, 5.0)


@pytest.fixture(scope="module")
def ventricle():
    """A wall at rest that springs hold, its deformation, and the loaded shape."""
    wall = small_ventricle()
    state = deform(wall, LOAD).state
    return wall, state, carried(wall, state.displacement)


def test_a_loaded_ventricle_comes_back_to_rest(ventricle):
    wall, state, loaded = ventricle
    told = []
    found = unload(loaded, LOAD, progress=told.append)
    assert float(jnp.abs(state.displacement).max()) > 1.0
    rest = found.state.wall
    np.testing.assert_allclose(rest.elements.points, wall.elements.points, atol=1e-7)
    np.testing.assert_allclose(rest.frames, wall.frames, atol=1e-8)
    deformation = found.state.deformation
    np.testing.assert_allclose(deformation.displacement, state.displacement, atol=1e-7)
    np.testing.assert_allclose(deformation.pressure, state.pressure, atol=1e-5)
    volumes = found.observations
    np.testing.assert_allclose(volumes["volumes"], wall.volumes(0 * state.displacement), rtol=1e-7)
    np.testing.assert_allclose(volumes["loaded_volumes"], wall.volumes(state.displacement))
    assert told[-1] == 1.0
    assert told == sorted(told)


def test_the_load_makes_the_given_shape_again(ventricle):
    """A shape that no deformation has made: the ventricle at rest, taken for a loaded one."""
    image = eqx.tree_at(lambda w: w.across, ventricle[0], jnp.array(0.3))
    found = unload(image, LOAD)
    apart = found.state.wall.elements.points - image.elements.points
    assert float(jnp.abs(apart).max()) > 1.0
    again = deform(found.state.wall, LOAD).state
    np.testing.assert_allclose(
        found.state.wall.elements.points + again.displacement, image.elements.points, atol=1e-7
    )


def turned_axes():
    axes = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    return axes * np.sign(np.linalg.det(axes))


@pytest.mark.parametrize(
    "pressures", ["constant", pytest.param("pointwise", marks=pytest.mark.slow)]
)
def test_tetrahedra_come_back_too(pressures):
    elements = bent_box("tetrahedra")
    wall = Wall(
        elements,
        Guccione(),
        frames=turned_axes(),
        volume=LogarithmicVolume(bulk=50.0, local=2.0),
        fixed=elements.mask(1),
        cavities=(5,),
        pressures=pressures,
    )
    moved = jnp.full(elements.points.shape, 0.05)
    load = Load(0.2, 1.0, displacement=moved)
    state = deform(wall, load).state
    found = unload(carried(wall, state.displacement), load).state
    np.testing.assert_allclose(found.wall.elements.points, elements.points, atol=1e-8)
    np.testing.assert_allclose(found.deformation.pressure, state.pressure, atol=1e-7)


def test_a_bar_was_as_long_as_its_active_stress_says():
    """T λ² + 2 c (λ² - 1/λ) = 0 in an incompressible neo-Hookean bar, λ its length over that."""
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    fixed = np.stack([elements.mask(1), elements.mask(3), elements.mask(5)], axis=1)
    c, tension = 2.0, 3.0
    wall = Wall(elements, MooneyRivlin(c), volume=QuadraticVolume(bulk=1e8), fixed=fixed)
    found = unload(wall, Load(tension=tension)).state.wall.elements.points
    stretch = (2 * c / (tension + 2 * c)) ** (1 / 3)
    wanted = np.asarray(elements.points) * [1 / stretch, stretch**0.5, stretch**0.5]
    np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_axes_go_with_the_tissue():
    """A fibre with its points, as F f; the normal of a sheet with the plane, as F⁻ᵀ n."""
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra"))
    turned = turned_axes()
    wall = Wall(elements, MooneyRivlin(), frames=turned)
    slope = np.array([[0.3, 0.4, 0.0], [-0.2, -0.1, 0.2], [0.1, 0.0, 0.2]])
    moved = carried(wall, elements.points @ jnp.asarray(slope.T))
    gradient = np.eye(3) + slope
    fibre = gradient @ turned[:, 0]
    normal = np.linalg.inv(gradient).T @ turned[:, 2]
    for column, wanted in ((0, fibre), (2, normal)):
        found = moved.frames[..., column]
        wanted = np.broadcast_to(wanted / np.linalg.norm(wanted), found.shape)
        np.testing.assert_allclose(found, wanted, atol=1e-12)
    with pytest.raises(ValueError, match="1 cells are inverted at a point of quadrature"):
        carried(wall, -2.0 * elements.points * jnp.array([[1.0, 0.0, 0.0]]))


# pressure, stiffness, helix angle, length of the loaded heart, tension, b_f, springs, bulk modulus
START = jnp.array([1.0, 2.0, 60.0, 1.0, 5.0, 8.0, 0.2, 1e3])


def outputs(theta, base):
    """Of the wall at rest: cavity's volume [mL], the apex's height, a fibre; and a pressure."""
    frames = Ellipsoid().frames(base.elements, theta[2], -60.0)
    points = base.elements.points * jnp.stack([1.0, 1.0, theta[3]])[None]
    changed = eqx.tree_at(
        lambda w: (
            w.energy.stiffness,
            w.frames,
            w.elements.points,
            w.energy.b_f,
            w.springs[0].stiffness,
            w.volume.bulk,
        ),
        base,
        (theta[1], frames, points, theta[5], theta[6], theta[7]),
    )
    done = unload(changed, Load(theta[0], theta[4]), rtol=1e-12)
    rest = done.state.wall
    apex = jnp.argmin(base.elements.points[:, 2])
    return jnp.stack(
        [
            done.observations["volumes"][0] / 1e3,
            rest.elements.points[apex, 2],
            rest.frames[0, 0, 0, 0],
            jnp.max(done.state.deformation.pressure),
        ]
    )


def test_three_ways_to_the_derivatives_agree(ventricle):
    """Along one direction of all parameters, by which the volume moves far from 0."""

    def along(t):
        return outputs(START * (1 + t * jnp.linspace(1.0, 2.0, len(START))), ventricle[0])

    _, forward = jax.jvp(along, (0.0,), (1.0,))
    _, pull = jax.vjp(along, 0.0)
    weights = jnp.array([1.0, -2.0, 30.0, 0.5])
    np.testing.assert_allclose(pull(weights)[0], forward @ weights, rtol=1e-10)
    difference = (along(1e-4) - along(-1e-4)) / 2e-4
    np.testing.assert_allclose(difference, forward, rtol=1e-5)


@pytest.mark.slow
def test_three_ways_to_the_derivatives_by_each_parameter_agree(ventricle):
    def of(theta):
        return outputs(theta, ventricle[0])

    forward = jax.jacfwd(of)(START)
    reverse = jax.jacrev(of)(START)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-11)
    for i, value in enumerate(START):
        h = 1e-4 * float(value)
        step = jnp.zeros_like(START).at[i].set(h)
        difference = (of(START + step) - of(START - step)) / (2 * h)
        np.testing.assert_allclose(difference, forward[:, i], rtol=2e-5, err_msg=str(i))


@pytest.mark.slow
def test_derivatives_undo_those_of_the_equilibrium(ventricle):
    """A pressure that is raised at a fixed shape at rest moves the loaded one; that move undone."""
    wall, state, _ = ventricle
    u = jax.jvp(lambda p: deform(wall, Load(p, 5.0)).state.displacement, (1.0,), (1.0,))[1]

    def rest(p, moved):
        image = carried(wall, state.displacement + moved)
        return unload(image, Load(p, 5.0)).state.wall.elements.points

    still = jax.jvp(rest, (1.0, jnp.zeros_like(u)), (1.0, u))[1]
    assert float(jnp.abs(u).max()) > 0.1
    np.testing.assert_allclose(still, 0.0, atol=1e-7)


@pytest.mark.slow
def test_derivatives_inside_of_a_compiled_program(ventricle):
    def volume(theta):
        return outputs(theta, ventricle[0])[0]

    eager = jax.grad(volume)(START)
    value, compiled = jax.jit(jax.value_and_grad(volume))(START)
    np.testing.assert_allclose(value, volume(START), rtol=1e-9)
    np.testing.assert_allclose(compiled, eager, rtol=1e-7)


def test_a_load_that_no_shape_at_rest_bears_is_told(ventricle):
    image, most = ventricle[0], 3e4
    done = unload(image, Load(most), first_step=1e-4, least_step=1e-3, throw=False)
    assert int(done.result) == RESULTS.no_rest
    share = float(done.stats["load"])
    assert 0 < share < 1
    # What is returned is the shape at rest for the share that could be taken off: under it, it is
    # in balance in the loaded shape.
    rest, at = done.state.wall, done.state.deformation
    apart = rest.elements.points + at.displacement - image.elements.points
    assert float(jnp.abs(apart).max()) < 1e-12
    forces = [
        eqx.filter_jit(residual)(rest, Cells(rest), Load(p).on(rest), at).displacement
        for p in (most * share, 0.0)
    ]
    left, greatest = (float(jnp.abs(force).max()) for force in forces)
    assert left < 1e-6 * greatest
    with pytest.raises(RuntimeError, match="the wall found no shape at rest: stats\\['load'\\] is"):
        _finish(done, throw=True)


def test_what_cannot_be_unloaded_is_refused(ventricle):
    image = ventricle[0]
    motion = Motion(jnp.array(1.0), jnp.zeros_like(image.elements.points), jnp.array(1.0))
    with pytest.raises(ValueError, match="a wall in motion is not unloaded: give the load without"):
        unload(image, Load(motion=motion))
    loose = eqx.tree_at(lambda w: [s.stiffness for s in w.springs], image, [jnp.zeros(())] * 2)
    with pytest.raises(ValueError, match="nothing holds the wall in its place"):
        unload(loose, LOAD)
    with pytest.raises(ValueError, match=r"pressure has shape \(2,\), which does not fit \(1,\)"):
        unload(image, Load([1.0, 2.0]))
