"""Trilinear hexahedra: exact where they must be, of order 2 elsewhere; solves inside of loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.fem import P1, Q1, solve_dirichlet, solve_symmetric
from twinjax.geometry import slab


def _bent(points):
    x, y, z = points.T
    return np.stack([x + 0.1 * np.sin(y + z), y + 0.1 * np.sin(x), z + 0.05 * x * y], axis=1)


@pytest.fixture(scope="module")
def block():
    mesh = slab((3.0, 2.0, 2.0), 0.5, cells="hexahedra")
    return mesh, Q1(_bent(mesh.points), mesh.cells)


def test_linear_fields_are_exact(block):
    mesh, q1 = block
    slope = jnp.array([0.3, -1.2, 0.7])
    field = q1.points @ slope + 4.0
    gradients = jnp.einsum("cqax,ca->cqx", q1.geometry()[0], field[q1.cells])
    np.testing.assert_allclose(gradients, np.broadcast_to(slope, gradients.shape), rtol=1e-10)
    tensor = jnp.array([[2.0, 0.5, 0.0], [0.5, 1.0, 0.2], [0.0, 0.2, 3.0]])
    tensors = jnp.broadcast_to(tensor, (len(q1.cells), 3, 3))
    stiffness = q1.stiffness(tensors)
    energy = float(field @ stiffness.apply(field))
    volume = float(jnp.sum(q1.volumes()))
    assert energy == pytest.approx(volume * float(slope @ tensor @ slope), rel=1e-10)
    fixed = np.zeros(len(field), bool)
    fixed[mesh.nodes(1, 2, 3, 4, 5, 6)] = True
    np.testing.assert_allclose(solve_dirichlet(stiffness, fixed, field), field, atol=1e-8)
    doubled = q1.stiffness(jnp.full(len(q1.cells), 2.0))
    np.testing.assert_allclose(doubled.values, 2 * q1.stiffness().values, rtol=1e-12)


def test_masses_of_a_box_and_of_a_bent_block(block):
    _, q1 = block
    box = slab((1.0, 1.0, 1.0), 1.0, cells="hexahedra")
    one = Q1(2 * box.points, box.cells)
    # Products of those of an interval of length 2: 2/3 on the diagonal, 1/3 beside it.
    line = np.array([[2.0, 1.0], [1.0, 2.0]]) / 3
    near = np.abs(box.points[:, None] - box.points[None]).astype(int)
    exact = np.prod(line[0][near], axis=2)
    np.testing.assert_allclose(one.mass().to_scipy().toarray(), exact, rtol=1e-12)
    np.testing.assert_allclose(one.lumped_mass(), np.ones(8), rtol=1e-12)
    mass = q1.mass()
    np.testing.assert_allclose(mass.apply(jnp.ones(len(q1.points))), q1.lumped_mass(), rtol=1e-12)
    # The map by trilinear shapes has a polynomial determinant that the points integrate exactly.
    means = q1.to_nodes(jnp.full(len(q1.cells), 3.0))
    np.testing.assert_allclose(means, 3.0, rtol=1e-12)


def test_solutions_converge_with_order_two():
    """-div(D ∇u) = f with D = diag(1, 2, 3) and u = sin 2x cos y eᶻ, so f = 3 u; bent cells."""
    tensor = jnp.diag(jnp.array([1.0, 2.0, 3.0]))
    errors = []
    for spacing in (1 / 4, 1 / 8, 1 / 16):
        mesh = slab((1.0, 1.0, 1.0), spacing, cells="hexahedra")
        q1 = Q1(_bent(mesh.points), mesh.cells)
        x, y, z = np.asarray(q1.points).T
        values = np.sin(2 * x) * np.cos(y) * np.exp(z)
        fixed = np.zeros(len(values), bool)
        fixed[mesh.nodes(1, 2, 3, 4, 5, 6)] = True
        stiffness = q1.stiffness(jnp.broadcast_to(tensor, (len(mesh.cells), 3, 3)))
        load = q1.mass().apply(3 * jnp.asarray(values))
        found = solve_dirichlet(stiffness, fixed, values, load)
        errors.append(float(jnp.max(jnp.abs(found - values))))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 1.8).all(), (errors, orders)


def test_solves_inside_of_loops_three_ways(block):
    _, q1 = block
    mass, stiffness = q1.mass(), q1.stiffness()
    right = jnp.sin(3 * q1.points[:, 0])

    @jax.jit
    def solved(theta):
        rows = mass.plus(stiffness, theta[0])
        x = solve_symmetric(rows.apply, theta[1] * right, rows.diagonal())
        return jnp.sum(x * q1.points[:, 1] ** 2), x

    theta = jnp.array([0.3, 1.5])
    _, x = solved(theta)
    whole = mass.plus(stiffness, 0.3).to_scipy().toarray()
    np.testing.assert_allclose(whole @ np.asarray(x), 1.5 * np.asarray(right), atol=1e-9)
    size = 1e-5
    finite = [(solved(theta + s)[0] - solved(theta - s)[0]) / (2 * size) for s in size * jnp.eye(2)]
    np.testing.assert_allclose(jax.jacfwd(lambda t: solved(t)[0])(theta), finite, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda t: solved(t)[0])(theta), finite, rtol=1e-6)


def test_a_solve_that_fails_is_not_a_number(block):
    _, q1 = block
    rows = q1.mass().plus(q1.stiffness(), 10.0)
    right = jnp.sin(3 * q1.points[:, 0])
    short = solve_symmetric(rows.apply, right, rows.diagonal(), max_steps=2)
    assert np.isnan(np.asarray(short)).all()
    zero = solve_symmetric(rows.apply, 0 * right, rows.diagonal())
    np.testing.assert_array_equal(zero, 0.0)


def test_mistakes_are_named(block):
    mesh, _ = block
    tets = slab((2.0, 2.0, 2.0), 1.0)
    with pytest.raises(ValueError, match="Q1 needs hexahedra"):
        Q1(tets.points, tets.cells)
    with pytest.raises(ValueError, match="P1 needs tetrahedra"):
        P1(mesh.points, mesh.cells)
    cells = mesh.cells.copy()
    cells[0] = cells[0][[4, 5, 6, 7, 0, 1, 2, 3]]
    with pytest.raises(ValueError, match="1 cells are inverted"):
        Q1(mesh.points, cells)
