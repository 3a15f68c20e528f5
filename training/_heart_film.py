"""A film of a beating heart: the wall cut open beside its pressure-volume loop and its ECG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.animation import PillowWriter
from matplotlib.figure import Figure

from training._heart_figure import COLOURS, draw_loop, seen_walls
from training.heart_run import HeartRun, last_beat
from twinjax.electro import LEADS

_SHOWN = ("II", "V2", "V5")  # of the leads: inferior, septal and lateral
_SECONDS = 2.5  # that a beat is shown for: slowed, so that an eye can follow
_FASTEST = 50  # frames a second that programs show
_TONES = 20  # of each colour in the wall: a GIF has 256 colours, and scatters dots for others
_INK, _MARK = "#16181d", "#b2182b"
Progress = Callable[[str, int, int], None]


def draw_film(
    run: HeartRun, steps: int, path: Path, progress: Progress | None = None, *, dpi: int = 80
) -> None:
    """Writes a GIF of the last whole beat, a frame for each shape that was kept of it.

    `steps` are those of a beat. A mark goes round the loop, another along the ECG; of a run without
    an ECG pressures are shown. `progress` is told of the shapes that are drawn, then of frames.
    """
    told = progress or (lambda stage, done, total: None)
    last = last_beat(len(run.times), steps) or slice(None)
    begin, end = run.times[last][[0, -1]]
    within = (run.moments >= begin - 1e-6) & (run.moments <= end + 1e-6)
    numbers = np.flatnonzero(within)
    # The last shape is the first of the next beat.
    numbers = numbers[:-1] if len(numbers) > 1 else numbers
    total = 2 * len(numbers)
    views = seen_walls(run, numbers.tolist(), lambda done: told("film", done, total))
    style = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(9.6, 3.7), layout="constrained")
        parts: Any = figure.subfigures(1, 3, width_ratios=[1.05, 1.0, 1.05])
        wall, scale = parts[0].subplots(1, 2, width_ratios=[1, 0.04])
        drawn = views.images[0].on(wall, views)
        drawn.set_interpolation("nearest")
        views.bar(parts[0], scale)
        loop = parts[1].subplots()
        draw_loop(loop, run, last, numbers=False)
        spots = {
            chamber: loop.plot([], [], "o", color=COLOURS[chamber], ms=8)[0]
            for chamber in run.chambers
        }
        marks = _draw_waves(parts[2], run, last)
        clock = wall.set_title(" ")
        figure.draw_without_rendering()
        # Frames do not jump by the width of their texts.
        figure.set_layout_engine("none")
        rate = int(np.clip(round(len(numbers) / _SECONDS), 1, _FASTEST))
        writer = PillowWriter(fps=rate)
        # Not `saving`, which would finish a film that is interrupted.
        writer.setup(figure, str(path), dpi)
        for frame, (number, view) in enumerate(zip(numbers, views.images, strict=True), 1):
            now = float(run.moments[number])
            drawn.set_data(np.round(view.picture * _TONES) / _TONES)
            drawn.set_extent(view.extent)
            for chamber, spot in spots.items():
                names = (f"{chamber}.volume", f"{chamber}.pressure")
                spot.set_data(*([np.interp(now, run.times, run.waves[name])] for name in names))
            for mark in marks:
                mark.set_xdata([now - begin] * 2)
            clock.set_text(f"{now - begin:.0f} ms")
            writer.grab_frame()
            told("film", len(numbers) + frame, total)
        writer.finish()


def _draw_waves(part: Any, run: HeartRun, last: slice) -> list[Any]:
    """Leads of the ECG, or pressures; returns the marks that go along."""
    if run.excited is None:
        times = run.times[last] - run.times[last][0]
        names = ("left_ventricle.pressure", "systemic_arteries.pressure", "left_atrium.pressure")
        shown = [(name.replace("_", " "), "mmHg", times, run.waves[name][last]) for name in names]
    else:
        ecg = run.excited
        shown = [(name, "mV", ecg.times, ecg.leads[LEADS.index(name)]) for name in _SHOWN]
    axes = part.subplots(len(shown), 1, sharex=True)
    marks = []
    for axis, (name, unit, times, values) in zip(axes, shown, strict=True):
        axis.plot(times, values, color=_INK, lw=1.2)
        axis.set_title(name, fontsize=9, loc="left")
        axis.set_ylabel(unit)
        axis.set_xlim(times[0], times[-1])
        marks.append(axis.axvline(times[0], color=_MARK, lw=1.2))
    axes[-1].set_xlabel("time [ms]")
    return marks
