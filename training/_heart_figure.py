"""A figure of a beating heart: its loop, waves, the wall cut open, and its ECG."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from training._heart_ecg import Excited
from training._surface_figure import _looking, rasterised
from training.heart_case import LEFT, RIGHT
from training.heart_run import HeartRun, last_beat
from twinjax.electro import LEADS
from twinjax.geometry import Mesh, Surface, boundary
from twinjax.mechanics import fibre_stretch

_ARTERY, _LA = "#ef8a62", "#8073ac"
COLOURS = {LEFT: "#b2182b", RIGHT: "#2166ac"}
_INK = "#16181d"
_ECG_HEIGHT = 3.1  # [inches]
_COLOURS = matplotlib.colormaps["viridis"]
# In axes of which the third is the long one, and the first leads away from a right ventricle; the
# half before the eye is taken away.
_EYE = np.array([-0.15, -1.0, 0.35])


def draw_heart(run: HeartRun, steps: int, path: Path, *, dpi: int = 150) -> None:
    """Draws the last whole beat's pressure-volume loop, waves in time, the wall and the ECG.

    `steps` are those of a beat. The wall is that of the shapes nearest to end-diastole and
    end-systole, coloured by the stretch of its fibres from rest. The ECG is left out of a run that
    has none. Raises `ValueError` for a file that is no .png, .pdf or .svg.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"a figure is .png, .pdf or .svg, not '{path.suffix or path.name}'")
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        height, ecg = 6.6, run.excited
        whole = height + (0.0 if ecg is None else _ECG_HEIGHT)
        figure = Figure(figsize=(13, whole), layout="constrained")
        parts: Any = [figure]
        if ecg is not None:
            parts = figure.subfigures(2, 1, height_ratios=(height, _ECG_HEIGHT))
        grid = parts[0].add_gridspec(6, 4, width_ratios=[1.3, 1.25, 0.85, 0.04])
        last = last_beat(len(run.times), steps) or slice(None)
        draw_loop(parts[0].add_subplot(grid[:, 0]), run, last)
        _draw_waves([parts[0].add_subplot(grid[2 * row : 2 * row + 2, 1]) for row in range(3)], run)
        walls = [parts[0].add_subplot(grid[3 * row : 3 * row + 3, 2]) for row in range(2)]
        _draw_walls(walls, parts[0].add_subplot(grid[1:5, 3]), run, last)
        if ecg is not None:
            _draw_ecg(parts[1], ecg)
        figure.savefig(path, dpi=dpi)


def draw_loop(axis: Any, run: HeartRun, last: slice, *, numbers: bool = True) -> None:
    """Pressure over volume, the last beat's filled, and the `numbers` that it amounts to."""
    lowest = 0.0
    for chamber in run.chambers:
        volume, pressure = (run.waves[f"{chamber}.{what}"] for what in ("volume", "pressure"))
        colour = COLOURS[chamber]
        axis.plot(volume, pressure, color=colour, lw=0.8, alpha=0.35)
        axis.plot(volume[last], pressure[last], color=colour, lw=2.2, label=_words(chamber))
        axis.fill(volume[last], pressure[last], color=colour, alpha=0.08, lw=0)
        lowest = min(lowest, float(pressure.min()))
    axis.set_ylabel("pressure [mmHg]")
    axis.set_ylim(bottom=lowest)
    title, of = "pressure-volume loop", " of the left ventricle"
    if len(run.chambers) > 1:
        title, of = title + "s", ""
        axis.legend(frameon=False, fontsize=8, loc="upper right")
    axis.set_xlabel(f"volume{of} [mL]")
    axis.set_title(title, fontsize=10, loc="left")
    known = run.scalars
    if known and numbers:
        lines = [
            f"EDV {known['lv_end_diastolic_volume']:.0f} mL, "
            f"ESV {known['lv_end_systolic_volume']:.0f} mL",
            f"ejection fraction {known['lv_ejection_fraction']:.0f} %",
            f"peak pressure {known['lv_peak_pressure']:.0f} mmHg",
            f"greatest dP/dt {known['lv_dpdt_max']:.0f} mmHg/s",
            f"stroke work {known['lv_stroke_work']:.2f} J",
        ]
        place = {"x": 0.5, "y": 0.42, "ha": "center", "va": "center"}
        if RIGHT in run.chambers:
            # Between the loops is no room; above the right one is some.
            place = {"x": 0.99, "y": 0.86, "ha": "right", "va": "top"}
            lines += [
                f"right: EDV {known['rv_end_diastolic_volume']:.0f} mL, "
                f"ESV {known['rv_end_systolic_volume']:.0f} mL",
                f"ejection fraction {known['rv_ejection_fraction']:.0f} %",
                f"peak pressure {known['rv_peak_pressure']:.0f} mmHg",
            ]
        axis.text(
            s="\n".join(lines), transform=axis.transAxes, fontsize=8.5, linespacing=1.5, **place
        )


def _words(chamber: str) -> str:
    return chamber.replace("_", " ")


def _draw_waves(axes: list, run: HeartRun) -> None:
    walls = [(chamber, COLOURS[chamber], _words(chamber)) for chamber in run.chambers]
    of = "the left ventricle" if len(walls) == 1 else "the ventricles"
    waves: dict[str, list[tuple[str, str, str]]] = {
        "pressure [mmHg]": [
            *((f"{chamber}.pressure", colour, words) for chamber, colour, words in walls),
            ("systemic_arteries.pressure", _ARTERY, "systemic arteries"),
            ("left_atrium.pressure", _LA, "left atrium"),
        ],
        f"volume of {of} [mL]": [
            (f"{chamber}.volume", colour, words) for chamber, colour, words in walls
        ],
        "flow [mL/s]": [
            ("aortic.flow", _ARTERY, "aortic valve"),
            ("mitral.flow", _LA, "mitral valve"),
        ],
    }
    for axis, (title, rows) in zip(axes, waves.items(), strict=True):
        for name, colour, label in rows:
            axis.plot(run.times, run.waves[name], color=colour, lw=1.7, label=label)
        axis.set_title(title, fontsize=10, loc="left")
        if len(rows) > 1:
            axis.legend(frameon=False, fontsize=8)
        axis.set_xlim(run.times[0], max(run.times[-1], run.times[0] + 1e-9))
        axis.tick_params(labelbottom=axis is axes[-1])
    axes[-1].set_xlabel("time [ms]")


def _draw_ecg(part: Any, ecg: Excited) -> None:
    """The twelve leads of a beat: limbs above, chest below, each row with one scale."""
    rows = part.subplots(2, 6, sharex=True, sharey="row")
    for axis, lead, values in zip(rows.ravel(), LEADS, ecg.leads, strict=True):
        axis.axhline(0.0, color="0.85", lw=0.6)
        axis.plot(ecg.times, values, color=_INK, lw=1.1)
        axis.set_title(lead, fontsize=9, loc="left")
        axis.set_xlim(ecg.times[0], ecg.times[-1])
    for axis in rows[:, 0]:
        axis.set_ylabel("mV")
    for axis in rows[-1]:
        axis.set_xlabel("time [ms]")
    part.suptitle(
        f"ECG of a beat in an unbounded medium, QRS duration {ecg.qrs:.0f} ms", fontsize=10
    )


def _draw_walls(axes: list, scale: Any, run: HeartRun, last: slice) -> None:
    volume, times = run.waves["left_ventricle.volume"][last], run.times[last]
    moments = ((np.argmax(volume), "end-diastole"), (np.argmin(volume), "end-systole"))
    numbers = [int(np.argmin(np.abs(run.moments - times[at]))) for at, _ in moments]
    views = seen_walls(run, numbers)
    for axis, number, (_, name), image in zip(axes, numbers, moments, views.images, strict=True):
        image.on(axis, views)
        axis.set_title(f"{name}, {run.moments[number]:.0f} ms", fontsize=10)
    views.bar(axes[0].figure, scale)


@dataclasses.dataclass(frozen=True, eq=False)
class View:
    """A picture of the wall (row, column, 4) and where it lies [mm]: left, right, down, up."""

    picture: np.ndarray
    extent: tuple[float, float, float, float]

    def on(self, axis: Any, views: "Views") -> Any:
        """Draws it, with room for all of the others."""
        left, right, down, up = np.array([view.extent for view in views.images]).T
        drawn = axis.imshow(self.picture, origin="lower", extent=self.extent)
        axis.set_xlim(left.min(), right.max())
        axis.set_ylim(down.min(), up.max())
        axis.set_axis_off()
        return drawn


@dataclasses.dataclass(frozen=True, eq=False)
class Views:
    """Pictures of the wall at several moments, and their common colours."""

    images: list[View]
    norm: Normalize

    def bar(self, figure: Any, scale: Any) -> None:
        """The scale of colours, on an axis of its own."""
        bar = figure.colorbar(matplotlib.cm.ScalarMappable(self.norm, _COLOURS), cax=scale)
        bar.set_label("stretch of the fibres from rest [1]")


def seen_walls(
    run: HeartRun, numbers: Sequence[int], told: Callable[[int], None] = lambda done: None
) -> Views:
    """The wall cut open in some of the shapes of a run; `told` after each how many are done."""
    mesh = run.mesh
    count, rest = len(mesh.points), np.asarray(run.made.wall.elements.points)
    origin, upright = _upright(mesh)
    half, keep = _opened(mesh, (np.asarray(mesh.points) - origin) @ upright.T)
    facets, _ = boundary(half)
    if facets.shape[1] == 4:
        facets = np.concatenate([facets[:, [0, 1, 2]], facets[:, [0, 2, 3]]])
    turned = _looking(_EYE / np.linalg.norm(_EYE), np.array([0.0, 0.0, 1.0])) @ upright
    seen = []
    for number in numbers:
        points = run.points[number]
        stretch = np.asarray(fibre_stretch(run.made.wall, jnp.asarray(points - rest)))
        values = _at_corners(run, np.where(keep[:, None], stretch, np.nan))
        seen.append((*rasterised((points[:count] - origin) @ turned.T, facets, values), values))
        told(len(seen))
    known = np.concatenate([values[np.isfinite(values)] for *_, values in seen])
    norm = Normalize(float(known.min()), float(max(known.max(), known.min() + 1e-9)))
    images = []
    for values, light, extent, _ in seen:
        image = np.ones((*values.shape, 4))
        image[..., :3] = _COLOURS(norm(np.nan_to_num(values)))[..., :3]
        image[..., :3] *= (0.62 + 0.43 * light)[..., None]
        image[..., 3] = light > 0
        images.append(View(np.clip(image, 0, 1), extent))
    return Views(images, norm)


def _upright(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the left ventricle's rim [mm], and unit rows: axes that `_EYE` is told in."""
    points, left = np.asarray(mesh.points), mesh.nodes(Surface.LV_ENDO)
    rim = points[np.intersect1d(left, mesh.nodes(Surface.BASE))].mean(axis=0)
    # An apex, and the axis to it, would depend on where a mesh has a node.
    up = rim - points[left].mean(axis=0)
    right = mesh.nodes(Surface.RV_ENDO)
    away = rim - points[right].mean(axis=0) if len(right) else np.array([1.0, 0.0, 0.0])
    across = np.cross(up, away)
    rows = np.stack([np.cross(across, up), across, up])
    return rim, rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _opened(mesh: Mesh, upright: np.ndarray) -> tuple[Mesh, np.ndarray]:
    """Without the cells before the long axis, and which are kept; all, where none would be."""
    middle = upright[mesh.cells].mean(axis=1)[:, 1]
    keep = middle > -1e-6 * np.ptp(upright)
    return Mesh(mesh.points, mesh.cells[keep]), keep


def _at_corners(run: HeartRun, values: np.ndarray) -> np.ndarray:
    """Means at nodes of values at the points of quadrature that are nearest to them in cells."""
    elements = run.made.wall.elements
    mesh = run.mesh
    rest, cells = np.asarray(elements.points), np.asarray(elements.cells)
    places = np.einsum("qn,cnx->cqx", np.asarray(elements.values()), rest[cells])
    apart = np.linalg.norm(places[:, None] - rest[mesh.cells][:, :, None], axis=3)
    near = np.take_along_axis(values, np.argmin(apart, axis=2), axis=1)
    there = np.isfinite(near)
    count = len(mesh.points)
    total = np.bincount(mesh.cells[there], near[there], count)
    number = np.bincount(mesh.cells[there], minlength=count)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
