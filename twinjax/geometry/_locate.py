"""Where points lie in a mesh of tetrahedra, and fields there."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.geometry._mesh import Mesh

_NEIGHBOURS = (8, 64, 512)


class Interpolation(eqx.Module):
    """From the nodes of a mesh to points: linear in the cell that each point lies in.

    A point that lies in no cell has the nearest values found, and `cells` is -1 there.
    """

    cells: Int[np.ndarray | Array, " point"]
    nodes: Int[np.ndarray | Array, "point 4"]
    weights: Float[np.ndarray | Array, "point 4"]
    distances: Float[np.ndarray | Array, " point"]  # from the place whose values are taken [mm]

    def __call__(self, field: Float[Array, "node *more"]) -> Float[Array, "point *more"]:
        """The field at the points."""
        weights = jnp.asarray(self.weights, jnp.asarray(field).dtype)
        return jnp.einsum("pa,pa...->p...", weights, jnp.asarray(field)[self.nodes])


def locate(mesh: Mesh, points: Float[np.ndarray, "point 3"]) -> Interpolation:
    """The cell of each point [mm], and the weights of its nodes.

    Cells are looked for among the 8, then 64, then 512 whose centres are nearest, as long as one
    more can hold the point. On the host, not differentiable. Raises `ValueError` for hexahedra.
    """
    from scipy.spatial import cKDTree  # slow to import, and rarely needed

    if mesh.cells.shape[1] != 4:
        raise ValueError("points are located in tetrahedra: divide the mesh by as_tetrahedra")
    places = np.asarray(points, float)
    corners = np.asarray(mesh.points, float)[mesh.cells]
    edges, centres = corners[:, 1:] - corners[:, :1], corners.mean(axis=1)
    tree = cKDTree(centres)
    # A point of a cell is nearer to its centre than its farthest corner.
    reach = float(np.linalg.norm(corners - centres[:, None], axis=2).max())
    cells = np.zeros(len(places), np.int32)
    weights, distances = np.zeros((len(places), 4)), np.full(len(places), np.inf)
    left = np.arange(len(places))
    for neighbours in _NEIGHBOURS:
        further = []
        for part in np.array_split(left, max(1, len(left) * neighbours // 500_000)):
            if not len(part):
                continue
            far, near = tree.query(places[part], k=min(neighbours, len(corners)))
            far, near = far.reshape(len(part), -1), near.reshape(len(part), -1)
            found = _weights(corners[near, 0], edges[near], places[part, None])
            clipped = np.maximum(found, 0)
            clipped /= clipped.sum(axis=2, keepdims=True)
            taken = np.einsum("pna,pnai->pni", clipped, corners[near])
            off = np.linalg.norm(taken - places[part, None], axis=2)
            off[found.min(axis=2) >= -1e-9] = 0.0
            best = np.argmin(off, axis=1)
            rows = np.arange(len(part))
            cells[part], weights[part] = near[rows, best], clipped[rows, best]
            distances[part] = off[rows, best]
            further.append(part[(distances[part] > 0) & (far[:, -1] <= reach)])
        left = np.concatenate(further) if further else left[:0]
    outside = distances > 1e-6 * reach
    nodes = mesh.cells[cells].astype(np.int32)
    return Interpolation(np.where(outside, -1, cells).astype(np.int32), nodes, weights, distances)


def _weights(first: np.ndarray, edges: np.ndarray, places: np.ndarray) -> Any:
    """Barycentric coordinates (..., 4)."""
    a, b, c = np.moveaxis(edges, -2, 0)
    away = places - first
    six = np.einsum("...i,...i->...", a, np.cross(b, c))
    parts = [
        np.einsum("...i,...i->...", away, np.cross(one, two)) / six
        for one, two in ((b, c), (c, a), (a, b))
    ]
    rest = np.stack(parts, axis=-1)
    return np.concatenate([1 - rest.sum(axis=-1, keepdims=True), rest], axis=-1)
