"""Electrocardiograms from WFDB records and CSV files, and one beat out of many."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

from twinjax.io._errors import MeasurementError
from twinjax.io._files import cell_number, existing, source_of, table
from twinjax.io._wfdb import channels_of
from twinjax.units import UnitError, convert

_LIMBS = ("I", "II", "III", "aVR", "aVL", "aVF")
LEAD_NAMES = (*_LIMBS, "V1", "V2", "V3", "V4", "V5", "V6")
_KNOWN = {name.lower(): name for name in LEAD_NAMES}
# Each limb lead of two others: Einthoven's and Goldberger's relations.
_DERIVED = {
    "III": ((1.0, "II"), (-1.0, "I")),
    "aVR": ((-0.5, "I"), (-0.5, "II")),
    "aVL": ((1.0, "I"), (-0.5, "II")),
    "aVF": ((1.0, "II"), (-0.5, "I")),
}
_ENOUGH = 3  # beats


@dataclasses.dataclass(frozen=True)
class EcgRecord:
    """Leads [mV] at equal intervals of time [ms]: `values` (lead, time), `times` (time).

    Of a record that was read, leads are in the order of `twinjax.electro.LEADS`; `source` is the
    kind of file and its hash, or what was done to it.
    """

    times: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "lead time"]
    leads: tuple[str, ...]
    source: str = ""

    @property
    def rate(self) -> float:
        """Samples a second [Hz]."""
        return 1000.0 * (len(self.times) - 1) / float(self.times[-1] - self.times[0])


def read_ecg(path: str | Path) -> EcgRecord:
    """Reads the standard leads of a WFDB record (`.hea`) or of a CSV file.

    The header of a CSV file has the unit of each column in brackets: `time [s],I [mV],II [mV],…`.
    Case does not matter in the names of leads; other channels are left out, III and the augmented
    leads are made of I and II where they lack. Names, dates and comments of the record are
    neither used nor kept.

    Raises `MeasurementError`: no standard lead, no equal intervals, a unit that is no voltage, a
    sample that is not a number, a lead twice, not a record; it names the extra to install if
    `wfdb` is missing.
    """
    path = existing(path)
    if path.suffix.lower() == ".csv":
        channels, units, times, signals = _csv(path)
    else:
        channels, units, rate, signals = channels_of(path)
        times = 1000.0 * np.arange(len(signals)) / rate
    found: dict[str, np.ndarray] = {}
    for index, (channel, unit) in enumerate(zip(channels, units, strict=True)):
        lead = _KNOWN.get(channel.strip().lower())
        if lead is None:
            continue
        if lead in found:
            raise MeasurementError(f"{path} has lead {lead} twice.")
        try:
            found[lead] = convert(signals[:, index], unit, "mV")
        except UnitError as error:
            raise MeasurementError(f"Lead {lead} of {path}: {error}") from None
        bad = int(np.sum(~np.isfinite(found[lead])))
        if bad:
            raise MeasurementError(f"Lead {lead} of {path} lacks {bad} samples.")
    if not found:
        raise MeasurementError(
            f"{path} has no standard lead ({', '.join(LEAD_NAMES)}): its channels are "
            f"{', '.join(channels)}."
        )
    found = with_derived_leads(found)
    leads = tuple(lead for lead in LEAD_NAMES if lead in found)
    kind = "csv" if path.suffix.lower() == ".csv" else "wfdb"
    values = np.stack([found[lead] for lead in leads])
    return EcgRecord(times, values, leads, source_of(path, kind))


def with_derived_leads(
    found: Mapping[str, Float[np.ndarray, " time"]],
) -> dict[str, Float[np.ndarray, " time"]]:
    """Leads by name, with III and the augmented ones made of I and II where those lack."""
    leads = dict(found)
    if {"I", "II"} <= set(leads):
        for lead, ((a, one), (b, two)) in _DERIVED.items():
            leads.setdefault(lead, a * leads[one] + b * leads[two])
    return leads


def _csv(path: Path) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    header, rows = table(path)
    names, units = [], []
    for cell in header:
        parts = re.fullmatch(r"([^\[\]]+?)\s*\[([^\[\]]+)\]", cell)
        if parts is None:
            raise MeasurementError(
                f"The column {cell!r} of {path} has no unit: write it as 'time [ms]' or 'V1 [mV]'."
            )
        names.append(parts.group(1))
        units.append(parts.group(2))
    times = [i for i, name in enumerate(names) if name.lower() in ("time", "t")]
    if len(times) != 1:
        raise MeasurementError(f"{path} needs one column 'time [ms]' (or another unit of time).")
    numbers = [[cell_number(cell) for cell in row] for row in rows]
    for index, row in enumerate(numbers):
        if len(row) != len(names) or None in row:
            raise MeasurementError(f"{path}: row {index + 1} is not {len(names)} numbers.")
    data = np.asarray(numbers, float).reshape(-1, len(names))
    if len(data) < 2:
        raise MeasurementError(f"{path} has {len(data)} samples: at least two are needed.")
    try:
        when = convert(data[:, times[0]], units[times[0]], "ms")
    except UnitError as error:
        raise MeasurementError(f"The time of {path}: {error}") from None
    steps = np.diff(when)
    # Times are often written with few digits: a third of a step off is no missing sample.
    if not np.isfinite(when).all() or np.any(np.abs(steps - steps.mean()) > 0.34 * steps.mean()):
        raise MeasurementError(f"The times of {path} are not rising at equal intervals.")
    even = np.linspace(when[0], when[-1], len(when))
    return names, units, even, data


def median_beat(
    record: EcgRecord,
    *,
    before: float = 250.0,
    after: float | None = None,
    likeness: float = 0.9,
) -> EcgRecord:
    """The median of the beats of a record, aligned at their QRS complexes: time 0 is that of R.

    Drift below 0.5 Hz is removed without shifting phases (Kligfield et al. 2007, Circulation
    115:1306, allow up to 0.67 Hz). Beats are where the slopes of all leads, between 5 and 25 Hz,
    are largest; each is shifted by up to 30 ms to where it resembles the median most, and left
    out if it follows more than 20 % early or correlates with it by less than `likeness`: an
    ectopic or noisy beat. The level is that of the 20 quietest ms of the 100 before the onset.

    **Arguments:** `before` and `after` R [ms]; `after` is by default what is left of the
    median interval between beats, less 30 ms.
    Raises `MeasurementError` for fewer than three good beats.
    """
    from scipy.signal import butter, sosfiltfilt

    rate, values = record.rate, record.values
    if len(record.times) < 2 * rate:
        raise MeasurementError("A median beat needs a record of at least 2 s.")
    flat = sosfiltfilt(butter(2, 0.5, "highpass", fs=rate, output="sos"), values, axis=1)
    peaks = _beats(values, rate)
    if len(peaks) < _ENOUGH:
        raise MeasurementError(f"{len(peaks)} beats were found: at least {_ENOUGH} are needed.")
    intervals = np.diff(peaks)
    usual = float(np.median(intervals))
    early = np.concatenate([[False], intervals < 0.8 * usual])
    late = max(1000.0 * usual / rate - before - 30.0, 100.0) if after is None else after
    low, high = round(before * rate / 1000), round(late * rate / 1000)
    reach, near = round(0.03 * rate), round(0.06 * rate)
    whole = (peaks >= low + reach) & (peaks + high + reach < values.shape[1])
    peaks, early = peaks[whole], early[whole]
    if np.sum(~early) < _ENOUGH:
        raise MeasurementError(
            f"{int(np.sum(~early))} whole beats that are not early were found: at least {_ENOUGH} "
            "are needed."
        )

    def cut(places: np.ndarray) -> np.ndarray:
        return np.stack([flat[:, p - low : p + high + 1] for p in places])

    places, like = peaks.copy(), np.ones(len(peaks))
    for _ in range(3):
        middle = np.median(cut(places[~early]), axis=0)
        for i, peak in enumerate(peaks):
            scores = [
                _likeness(flat[:, peak + s - near : peak + s + near + 1], middle, low, near)
                for s in range(-reach, reach + 1)
            ]
            places[i], like[i] = peak - reach + int(np.argmax(scores)), np.max(scores)
    good = ~early & (like >= likeness)
    if good.sum() < _ENOUGH:
        raise MeasurementError(
            f"{int(good.sum())} of {len(peaks)} beats are alike: at least {_ENOUGH} are needed."
        )
    beat = np.median(cut(places[good]), axis=0)
    times = 1000.0 * np.arange(-low, high + 1) / rate
    beat = beat - _level(beat, rate, low)[:, None]
    source = (
        f"median of {int(good.sum())} beats of {len(peaks)}, every {1000 * usual / rate:.0f} ms"
    )
    return EcgRecord(times, beat, record.leads, f"{source}; {record.source}")


def _beats(values: np.ndarray, rate: float) -> np.ndarray:
    """The samples of the R peaks (largest slopes) of all leads together."""
    from scipy.signal import butter, find_peaks, sosfiltfilt

    band = butter(2, (5.0, min(25.0, 0.45 * rate)), "bandpass", fs=rate, output="sos")
    slopes = np.gradient(sosfiltfilt(band, values, axis=1), axis=1)
    width = max(3, round(0.08 * rate))
    energy = np.convolve(np.sum(slopes**2, axis=0), np.ones(width) / width, mode="same")
    size = np.sqrt(energy)
    level = 0.4 * np.percentile(size, 98)
    peaks, _ = find_peaks(size, height=level, distance=max(1, round(0.25 * rate)))
    return peaks.astype(int)


def _likeness(piece: np.ndarray, middle: np.ndarray, low: int, near: int) -> float:
    """Correlation of a QRS complex with that of the median beat, over all leads."""
    other = middle[:, low - near : low + near + 1]
    one = (piece - piece.mean(axis=1, keepdims=True)).ravel()
    two = (other - other.mean(axis=1, keepdims=True)).ravel()
    size = np.linalg.norm(one) * np.linalg.norm(two)
    return float(one @ two / size) if size > 0 else 0.0


def _level(beat: np.ndarray, rate: float, low: int) -> np.ndarray:
    """Each lead's level before the QRS complex: where 20 ms change the least."""
    width = max(2, round(0.02 * rate))
    first, last = max(0, low - round(0.14 * rate)), max(width + 1, low - round(0.04 * rate))
    starts = range(first, max(first + 1, last - width))
    spreads = [np.sum(np.ptp(beat[:, s : s + width], axis=1)) for s in starts]
    start = first + int(np.argmin(spreads))
    return beat[:, start : start + width].mean(axis=1)
