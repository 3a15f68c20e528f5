"""Axes of the tissue at points of quadrature, from those at nodes."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.mechanics._elements import Quadratic


def at_points(elements: Quadratic, nodal: Float[Array, "corner 3 3"]) -> Float[Array, "cell q 3 3"]:
    """Frames at the points of quadrature, from those at the nodes of the mesh.

    Columns are fibre, sheet and sheet normal, and mean the same with the opposite sign. In each
    cell they are turned to look the way of the cell's first corner, interpolated, and made
    orthonormal again: the fibre keeps its direction, the sheet gives up what lies along it.
    Differentiable in the frames. Next to a point where fibres meet, as in an apex, nothing is
    smooth and they are only some axes.
    """
    corners = 4 if elements.cells.shape[1] == 10 else 8
    own = nodal[elements.cells[:, :corners]]  # cell, corner, component, axis
    alike = jnp.einsum("ckia,cia->cka", own, own[:, 0])
    own = own * jnp.where(alike < 0, -1.0, 1.0)[:, :, None, :]
    weights = elements.linear_values()
    mixed = jnp.einsum("qk,ckia->cqia", weights, own)
    return orthonormal(mixed)


def orthonormal(columns: Float[Array, "*place 3 3"]) -> Float[Array, "*place 3 3"]:
    """The axes that Gram and Schmidt's method makes of columns that are no axes."""
    first = _unit(columns[..., 0])
    second = columns[..., 1]
    second = _unit(second - jnp.sum(second * first, axis=-1, keepdims=True) * first)
    return jnp.stack([first, second, jnp.cross(first, second)], axis=-1)


def _unit(vector: Array) -> Array:
    return vector / jnp.linalg.norm(vector, axis=-1, keepdims=True)
