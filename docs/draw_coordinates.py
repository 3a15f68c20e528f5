"""Draws coordinates and fibres of two hearts for the documentation.

`python -m docs.draw_coordinates` writes `images/coordinates.png` of the meshes of
`experiments.mesh_coordinates`; it needs the reference data and pyvista.
"""

import tempfile
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pyvista
from matplotlib.figure import Figure
from matplotlib.image import imread
from vtkmodules.vtkCommonCore import vtkLogger

from experiments.mesh_coordinates import cut_out, labelled_surface
from training._application import configure
from training.cli._output import replacing
from twinjax.fem import P1
from twinjax.geometry import FibreRule, Mesh, Surface, coordinates, fields, long_axis

DOCS = Path(__file__).resolve().parent
# Title, colours, limits and whether the heart is opened.
COLUMNS = (
    ("transmural", "viridis", (0.0, 1.0), True),
    ("apicobasal", "cividis", (0.0, 1.0), False),
    ("rotational [deg]", "twilight", (-180.0, 180.0), False),
    ("helix angle [deg]", "RdBu_r", (-60.0, 60.0), True),
)


def main() -> None:
    """Two rows of four pictures, and their colour bars."""
    configure()
    # Where there is no display VTK says so on stderr, and then draws without one.
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    rows = [pictures(mesh) for mesh in (labelled_surface(), cut_out())]
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(11, 5.6), layout="constrained")
        axes = figure.subplots(2, 4)
        for line, images in zip(axes, rows, strict=True):
            for axis, image in zip(line, images, strict=True):
                axis.imshow(image)
                axis.set_axis_off()
        for axis, (title, colours, (low, high), _) in zip(axes[1], COLUMNS, strict=True):
            scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, high), colours)
            bar = figure.colorbar(scale, ax=axis, location="bottom", shrink=0.7, aspect=24)
            bar.set_label(title)
            bar.set_ticks([low, (low + high) / 2, high])
        with replacing(DOCS / "images" / "coordinates.png") as temporary:
            figure.savefig(temporary, dpi=90)


def pictures(mesh: Mesh) -> list[np.ndarray]:
    """One for each column."""
    solved = fields(mesh)
    found = coordinates(mesh, solved)
    frames = np.asarray(FibreRule().frames(mesh, solved=solved))
    points = np.asarray(mesh.points)
    cells = np.concatenate([np.full((len(mesh.cells), 1), 4), mesh.cells], axis=1)
    grid = pyvista.UnstructuredGrid(cells.ravel(), np.full(len(cells), 10), points)
    grid.point_data["transmural"] = np.asarray(found.transmural)
    grid.point_data["apicobasal"] = np.asarray(found.apicobasal)
    grid.point_data["rotational [deg]"] = np.rad2deg(np.asarray(found.rotational))
    grid.cell_data["helix angle [deg]"] = _helix(mesh, solved.apex, found.transmural, frames)
    apex, axis = long_axis(mesh)
    right = points[mesh.nodes(Surface.RV_ENDO)].mean(axis=0) - apex
    right -= (right @ axis) * axis
    right /= np.linalg.norm(right)
    ahead = np.cross(right, axis)
    middle = apex + 0.5 * ((points - apex) @ axis).max() * axis
    made = []
    for name, colours, limits, opened in COLUMNS:
        shown: Any = grid.clip(normal=-ahead, origin=apex, crinkle=True) if opened else grid
        plotter: Any = pyvista.Plotter(off_screen=True, window_size=(760, 760))
        plotter.add_mesh(
            shown.extract_surface(algorithm="dataset_surface"),
            scalars=name,
            cmap=colours,
            clim=limits,
            show_scalar_bar=False,
            ambient=0.35,
            specular=0.1,
        )
        # Into the opened walls, or on the outside.
        eye = middle + 400 * (-ahead + 0.25 * axis if opened else -ahead + 0.4 * axis)
        plotter.camera_position = [tuple(eye), tuple(middle), tuple(axis)]
        plotter.reset_camera()
        plotter.camera.zoom(1.1)
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "one.png"
            plotter.screenshot(str(file))
            made.append(_cropped(imread(file)[..., :3]))
        plotter.close()
    return made


def _cropped(image: np.ndarray) -> np.ndarray:
    """Without the white around."""
    rows, columns = (np.flatnonzero((image < 1).any(axis=(axis, 2))) for axis in (1, 0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _helix(mesh: Mesh, up: Any, depth: Any, frames: np.ndarray) -> np.ndarray:
    """Angles [deg] from the circumference towards the base, seen from the nearer cavity."""
    p1 = P1(mesh.points, mesh.cells)
    base, out = (np.array(p1.gradient(field)) for field in (up, depth))
    out /= np.maximum(np.linalg.norm(out, axis=1), 1e-300)[:, None]
    base -= np.einsum("ij,ij->i", base, out)[:, None] * out
    base /= np.maximum(np.linalg.norm(base, axis=1), 1e-300)[:, None]
    fibre = frames[:, :, 0]
    along = np.einsum("ij,ij->i", fibre, np.cross(base, out))
    angle = np.rad2deg(np.arctan2(np.einsum("ij,ij->i", fibre, base), along))
    return (angle + 90) % 180 - 90


if __name__ == "__main__":
    main()
