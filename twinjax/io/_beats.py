"""Beats in a pressure trace: onsets, features, rejection of artefacts, and the average beat."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

_POINTS = 100  # phases of the average beat


@dataclasses.dataclass(frozen=True)
class Beats:
    """What the good beats of one trace show; every array has one value a good beat.

    `shape` (beats, phases) is the trace resampled at equal phases from onset to onset.
    """

    found: int
    interval: np.ndarray
    systolic: np.ndarray
    diastolic: np.ndarray
    mean: np.ndarray
    shape: np.ndarray


def onsets(pressure: np.ndarray, rate: float) -> np.ndarray:
    """Return the samples at which an arterial pressure begins to rise, one a beat.

    Slope-sum method (Zong et al., Comput Cardiol 2003;30:259): the positive slopes of the last
    128 ms are added up, a beat is where the sum peaks above an adaptive threshold, and its onset
    is the lowest pressure before the steepest rise. `pressure` (n,) mmHg may hold NaN;
    `rate` is in Hz.
    """
    good = np.isfinite(pressure)
    if good.sum() < 2 * rate:
        return np.empty(0, int)
    index = np.arange(pressure.size)
    smooth = _smoothed(np.interp(index, index[good], pressure[good]), rate)
    rise = np.maximum(np.gradient(smooth), 0.0)
    window = max(2, round(0.128 * rate))
    sums = np.convolve(rise, np.ones(window))[: rise.size]
    threshold = 0.35 * np.percentile(sums, 98)
    if threshold <= 0:
        return np.empty(0, int)
    peaks = np.flatnonzero((sums[1:-1] >= sums[:-2]) & (sums[1:-1] > sums[2:])) + 1
    peaks = peaks[sums[peaks] > threshold]
    # the refractory time follows the rhythm, so that a dicrotic wave is not taken for a beat
    gap = 0.24 * rate
    strong = _spaced(peaks, sums, gap)
    if strong.size > 2:
        strong = _spaced(peaks, sums, max(gap, 0.45 * float(np.median(np.diff(strong)))))
    starts = []
    for peak in strong:
        begin = max(0, peak - window)
        steepest = begin + int(np.argmax(rise[begin : peak + 1]))
        first = max(0, steepest - round(0.25 * rate))
        lowest = first + int(np.argmin(smooth[first : steepest + 1]))
        if lowest > first or first > 0:
            starts.append(lowest)
    return np.unique(np.asarray(starts, int))


def _smoothed(values: np.ndarray, rate: float) -> np.ndarray:
    width = max(3, round(0.05 * rate) | 1)
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")


def _spaced(peaks: np.ndarray, height: np.ndarray, gap: float) -> np.ndarray:
    """Keep the highest peaks that are at least `gap` samples apart."""
    kept: list[int] = []
    for peak in peaks[np.argsort(-height[peaks], kind="stable")]:
        if all(abs(peak - other) >= gap for other in kept):
            kept.append(int(peak))
    return np.sort(np.asarray(kept, int))


def good_beats(
    pressure: np.ndarray, rate: float, starts: np.ndarray, *, low: float, high: float, pulse: float
) -> Beats:
    """Measure the beats between `starts` and drop those that are artefacts.

    A beat is dropped if it lacks samples, leaves [`low`, `high`] mmHg, pulses by less than
    `pulse` mmHg, stands still for a fifth of its time (a flush or a disconnected line), lasts
    less than 0.24 or more than 3 s, is more than 30 % off the median length, lies beyond 5
    scaled median absolute deviations of the others in any feature, or does not look like the
    median beat (correlation below 0.7).
    """
    rows = []
    for begin, end in itertools.pairwise(starts):
        beat = pressure[begin : end + 1]
        length = (end - begin) / rate
        if not np.isfinite(beat).all() or not 0.24 <= length <= 3.0:
            continue
        highest, lowest = float(beat.max()), float(beat.min())
        if lowest < low or highest > high or highest - lowest < pulse:
            continue
        if _longest_run(np.abs(np.diff(beat)) < 1e-9) > 0.2 * beat.size:
            continue
        average = float(np.sum(0.5 * (beat[1:] + beat[:-1])) / (end - begin))
        phases = begin + (end - begin) * np.arange(_POINTS) / _POINTS
        curve = np.interp(phases, np.arange(begin, end + 1), beat)
        rows.append((length, highest, lowest, average, curve))
    found = max(0, starts.size - 1)
    if not rows:
        none = np.empty(0)
        return Beats(found, none, none, none, none, np.empty((0, _POINTS)))
    interval, top, bottom, mean = np.array([row[:4] for row in rows]).T
    shape = np.stack([row[4] for row in rows])
    keep = np.abs(interval / np.median(interval) - 1) <= 0.3
    for feature in (top, bottom, mean):
        middle = np.median(feature[keep])
        spread = 1.4826 * np.median(np.abs(feature[keep] - middle))
        keep &= np.abs(feature - middle) <= 5 * max(spread, 2.0)
    if keep.any():
        template = np.median(shape[keep], axis=0)
        keep &= np.array([np.corrcoef(row, template)[0, 1] >= 0.7 for row in shape])
    return Beats(found, interval[keep], top[keep], bottom[keep], mean[keep], shape[keep])


def _longest_run(flags: np.ndarray) -> int:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(int), [0]))))
    return int(np.max(edges[1::2] - edges[::2], initial=0))
