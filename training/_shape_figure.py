"""A picture of a wall at rest and under its load, from two sides, by matplotlib alone."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from training._surface_figure import _views, rasterised
from twinjax.geometry import Mesh, boundary


def draw_shapes(
    mesh: Mesh,
    shapes: Sequence[tuple[str, np.ndarray, np.ndarray]],
    path: Path,
    *,
    label: str,
    dpi: int = 150,
) -> None:
    """Draws a row for each shape: a title, its points (node, 3) [mm], and values of nodes.

    Both rows have the same colours and the same scale. Raises `ValueError` for a file that is no
    .png, .pdf or .svg.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"a figure is .png, .pdf or .svg, not '{path.suffix or path.name}'")
    facets, _ = boundary(mesh)
    if facets.shape[1] == 4:
        facets = np.concatenate([facets[:, [0, 1, 2]], facets[:, [0, 2, 3]]])
    views = _views(mesh)
    every = np.concatenate([values for _, _, values in shapes])
    norm = Normalize(float(every.min()), float(max(every.max(), every.min() + 1e-9)))
    colours = matplotlib.colormaps["viridis"]
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8.6, 3.9 * len(shapes) + 0.2), layout="constrained")
        rows = figure.subplots(len(shapes), 2, squeeze=False)
        for column, (side, turned) in enumerate(views):
            extents = []
            for row, (name, points, values) in enumerate(shapes):
                axis = rows[row, column]
                seen, light, extent = rasterised(points @ turned.T, facets, values)
                image = np.ones((*seen.shape, 4))
                image[..., :3] = colours(norm(np.nan_to_num(seen)))[..., :3]
                image[..., :3] *= (0.62 + 0.43 * light)[..., None]
                image[..., 3] = light > 0
                axis.imshow(np.clip(image, 0, 1), origin="lower", extent=extent)
                axis.set_title(f"{name}, {side}", fontsize=9)
                axis.set_axis_off()
                extents.append(extent)
            left, right, low, high = np.array(extents).T
            for axis in rows[:, column]:
                axis.set_xlim(left.min(), right.max())
                axis.set_ylim(low.min(), high.max())
        scale = matplotlib.cm.ScalarMappable(norm, colours)
        bar = figure.colorbar(scale, ax=list(rows.ravel()), shrink=0.6, pad=0.02, aspect=26)
        bar.set_label(label)
        figure.savefig(path, dpi=dpi)
