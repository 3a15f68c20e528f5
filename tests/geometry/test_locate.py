"""Points are found in tetrahedra, and linear fields are exact there."""

import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.geometry import left_ventricle, locate, slab


def test_linear_fields_are_exact_at_points_within():
    mesh = left_ventricle(10.0)
    rng = np.random.default_rng(0)
    corners = np.asarray(mesh.points)[mesh.cells]
    weights = rng.dirichlet(np.ones(4), len(corners))
    points = np.einsum("ca,cai->ci", weights, corners)
    found = locate(mesh, points)
    np.testing.assert_array_equal(found.cells, np.arange(len(corners)))
    np.testing.assert_allclose(found.weights, weights, atol=1e-9)
    field = np.asarray(mesh.points) @ np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.2]])
    expected = points @ np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.2]])
    np.testing.assert_allclose(found(jnp.asarray(field)), expected, atol=1e-9)
    assert found.distances.max() < 1e-9


def test_nodes_and_points_of_faces_are_within():
    mesh = slab((4.0, 4.0, 4.0), 1.0)
    nodes = locate(mesh, np.asarray(mesh.points))
    assert np.all(nodes.cells >= 0)
    np.testing.assert_allclose(nodes(jnp.asarray(mesh.points)), mesh.points, atol=1e-12)
    faces = locate(mesh, np.array([[2.0, 0.0, 1.3], [4.0, 4.0, 0.5]]))
    assert np.all(faces.cells >= 0)


def test_points_outside_take_the_nearest_values_found():
    mesh = slab((4.0, 4.0, 4.0), 1.0)
    found = locate(mesh, np.array([[2.2, 1.9, 5.0], [1.5, 1.5, 1.5], [-2.0, 1.2, 2.3]]))
    assert found.cells.tolist()[0] == found.cells.tolist()[2] == -1
    assert found.cells[1] >= 0
    assert 1.0 <= found.distances[0] < 1.5
    assert 2.0 <= found.distances[2] < 3.0
    seen = found(jnp.asarray(mesh.points)[:, 2])
    assert float(seen[0]) == pytest.approx(4.0)


def test_hexahedra_are_refused():
    mesh = slab((2.0, 2.0, 2.0), 1.0, cells="hexahedra")
    with pytest.raises(ValueError, match="located in tetrahedra"):
        locate(mesh, np.zeros((1, 3)))
