"""Tetrahedra where functions of space are below zero, without a mesher.

A body-centred lattice of nearly regular tetrahedra is cut where a function changes its sign, and
nodes near a cut are moved onto it first (Labelle and Shewchuk 2007, ACM Trans Graph 26:57, whose
bounds of angles hold for smooth functions). What the cut leaves of a tetrahedron is divided from
the node of least number, faces likewise, so that neighbours agree (Dompierre et al. 1999, Proc 8th
Int Meshing Roundtable, 195).
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from twinjax.geometry._edit import flip_inverted, largest_part, select
from twinjax.geometry._mesh import Mesh
from twinjax.geometry._topology import volumes

_NEAR = 0.3  # the share of an edge within which a cut pulls the node onto itself
_THIN = 1e-3  # of the cube of the spacing: cells of less volume are left out


def within(
    levels: Sequence[Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]],
    low: Float[np.ndarray, "3"],
    high: Float[np.ndarray, "3"],
    spacing: float,
) -> Mesh:
    """The largest connected part of where all `levels` are below zero.

    **Arguments:** functions of points [mm], in mm like a distance, cut off one after the other, so
    that edges between them stay sharp; the corners `low` and `high` [mm]
    of a box, nodes of the lattice being at `low` plus multiples of the `spacing` [mm]. Walls
    thinner than the spacing are lost. Raises `ValueError` where there is nothing below zero.
    """
    if not spacing > 0:
        raise ValueError(f"a lattice needs a spacing above 0 mm, not {spacing}")
    points, cells = _lattice(np.asarray(low, float), np.asarray(high, float), spacing)
    for level in levels:
        values = np.asarray(level(points), float)
        cells = cells[(values[cells] < 0).any(axis=1)]
        if not len(cells):
            raise ValueError("the functions are nowhere all below zero in the box")
        points, values = _snapped(points, values, cells)
        points, cells = _cut(points, values, cells)
        used, cells = np.unique(cells, return_inverse=True)
        points, cells = points[used], cells.reshape(-1, 4)
    mesh = flip_inverted(Mesh(points, cells))
    mesh = select(mesh, volumes(mesh) > _THIN * spacing**3)[0]
    return largest_part(mesh)


def _lattice(low: np.ndarray, high: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners and centres of cubes; about each edge of each face, two centres and the edge."""
    n = np.ceil((high - low) / h).astype(int)
    corner = np.stack(np.meshgrid(*(np.arange(m + 1) for m in n), indexing="ij"), axis=-1)
    centre = np.stack(np.meshgrid(*(np.arange(m) for m in n), indexing="ij"), axis=-1)
    points = np.concatenate([corner.reshape(-1, 3), centre.reshape(-1, 3) + 0.5]) * h + low
    of_corner = np.arange(np.prod(n + 1)).reshape(*(n + 1))
    of_centre = len(of_corner.ravel()) + np.arange(np.prod(n)).reshape(*n)
    cells = []
    for axis in range(3):
        lower = np.moveaxis(of_centre, axis, 0)[:-1].ravel()
        upper = np.moveaxis(of_centre, axis, 0)[1:].ravel()
        face = np.moveaxis(of_corner, axis, 0)[1:-1]
        ring = [face[:, :-1, :-1], face[:, 1:, :-1], face[:, 1:, 1:], face[:, :-1, 1:]]
        ring = [each.ravel() for each in ring]
        cells += [np.stack([lower, upper, ring[k], ring[(k + 1) % 4]], axis=1) for k in range(4)]
    return points, np.concatenate(cells)


def _edges(cells: np.ndarray) -> np.ndarray:
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    each = np.concatenate([cells[:, pair] for pair in pairs])
    return np.unique(np.sort(each, axis=1), axis=0)


def _snapped(
    points: np.ndarray, values: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each node goes onto the nearest cut of its edges, if that is near."""
    edges = _edges(cells)
    crossing = values[edges[:, 0]] * values[edges[:, 1]] < 0
    a, b = edges[crossing].T
    share = values[a] / (values[a] - values[b])
    node = np.concatenate([a, b])
    other = np.concatenate([b, a])
    near = np.concatenate([share, 1 - share])
    order = np.argsort(near, kind="stable")
    node, other, near = node[order], other[order], near[order]
    first = np.unique(node, return_index=True)[1]
    first = first[near[first] < _NEAR]
    node, other, near = node[first], other[first], near[first][:, None]
    moved, level = points.copy(), values.copy()
    moved[node] = (1 - near) * points[node] + near * points[other]
    level[node] = 0.0
    return moved, level


def _cut(
    points: np.ndarray, values: np.ndarray, cells: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What is left of each cell below zero, and the nodes on its cuts."""
    sign = np.sign(values).astype(int)
    cells = cells[(sign[cells] < 0).any(axis=1)]
    whole = (sign[cells] <= 0).all(axis=1)
    edges = _edges(cells[~whole])
    edges = edges[sign[edges[:, 0]] * sign[edges[:, 1]] < 0]
    a, b = edges.T
    share = (values[a] / (values[a] - values[b]))[:, None]
    made = (1 - share) * points[a] + share * points[b]
    number = {(int(i), int(j)): len(points) + k for k, (i, j) in enumerate(edges)}

    def between(i: int, j: int) -> int:
        return number[(i, j) if i < j else (j, i)]

    left = []
    for cell in cells[~whole].tolist():
        below = [i for i in cell if sign[i] < 0]
        on = [i for i in cell if sign[i] == 0]
        above = [i for i in cell if sign[i] > 0]
        if len(below) == 1:
            left.append([*below, *on, *(between(below[0], i) for i in above)])
            continue
        if len(below) == 3:
            ends = (below, [between(i, above[0]) for i in below])
        elif on:
            i, j, k = *below, above[0]
            ends = ([i, between(i, k), on[0]], [j, between(j, k), on[0]])
        else:
            (i, j), (k, m) = below, above
            ends = ([i, between(i, k), between(i, m)], [j, between(j, k), between(j, m)])
        left += _prism(*ends)
    return np.concatenate([points, made]), np.concatenate(
        [cells[whole], np.array(left, int).reshape(-1, 4)]
    )


def _prism(bottom: list[int], top: list[int]) -> list[list[int]]:
    """Tetrahedra of a prism, or of a pyramid: one node is then in both ends."""
    least = min(bottom + top)
    faces = [bottom, top]
    for k in range(3):
        m = (k + 1) % 3
        faces.append(list(dict.fromkeys([bottom[k], bottom[m], top[m], top[k]])))
    cells = []
    for face in faces:
        if least in face:
            continue
        if len(face) == 3:
            cells.append([least, *face])
            continue
        k = face.index(min(face))
        face = face[k:] + face[:k]
        cells += [[least, face[0], face[1], face[2]], [least, face[0], face[2], face[3]]]
    return cells
