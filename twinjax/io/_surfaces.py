"""Triangle surfaces from files, in mm."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from twinjax.io._quiet import quietly
from twinjax.units import convert

SURFACES = (".ply", ".stl", ".obj", ".vtp")


@dataclasses.dataclass(frozen=True, eq=False)
class SurfaceFile:
    """Points [mm], triangles, and the data a point that came with them, by name."""

    points: Float[np.ndarray, "node 3"]
    triangles: Int[np.ndarray, "triangle 3"]
    point_data: dict[str, np.ndarray]


def read_surface(path: str | Path, unit: str = "mm") -> SurfaceFile:
    """A surface of PLY, STL, OBJ or VTP (the last by pyvista).

    Points at exactly the same place are one. Raises `ValueError` for a file that is absent, of
    another kind, damaged, or has other faces than triangles.
    """
    path = Path(path)
    if path.suffix.lower() not in SURFACES:
        choices = ", ".join(SURFACES)
        raise ValueError(f"cannot read '{path.name}' as a surface; valid choices: {choices}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    by_vtk = path.suffix.lower() == ".vtp"
    points, triangles, data = _from_vtp(path) if by_vtk else _from_meshio(path)
    unique, first, place = np.unique(points, axis=0, return_index=True, return_inverse=True)
    # In the order of the file, so that an untouched surface keeps its numbers.
    rank = np.argsort(np.argsort(first))
    order = np.sort(first)
    return SurfaceFile(
        convert(1.0, unit, "mm") * unique[np.argsort(rank)],
        rank[place.ravel()][triangles].astype(np.int32),
        {name: values[order] for name, values in data.items()},
    )


def _from_meshio(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    read = quietly(path, lambda meshio: meshio.read(path))
    rows = [block.data for block in read.cells if block.type == "triangle"]
    others = {block.type for block in read.cells} - {"triangle", "vertex", "line"}
    if not rows or others:
        raise ValueError(f"{path} is no surface of triangles")
    data = {name: np.asarray(values) for name, values in read.point_data.items()}
    return np.asarray(read.points, float), np.concatenate(rows), data


def _from_vtp(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    try:
        import pyvista
    except ImportError:
        raise ValueError(f"'{path.name}' needs pyvista: install twinjax[meshes]") from None
    read = pyvista.read(path)
    if not (read.n_cells and read.is_all_triangles):
        raise ValueError(f"{path} is no surface of triangles")
    data = {name: np.asarray(read.point_data[name]) for name in read.point_data.keys()}  # noqa: SIM118
    return np.asarray(read.points, float), read.faces.reshape(-1, 4)[:, 1:], data
