"""A figure of one run of a cell: potential, calcium transient and tension over time."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from training._cell_run import Run

# waveform: axis, scale, colour
_PANELS = {
    "v": ("potential [mV]", 1.0, "#b2182b"),
    "cai": ("calcium [µM]", 1000.0, "#2166ac"),
    "tension": ("isometric tension [kPa]", 1.0, "#1b7837"),
}


def draw_cell(run: "Run", path: Path) -> None:
    """Draws the waveforms of a run into `path`, a temporary name with the figure's suffix."""
    style = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(4.2 * len(run.waves), 3.4), layout="constrained")
        axes = np.atleast_1d(figure.subplots(1, len(run.waves)))
        for axis, (name, wave) in zip(axes, run.waves.items(), strict=True):
            label, scale, colour = _PANELS[name]
            axis.plot(run.time, scale * wave, color=colour, lw=1.6)
            # A little room on the left, or the axis hides the upstroke.
            axis.set(xlabel="time [ms]", ylabel=label, xlim=(-0.03 * run.time[-1], run.time[-1]))
        if run.cycle is not None and np.isfinite(run.scalars["apd90"]):
            _mark_duration(axes[0], run.scalars)
        about = run.cell.about
        if run.cycle is None:
            what = f"beats by itself, after {run.beats} s"
        else:
            what = f"beat {run.beats} at {run.cycle:g} ms"
        figure.suptitle(f"{about.title}, {about.species} {about.tissue}: {what}", fontsize=10)
        figure.savefig(path, dpi=150)


def _mark_duration(axis: Any, scalars: dict[str, float]) -> None:
    """The interval APD90, where it is measured."""
    start, rest = scalars["upstroke_time"], scalars["resting_potential"]
    end = start + scalars["apd90"]
    level = rest + 0.1 * (scalars["peak_potential"] - rest)
    axis.plot([start, end], [level, level], color="#555555", lw=0.9, marker="|", ms=6)
    middle = ((start + end) / 2, level)
    text = f"APD90 {scalars['apd90']:.0f} ms"
    axis.annotate(text, middle, (0, 3), textcoords="offset points", ha="center", fontsize=8)
