"""Orders of convergence on a manufactured solution: each element, mass, splitting and stepping."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest

from tests.electro._manufactured import Forced, error, forced, start
from twinjax.electro import Tissue, TissueMesh, propagate
from twinjax.electro import slab as voxels
from twinjax.geometry import replace
from twinjax.geometry import slab as mesh_slab

SIZE = (1.0, 0.75, 0.75)
OBLIQUE = np.array([0.7, 0.5, -0.4])
ALIGNED = np.array([1.0, 0.0, 0.0])
NONE = Forced(jnp.zeros(()), jnp.zeros(()))
SCHEMES = [
    ("voxels", "lumped", "explicit"),
    ("voxels", "blended", "explicit"),
    ("tetrahedra", "lumped", "explicit"),
    ("tetrahedra", "blended", "explicit"),
    ("tetrahedra", "consistent", "implicit"),
    ("tetrahedra", 0.5, "implicit"),
    ("hexahedra", "lumped", "implicit"),
    ("hexahedra", "consistent", "implicit"),
]


def _bent(mesh):
    """Points inside are moved, so that no cell is like another; the outside stays."""
    x = mesh.points / np.array(SIZE)
    wave = np.prod(np.sin(np.pi * x) ** 2, axis=1)
    shift = wave[:, None] * np.stack([np.sin(5 * x[:, 1]), np.cos(4 * x[:, 2]), x[:, 0]], axis=1)
    return replace(mesh, points=mesh.points + 0.06 * shift)


@functools.cache
def _grid(kind, spacing):
    if kind == "voxels":
        return voxels(SIZE, spacing)
    return TissueMesh(_bent(mesh_slab(SIZE, spacing, cells=kind)))


def _tissue(kind, spacing, fibre, mass, stepping):
    return Tissue(_grid(kind, spacing), NONE, fibres=fibre, mass=mass, stepping=stepping)


# Of fibres along an axis nothing is simpler than of oblique ones: both take a minute and a half.
@pytest.mark.parametrize(
    "fibre",
    [
        pytest.param(ALIGNED, id="aligned", marks=pytest.mark.slow),
        pytest.param(OBLIQUE, id="oblique"),
    ],
)
@pytest.mark.parametrize(("kind", "mass", "stepping"), SCHEMES)
def test_errors_fall_with_the_square_of_the_spacing(kind, mass, stepping, fibre):
    """At 0.25 ms: the root of the mean square, and the largest error, whose order comes later."""
    errors = []
    for spacing in (1 / 16, 1 / 32):
        tissue = forced(_tissue(kind, spacing, fibre, mass, stepping), SIZE, fibre)
        done = propagate(
            tissue,
            [],
            duration=0.25,
            step=0.0125,
            splitting="strang",
            state=start(tissue),
        )
        wrong = error(tissue, done.state, 0.25)
        mean = np.sum(wrong**2 * np.asarray(tissue.grid.volumes)) ** 0.5
        errors.append((mean, np.abs(wrong).max()))
    orders = np.log2(np.array(errors[0]) / np.array(errors[1]))
    assert orders[0] > 1.85, (errors, orders)
    assert orders[1] > 1.7, (errors, orders)


@pytest.mark.parametrize(
    ("kind", "stepping", "mass", "splitting", "order"),
    [
        ("voxels", "explicit", "blended", "godunov", 1),
        ("voxels", "explicit", "blended", "strang", 2),
        ("tetrahedra", "explicit", "lumped", "strang", 2),
        pytest.param("tetrahedra", "implicit", "consistent", "godunov", 1, marks=pytest.mark.slow),
        ("tetrahedra", "implicit", "consistent", "strang", 2),
        ("hexahedra", "implicit", 0.5, "strang", 2),
    ],
)
def test_orders_in_time(kind, stepping, mass, splitting, order):
    """Where the source is made by the operator itself, so that nothing but time is wrong."""
    tissue = forced(_tissue(kind, 1 / 8, OBLIQUE, mass, stepping), SIZE)
    errors = []
    for step in (0.02, 0.01):
        done = propagate(
            tissue,
            [],
            duration=1.0,
            step=step,
            splitting=splitting,
            substeps=4 if stepping == "explicit" else 1,
            state=start(tissue),
        )
        errors.append(np.abs(error(tissue, done.state, 1.0)).max())
    found = np.log2(errors[0] / errors[1])
    assert abs(found - order) < 0.15, (errors, found)
