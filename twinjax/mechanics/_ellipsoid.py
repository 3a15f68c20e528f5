"""A truncated ellipsoid of revolution in elements that follow its curved surfaces."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.geometry import Mesh, Surface, boundary, left_ventricle, replace
from twinjax.geometry._generate import _latitude
from twinjax.mechanics._elements import Quadratic

_ROUND = 0.5  # 0 for a square, 1 for a disc


class Ellipsoid:
    """A wall between two ellipsoids x² + y² = r² (1 - z²/l²), cut off at z = `base` [mm].

    Semi-axes (r, l) are `endo` and `epi`, and those of the layers between them go linearly with
    the depth t, from 0 to 1; the apex is at z = -l. By default the ventricle of Land et al. 2015,
    Proc R Soc A 471:20150641. Raises `ValueError` for sizes that are no wall.
    """

    def __init__(
        self,
        endo: tuple[float, float] = (7.0, 17.0),
        epi: tuple[float, float] = (10.0, 20.0),
        base: float = 5.0,
    ):
        if not (0 < endo[0] < epi[0] and 0 < endo[1] < epi[1] and abs(base) < endo[1]):
            raise ValueError(
                f"a wall needs 0 < endo < epi and a base within the cavity, not {endo}, {epi} "
                f"and {base}"
            )
        self.endo, self.epi, self.base = endo, epi, base

    def tetrahedra(
        self, spacing: float, *, layers: int | None = None, degree: int = 5
    ) -> Quadratic:
        """Of edges of about `spacing` [mm], `layers` through the wall."""
        mesh = left_ventricle(spacing, endo=self.endo, epi=self.epi, base=self.base, layers=layers)
        return self._on_layers(mesh, degree)

    def hexahedra(
        self,
        square: int = 4,
        rings: int = 8,
        layers: int = 2,
        *,
        apex: float = 0.15,
        degree: int = 5,
    ) -> Quadratic:
        """`square`² cells around the apex, `rings` from there to the base, and `layers`.

        There are 4 `square` cells around. The square reaches `apex` of the way to the base; rings
        grow from its cells' size on. Raises `ValueError` for numbers below 1 or a share that is
        none.
        """
        if min(square, rings, layers) < 1:
            raise ValueError(
                f"a ventricle needs 1 cell at least, not {square}, {rings} and {layers}"
            )
        if not 0 < apex < 1:
            raise ValueError(f"the apex takes a share between 0 and 1 of the wall, not {apex}")
        disc, squares = _disc(square, rings, apex)
        reach = np.minimum(np.hypot(*disc.T), 1.0)
        angle = np.arctan2(disc[:, 1], disc[:, 0])
        points = []
        for depth in np.linspace(0, 1, layers + 1):
            r, l = self._axes(depth)
            u = _latitude(r, l, self.base, reach)
            height = np.where(reach > 1 - 1e-9, self.base, -l * np.cos(u))
            ring = r * np.sin(u)
            points.append(np.stack([ring * np.cos(angle), ring * np.sin(angle), height], axis=1))
        count = len(disc)
        cells = np.concatenate(
            [np.concatenate([squares + k * count, squares + (k + 1) * count], axis=1)
             for k in range(layers)]
        )  # fmt: skip
        # From the endocardium outwards is down at the apex: the squares turn round.
        cells = cells[:, [0, 3, 2, 1, 4, 7, 6, 5]]
        mesh = Mesh(np.concatenate(points), cells)
        facets, _ = boundary(mesh)
        layer = facets // count
        tags = np.full(len(facets), int(Surface.BASE))
        tags[(layer == 0).all(axis=1)] = int(Surface.LV_ENDO)
        tags[(layer == layers).all(axis=1)] = int(Surface.EPI)
        return self._on_layers(replace(mesh, facets=facets, facet_tags=tags), degree)

    def _axes(self, depth: Any) -> tuple[Any, Any]:
        (r, l), (R, L) = self.endo, self.epi
        return r + depth * (R - r), l + depth * (L - l)

    def depth(self, points: Float[Array, "*place 3"]) -> Float[Array, "*place"]:
        """How deep each point lies: 0 on the endocardium, 1 on the epicardium."""
        return _depth(points, self.endo, self.epi)

    def _on_layers(self, mesh: Mesh, degree: int) -> Quadratic:
        elements = Quadratic(mesh, degree=degree)
        depth = np.asarray(self.depth(jnp.asarray(mesh.points)))[elements.parents].mean(axis=1)
        x, y, z = np.asarray(elements.points).T
        r, l = self._axes(depth)
        length = np.sqrt((x**2 + y**2) / r**2 + z**2 / l**2)
        ring = np.maximum(np.hypot(x, y), 1e-300)
        at_base = z > self.base - 1e-9 * self.epi[1]
        wide = np.where(at_base, r * np.sqrt(1 - (self.base / l) ** 2) / ring, 1 / length)
        high = np.where(at_base, self.base, z / length)
        moved = elements.at(jnp.asarray(np.stack([x * wide, y * wide, high], axis=1)))
        moved.check()
        return moved

    def frames(
        self, elements: Quadratic, helix_endo: Any, helix_epi: Any
    ) -> Float[Array, "cell q 3 3"]:
        """Fibre, sheet and sheet normal at the points of quadrature.

        The helix angle [deg], from the circumference towards the base, goes linearly with the
        depth. The sheet normal looks out of the wall. Differentiable in the angles.
        """
        at = elements.at_quadrature(elements.points)
        return _frames(at, self.endo, self.epi, jnp.asarray(helix_endo), jnp.asarray(helix_epi))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _depth(points: Array, endo: tuple[float, float], epi: tuple[float, float]) -> Array:
    ring, height = points[..., 0] ** 2 + points[..., 1] ** 2, points[..., 2] ** 2
    (r, l), (R, L) = endo, epi

    def closer(_: Any, t: Array) -> Array:
        a, b = r + t * (R - r), l + t * (L - l)
        excess = ring / a**2 + height / b**2 - 1
        return t + excess / (2 * (ring / a**3 * (R - r) + height / b**3 * (L - l)))

    # Newton's method from the middle: twice as many iterations as it needs.
    return jax.lax.fori_loop(0, 12, closer, jnp.full(ring.shape, 0.5))


@functools.partial(jax.jit, static_argnums=(1, 2))
def _frames(
    at: Array,
    endo: tuple[float, float],
    epi: tuple[float, float],
    helix_endo: Array,
    helix_epi: Array,
) -> Array:
    t = _depth(at, endo, epi)
    x, y, z = jnp.moveaxis(at, -1, 0)
    r, l = (a + t * (b - a) for a, b in zip(endo, epi, strict=True))
    ring = jnp.hypot(x, y)
    cosine, sine = x / ring, y / ring
    o = jnp.zeros_like(x)
    around = jnp.stack([-sine, cosine, o], axis=-1)
    # The meridian (r sin u, -l cos u) has the tangent (r cos u, l sin u).
    wide, high = -z / l * r, ring / r * l
    up = jnp.stack([wide * cosine, wide * sine, high], axis=-1)
    up = up / jnp.linalg.norm(up, axis=-1, keepdims=True)
    angle = jnp.deg2rad(helix_endo + t * (helix_epi - helix_endo))[..., None]
    fibre = jnp.sin(angle) * up + jnp.cos(angle) * around
    out = jnp.cross(around, up)
    return jnp.stack([fibre, jnp.cross(out, fibre), out], axis=-1)


def _disc(square: int, rings: int, apex: float) -> tuple[np.ndarray, np.ndarray]:
    """Points (node, 2) of the unit disc and squares (cell, 4): a square within, rings around."""
    side = np.linspace(-1, 1, square + 1)

    def rounded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        disc = (x * np.sqrt(1 - y**2 / 2), y * np.sqrt(1 - x**2 / 2))
        return apex * np.stack(
            [(1 - _ROUND) * x + _ROUND * disc[0], (1 - _ROUND) * y + _ROUND * disc[1]], axis=-1
        )

    patches = [rounded(*np.meshgrid(side, side, indexing="ij"))]
    inner = rounded(np.ones_like(side), side)
    outer = np.stack([np.cos(math.pi / 4 * side), np.sin(math.pi / 4 * side)], axis=-1)
    share = np.linspace(0, 1, rings + 1)[:, None, None]
    start = min(1.0, 2 * apex / (1 - apex) * rings / square)
    share = start * share + (1 - start) * share**2
    patch = (1 - share) * inner[None] + share * outer[None]
    for quarter in range(4):
        c, s = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter]
        patches.append(patch @ np.array([[c, s], [-s, c]]))
    points, cells, first = [], [], 0
    for grid in patches:
        n, m = grid.shape[:2]
        number = first + np.arange(n * m).reshape(n, m)
        corners = (number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:])
        cells.append(np.stack([c.ravel() for c in corners], axis=1))
        points.append(grid.reshape(-1, 2))
        first += n * m
    every = np.concatenate(points)
    _, index, place = np.unique(
        np.round(every, 9) + 0.0, axis=0, return_index=True, return_inverse=True
    )
    return every[index], place.ravel()[np.concatenate(cells)].astype(np.int32)
