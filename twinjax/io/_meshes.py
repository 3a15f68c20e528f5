"""Meshes from files and to files, in mm.

What the formats carry, and how it is named: the region of a cell and the tag of a facet as the
cell data `tag`; frames as the cell data `fibre`, `sheet` and `normal`. On reading, the usual
names of other programs are understood too.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Array

from twinjax.geometry import Mesh
from twinjax.io._opencarp import igb_bytes, read_carp, read_igb, read_vtx, vtx_text, write_carp
from twinjax.io._quiet import quietly
from twinjax.io._staged import staged
from twinjax.units import convert

_CARP = (".pts", ".elem", ".lon")
_TETGEN = (".node", ".ele")
_BY_MESHIO = {
    ".vtk": "vtk",
    ".vtu": "vtu",
    ".msh": "gmsh22",
    ".xdmf": "xdmf",
    ".node": "tetgen",
    ".ele": "tetgen",
}
_FENICS = (".h5",)
READABLE = (*_CARP, *_BY_MESHIO, *_FENICS)
WRITABLE = (*_CARP, *_BY_MESHIO)

_TAGS = ("tag", "gmsh:physical", "tetgen:ref", "medit:ref", "elemTag", "region", "regions",
         "Region", "material", "Material", "cell_tags", "tags", "ID")  # fmt: skip
_AXES = (
    ("fibre", "fiber", "f0", "fibers", "Fiber", "f"),
    ("sheet", "s0", "sheets", "Sheet", "s"),
    ("normal", "n0", "sheet_normal", "n"),
)
_CELLS = {"tetra": 4, "hexahedron": 8}
_FACETS = {"triangle": 3, "quad": 4}


@dataclasses.dataclass(frozen=True, eq=False)
class MeshFile:
    """A mesh with the data that came with it: arrays a node and a cell, by name."""

    mesh: Mesh
    point_data: dict[str, np.ndarray]
    cell_data: dict[str, np.ndarray]


def read_mesh(path: str | Path, unit: str | None = None) -> MeshFile:
    """A mesh of openCARP, VTK, VTU, Gmsh, TetGen, XDMF or FEniCS (its older HDF5).

    **Arguments:** `unit` is that of the file's lengths: µm for openCARP and mm otherwise, if
    none is given. TetGen's facets are read from `.face` or `.sur` beside the file.

    **Returns:** the mesh in mm; node numbers are those of the file. Cells are not turned: see
    [`inspect`][twinjax.geometry.inspect]. Fibres at nodes only stay in `point_data`, and the
    frames of the cells are then those of the mean of their nodes' axes. Where a file has fibres
    and no sheets, sheets are any direction across them. Raises `ValueError` for a file that is
    absent, of an unknown kind, damaged, or without tetrahedra or hexahedra.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in READABLE:
        choices = ", ".join(READABLE)
        raise ValueError(f"cannot read '{path.name}' as a mesh; valid choices: {choices}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    scale = convert(1.0, unit or ("µm" if kind in _CARP else "mm"), "mm")
    try:
        if kind in _CARP:
            return _from_carp(path, scale)
        if kind in _FENICS:
            return _from_fenics(path, scale)
        return _from_meshio(path, scale)
    except (OSError, KeyError, IndexError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is truncated or damaged ({type(error).__name__})") from error


def write_mesh(
    mesh: Mesh,
    path: str | Path,
    *,
    unit: str | None = None,
    point_data: Mapping[str, np.ndarray | Array] | None = None,
    cell_data: Mapping[str, np.ndarray | Array] | None = None,
) -> None:
    """Writes a mesh; the end of the name chooses the format: those of `read_mesh` but HDF5.

    Files appear whole or not at all; those of openCARP (.pts, .elem, .lon, .surf) and TetGen
    (.node, .ele) are several of one stem. `unit` is that of the lengths in the file, as for
    reading. Data a node (node, …) and a cell (cell, …) go into VTK, VTU and XDMF files; Gmsh's
    hold those a node; neither these nor TetGen's hold frames, and TetGen's hold no facets.

    Raises `ValueError` for a format or data that cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in WRITABLE:
        choices = ", ".join(WRITABLE)
        raise ValueError(f"cannot write '{path.name}' as a mesh; valid choices: {choices}")
    scale = convert(1.0, "mm", unit or ("µm" if kind in _CARP else "mm"))
    points = scale * np.asarray(mesh.points, float)
    frames = None if mesh.frames is None else np.asarray(mesh.frames, float)
    data = {
        place: {name: np.asarray(values) for name, values in (given or {}).items()}
        for place, given in (("node", point_data), ("cell", cell_data))
    }
    if kind in (*_CARP, *_TETGEN) and (data["node"] or data["cell"]):
        raise ValueError(f"a {kind} file holds no data: write a .vtu file, or an .igb beside it")
    # meshio 5.3 cannot read back data a cell of a Gmsh file with two kinds of cells.
    if kind in (*_TETGEN, ".msh") and (frames is not None or data["cell"]):
        raise ValueError(f"a {kind} file holds no frames or data of cells: write a .vtu file")
    if kind in _TETGEN and len(mesh.facets):
        raise ValueError(f"a {kind} file holds no facets: write a .vtu or .msh file")
    for place, count in (("node", len(points)), ("cell", len(mesh.cells))):
        for name, values in data[place].items():
            if len(values) != count:
                raise ValueError(f"'{name}' has {len(values)} values for {count} {place}s")
    with staged(path) as temporary:
        if kind in _CARP:
            parts = (mesh.cells, mesh.regions, mesh.facets, mesh.facet_tags)
            write_carp(temporary, points, *parts, frames)
        else:
            _to_meshio(temporary, kind, mesh, points, frames, data)


def write_vtx(nodes: np.ndarray, path: str | Path) -> None:
    """Writes a list of nodes for openCARP, for example `mesh.nodes(tag)`."""
    with staged(Path(path)) as temporary:
        temporary.write_text(vtx_text(nodes), encoding="utf-8")


def write_igb(values: np.ndarray, path: str | Path, *, step: float, unit: str) -> None:
    """Writes values (time, node) or (time, node, 3 or 9) every `step` ms, in single precision."""
    with staged(Path(path)) as temporary:
        temporary.write_bytes(igb_bytes(np.asarray(values, float), step, unit))


def _from_carp(path: Path, scale: float) -> MeshFile:
    read = read_carp(path)
    axes = read["axes"]
    frames = None
    if axes is not None:
        frames = _frames(axes[:, :3], axes[:, 3:] if axes.shape[1] == 6 else None, None)
    mesh = Mesh(
        scale * read["points"],
        read["cells"],
        regions=read["regions"],
        facets=read["facets"],
        facet_tags=read["tags"],
        frames=frames,
    )
    return MeshFile(mesh, {}, {})


def _from_fenics(path: Path, scale: float) -> MeshFile:
    """`Mesh/mesh` and, if it is there, the tags of facets in `MeshFunction/0` (0: untagged)."""
    with h5py.File(path, "r") as file:
        if "Mesh/mesh/geometry" not in file:
            raise ValueError(f"{path} is no mesh of FEniCS: it has no Mesh/mesh/geometry")
        points = file["Mesh/mesh/geometry"][:]
        cells = file["Mesh/mesh/topology"][:]
        facets = tags = None
        if "MeshFunction/0" in file:
            facets = file["MeshFunction/0/mesh/topology"][:]
            tags = file["MeshFunction/0/values"][:].ravel()
            tagged = (tags > 0) & (tags < 2**31)  # the largest unsigned number means: unset
            facets, tags = facets[tagged], tags[tagged]
    mesh = Mesh(scale * points, cells, facets=facets, facet_tags=tags)
    return MeshFile(mesh, {}, {})


def _from_meshio(path: Path, scale: float) -> MeshFile:
    read = quietly(path, lambda meshio: meshio.read(path))
    kinds = [block.type for block in read.cells]
    volumes = sorted({kind for kind in kinds if kind in _CELLS})
    if len(volumes) != 1:
        found = ", ".join(sorted(set(kinds))) or "nothing"
        raise ValueError(f"{path} has {found}; a mesh has tetra alone, or hexahedron alone")
    facet = {"tetra": "triangle", "hexahedron": "quad"}[volumes[0]]
    tag = next((name for name in _TAGS if name in read.cell_data), None)

    def gathered(kind: str, name: str | None) -> np.ndarray | None:
        if name is None:
            return None
        rows = [np.asarray(read.cell_data[name][i]) for i, k in enumerate(kinds) if k == kind]
        return np.concatenate(rows) if rows else None

    def blocks(kind: str) -> np.ndarray | None:
        rows = [block.data for block in read.cells if block.type == kind]
        return np.concatenate(rows) if rows else None

    cells = blocks(volumes[0])
    regions, facets, tags = gathered(volumes[0], tag), blocks(facet), gathered(facet, tag)
    if facets is None and path.suffix.lower() in _TETGEN:
        facets, tags = _tetgen_facets(path)
    cell_data = {name: gathered(volumes[0], name) for name in read.cell_data}
    for name in (tag, "gmsh:geometrical"):
        cell_data.pop(name, None)
    points = np.asarray(read.points, float)
    point_data = {name: np.asarray(values) for name, values in read.point_data.items()}
    axes = _axes(cell_data)
    frames = None
    if axes:
        frames = _frames(*axes)
        cell_data = {name: v for name, v in cell_data.items() if name not in sum(_AXES, ())}
    elif nodal := _axes(point_data):
        frames = _frames(*(None if a is None else _mean_axis(a[cells]) for a in nodal))
    mesh = Mesh(
        scale * points,
        cells,
        regions=None if regions is None else np.rint(regions.ravel()).astype(int),
        facets=facets,
        facet_tags=None if tags is None else np.rint(tags.ravel()).astype(int),
        frames=frames,
    )
    return MeshFile(mesh, point_data, {k: v for k, v in cell_data.items() if v is not None})


def _to_meshio(
    path: Path,
    kind: str,
    mesh: Mesh,
    points: np.ndarray,
    frames: np.ndarray | None,
    data: dict[str, dict[str, np.ndarray]],
) -> None:
    volume, facet = ("tetra", "triangle") if mesh.cells.shape[1] == 4 else ("hexahedron", "quad")
    blocks = [(volume, mesh.cells)]
    tags = [mesh.regions]
    if len(mesh.facets):
        blocks.append((facet, mesh.facets))
        tags.append(mesh.facet_tags)
    per_cell = dict(data["cell"])
    if frames is not None:
        per_cell |= {"fibre": frames[..., 0], "sheet": frames[..., 1], "normal": frames[..., 2]}
    # Facets have no such data, but every block must have every array.
    cell_data: dict[str, list[np.ndarray]] = {}
    for name, values in per_cell.items():
        array = np.asarray(values)
        cell_data[name] = [array]
        if len(mesh.facets):
            cell_data[name].append(np.zeros((len(mesh.facets), *array.shape[1:]), array.dtype))
    if kind == ".msh":
        cell_data |= {"gmsh:physical": tags, "gmsh:geometrical": tags}
    elif kind in _TETGEN:
        cell_data["tetgen:ref"] = tags
    else:
        cell_data["tag"] = tags
    options: dict[str, Any] = {"data_format": "HDF"} if kind == ".xdmf" else {}

    def write(meshio: Any) -> None:
        made = meshio.Mesh(points, blocks, point_data=data["node"], cell_data=cell_data)
        meshio.write(path, made, file_format=_BY_MESHIO[kind], **options)

    quietly(path, write)


def _tetgen_facets(path: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """From `.face` or `.sur` beside: number, three nodes and a tag a line."""
    for suffix in (".face", ".sur"):
        file = path.with_suffix(suffix)
        if not file.is_file():
            continue
        first = int(_rows(path.with_suffix(".node"))[1][0])  # 0 or 1
        table = np.array(_rows(file)[1:], int)
        facets = table[:, 1:4] - first
        tags = table[:, 4] if table.shape[1] > 4 else np.ones(len(table), int)
        return facets, tags
    return None, None


def _rows(path: Path) -> list[list[str]]:
    """The words of each line that is neither empty nor a comment."""
    lines = path.read_text("utf-8").splitlines()
    return [line.split() for line in lines if line.strip() and not line.startswith("#")]


def _axes(data: Mapping[str, Any]) -> list[np.ndarray | None] | None:
    """Fibre, sheet and normal among the data, or nothing if there are no fibres."""
    found: list[np.ndarray | None] = []
    for names in _AXES:
        arrays = [data[n] for n in names if n in data and np.shape(data[n])[1:] == (3,)]
        found.append(np.asarray(arrays[0], float) if arrays else None)
    return None if found[0] is None else found


def _mean_axis(axes: np.ndarray) -> np.ndarray:
    """The mean direction (cell, 3) of axes (cell, corner, 3), whose signs mean nothing."""
    return np.linalg.eigh(np.einsum("cai,caj->cij", axes, axes))[1][:, :, -1]


def _frames(
    fibre: np.ndarray | None, sheet: np.ndarray | None, normal: np.ndarray | None
) -> np.ndarray:
    """Orthonormal and right-handed frames that keep the fibres."""
    if fibre is None:
        raise ValueError("frames need fibres")
    f = fibre / np.maximum(np.linalg.norm(fibre, axis=1), 1e-300)[:, None]
    if sheet is None and normal is not None:
        sheet = np.cross(normal, f)
    if sheet is None:
        sheet = np.eye(3)[np.argmin(np.abs(f), axis=1)]
    s = sheet - np.sum(sheet * f, axis=1)[:, None] * f
    s = s / np.maximum(np.linalg.norm(s, axis=1), 1e-300)[:, None]
    return np.stack([f, s, np.cross(f, s)], axis=2)


__all__ = [
    "READABLE",
    "WRITABLE",
    "MeshFile",
    "read_igb",
    "read_mesh",
    "read_vtx",
    "write_igb",
    "write_mesh",
    "write_vtx",
]
