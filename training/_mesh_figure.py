"""A picture of a mesh: its outside from two sides, by pyvista without a window."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from twinjax._names import unknown_name
from twinjax.geometry import Surface, boundary, long_axis, tags_of
from twinjax.io import MeshFile

_LINES = 3000  # fibres drawn; more cover each other
_COLOURS = {
    Surface.BASE: "#b8b8b8",
    Surface.EPI: "#c96a5a",
    Surface.LV_ENDO: "#4b7db3",
    Surface.RV_ENDO: "#6fae7a",
}


def draw_mesh(
    read: MeshFile, path: Path, *, colour: str | None = None, fibres: bool = False
) -> None:
    """Writes a PNG of the mesh's boundary, edges shown, from the front and from the back.

    **Arguments:** `colour` is the name of data in the file, `surface` or `tag` (of regions); by
    default surfaces if they are tagged. With `fibres`, lines in cells of the outside.
    Raises `ValueError` without pyvista, for unknown data, or for fibres that are not there.
    """
    try:
        import pyvista
        from vtkmodules.vtkCommonCore import vtkLogger
    except ImportError:
        raise ValueError("a picture needs pyvista: install twinjax[meshes]") from None
    # Where there is no display VTK says so on stderr, and then draws without one.
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    mesh = read.mesh
    points = np.asarray(mesh.points)
    facets, owner = boundary(mesh)
    shell = pyvista.PolyData.from_regular_faces(points, facets)
    values, bar = _values(read, facets, owner, colour)
    options: dict[str, Any] = {
        "show_edges": True,
        "edge_color": "#404040",
        "line_width": 0.3,
        "ambient": 0.35,
    }
    if values is None:
        options["color"] = "#c96a5a"
    else:
        options |= {"scalars": values, "scalar_bar_args": {"title": bar}}
        if bar == "surface":
            options["cmap"] = [_COLOURS.get(s, "#ffffff") for s in Surface]
            options |= {"clim": (0.5, 4.5), "n_colors": 4, "show_scalar_bar": False}
    lines = _fibres(read, owner) if fibres else None
    plotter: Any = pyvista.Plotter(
        off_screen=True, shape=(1, 2), window_size=(1400, 700), border=False
    )
    up, ahead = _view(read)
    reach = 2.2 * float(np.linalg.norm(np.ptp(points, axis=0)))
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    for column, side in enumerate((1.0, -1.0)):
        plotter.subplot(0, column)
        if lines is not None:
            plotter.add_mesh(shell, color="#e8e0d8", ambient=0.35)
            plotter.add_mesh(pyvista.PolyData(lines.reshape(-1, 3), lines=_pairs(len(lines))),
                             color="#9c2f24", line_width=2)  # fmt: skip
        else:
            plotter.add_mesh(shell, copy_mesh=True, **options)
        # From above, so that one looks into the cavities.
        eye = middle + reach * (side * ahead + 0.45 * up) / math.hypot(1, 0.45)
        plotter.camera_position = [tuple(eye), tuple(middle), tuple(up)]
        plotter.reset_camera()
        plotter.camera.zoom(1.3)
    try:
        plotter.screenshot(str(path))
    finally:
        plotter.close()


def _values(
    read: MeshFile, facets: np.ndarray, owner: np.ndarray, colour: str | None
) -> tuple[np.ndarray | None, str]:
    """What colours each facet (or node), and its name."""
    mesh = read.mesh
    tagged = len(mesh.facets) > 0
    name = colour or ("surface" if tagged else "tag" if np.ptp(mesh.regions) else None)
    if name is None:
        return None, ""
    if name == "surface" and tagged:
        return tags_of(mesh, facets), name
    if name == "tag":
        return mesh.regions[owner], name
    for arrays, chosen in ((read.point_data, slice(None)), (read.cell_data, owner)):
        if name in arrays:
            return arrays[name][chosen], name
    choices = [*read.point_data, *read.cell_data, "tag", *(["surface"] if tagged else [])]
    raise ValueError(unknown_name("data", name, choices))


def _fibres(read: MeshFile, owner: np.ndarray) -> np.ndarray:
    """Ends of a line in some cells of the outside: (line, 2, 3)."""
    mesh = read.mesh
    if mesh.frames is None:
        raise ValueError("the mesh has no fibres: `twinjax mesh fibres` gives it some")
    cells = np.unique(owner)[:: max(1, len(np.unique(owner)) // _LINES)]
    corners = np.asarray(mesh.points)[mesh.cells[cells]]
    size = np.linalg.norm(np.ptp(corners, axis=1), axis=1) / 3
    half = size[:, None] * np.asarray(mesh.frames)[cells, :, 0]
    outside = corners.mean(axis=1)
    # Lifted out of the wall, or the facets would hide them.
    middle = np.asarray(mesh.points).mean(axis=0)
    away = outside - middle
    lifted = outside + 0.03 * away
    return np.stack([lifted - half, lifted + half], axis=1)


def _pairs(count: int) -> np.ndarray:
    ends = np.arange(2 * count).reshape(-1, 2)
    return np.concatenate([np.full((count, 1), 2), ends], axis=1).ravel()


def _view(read: MeshFile) -> tuple[np.ndarray, np.ndarray]:
    """The direction that is up, and one across."""
    try:
        up = long_axis(read.mesh)[1]
    except ValueError:
        up = np.array([0.0, 0.0, 1.0])
    across = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    return up, across / np.linalg.norm(across)
