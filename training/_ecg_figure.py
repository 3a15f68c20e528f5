"""A picture of a 12-lead ECG on paper: 25 mm/s, 10 mm/mV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from twinjax.io import EcgRecord

_SPEED, _GAIN = 25.0, 10.0  # [mm/s], [mm/mV]
_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
_COLUMN = 2.5  # [s] of each lead in a long record
_PULSE = 6.0  # what the calibration pulse takes at the left [mm]
_INK = ("#16181d", "#1f5fbf", "#1b7837")
_PAPER, _FINE, _COARSE = "#fff8f6", "#f6d5cf", "#e8a79d"


def draw_ecg(
    records: Sequence[EcgRecord],
    path: Path,
    *,
    labels: Sequence[str] = (),
    rhythm: str | None = "II",
    period: float | None = None,
    title: str = "",
) -> None:
    """Draws 3 rows of 4 leads and a rhythm strip into `path`, in true size (mm of paper).

    A record of 10 s or more is shown in time: each column has its own 2.5 s. A shorter one, such
    as one beat, is shown whole in every place; the strip repeats it every `period` [ms] and is
    left out without one. Times are in ms from any origin.

    **Arguments:** one record or more to be laid over each other, with as many `labels` or none;
    `rhythm`, the lead of the strip, or `None`.
    Raises `ValueError` for no record, other numbers of labels, or no standard lead at all.
    """
    if not records:
        raise ValueError("there is no ECG to draw")
    if labels and len(labels) != len(records):
        raise ValueError(f"{len(records)} ECGs have {len(labels)} labels")
    if not any(lead in record.leads for record in records for row in _ROWS for lead in row):
        raise ValueError("none of the ECGs has a standard lead")
    start = min(float(record.times[0]) for record in records)
    length = (max(float(record.times[-1]) for record in records) - start) / 1000
    long = length >= 4 * _COLUMN
    seconds = _COLUMN if long else 0.2 * np.ceil(max(length, 0.2) / 0.2 + 0.25)
    heights = [_extent(records, row) for row in _ROWS]
    strip = rhythm is not None and (long or period is not None)
    if strip:
        heights.append(_extent(records, (str(rhythm),)))
    width = _whole(4 * seconds * _SPEED + _PULSE + 9)
    height = _whole(sum(up + down for up, down in heights) + 5)
    with matplotlib.rc_context({"font.size": 7, "font.family": "sans-serif"}):
        margin = 8.0
        figure = Figure(figsize=((width + 4) / 25.4, (height + margin + 6) / 25.4))
        box = (
            2 / (width + 4),
            6 / (height + margin + 6),
            width / (width + 4),
            height / (height + margin + 6),
        )
        axis = figure.add_axes(box)
        axis.set(xlim=(0, width), ylim=(0, height), facecolor=_PAPER, xticks=[], yticks=[])
        _grid(axis, width, height)
        level = height - 2.5
        for (up, down), row in zip(heights[:3], _ROWS, strict=True):
            level -= up
            _pulse(axis, level)
            for column, lead in enumerate(row):
                left = _PULSE + column * seconds * _SPEED
                axis.text(left + 3.5, level + up - 3.2, lead, weight="bold", va="top")
                for record, ink in zip(records, _INK * len(records), strict=False):
                    window = (start + 1000 * column * seconds, 1000 * seconds)
                    x, y = _trace(record, lead, window if long else (start, 1000 * seconds))
                    axis.plot(left + 3 + x, level + y, color=ink, lw=0.7)
            level -= down
        if strip:
            level -= heights[3][0]
            _pulse(axis, level)
            axis.text(_PULSE + 3.5, level + heights[3][0] - 3.2, rhythm, weight="bold", va="top")
            for record, ink in zip(records, _INK * len(records), strict=False):
                x, y = _strip(record, str(rhythm), start, 4000 * seconds, None if long else period)
                axis.plot(_PULSE + 3 + x, level + y, color=ink, lw=0.7)
        figure.text(0.02, 0.01, "25 mm/s   10 mm/mV", va="bottom")
        if title:
            figure.text(0.02, 0.99, title, va="top", fontsize=9)
        right = 0.98
        for label, ink in reversed(list(zip(labels, _INK * len(records), strict=False))):
            figure.text(right, 0.985, label, color=ink, va="top", ha="right")
            right -= (len(label) + 3) * 0.055 / float(figure.get_figwidth())  # inches a letter
        figure.savefig(path, dpi=200)


def _extent(records: Sequence[EcgRecord], row: Sequence[str]) -> tuple[float, float]:
    """Room above and below the line of a row [mm]: what its leads need, at least 12 and 8."""
    values = [
        record.values[record.leads.index(lead)]
        for record in records
        for lead in row
        if lead in record.leads
    ]
    top = max((float(v.max()) for v in values), default=0.0) * _GAIN
    bottom = -min((float(v.min()) for v in values), default=0.0) * _GAIN
    return max(12.0, np.ceil(top + 3)), max(8.0, np.ceil(bottom + 2))


def _whole(length: float) -> float:
    """Up to whole squares of 5 mm."""
    return 5 * float(np.ceil(length / 5))


def _grid(axis: Any, width: float, height: float) -> None:
    for spacing, colour, weight in ((1.0, _FINE, 0.25), (5.0, _COARSE, 0.5)):
        x, y = np.arange(0, width + 0.1, spacing), np.arange(0, height + 0.1, spacing)
        lines = [[(v, 0), (v, height)] for v in x] + [[(0, v), (width, v)] for v in y]
        axis.add_collection(LineCollection(lines, colors=colour, linewidths=weight, zorder=0))


def _pulse(axis: Any, level: float) -> None:
    """1 mV for 0.2 s would be 5 mm wide: here 4, between two of 1."""
    x, y = np.array([0.5, 1.5, 1.5, 5.5, 5.5, 6.5]), np.array([0, 0, 1, 1, 0, 0]) * _GAIN
    axis.plot(x, level + y, color=_INK[0], lw=0.7)


def _trace(
    record: EcgRecord, lead: str, window: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Places on paper [mm] of a lead in a window (begin, length) of time [ms]."""
    if lead not in record.leads:
        return np.empty(0), np.empty(0)
    begin, length = window
    inside = (record.times >= begin) & (record.times <= begin + length)
    y = record.values[record.leads.index(lead), inside]
    return (record.times[inside] - begin) / 1000 * _SPEED, y * _GAIN


def _strip(
    record: EcgRecord, lead: str, start: float, length: float, period: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """The rhythm strip, of a beat repeated every `period` [ms] if there is one."""
    if period is None:
        return _trace(record, lead, (start, length))
    if lead not in record.leads:
        return np.empty(0), np.empty(0)
    times = np.arange(0.0, length, 2.0)
    y = record.values[record.leads.index(lead)]
    since = start + times % period
    shown = np.interp(since, record.times, y)
    # Between the end of one beat and the beginning of the next the line is straight.
    after = since > record.times[-1]
    part = (since - record.times[-1]) / max(period - (record.times[-1] - start), 1e-9)
    shown = np.where(after, y[-1] + part * (y[0] - y[-1]), shown)
    return times / 1000 * _SPEED, shown * _GAIN
