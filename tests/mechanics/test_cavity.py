"""Volumes of cavities, and cavities that are none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import small_ventricle, somewhere
from twinjax.geometry import Mesh, Surface, boundary, replace, slab
from twinjax.mechanics import Ellipsoid, Guccione, Quadratic, Wall
from twinjax.mechanics._balance import _push


def hollow(open_sides=()):
    """A box of 3 x 3 x 3 cells without the one in its middle; the hole is tagged 9."""
    mesh = slab((3.0, 3.0, 3.0), 1.0, cells="hexahedra")
    middle = np.linalg.norm(mesh.centres() - 1.5, axis=1)
    keep = middle > 0.1
    for side in open_sides:
        keep &= np.linalg.norm(mesh.centres() - side, axis=1) > 0.1
    left = Mesh(mesh.points, mesh.cells[keep])
    facets, _ = boundary(left)
    centre = mesh.points[facets].mean(axis=1)
    inside = np.abs(centre - 1.5).max(axis=1) < 0.6
    return replace(left, facets=facets[inside], facet_tags=np.full(inside.sum(), 9))


def test_the_volume_of_a_closed_cavity():
    elements = Quadratic(hollow())
    wall = Wall(elements, Guccione(), cavities=(9,))
    assert len(wall.mouths[0]) == 0
    u = 0.1 * elements.points  # ten per cent longer in every direction
    assert float(wall.volumes(0 * u)[0]) == pytest.approx(1.0, rel=1e-13)
    assert float(wall.volumes(u)[0]) == pytest.approx(1.1**3, rel=1e-13)


def test_the_volume_of_a_truncated_ellipsoid():
    shape = Ellipsoid()
    elements = shape.hexahedra(4, 8, 1)
    wall = Wall(elements, Guccione(), cavities=(Surface.LV_ENDO,))
    (r, l), z = shape.endo, shape.base
    exact = np.pi * r**2 * ((z + l) - (z**3 + l**3) / (3 * l**2))
    assert exact == pytest.approx(2492.127, abs=1e-3)  # Land et al. 2015, problem 2
    assert float(wall.volumes(jnp.zeros_like(elements.points))[0]) == pytest.approx(exact, rel=1e-4)


def test_the_slope_of_a_volume_is_the_push_of_a_unit_pressure():
    """With the rim held, the work of a pressure is p dV."""
    wall = small_ventricle(springs=False)
    u = somewhere(wall).displacement
    u = jnp.where(wall.fixed, 0.0, u)
    slope = jax.jit(jax.grad(lambda u: wall.volumes(u)[0]))(u)
    facets = wall.cavities[0]
    push = jnp.zeros_like(u).at[facets].add(_push((wall.elements.points + u)[facets]))
    free = ~wall.fixed
    np.testing.assert_allclose(jnp.where(free, slope, 0), jnp.where(free, -push, 0), atol=1e-12)


def test_a_cavity_with_one_mouth_is_closed_by_a_cone():
    elements = Quadratic(hollow(open_sides=([0.5, 1.5, 1.5],)))
    wall = Wall(elements, Guccione(), cavities=(9,))
    assert len(wall.mouths[0]) == 4
    volume = wall.volumes(jnp.zeros_like(elements.points))
    assert float(volume[0]) == pytest.approx(1.0, rel=1e-13)


def test_a_leaking_cavity_is_refused():
    elements = Quadratic(hollow(open_sides=([0.5, 1.5, 1.5], [2.5, 1.5, 1.5])))
    with pytest.raises(ValueError, match="a cavity leaks: its surface has more than one mouth"):
        Wall(elements, Guccione(), cavities=(9,))


def test_a_branching_surface_is_refused():
    mesh = slab((2.0, 2.0, 1.0), 1.0, cells="hexahedra")
    two = Mesh(mesh.points, mesh.cells[[0, 3]])  # two boxes that share an edge only
    facets, _ = boundary(two)
    elements = Quadratic(replace(two, facets=facets, facet_tags=np.full(len(facets), 9)))
    with pytest.raises(ValueError, match="the surface of a cavity branches: three of its facets"):
        Wall(elements, Guccione(), cavities=(9,))
