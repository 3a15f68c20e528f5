"""Elements of second order: tetrahedra of 10 nodes and hexahedra of 27, with curved sides.

x = Σ Nᵢ xᵢ has the Jacobian J, ∇Nᵢ = J⁻ᵀ ∂Nᵢ/∂ξ, and each point of quadrature has the measure
w det J. Quadratic fields are exact on straight cells; solutions converge with order 3 in L2.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twinjax.geometry._mesh import Mesh
from twinjax.geometry._topology import boundary
from twinjax.mechanics._reference import (
    HEXAHEDRON,
    SQUARE,
    TETRAHEDRON,
    TRIANGLE,
    Corners,
    reference,
    simplex_shapes,
)

_CELLS = {4: TETRAHEDRON, 8: HEXAHEDRON}
_SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
_FACETS = {3: TRIANGLE, 4: SQUARE}


class Quadratic(eqx.Module):
    """The elements of second order of a mesh: `Quadratic(mesh)`.

    **Arguments:** a mesh of tetrahedra or hexahedra; `degree` of the quadrature in cells, 5 (14
    or 27 points), or 2 for tetrahedra (4 points) and 3 for hexahedra (8 points).

    The nodes of the mesh come first; the others are the means of the corners in `parents`, and
    `at(points)` moves them, onto a curved surface for example. Facets are those tagged facets of
    the mesh that lie on its boundary, seen from outside against the clock.

    Raises `ValueError` for cells that are inverted at a point of quadrature.
    """

    points: Float[Array, "node 3"]
    cells: Int[Array, "cell n"]
    facets: Int[np.ndarray, "facet m"]
    facet_tags: Int[np.ndarray, " facet"]
    parents: Int[np.ndarray, "node 8"]
    degree: int = eqx.field(static=True)

    def __init__(self, mesh: Mesh, *, degree: int = 5):
        numbers = _Numbers(len(mesh.points))
        cells = numbers.of(mesh.cells, _CELLS[mesh.cells.shape[1]])
        sides, tags = _tagged(mesh)
        self.facets = numbers.of(sides, _FACETS[sides.shape[1]]).astype(np.int32)
        self.facet_tags = tags
        self.parents = numbers.parents()
        self.cells = jnp.asarray(cells, jnp.int32)
        self.degree = degree
        self.points = jnp.asarray(mesh.points[self.parents].mean(axis=1))
        reference(cells.shape[1], degree)
        self.check()

    def at(self, points: Float[Array, "node 3"]) -> "Quadratic":
        """The same elements with other points [mm]; `check` tells whether they are sound."""
        return eqx.tree_at(lambda q: q.points, self, points)

    def check(self) -> None:
        """Raises `ValueError` for cells that are inverted at a point of quadrature."""
        if isinstance(self.points, jax.core.Tracer):
            return
        bad = int(np.sum(~np.all(np.asarray(_measure(self)) > 0, axis=1)))
        if bad:
            raise ValueError(
                f"{bad} cells are inverted at a point of quadrature: flip_inverted turns "
                "those that are inverted as a whole, curved ones need finer cells"
            )

    def nodes(self, *tags: int) -> Int[np.ndarray, " chosen"]:
        """The nodes of all facets with one of the tags, in rising order."""
        return np.unique(self.facets[np.isin(self.facet_tags, tags)])

    def surface(self, *tags: int) -> Int[np.ndarray, "chosen m"]:
        """The facets with one of the tags. Raises `ValueError` for a tag that no facet has."""
        for tag in tags:
            if tag not in self.facet_tags:
                known = ", ".join(str(t) for t in np.unique(self.facet_tags)) or "none"
                raise ValueError(f"no facet has the tag {int(tag)}; valid choices: {known}")
        return self.facets[np.isin(self.facet_tags, tags)]

    def spread(self, field: Float[Array, "corner *more"]) -> Float[Array, "node *more"]:
        """A field at the nodes of the mesh, at all nodes: linear along straight edges."""
        return jnp.mean(field[self.parents], axis=1)

    def geometry(self) -> tuple[Float[Array, "cell q n 3"], Float[Array, "cell q"]]:
        """At each point of quadrature the gradients [1/mm] and the measure w det J [mm³]."""
        ref = reference(self.cells.shape[1], self.degree)
        x = self.points[self.cells]
        slopes = jnp.asarray(ref.slopes, x.dtype)
        jacobian = jnp.einsum("cax,qar->cqxr", x, slopes)
        # By cross products, as in P1: rows of the inverse times det J.
        a, b, c = jnp.moveaxis(jacobian, 3, 0)
        rows = jnp.stack([jnp.cross(b, c), jnp.cross(c, a), jnp.cross(a, b)], axis=2)
        volume = jnp.sum(a * rows[:, :, 0], axis=2)
        inverse = rows / volume[:, :, None, None]
        weights = jnp.asarray(ref.weights, x.dtype)
        return jnp.einsum("qar,cqrx->cqax", slopes, inverse), volume * weights[None]

    def values(self) -> Float[Array, "q n"]:
        """The shape functions at the points of quadrature."""
        return jnp.asarray(reference(self.cells.shape[1], self.degree).values, self.points.dtype)

    def linear_values(self) -> Float[Array, "q corner"]:
        """The linear shape functions of the corners at the points of quadrature."""
        places = reference(self.cells.shape[1], self.degree).places
        if self.cells.shape[1] == 10:
            linear = np.concatenate([1 - places.sum(axis=1, keepdims=True), places], axis=1)
        else:
            ends = np.array([(x, y, z) for z in (-1, 1) for x, y in _SQUARE])
            linear = np.prod(1 + places[:, None] * ends[None], axis=2) / 8
        return jnp.asarray(linear, self.points.dtype)

    def at_quadrature(self, field: Float[Array, "node *more"]) -> Float[Array, "cell q *more"]:
        """A nodal field at the points of quadrature; of `points` the places [mm] themselves."""
        return jnp.einsum("qa,ca...->cq...", self.values(), field[self.cells])

    def within(
        self,
        field: Float[Array, "node *more"],
        cells: Int[np.ndarray, " place"],
        weights: Float[np.ndarray, "place 4"],
    ) -> Float[Array, "place *more"]:
        """A nodal field at places in tetrahedra, whose corners have the weights there.

        [`locate`][twinjax.geometry.locate] finds cells and weights, of straight cells. Raises
        `ValueError` for hexahedra.
        """
        if self.cells.shape[1] != 10:
            raise ValueError("weights of corners name places in tetrahedra, not in hexahedra")
        values, _ = simplex_shapes(TETRAHEDRON, np.asarray(weights)[:, 1:])
        return jnp.einsum("pa,pa...->p...", values, field[self.cells[cells]])

    def load(self, density: Float[Array, "cell q *more"]) -> Float[Array, "node *more"]:
        """∫ v density for each shape function v: nodal forces [mN] of a force in kPa/mm."""
        local = jnp.einsum("qa,cq,cq...->ca...", self.values(), self.geometry()[1], density)
        total = jnp.zeros((len(self.points), *density.shape[2:]), density.dtype)
        return total.at[self.cells].add(local)

    def mask(self, *tags: int) -> Bool[np.ndarray, " node"]:
        """Whether each node lies on a facet with one of the tags."""
        chosen = np.zeros(len(self.points), bool)
        chosen[self.surface(*tags)] = True
        return chosen


@eqx.filter_jit
def _measure(elements: Quadratic) -> Array:
    return elements.geometry()[1]


class _Numbers:
    """Gives every edge, face and inside of cells a node of its own, after the corners."""

    def __init__(self, count: int):
        self.count = count
        self.known: dict[tuple[int, ...], int] = {}
        self.rows: list[np.ndarray] = [np.tile(np.arange(count)[:, None], (1, 8))]

    def of(self, cells: np.ndarray, corners: Corners) -> np.ndarray:
        """The nodes of each cell."""
        columns = []
        for size in (1, 2, 4, 8):
            here = [list(at) for at in corners if len(at) == size]
            if size == 1:
                columns.append(cells)
            elif here:
                columns.append(self._middles(np.sort(cells[:, np.array(here)], axis=2)))
        return np.concatenate(columns, axis=1)

    def _middles(self, ends: np.ndarray) -> np.ndarray:
        unique, place = np.unique(
            ends.reshape(-1, ends.shape[2]).astype(np.int64), axis=0, return_inverse=True
        )
        number = np.empty(len(unique), np.int64)
        for row, key in enumerate(map(tuple, unique.tolist())):
            if key not in self.known:
                self.known[key] = self.count + len(self.known)
                self.rows.append(np.tile(unique[row : row + 1], (1, 8 // len(key))))
            number[row] = self.known[key]
        return number[place.reshape(ends.shape[:2])]

    def parents(self) -> np.ndarray:
        """The corners of which each node is the mean, repeated to make eight."""
        return np.concatenate(self.rows).astype(np.int32)


def _tagged(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The tagged facets that lie on the boundary, seen from outside against the clock."""
    outer, _ = boundary(mesh)
    tags = {
        tuple(f): int(t)
        for f, t in zip(np.sort(mesh.facets, axis=1).tolist(), mesh.facet_tags, strict=True)
    }
    found = [tags.get(tuple(f)) for f in np.sort(outer, axis=1).tolist()]
    keep = np.array([tag is not None for tag in found], bool)
    return outer[keep], np.array([tag for tag in found if tag is not None], np.int32)
