"""Measurements in a group of an HDF5 file, so that a twin carries what it was fitted to."""

from __future__ import annotations

import json
from typing import Any

import h5py
import numpy as np

from twinjax.io._errors import MeasurementError
from twinjax.io._measurements import Measurement, Measurements, WaveformMeasurement, check_name
from twinjax.observables import OBSERVABLES, WAVEFORMS
from twinjax.units import UnitError, convert

_FORMAT, _VERSION = "twinjax-measurements", 1
_TEXT = ("patient", "sex", "source")
_NUMBERS = ("age", "height", "weight")


def to_hdf5(measurements: Measurements, group: h5py.Group) -> None:
    """Write `measurements` into an empty group: numbers, units, methods and SDs, no pickle.

    Layout: `scalars` is one dataset a column (name, value, unit, sd, method, derived), and
    `waveforms/<number>` holds the datasets time [s], values and sd with the attributes name,
    unit, method and period [s].
    """
    if len(group):
        raise MeasurementError(f"The group {group.name!r} is not empty.")
    group.attrs["format"] = _FORMAT
    group.attrs["version"] = _VERSION
    for key in (*_TEXT, *_NUMBERS):
        value = getattr(measurements, key)
        if value is not None:
            group.attrs[key] = value
    group.attrs["units"] = json.dumps({"age": "year", "height": "cm", "weight": "kg"})
    group.attrs["missing"] = json.dumps(list(measurements.missing))
    scalars = group.create_group("scalars")
    entries = measurements.entries
    text = h5py.string_dtype("utf-8")
    for key in ("name", "unit", "method"):
        column = [getattr(entry, key) for entry in entries]
        scalars.create_dataset(key, data=np.array(column, dtype=object), dtype=text)
    for key, kind in (("value", float), ("sd", float), ("derived", bool)):
        scalars.create_dataset(key, data=np.array([getattr(e, key) for e in entries], dtype=kind))
    waves = group.create_group("waveforms")
    for index, wave in enumerate(measurements.waveforms):
        one = waves.create_group(str(index))
        for key in ("time", "values", "sd"):
            one.create_dataset(key, data=getattr(wave, key))
        for key in ("name", "unit", "method", "period"):
            one.attrs[key] = getattr(wave, key)


def from_hdf5(group: h5py.Group) -> Measurements:
    """Read what [`to_hdf5`][twinjax.io.to_hdf5] wrote; raises `MeasurementError` if it did not."""
    if group.attrs.get("format") != _FORMAT:
        raise MeasurementError(f"The group {group.name!r} does not hold measurements.")
    if int(group.attrs.get("version", 0)) > _VERSION:
        raise MeasurementError(
            f"The measurements are of version {group.attrs['version']}, but this twinjax reads "
            f"version {_VERSION}: update twinjax."
        )
    try:
        return _read(group)
    except (KeyError, IndexError, OSError, TypeError, json.JSONDecodeError, UnitError) as error:
        raise MeasurementError(
            f"The measurements in {group.name!r} are damaged ({type(error).__name__}: {error})."
        ) from None


def _read(group: h5py.Group) -> Measurements:
    scalars: Any = group["scalars"]
    text = {key: [str(v) for v in scalars[key].asstr()[:]] for key in ("name", "unit", "method")}
    value, sd, derived = (scalars[key][:] for key in ("value", "sd", "derived"))
    lengths = {len(column) for column in (*text.values(), value, sd, derived)}
    if len(lengths) > 1:
        raise MeasurementError(
            f"The measurements in {group.name!r} have columns of unequal length."
        )
    entries = []
    for index, name in enumerate(text["name"]):
        # a later version may have changed a canonical unit, so the stored one is honoured
        scale = convert(1.0, text["unit"][index], OBSERVABLES[check_name(name)].unit)
        entries.append(
            Measurement(
                name,
                float(value[index]) * scale,
                float(sd[index]) * scale,
                text["method"][index],
                bool(derived[index]),
            )
        )
    waves = []
    stored: Any = group["waveforms"]
    for index in range(len(stored)):
        one = stored[str(index)]
        name = str(one.attrs["name"])
        scale = convert(1.0, str(one.attrs["unit"]), WAVEFORMS[check_name(name, WAVEFORMS)].unit)
        waves.append(
            WaveformMeasurement(
                name,
                one["time"][:],
                one["values"][:] * scale,
                one["sd"][:] * scale,
                str(one.attrs["method"]),
                float(one.attrs["period"]),
            )
        )
    person: dict[str, Any] = {key: str(group.attrs[key]) for key in _TEXT if key in group.attrs}
    person |= {key: float(group.attrs[key]) for key in _NUMBERS if key in group.attrs}
    missing = tuple(json.loads(group.attrs["missing"]))
    return Measurements(tuple(entries), tuple(waves), missing=missing, **person)
