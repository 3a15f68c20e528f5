"""What was measured on one person: values with unit, method and standard deviation."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from twinjax.io._defaults import DEFAULT_METHODS, check_method, find_default
from twinjax.io._errors import MeasurementError
from twinjax.observables import OBSERVABLES, WAVEFORMS, Observable, nearest
from twinjax.units import UnitError, alternatives, convert, dimension

# kind of unit of a value indexed by body surface area -> power of the area that undoes it
_INDEXED = {"flow index": 1, "volume index": 1, "resistance index": -1}
_PLAIN = {
    "flow index": ("L/min/m2", "L/min"),
    "volume index": ("mL/m2", "mL"),
    "resistance index": ("dyn·s·m2/cm5", "dyn·s/cm5"),
}
# what may be known of a person: key -> (unit it is kept in, plausible range)
PERSON = {
    "age": ("year", 0.0, 120.0),
    "height": ("cm", 50.0, 250.0),
    "weight": ("kg", 10.0, 350.0),
}
_PATIENT = re.compile(r"[A-Za-z0-9_.-]{1,40}")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One number in the canonical unit of its name (see `twinjax.observables.OBSERVABLES`).

    `derived` marks a number that was computed from other measurements: it is compared with a
    fit, and not fitted a second time. Build one with [`measure`][twinjax.io.measure], which
    converts units, looks up the SD and refuses the impossible.
    """

    name: str
    value: float
    sd: float
    method: str
    derived: bool = False

    @property
    def unit(self) -> str:
        return OBSERVABLES[self.name].unit


@dataclasses.dataclass(frozen=True, eq=False)
class WaveformMeasurement:
    """One beat of a quantity: `time` (n,) s from 0, `values` (n,) and `sd` (n,) in its unit.

    `period` is the length of the beat in s, at least the last time.
    """

    name: str
    time: np.ndarray
    values: np.ndarray
    sd: np.ndarray
    method: str
    period: float

    def __post_init__(self) -> None:
        if self.name not in WAVEFORMS:
            near = nearest(self.name, WAVEFORMS)
            hint = f"did you mean {near!r}, " if near else ""
            raise MeasurementError(
                f"Unknown waveform {self.name!r}: {hint}one of {', '.join(WAVEFORMS)}."
            )
        time, values = np.asarray(self.time, float), np.asarray(self.values, float)
        if time.ndim != 1 or time.shape != values.shape or time.size < 8:
            raise MeasurementError(
                f"{self.name}: a waveform needs at least 8 times and as many values "
                f"(got {time.size} and {values.size})."
            )
        if not (np.isfinite(time).all() and np.isfinite(values).all()):
            raise MeasurementError(f"{self.name}: the waveform holds a value that is not finite.")
        if not (np.diff(time) > 0).all():
            raise MeasurementError(f"{self.name}: the times of the waveform must increase.")
        sd = np.broadcast_to(np.asarray(self.sd, float), values.shape).copy()
        if not (np.isfinite(sd).all() and (sd > 0).all()):
            raise MeasurementError(f"{self.name}: the SD of the waveform must be positive.")
        known = WAVEFORMS[self.name]
        worst = values[np.argmax(np.maximum(values - known.high, known.low - values))]
        if not known.low <= worst <= known.high:
            raise MeasurementError(_out_of_range(known, float(worst), known.unit))
        time = time - time[0]
        if not (math.isfinite(self.period) and self.period >= time[-1]):
            raise MeasurementError(
                f"{self.name}: the period {self.period:g} s is shorter than the waveform "
                f"({time[-1]:g} s)."
            )
        for field, array in (("time", time), ("values", values), ("sd", sd)):
            array.setflags(write=False)
            object.__setattr__(self, field, array)

    @property
    def unit(self) -> str:
        return WAVEFORMS[self.name].unit


@dataclasses.dataclass(frozen=True)
class Measurements:
    """All that was measured on one person.

    `entries` holds every number as read. One quantity may have been measured by several methods:
    `scalars` combines them (see [`combine`][twinjax.io.combine]). `patient` is an anonymous id;
    `missing` are the names that were listed without a value; `source` says what kind of file
    the numbers came from and its SHA-256, never its path.
    """

    entries: tuple[Measurement, ...] = ()
    waveforms: tuple[WaveformMeasurement, ...] = ()
    patient: str | None = None
    sex: str | None = None
    age: float | None = None
    height: float | None = None
    weight: float | None = None
    missing: tuple[str, ...] = ()
    source: str = ""

    def __post_init__(self) -> None:
        if self.patient is not None and not _PATIENT.fullmatch(self.patient):
            raise MeasurementError(
                "The patient must be an anonymous id of at most 40 letters, digits, '.', '-' or "
                "'_' (a person's name must not enter a twin)."
            )
        if self.sex not in (None, "female", "male"):
            raise MeasurementError(f"sex is {self.sex!r}: the valid choices are female and male.")
        seen: set[tuple[str, str]] = set()
        for entry in self.entries:
            if (entry.name, entry.method) in seen:
                raise MeasurementError(f"{entry.name} by {entry.method!r} is given twice.")
            seen.add((entry.name, entry.method))
        names = [waveform.name for waveform in self.waveforms]
        for name in names:
            if names.count(name) > 1:
                raise MeasurementError(f"The waveform {name} is given twice.")

    @property
    def scalars(self) -> dict[str, Measurement]:
        """One measurement a name, in the order of `OBSERVABLES`, derived ones included."""
        groups: dict[str, list[Measurement]] = {}
        for entry in self.entries:
            groups.setdefault(entry.name, []).append(entry)
        return {name: combine(groups[name]) for name in OBSERVABLES if name in groups}

    @property
    def fitted(self) -> dict[str, Measurement]:
        """The scalars that a fit should use: those that were not derived from others."""
        return {name: item for name, item in self.scalars.items() if not item.derived}

    @property
    def derived(self) -> dict[str, Measurement]:
        """The scalars that were computed from others, for comparison only."""
        return {name: item for name, item in self.scalars.items() if item.derived}

    @property
    def body_surface_area(self) -> float | None:
        """Body surface area in m2, or `None` without height and weight."""
        if self.height is None or self.weight is None:
            return None
        return body_surface_area(self.height, self.weight)

    def __len__(self) -> int:
        return len(self.scalars) + len(self.waveforms)

    def without(self, *names: str) -> Measurements:
        """Return a copy that lacks the named scalars and waveforms (unknown names are refused)."""
        for name in names:
            check_name(name, (*OBSERVABLES, *WAVEFORMS))
        return dataclasses.replace(
            self,
            entries=tuple(entry for entry in self.entries if entry.name not in names),
            waveforms=tuple(wave for wave in self.waveforms if wave.name not in names),
        )

    def vectors(self, names: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return values and SDs (n,) of the named scalars; NaN where one was not measured."""
        scalars = self.scalars
        found = [scalars.get(check_name(name)) for name in names]
        values = [item.value if item else math.nan for item in found]
        sds = [item.sd if item else math.nan for item in found]
        return np.asarray(values), np.asarray(sds)


def check_name(name: str, choices: Iterable[str] = OBSERVABLES) -> str:
    """Return `name` if it is one of `choices`, or raise with the nearest match."""
    choices = tuple(choices)
    if name in choices:
        return name
    near = nearest(name, choices)
    hint = f"did you mean {near!r}, " if near else ""
    raise MeasurementError(f"Unknown quantity {name!r}: {hint}one of {', '.join(choices)}.")


def body_surface_area(height: float, weight: float) -> float:
    """Return body surface area in m2 from height in cm and weight in kg.

    A = 0.007184 W^0.425 H^0.725 (Du Bois & Du Bois, Arch Intern Med 1916;17:863).
    """
    return 0.007184 * weight**0.425 * height**0.725


def measure(
    name: str,
    value: Any,
    unit: Any,
    *,
    method: Any = None,
    sd: Any = None,
    relative_sd: Any = None,
    derived: bool = False,
    surface_area: float | None = None,
) -> Measurement:
    """Return a measurement in canonical units, or raise `MeasurementError`.

    `value` and `sd` are in `unit`; `relative_sd` is a fraction of the value. Without either, the
    SD is the default of the method, and without a method that of `DEFAULT_METHODS`. A unit per
    square metre (`"L/min/m2"`, `"mL/m2"`) needs `surface_area` in m2.
    """
    known = OBSERVABLES[check_name(name)]
    number = _number(name, "value", value)
    method = check_method(method or DEFAULT_METHODS.get(name, "other"))
    scale = _scale(known, unit, surface_area)
    result = number * scale
    problem = implausible(known, result, number, unit)
    if problem:
        raise MeasurementError(problem)
    if sd is not None and relative_sd is not None:
        raise MeasurementError(f"{name} has both sd and relative_sd: give one of them.")
    if sd is not None:
        spread = _number(name, "sd", sd) * scale
    elif relative_sd is not None:
        spread = _number(name, "relative_sd", relative_sd) * abs(result)
    else:
        spread = float(find_default(name, method).sd(result))
    if not spread > 0:
        raise MeasurementError(f"{name} has an SD of {spread:g} {known.unit}: it must be positive.")
    return Measurement(name, result, spread, method, derived)


def combine(entries: Iterable[Measurement]) -> Measurement:
    """Combine measurements of one quantity by different methods, weighted by 1 / SD².

    Where they disagree more than their SDs allow (chi² per degree of freedom above 1) the SD is
    enlarged by the square root of that ratio (Birge, Phys Rev 1932;40:207), so that a bad value
    makes the result less sure and not more. Derived entries are used only if there is no other.
    """
    items = tuple(entries)
    items = tuple(item for item in items if not item.derived) or items
    if len(items) == 1:
        return items[0]
    values = np.array([item.value for item in items])
    weights = np.array([item.sd for item in items]) ** -2.0
    mean = float(np.sum(weights * values) / np.sum(weights))
    ratio = float(np.sum(weights * (values - mean) ** 2)) / (len(items) - 1)
    sd = math.sqrt(max(1.0, ratio) / float(np.sum(weights)))
    methods = " + ".join(item.method for item in items)
    return Measurement(items[0].name, mean, sd, methods, items[0].derived)


def implausible(known: Observable, value: float, given: float, unit: str) -> str | None:
    """Say in one sentence why `value` (canonical; `given` in `unit`) cannot be, or `None`."""
    shown = f"{known.name} = {given:g} {unit}"
    if not math.isfinite(value):
        return f"{known.name} is not a finite number (got {given})."
    if known.name.endswith("ejection_fraction") and not 0 <= value <= 100:
        return f"{shown} is impossible: an ejection fraction lies between 0 and 100 %."
    if dimension(known.unit) == "volume" and value < 0:
        return f"{shown} is impossible: a volume cannot be negative."
    if known.low <= value <= known.high:
        return None
    return _out_of_range(known, given, unit)


def _out_of_range(known: Observable, given: float, unit: str) -> str:
    hint = ""
    for other in alternatives(known.unit):
        if other != unit and known.low <= convert(given, other, known.unit) <= known.high:
            hint = f"; if it was measured in {other}, say so"
            break
    return (
        f"{known.name} = {given:g} {unit} is outside the plausible range "
        f"{known.low:g} to {known.high:g} {known.unit}{hint}."
    )


def _number(name: str, what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)):
        raise MeasurementError(f"The {what} of {name} must be a number (got {value!r}).")
    number = float(value)
    if not math.isfinite(number):
        raise MeasurementError(f"The {what} of {name} is not a finite number (got {value}).")
    return number


def _scale(known: Observable, unit: Any, surface_area: float | None) -> float:
    """Return the factor from `unit` to the canonical unit, undoing an index by body surface."""
    try:
        kind = dimension(unit)
        power = _INDEXED.get(kind)
        if power is None or dimension(_PLAIN[kind][1]) != dimension(known.unit):
            return convert(1.0, unit, known.unit)
        if surface_area is None:
            raise MeasurementError(
                f"{known.name} in {unit} is indexed by body surface area: give height and weight."
            )
        indexed, plain = _PLAIN[kind]
        return convert(1.0, unit, indexed) * surface_area**power * convert(1.0, plain, known.unit)
    except UnitError as error:
        raise MeasurementError(f"{known.name}: {error}") from None


def inconsistencies(scalars: Mapping[str, Measurement]) -> list[tuple[tuple[str, ...], str]]:
    """Return what cannot be true together: the names concerned and one sentence for each.

    Pairs that are ordered by their definition must be in that order; an ejection fraction or a
    stroke volume must agree with its two volumes within 3 SD.
    """
    found: list[tuple[tuple[str, ...], str]] = []

    def shown(name: str) -> str:
        return f"{name} ({scalars[name].value:g} {scalars[name].unit})"

    for lower, higher in (
        ("diastolic_blood_pressure", "systolic_blood_pressure"),
        ("diastolic_blood_pressure", "mean_arterial_pressure"),
        ("mean_arterial_pressure", "systolic_blood_pressure"),
        ("pulmonary_diastolic_pressure", "pulmonary_systolic_pressure"),
        ("pulmonary_diastolic_pressure", "pulmonary_mean_pressure"),
        ("pulmonary_mean_pressure", "pulmonary_systolic_pressure"),
        ("lv_end_systolic_volume", "lv_end_diastolic_volume"),
        ("rv_end_systolic_volume", "rv_end_diastolic_volume"),
        ("right_ventricular_diastolic_pressure", "right_ventricular_systolic_pressure"),
        ("right_ventricular_end_diastolic_pressure", "right_ventricular_systolic_pressure"),
    ):
        if not (lower in scalars and higher in scalars):
            continue
        if scalars[lower].value >= scalars[higher].value:
            found.append(((lower, higher), f"{shown(lower)} must be below {shown(higher)}."))
    for side in ("lv", "rv"):
        diastolic, systolic = f"{side}_end_diastolic_volume", f"{side}_end_systolic_volume"
        if diastolic not in scalars or systolic not in scalars:
            continue
        edv, esv = scalars[diastolic], scalars[systolic]
        ratio = esv.value / edv.value
        if ratio >= 1:
            continue
        for name, value, sd in (
            (
                f"{side}_ejection_fraction",
                100 * (1 - ratio),
                100 / edv.value * math.hypot(esv.sd, ratio * edv.sd),
            ),
            (f"{side}_stroke_volume", edv.value - esv.value, math.hypot(edv.sd, esv.sd)),
        ):
            if name in scalars:
                item = scalars[name]
                if abs(item.value - value) > 3 * math.hypot(item.sd, sd):
                    found.append(
                        (
                            (name, diastolic, systolic),
                            f"{shown(name)} disagrees by more than 3 SD with the {value:.3g} "
                            f"{item.unit} of {shown(diastolic)} and {shown(systolic)}.",
                        )
                    )
    return found


def checked(measurements: Measurements) -> Measurements:
    """Return `measurements`, or raise `MeasurementError` if two of them contradict each other."""
    problems = inconsistencies(measurements.scalars)
    if problems:
        raise MeasurementError(problems[0][1])
    return measurements
