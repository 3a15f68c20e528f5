"""A finer mesh: every tetrahedron divided into eight."""

import numpy as np
from jaxtyping import Int

from twinjax.geometry._mesh import Mesh

_EDGES = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
# The four corners: a node, and the middles of its edges by their number above.
_CORNERS = ((0, 4, 5, 6), (4, 1, 7, 8), (5, 7, 2, 9), (6, 8, 9, 3))
# What is left is an octahedron: about the axis between two opposite middles lie four others.
_OCTAHEDRA = (((4, 9), (5, 6, 8, 7)), ((5, 8), (4, 7, 9, 6)), ((6, 7), (4, 5, 9, 8)))


def divided(mesh: Mesh) -> tuple[Mesh, Int[np.ndarray, "edge 2"]]:
    """Every tetrahedron in eight, every tagged facet in four, at the middles of the edges.

    Four cells keep the shape of theirs; the octahedron between them is divided about its shortest
    diagonal (Bey 1995, Computing 55:355). Regions, tags and frames are those of the divided cell.

    **Returns:** the mesh, whose first nodes are the former ones, and the two former nodes of each
    of the others: a nodal field `f` becomes `concatenate([f, f[ends].mean(1)])`.
    Raises `ValueError` for hexahedra.
    """
    if mesh.cells.shape[1] != 4:
        raise ValueError("only tetrahedra are divided: see as_tetrahedra")
    count = len(mesh.points)
    pairs = np.sort(mesh.cells[:, _EDGES].reshape(-1, 2), axis=1).astype(np.int64)
    keys, number = np.unique(pairs[:, 0] * count + pairs[:, 1], return_inverse=True)
    ends = np.stack(np.divmod(keys, count), axis=1)
    nodes = np.concatenate([mesh.cells, count + number.reshape(-1, 6)], axis=1)
    points = np.asarray(mesh.points)
    points = np.concatenate([points, points[ends].mean(axis=1)])

    parts = [nodes[:, list(corner)] for corner in _CORNERS]
    axes = np.stack(
        [np.linalg.norm(points[nodes[:, a]] - points[nodes[:, b]], axis=1)
         for (a, b), _ in _OCTAHEDRA]
    )  # fmt: skip
    shortest = np.argmin(axes, axis=0)
    for k in range(4):
        chosen = np.empty((len(nodes), 4), nodes.dtype)
        for which, ((a, b), ring) in enumerate(_OCTAHEDRA):
            mine = shortest == which
            chosen[mine] = nodes[mine][:, [a, b, ring[k], ring[(k + 1) % 4]]]
        parts.append(chosen)
    cells = np.stack(parts, axis=1).reshape(-1, 4)
    corners = points[cells]
    a, b, c = (corners[:, k] - corners[:, 0] for k in (1, 2, 3))
    inverted = np.einsum("ij,ij->i", np.cross(a, b), c) < 0
    cells[inverted] = cells[inverted][:, [0, 2, 1, 3]]

    sides = np.sort(mesh.facets[:, [[0, 1], [1, 2], [2, 0]]].astype(np.int64), axis=2)
    middles = count + np.searchsorted(keys, sides[..., 0] * count + sides[..., 1])
    six = np.concatenate([mesh.facets, middles], axis=1)
    facets = six[:, [[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]]].reshape(-1, 3)
    fine = Mesh(
        points,
        cells.astype(np.int32),
        regions=np.repeat(mesh.regions, 8),
        facets=facets.astype(np.int32),
        facet_tags=np.repeat(mesh.facet_tags, 4),
        frames=None if mesh.frames is None else np.repeat(np.asarray(mesh.frames), 8, axis=0),
    )
    return fine, ends.astype(np.int32)
