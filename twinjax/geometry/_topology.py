"""What a mesh is made of: volumes, edges, faces, its boundary and its connected parts."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from twinjax.geometry._mesh import FACES, Mesh

# Six tetrahedra around the diagonal 0-6 fill a hexahedron.
HEX_AS_TETS = np.array(
    [[0, 1, 2, 6], [0, 2, 3, 6], [0, 3, 7, 6], [0, 7, 4, 6], [0, 4, 5, 6], [0, 5, 1, 6]]
)
_EDGES = {
    4: np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]),
    8: np.array([[0, 1], [1, 2], [2, 3], [3, 0], [4, 5], [5, 6]]
                + [[6, 7], [7, 4], [0, 4], [1, 5], [2, 6], [3, 7]]),
}  # fmt: skip


def volumes(mesh: Mesh) -> Float[np.ndarray, " cell"]:
    """The signed volume of every cell [mm³]; below 0 for an inverted one."""
    points = np.asarray(mesh.points)
    tets = mesh.cells if mesh.cells.shape[1] == 4 else mesh.cells[:, HEX_AS_TETS]
    a, b, c, d = np.moveaxis(points[tets], -2, 0)
    signed = np.einsum("...i,...i->...", np.cross(b - a, c - a), d - a) / 6
    return signed if signed.ndim == 1 else signed.sum(axis=1)


def edges(mesh: Mesh) -> Int[np.ndarray, "edge 2"]:
    """Every edge once, its lower node first."""
    pairs = np.sort(mesh.cells[:, _EDGES[mesh.cells.shape[1]]].reshape(-1, 2), axis=1)
    return np.unique(pairs, axis=0)


def faces(mesh: Mesh) -> Int[np.ndarray, "cell face edge"]:
    """All faces of all cells, seen from outside against the clock."""
    return mesh.cells[:, FACES[mesh.cells.shape[1]]]


def boundary(mesh: Mesh) -> tuple[Int[np.ndarray, "facet edge"], Int[np.ndarray, " facet"]]:
    """The faces that belong to one cell only, and the cell of each.

    Seen from outside their nodes go against the clock, also where the cell is inverted.
    """
    all_faces = faces(mesh)
    flat = all_faces.reshape(-1, all_faces.shape[-1])
    _, first, count = np.unique(
        np.sort(flat, axis=1), axis=0, return_index=True, return_counts=True
    )
    chosen = np.sort(first[count == 1])
    facets, owner = flat[chosen], (chosen // all_faces.shape[1]).astype(np.int32)
    inverted = volumes(mesh)[owner] < 0
    facets[inverted] = facets[inverted, ::-1]
    return facets, owner


def interface(
    mesh: Mesh, inside: Sequence[int], outside: Sequence[int]
) -> Int[np.ndarray, "facet edge"]:
    """The faces between cells of the regions `inside` and cells of the regions `outside`.

    They are seen from outside, as the boundary of the regions inside would be.
    """
    ours = np.isin(mesh.regions, inside)
    theirs = np.isin(mesh.regions, outside)
    width = faces(mesh).shape[-1]
    all_faces = faces(mesh)[ours].reshape(-1, width)
    others = faces(mesh)[theirs].reshape(-1, width)
    both = np.concatenate([np.sort(all_faces, axis=1), np.sort(others, axis=1)])
    number = np.unique(both, axis=0, return_inverse=True)[1].ravel()
    return all_faces[np.isin(number[: len(all_faces)], number[len(all_faces) :])]


def tags_of(mesh: Mesh, facets: Int[np.ndarray, "facet edge"]) -> Int[np.ndarray, " facet"]:
    """The tag that the mesh gives to each of the facets, whatever their order of nodes; else 0."""
    known = {tuple(f): int(t) for f, t in zip(np.sort(mesh.facets), mesh.facet_tags, strict=True)}
    return np.array([known.get(tuple(f), 0) for f in np.sort(facets)], np.int32)


def areas(
    points: Float[np.ndarray, "node 3"], facets: Int[np.ndarray, "facet edge"]
) -> Float[np.ndarray, "facet 3"]:
    """The area vector of each facet [mm²]: normal to it, as long as its area."""
    corners = points[facets]
    if facets.shape[1] == 3:
        return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]) / 2
    return np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]) / 2


def parts(cells: Int[np.ndarray, "cell corner"], nodes: int) -> Int[np.ndarray, " cell"]:
    """The number of the connected part (0, 1, ...; the largest first) of each cell or facet."""
    # A chain along the corners of a cell connects them all.
    ends = np.stack([cells[:, :-1].ravel(), cells[:, 1:].ravel()])
    graph = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), shape=(nodes, nodes))
    label = connected_components(graph, directed=False)[1][cells[:, 0]]
    found, number, count = np.unique(label, return_inverse=True, return_counts=True)
    rank = np.empty(len(found), np.int32)
    rank[np.argsort(-count, kind="stable")] = np.arange(len(found))
    return rank[number]
