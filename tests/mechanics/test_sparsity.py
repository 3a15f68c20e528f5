"""The sparse matrix on the host: order of elimination, solves, what is kept."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse.linalg import spsolve

from twinjax.geometry import slab
from twinjax.mechanics import Quadratic, _fronts, _sparsity
from twinjax.mechanics._dissection import nested_dissection
from twinjax.mechanics._sparsity import Sparsity, krylov


@pytest.fixture(scope="module", params=["general", "symmetric"])
def case(request):
    elements = Quadratic(slab((2.0, 1.0, 1.0), 0.5))
    held = np.zeros((len(elements.points), 3), bool)
    held[elements.mask(1)] = True
    held[5, 1] = True
    sparsity = Sparsity(np.asarray(elements.cells), held)
    rng = np.random.default_rng(0)
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    values = rng.standard_normal((sparsity.blocks, 3, 3))
    values[row == column] += 400 * np.eye(3)
    if request.param == "symmetric":
        values = symmetric(sparsity, values)
    dense = np.zeros((sparsity.count, 3, sparsity.count, 3))
    dense[row, :, column, :] = values
    return sparsity, held, values, dense.reshape(3 * sparsity.count, -1)


def symmetric(sparsity, values):
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    other = np.searchsorted(sparsity.pairs, column * sparsity.count + row)
    return (values + values[other].transpose(0, 2, 1)) / 2


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


@pytest.mark.parametrize("kind", ["general", "symmetric"])
@pytest.mark.parametrize("rows", [7, 256])
def test_many_parts_on_any_number_of_processors(kind, rows, monkeypatch):
    """Parts of parts, with rims longer than what a processor takes at a time."""
    elements = Quadratic(slab((3.0, 1.0, 1.0), 0.25))
    held = np.zeros((len(elements.points), 3), bool)
    held[elements.mask(1)] = True
    sparsity = Sparsity(np.asarray(elements.cells), held)
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    values = np.random.default_rng(0).standard_normal((sparsity.blocks, 3, 3))
    values[row == column] += 40 * np.eye(3)
    values = symmetric(sparsity, values) if kind == "symmetric" else values
    assert len(sparsity.fronts.fronts) > 30
    assert sparsity.fronts._symmetric(values) == (kind == "symmetric")
    right = np.where(held, 0.0, np.random.default_rng(1).standard_normal(held.shape))
    matrix, free = sparsity.matrix(values), ~held
    monkeypatch.setattr(_fronts, "_ROWS", rows)
    for transpose in (False, True):
        expected = np.zeros(held.shape)
        expected[free] = spsolve(matrix.T.tocsc() if transpose else matrix, right[free])
        answers = []
        for processors in (1, 3):
            monkeypatch.setattr(_fronts, "_processors", lambda count=processors: count)
            factors = sparsity.fronts.factorise(values)
            answers.append(factors.solve(right.reshape(-1, 1), transpose=transpose))
        np.testing.assert_array_equal(*answers)
        found = np.where(free, answers[0].reshape(held.shape), 0.0)
        np.testing.assert_allclose(found, expected, atol=1e-11)


def test_single_precision_solves_roughly(case):
    sparsity, held, values, _ = case
    rough = sparsity.fronts.factorise(values, np.float32)
    right = np.where(held, 0.0, np.random.default_rng(2).standard_normal(held.shape))
    exact = sparsity.solve_here(jnp.asarray(values), jnp.asarray(right))
    found = rough.solve(right.reshape(-1, 1)).reshape(right.shape)
    apart = np.abs(found - exact).max() / np.abs(exact).max()
    assert 1e-12 < apart < 1e-5


def test_rough_factors_serve_neighbouring_matrices(case, monkeypatch):
    monkeypatch.setattr(_sparsity, "_LARGE", 0)
    sparsity, held, values, _ = case
    right = jnp.ones(held.shape)
    rng = np.random.default_rng(3)
    near = values + 4.0 * rng.standard_normal(values.shape)
    far = values + 400.0 * rng.standard_normal(values.shape)
    made = []
    for matrix in (values, near, far):
        found = sparsity.solve_here(jnp.asarray(matrix), right, rtol=1e-3)
        made.append(sparsity._rough)
        exact = sparsity.solve_here(jnp.asarray(matrix), right)
        assert jnp.linalg.norm(found - exact) < 2e-3 * jnp.linalg.norm(exact)
        assert (np.asarray(found)[held] == 0).all()
    assert made[0] is made[1]
    assert made[1] is not made[2]


def test_rough_factors_are_made_anew_when_they_have_cost_enough(case, monkeypatch):
    monkeypatch.setattr(_sparsity, "_LARGE", 0)
    sparsity, held, values, _ = case
    right = np.random.default_rng(5).standard_normal((40, *held.shape))
    made = []
    for side in right:
        sparsity.solve_here(jnp.asarray(values), jnp.asarray(side), rtol=1e-3)
        made.append(sparsity._rough)
    again = [k for k in range(1, 40) if made[k] is not made[k - 1]]
    assert again
    assert again[0] > _sparsity._WORTH / 4  # a solve takes a product or two here


def test_a_further_side_that_comes_again_costs_nothing(case, monkeypatch):
    monkeypatch.setattr(_sparsity, "_LARGE", 0)
    sparsity, held, values, _ = case
    matrix = jnp.asarray(values)
    one, two, three = np.random.default_rng(6).standard_normal((3, *held.shape))
    first = sparsity.solve_here(matrix, jnp.asarray([one, three]), rtol=1e-3)
    spent = sparsity._spent
    second = sparsity.solve_here(matrix, jnp.asarray([two, three]), rtol=1e-3)
    both = sparsity._spent - spent
    sparsity.solve_here(matrix, jnp.asarray(two), rtol=1e-3)
    assert sparsity._spent - spent == 2 * both
    np.testing.assert_array_equal(first[1], second[1])
    exact = sparsity.solve_here(matrix, jnp.asarray([two, three]))
    assert jnp.linalg.norm(second - exact) < 2e-3 * jnp.linalg.norm(exact)


def test_what_single_precision_cannot_solve_is_solved_in_double(monkeypatch):
    monkeypatch.setattr(_sparsity, "_LARGE", 0)
    elements = Quadratic(slab((1.0, 1.0, 1.0), 0.5))
    sparsity = Sparsity(np.asarray(elements.cells), np.zeros((len(elements.points), 3), bool))
    # Every cell is stiff against one motion of its nodes, and soft against all others.
    rng = np.random.default_rng(4)
    stiff = rng.standard_normal((len(elements.cells), 10, 3))
    values = np.zeros((sparsity.blocks, 3, 3))
    np.add.at(values, sparsity.slots, 1e8 * np.einsum("cai,cbk->cabik", stiff, stiff))
    row, column = np.divmod(sparsity.pairs, sparsity.count)
    values[row == column] += np.eye(3)
    right = rng.standard_normal((sparsity.count, 3))
    found = sparsity.solve_here(jnp.asarray(values), jnp.asarray(right), rtol=1e-9)
    exact = np.linalg.solve(sparsity.matrix(values).toarray(), right.ravel())
    np.testing.assert_allclose(found.ravel(), exact, atol=1e-5 * np.abs(exact).max())
    assert sparsity._too_rough == {np.float32}
    assert sparsity._rough.kind is np.float64


def test_krylov_spaces_solve_or_say_that_they_do_not():
    rng = np.random.default_rng(5)
    matrix = np.eye(6) + 0.3 * rng.standard_normal((6, 6))
    right = rng.standard_normal(6)
    found = krylov(lambda v: matrix @ v, right, 1e-10)
    np.testing.assert_allclose(matrix @ found, right, atol=1e-9)
    assert krylov(lambda v: matrix @ v, right, 1e-10, most=3) is None
    assert not krylov(lambda v: matrix @ v, np.zeros(6), 1e-10).any()


def grid_graph(*size):
    number = np.arange(np.prod(size)).reshape(size)
    ends = [
        (np.delete(number, -1, axis).ravel(), np.delete(number, 0, axis).ravel())
        for axis in range(len(size))
    ]
    i = np.concatenate([a for a, _ in ends] + [[number.size]])  # and one apart from all others
    k = np.concatenate([b for _, b in ends] + [[number.size]])
    graph = csr_array((np.ones(len(i)), (i, k)), shape=(number.size + 1, number.size + 1))
    return csr_array(graph + graph.T)


def test_nested_dissection_orders_every_node_once_and_knows_what_comes_later():
    graph = grid_graph(3, 4, 5)
    parts = nested_dissection(graph, leaf=4)
    order = np.concatenate([part.nodes for part in parts])
    assert sorted(order) == list(range(61))
    # The rim of a part by elimination: what its nodes and those below it still touch.
    dense = graph.toarray() > 0
    reach = []
    for number, part in enumerate(parts):
        assert all(b < number for b in part.below)
        whole = np.concatenate([part.nodes, *(reach[b] for b in part.below)])
        reach.append(whole)
        touched = set(np.flatnonzero(dense[whole].any(axis=0))) - set(whole)
        assert set(part.rim) == touched


def test_separators_are_the_smallest():
    """A bar of 5 x 5 x 40 nodes is halved by a layer of 25."""
    parts = nested_dissection(grid_graph(5, 5, 40), leaf=60)
    # The last part joins the bar and the node apart; the top of the bar is before it.
    top = max(parts, key=lambda part: len(part.below) and not len(part.rim) and len(part.nodes))
    assert len(top.nodes) == 25


def test_nested_dissection_fills_less_than_the_order_of_the_grid():
    parts = nested_dissection(grid_graph(16, 16, 16))
    ours = sum(len(p.nodes) ** 2 / 2 + len(p.nodes) * len(p.rim) for p in parts)
    band = 16 * 16 * 16**3  # each node with a layer behind it
    assert ours < 0.5 * band
