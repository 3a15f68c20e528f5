"""Linear tetrahedra: exact where they must be, of order 2 elsewhere, derivatives three ways."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.fem import P1, gradients, solve_dirichlet
from twinjax.geometry import left_ventricle, slab

# Four points in a tetrahedron, by which polynomials of degree 2 are integrated exactly.
_NEAR, _FAR = (5 + 3 * np.sqrt(5)) / 20, (5 - np.sqrt(5)) / 20
QUADRATURE = np.full((4, 4), _FAR) + (_NEAR - _FAR) * np.eye(4)


@pytest.fixture(scope="module")
def block():
    """A slab that is bent, so that no cell is like another."""
    mesh = slab((3.0, 2.0, 2.0), 0.5)
    x, y, z = mesh.points.T
    bent = np.stack([x + 0.1 * np.sin(y + z), y + 0.1 * np.sin(x), z + 0.05 * x * y], axis=1)
    return mesh, P1(bent, mesh.cells)


def test_gradients_and_volumes(block):
    _, p1 = block
    slope = jnp.array([0.3, -1.2, 0.7])
    field = p1.points @ slope + 4.0
    np.testing.assert_allclose(p1.gradient(field), np.broadcast_to(slope, (len(p1.cells), 3)))
    _, volume = gradients(p1.points[p1.cells])
    a, b, c, d = np.moveaxis(np.asarray(p1.points)[np.asarray(p1.cells)], 1, 0)
    exact = np.linalg.det(np.stack([b - a, c - a, d - a], axis=1)) / 6
    np.testing.assert_allclose(volume, exact, rtol=1e-12)


def test_operators_against_quadrature_and_known_sums(block):
    _, p1 = block
    volume = float(jnp.sum(p1.geometry()[1]))
    u, v = jnp.sin(p1.points[:, 0]), p1.points[:, 1] * p1.points[:, 2]
    mass = p1.mass()
    assert float(u @ mass.apply(v)) == pytest.approx(_integral(p1, u, v), rel=1e-12)
    assert float(jnp.sum(mass.values)) == pytest.approx(volume, rel=1e-12)
    assert float(jnp.sum(p1.lumped_mass())) == pytest.approx(volume, rel=1e-12)
    rows = mass.apply(jnp.ones(len(u)))
    np.testing.assert_allclose(rows, p1.lumped_mass(), rtol=1e-12)
    tensor = jnp.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    tensors = jnp.broadcast_to(tensor, (len(p1.cells), 3, 3))
    energy = float(u @ p1.stiffness(tensors).apply(v))
    du, dv = p1.gradient(u), p1.gradient(v)
    exact = jnp.einsum("c,ci,ij,cj->", p1.geometry()[1], du, tensor, dv)
    assert energy == pytest.approx(float(exact), rel=1e-12)
    scaled = p1.stiffness(jnp.full(len(p1.cells), 2.5))
    np.testing.assert_allclose(scaled.values, 2.5 * p1.stiffness().values, rtol=1e-12)
    divergence = p1.divergence(du)
    np.testing.assert_allclose(divergence, p1.stiffness().apply(u), atol=1e-12)
    means = p1.to_nodes(jnp.broadcast_to(tensor[0], (len(p1.cells), 3)))
    np.testing.assert_allclose(means, np.broadcast_to(tensor[0], (len(u), 3)), rtol=1e-12)


def _integral(p1, u, v):
    at = QUADRATURE @ np.asarray(u)[np.asarray(p1.cells)][..., None]
    with_ = QUADRATURE @ np.asarray(v)[np.asarray(p1.cells)][..., None]
    return float(np.sum(np.asarray(p1.geometry()[1])[:, None, None] * at * with_) / 4)


def test_padded_rows_are_the_matrix(block):
    _, p1 = block
    rows = p1.stiffness().plus(p1.mass(), 0.3)
    matrix = rows.to_scipy()
    x = np.random.default_rng(0).normal(size=(len(p1.points), 2))
    np.testing.assert_allclose(rows.apply(jnp.asarray(x)), matrix @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rows.diagonal(), matrix.diagonal(), rtol=1e-12)
    np.testing.assert_allclose((matrix - matrix.T).toarray(), 0, atol=1e-12)


def test_linear_fields_are_exact(block):
    mesh, p1 = block
    exact = p1.points @ jnp.array([1.0, 2.0, -1.0])
    fixed = np.zeros(len(p1.points), bool)
    fixed[mesh.nodes(1, 2, 3, 4, 5, 6)] = True
    found = solve_dirichlet(p1.stiffness(), fixed, exact)
    np.testing.assert_allclose(found, exact, atol=1e-9)


def test_solutions_converge_with_order_two():
    """-div(D ∇u) = f with D = diag(1, 2, 3) and u = sin 2x cos y eᶻ, so f = (4 + 2 - 3) u."""
    tensor = jnp.diag(jnp.array([1.0, 2.0, 3.0]))

    def exact(points):
        x, y, z = np.moveaxis(points, -1, 0)
        return np.sin(2 * x) * np.cos(y) * np.exp(z)

    errors = []
    for spacing in (1 / 4, 1 / 8, 1 / 16):
        mesh = slab((1.0, 1.0, 1.0), spacing)
        p1 = P1(mesh.points, mesh.cells)
        values = exact(mesh.points)
        fixed = np.zeros(len(values), bool)
        fixed[mesh.nodes(1, 2, 3, 4, 5, 6)] = True
        stiffness = p1.stiffness(jnp.broadcast_to(tensor, (len(mesh.cells), 3, 3)))
        found = solve_dirichlet(stiffness, fixed, values, p1.mass().apply(3 * jnp.asarray(values)))
        places = QUADRATURE @ mesh.points[mesh.cells]
        there = np.einsum("qa,ca->cq", QUADRATURE, np.asarray(found)[mesh.cells])
        square = np.mean((there - exact(places)) ** 2, axis=1)
        errors.append(float(np.sqrt(np.sum(np.asarray(p1.geometry()[1]) * square))))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 1.9).all(), (errors, orders)
    assert (orders < 2.1).all(), (errors, orders)


def test_derivatives_of_a_solution_three_ways():
    """With respect to conductivity and to the shape of the domain."""
    mesh = left_ventricle(12.0)
    p1 = P1(mesh.points, mesh.cells)
    inside, outside = mesh.nodes(3), mesh.nodes(2)
    fixed = np.zeros(len(mesh.points), bool)
    fixed[inside] = fixed[outside] = True
    values = np.zeros(len(mesh.points))
    values[outside] = mesh.points[outside, 2]
    weights = jnp.asarray(np.random.default_rng(2).normal(size=len(mesh.points)))

    @jax.jit
    def loss(theta):
        points = p1.points * (1 + jnp.array([0.1, 0.0, 0.0]) * theta[0])[None, :]
        grade = jnp.exp(theta[1] * p1.points[p1.cells].mean(axis=1)[:, 2] / 50)
        return weights @ solve_dirichlet(p1.at(points).stiffness(grade), fixed, values)

    theta = jnp.array([0.3, 0.5])
    step = 1e-4
    shifts = step * jnp.eye(2)
    finite = [(loss(theta + s) - loss(theta - s)) / (2 * step) for s in shifts]
    np.testing.assert_allclose(jax.jacfwd(loss)(theta), finite, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(loss)(theta), finite, rtol=1e-5)


def test_mistakes_are_named(block):
    mesh, p1 = block
    hexes = slab((2.0, 2.0, 2.0), 1.0, cells="hexahedra")
    with pytest.raises(ValueError, match="P1 needs tetrahedra"):
        P1(hexes.points, hexes.cells)
    cells = mesh.cells.copy()
    cells[0] = cells[0][[1, 0, 2, 3]]
    with pytest.raises(ValueError, match="1 cells have no positive volume"):
        P1(mesh.points, cells)
    stiffness, values = p1.stiffness(), np.asarray(p1.points[:, 1])
    fixed = np.zeros(len(p1.points), bool)
    fixed[mesh.nodes(1)] = True
    with pytest.raises(eqx.EquinoxRuntimeError, match="did not reach rtol"):
        solve_dirichlet(stiffness, fixed, values, max_steps=2)
