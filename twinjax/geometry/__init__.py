"""Meshes: their checks and repairs, simple shapes, surfaces, coordinates and fibres."""

from twinjax.geometry._coarsen import coarsened
from twinjax.geometry._coordinates import Coordinates, Fields, coordinates, fields, long_axis
from twinjax.geometry._divide import divided
from twinjax.geometry._edit import (
    as_tetrahedra,
    bandwidth,
    drop_orphans,
    drop_repeated,
    extract,
    flip_inverted,
    largest_part,
    reorder,
    repaired,
    scaled,
    select,
)
from twinjax.geometry._fibres import FibreRule, with_fibres
from twinjax.geometry._generate import left_ventricle, slab
from twinjax.geometry._gmsh import biventricle, tetrahedralise
from twinjax.geometry._inspect import MeshReport, check, inspect
from twinjax.geometry._level_set import within
from twinjax.geometry._locate import Interpolation, locate
from twinjax.geometry._mesh import Mesh, replace
from twinjax.geometry._segments import SEGMENTS, segments
from twinjax.geometry._surface import (
    Surface,
    find_surfaces,
    surfaces_from_points,
    with_surfaces,
)
from twinjax.geometry._topology import areas, boundary, edges, interface, parts, tags_of, volumes

__all__ = [
    "SEGMENTS",
    "Coordinates",
    "FibreRule",
    "Fields",
    "Interpolation",
    "Mesh",
    "MeshReport",
    "Surface",
    "areas",
    "as_tetrahedra",
    "bandwidth",
    "biventricle",
    "boundary",
    "check",
    "coarsened",
    "coordinates",
    "divided",
    "drop_orphans",
    "drop_repeated",
    "edges",
    "extract",
    "fields",
    "find_surfaces",
    "flip_inverted",
    "inspect",
    "interface",
    "largest_part",
    "left_ventricle",
    "locate",
    "long_axis",
    "parts",
    "reorder",
    "repaired",
    "replace",
    "scaled",
    "segments",
    "select",
    "slab",
    "surfaces_from_points",
    "tags_of",
    "tetrahedralise",
    "volumes",
    "with_fibres",
    "with_surfaces",
    "within",
]
