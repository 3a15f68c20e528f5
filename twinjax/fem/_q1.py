"""Trilinear hexahedra (Q1): stiffness and mass by 2 x 2 x 2 Gauss points.

On the reference cube [-1, 1]³ with corners ξᵢ the shape functions are
Nᵢ = ⅛ Π_a (1 + ξᵢₐ ξₐ); x = Σ Nᵢ xᵢ has the Jacobian J, and ∇Nᵢ = J⁻ᵀ ∂Nᵢ/∂ξ. With the points
ξ_q = (±1, ±1, ±1)/√3, each of weight 1, and a conductivity tensor D

    K_ij = Σ_q det J ∇Nᵢ · D ∇Nⱼ,    M_ij = Σ_q det J Nᵢ Nⱼ,    lumped: Σ_q det J Nᵢ.

That is exact for boxes. Linear fields are exact on any hexahedra; solutions converge with order 2
in L2 as the mesh is refined (Hughes 2000, The Finite Element Method, 3.2 and 3.8).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.fem._rows import PaddedRows, Pattern, segment_mean

_SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
_CORNERS = np.array([(x, y, z) for z in (-1, 1) for x, y in _SQUARE], float)  # in VTK's order


def _shapes(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At each place of the reference cube the values (p, 8) and slopes (p, 8, 3)."""
    factors = 1 + _CORNERS[None] * places[:, None]  # place, corner, axis
    values = factors.prod(axis=2) / 8
    slopes = np.empty((len(places), 8, 3))
    for axis in range(3):
        others = [a for a in range(3) if a != axis]
        slopes[:, :, axis] = _CORNERS[:, axis] * factors[:, :, others].prod(axis=2) / 8
    return values, slopes


_VALUES, _SLOPES = _shapes(_CORNERS / np.sqrt(3))


class Q1(eqx.Module):
    """The trilinear elements of a mesh of hexahedra: `Q1(mesh.points, mesh.cells)`.

    Points are in mm, corners in VTK's order. Built once a mesh; `at(points)` moves its nodes.
    Raises `ValueError` for tetrahedra, and for cells that are inverted at a Gauss point.
    """

    points: Float[Array, "node 3"]
    cells: Int[Array, "cell 8"]
    pattern: Pattern

    def __init__(
        self,
        points: Float[np.ndarray | Array, "node 3"],
        cells: Int[np.ndarray | Array, "cell corner"],
    ):
        if cells.shape[1] != 8:
            raise ValueError("Q1 needs hexahedra: P1 is for tetrahedra")
        self.points = jnp.asarray(points)
        self.cells = jnp.asarray(cells)
        self.pattern = Pattern(np.asarray(cells), len(points))
        if not isinstance(self.points, jax.core.Tracer):
            bad = int(np.sum(~np.all(np.asarray(self.geometry()[1]) > 0, axis=1)))
            if bad:
                raise ValueError(
                    f"{bad} cells are inverted at a Gauss point: flip_inverted turns those that "
                    "are inverted as a whole"
                )

    def at(self, points: Float[Array, "node 3"]) -> "Q1":
        """The same elements with other points [mm]."""
        return eqx.tree_at(lambda q1: q1.points, self, points)

    def geometry(self) -> tuple[Float[Array, "cell 8 8 3"], Float[Array, "cell 8"]]:
        """At each Gauss point the gradients of the shape functions [1/mm], and det J [mm³]."""
        corners = self.points[self.cells]
        slopes = jnp.asarray(_SLOPES, corners.dtype)
        jacobian = jnp.einsum("cax,qar->cqxr", corners, slopes)
        # By cross products, as in P1: rows of the inverse times det J.
        a, b, c = jnp.moveaxis(jacobian, 3, 0)
        rows = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=2)
        volume = jnp.sum(a * rows[:, :, 0], axis=2)
        inverse = rows / volume[:, :, None, None]  # cell, point, reference axis, axis
        return jnp.einsum("qar,cqrx->cqax", slopes, inverse), volume

    def volumes(self) -> Float[Array, " cell"]:
        """Of each cell [mm³]."""
        return jnp.sum(self.geometry()[1], axis=1)

    def stiffness(self, conductivity: Float[Array, "..."] | None = None) -> PaddedRows:
        """K of ∫ ∇v · D ∇u, with D = 1, a number a cell (cell), or a tensor a cell (cell, 3, 3)."""
        slope, volume = self.geometry()
        flux = slope
        if conductivity is not None and conductivity.ndim == 1:
            flux = conductivity[:, None, None, None] * slope
        elif conductivity is not None:
            flux = jnp.einsum("cij,cqaj->cqai", conductivity, slope)
        return self.pattern.assemble(jnp.einsum("cq,cqai,cqbi->cab", volume, slope, flux))

    def mass(self) -> PaddedRows:
        """The consistent mass matrix [mm³]."""
        volume = self.geometry()[1]
        values = jnp.asarray(_VALUES, volume.dtype)
        return self.pattern.assemble(jnp.einsum("cq,qa,qb->cab", volume, values, values))

    def lumped_mass(self) -> Float[Array, " node"]:
        """The integral of each node's shape function [mm³]."""
        volume = self.geometry()[1]
        local = volume @ jnp.asarray(_VALUES, volume.dtype)
        return jax.ops.segment_sum(local.ravel(), self.cells.ravel(), len(self.points))

    def to_nodes(self, values: Float[Array, "cell *more"]) -> Float[Array, "node *more"]:
        """At each node the mean over its cells, weighted by volume."""
        return segment_mean(values, self.cells, self.volumes(), len(self.points))
