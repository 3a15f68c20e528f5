"""Axes of the tissue at points of quadrature."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.mechanics._walls import KINDS
from twinjax.geometry import slab
from twinjax.mechanics import Quadratic, at_points


def turned(points):
    """Frames that turn about z along x."""
    angle = np.asarray(points)[:, 0]
    c, s, o = np.cos(angle), np.sin(angle), np.zeros(len(angle))
    rows = [[c, -s, o], [s, c, o], [o, o, o + 1]]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


@pytest.mark.parametrize("kind", KINDS)
def test_axes_follow_a_smooth_field_whatever_their_signs(kind):
    mesh = slab((1.0, 0.25, 0.25), 0.25, cells=kind)
    elements = Quadratic(mesh)
    nodal = turned(mesh.points)
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (len(nodal), 1, 3))
    found = np.asarray(at_points(elements, jnp.asarray(nodal * signs)))
    at = np.asarray(elements.at_quadrature(elements.points))
    wanted = turned(at.reshape(-1, 3)).reshape(*at.shape, 3)
    cosines = np.abs(np.einsum("cqia,cqia->cqa", found, wanted))
    # Along a chord of 0.25 rad the direction errs by less than 0.001 rad.
    assert cosines.min() > 1 - 1e-6
    product = np.einsum("cqia,cqib->cqab", found, found)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-12)
    assert np.linalg.det(found).min() > 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_linear_fields_are_exact(kind):
    elements = Quadratic(slab((1.0, 1.0, 1.0), 0.5, cells=kind))
    corners = 4 if kind == "tetrahedra" else 8
    linear = elements.points[elements.cells[:, :corners]]
    found = jnp.einsum("qk,cki->cqi", elements.linear_values(), linear)
    np.testing.assert_allclose(found, elements.at_quadrature(elements.points), atol=1e-14)
