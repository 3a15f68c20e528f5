"""Small walls that several tests share."""

import jax
import jax.numpy as jnp
import numpy as np

from twinjax.geometry import Surface, replace, slab
from twinjax.mechanics import (
    Deformation,
    Ellipsoid,
    Guccione,
    Load,
    Quadratic,
    QuadraticVolume,
    Springs,
    Wall,
)

KINDS = ("tetrahedra", "hexahedra")


def bent_box(kind, spacing=0.5, size=(1.0, 1.0, 1.0)):
    """A box whose inner nodes are moved, so that no two cells are alike."""
    mesh = slab(size, spacing, cells=kind)
    inner = np.ones(len(mesh.points), bool)
    inner[np.unique(mesh.facets)] = False
    rng = np.random.default_rng(3)
    points = mesh.points + inner[:, None] * rng.uniform(-0.12, 0.12, mesh.points.shape) * spacing
    return Quadratic(replace(mesh, points=points))


def small_ventricle(springs=True, **changes):
    """Five hexahedra; held by springs, or at the base."""
    shape = Ellipsoid()
    elements = shape.hexahedra(1, 1, 1, apex=0.4)
    if springs:
        changes["springs"] = (
            Springs(elements, Surface.EPI, stiffness=0.2, normal=True),
            Springs(elements, Surface.BASE, stiffness=1.0, normal=False),
        )
    else:
        changes["fixed"] = elements.mask(Surface.BASE)
    return Wall(
        elements,
        Guccione(),
        frames=shape.frames(elements, 60.0, -60.0),
        volume=QuadraticVolume(bulk=1e3, local=50.0),
        cavities=(Surface.LV_ENDO,),
        **changes,
    )


def somewhere(wall, amount=None, seed=0):
    """A deformation that is no equilibrium, by default of strains that a wall survives."""
    rest = wall.at_rest()
    if amount is None:
        volumes = np.asarray(wall.elements.geometry()[1]).sum(axis=1)
        amount = 0.02 * float(volumes.min()) ** (1 / 3)
    one, two = jax.random.split(jax.random.key(seed))
    u = amount * jax.random.normal(one, rest.displacement.shape)
    return Deformation(u, jax.random.normal(two, rest.pressure.shape))


def some_load(wall):
    nodes = len(wall.elements.points)
    force = 0.01 * jax.random.normal(jax.random.key(7), (nodes, 3))
    return Load(1.0, 5.0, force=force, displacement=0.1 * jnp.ones((nodes, 3))).on(wall)
