"""Activation times: exact where they must be, first order elsewhere, derivatives three ways."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.electro import Eikonal, RootNodes, RootPoints, activation_times
from twinjax.electro._front import _downstream
from twinjax.electro._local_update import from_triangle
from twinjax.geometry import Mesh, Surface, left_ventricle, replace, slab

VELOCITIES = {"velocity_fibre": 0.6, "velocity_sheet": 0.4, "velocity_normal": 0.2}
# A frame that is oblique to every axis.
FRAME = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
SLOWNESS = FRAME @ np.diag(1 / np.array([0.6, 0.4, 0.2]) ** 2) @ FRAME.T


def block(size, spacing, bend=0.0):
    mesh = slab(size, spacing)
    points = mesh.points + bend * np.sin(3 * mesh.points[:, [1, 2, 0]])
    frames = np.broadcast_to(FRAME, (len(mesh.cells), 3, 3))
    return replace(mesh, points=points, frames=frames)


def from_point(points, source):
    away = np.asarray(points) - source
    return np.sqrt(np.einsum("ni,ij,nj->n", away, SLOWNESS, away))


def test_a_plane_wave_is_exact():
    mesh = block((5.0, 4.0, 4.0), 1.0, bend=0.15)
    direction = np.array([1.0, 0.5, 0.3])
    exact = mesh.points @ direction / np.sqrt(direction @ np.linalg.solve(SLOWNESS, direction))
    roots = RootNodes(mesh.nodes(1, 3, 5), exact[mesh.nodes(1, 3, 5)])
    found = activation_times(Eikonal(mesh, **VELOCITIES), roots)
    np.testing.assert_allclose(found, exact, atol=1e-11)


def test_derivatives_three_ways():
    mesh = block((6.0, 5.0, 4.0), 1.0, bend=0.15)
    tissue = Eikonal(mesh)

    def chosen(t):
        return [t.velocity_fibre, t.velocity_sheet, t.velocity_normal]

    @jax.jit
    def seen(x):
        changed = eqx.tree_at(chosen, tissue, list(x[:3]))
        times = activation_times(changed, RootPoints(x[3:9].reshape(2, 3), x[9:]))
        return jnp.stack([times[-1], times[5], 1e-3 * jnp.sum(times**2)])

    x = jnp.array([0.6, 0.4, 0.2, 1.1, 1.3, 1.2, 4.1, 3.3, 2.2, 0.0, 3.0])
    forward, reverse = jax.jacfwd(seen)(x), jax.jacrev(seen)(x)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-10)
    columns = [(seen(x + c) - seen(x - c)) / 2e-6 for c in 1e-6 * np.eye(len(x))]
    np.testing.assert_allclose(np.stack(columns, axis=1), forward, rtol=1e-6, atol=1e-7)
    assert (np.abs(forward[2]) > 0.1).all()


def test_the_local_update_is_the_least_over_the_face():
    """By the conditions of optimality, which suffice as the problem is convex.

    With μ the arrival and g = t + G λ / s the slopes by λ: g = μ where λ > 0, and g >= μ.
    """
    random = np.random.default_rng(1)
    corners = random.normal(size=(4, 3, 500))

    def square(i, j):
        return jnp.asarray(np.sum((corners[i] - corners[j]) ** 2, axis=0))

    own = tuple(square(i, 3) for i in range(3))
    across = (square(0, 1), square(0, 2), square(1, 2))
    edges = corners[:3] - corners[3]
    kinds = set()
    for scale in (0.3, 1.0, 3.0):
        times = random.uniform(0, scale, (3, 500))
        found, weights = map(np.asarray, from_triangle(tuple(map(jnp.asarray, times)), own, across))
        np.testing.assert_allclose(weights.sum(axis=0), 1.0)
        assert weights.min() >= 0
        front = np.einsum("im,idm->dm", weights, edges)
        length = np.linalg.norm(front, axis=0)
        np.testing.assert_allclose(np.sum(weights * times, axis=0) + length, found, rtol=1e-10)
        slopes = times + np.einsum("idm,dm->im", edges, front) / length
        assert (slopes >= found - 1e-9).all()
        np.testing.assert_allclose(np.where(weights > 0, slopes, found), found + 0 * slopes)
        kinds |= set((weights > 0).sum(axis=0))
    assert kinds == {1, 2, 3}  # corners, edges and the inside
    late = (jnp.asarray(times[0]), jnp.full(500, jnp.inf), jnp.full(500, jnp.inf))
    np.testing.assert_allclose(from_triangle(late, own, across)[0], late[0] + np.sqrt(own[0]))


def test_point_sources_converge_with_order_one():
    source = np.array([2.1, 1.9, 2.2])
    errors = []
    for spacing in (1.0, 0.5, 0.25):
        mesh = block((4.0, 4.0, 4.0), spacing)
        found = activation_times(Eikonal(mesh, **VELOCITIES), RootPoints([source], radius=1.2))
        errors.append(np.mean(np.abs(found - from_point(mesh.points, source))))
        assert np.all(found > from_point(mesh.points, source) - 1e-9)  # never too early
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert (orders > 0.8).all(), (errors, orders)


def test_a_guess_does_not_change_the_result():
    mesh = block((4.0, 4.0, 4.0), 1.0, bend=0.15)
    tissue, roots = Eikonal(mesh, **VELOCITIES), RootPoints([[1.1, 1.2, 1.4]])
    found = activation_times(tissue, roots)
    random = np.random.default_rng(2).uniform(0, 30, len(found))
    for guess in (found, 0.5 * found, random, np.zeros(len(found))):
        again = activation_times(tissue, roots, guess=jnp.asarray(guess))
        np.testing.assert_allclose(again, found, rtol=1e-12)


def test_layers_of_tissue_are_crossed_at_their_velocities():
    mesh = block((4.0, 2.0, 2.0), 1.0)
    slow = mesh.centres()[:, 0] > 2
    velocity = np.where(slow, 0.2, 0.8)
    same = dict.fromkeys(VELOCITIES, velocity)
    found = activation_times(Eikonal(mesh, **same), RootNodes(mesh.nodes(1)))
    x = mesh.points[:, 0]
    exact = np.minimum(x, 2) / 0.8 + np.maximum(x - 2, 0) / 0.2
    np.testing.assert_allclose(found, exact, atol=1e-12)


def test_a_fast_layer_leads_a_head_wave():
    """T = x / v_layer + y √(1/v² - 1/v_layer²): a plane wave in both, exact on every mesh."""
    mesh = block((4.0, 3.0, 2.0), 1.0)  # its side y = 0 has the tag of LV_ENDO
    assert int(Surface.LV_ENDO) == 3
    same = dict.fromkeys(VELOCITIES, 0.5)
    x, y, _ = mesh.points.T
    exact = x / 2.0 + y * np.sqrt(1 / 0.5**2 - 1 / 2.0**2)
    roots = RootNodes(mesh.nodes(1), exact[mesh.nodes(1)])
    layer = {"fast_layers": [Surface.LV_ENDO], "velocity_lv_endo": 2.0}
    np.testing.assert_allclose(activation_times(Eikonal(mesh, **same, **layer), roots), exact)
    without = activation_times(Eikonal(mesh, **same), roots)
    assert np.max(without - exact) > 1


def test_roots_on_a_layer_reach_it_at_its_velocity():
    mesh = block((4.0, 3.0, 4.0), 1.0)
    same = dict.fromkeys(VELOCITIES, 0.5)
    tissue = Eikonal(mesh, fast_layers=[Surface.LV_ENDO], velocity_lv_endo=2.0, **same)
    direct = RootPoints([[2.2, 0.0, 1.7]], radius=1.2).arrivals(tissue)
    away = np.linalg.norm(mesh.points - [2.2, 0.0, 1.7], axis=1)
    on = (mesh.points[:, 1] == 0) & (away < 1.2)
    assert on.sum() >= 4
    np.testing.assert_allclose(direct[on], away[on] / 2.0)


def test_times_are_continuous_in_the_place_of_a_root():
    """Half the step, half the change: no jump where a root goes from cell to cell."""
    mesh = block((3.0, 3.0, 3.0), 1.0, bend=0.1)
    tissue = Eikonal(mesh, **VELOCITIES)
    steps = np.linspace(0, 1, 401)[:, None]
    line = jnp.asarray(np.array([0.8, 1.1, 0.9]) + steps * np.array([1.3, 0.9, 1.2]))
    times = jax.lax.map(lambda p: activation_times(tissue, RootPoints(p[None])), line)
    coarse, fine = (np.abs(np.diff(times[::s], axis=0)).max() for s in (2, 1))
    assert coarse > 0.05
    assert fine < 0.6 * coarse


def test_batches_and_their_gradients():
    mesh = block((3.0, 3.0, 3.0), 1.0)
    tissue = Eikonal(mesh, **VELOCITIES)
    points = jnp.array([[0.6, 0.7, 0.9], [2.2, 2.4, 1.8]])
    onsets = jnp.array([[0.0, 2.0], [0.0, 9.0]])

    def total(o):
        return jnp.sum(activation_times(tissue, RootPoints(points, o)))

    one = np.stack([jax.grad(total)(o) for o in onsets])
    np.testing.assert_allclose(jax.vmap(jax.grad(total))(onsets), one)
    together = jax.grad(lambda o: jnp.sum(jax.vmap(total)(o)))(onsets)
    np.testing.assert_allclose(together, one)
    # Each node follows one root: derivatives by onsets share the nodes out.
    np.testing.assert_allclose(one.sum(axis=1), len(mesh.points))


def test_what_is_not_reached_is_told():
    one = block((2.0, 2.0, 2.0), 1.0)
    cells = np.concatenate([one.cells, one.cells + len(one.points)])
    points = np.concatenate([one.points, one.points + 10.0])
    mesh = Mesh(points, cells, frames=np.broadcast_to(FRAME, (len(cells), 3, 3)))
    tissue, roots = Eikonal(mesh, **VELOCITIES), RootNodes([0])
    with pytest.raises(Exception, match="does not reach every node"):
        activation_times(tissue, roots)
    times = activation_times(tissue, roots, throw=False)
    np.testing.assert_array_equal(np.isfinite(times), np.arange(len(points)) < len(one.points))

    def first(velocity):
        changed = eqx.tree_at(lambda t: t.velocity_fibre, tissue, velocity)
        return activation_times(changed, roots, throw=False)[len(one.points) - 1]

    assert jax.grad(first)(jnp.asarray(0.6)) < 0
    few = activation_times(Eikonal(one, **VELOCITIES), roots, max_sweeps=1, throw=False)
    assert np.isinf(few).all()
    with pytest.raises(Exception, match="velocities must be above 0"):
        activation_times(Eikonal(one, velocity_fibre=0.0), roots)


def test_bad_input_is_refused():
    mesh = block((2.0, 2.0, 2.0), 1.0)
    with pytest.raises(ValueError, match="no frames"):
        Eikonal(replace(mesh, frames=None))
    with pytest.raises(ValueError, match="as_tetrahedra"):
        Eikonal(slab((2.0, 2.0, 2.0), 1.0, cells="hexahedra"))
    with pytest.raises(ValueError, match="LV_ENDO or RV_ENDO"):
        Eikonal(mesh, fast_layers=[Surface.EPI])
    with pytest.raises(ValueError, match="RV_ENDO"):
        Eikonal(left_ventricle_with_frames(), fast_layers=[Surface.RV_ENDO])
    with pytest.raises(TypeError, match="velocity_fibre"):
        Eikonal(mesh, velocity_fiber=0.5)
    with pytest.raises(ValueError, match="velocity_fibre is a number or has the shape"):
        activation_times(Eikonal(mesh, velocity_fibre=np.ones(3)), RootNodes([0]))
    with pytest.raises(ValueError, match="needs roots"):
        activation_times(Eikonal(mesh))
    with pytest.raises(ValueError, match="one time a node"):
        activation_times(Eikonal(mesh), RootNodes([0]), guess=np.zeros(3))
    with pytest.raises(ValueError, match="the mesh has 27"):
        activation_times(Eikonal(mesh), RootNodes([27]))
    with pytest.raises(ValueError, match=r"\(root, 3\)"):
        RootPoints([1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="onsets of 2 roots"):
        RootNodes([1, 2], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="radius"):
        RootPoints([[1.0, 2.0, 3.0]], radius=0.0)


def left_ventricle_with_frames():
    mesh = left_ventricle(12.0)
    return replace(mesh, frames=np.broadcast_to(FRAME, (len(mesh.cells), 3, 3)))


def test_every_node_comes_after_those_it_comes_from():
    """Also those that come from a node which is later than themselves."""
    sources = jnp.array([[0, 0, 0], [0, 2, 0], [0, 0, 0], [2, 1, 0]])
    weights = jnp.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.2, 0.8, 0.0]])
    order = np.asarray(_downstream(sources, weights, jnp.array([0, 1, 2, 3])))
    np.testing.assert_array_equal(order, [0, 2, 1, 3])
    circle = _downstream(jnp.array([[1, 0, 0], [0, 0, 0]]), weights[2:], jnp.array([0, 1]))
    assert sorted(circle.tolist()) == [0, 1]
