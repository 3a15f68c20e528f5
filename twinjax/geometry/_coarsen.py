"""A coarser mesh of tetrahedra: short edges are collapsed, surfaces and regions stay.

A node goes onto a neighbour (Hoppe et al. 1993, SIGGRAPH, 19: half-edge collapse), as many nodes at
once as do not touch. A node of a surface goes along it, and one at which surfaces or regions meet
along that line; where lines meet it stays. A collapse is refused that turns a cell or a facet,
makes a flat cell or a long edge, or closes a gap: the common neighbours of both nodes must be those
that share a cell, or a facet, with both (the link condition of Dey et al. 1999, Publ Inst Math
66:23).
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from twinjax.geometry._edit import select
from twinjax.geometry._mesh import FACES, Mesh, replace
from twinjax.geometry._topology import boundary, tags_of, volumes

_LONGEST = 1.6  # of new edges, in units of the spacing
_FLAT = 0.12  # the least quality of a new cell, 1 for a regular one, unless its like was worse
_TURNED = 0.6  # the least cosine between the normals of a facet before and after
_FEW = 0.001  # rounds in which a smaller share of the nodes goes, three in a row, are the last


def coarsened(mesh: Mesh, spacing: float) -> Mesh:
    """The mesh with edges of about `spacing` [mm], where they were shorter.

    Nodes are some of the former ones. Regions and tagged facets of the boundary stay what they
    were; frames are those of the cells that are left. Raises `ValueError` for hexahedra or
    inverted cells.
    """
    if mesh.cells.shape[1] != 4:
        raise ValueError("only tetrahedra are coarsened: see as_tetrahedra")
    if not (volumes(mesh) > 0).all():
        raise ValueError("inverted cells are not coarsened: see flip_inverted")
    facets, _ = boundary(mesh)
    mesh = replace(mesh, facets=facets, facet_tags=tags_of(mesh, facets))
    rng = np.random.default_rng(0)
    idle = 0
    while idle < 3:
        gone, onto = _collapses(mesh, spacing, rng)
        idle = idle + 1 if len(gone) <= _FEW * len(mesh.points) else 0
        mesh = _collapsed(mesh, gone, onto)
    tagged = mesh.facet_tags != 0
    return replace(mesh, facets=mesh.facets[tagged], facet_tags=mesh.facet_tags[tagged])


def _collapsed(mesh: Mesh, gone: np.ndarray, onto: np.ndarray) -> Mesh:
    number = np.arange(len(mesh.points))
    number[gone] = onto
    cells, facets = number[mesh.cells], number[mesh.facets]
    left = _distinct(facets)
    moved = replace(mesh, cells=cells, facets=facets[left], facet_tags=mesh.facet_tags[left])
    return select(moved, _distinct(cells))[0]


def _distinct(rows: np.ndarray) -> Bool[np.ndarray, " row"]:
    return np.all(np.diff(np.sort(rows, axis=1), axis=1) > 0, axis=1)


def _collapses(
    mesh: Mesh, spacing: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Nodes that may go at once, and where each goes."""
    points, count = np.asarray(mesh.points), len(mesh.points)
    facets, patch = _patches(mesh)
    pairs = _pairs(mesh.cells, count)
    v = np.concatenate([pairs[:, 0], pairs[:, 1]])
    w = np.concatenate([pairs[:, 1], pairs[:, 0]])
    length = np.linalg.norm(points[v] - points[w], axis=1)
    allowed = (length < spacing) & _along(v, w, facets, patch, count)
    v, w, length = v[allowed], w[allowed], length[allowed]
    graph = _graph(pairs, count)
    surface = _graph(_pairs(facets, count), count)
    # Nodes that are to go must not touch, and in a surface not even have a neighbour in common:
    # those that are first by chance, and short edges more often.
    turn = np.full(count, np.inf)
    np.minimum.at(turn, v, length * rng.uniform(0.3, 1.0, count)[v])
    least = np.minimum(_lowest(graph, turn), _lowest(surface, _lowest(surface, turn, True)))
    chosen = turn[v] <= least[v]
    v, w, length = v[chosen], w[chosen], length[chosen]
    going = np.zeros(count, bool)
    going[v] = True
    cells, facets = (rows[going[rows].any(axis=1)] for rows in (mesh.cells, facets))
    sound = _sound_cells(points, cells, v, w, spacing) & _sound_facets(points, facets, v, w)
    v, w, length = v[sound], w[sound], length[sound]
    sound = _linked(v, w, cells, graph) & _linked(v, w, facets, surface)
    v, w, length = v[sound], w[sound], length[sound]
    # Onto the nearest.
    order = np.lexsort((length, v))
    v, first = np.unique(v[order], return_index=True)
    return v, w[order][first]


def _patches(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Facets of the boundary and between regions, and the number of the patch of each."""
    all_faces = mesh.cells[:, FACES[4]].reshape(-1, 3)
    region = np.repeat(mesh.regions, 4)
    _, first, place = np.unique(
        _key(all_faces, len(mesh.points)), return_index=True, return_inverse=True
    )
    least, most = np.full(len(first), 1 << 30), np.full(len(first), -1)
    np.minimum.at(least, place, region)
    np.maximum.at(most, place, region)
    outer = np.bincount(place) == 1
    tag, facets = np.zeros(len(first), int), all_faces[first]
    known = _key(mesh.facets, len(mesh.points))
    order = np.argsort(known)
    mine = _key(facets[outer], len(mesh.points))
    tag[outer] = 1 + mesh.facet_tags[order[np.searchsorted(known, mine, sorter=order)]]
    keep = outer | (least < most)
    width = np.array([int(mesh.regions.max()) + 1, int(tag.max(initial=0)) + 1])
    labels = (least * width[0] + most) * width[1] + tag
    patch = np.unique(labels[keep], return_inverse=True)[1]
    return facets[keep], patch


def _key(rows: np.ndarray, count: int) -> np.ndarray:
    """One number for the nodes of each row, whatever their order."""
    key = np.zeros(len(rows), np.int64)
    for column in np.sort(rows, axis=1).T:
        key = key * count + column
    return key


def _pairs(rows: np.ndarray, count: int) -> np.ndarray:
    """Every pair of nodes (pair, 2) that a row joins, once, the lower node first."""
    corners = rows.shape[1]
    ends = [rows[:, [a, b]] for a in range(corners) for b in range(a + 1, corners)]
    return np.stack(np.divmod(np.unique(_key(np.concatenate(ends), count)), count), axis=1)


def _along(
    v: np.ndarray, w: np.ndarray, facets: np.ndarray, patch: np.ndarray, count: int
) -> Bool[np.ndarray, " half"]:
    """Whether the edge lies on all patches that its first node lies on."""
    kinds = int(patch.max(initial=-1)) + 1
    if not kinds:
        return np.ones(len(v), bool)
    on_node = np.unique(facets * kinds + patch[:, None])
    patches_of = np.bincount(on_node // kinds, minlength=count)
    key = _key(facets[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), count)
    on_edge = np.unique(key * kinds + np.repeat(patch, 3))
    key, patches = np.unique(on_edge // kinds, return_counts=True)
    mine = _key(np.stack([v, w], axis=1), count)
    at = np.minimum(np.searchsorted(key, mine), len(key) - 1)
    shared = np.where(key[at] == mine, patches[at], 0)
    # An edge of a patch has both ends on it: as many means the same.
    return shared == patches_of[v]


def _graph(pairs: np.ndarray, count: int) -> csr_array:
    both = np.concatenate([pairs, pairs[:, ::-1]])
    return csr_array((np.ones(len(both), np.int32), (both[:, 0], both[:, 1])), (count, count))


def _linked(
    v: np.ndarray, w: np.ndarray, simplices: np.ndarray, graph: csr_array
) -> Bool[np.ndarray, " half"]:
    """Whether all common neighbours of two nodes share a simplex with both."""
    common = np.asarray(graph[v].multiply(graph[w]).sum(axis=1)).ravel()
    corners = simplices.shape[1]
    rows = []
    for a in range(corners):
        for b in range(a + 1, corners):
            for c in set(range(corners)) - {a, b}:
                rows.append(simplices[:, [a, b, c]])
    triple, count = np.concatenate(rows), graph.shape[0]
    unique = np.unique(_key(triple[:, :2], count) * count + triple[:, 2])
    key, sharing = np.unique(unique // count, return_counts=True)
    mine = _key(np.stack([v, w], axis=1), count)
    at = np.minimum(np.searchsorted(key, mine), len(key) - 1)
    there = key[at] == mine
    # Nodes that no simplex joins, here a facet, do not meet in that surface at all.
    return ~there | (common == sharing[at])


def _around(rows: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which simplices have each node of v: the place in v, and the simplex."""
    corners = rows.shape[1]
    order = np.argsort(rows.ravel(), kind="stable")
    owner, node = order // corners, rows.ravel()[order]
    first = np.searchsorted(node, v, side="left")
    size = np.searchsorted(node, v, side="right") - first
    place = np.repeat(np.arange(len(v)), size)
    inside = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    return place, owner[np.repeat(first, size) + inside]


def _quality(corners: Float[np.ndarray, "cell 4 3"]) -> tuple[np.ndarray, np.ndarray]:
    """Volume over the cube of the mean edge, 1 for regular cells; and the longest edge."""
    a, b, c, d = np.moveaxis(corners, 1, 0)
    volume = np.einsum("ci,ci->c", np.cross(b - a, c - a), d - a) / 6
    square = [((one - two) ** 2).sum(axis=1) for one, two in
              ((a, b), (a, c), (a, d), (b, c), (b, d), (c, d))]  # fmt: skip
    mean = np.sqrt(np.mean(square, axis=0))
    return 6 * np.sqrt(2) * volume / mean**3, np.sqrt(np.max(square, axis=0))


def _sound_cells(
    points: np.ndarray, cells: np.ndarray, v: np.ndarray, w: np.ndarray, spacing: float
) -> np.ndarray:
    place, cell = _around(cells, v)
    nodes = cells[cell]
    stays = ~(nodes == w[place, None]).any(axis=1)
    before, _ = _quality(points[nodes])
    worst = np.full(len(v), np.inf)
    np.minimum.at(worst, place, before)
    place, nodes = place[stays], nodes[stays]
    after = np.where(nodes == v[place, None], w[place, None], nodes)
    quality, longest = _quality(points[after])
    bad = (quality < np.minimum(_FLAT, 0.9 * worst[place])) | (quality < 1e-3)
    bad |= longest > _LONGEST * spacing
    sound = np.ones(len(v), bool)
    sound[place[bad]] = False
    return sound


def _sound_facets(
    points: np.ndarray, facets: np.ndarray, v: np.ndarray, w: np.ndarray
) -> np.ndarray:
    place, facet = _around(facets, v)
    nodes = facets[facet]
    stays = ~(nodes == w[place, None]).any(axis=1)
    place, nodes = place[stays], nodes[stays]
    after = np.where(nodes == v[place, None], w[place, None], nodes)
    one, two = _normal(points[nodes]), _normal(points[after])
    sound = np.ones(len(v), bool)
    sound[place[np.einsum("fi,fi->f", one, two) < _TURNED]] = False
    return sound


def _normal(corners: Float[np.ndarray, "facet 3 3"]) -> np.ndarray:
    vector = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    return vector / np.maximum(np.linalg.norm(vector, axis=1, keepdims=True), 1e-300)


def _lowest(graph: csr_array, values: Float[np.ndarray, " node"], own: bool = False) -> np.ndarray:
    """The least value among the neighbours of each node, and of itself with `own`."""
    least = values.copy() if own else np.full(len(values), np.inf)
    row = np.repeat(np.arange(len(values)), np.diff(graph.indptr))
    np.minimum.at(least, row, values[graph.indices])
    return least
