"""Activation times: exact where they must be, first order elsewhere, derivatives three ways."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.electro import Eikonal, RootNodes, RootPoints, activation_times
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
