"""Springs on surfaces: the pericardium, and what holds the base."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from twinjax.mechanics._elements import Quadratic
from twinjax.mechanics._reference import reference


class Springs(eqx.Module):
    """A layer of springs between the surfaces with some tags and the ground.

    The traction on the area at rest is -k (u·N) N with `normal`, N being the outward normal at
    rest, and else -k u; k is the `stiffness` [kPa/mm]. Their energy is k/2 ∫ (u·N)² or k/2 ∫ u².
    Where a wall moves, `damping` [kPa·ms/mm] times the velocity acts in the same way.
    Raises `ValueError` for a tag that no facet has.
    """

    facets: Int[Array, "facet m"]
    stiffness: Float[Array, ""]
    damping: Float[Array, ""]
    normal: bool = eqx.field(static=True)

    def __init__(
        self,
        elements: Quadratic,
        *tags: int,
        stiffness: Any,
        normal: bool,
        damping: Any = 0.0,
    ):
        self.facets = jnp.asarray(elements.surface(*tags))
        self.stiffness = jnp.asarray(stiffness, float)
        self.damping = jnp.asarray(damping, float)
        self.normal = normal

    def matrices(self, points: Float[Array, "node 3"]) -> Float[Array, "facet m 3 m 3"]:
        """The stiffness of each facet [mN/mm]."""
        return self.stiffness * self.shares(points)

    def shares(self, points: Float[Array, "node 3"]) -> Float[Array, "facet m 3 m 3"]:
        """The same for a stiffness of 1 [mm²]."""
        ref = reference(self.facets.shape[1], 4 if self.facets.shape[1] == 6 else 5)
        area = area_vectors(points[self.facets], ref.slopes)
        size = jnp.linalg.norm(area, axis=2)
        values = jnp.asarray(ref.values)
        weights = jnp.asarray(ref.weights)
        if self.normal:
            unit = area / size[..., None]
            directions = unit[..., :, None] * unit[..., None, :]
        else:
            directions = jnp.broadcast_to(jnp.eye(3), (*size.shape, 3, 3))
        return jnp.einsum("fq,q,qa,qb,fqik->faibk", size, weights, values, values, directions)


def area_vectors(corners: Float[Array, "facet m 3"], slopes: Any) -> Float[Array, "facet q 3"]:
    """∂x/∂ξ × ∂x/∂η of each facet: outward, as long as the surface is wide."""
    tangents = jnp.einsum("fai,qar->fqri", corners, jnp.asarray(slopes, corners.dtype))
    return jnp.cross(tangents[:, :, 0], tangents[:, :, 1])
