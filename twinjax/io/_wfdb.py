"""Pressures from a WFDB record (PhysioNet, bedside monitors): beats, numbers and one mean beat."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from twinjax.io._beats import Beats, good_beats, onsets
from twinjax.io._defaults import find_default
from twinjax.io._errors import MeasurementError
from twinjax.io._files import existing, source_of
from twinjax.io._measurements import Measurement, Measurements, WaveformMeasurement, measure
from twinjax.units import UnitError, convert

_SYSTEMIC = ("ABP", "ART", "AOBP", "AO", "IBP", "BP")
_PULMONARY = ("PAP", "PA")
_ENOUGH = 3  # good beats


def channels_of(path: Path) -> tuple[list[str], list[str], float, np.ndarray]:
    """Names and units of a record's channels, samples a second, and the signals (time, channel).

    Raises `MeasurementError`: not a record; it names the extra to install if `wfdb` is missing.
    """
    try:
        import wfdb
    except ImportError:
        raise MeasurementError(
            "Reading a WFDB record needs the package wfdb: install twinjax[formats]."
        ) from None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of wfdb about pandas say nothing to a reader
            record = wfdb.rdrecord(str(path.with_suffix("")), physical=True)
        names = [str(name) for name in record.sig_name]
        units = [str(unit) for unit in record.units]
        rate, signals = float(record.fs), np.asarray(record.p_signal, float)
    except Exception as error:  # wfdb raises whatever its parser meets
        raise MeasurementError(
            f"{path} is not a readable WFDB record ({type(error).__name__})."
        ) from None
    return names, units, rate, signals


def read_record(path: str | Path) -> Measurements:
    """Read heart rate and pressures from the arterial channels of a WFDB record.

    A systemic channel (ABP, ART, AOBP, AO, IBP, BP) gives heart rate, systolic, diastolic and
    mean pressure and the waveform `systemic_arteries.pressure`; a pulmonary channel (PAP, PA)
    likewise, on the onsets of the systemic beats where there are any, since breathing hides its
    own. Values are medians over the good beats; their SD is the beat-to-beat SD and that of the
    method in quadrature. The waveform is the mean beat from the onset of its
    own rise, with the SD formed alike at each phase; how long the pulse travelled to the catheter
    is not known, so a comparison has to align it. Names, dates and comments of the record are
    neither used nor kept.

    Raises `MeasurementError`: no such channel, fewer than three good beats, not a record; it
    names the extra to install if `wfdb` is missing.
    """
    path = existing(Path(path))
    names, units, rate, signals = channels_of(path)
    channels = [name.upper() for name in names]
    systemic = next((name for name in _SYSTEMIC if name in channels), None)
    pulmonary = next((name for name in _PULMONARY if name in channels), None)
    if systemic is None and pulmonary is None:
        raise MeasurementError(
            f"{path} has no arterial pressure channel ({', '.join((*_SYSTEMIC, *_PULMONARY))}): "
            f"its channels are {', '.join(channels)}."
        )

    def trace(name: str) -> np.ndarray:
        index = channels.index(name)
        try:
            return convert(signals[:, index], units[index], "mmHg")
        except UnitError as error:
            raise MeasurementError(f"Channel {name}: {error}") from None

    entries: list[Measurement] = []
    waves: list[WaveformMeasurement] = []
    starts = np.empty(0, int)
    if systemic is not None:
        pressure = trace(systemic)
        starts = onsets(pressure, rate)
        beats = good_beats(pressure, rate, starts, low=10, high=320, pulse=8)
        _enough(beats, systemic, path)
        entries.append(_scalar("heart_rate", 60 / beats.interval, "arterial_line", "bpm"))
        for name, values in (
            ("systolic_blood_pressure", beats.systolic),
            ("diastolic_blood_pressure", beats.diastolic),
            ("mean_arterial_pressure", beats.mean),
        ):
            entries.append(_scalar(name, values, "arterial_line"))
        waves.append(_wave("systemic_arteries.pressure", beats, "arterial_line"))
    if pulmonary is not None:
        pressure = trace(pulmonary)
        if starts.size <= _ENOUGH:
            starts = onsets(pressure, rate)
        beats = good_beats(pressure, rate, starts, low=-10, high=180, pulse=3)
        _enough(beats, pulmonary, path)
        if systemic is None:
            entries.append(
                _scalar("heart_rate", 60 / beats.interval, "right_heart_catheter", "bpm")
            )
        for name, values in (
            ("pulmonary_systolic_pressure", beats.systolic),
            ("pulmonary_diastolic_pressure", beats.diastolic),
            ("pulmonary_mean_pressure", beats.mean),
        ):
            entries.append(_scalar(name, values, "right_heart_catheter"))
        waves.append(_wave("pulmonary_arteries.pressure", beats, "right_heart_catheter"))
    return Measurements(tuple(entries), tuple(waves), source=source_of(path, "wfdb"))


def _enough(beats: Beats, channel: str, path: Path) -> None:
    if beats.interval.size < _ENOUGH:
        raise MeasurementError(
            f"Channel {channel} of {path} has {beats.interval.size} good beats of "
            f"{beats.found} found: at least {_ENOUGH} are needed."
        )


def _scalar(name: str, values: np.ndarray, method: str, unit: str = "mmHg") -> Measurement:
    middle = float(np.median(values))
    spread = float(np.std(values, ddof=1))
    sd = float(np.hypot(find_default(name, method).sd(middle), spread))
    return measure(name, middle, unit, method=method, sd=sd)


def _wave(name: str, beats: Beats, method: str) -> WaveformMeasurement:
    quantity = {
        "systemic_arteries.pressure": "mean_arterial_pressure",
        "pulmonary_arteries.pressure": "pulmonary_mean_pressure",
    }[name]
    mean, spread = beats.shape.mean(axis=0), beats.shape.std(axis=0, ddof=1)
    # time 0 is the onset of this vessel's own rise, also where beats were cut by another channel
    period = float(np.median(beats.interval))
    steepest = int(np.argmax(np.roll(mean, -1) - mean))
    back = np.arange(int(mean.size * min(1.0, 0.25 / period)) + 1)
    shift = steepest - int(np.argmin(mean[(steepest - back) % mean.size]))
    mean, spread = np.roll(mean, -shift), np.roll(spread, -shift)
    sd = np.hypot(find_default(quantity, method).sd(mean), spread)
    time = period * np.arange(mean.size) / mean.size
    return WaveformMeasurement(name, time, mean, sd, method, period)
