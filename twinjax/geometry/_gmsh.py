"""Tetrahedra by Gmsh, an optional extra: inside a closed surface, and of two ventricles."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Integer

from twinjax.geometry._edit import flip_inverted, select
from twinjax.geometry._mesh import Mesh, replace
from twinjax.geometry._surface import Surface
from twinjax.geometry._topology import boundary

_TRIANGLE, _TETRAHEDRON = 2, 4  # Gmsh's numbers of these elements
_DELAUNAY = 1


def tetrahedralise(
    points: Float[np.ndarray, "node 3"],
    triangles: Integer[np.ndarray, "triangle 3"],
    tags: Integer[np.ndarray, " triangle"] | None = None,
    *,
    spacing: float | None = None,
) -> Mesh:
    """Tetrahedra in a closed surface, whose triangles [mm] are kept and become tagged facets.

    **Arguments:** `tags` of the triangles, 1 if none are given; `spacing` [mm] bounds the edges
    inside, which otherwise follow the surface. Points that no triangle uses are dropped.

    Raises `ValueError` if the surface is open or branches, if Gmsh is not installed, or if it
    finds no mesh, as where the surface cuts itself.
    """
    tags = np.ones(len(triangles), np.int32) if tags is None else np.asarray(tags)
    open_edges = _open_edges(triangles)
    if open_edges:
        raise ValueError(f"the surface is not closed: {open_edges} edges have no 2 triangles")
    with _session() as gmsh:
        entities = []
        # A discrete surface for each tag, so that their triangles stay as they are.
        for number, tag in enumerate(np.unique(tags)):
            entity = gmsh.model.addDiscreteEntity(2)
            if number == 0:
                index = np.arange(1, len(points) + 1)
                gmsh.model.mesh.addNodes(2, entity, index, points.ravel())
            chosen = triangles[tags == tag].astype(np.uint64) + 1
            gmsh.model.mesh.addElementsByType(entity, _TRIANGLE, [], chosen.ravel())
            entities.append(entity)
        loop = gmsh.model.geo.addSurfaceLoop(entities)
        gmsh.model.geo.addVolume([loop])
        gmsh.model.geo.synchronize()
        if spacing is not None:
            gmsh.option.setNumber("Mesh.MeshSizeMax", spacing)
        made, cells = _generate(gmsh)
    mesh = Mesh(made, cells, facets=triangles, facet_tags=tags)
    return select(flip_inverted(mesh), np.ones(len(cells), bool))[0]


def biventricle(spacing: float = 4.0) -> Mesh:
    """Two idealised ventricles of an adult's size, in tetrahedra, cut flat at z = 20 mm.

    The left one is that of [`left_ventricle`][twinjax.geometry.left_ventricle]. The right one
    leans on it: its cavity is an ellipsoid with semi-axes 32, 38 and 56 mm about x = 28 mm
    without the left ventricle, its free wall 4 mm thick; the left ventricle's wall is the septum.

    **Arguments:** `spacing` [mm] is the wished length of edges.

    **Returns:** a mesh with tagged [surfaces][twinjax.geometry.Surface], regions 1 (left
    ventricle with the septum) and 2 (right free wall), and no frames.
    Raises `ValueError` for a spacing not above 0 or if Gmsh is not installed.
    """
    if not spacing > 0:
        raise ValueError(f"a mesh needs a spacing above 0 mm, not {spacing}")
    with _session() as gmsh:
        occ = gmsh.model.occ
        left_endo, left_epi, right_endo, right_epi = (
            _ellipsoid(occ, centre, axes) for centre, axes in _IDEAL
        )
        free_wall, _ = occ.cut([(3, right_epi)], [(3, right_endo)])
        free_wall, _ = occ.cut(free_wall, [(3, left_epi)], removeTool=False)
        left_wall, _ = occ.cut([(3, left_epi)], [(3, left_endo)])
        above = occ.addBox(-200, -200, _CUT, 400, 400, 400)
        cut, _ = occ.cut(free_wall + left_wall, [(3, above)])
        occ.fragment(cut, [])
        occ.synchronize()
        for name in ("Mesh.MeshSizeMin", "Mesh.MeshSizeMax"):
            gmsh.option.setNumber(name, spacing)
        points, cells = _generate(gmsh)
    mesh = flip_inverted(select(Mesh(points, cells), np.ones(len(cells), bool))[0])
    facets, _ = boundary(mesh)
    # The mesh is a polyhedron: its corners lie on the surfaces, its centres do not.
    off = np.stack([_off(mesh.points, *shape)[facets].max(axis=1) for shape in _IDEAL])
    flat = np.abs(mesh.points[:, 2] - _CUT)[facets].max(axis=1)
    tags = np.array([Surface.LV_ENDO, Surface.EPI, Surface.RV_ENDO, Surface.EPI])[off.argmin(0)]
    # What the left ventricle's outside shows to the right cavity is the septum.
    inside = _level(mesh.points[facets].mean(axis=1), *_IDEAL[2]) < 1
    tags[(tags == Surface.EPI) & inside] = Surface.RV_ENDO
    tags[flat < 1e-6] = Surface.BASE
    regions = np.where(_level(mesh.centres(), *_IDEAL[1]) < 1, 1, 2)
    return replace(mesh, facets=facets, facet_tags=tags, regions=regions)


_CUT = 20.0
# Centres and semi-axes [mm]: left endocardium and epicardium, right endocardium and epicardium.
_IDEAL = (
    ((0.0, 0.0, 0.0), (26.0, 26.0, 60.0)),
    ((0.0, 0.0, 0.0), (34.0, 34.0, 68.0)),
    ((28.0, 0.0, 0.0), (32.0, 38.0, 56.0)),
    ((28.0, 0.0, 0.0), (36.0, 42.0, 60.0)),
)


def _ellipsoid(occ: Any, centre: tuple[float, ...], axes: tuple[float, ...]) -> int:
    ball = occ.addSphere(0, 0, 0, 1)
    occ.dilate([(3, ball)], 0, 0, 0, *axes)
    occ.translate([(3, ball)], *centre)
    return ball


def _level(points: np.ndarray, centre: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
    """1 on the ellipsoid, less inside."""
    return np.sum(((points - centre) / axes) ** 2, axis=1)


def _off(points: np.ndarray, centre: tuple[float, ...], axes: tuple[float, ...]) -> np.ndarray:
    return np.abs(_level(points, centre, axes) - 1)


def _open_edges(triangles: np.ndarray) -> int:
    ends = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=2).reshape(-1, 2)
    count = np.unique(np.sort(ends, axis=1), axis=0, return_counts=True)[1]
    return int(np.sum(count != 2))


def _generate(gmsh: Any) -> tuple[np.ndarray, np.ndarray]:
    gmsh.option.setNumber("Mesh.Algorithm3D", _DELAUNAY)
    try:
        gmsh.model.mesh.generate(3)
    except Exception as error:  # Gmsh raises no narrower kind
        raise ValueError(f"Gmsh found no mesh of this surface: {error}") from None
    index, coordinates, _ = gmsh.model.mesh.getNodes()
    corners = gmsh.model.mesh.getElementsByType(_TETRAHEDRON)[1].astype(np.int64)
    if not len(corners):
        raise ValueError("Gmsh found no mesh of this surface: does it cut itself?")
    # By Gmsh's own numbers, so that those of a given surface stay first.
    number = np.argsort(index)
    points = coordinates.reshape(-1, 3)[number]
    return points, np.searchsorted(index[number], corners).reshape(-1, 4)


@contextmanager
def _session() -> Iterator[Any]:
    try:
        import gmsh
    except (ImportError, OSError):
        # OSError: the package is there, but a graphics library that it wants is not.
        raise ValueError("this needs Gmsh: install twinjax[gmsh] (GPL)") from None
    gmsh.initialize(interruptible=False)
    try:
        gmsh.option.setNumber("General.Terminal", 0)
        gmsh.model.add("twinjax")
        yield gmsh
    finally:
        gmsh.finalize()
