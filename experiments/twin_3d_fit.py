"""Two ventricles of a person from cine MRI: anatomy, fit, and filling predicted with intervals.

The public example of biv-me (Mauger et al.; Apache-2.0): 13 of 25 frames from the R wave on, with
contours, fitted models, and the volumes of both ventricles; no pressure was measured, and a cuff of
122/71 mmHg (NHANES's mean of adults) is assumed. Ventricles are built from the contours of the
end-diastolic frame, for the control points that were fitted to it make surfaces only with biv-me's
subdivision matrix, which is not among the data; how far those points are is told.

First the lumped heart is fitted; it gives the circulation. Then both ventricles in the loop, a
coarse mesh of quadratic tetrahedra with the calcium of ToR-ORd paced at the person's rate, take a
few steps of Gauss and Newton, in 14 coordinates of broad priors (assumed). Errors of 5 mL and
5 mmHg are assumed. The posterior is Laplace's, its samples go linearly to all 25 frames; the error
of the measurement is added to the intervals, and no error of the model is. Frames 13 to 24 are
not used: predictions of them go to `twin_3d_fit.csv` and `twin_3d_fit.png` in the folder that the
variable TWINJAX_OUTPUT names, `.` by default.

Spec: cavities of the mesh within 3 mL of what the frame's model holds; volume curves within 5 mL
RMS of the 13 frames, and the cuff within 5 mmHg. Told: how far intervals of parameters are
narrower than the prior's.

With --quick: the anatomy without its mesh, and the lumped heart alone.
"""

import csv
import os
import time
from pathlib import Path

import jax.numpy as jnp
import matplotlib
import numpy as np
from jaxtyping import Float
from rich.console import Console

from twinjax.cells import ToRORd, beat_grid, pace
from twinjax.geometry import Surface
from twinjax.heart import CalciumTransient
from twinjax.io import read_control_points, read_guide_points
from twinjax.units import factor

from ._cine_anatomy import LV, OUTER, RV, Ventricles, cavities, cut_plane, ventricles, wall
from ._cine_fit import PERIODIC, Linear, covariance, fitted
from ._cine_heart import NAMES, CineHeart
from ._cine_lumped import Lumped, Seen
from ._report import Report, main
from ._shared import shared_path

FOLDER = "data/shape/bivme_patient1"
LEFT = (174.5, 169.4, 156.2, 140.1, 121.7, 107.0, 96.7, 82.0, 79.0, 72.1, 77.5, 80.3, 88.1)
RIGHT = (169.4, 164.5, 153.6, 141.3, 128.6, 114.5, 101.7, 87.8, 82.5, 76.6, 77.4, 78.0, 81.9)
CUFF = (122.0, 71.0)  # mmHg, assumed: NHANES, n = 19,921
PERIOD, FRAMES = 0.87, 25
FILLING = (9.0, 4.5)  # mmHg in both ventricles at end-diastole, assumed: usual of healthy adults
SPACING, CELL_BEATS, BEATS = 20.0, 100, 10
RMS, CLOSE = 5.0, 3.0  # mL
DRAWS = 2000


def run(quick: bool, report: Report) -> None:
    """The anatomy, the lumped heart and, unless quick, the heart in three dimensions."""
    seen = Seen(np.array([LEFT, RIGHT]), np.array(CUFF), PERIOD, FRAMES)
    heart, normal, height = anatomy(report)
    lumped = Lumped(seen)
    mode = lumped.mode()
    values, slopes = lumped.told(mode.z)
    judged(report, "lumped", seen, values)
    tables = {"lumped": bands(seen, values, slopes, mode.covariance)}
    if quick:
        written(seen, tables)
        return
    console = Console(stderr=True, width=160)
    begun = time.perf_counter()
    mesh = wall(heart, normal, height, SPACING, (LEFT[0], RIGHT[0]))
    held, source = cavities(mesh), "of the frame's fitted model"
    for name, value, asked in zip(("left", "right"), held, (LEFT[0], RIGHT[0]), strict=True):
        title = f"mesh: {name} cavity at end-diastole"
        report.absolute(title, float(value), asked, CLOSE, unit="mL", source=source)
    tags = [int(np.sum(mesh.facet_tags == surface)) for surface in Surface]
    source = f"{len(mesh.points)} corners; facets of base, epicardium, endocardia: {tags}"
    report.information("mesh: tetrahedra", len(mesh.cells), unit="1", source=source)
    loop = lumped.loop(jnp.asarray(mode.z))
    make = CineHeart(mesh, loop, calcium(), np.array(FILLING))
    rest = make.heart.wall
    empty = np.asarray(rest.volumes(jnp.zeros_like(rest.elements.points))) * factor("mm3", "mL")
    for name, value in zip(("left", "right"), empty, strict=True):
        source = f"unloaded from {FILLING[0]:g} and {FILLING[1]:g} mmHg, assumed"
        report.information(f"{name} cavity at rest", float(value), unit="mL", source=source)
    start = np.zeros(len(NAMES))

    def tell(beat: Linear) -> None:
        off = errors(seen, beat.values)
        words = f"RMS {off[0]:.1f} and {off[1]:.1f} mL, drift {beat.drift:.1f} mL"
        console.print(f"{words}; {time.perf_counter() - begun:.0f} s", markup=False)

    filled = make(jnp.asarray(start)).filled(np.array(FILLING))
    best = fitted(make, seen, start, filled, beats=BEATS, tell=tell)
    spread = covariance(seen, best)
    judged(report, "3-D", seen, best.values)
    report.at_most(
        "3-D: change of a ventricle over the beat",
        best.drift,
        PERIODIC,
        unit="mL",
        source="periodic",
    )
    source = "normal 15 to 30 mmHg"
    report.information("3-D: right peak pressure", best.pressures[1], unit="mmHg", source=source)
    for name, z, sd in zip(NAMES, best.z, np.sqrt(np.diag(spread)), strict=True):
        source = f"in SDs of the prior; at {z:+.2f}"
        report.information(f"posterior SD of {name}", float(sd), unit="1", source=source)
    report.information("3-D: mesh and fit", time.perf_counter() - begun, unit="s", source="")
    written(seen, tables | {"3-D": bands(seen, best.values, best.slopes, spread)})


def anatomy(report: Report) -> tuple[Ventricles, Float[np.ndarray, "3"], float]:
    """Levels of the bodies, and the plane that cuts them."""
    folder = shared_path(FOLDER)
    guide = read_guide_points(folder / "GPFile_000.txt")
    control = read_control_points(folder / "patient1_model_frame_000.txt")
    heart = ventricles(guide, control)
    normal, height, _ = cut_plane(heart, (LEFT[0], RIGHT[0]))
    # The volumes fix the plane: that it lies at the valves is what can be wrong.
    report.absolute(
        "plane that gives both volumes: height",
        height,
        heart.valves,
        5.0,
        unit="mm",
        source="mean of the valves' points, along the short-axis images' normal",
    )
    tilt = float(np.degrees(np.arccos(normal[2])))
    report.at_most("the same: tilt", tilt, 15.0, unit="deg", source="from the short-axis images")
    near = np.min([np.abs(heart.levels[body](heart.control)) for body in (LV, RV, OUTER)], axis=0)
    source = "388; they lie outside of the surfaces that they make"
    title = "control points to the nearest surface, median"
    report.information(title, float(np.median(near)), unit="mm", source=source)
    return heart, normal, height


def calcium() -> CalciumTransient:
    """Of ToR-ORd's cell paced at the person's rate."""
    cell, period = ToRORd(), PERIOD * factor("s", "ms")
    stimulus = cell.about.stimulus
    assert stimulus is not None
    done = pace(cell, beats=CELL_BEATS, grid=beat_grid(period, stimulus[1]))
    return CalciumTransient(done.times[:-1], done.observations["cai"][:-1], period=period)


def errors(seen: Seen, values: Float[np.ndarray, " d"]) -> Float[np.ndarray, "2"]:
    """RMS errors of the measured frames [mL]."""
    count = seen.count
    told = values[: 2 * count].reshape(2, count)
    return np.sqrt(np.mean((told - seen.volumes) ** 2, axis=1))


def judged(report: Report, title: str, seen: Seen, values: Float[np.ndarray, " d"]) -> None:
    """Rows of a fit."""
    off = errors(seen, values)
    for name, value in zip(("left", "right"), off, strict=True):
        source = "13 frames of cine MRI"
        report.at_most(
            f"{title}: {name} volumes off, RMS", float(value), RMS, unit="mL", source=source
        )
    told = values[2 * seen.count : 2 * seen.count + 2]
    for name, value, asked in zip(("systolic", "diastolic"), told, seen.cuff, strict=True):
        report.absolute(
            f"{title}: {name}", float(value), float(asked), 5.0, unit="mmHg", source="assumed"
        )


def bands(
    seen: Seen,
    values: Float[np.ndarray, " d"],
    slopes: Float[np.ndarray, "d n"],
    spread: Float[np.ndarray, "n n"],
) -> Float[np.ndarray, "5 2 frames"]:
    """Volumes of all frames [mL]: mean; 90 % of the model, low and high; and of a measurement.

    Samples of the Laplace approximation, propagated linearly.
    """
    first = 2 * seen.count + 2
    mean, rows = values[first:], slopes[first:]
    rng = np.random.default_rng(0)
    z = rng.standard_normal((DRAWS, len(spread))) @ np.linalg.cholesky(spread).T
    drawn = mean + z @ rows.T
    measured = drawn + 5.0 * rng.standard_normal(drawn.shape)
    ends = [np.quantile(each, q, axis=0) for each in (drawn, measured) for q in (0.05, 0.95)]
    return np.stack([mean, *ends]).reshape(5, 2, seen.frames)


def written(seen: Seen, tables: dict[str, np.ndarray]) -> None:
    """The table and the figure of predictions."""
    folder = Path(os.environ.get("TWINJAX_OUTPUT", "."))
    columns = ("mean_mL", "model_5_mL", "model_95_mL", "measured_5_mL", "measured_95_mL")
    with (folder / "twin_3d_fit.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("model", "ventricle", "frame", "time_s", "fitted", *columns))
        for model, table in tables.items():
            for side, name in enumerate(("left", "right")):
                for frame in range(seen.frames):
                    at, used = frame * seen.period / seen.frames, frame < seen.count
                    numbers = [f"{value:.2f}" for value in table[:, side, frame]]
                    rows.writerow((model, name, frame, f"{at:.4f}", int(used), *numbers))
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    frames = np.arange(seen.frames)
    for side, name in enumerate(("left", "right")):
        for (model, table), colour in zip(tables.items(), ("tab:grey", "tab:red"), strict=False):
            axes[side].plot(frames, table[0, side], color=colour, label=model)
            ends = table[3:, side]
            axes[side].fill_between(frames, *ends, color=colour, alpha=0.2, lw=0)
        axes[side].plot(frames[: seen.count], seen.volumes[side], "k.", label="cine MRI")
        axes[side].axvline(seen.count - 0.5, color="black", lw=0.5, ls=":")
        axes[side].set(title=f"{name} ventricle", xlabel="frame", ylabel="volume [mL]")
    axes[0].legend(frameon=False)
    figure.savefig(folder / "twin_3d_fit.png", dpi=120)
    pyplot.close(figure)


if __name__ == "__main__":
    main(run, name="twin_3d_fit")
