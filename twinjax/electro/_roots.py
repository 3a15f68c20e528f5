"""Where activation starts: points in the tissue, or nodes, each with its time of onset."""

import abc
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

if TYPE_CHECKING:
    from twinjax.electro._eikonal import Eikonal


class AbstractRoots(eqx.Module):
    """Anything that reaches nodes of the tissue from outside."""

    @abc.abstractmethod
    def arrivals(self, tissue: "Eikonal") -> Float[Array, " node"]:
        """When each node is reached directly [ms]; infinite where it is not."""

    @abc.abstractmethod
    def check(self, count: int) -> None:
        """Raises `ValueError` if the roots do not fit a mesh of so many nodes."""


class RootNodes(AbstractRoots):
    """Nodes of the mesh that become active at given times: `RootNodes([3, 80], [0.0, 12.0])`.

    Differentiable in the onsets [ms]. Raises `ValueError` for none, or for numbers that do not fit.
    """

    nodes: Int[Array, " root"]
    onsets: Float[Array, " root"]

    def __init__(self, nodes: Any, onsets: Any = 0.0):
        self.nodes = jnp.atleast_1d(jnp.asarray(nodes, jnp.int32))
        self.onsets = _onsets(onsets, len(self.nodes))

    def arrivals(self, tissue: "Eikonal") -> Float[Array, " node"]:
        """The onset at these nodes."""
        count = len(tissue.points)
        dtype = self.onsets.dtype
        held = jax.lax.stop_gradient(self.onsets)
        first = jnp.full(count, jnp.inf, dtype).at[self.nodes].min(held)
        numbers = jnp.where(held == first[self.nodes], jnp.arange(len(self.nodes)), -1)
        who = jnp.full(count, -1).at[self.nodes].max(numbers)
        return jnp.where(who >= 0, self.onsets[jnp.maximum(who, 0)], jnp.inf)

    def check(self, count: int) -> None:
        """Whether the mesh has these nodes."""
        if isinstance(self.nodes, jax.core.Tracer):
            return
        for node in np.asarray(self.nodes):
            if not 0 <= node < count:
                raise ValueError(f"a root names the node {node}, the mesh has {count}")


class RootPoints(AbstractRoots):
    """Points [mm] from which activation spreads: `RootPoints([[0.0, 1.0, 2.0]], [5.0])`.

    Nodes within a radius are reached directly, along straight lines with the velocities of the
    tissue at the node,

        T = onset + |x - x₀|_M p,    p = 1 / (1 - q²),  q = (|x - x₀| - r) / r within [0, 1],

    up to twice the radius r, where p grows beyond all bounds. So times are continuous in the
    points, and have derivatives with respect to them. On a fast layer the nodes near a point are
    reached through it too (see `Eikonal`).

    **Arguments:** `points` (root, 3), `onsets` [ms], a number or (root), and `radius` [mm]: by
    default half the mean edge of the mesh and more by the distance to the nearest node, so that
    there is always a node within. A point outside the tissue reaches it along that line.
    A larger radius makes times near the root exact where the tissue is homogeneous, and
    errors elsewhere smaller, but must not reach over a cavity.

    Raises `ValueError` for shapes that do not fit, or a radius not above 0.
    """

    points: Float[Array, "root 3"]
    onsets: Float[Array, " root"]
    radius: float | None = eqx.field(static=True)

    def __init__(self, points: Any, onsets: Any = 0.0, *, radius: float | None = None):
        self.points = jnp.asarray(points, jnp.result_type(float))
        if self.points.ndim != 2 or self.points.shape[1] != 3 or not len(self.points):
            raise ValueError(f"points of roots have the shape (root, 3), not {self.points.shape}")
        if radius is not None and not radius > 0:
            raise ValueError(f"the radius around roots must be above 0 mm, not {radius}")
        self.onsets = _onsets(onsets, len(self.points))
        self.radius = radius

    def arrivals(self, tissue: "Eikonal") -> Float[Array, " node"]:
        """The earliest of all roots' direct arrivals."""
        held = jax.lax.stop_gradient((tissue.near(), self))
        near, roots = held

        def earlier(best: tuple, k: Array) -> tuple[tuple, None]:
            time, who = best
            here = _direct(near, roots.points[k], roots.onsets[k], _reach(near, roots, k))
            return (jnp.minimum(time, here), jnp.where(here < time, k, who)), None

        nodes = near.points.shape[0]
        start = (jnp.full(nodes, jnp.inf, self.onsets.dtype), jnp.zeros(nodes, jnp.int32))
        count = jnp.arange(len(self.points), dtype=jnp.int32)
        (time, who), _ = jax.lax.scan(earlier, start, count)
        reach = jax.vmap(lambda k: _reach(tissue.near(), self, k))(count)
        # Once more, for the root that wins only: this is what derivatives are of. Those by its
        # onset, point and reach are a few numbers a node, found at once: as tangents of all that
        # `_direct` computes they would cost as much again for each of many roots.
        still = jax.lax.stop_gradient(reach)
        at, onset, within = roots.points[who], roots.onsets[who], still[who]
        slopes = _slopes(near, at, onset, within)
        again = _direct(tissue.near(), at, onset, within) + self.onsets[who] - onset
        again = again + jnp.sum(slopes[:, :3] * (self.points[who] - at), axis=1)
        again = again + slopes[:, 3] * (reach[who] - within)
        return jnp.where(jnp.isfinite(time), again, jnp.inf)

    def check(self, count: int) -> None:
        """Points fit any mesh."""


class Near(eqx.Module):
    """What direct arrivals need to know of the tissue around each node."""

    points: Float[Array, "node 3"]
    metric: Float[Array, "node 3 3"]  # slowness squared [ms²/mm²]
    edge: Float[Array, ""]  # mean edge of the mesh [mm]
    normal: Float[Array, "node 3 3"]  # mean n nᵀ of the fast layer's facets, 0 where there is none
    layer: Bool[Array, " node"]
    fast: Float[Array, " node"]  # velocity of the layer there [mm/ms]


def _reach(near: Near, roots: RootPoints, k: Array) -> Array:
    if roots.radius is not None:
        return jnp.asarray(roots.radius, roots.onsets.dtype)
    square = jnp.sum((near.points - roots.points[k][None]) ** 2, axis=1)
    return 0.5 * near.edge + root(jnp.min(square))


def _direct(near: Near, point: Array, onset: Array, reach: Array) -> Array:
    """From one root a node: `point` (3) or (node, 3), the others numbers or (node)."""
    away = near.points - jnp.broadcast_to(point, near.points.shape)
    distance = root(jnp.sum(away * away, axis=1))
    through = root(jnp.einsum("ni,nij,nj->n", away, near.metric, away))
    depth = root(jnp.einsum("ni,nij,nj->n", away, near.normal, away))
    along = root(jnp.maximum(distance**2 - depth**2, 0.0))
    across = jnp.einsum("nij,nij->n", near.normal, near.metric)
    # A head wave: down to the layer at the critical angle, then along it.
    steep = jnp.maximum(across - 1 / near.fast**2, 0.0)
    ahead = along / near.fast + depth * root(steep)
    time = jnp.where(near.layer, jnp.minimum(through, ahead), through)
    excess = jnp.maximum(distance - reach, 0.0) / reach
    within = excess < 1
    penalty = 1 / jnp.where(within, 1 - excess**2, 1.0)
    return jnp.where(within, onset + time * penalty, jnp.inf)


def _slopes(near: Near, point: Array, onset: Array, reach: Array) -> Float[Array, "node 4"]:
    """Derivatives of `_direct` by the coordinates of the root of each node, and by its reach."""

    def along(direction: Array) -> Array:
        moves = (jnp.broadcast_to(direction[:3], point.shape), jnp.full_like(reach, direction[3]))
        return jax.jvp(lambda p, r: _direct(near, p, onset, r), (point, reach), moves)[1]

    return jax.vmap(along, out_axes=1)(jnp.eye(4, dtype=reach.dtype))


def root(square: Array) -> Array:
    """√x, with a derivative of 0 where x is 0."""
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _onsets(onsets: Any, count: int) -> Array:
    if not count:
        raise ValueError("activation needs at least one root")
    times = jnp.asarray(onsets, jnp.result_type(float))
    if times.shape not in ((), (count,)):
        raise ValueError(f"onsets of {count} roots have the shape ({count},), not {times.shape}")
    return jnp.broadcast_to(times, (count,))
