"""The names of everything that can be observed: the same for a model and for a measurement.

[`OBSERVABLES`][twinjax.observables.OBSERVABLES] are single numbers of a heart at rest, each with
its unit, the range that a living adult can have (used to refuse mistakes, not as a normal range),
and one line of description. [`WAVEFORMS`][twinjax.observables.WAVEFORMS] are functions of
time over one beat. The module needs nothing but the standard library.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable

CHAMBERS = ("left_atrium", "left_ventricle", "right_atrium", "right_ventricle")
VALVES = ("mitral", "aortic", "tricuspid", "pulmonary")
VESSELS = ("systemic_arteries", "systemic_veins", "pulmonary_arteries", "pulmonary_veins")


@dataclasses.dataclass(frozen=True)
class Observable:
    """One quantity: its `unit`, plausible range [`low`, `high`] in it, and `description`."""

    name: str
    unit: str
    low: float
    high: float
    description: str


def _table(*rows: tuple[str, str, float, float, str]) -> dict[str, Observable]:
    return {row[0]: Observable(*row) for row in rows}


OBSERVABLES: dict[str, Observable] = _table(
    ("heart_rate", "bpm", 20, 250, "heart rate"),
    ("systolic_blood_pressure", "mmHg", 30, 300, "maximum systemic arterial pressure"),
    ("diastolic_blood_pressure", "mmHg", 10, 200, "minimum systemic arterial pressure"),
    ("mean_arterial_pressure", "mmHg", 20, 240, "time average of systemic arterial pressure"),
    ("cardiac_output", "L/min", 0.5, 30, "flow through the aortic valve, averaged over a beat"),
    ("right_atrial_pressure", "mmHg", -10, 50, "time average of right atrial pressure"),
    (
        "pulmonary_wedge_pressure",
        "mmHg",
        -5,
        70,
        "time average of left atrial pressure, measured as the wedge pressure",
    ),
    ("right_ventricular_systolic_pressure", "mmHg", 5, 180, "maximum right ventricular pressure"),
    ("right_ventricular_diastolic_pressure", "mmHg", -20, 50, "minimum right ventricular pressure"),
    (
        "right_ventricular_end_diastolic_pressure",
        "mmHg",
        -10,
        60,
        "right ventricular pressure at the onset of its contraction",
    ),
    (
        "left_ventricular_end_diastolic_pressure",
        "mmHg",
        -10,
        70,
        "left ventricular pressure at the onset of its contraction",
    ),
    ("pulmonary_systolic_pressure", "mmHg", 5, 180, "maximum pulmonary arterial pressure"),
    ("pulmonary_diastolic_pressure", "mmHg", -5, 120, "minimum pulmonary arterial pressure"),
    ("pulmonary_mean_pressure", "mmHg", 2, 140, "time average of pulmonary arterial pressure"),
    ("lv_end_diastolic_volume", "mL", 20, 700, "maximum left ventricular volume"),
    ("lv_end_systolic_volume", "mL", 3, 650, "minimum left ventricular volume"),
    ("lv_stroke_volume", "mL", 5, 350, "left ventricular end-diastolic less end-systolic volume"),
    ("rv_end_diastolic_volume", "mL", 20, 800, "maximum right ventricular volume"),
    ("rv_end_systolic_volume", "mL", 3, 750, "minimum right ventricular volume"),
    ("rv_stroke_volume", "mL", 5, 400, "right ventricular end-diastolic less end-systolic volume"),
    ("lv_ejection_fraction", "%", 3, 95, "left ventricular stroke over end-diastolic volume"),
    ("rv_ejection_fraction", "%", 3, 95, "right ventricular stroke over end-diastolic volume"),
    ("left_atrial_maximum_volume", "mL", 5, 500, "maximum left atrial volume"),
    ("right_atrial_maximum_volume", "mL", 5, 600, "maximum right atrial volume"),
    ("mitral_e_to_a_ratio", "1", 0.1, 10, "early over atrial peak of mitral inflow"),
    (
        "systemic_vascular_resistance",
        "dyn·s/cm5",
        100,
        8000,
        "mean arterial less right atrial pressure, over cardiac output",
    ),
    (
        "pulmonary_vascular_resistance",
        "dyn·s/cm5",
        4,
        4000,
        "mean pulmonary arterial less wedge pressure, over cardiac output",
    ),
    ("lv_stroke_work", "mmHg·mL", 200, 60000, "area of the left ventricular pressure-volume loop"),
    ("lv_dpdt_max", "mmHg/s", 100, 10000, "greatest rate of rise of left ventricular pressure"),
)

WAVEFORMS: dict[str, Observable] = _table(
    *(
        (f"{chamber}.pressure", "mmHg", -50, 350, f"pressure of the {chamber.replace('_', ' ')}")
        for chamber in CHAMBERS
    ),
    *(
        (f"{chamber}.volume", "mL", 0, 900, f"volume of the {chamber.replace('_', ' ')}")
        for chamber in CHAMBERS
    ),
    *(
        (f"{vessel}.pressure", "mmHg", -20, 350, f"pressure of the {vessel.replace('_', ' ')}")
        for vessel in VESSELS
    ),
    *(
        (f"{vessel}.flow", "mL/s", -1500, 3000, f"flow out of the {vessel.replace('_', ' ')}")
        for vessel in VESSELS
    ),
    *(
        (f"{valve}.flow", "mL/s", -1500, 3000, f"flow through the {valve} valve")
        for valve in VALVES
    ),
)


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """Return the member of `choices` spelt most like `name`, or `None` if none is close."""
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.5)
    return folded[near[0]] if near else None
