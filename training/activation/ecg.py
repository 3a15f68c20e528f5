"""What a fit needs of an ECG: one beat, its QRS complex and T wave, and how noisy it is."""

import dataclasses
from pathlib import Path

import numpy as np
from jaxtyping import Float

from twinjax.electro import EcgFeatures, ecg_features
from twinjax.io import EcgRecord, median_beat, read_ecg

# The others are sums of these: they would count the same measurement twice.
_INDEPENDENT = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
_STEP = 1.0  # [ms] at which a QRS complex is fitted
_STEP_LATE = 4.0  # the same of a T wave
_LEAST_NOISE = 0.01  # [mV]
_SEVERAL = 1.8  # a record this long has several beats [s]


@dataclasses.dataclass(frozen=True, eq=False)
class TWave:
    """`values` (lead, time) [mV] at `times` after QRS, and when it peaks [ms]."""

    times: Float[np.ndarray, " time"]
    values: Float[np.ndarray, "lead time"]
    peak: float


@dataclasses.dataclass(frozen=True, eq=False)
class Beat:
    """One beat whose times are counted from the onset of QRS [ms].

    `qrs_times` and `qrs` (lead, time) [mV] are of independent `leads`; so is `t_wave`, if there
    is one. `noise` [mV] is the standard deviation before QRS, at least 0.01.
    """

    record: EcgRecord
    features: EcgFeatures
    leads: tuple[str, ...]
    qrs_times: Float[np.ndarray, " time"]
    qrs: Float[np.ndarray, "lead time"]
    t_wave: TWave | None
    noise: float


def read_beat(path: Path) -> Beat:
    """From a WFDB record or a CSV file: the median of several beats, or the one that it has.

    Raises `MeasurementError`, or `ValueError` for a beat that does not begin before its QRS
    complex, or fewer than three independent leads.
    """
    record = read_ecg(path)
    if record.times[-1] - record.times[0] > 1000 * _SEVERAL:
        record = median_beat(record)
    return beat_of(record, str(path))


def beat_of(record: EcgRecord, name: str = "the ECG") -> Beat:
    """The beat of a record of one."""
    chosen = tuple(lead for lead in _INDEPENDENT if lead in record.leads)
    if not {"I", "II"} <= set(chosen):
        limbs = ("aVR", "aVL", "aVF", "III", "I", "II")
        chosen = (*[x for x in limbs if x in record.leads][:2], *[x for x in chosen if x[0] == "V"])
    if len(chosen) < 3:
        raise ValueError(f"{name} has {len(chosen)} independent leads: at least 3 are needed")
    features = ecg_features(record.times, record.values, record.leads)
    before = features.qrs_onset - record.times[0]
    if before < 10:
        raise ValueError(f"{name} begins {before:.0f} ms before its QRS complex; 10 ms are needed")
    values = record.values[[record.leads.index(lead) for lead in chosen]]
    times = record.times - features.qrs_onset
    quiet = (times >= -30) & (times <= -4)
    if not quiet.any():
        quiet = times <= -4
    level = values[:, quiet].mean(axis=1, keepdims=True)
    noise = float(np.sqrt(np.mean((values[:, quiet] - level) ** 2)))
    values = values - level

    def sampled(grid: np.ndarray) -> np.ndarray:
        return np.stack([np.interp(grid, times, lead) for lead in values])

    length = features.qrs_duration
    qrs_times = np.arange(-8.0, length + 12.0, _STEP)
    t_wave = None
    if features.t_peak is not None:
        end = features.t_peak + 100.0 if features.t_end is None else features.t_end
        last = min(end - features.qrs_onset + 60.0, float(times[-1]))
        late = np.arange(length + 40.0, last, _STEP_LATE)
        t_wave = TWave(late, sampled(late), features.t_peak - features.qrs_onset)
    return Beat(
        dataclasses.replace(record, times=times, values=record.values),
        features,
        chosen,
        qrs_times,
        sampled(qrs_times),
        t_wave,
        max(noise, _LEAST_NOISE),
    )
