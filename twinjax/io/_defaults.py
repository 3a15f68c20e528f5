"""How sure a measurement is: default standard deviations by method, with their sources.

The default SD of a value v is `max(absolute, relative * |v|)`, and a value that was reported in
bins of width w carries in addition the SD of a uniform distribution, w / sqrt(12), in quadrature.
Limits quoted as 95 % limits of agreement L are read as 1.96 SD. A known bias between two methods
(echocardiography underestimates volumes) is not corrected.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from twinjax.io._errors import MeasurementError
from twinjax.observables import OBSERVABLES, nearest


@dataclasses.dataclass(frozen=True)
class DefaultSD:
    """Default SD of some quantities by one method, in their canonical units.

    `bins` maps a reported value to the width of its bin, or is one width for all values.
    """

    method: str
    names: tuple[str, ...]
    cite: str
    absolute: float = 0.0
    relative: float = 0.0
    bins: float | tuple[tuple[float, float], ...] = 0.0

    def sd(self, value: Any) -> Any:
        """Return the SD of `value` (a number or an array), in the canonical unit."""
        base = np.maximum(self.absolute, self.relative * np.abs(value))
        if isinstance(self.bins, tuple):
            width = min(self.bins, key=lambda item: abs(item[0] - float(value)))[1]
        else:
            width = self.bins
        total = np.hypot(base, width / math.sqrt(12))
        return total if np.ndim(total) else float(total)


_SYSTEMIC = ("systolic_blood_pressure", "diastolic_blood_pressure", "mean_arterial_pressure")
_PULMONARY = (
    "pulmonary_systolic_pressure",
    "pulmonary_diastolic_pressure",
    "pulmonary_mean_pressure",
    "right_ventricular_systolic_pressure",
)
_RIGHT_FILLING = (
    "right_atrial_pressure",
    "right_ventricular_diastolic_pressure",
    "right_ventricular_end_diastolic_pressure",
)
_ATRIAL_VOLUMES = ("left_atrial_maximum_volume", "right_atrial_maximum_volume")

_EC13 = "ANSI/AAMI EC13:2002: heart-rate meters within 5 bpm or 10 %, read as 95 % limits"
_BP22 = "ANSI/AAMI BP22:1994: pressure transducers within 4 mmHg or 4 %, read as 95 % limits"
_ISO = "ISO 81060-2:2018: an accepted cuff has an SD of error of at most 8 mmHg"
_RICH = _BP22 + "; Rich et al., Am J Cardiol 1985;55:159: PA pressure varies by 8 % over hours"
_DOROSZ = "Dorosz et al., J Am Coll Cardiol 2012;59:1799: agreement with MRI, 2 SD of "
_GROTHUES = "Grothues et al., Am J Cardiol 2002;90:29: interstudy variability of "
_GROTHUES_RV = "Grothues et al., Am Heart J 2004;147:218: interstudy variability of "
_ATRIAL = (
    "Alfuhied et al., Eur Radiol 2021, doi 10.1007/s00330-020-07399-z: "
    "test-retest variability of 19.6 %"
)

DEFAULT_SDS: tuple[DefaultSD, ...] = (
    DefaultSD("ecg", ("heart_rate",), _EC13, 2.5, 0.05),
    DefaultSD("cuff", ("heart_rate",), _EC13, 2.5, 0.05),
    DefaultSD("cuff", _SYSTEMIC, _ISO, 8.0),
    DefaultSD("arterial_line", ("heart_rate",), _EC13, 2.5, 0.05),
    DefaultSD("arterial_line", _SYSTEMIC, _BP22, 2.0, 0.02),
    DefaultSD("right_heart_catheter", ("heart_rate",), _EC13, 2.5, 0.05),
    DefaultSD("right_heart_catheter", _PULMONARY, _RICH, 2.0, 0.08),
    DefaultSD("right_heart_catheter", _RIGHT_FILLING, _BP22, 2.0, 0.02),
    DefaultSD(
        "right_heart_catheter",
        ("pulmonary_wedge_pressure",),
        "Nagy et al., Am Heart J 2014;167:876: wedge against left atrial pressure, limits -3.7 to "
        "4.2 mmHg (SD 2.0); " + _BP22,
        3.0,
    ),
    DefaultSD(
        "left_heart_catheter",
        (*_SYSTEMIC, "left_ventricular_end_diastolic_pressure"),
        _BP22,
        2.0,
        0.02,
    ),
    DefaultSD(
        "thermodilution",
        ("cardiac_output",),
        "Critchley & Critchley, J Clin Monit Comput 1999;15:85: limits of 20 %",
        relative=0.10,
    ),
    DefaultSD(
        "fick",
        ("cardiac_output",),
        "Opotowsky et al., JAMA Cardiol 2017;2:1090: Fick with estimated oxygen uptake differs "
        "from thermodilution by over 20 % in over a third of patients (SD 22 %, less 10 % for it)",
        relative=0.20,
    ),
    DefaultSD(
        "echo_doppler",
        ("cardiac_output", "lv_stroke_volume"),
        "Mercado et al., Crit Care 2017;21:136: percentage error of 25 %",
        relative=0.13,
    ),
    DefaultSD(
        "echo_doppler",
        ("mitral_e_to_a_ratio",),
        "Palmieri et al., J Am Soc Echocardiogr 2005;18:99: intraclass correlation 0.76-0.89, "
        "about 15 % for a population SD of 0.4",
        relative=0.15,
    ),
    DefaultSD(
        "echo_doppler",
        ("pulmonary_systolic_pressure", "right_ventricular_systolic_pressure"),
        "Venkateshvaran et al., Int J Cardiovasc Imaging 2021, "
        "doi 10.1007/s10554-021-02315-y: limits -20 to 25 mmHg",
        11.5,
    ),
    DefaultSD(
        "echo_doppler",
        ("pulmonary_mean_pressure",),
        "Venkateshvaran et al., Int J Cardiovasc Imaging 2021, "
        "doi 10.1007/s10554-021-02315-y: limits -14 to 18 mmHg",
        8.2,
    ),
    DefaultSD(
        "echo_ivc",
        ("right_atrial_pressure",),
        "Kircher et al., Am J Cardiol 1990;66:493: SD 5-6 mmHg within a class of vena cava "
        "collapse; bins of Rudski et al., J Am Soc Echocardiogr 2010;23:685",
        5.0,
        bins=((3.0, 5.0), (8.0, 5.0), (15.0, 10.0)),
    ),
    DefaultSD(
        "echo_biplane",
        ("lv_end_diastolic_volume",),
        _DOROSZ + "55.9 mL; " + _GROTHUES + "10.5 %",
        28.0,
        0.105,
    ),
    DefaultSD(
        "echo_biplane",
        ("lv_end_systolic_volume",),
        _DOROSZ + "45.7 mL; " + _GROTHUES + "20.3 %",
        23.0,
        0.203,
    ),
    DefaultSD("echo_biplane", ("lv_ejection_fraction",), _DOROSZ + "13.9 %", 7.0),
    DefaultSD("echo_biplane", _ATRIAL_VOLUMES, _ATRIAL, relative=0.20),
    DefaultSD(
        "echo_a4c",
        ("lv_end_diastolic_volume",),
        _DOROSZ + "55.9 mL; " + _GROTHUES + "10.5 %",
        28.0,
        0.105,
    ),
    DefaultSD(
        "echo_a4c",
        ("lv_end_systolic_volume",),
        _DOROSZ + "45.7 mL; " + _GROTHUES + "20.3 %",
        23.0,
        0.203,
    ),
    DefaultSD("echo_a4c", ("lv_ejection_fraction",), _DOROSZ + "13.9 %", 7.0),
    DefaultSD("echo_a4c", _ATRIAL_VOLUMES, _ATRIAL, relative=0.20),
    DefaultSD("echo_3d", ("lv_end_diastolic_volume",), _DOROSZ + "34.2 mL", 17.0),
    DefaultSD("echo_3d", ("lv_end_systolic_volume",), _DOROSZ + "29.7 mL", 15.0),
    DefaultSD("echo_3d", ("lv_ejection_fraction",), _DOROSZ + "11.8 %", 6.0),
    DefaultSD(
        "echo_visual",
        ("lv_ejection_fraction",),
        "Cole et al., Int J Cardiovasc Imaging 2015;31:1303: SD of 8.3 % between operators; "
        "reported in bins of 5 %",
        8.3,
        bins=5.0,
    ),
    DefaultSD("cmr", ("lv_end_diastolic_volume",), _GROTHUES + "4.9 %", relative=0.049),
    DefaultSD("cmr", ("lv_end_systolic_volume",), _GROTHUES + "9.2 %", relative=0.092),
    DefaultSD("cmr", ("lv_ejection_fraction",), _GROTHUES + "7.3 %", relative=0.073),
    DefaultSD(
        "cmr",
        ("lv_stroke_volume",),
        _GROTHUES + "4.9 % and 9.2 % of the volumes, propagated at 150 and 60 mL",
        relative=0.10,
    ),
    DefaultSD("cmr", ("rv_end_diastolic_volume",), _GROTHUES_RV + "6.2 %", relative=0.062),
    DefaultSD("cmr", ("rv_end_systolic_volume",), _GROTHUES_RV + "14.1 %", relative=0.141),
    DefaultSD("cmr", ("rv_ejection_fraction",), _GROTHUES_RV + "8.3 %", relative=0.083),
    DefaultSD(
        "cmr",
        ("rv_stroke_volume",),
        _GROTHUES_RV + "6.2 % and 14.1 % of the volumes, propagated at 160 and 70 mL",
        relative=0.15,
    ),
    DefaultSD("cmr", _ATRIAL_VOLUMES, _ATRIAL, relative=0.20),
    DefaultSD(
        "calculated",
        ("systemic_vascular_resistance",),
        "propagated: thermodilution (10 %), cuff and right heart catheter",
        relative=0.15,
    ),
    DefaultSD(
        "calculated",
        ("pulmonary_vascular_resistance",),
        "propagated: thermodilution (10 %), mean pulmonary and wedge pressure (2 and 3 mmHg) at "
        "5 L/min",
        60.0,
        0.15,
    ),
    DefaultSD("calculated", ("mean_arterial_pressure",), _ISO, 8.0),
    DefaultSD("calculated", ("pulmonary_mean_pressure",), _RICH, 2.0, 0.08),
)

# These carry no default: whoever writes them gives an SD.
_WITHOUT_DEFAULT = ("simulated", "other")

METHODS: tuple[str, ...] = (
    *dict.fromkeys(row.method for row in DEFAULT_SDS),
    *_WITHOUT_DEFAULT,
)

_ALIASES = {
    "oscillometric": "cuff",
    "sphygmomanometer": "cuff",
    "a_line": "arterial_line",
    "rhc": "right_heart_catheter",
    "swan_ganz": "right_heart_catheter",
    "pulmonary_artery_catheter": "right_heart_catheter",
    "lhc": "left_heart_catheter",
    "doppler": "echo_doppler",
    "ivc": "echo_ivc",
    "simpson": "echo_biplane",
    "echo": "echo_biplane",
    "visual": "echo_visual",
    "eyeball": "echo_visual",
    "mri": "cmr",
    "derived": "calculated",
}

DEFAULT_METHODS: dict[str, str] = {
    "heart_rate": "ecg",
    **dict.fromkeys(_SYSTEMIC, "cuff"),
    "cardiac_output": "thermodilution",
    **dict.fromkeys((*_PULMONARY, *_RIGHT_FILLING), "right_heart_catheter"),
    "pulmonary_wedge_pressure": "right_heart_catheter",
    "left_ventricular_end_diastolic_pressure": "left_heart_catheter",
    "lv_end_diastolic_volume": "echo_biplane",
    "lv_end_systolic_volume": "echo_biplane",
    "lv_ejection_fraction": "echo_biplane",
    "lv_stroke_volume": "echo_doppler",
    "rv_end_diastolic_volume": "cmr",
    "rv_end_systolic_volume": "cmr",
    "rv_stroke_volume": "cmr",
    "rv_ejection_fraction": "cmr",
    **dict.fromkeys(_ATRIAL_VOLUMES, "echo_biplane"),
    "mitral_e_to_a_ratio": "echo_doppler",
    "systemic_vascular_resistance": "calculated",
    "pulmonary_vascular_resistance": "calculated",
}


def check_method(method: Any) -> str:
    """Return the canonical name of a method, or raise `MeasurementError` with the choices."""
    key = str(method).strip().lower().replace(" ", "_").replace("-", "_")
    key = _ALIASES.get(key, key)
    if key in METHODS:
        return key
    near = nearest(key, (*METHODS, *_ALIASES))
    hint = f"; did you mean {near!r}" if near else ""
    raise MeasurementError(
        f"Unknown method {method!r}{hint} (valid methods: {', '.join(METHODS)})."
    )


def find_default(name: str, method: str) -> DefaultSD:
    """Return the default SD of quantity `name` by `method`; raises `MeasurementError` if none."""
    method = check_method(method)
    for row in DEFAULT_SDS:
        if row.method == method and name in row.names:
            return row
    known = [row.method for row in DEFAULT_SDS if name in row.names]
    choices = f", or use one of the methods {', '.join(known)}" if known else ""
    unit = OBSERVABLES[name].unit
    raise MeasurementError(
        f"{name} by {method!r} has no default SD: give sd, in the unit of its value "
        f"(for example {unit}){choices}."
    )
