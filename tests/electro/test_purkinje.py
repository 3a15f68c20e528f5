"""Networks of Purkinje fibres: shortest paths, junctions both ways, derivatives, and growth."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.electro import Eikonal, Purkinje, RootNodes, activation_times, grow_purkinje
from twinjax.geometry import Surface, left_ventricle, parts, replace, slab

FORK = [[0.0, 0.0, 0.0], [0.0, 0.0, 6.0], [3.0, 0.0, 6.0], [0.0, 12.0, 6.0]]


def cable_of_tissue():
    """A thin slab of 12 mm along x, with slow isotropic tissue."""
    mesh = slab((12.0, 1.0, 1.0), 1.0)
    return replace(mesh, frames=np.broadcast_to(np.eye(3), (len(mesh.cells), 3, 3)))


SLOW = {"velocity_fibre": 0.2, "velocity_sheet": 0.2, "velocity_normal": 0.2}


def test_times_along_a_fork():
    network = Purkinje(FORK, [[0, 1], [1, 2], [3, 1]], velocity=3.0, onset=4.0)
    np.testing.assert_array_equal(network.ends, [2, 3])
    np.testing.assert_allclose(network.times(), [4.0, 6.0, 7.0, 10.0])
    by_cable = Purkinje(FORK, [[0, 1], [1, 2], [3, 1]], velocity=np.array([3.0, 1.0, 6.0]))
    np.testing.assert_allclose(by_cable.times(), [0.0, 2.0, 5.0, 4.0])


def test_of_two_ways_round_the_shorter_is_taken():
    network = Purkinje(FORK, [[0, 1], [1, 2], [1, 3], [2, 3]], ends=[3])
    length = [0.0, 6.0, 9.0, 18.0]
    np.testing.assert_allclose(network.times(), np.array(length) / 3.0)
    slope = jax.jacfwd(lambda v: eqx.tree_at(lambda n: n.velocity, network, v).times())(3.0)
    np.testing.assert_allclose(slope, -np.array(length) / 9.0, atol=1e-14)


def test_an_end_excites_the_tissue_after_the_delay():
    mesh = cable_of_tissue()
    network = Purkinje([[0.0, 0.0, 5.0], [0.0, 0.0, 0.0]], [[0, 1]], velocity=2.5, delay=6.0)
    found = activation_times(Eikonal(mesh, purkinje=network, **SLOW))
    corner = np.flatnonzero((mesh.points == 0).all(axis=1))
    np.testing.assert_allclose(found[corner], 2.0 + 6.0)
    along = (mesh.points[:, 1:] == 0).all(axis=1)
    np.testing.assert_allclose(found[along], 8.0 + mesh.points[along, 0] / 0.2)


def test_tissue_excites_a_network_and_is_excited_by_it():
    """The detour over a fast cable: in at one end with one delay, out with the other."""
    mesh = cable_of_tissue()
    network = Purkinje(
        [[6.0, 0.0, 0.0], [0.0, 0.0, 0.0], [12.0, 0.0, 0.0]],
        [[0, 1], [0, 2]],
        ends=[1, 2],
        velocity=3.0,
        delay=6.0,
        delay_back=2.5,
        onset=jnp.inf,
    )
    start = np.flatnonzero(mesh.points[:, 0] == 0)
    found = activation_times(Eikonal(mesh, purkinje=network, **SLOW), RootNodes(start))
    far = np.flatnonzero((mesh.points == [12.0, 0.0, 0.0]).all(axis=1))
    np.testing.assert_allclose(found[far], 2.5 + 12.0 / 3.0 + 6.0)
    middle = np.isclose(mesh.points[:, 0], 3.0)
    np.testing.assert_allclose(found[middle], 3.0 / 0.2)


def test_derivatives_three_ways():
    mesh = cable_of_tissue()
    network = Purkinje(
        [[6.0, 3.0, 0.0], [1.2, 0.3, 0.4], [10.7, 0.6, 0.2]], [[0, 1], [0, 2]], ends=[1, 2]
    )
    tissue = Eikonal(mesh, purkinje=network, **SLOW)

    def chosen(t):
        p = t.purkinje
        return [p.velocity, p.delay, p.onset, t.velocity_sheet, p.points]

    @jax.jit
    def seen(x):
        points = network.points.at[1].set(x[4:7])
        times = activation_times(eqx.tree_at(chosen, tissue, [*x[:4], points]))
        return jnp.stack([times[0], times[-1], 1e-3 * jnp.sum(times**2)])

    x = jnp.array([3.0, 5.0, 1.0, 0.2, 1.2, 0.3, 0.4])
    forward, reverse = jax.jacfwd(seen)(x), jax.jacrev(seen)(x)
    np.testing.assert_allclose(reverse, forward, rtol=1e-10, atol=1e-12)
    columns = [(seen(x + c) - seen(x - c)) / 2e-6 for c in 1e-6 * np.eye(len(x))]
    np.testing.assert_allclose(np.stack(columns, axis=1), forward, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(forward[:2, 1:3], 1.0)
    assert (np.abs(forward[2]) > 1e-3).all()


def test_a_network_grows_over_a_ventricle():
    mesh = left_ventricle(8.0)
    rim = np.intersect1d(mesh.nodes(Surface.BASE), mesh.nodes(Surface.LV_ENDO))
    his = mesh.points[rim[0]] + np.array([0.0, 0.0, 3.0])
    network = grow_purkinje(mesh, his, {Surface.LV_ENDO: 15}, velocity=2.0)
    edges = np.asarray(network.cables.nodes)
    assert len(edges) == len(network.points) - 1  # a tree
    assert (parts(edges, len(network.points)) == 0).all()
    assert len(set(np.asarray(network.ends))) == 15
    inside = mesh.points[mesh.nodes(Surface.LV_ENDO)]
    where = np.asarray(network.points)[np.asarray(network.ends)]
    assert np.linalg.norm(where[:, None] - inside[None], axis=2).min(axis=1).max() == 0
    times = network.times()
    straight = np.linalg.norm(np.asarray(network.points) - his, axis=1) / 2.0
    assert (times >= straight - 1e-9).all()
    assert np.max(times) < 4 * np.max(straight)
    at_rim = grow_purkinje(mesh, mesh.points[rim[0]], {Surface.LV_ENDO: 15})
    assert len(at_rim.points) == len(network.points) - 1
    with pytest.raises(ValueError, match="RV_ENDO"):
        grow_purkinje(mesh, his, {Surface.RV_ENDO: 5})
    with pytest.raises(ValueError, match="connected nodes, not"):
        grow_purkinje(mesh, his, {Surface.LV_ENDO: 10000})


def test_bad_networks_are_refused():
    with pytest.raises(ValueError, match="edges or root name others"):
        Purkinje(FORK, [[0, 4]])
    with pytest.raises(ValueError, match=r"\(cable, 2\)"):
        Purkinje(FORK, [0, 1])
    with pytest.raises(ValueError, match="at least one end"):
        Purkinje(FORK[:3], [[0, 1], [1, 2], [2, 0]])
    with pytest.raises(ValueError, match="has no length"):
        Purkinje([FORK[0], FORK[0]], [[0, 1]])
    with pytest.raises(Exception, match="reaches not every node"):
        Purkinje(FORK, [[0, 1], [2, 3]]).times()
