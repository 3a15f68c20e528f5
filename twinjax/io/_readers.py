"""One person's measurements from a TOML or CSV file, or a WFDB record."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from twinjax.io._defaults import find_default
from twinjax.io._errors import MeasurementError
from twinjax.io._files import cell_number, existing, read_text, refuse_identity, source_of, table
from twinjax.io._measurements import (
    PERSON,
    Measurement,
    Measurements,
    WaveformMeasurement,
    body_surface_area,
    checked,
    measure,
)
from twinjax.io._wfdb import read_record
from twinjax.observables import OBSERVABLES, WAVEFORMS, nearest
from twinjax.units import UnitError, convert

# A clinician writes an index under its own name; its unit (per m2) says what it is.
_INDEX_NAMES = {
    "cardiac_index": "cardiac_output",
    "lv_end_diastolic_volume_index": "lv_end_diastolic_volume",
    "lv_end_systolic_volume_index": "lv_end_systolic_volume",
    "lv_stroke_volume_index": "lv_stroke_volume",
    "rv_end_diastolic_volume_index": "rv_end_diastolic_volume",
    "rv_end_systolic_volume_index": "rv_end_systolic_volume",
    "rv_stroke_volume_index": "rv_stroke_volume",
    "left_atrial_volume_index": "left_atrial_maximum_volume",
    "right_atrial_volume_index": "right_atrial_maximum_volume",
    "systemic_vascular_resistance_index": "systemic_vascular_resistance",
    "pulmonary_vascular_resistance_index": "pulmonary_vascular_resistance",
}
_TOP = ("patient", "sex", *PERSON, "measurements", "waveforms")
_KEYS = ("value", "unit", "method", "sd", "relative_sd", "derived")
_WAVE_KEYS = ("file", "unit", "time_unit", "method", "sd", "period")


def read_measurements(path: str | Path) -> Measurements:
    """Read one person's measurements from `.toml`, `.csv` or a WFDB header (`.hea`).

    Raises `MeasurementError`, one sentence, for a file that cannot be read and for a value that
    cannot be: see the module `twinjax.io` for the layout of each format.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], Measurements]] = {
        ".toml": _read_toml,
        ".csv": _read_csv,
        ".hea": read_record,
    }
    if path.suffix.lower() not in readers and not path.is_dir():
        raise MeasurementError(
            f"Cannot read measurements from {path}: the file must end in {', '.join(readers)}."
        )
    existing(path)
    result = readers[path.suffix.lower()](path)
    if not len(result):
        raise MeasurementError(
            f"{path} holds no measurement: give at least one of {', '.join(OBSERVABLES)}."
        )
    return checked(result)


def _known_key(key: str, choices: tuple[str, ...], where: str) -> None:
    if key in choices:
        return
    refuse_identity(key)
    near = nearest(key, choices)
    hint = f"did you mean {near!r}, " if near else ""
    raise MeasurementError(f"Unknown key {key!r} in {where}: {hint}one of {', '.join(choices)}.")


def _person(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the patient, sex, age, height and weight as `Measurements` holds them."""
    found: dict[str, Any] = {}
    for key in ("patient", "sex"):
        if values.get(key) not in (None, ""):
            found[key] = str(values[key]).strip()
    if "sex" in found:
        found["sex"] = {"f": "female", "m": "male"}.get(found["sex"].lower(), found["sex"].lower())
    for key, (unit, low, high) in PERSON.items():
        item = values.get(key)
        if item in (None, ""):
            continue
        if key == "age" and isinstance(item, (int, float)) and not isinstance(item, bool):
            item = {"value": item, "unit": unit}  # nobody gives an age in anything but years
        if not isinstance(item, Mapping) or set(item) != {"value", "unit"}:
            raise MeasurementError(f"{key} needs a value and a unit: {_example(key, item, unit)}.")
        try:
            number = float(convert(float(item["value"]), item["unit"], unit))
        except UnitError as error:
            raise MeasurementError(f"{key}: {error}") from None
        except (TypeError, ValueError):
            raise MeasurementError(f"The value of {key} must be a number.") from None
        if not low <= number <= high:
            raise MeasurementError(
                f"{key} = {item['value']} {item['unit']} is outside the plausible range "
                f"{low:g} to {high:g} {unit}."
            )
        found[key] = number
    return found


def _example(name: str, value: Any, unit: str) -> str:
    shown = value if isinstance(value, (int, float)) and not isinstance(value, bool) else "..."
    return f'write {name} = {{value = {shown}, unit = "{unit}"}}'


def _surface(person: Mapping[str, Any]) -> float | None:
    if "height" in person and "weight" in person:
        return body_surface_area(person["height"], person["weight"])
    return None


def _entry(name: str, item: Mapping[str, Any], surface: float | None) -> Measurement | None:
    """Return one measurement, or `None` where the value is left out."""
    canonical = _INDEX_NAMES.get(name, name)
    if item.get("value") in (None, ""):
        return None
    if not item.get("unit"):
        unit = OBSERVABLES[canonical].unit
        raise MeasurementError(f"{name} has no unit: {_example(name, item['value'], unit)}.")
    if canonical != name and "m2" not in str(item["unit"]) and "m²" not in str(item["unit"]):
        raise MeasurementError(
            f"{name} is an index, but its unit {item['unit']!r} is not per m2: correct the unit, "
            f"or name it {canonical}."
        )
    derived = item.get("derived", False)
    if not isinstance(derived, bool):
        raise MeasurementError(f"derived of {name} must be true or false (got {derived!r}).")
    return measure(
        canonical,
        item["value"],
        item["unit"],
        method=item.get("method") or None,
        sd=item.get("sd"),
        relative_sd=item.get("relative_sd"),
        derived=derived,
        surface_area=surface,
    )


def _read_toml(path: Path) -> Measurements:
    try:
        content = tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise MeasurementError(f"{path} is not valid TOML: {error}.") from None
    for key in content:
        _known_key(key, _TOP, f"{path.name}")
    for key in ("measurements", "waveforms"):
        if not isinstance(content.get(key, {}), Mapping):
            raise MeasurementError(f"{key} must be a table: start it with [{key}].")
    person = _person(content)
    surface = _surface(person)
    entries: list[Measurement] = []
    missing: list[str] = []
    for name, items in content.get("measurements", {}).items():
        _known_key(name, (*OBSERVABLES, *_INDEX_NAMES), "[measurements]")
        for item in items if isinstance(items, list) else [items]:
            if not isinstance(item, Mapping):
                unit = OBSERVABLES[_INDEX_NAMES.get(name, name)].unit
                raise MeasurementError(f"{name} has no unit: {_example(name, item, unit)}.")
            for key in item:
                _known_key(key, _KEYS, name)
            entry = _entry(name, item, surface)
            missing.append(name) if entry is None else entries.append(entry)
    waves = tuple(
        _toml_waveform(path, name, item) for name, item in content.get("waveforms", {}).items()
    )
    return Measurements(
        tuple(entries), waves, **person, missing=tuple(missing), source=source_of(path, "toml")
    )


def _toml_waveform(path: Path, name: str, item: Any) -> WaveformMeasurement:
    _known_key(name, tuple(WAVEFORMS), "[waveforms]")
    if not isinstance(item, Mapping) or "file" not in item:
        raise MeasurementError(f'The waveform {name} needs a file: write file = "beat.csv".')
    for key in item:
        _known_key(key, _WAVE_KEYS, f"the waveform {name}")
    for key in ("unit", "time_unit"):
        if not item.get(key):
            raise MeasurementError(f"The waveform {name} needs the key {key!r}.")
    header, rows = table(path.parent / str(item["file"]))
    if [cell.lower() for cell in header] != ["time", "value"]:
        raise MeasurementError(
            f"{item['file']} must have the columns time,value (it has {', '.join(header)})."
        )
    numbers = [[cell_number(cell) for cell in row] for row in rows]
    for index, row in enumerate(numbers):
        if len(row) != 2 or None in row:
            raise MeasurementError(f"{item['file']}: row {index + 1} is not two numbers.")
    data = np.asarray(numbers, float)
    known = WAVEFORMS[name]
    try:
        time = convert(data[:, 0], item["time_unit"], "s") if len(data) else np.empty(0)
        values = convert(data[:, 1], item["unit"], known.unit) if len(data) else np.empty(0)
        period = item.get("period")
        period = None if period is None else float(convert(float(period), item["time_unit"], "s"))
        sd = item.get("sd")
        sd = None if sd is None else float(convert(float(sd), item["unit"], known.unit))
    except UnitError as error:
        raise MeasurementError(f"{name}: {error}") from None
    return waveform(name, time, values, method=item.get("method"), sd=sd, period=period)


def waveform(
    name: str,
    time: np.ndarray,
    values: np.ndarray,
    *,
    method: str | None = None,
    sd: np.ndarray | float | None = None,
    period: float | None = None,
) -> WaveformMeasurement:
    """Return one beat of a waveform, `time` (n,) in s and `values` (n,) in canonical units.

    Without `period` the beat lasts one sampling interval beyond its last time. Without `sd` the
    waveform must be an arterial pressure: its SD is that of the mean pressure by that method.
    """
    mean = {
        "systemic_arteries.pressure": ("mean_arterial_pressure", "arterial_line"),
        "pulmonary_arteries.pressure": ("pulmonary_mean_pressure", "right_heart_catheter"),
    }.get(name)
    if method is None:
        method = mean[1] if mean else "other"
    if sd is None:
        if mean is None:
            raise MeasurementError(f"The waveform {name} has no default SD: give sd.")
        sd = find_default(mean[0], method).sd(np.asarray(values, float))
    spread = np.asarray(sd, float)
    if period is None:
        steps = np.diff(time)
        period = float(time[-1] - time[0] + np.median(steps)) if steps.size else 0.0
    return WaveformMeasurement(name, time, values, spread, method, period)


def _read_csv(path: Path) -> Measurements:
    header, rows = table(path)
    columns = [cell.lower() for cell in header]
    allowed = ("name", "value", "unit", "method", "sd", "relative_sd", "derived")
    for column in columns:
        # the column "name" names the quantity, so it is not checked for a person's identity
        if column != "name":
            _known_key(column, allowed, f"the header of {path.name}")
    for column in ("name", "value", "unit"):
        if column not in columns:
            raise MeasurementError(f"{path} lacks the column {column!r}.")
        if columns.count(column) > 1:
            raise MeasurementError(f"{path} has the column {column!r} twice.")
    items: list[tuple[str, dict[str, Any]]] = []
    for index, row in enumerate(rows):
        if len(row) != len(columns):
            raise MeasurementError(
                f"{path}: row {index + 1} has {len(row)} cells, but the header has {len(columns)}."
            )
        cells: dict[str, Any] = dict(zip(columns, row, strict=True))
        name = cells.pop("name")
        _known_key(name, (*OBSERVABLES, *_INDEX_NAMES, "patient", "sex", *PERSON), path.name)
        if name not in ("patient", "sex"):
            for key in ("value", "sd", "relative_sd"):
                text = cells.get(key, "")
                cells[key] = None if text == "" else cell_number(text)
                if text != "" and cells[key] is None:
                    raise MeasurementError(f"The {key} of {name} must be a number (got {text!r}).")
        cells["derived"] = str(cells.get("derived", "")).lower() in ("1", "true", "yes")
        items.append((name, cells))
    raw: dict[str, Any] = {}
    for name, cells in items:
        if name in ("patient", "sex"):
            raw[name] = cells["value"]
        elif name in PERSON and cells["value"] is not None:
            raw[name] = {"value": cells["value"], "unit": cells["unit"]}
            if not cells["unit"]:
                raise MeasurementError(f"{name} has no unit: write it in the column unit.")
    person = _person(raw)
    surface = _surface(person)
    entries: list[Measurement] = []
    missing: list[str] = []
    for name, cells in items:
        if name in _TOP:
            continue
        if cells["value"] is not None and not cells["unit"]:
            raise MeasurementError(f"{name} has no unit: write it in the column unit.")
        entry = _entry(name, cells, surface)
        missing.append(name) if entry is None else entries.append(entry)
    return Measurements(
        tuple(entries), **person, missing=tuple(missing), source=source_of(path, "csv")
    )
