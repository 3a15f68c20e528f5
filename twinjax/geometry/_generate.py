"""Meshes of simple shapes: a slab, and a truncated ellipsoid as a left ventricle."""

import math

import numpy as np
from jaxtyping import Float, Int

from twinjax.geometry._edit import as_tetrahedra, flip_inverted
from twinjax.geometry._mesh import FACES, Mesh, replace
from twinjax.geometry._surface import Surface
from twinjax.geometry._topology import boundary


def slab(
    size: tuple[float, float, float],
    spacing: float,
    *,
    cells: str = "tetrahedra",
) -> Mesh:
    """A box from the origin to `size` [mm], its sides tagged 1 to 6: x low, x high, y low, ...

    Along each axis the intervals are equal and as near to `spacing` [mm] as their whole number
    allows. Tetrahedra are six a box, around parallel diagonals (Kuhn's division).

    Raises `ValueError` for sizes or a spacing not above 0, and for an unknown kind of cells.
    """
    if not (min(size) > 0 and spacing > 0):
        raise ValueError(f"a slab needs sizes and a spacing above 0 mm, not {size} and {spacing}")
    if cells not in ("tetrahedra", "hexahedra"):
        raise ValueError(f"unknown cells '{cells}'; valid choices: hexahedra, tetrahedra")
    counts = [max(1, round(length / spacing)) for length in size]
    axes = [np.linspace(0, s, n + 1) for s, n in zip(size, counts, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    number = np.arange(len(points)).reshape([n + 1 for n in counts])
    square = ((0, 0), (1, 0), (1, 1), (0, 1))
    corners = [(i, j, k) for k in (0, 1) for i, j in square]
    nx, ny, nz = counts
    blocks = [number[i : i + nx, j : j + ny, k : k + nz].ravel() for i, j, k in corners]
    hexes = np.stack(blocks, axis=1)
    place = np.indices(counts).reshape(3, -1)
    facets, tags = [], []
    for side, face in enumerate((5, 3, 2, 4, 0, 1)):  # of FACES[8]: x low, x high, y low, ...
        axis, end = divmod(side, 2)
        chosen = place[axis] == end * (counts[axis] - 1)
        facets.append(hexes[chosen][:, FACES[8][face]])
        tags.append(np.full(chosen.sum(), side + 1))
    mesh = Mesh(points, hexes, facets=np.concatenate(facets), facet_tags=np.concatenate(tags))
    return mesh if cells == "hexahedra" else as_tetrahedra(mesh)


def left_ventricle(
    spacing: float = 4.0,
    *,
    endo: tuple[float, float] = (26.0, 60.0),
    epi: tuple[float, float] = (34.0, 68.0),
    base: float = 20.0,
    layers: int | None = None,
) -> Mesh:
    """A left ventricle as a truncated ellipsoid of revolution, in tetrahedra.

    Between two ellipsoids x² + y² = r² (1 - z²/l²) with semi-axes (r, l) `endo` and `epi` [mm],
    cut off at z = `base`, the apex at z = -l. Layers in between have the semi-axes in proportion.
    The sizes are about those of an adult at end-diastole: a cavity of 126 mL and a wall of 8 mm.

    **Arguments:** `spacing` [mm] is the wished length of edges; `layers` the number of elements
    through the wall (from `spacing` if none is given, at least 2).

    **Returns:** a mesh with tagged [surfaces][twinjax.geometry.Surface] and no frames.
    Raises `ValueError` for sizes that are no wall.
    """
    if not (spacing > 0 and 0 < endo[0] < epi[0] and 0 < endo[1] < epi[1]):
        raise ValueError(
            f"a wall needs a spacing above 0 and endo below epi, not {spacing}, {endo} and {epi}"
        )
    if not abs(base) < endo[1]:
        raise ValueError(f"base = {base} lies outside the cavity, which ends at ±{endo[1]} mm")
    if layers is None:
        layers = max(2, round((epi[0] - endo[0]) / spacing))
    if layers < 1:
        raise ValueError(f"a wall needs at least 1 layer, not {layers}")
    middle = ((endo[0] + epi[0]) / 2, (endo[1] + epi[1]) / 2)
    reach, angle, triangles = _disc(middle, base, spacing)
    points = []
    for depth in np.linspace(0, 1, layers + 1):
        r, l = ((1 - depth) * a + depth * b for a, b in zip(endo, epi, strict=True))
        u = _latitude(r, l, base, reach)
        ring = r * np.sin(u)
        points.append(np.stack([ring * np.cos(angle), ring * np.sin(angle), -l * np.cos(u)], 1))
    count = len(reach)
    mesh = flip_inverted(Mesh(np.concatenate(points), _extrude(triangles, layers, count)))
    facets, _ = boundary(mesh)
    layer = facets // count
    tags = np.full(len(facets), int(Surface.BASE))
    tags[(layer == 0).all(axis=1)] = int(Surface.LV_ENDO)
    tags[(layer == layers).all(axis=1)] = int(Surface.EPI)
    return replace(mesh, facets=facets, facet_tags=tags)


def _latitude(r: float, l: float, base: float, reach: np.ndarray) -> np.ndarray:
    """The parametric angle from the apex at a share of the meridian's length up to the base."""
    u = np.linspace(0, math.acos(-base / l), 2001)
    speed = np.hypot(r * np.cos(u), l * np.sin(u))
    length = np.concatenate([[0], np.cumsum((speed[1:] + speed[:-1]) / 2 * np.diff(u))])
    return np.interp(reach, length / length[-1], u)


def _disc(
    axes: tuple[float, float], base: float, spacing: float
) -> tuple[Float[np.ndarray, " node"], Float[np.ndarray, " node"], Int[np.ndarray, "triangle 3"]]:
    """Rings of nodes around the apex, as even as the surface allows, and triangles between them.

    Rings have numbers of nodes of their own, since a structured grid would crowd at the apex.
    """
    r, l = axes
    u = np.linspace(0, math.acos(-base / l), 2001)
    length = np.sum(np.hypot(np.diff(r * np.sin(u)), np.diff(l * np.cos(u))))
    rings = max(3, round(length / spacing))
    share = np.arange(rings + 1) / rings
    around = 2 * math.pi * r * np.sin(_latitude(r, l, base, share)) / spacing
    counts = [1] + [max(6, round(n)) for n in around[1:]]
    starts = np.concatenate([[0], np.cumsum(counts)])
    reach = np.repeat(share, counts)
    angle = np.concatenate(
        [2 * math.pi * (np.arange(n) + 0.5 * (i % 2)) / n for i, n in enumerate(counts)]
    )
    triangles: list[tuple[int, int, int]] = []
    for ring in range(rings):
        inner, outer = counts[ring], counts[ring + 1]
        a, b = starts[ring], starts[ring + 1]
        if inner == 1:
            triangles += [(0, b + j, b + (j + 1) % outer) for j in range(outer)]
            continue
        i = j = 0
        turn = 2 * math.pi
        # Advances on the ring whose next node comes first.
        while i < inner or j < outer:
            next_in = angle[a + (i + 1) % inner] + turn * ((i + 1) // inner)
            next_out = angle[b + (j + 1) % outer] + turn * ((j + 1) // outer)
            if j == outer or (i < inner and next_in < next_out):
                triangles.append((a + i % inner, b + j % outer, a + (i + 1) % inner))
                i += 1
            else:
                triangles.append((a + i % inner, b + j % outer, b + (j + 1) % outer))
                j += 1
    return reach, angle, np.array(triangles)


def _extrude(triangles: np.ndarray, layers: int, count: int) -> np.ndarray:
    """Three tetrahedra a prism; faces match, since every diagonal rises from the lower number."""
    a, b, c = np.sort(triangles, axis=1).T
    A, B, C = a + count, b + count, c + count
    one = np.stack([[a, b, c, C], [a, b, B, C], [a, A, B, C]]).transpose(2, 0, 1).reshape(-1, 4)
    return np.concatenate([one + layer * count for layer in range(layers)])
