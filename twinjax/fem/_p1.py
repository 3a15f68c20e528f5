"""Linear tetrahedra (P1): gradients, stiffness and mass.

On a tetrahedron with nodes x₀ … x₃ the shape functions are N₁₋₃ = ξ with x = x₀ + J ξ and
N₀ = 1 - Σξ, so their gradients are the rows of J⁻¹ and minus the sum of these, constant in the
cell. With volume V and a conductivity tensor D

    K_ij = V ∇N_i · D ∇N_j,    M_ij = V/20 (1 + δ_ij),    lumped: V/4 each.

Exact for linear fields; solutions converge with order 2 in L2 as the mesh is refined.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.fem._rows import PaddedRows, Pattern, segment_mean


def gradients(
    corners: Float[Array, "cell 4 3"],
) -> tuple[Float[Array, "cell 4 3"], Float[Array, " cell"]]:
    """The gradient of each shape function [1/mm], and the signed volume of each cell [mm³]."""
    jacobian = jnp.swapaxes(corners[:, 1:] - corners[:, :1], 1, 2)
    # By cross products: batched inverses are slow to compile and no more accurate in 3 x 3.
    a, b, c = jnp.moveaxis(jacobian, 2, 0)
    rows = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=1)
    six = jnp.sum(a * rows[:, 0], axis=1)
    inner = rows / six[:, None, None]
    return jnp.concatenate([-jnp.sum(inner, axis=1, keepdims=True), inner], axis=1), six / 6


class P1(eqx.Module):
    """The linear elements of a mesh of tetrahedra: `P1(mesh.points, mesh.cells)`.

    Points are in mm. Built once a mesh; `at(points)` moves its nodes, so that shapes can be
    differentiated.
    Raises `ValueError` for hexahedra, and for cells without positive volume.
    """

    points: Float[Array, "node 3"]
    cells: Int[Array, "cell 4"]
    pattern: Pattern

    def __init__(
        self,
        points: Float[np.ndarray | Array, "node 3"],
        cells: Int[np.ndarray | Array, "cell corner"],
    ):
        if cells.shape[1] != 4:
            raise ValueError("P1 needs tetrahedra: divide the mesh by as_tetrahedra")
        self.points = jnp.asarray(points)
        self.cells = jnp.asarray(cells)
        self.pattern = Pattern(np.asarray(cells), len(points))
        if not isinstance(self.points, jax.core.Tracer):
            bad = int(np.sum(~(np.asarray(gradients(self.points[self.cells])[1]) > 0)))
            if bad:
                raise ValueError(
                    f"{bad} cells have no positive volume: flip_inverted turns inverted ones"
                )

    def at(self, points: Float[Array, "node 3"]) -> "P1":
        """The same elements with other points [mm]."""
        return eqx.tree_at(lambda p1: p1.points, self, points)

    def geometry(self) -> tuple[Float[Array, "cell 4 3"], Float[Array, " cell"]]:
        """Gradients of the shape functions [1/mm] and volumes [mm³]."""
        return gradients(self.points[self.cells])

    def volumes(self) -> Float[Array, " cell"]:
        """Of each cell [mm³]."""
        return self.geometry()[1]

    def stiffness(self, conductivity: Float[Array, "..."] | None = None) -> PaddedRows:
        """K of ∫ ∇v · D ∇u, with D = 1, a number a cell (cell), or a tensor a cell (cell, 3, 3)."""
        slope, volume = self.geometry()
        flux = slope
        if conductivity is not None and conductivity.ndim == 1:
            flux = conductivity[:, None, None] * slope
        elif conductivity is not None:
            flux = jnp.einsum("cij,ckj->cki", conductivity, slope)
        return self.pattern.assemble(jnp.einsum("c,cai,cbi->cab", volume, slope, flux))

    def mass(self) -> PaddedRows:
        """The consistent mass matrix [mm³]."""
        _, volume = self.geometry()
        local = (jnp.ones((4, 4), volume.dtype) + jnp.eye(4, dtype=volume.dtype)) / 20
        return self.pattern.assemble(volume[:, None, None] * local[None])

    def lumped_mass(self) -> Float[Array, " node"]:
        """A quarter of the volume of each node's cells [mm³]."""
        _, volume = self.geometry()
        quarter = jnp.repeat(volume / 4, 4)
        return jax.ops.segment_sum(quarter, self.cells.ravel(), len(self.points))

    def gradient(self, field: Float[Array, " node"]) -> Float[Array, "cell 3"]:
        """The gradient of a nodal field in each cell, per mm."""
        return jnp.einsum("cai,ca->ci", self.geometry()[0], field[self.cells])

    def divergence(self, flow: Float[Array, "cell 3"]) -> Float[Array, " node"]:
        """∫ ∇v · flow for each shape function v."""
        slope, volume = self.geometry()
        local = jnp.einsum("c,cai,ci->ca", volume, slope, flow)
        return jax.ops.segment_sum(local.ravel(), self.cells.ravel(), len(self.points))

    def to_nodes(self, values: Float[Array, "cell *more"]) -> Float[Array, "node *more"]:
        """At each node the mean over its cells, weighted by volume."""
        return segment_mean(values, self.cells, self.geometry()[1], len(self.points))
