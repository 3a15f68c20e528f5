"""The sparse matrix on the host: order of elimination, solves, what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array

from twinjax.geometry import slab
from twinjax.mechanics import Quadratic
from twinjax.mechanics._sparsity import Sparsity, nested_dissection


@pytest.fixture(scope="module")
def case():
    elements = Quadratic(slab((2.0, 1.0, 1.0), 0.5))
    held = np.zeros((len(elements.points), 3), bool)
    held[elements.mask(1)] = True
    held[5, 1] = True
    sparsity = Sparsity(np.asarray(elements.cells), held)
    rng = np.random.default_rng(0)
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    values = rng.standard_normal((sparsity.blocks, 3, 3))
    values[row == column] += 400 * np.eye(3)
    dense = np.zeros((sparsity.count, 3, sparsity.count, 3))
    dense[row, :, column, :] = values
    return sparsity, held, values, dense.reshape(3 * sparsity.count, -1)


@pytest.mark.parametrize("transpose", [False, True])
def test_solves_as_a_dense_matrix(case, transpose):
    sparsity, held, values, dense = case
    right = np.random.default_rng(1).standard_normal(held.shape)
    free = ~held.ravel()
    inner = dense[np.ix_(free, free)]
    expected = np.zeros(held.size)
    expected[free] = np.linalg.solve(inner.T if transpose else inner, right.ravel()[free])
    found = jax.jit(lambda v, r: sparsity.solve(v, r, transpose=transpose))(values, right)
    np.testing.assert_allclose(found, expected.reshape(held.shape), atol=1e-12)


def test_many_right_sides_and_many_matrices(case):
    sparsity, held, values, _ = case
    rights = np.random.default_rng(1).standard_normal((3, *held.shape))
    each = np.stack([sparsity.solve(jnp.asarray(values), jnp.asarray(r)) for r in rights])
    at_once = jax.vmap(lambda r: sparsity.solve(jnp.asarray(values), r))(rights)
    np.testing.assert_allclose(at_once, each, atol=1e-14)
    scaled = jax.vmap(sparsity.solve)(jnp.stack([values, 2 * values, 4 * values]), rights)
    np.testing.assert_allclose(scaled[1] * 2, each[1], atol=1e-14)
    np.testing.assert_allclose(scaled[2] * 4, each[2], atol=1e-14)


def test_a_singular_matrix_gives_nan(case):
    sparsity, held, values, _ = case
    found = sparsity.solve(jnp.zeros_like(values), jnp.ones(held.shape))
    assert np.isnan(found[~held]).all()


def test_the_last_factors_are_kept(case):
    sparsity, held, values, _ = case
    right = jnp.ones(held.shape)
    sparsity.solve(jnp.asarray(values), right)
    kept = sparsity._held[0][1]
    sparsity.solve(jnp.asarray(values), 2 * right, transpose=True)
    assert sparsity._held[0][1] is kept
    sparsity.solve(jnp.asarray(2 * values), right)
    assert sparsity._held[0][1] is not kept


def test_nested_dissection_orders_every_node_once():
    number = np.arange(60).reshape(3, 4, 5)
    ends = [(number[:-1], number[1:]), (number[:, :-1], number[:, 1:])]
    ends.append((number[..., :-1], number[..., 1:]))
    i = np.concatenate([a.ravel() for a, _ in ends] + [[60]])  # and one apart from all others
    k = np.concatenate([b.ravel() for _, b in ends] + [[60]])
    graph = csr_array((np.ones(len(i)), (i, k)), shape=(61, 61))
    order = nested_dissection(csr_array(graph + graph.T), leaf=4)
    assert sorted(order) == list(range(61))


def test_nested_dissection_fills_less_than_the_order_of_the_grid():
    elements = Quadratic(slab((1.0, 1.0, 1.0), 0.25))
    held = np.zeros((len(elements.points), 3), bool)
    held[elements.mask(1)] = True
    sparsity = Sparsity(np.asarray(elements.cells), held)
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    values = -np.ones((sparsity.blocks, 3, 3))
    values[row == column] += 1e4 * np.eye(3)
    from scipy.sparse.linalg import splu

    matrix = sparsity.matrix(values)
    ours = splu(matrix, permc_spec="NATURAL", options={"SymmetricMode": True}).L.nnz
    own = sparsity.number.ravel()[sparsity.number.ravel() >= 0]
    plain = splu(matrix[own][:, own].tocsc(), permc_spec="NATURAL").L.nnz
    assert ours < 0.7 * plain
