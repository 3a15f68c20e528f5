"""A picture of times on the outside of tissue: isochrones from two sides, by matplotlib alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from twinjax.electro import heart_frame
from twinjax.geometry import Mesh, boundary

_PIXELS = 520  # along the longer side of a view
_NOTHING = np.array([0.82, 0.82, 0.82])  # where a time did not come
_LIGHT = np.array([-0.35, 0.45, 0.82])  # right, up, towards the eye
Seen = tuple[np.ndarray, np.ndarray, tuple[float, float, float, float]]


def draw_times(
    mesh: Mesh,
    panels: Sequence[tuple[str, np.ndarray]],
    path: Path,
    *,
    dpi: int = 150,
) -> None:
    """Draws a row for each panel, a title and times [ms] of nodes, from the front and the back.

    Hearts of tetrahedra stand as in a body, other tissue is seen from two corners above and below.
    Colours are bands between isochrones; tissue that was not reached is grey. Raises `ValueError`
    for a file that is no .png, .pdf or .svg.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"a figure is .png, .pdf or .svg, not '{path.suffix or path.name}'")
    facets, _ = boundary(mesh)
    if facets.shape[1] == 4:
        facets = np.concatenate([facets[:, [0, 1, 2]], facets[:, [0, 2, 3]]])
    views, smooth = _views(mesh), mesh.kind == "tetrahedra"
    with matplotlib.rc_context({"font.size": 9}):
        figure = Figure(figsize=(8.6, 3.9 * len(panels) + 0.2), layout="constrained")
        rows = figure.subplots(len(panels), 2, squeeze=False)
        for axes, (name, times) in zip(rows, panels, strict=True):
            known = times[np.isfinite(times)]
            low, high = (known.min(), known.max()) if len(known) else (0.0, 1.0)
            levels = MaxNLocator(14, steps=[1, 2, 5, 10]).tick_values(low, max(high, low + 1e-3))
            colours = matplotlib.colormaps["turbo_r"].resampled(len(levels) - 1)
            norm = BoundaryNorm(levels, len(levels) - 1)
            for axis, (side, turned) in zip(axes, views, strict=True):
                seen = rasterised(np.asarray(mesh.points) @ turned.T, facets, times, smooth=smooth)
                _draw(axis, seen, colours, norm)
                axis.set_title(f"{name}, {side}", fontsize=9)
            scale = matplotlib.cm.ScalarMappable(norm, colours)
            bar = figure.colorbar(scale, ax=list(axes), shrink=0.8, pad=0.02, aspect=22)
            bar.set_label(f"{name} [ms]")
        figure.savefig(path, dpi=dpi)


def _draw(axis: Any, seen: Seen, colours: Any, norm: Any) -> None:
    values, light, extent = seen
    there = light > 0
    image = np.ones((*values.shape, 4))
    known = np.isfinite(values)
    image[..., :3] = _NOTHING
    image[known] = colours(norm(values[known]))
    image[..., :3] *= np.where(there, 0.62 + 0.43 * light, 1.0)[..., None]
    image[..., 3] = there
    axis.imshow(np.clip(image, 0, 1), origin="lower", extent=extent, interpolation="bilinear")
    shown = np.ma.masked_invalid(values)
    if known.any() and np.ptp(values[known]) > 0:
        axis.contour(
            shown,
            norm.boundaries,
            origin="lower",
            extent=extent,
            colors=[(0, 0, 0, 0.7)],
            linewidths=0.5,
        )
    axis.set_axis_off()


def rasterised(
    points: np.ndarray, facets: np.ndarray, values: np.ndarray, *, smooth: bool = True
) -> Seen:
    """What is seen from +z: interpolated values and light (0 where nothing is), and the extent.

    Orthographic; of facets over each other the nearest is seen, and those that turn away not.
    """
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    pixel = float((high - low).max()) / _PIXELS
    low, size = low - 2 * pixel, np.ceil((high - low) / pixel).astype(int) + 5
    seen = np.full((size[1], size[0]), np.nan)
    light, depth = np.zeros(seen.shape), np.full(seen.shape, -np.inf)
    corners = points[facets]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    shine = _shine(normal, facets, len(points)) if smooth else _lit(normal)[:, None].repeat(3, 1)
    flat = (corners[:, :, :2] - low) / pixel
    area = normal[:, 2] / pixel**2
    known = np.isfinite(values[facets]).all(axis=1)
    for k in np.flatnonzero(area > 1e-9):
        (x0, y0), (x1, y1), (x2, y2) = flat[k]
        left, right = int(min(x0, x1, x2)), int(max(x0, x1, x2)) + 1
        down, up = int(min(y0, y1, y2)), int(max(y0, y1, y2)) + 1
        x, y = np.arange(left, right + 1)[None, :], np.arange(down, up + 1)[:, None]
        a = ((x1 - x) * (y2 - y) - (x2 - x) * (y1 - y)) / area[k]
        b = ((x2 - x) * (y0 - y) - (x0 - x) * (y2 - y)) / area[k]
        c = 1 - a - b
        height = a * corners[k, 0, 2] + b * corners[k, 1, 2] + c * corners[k, 2, 2]
        window = (slice(down, up + 1), slice(left, right + 1))
        inside = (a >= -1e-6) & (b >= -1e-6) & (c >= -1e-6) & (height > depth[window])
        n0, n1, n2 = facets[k]
        depth[window][inside] = height[inside]
        if known[k]:
            value = a * values[n0] + b * values[n1] + c * values[n2]
            seen[window][inside] = value[inside]
        else:
            seen[window][inside] = np.nan
        light[window][inside] = (a * shine[k, 0] + b * shine[k, 1] + c * shine[k, 2])[inside] + 1e-3
    end = low + pixel * (size - 1)
    return seen, light, (float(low[0]), float(end[0]), float(low[1]), float(end[1]))


def _shine(normal: np.ndarray, facets: np.ndarray, count: int) -> np.ndarray:
    """Light at the corners of facets, whose normals are the means of those around."""
    mean = np.zeros((count, 3))
    for column in facets.T:
        np.add.at(mean, column, normal)
    return _lit(mean)[facets]


def _lit(normal: np.ndarray) -> np.ndarray:
    length = np.maximum(np.linalg.norm(normal, axis=1), 1e-300)
    return np.clip(normal @ _LIGHT / np.linalg.norm(_LIGHT) / length, 0.0, 1.0)


def _views(mesh: Mesh) -> list[tuple[str, np.ndarray]]:
    """Two names and rotations, whose rows are to the right, up and towards the eye."""
    if mesh.kind == "tetrahedra" and len(mesh.facets):
        try:
            _, posterior, superior = heart_frame(mesh)[1]
        except ValueError:
            pass
        else:
            # A little from above, so that one looks into the cavities.
            front = _looking(-posterior + 0.35 * superior, superior)
            back = _looking(posterior + 0.35 * superior, superior)
            return [("anterior", front), ("posterior", back)]
    z = np.array([0.0, 0.0, 1.0])
    one, two = np.array([-0.55, -0.7, 0.6]), np.array([0.55, 0.7, -0.6])
    return [("from above", _looking(one, z)), ("from below", _looking(two, z))]


def _looking(eye: np.ndarray, up: np.ndarray) -> np.ndarray:
    towards = eye / np.linalg.norm(eye)
    right = np.cross(up, towards)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(towards, right), towards])
