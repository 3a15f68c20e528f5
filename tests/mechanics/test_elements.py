"""Elements of second order: rules, shapes, facets, curved walls."""

import itertools
from math import factorial

import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import KINDS, bent_box
from twinjax.geometry import Mesh, Surface, locate, replace, slab
from twinjax.mechanics import Ellipsoid, Quadratic
from twinjax.mechanics._reference import reference


@pytest.mark.parametrize(("kind", "degree"), [(10, 2), (10, 5), (6, 4), (27, 3), (27, 5), (9, 5)])
def test_rules_integrate_polynomials_of_their_degree(kind, degree):
    ref = reference(kind, degree)
    axes = ref.places.shape[1]
    for powers in itertools.product(range(degree + 1), repeat=axes):
        found = np.sum(ref.weights * np.prod(ref.places**powers, axis=1))
        if kind in (6, 10):
            if sum(powers) > degree:
                continue
            exact = np.prod([factorial(p) for p in powers]) / factorial(sum(powers) + axes)
        else:
            exact = np.prod([(1 + (-1) ** p) / (p + 1) for p in powers])
        assert found == pytest.approx(exact, abs=1e-14), powers


def test_the_rule_of_degree_5_is_not_exact_beyond():
    ref = reference(10, 5)
    found = np.sum(ref.weights * ref.places[:, 0] ** 6)
    assert abs(found - factorial(6) / factorial(9)) > 1e-6


@pytest.mark.parametrize(("kind", "degree"), [(10, 3), (27, 4), (6, 2)])
def test_an_unknown_degree_is_refused(kind, degree):
    with pytest.raises(ValueError, match=f"no rule of degree {degree} on .*; valid: "):
        reference(kind, degree)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match=r"no element of second order has 8 nodes; valid: 6, 9"):
        reference(8, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_quadratic_fields_are_exact(kind):
    elements = (
        bent_box(kind)
        if kind == "tetrahedra"
        else Quadratic(slab((1.0, 1.0, 1.0), 0.5, cells=kind))
    )
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((3, 3)), rng.standard_normal(3)

    def field(x):
        return jnp.einsum("...i,ij,...j->...", x, a, x) + x @ b

    def slope(x):
        return jnp.einsum("ij,...j->...i", jnp.asarray(a + a.T), x) + b.reshape(
            *[1] * (x.ndim - 1), 3
        )

    at = elements.at_quadrature(elements.points)
    values = field(elements.points)
    np.testing.assert_allclose(elements.at_quadrature(values), field(at), atol=1e-13)
    gradients, _ = elements.geometry()
    found = jnp.einsum("cqai,ca->cqi", gradients, values[elements.cells])
    np.testing.assert_allclose(found, slope(at), atol=1e-12)


def test_quadratic_fields_are_exact_at_places_of_a_mesh():
    mesh = slab((2.0, 1.0, 1.0), 0.5)
    elements = Quadratic(mesh)
    places = np.random.default_rng(1).uniform((0, 0, 0), (2, 1, 1), (20, 3))
    found = locate(mesh, places)

    def field(x):
        return jnp.stack([x[:, 0] * x[:, 1] - x[:, 2] ** 2, 1 + x[:, 2]], axis=1)

    values = elements.within(field(elements.points), found.cells, found.weights)
    np.testing.assert_allclose(values, field(jnp.asarray(places)), atol=1e-12)
    cubes = Quadratic(slab((1.0, 1.0, 1.0), 0.5, cells="hexahedra"))
    with pytest.raises(ValueError, match="name places in tetrahedra, not in hexahedra"):
        cubes.within(cubes.points, found.cells, found.weights)


@pytest.mark.parametrize("kind", KINDS)
def test_nodes_of_neighbours_are_shared(kind):
    elements = bent_box(kind)
    # The nodes of a grid of twice as many intervals, whatever the cells are.
    assert len(elements.points) == 5**3
    assert float(jnp.sum(elements.geometry()[1])) == pytest.approx(1.0, rel=1e-13)
    total = elements.load(jnp.ones(elements.geometry()[1].shape))
    assert float(jnp.sum(total)) == pytest.approx(1.0, rel=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_curved_cells_have_the_volume_of_the_ellipsoid(kind):
    shape = Ellipsoid()
    errors = []
    for fine in (1, 2):
        if kind == "hexahedra":
            elements = shape.hexahedra(2 * fine, 2 * fine, fine, apex=0.4)
        else:
            elements = shape.tetrahedra(8.0 / fine, layers=fine)
        errors.append(abs(float(jnp.sum(elements.geometry()[1])) / _volume(shape) - 1))
    # Straight cells would be 4 times better, curved ones 8 or 16 times.
    assert errors[1] < 3e-3
    assert errors[1] < errors[0] / 6


def _volume(shape):
    """Of the wall: the ellipsoids from the apex to the base."""

    def filled(r, l):
        z = shape.base
        return np.pi * r**2 * ((z + l) - (z**3 + l**3) / (3 * l**2))

    return filled(*shape.epi) - filled(*shape.endo)


def test_depth_is_that_of_the_layers():
    shape = Ellipsoid()
    elements = shape.hexahedra(2, 2, 2)
    depth = np.asarray(shape.depth(elements.points))
    assert np.abs(depth[elements.nodes(Surface.LV_ENDO)]).max() < 1e-12
    assert np.abs(depth[elements.nodes(Surface.EPI)] - 1).max() < 1e-12
    assert elements.points[elements.nodes(Surface.BASE), 2] == pytest.approx(shape.base)


def test_frames_turn_with_the_depth():
    shape = Ellipsoid()
    elements = shape.hexahedra(2, 2, 2)
    frames = shape.frames(elements, 90.0, -90.0)
    at = elements.at_quadrature(elements.points)
    depth = shape.depth(at)
    around = np.stack([-at[..., 1], at[..., 0], 0 * at[..., 0]], axis=-1)
    around = around / np.linalg.norm(around, axis=-1, keepdims=True)
    cosine = np.einsum("cqi,cqi->cq", frames[..., 0], around)
    np.testing.assert_allclose(cosine, np.cos(np.deg2rad(90 - 180 * depth)), atol=1e-12)
    # Near the endocardium fibres rise to the base, near the epicardium they fall.
    assert np.all((np.asarray(frames[..., 2, 0]) > 0) == (np.asarray(depth) < 0.5))


def test_facets_look_outwards_whatever_their_order():
    mesh = slab((1.0, 1.0, 1.0), 1.0)
    turned = replace(mesh, facets=mesh.facets[:, ::-1])
    one, two = Quadratic(mesh), Quadratic(turned)
    np.testing.assert_array_equal(one.facets, two.facets)


def test_inverted_cells_are_refused():
    mesh = slab((1.0, 1.0, 1.0), 1.0)
    with pytest.raises(ValueError, match="6 cells are inverted at a point of quadrature"):
        Quadratic(Mesh(mesh.points, mesh.cells[:, [0, 2, 1, 3]]))


def test_an_unknown_tag_is_refused():
    elements = Quadratic(slab((1.0, 1.0, 1.0), 1.0))
    with pytest.raises(ValueError, match="no facet has the tag 9; valid choices: 1, 2, 3, 4, 5, 6"):
        elements.mask(9)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Ellipsoid(endo=(12.0, 17.0)), "a wall needs 0 < endo < epi and a base within"),
        (lambda: Ellipsoid().hexahedra(0), "a ventricle needs 1 cell at least, not 0, 8 and 2"),
        (lambda: Ellipsoid().hexahedra(apex=1.0), "the apex takes a share between 0 and 1"),
    ],
)
def test_no_ellipsoid(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
