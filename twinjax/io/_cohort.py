"""A table of people: one row each, one column a quantity."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path
from typing import Any

import numpy as np

from twinjax.io._defaults import find_default
from twinjax.io._errors import MeasurementError
from twinjax.io._files import cell_number, refuse_identity, source_of, table
from twinjax.io._measurements import (
    PERSON,
    Measurement,
    Measurements,
    body_surface_area,
    check_name,
    inconsistencies,
    measure,
)
from twinjax.observables import OBSERVABLES, nearest
from twinjax.units import convert


@dataclasses.dataclass(frozen=True)
class Column:
    """What a column of a table means."""

    name: str
    unit: str
    method: str | None = None
    derived: bool = False


# The table of Harrod et al., Front Physiol 2021;12:666915 (supplement). The two resistances are
# exactly 80 (MAP - RAP) / CO and 80 (mPAP - wedge) / CO with MAP and mPAP = (S + 2 D) / 3, so
# they say nothing that the pressures and the cardiac output do not.
EHR_COLUMNS: dict[str, Column] = {
    "heart_rate2": Column("heart_rate", "bpm", "ecg"),
    "systolic_bp_2": Column("systolic_blood_pressure", "mmHg", "cuff"),
    "diastolic_bp_2": Column("diastolic_blood_pressure", "mmHg", "cuff"),
    "cardiac_output": Column("cardiac_output", "L/min", "thermodilution"),
    "systemic_vascular_resistan": Column(
        "systemic_vascular_resistance", "dyn·s/cm5", "calculated", True
    ),
    "pulmonary_vascular_resista": Column(
        "pulmonary_vascular_resistance", "dyn·s/cm5", "calculated", True
    ),
    "cvp": Column("right_atrial_pressure", "mmHg", "right_heart_catheter"),
    "ra_pressure": Column("right_atrial_pressure", "mmHg", "echo_ivc"),
    "right_ventricle_diastole": Column(
        "right_ventricular_diastolic_pressure", "mmHg", "right_heart_catheter"
    ),
    "right_ventricle_systole": Column(
        "right_ventricular_systolic_pressure", "mmHg", "right_heart_catheter"
    ),
    "rvedp": Column("right_ventricular_end_diastolic_pressure", "mmHg", "right_heart_catheter"),
    "mv_e_a_ratio": Column("mitral_e_to_a_ratio", "1", "echo_doppler"),
    "ra_vol_a4c": Column("right_atrial_maximum_volume", "mL", "echo_a4c"),
    "la_vol_a4c": Column("left_atrial_maximum_volume", "mL", "echo_a4c"),
    "lv_esv": Column("lv_end_systolic_volume", "mL", "echo_a4c"),
    "lv_vol_a4c": Column("lv_end_diastolic_volume", "mL", "echo_a4c"),
    "lvef": Column("lv_ejection_fraction", "%", "echo_visual"),
    "pap_diastolic": Column("pulmonary_diastolic_pressure", "mmHg", "right_heart_catheter"),
    "pap_systolic": Column("pulmonary_systolic_pressure", "mmHg", "right_heart_catheter"),
    "wedge_pressure": Column("pulmonary_wedge_pressure", "mmHg", "right_heart_catheter"),
}
# Valve gradients and flow times, which a lumped model of healthy valves does not represent.
EHR_NOT_MODELLED = (
    "aov_mean_pg",
    "aov_peak_pg",
    "mv_decel_time",
    "pv_at",
    "pv_max_pg",
    "lvot_max_flow",
)

_HEADER = re.compile(r"(?P<name>[^\[]+?)\s*\[(?P<unit>[^;\]]*)(;(?P<method>[^\]]*))?\]")


@dataclasses.dataclass(frozen=True)
class Exclusion:
    """A cell that was not used, and the sentence that says why."""

    patient: str
    column: str
    value: str
    reason: str


@dataclasses.dataclass(frozen=True, eq=False)
class Cohort:
    """The people of a table, in its order, with what was left out of it.

    `patients` keeps people without a single value too (`empty` lists their ids). `excluded` are
    the cells that could not be used; `not_modelled` the columns without a counterpart among the
    observables; `missing` the number of blank cells in the other columns. `raw` (people, columns)
    holds the numbers of the columns `raw_columns` as they were written, NaN where there is none.
    """

    patients: tuple[Measurements, ...]
    excluded: tuple[Exclusion, ...] = ()
    not_modelled: tuple[str, ...] = ()
    missing: int = 0
    source: str = ""
    raw: np.ndarray = dataclasses.field(default_factory=lambda: np.empty((0, 0)), repr=False)
    raw_columns: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(person.patient or "" for person in self.patients)

    @property
    def empty(self) -> tuple[str, ...]:
        return tuple(person.patient or "" for person in self.patients if not len(person))

    def matrices(self, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return values and SDs (people, names); NaN where a quantity was not measured."""
        rows = [person.vectors(names) for person in self.patients]
        shape = (len(rows), len(names))
        return (
            np.array([values for values, _ in rows]).reshape(shape),
            np.array([sds for _, sds in rows]).reshape(shape),
        )


def read_cohort(path: str | Path) -> Cohort:
    """Read a table of people from CSV: one row each, a header that says what the columns are.

    A column is `patient` (an anonymous id; without it the row number is used), `sex`,
    `age [year]`, `height [cm]`, `weight [kg]`, a quantity with its unit and if need be its method,
    `cardiac_output [L/min]` or `cardiac_output [L/min; fick]`, or a column of the table of
    Harrod et al. 2021 (`EHR_COLUMNS`, which see). A cell that cannot be is left out and listed in
    `Cohort.excluded`; where two values contradict each other both are. Nothing of that stops the
    other cells or rows from being read.

    Raises `MeasurementError` for a file or header that cannot be understood.
    """
    path = Path(path)
    header, rows = table(path)
    columns, ignored = _columns(header, path)
    source = source_of(path, "cohort")
    people: list[Measurements] = []
    excluded: list[Exclusion] = []
    raw: list[list[float]] = []
    raw_columns = tuple(column for column in header if column in columns or column in ignored)
    missing = 0
    for number, row in enumerate(rows):
        cells = dict(zip(header, row, strict=False))
        patient = cells.get("patient", "") or str(number)
        if len(row) != len(header):
            reason = f"the row has {len(row)} cells, but the header has {len(header)}."
            excluded.append(Exclusion(str(number), "*", "", reason))
            continue
        missing += sum(not cells[column] for column in columns)
        person, left_out = _one(patient, cells, columns, source, number)
        people.append(person)
        numbers = [cell_number(cells[column]) for column in raw_columns]
        raw.append([math.nan if number is None else number for number in numbers])
        excluded += left_out
    if not people:
        raise MeasurementError(f"{path} holds no row of measurements.")
    return Cohort(
        tuple(people), tuple(excluded), ignored, missing, source, np.array(raw), raw_columns
    )


def _columns(header: list[str], path: Path) -> tuple[dict[str, Column], tuple[str, ...]]:
    found: dict[str, Column] = {}
    ignored: list[str] = []
    for column in header:
        if header.count(column) > 1:
            raise MeasurementError(f"{path} has the column {column!r} twice.")
        if column in ("patient", "sex"):
            continue
        if column in EHR_NOT_MODELLED:
            ignored.append(column)
            continue
        if column in EHR_COLUMNS:
            found[column] = EHR_COLUMNS[column]
            continue
        refuse_identity(column)
        match = _HEADER.fullmatch(column)
        name = (match["name"] if match else column).strip()
        if name not in PERSON and name not in OBSERVABLES:
            choices = (*OBSERVABLES, *EHR_COLUMNS, "patient", "sex", *PERSON)
            near = nearest(name, choices)
            hint = f"did you mean {near!r}, " if near else ""
            raise MeasurementError(
                f"Unknown column {column!r} in {path}: {hint}one of {', '.join(choices)}."
            )
        if match is None:
            unit = PERSON[name][0] if name in PERSON else OBSERVABLES[name].unit
            raise MeasurementError(f"The column {name!r} has no unit: write '{name} [{unit}]'.")
        try:
            if name in PERSON:
                convert(1.0, match["unit"], PERSON[name][0])
                found[column] = Column(name, match["unit"])
            else:
                # an impossible unit or method is a fault of the header, not of every cell
                method = (match["method"] or "").strip() or None
                middle = 0.5 * (OBSERVABLES[name].low + OBSERVABLES[name].high)
                _probe(name, middle, match["unit"], method)
                found[column] = Column(name, match["unit"], method)
        except ValueError as error:
            raise MeasurementError(f"The column {column!r}: {error}") from None
    return found, tuple(ignored)


def _probe(name: str, canonical: float, unit: str, method: str | None) -> None:
    one = measure(name, canonical, OBSERVABLES[name].unit, method=method)
    if "m2" not in unit.replace("²", "2"):
        convert(one.value, OBSERVABLES[name].unit, unit)


def _one(
    patient: str, cells: dict[str, str], columns: dict[str, Column], source: str, number: int
) -> tuple[Measurements, list[Exclusion]]:
    excluded: list[Exclusion] = []
    person: dict[str, Any] = {}
    if cells.get("sex"):
        sex = {"f": "female", "m": "male"}.get(cells["sex"].lower(), cells["sex"].lower())
        if sex in ("female", "male"):
            person["sex"] = sex
        else:
            reason = "the valid choices are female and male."
            excluded.append(Exclusion(patient, "sex", cells["sex"], reason))
    for column, meaning in columns.items():
        if meaning.name not in PERSON or not cells[column]:
            continue
        value = cell_number(cells[column])
        kept_in, low, high = PERSON[meaning.name]
        if value is not None:
            value = float(convert(value, meaning.unit, kept_in))
        if value is None or not low <= value <= high:
            reason = f"not a number from {low:g} to {high:g} {kept_in}."
            excluded.append(Exclusion(patient, column, cells[column], reason))
        else:
            person[meaning.name] = value
    surface = None
    if "height" in person and "weight" in person:
        surface = body_surface_area(person["height"], person["weight"])

    entries: dict[str, Measurement] = {}
    for column, meaning in columns.items():
        if meaning.name in PERSON or not cells[column]:
            continue
        try:
            value = cell_number(cells[column])
            if value is None:
                raise MeasurementError(f"{cells[column]!r} is not a number.")
            entry = measure(
                meaning.name,
                value,
                meaning.unit,
                method=meaning.method,
                derived=meaning.derived,
                surface_area=surface,
            )
            if any((e.name, e.method) == (entry.name, entry.method) for e in entries.values()):
                raise MeasurementError(f"{entry.name} by {entry.method!r} is given twice.")
            entries[column] = entry
        except MeasurementError as error:
            excluded.append(Exclusion(patient, column, cells[column], str(error)))

    while True:
        scalars = Measurements(tuple(entries.values())).scalars
        problems = inconsistencies(scalars)
        if not problems:
            break
        names, reason = problems[0]
        for column in [c for c, entry in entries.items() if entry.name in names]:
            excluded.append(Exclusion(patient, column, cells[column], reason))
            del entries[column]
    scalars = Measurements(tuple(entries.values())).scalars
    kept = tuple(_with_propagated_sd(entry, scalars) for entry in entries.values())
    blank = tuple(m.name for c, m in columns.items() if m.name in OBSERVABLES and not cells[c])
    missing = tuple(name for name in dict.fromkeys(blank) if name not in scalars)
    try:
        result = Measurements(kept, patient=patient, missing=missing, source=source, **person)
    except MeasurementError as error:
        # the id is not anonymous: neither kept nor repeated in a report
        excluded = [dataclasses.replace(item, patient=str(number)) for item in excluded]
        excluded.append(Exclusion(str(number), "patient", "", str(error)))
        result = Measurements(kept, patient=str(number), missing=missing, source=source, **person)
    return result, excluded


def _with_propagated_sd(entry: Measurement, scalars: dict[str, Measurement]) -> Measurement:
    """Return a derived resistance with the SD that its parts imply, where they are known.

    R = 80 (p1 - p2) / Q, with p1 = (S + 2 D) / 3; each part is independent of the others.
    """
    parts = {
        "systemic_vascular_resistance": (
            "systolic_blood_pressure",
            "diastolic_blood_pressure",
            "right_atrial_pressure",
        ),
        "pulmonary_vascular_resistance": (
            "pulmonary_systolic_pressure",
            "pulmonary_diastolic_pressure",
            "pulmonary_wedge_pressure",
        ),
    }.get(entry.name)
    flow = scalars.get("cardiac_output")
    if not entry.derived or parts is None or flow is None:
        return entry
    if any(name not in scalars for name in parts[:2]):
        return entry
    top, bottom = scalars[parts[0]].sd / 3, 2 * scalars[parts[1]].sd / 3
    # where the lower pressure is not in the table its SD is that of a catheter reading
    lower = scalars[parts[2]].sd if parts[2] in scalars else 3.0
    pressure = math.hypot(top, bottom, lower) * 80 / flow.value
    return dataclasses.replace(entry, sd=math.hypot(pressure, entry.value * flow.sd / flow.value))


def neighbourhoods(cohort: Cohort, size: int = 5) -> np.ndarray:
    """Return a group number (people,) such that one person's visits fall in one group.

    Rows are cut into blocks of `size` neighbours, since adjacent rows of a record can be visits
    of the same person. Blocks are then joined where two rows share a patient id, or are near
    duplicates: at least six columns with a number in both (those that are derived or reported in
    bins aside), and a root mean square difference of at most 0.35 SD of the columns. A split into
    training and test data should keep a group whole.
    """
    if size < 1:
        raise MeasurementError(f"size must be at least 1 (got {size}).")
    count = len(cohort.patients)
    group = np.arange(count) // size
    telling = [
        index
        for index, column in enumerate(cohort.raw_columns)
        if not ((meaning := EHR_COLUMNS.get(column)) and (meaning.derived or _binned(meaning)))
    ]
    values = cohort.raw[:, telling] if count and telling else np.full((count, 1), math.nan)
    known = np.isfinite(values)
    number = np.maximum(known.sum(axis=0), 1)
    filled = np.where(known, values, 0.0)
    mean = filled.sum(axis=0) / number
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / number)
    scaled = np.where(known & (spread > 0), (filled - mean) / np.where(spread > 0, spread, 1), 0)
    for first in range(count):
        for second in range(first + 1, count):
            both = known[first] & known[second] & (spread > 0)
            alike = (
                both.sum() >= 6
                and np.sqrt(np.mean((scaled[first] - scaled[second])[both] ** 2)) <= 0.35
            )
            if alike or cohort.ids[first] == cohort.ids[second]:
                group[group == group[second]] = group[first]
    return np.unique(group, return_inverse=True)[1].astype(int)


def _binned(meaning: Column) -> bool:
    return bool(meaning.method and find_default(meaning.name, meaning.method).bins)


def column_names(cohort: Cohort) -> tuple[str, ...]:
    """Return the names of the scalars that at least one person has, in the usual order."""
    present = {entry.name for person in cohort.patients for entry in person.entries}
    return tuple(check_name(name) for name in OBSERVABLES if name in present)
