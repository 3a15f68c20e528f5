"""Meshes made from meshes: repaired, cut out, scaled, renumbered, boundary tagged."""

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from twinjax.geometry._mesh import Mesh, replace
from twinjax.geometry._topology import HEX_AS_TETS, boundary, edges, parts, volumes


def flip_inverted(mesh: Mesh) -> Mesh:
    """Every cell with a positive volume: nodes of inverted ones are listed in mirrored order."""
    cells = mesh.cells.copy()
    wrong = volumes(mesh) < 0
    mirrored = [0, 2, 1, 3] if cells.shape[1] == 4 else [4, 5, 6, 7, 0, 1, 2, 3]
    cells[wrong] = cells[wrong][:, mirrored]
    return replace(mesh, cells=cells)


def select(mesh: Mesh, keep: Bool[np.ndarray, " cell"]) -> tuple[Mesh, Int[np.ndarray, " node"]]:
    """The chosen cells with their nodes and facets, and the former number of each node."""
    cells = mesh.cells[keep]
    nodes = np.unique(cells).astype(np.int32)
    number = np.full(len(mesh.points), -1, np.int32)
    number[nodes] = np.arange(len(nodes))
    facets = number[mesh.facets]
    whole = (facets >= 0).all(axis=1)
    made = Mesh(
        mesh.points[nodes],
        number[cells],
        regions=mesh.regions[keep],
        facets=facets[whole],
        facet_tags=mesh.facet_tags[whole],
        frames=None if mesh.frames is None else mesh.frames[keep],
    )
    return made, nodes


def extract(mesh: Mesh, *regions: int) -> tuple[Mesh, Int[np.ndarray, " node"]]:
    """The cells of these regions, and the former number of each node.

    Raises `ValueError` for a region without cells.
    """
    there = np.unique(mesh.regions)
    for region in regions:
        if region not in there:
            choices = ", ".join(str(tag) for tag in there)
            raise ValueError(f"no cell has the region tag {region}; valid choices: {choices}")
    return select(mesh, np.isin(mesh.regions, regions))


def drop_orphans(mesh: Mesh) -> Mesh:
    """Without nodes that belong to no cell."""
    return select(mesh, np.ones(len(mesh.cells), bool))[0]


def drop_repeated(mesh: Mesh) -> Mesh:
    """Of cells with the same nodes, only the first."""
    return select(mesh, _first(mesh))[0]


def largest_part(mesh: Mesh) -> Mesh:
    """The connected part with most cells."""
    return select(mesh, parts(mesh.cells, len(mesh.points)) == 0)[0]


def repaired(mesh: Mesh) -> tuple[Mesh, Int[np.ndarray, " node"], Int[np.ndarray, " cell"]]:
    """The largest part, without lone nodes and repeated cells, and no cell inverted.

    **Returns:** the mesh, and the former numbers of its nodes and of its cells.
    """
    keep = _first(mesh) & (parts(mesh.cells, len(mesh.points)) == 0)
    made, nodes = select(flip_inverted(mesh), keep)
    return made, nodes, np.flatnonzero(keep)


def _first(mesh: Mesh) -> np.ndarray:
    """Which cells have nodes that no cell before them has."""
    first = np.unique(np.sort(mesh.cells, axis=1), axis=0, return_index=True)[1]
    keep = np.zeros(len(mesh.cells), bool)
    keep[first] = True
    return keep


def scaled(mesh: Mesh, factor: float) -> Mesh:
    """All lengths times `factor`, about the origin; it must be above 0."""
    if not factor > 0:
        raise ValueError(f"a mesh is scaled by a factor above 0, not {factor}")
    return replace(mesh, points=mesh.points * factor)


def reorder(mesh: Mesh) -> tuple[Mesh, Int[np.ndarray, " node"], Int[np.ndarray, " cell"]]:
    """Neighbours get near numbers: reverse Cuthill-McKee for nodes, cells by their lowest node.

    **Returns:** the mesh, and the former numbers of its nodes and of its cells: data follow as
    `values[nodes]`.
    """
    pairs = edges(mesh)
    count = len(mesh.points)
    graph = coo_array((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), (count, count))
    symmetric = (graph + graph.T).tocsr()
    nodes = reverse_cuthill_mckee(symmetric, symmetric_mode=True).astype(np.int32)
    number = np.empty(count, np.int32)
    number[nodes] = np.arange(count)
    renamed = number[mesh.cells]
    cells = np.argsort(renamed.min(axis=1), kind="stable").astype(np.int32)
    made = replace(
        mesh,
        points=mesh.points[nodes],
        cells=renamed[cells],
        regions=mesh.regions[cells],
        facets=number[mesh.facets],
        frames=None if mesh.frames is None else mesh.frames[cells],
    )
    return made, nodes, cells


def bandwidth(mesh: Mesh) -> int:
    """The largest difference between the numbers of two neighbours."""
    pairs = edges(mesh)
    return int(np.max(pairs[:, 1] - pairs[:, 0], initial=0))


def as_tetrahedra(mesh: Mesh) -> Mesh:
    """Each hexahedron as six tetrahedra around a diagonal; tetrahedra stay as they are.

    Diagonals of neighbours meet on structured meshes, where all cells are numbered alike.
    Tagged facets are split along the diagonal that the cells have. Raises `ValueError` where
    neighbours disagree.
    """
    if mesh.cells.shape[1] == 4:
        return mesh
    tets = mesh.cells[:, HEX_AS_TETS].reshape(-1, 4)
    made = Mesh(
        mesh.points,
        tets,
        regions=np.repeat(mesh.regions, 6),
        frames=None if mesh.frames is None else np.repeat(mesh.frames, 6, axis=0),
    )
    if len(boundary(made)[0]) != 2 * len(boundary(mesh)[0]):
        raise ValueError("neighbouring hexahedra are numbered so that their diagonals cross")
    if not len(mesh.facets):
        return made
    # The diagonal of each tagged face is that which is an edge of the tetrahedra.
    codes = _code(edges(made), len(mesh.points))
    a, b, c, d = mesh.facets.T
    one = np.isin(_code(np.stack([a, c], axis=1), len(mesh.points)), codes)
    first = np.where(one[:, None], np.stack([a, b, c], axis=1), np.stack([b, c, d], axis=1))
    second = np.where(one[:, None], np.stack([a, c, d], axis=1), np.stack([b, d, a], axis=1))
    return replace(
        made,
        facets=np.stack([first, second], axis=1).reshape(-1, 3),
        facet_tags=np.repeat(mesh.facet_tags, 2),
    )


def _code(pairs: np.ndarray, count: int) -> np.ndarray:
    """One integer for each pair of nodes, in whatever order."""
    low, high = np.sort(pairs.astype(np.int64), axis=1).T
    return low * count + high
