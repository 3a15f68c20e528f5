"""Units of physiology as strings: one table, and the conversions between its rows.

Every parameter, observation and measurement of twinjax carries a unit from this
table. Conversions happen where two parts with different units meet, through
[`convert`][twinjax.units.convert], and nowhere else.

Exact factors: the conventional millimetre of mercury is 13 595.1 kg/m³ x 9.806 65 m/s² x 1 mm
= 133.322 387 415 Pa (NIST Special Publication 811, 2008, appendix B.8); the Wood unit is
1 mmHg·min/L, so 79.993 43 dyn·s/cm5 (clinical forms round it to 80).
"""

from __future__ import annotations

import difflib
from fractions import Fraction
from typing import Any

_MMHG = Fraction("133.322387415")
_ML = Fraction(1, 10**6)
_DYN_S_CM5 = Fraction(10**5)

# canonical spelling -> (dimension, factor to the coherent SI unit of that dimension)
_KINDS: dict[str, dict[str, int | Fraction]] = {
    "dimensionless number": {"1": 1, "%": Fraction(1, 100)},
    "pressure": {
        "mmHg": _MMHG,
        "cmH2O": Fraction("98.0665"),  # conventional, NIST SP 811
        "Pa": 1,
        "kPa": 1000,
        "dyn/cm2": Fraction(1, 10),
    },
    "inverse pressure": {"1/mmHg": 1 / _MMHG, "1/kPa": Fraction(1, 1000), "1/Pa": 1},
    "volume": {
        "mL": _ML,
        "L": Fraction(1, 1000),
        "m3": 1,
        "mm3": Fraction(1, 10**9),
        "µm3": Fraction(1, 10**18),
    },
    "time": {"s": 1, "ms": Fraction(1, 1000), "min": 60, "h": 3600},
    "age": {"year": 1},
    "rate": {"bpm": Fraction(1, 60), "Hz": 1, "1/s": 1, "1/ms": 1000},
    "flow": {
        "mL/s": _ML,
        "mL/min": _ML / 60,
        "L/min": _ML * 1000 / 60,
        "L/s": _ML * 1000,
        "m3/s": 1,
    },
    "resistance": {
        "mmHg·s/mL": _MMHG / _ML,
        "mmHg·min/L": _MMHG * 60 / (_ML * 1000),
        "dyn·s/cm5": _DYN_S_CM5,
        "Pa·s/m3": 1,
    },
    "compliance": {"mL/mmHg": _ML / _MMHG, "mL/kPa": _ML / 1000, "m3/Pa": 1},
    "elastance": {"mmHg/mL": _MMHG / _ML, "kPa/mL": 1000 / _ML, "Pa/m3": 1},
    "inertance": {"mmHg·s²/mL": _MMHG / _ML, "Pa·s²/m3": 1},
    "energy": {"mmHg·mL": _MMHG * _ML, "J": 1, "mJ": Fraction(1, 1000), "µJ": Fraction(1, 10**6)},
    "power": {"W": 1, "mW": Fraction(1, 1000), "mmHg·mL/s": _MMHG * _ML},
    "pressure rate": {"mmHg/s": _MMHG, "kPa/s": 1000, "Pa/s": 1},
    "length": {
        "m": 1,
        "cm": Fraction(1, 100),
        "mm": Fraction(1, 1000),
        "µm": Fraction(1, 10**6),
    },
    "area": {"m2": 1, "cm2": Fraction(1, 10**4), "mm2": Fraction(1, 10**6)},
    "velocity": {"m/s": 1, "cm/s": Fraction(1, 100), "mm/ms": 1},
    "mass": {"kg": 1, "g": Fraction(1, 1000)},
    "density": {"kg/m3": 1, "g/cm3": 1000, "g/mL": 1000},
    "viscosity": {"Pa·s": 1, "mPa·s": Fraction(1, 1000)},
    "voltage": {"V": 1, "mV": Fraction(1, 1000), "µV": Fraction(1, 10**6)},
    "current": {
        "A": 1,
        "µA": Fraction(1, 10**6),
        "nA": Fraction(1, 10**9),
        "pA": Fraction(1, 10**12),
    },
    "capacitance": {"F": 1, "µF": Fraction(1, 10**6), "pF": Fraction(1, 10**12)},
    "conductance": {
        "S": 1,
        "mS": Fraction(1, 1000),
        "µS": Fraction(1, 10**6),
        "nS": Fraction(1, 10**9),
    },
    "conductivity": {"S/m": 1, "mS/mm": 1, "mS/cm": Fraction(1, 10)},
    "conductance per capacitance": {"S/F": 1, "mS/µF": 1000, "nS/pF": 1000, "µS/pF": 10**6},
    "conductance per area": {"S/m2": 1, "mS/cm2": 10},
    "current per capacitance": {"A/F": 1, "pA/pF": 1, "µA/µF": 1},
    "charge per capacitance": {"C/F": 1, "µC/µF": 1},
    "current per concentration": {"A·m3/mol": 1, "nA/mM": Fraction(1, 10**9)},
    "current per area": {"A/m2": 1, "µA/cm2": Fraction(1, 100)},
    "capacitance per area": {"F/m2": 1, "µF/cm2": Fraction(1, 100)},
    "permeability per capacitance": {
        "m3/F/s": 1,
        "L/F/s": Fraction(1, 1000),
        "L/F/ms": 1,
        "cm3/µF/s": 1,
    },
    "concentration": {"M": 1000, "mM": 1, "µM": Fraction(1, 1000), "nM": Fraction(1, 10**6)},
    "concentration rate": {"mM/ms": 1000, "mM/s": 1, "µM/ms": 1, "µM/s": Fraction(1, 1000)},
    "inverse concentration": {"1/mM": 1, "1/µM": 1000, "1/nM": 10**6},
    "rate per concentration": {"1/mM/ms": 1000, "1/mM/s": 1, "1/µM/ms": 10**6, "1/µM/s": 1000},
    "inverse voltage": {"1/V": 1, "1/mV": 1000},
    "temperature": {"K": 1},
    "flow index": {"L/min/m2": _ML * 1000 / 60, "mL/s/m2": _ML},
    "volume index": {"mL/m2": _ML, "L/m2": _ML * 1000},
    "resistance index": {
        "mmHg·s·m2/mL": _MMHG / _ML,
        "mmHg·min·m2/L": _MMHG * 60 / (_ML * 1000),
        "dyn·s·m2/cm5": _DYN_S_CM5,
    },
    "angle": {"rad": 1, "deg": Fraction("0.017453292519943295")},
}
_TABLE: dict[str, tuple[str, Fraction]] = {
    name: (kind, Fraction(size)) for kind, rows in _KINDS.items() for name, size in rows.items()
}

# Other spellings in clinical use. Case is kept otherwise: ms and mS are different things.
_ALIASES: dict[str, str] = {
    "mmhg": "mmHg",
    "mmHG": "mmHg",
    "MMHG": "mmHg",
    "torr": "mmHg",
    "Torr": "mmHg",
    "cmh2o": "cmH2O",
    "kpa": "kPa",
    "KPa": "kPa",
    "ml": "mL",
    "cc": "mL",
    "cm3": "mL",
    "l": "L",
    "ml/s": "mL/s",
    "cm3/s": "mL/s",
    "ml/min": "mL/min",
    "l/min": "L/min",
    "lpm": "L/min",
    "l/min/m2": "L/min/m2",
    "L/(min·m2)": "L/min/m2",
    "ml/m2": "mL/m2",
    "BPM": "bpm",
    "/min": "bpm",
    "1/min": "bpm",
    "beats/min": "bpm",
    "min-1": "bpm",
    "hz": "Hz",
    "s-1": "1/s",
    "/s": "1/s",
    "sec": "s",
    "second": "s",
    "seconds": "s",
    "msec": "ms",
    "minute": "min",
    "minutes": "min",
    "years": "year",
    "yr": "year",
    "y": "year",
    "WU": "mmHg·min/L",
    "wood": "mmHg·min/L",
    "Wood": "mmHg·min/L",
    "wood units": "mmHg·min/L",
    "Wood units": "mmHg·min/L",
    "dyn·s·cm-5": "dyn·s/cm5",
    "dyne·s/cm5": "dyn·s/cm5",
    "dynes/cm5": "dyn·s/cm5",
    "dyne·s·cm-5": "dyn·s/cm5",
    "dyn·sec/cm5": "dyn·s/cm5",
    "dyn·sec·cm-5": "dyn·s/cm5",
    "mmHg·s·mL-1": "mmHg·s/mL",
    "mmHg·s/ml": "mmHg·s/mL",
    "ml/mmHg": "mL/mmHg",
    "mL·mmHg-1": "mL/mmHg",
    "mmHg/ml": "mmHg/mL",
    "mmHg·mL-1": "mmHg/mL",
    "mmHg·s2/ml": "mmHg·s²/mL",
    "mL·mmHg": "mmHg·mL",
    "mmHg·ml": "mmHg·mL",
    "percent": "%",
    "dimensionless": "1",
    "-": "1",
    "ratio": "1",
    "degree": "deg",
    "degrees": "deg",
    "°": "deg",
}

# superscripts, powers and micro in one spelling; the signs for "times" carry nothing
_TRANSLATE = str.maketrans(
    {
        "⁻": "-",
        "−": "-",
        "¹": "1",
        "²": "2",
        "³": "3",
        "⁴": "4",
        "⁵": "5",
        "·": None,
        "⋅": None,
        "×": None,
        "*": None,
        ".": None,
        "μ": "µ",
        "^": None,
        " ": None,
        "\u00a0": None,
        "\t": None,
    }
)


class UnitError(ValueError):
    """An unknown unit, or a conversion between two different kinds of quantity."""


def _spelling(text: str) -> str:
    plain = text.strip().translate(_TRANSLATE)
    return "µ" + plain[1:] if plain in ("um", "uA", "uF", "uV") else plain


_LOOKUP = {_spelling(name): name for name in _TABLE} | {
    _spelling(alias): name for alias, name in _ALIASES.items()
}


def normalise(unit: Any) -> str:
    """Return the one spelling of `unit` that twinjax uses (`"dyn s cm⁻⁵"` -> `"dyn·s/cm5"`).

    Raises `UnitError` for an unknown unit, naming the nearest match.
    """
    if not isinstance(unit, str):
        raise UnitError(f"A unit must be a string such as 'mmHg', but {unit!r} was given.")
    key = _spelling(unit)
    if key in _LOOKUP:
        return _LOOKUP[key]
    if not key:
        raise UnitError("The unit is empty: write '1' for a quantity without dimension.")
    folded = {known.casefold(): known for known in _LOOKUP}
    near = difflib.get_close_matches(key.casefold(), list(folded), n=1, cutoff=0.5)
    if near:
        name = _LOOKUP[folded[near[0]]]
        raise UnitError(
            f"Unknown unit {unit!r}; the nearest match is {name!r} "
            f"({dimension(name)} units are {', '.join(alternatives(name))})."
        )
    raise UnitError(f"Unknown unit {unit!r}; the known units are {', '.join(_TABLE)}.")


def dimension(unit: Any) -> str:
    """Return the kind of quantity that `unit` measures, in words (`"mmHg"` -> `"pressure"`)."""
    return _TABLE[normalise(unit)][0]


def alternatives(unit: Any) -> tuple[str, ...]:
    """Return every known unit of the same kind as `unit`, itself included."""
    kind = dimension(unit)
    return tuple(name for name, (other, _) in _TABLE.items() if other == kind)


def factor(from_unit: Any, to_unit: Any) -> float:
    """Return the number that a value in `from_unit` is multiplied by to be in `to_unit`.

    Raises `UnitError` for an unknown unit or for two different kinds of quantity.
    """
    source, target = normalise(from_unit), normalise(to_unit)
    (kind, numerator), (other, denominator) = _TABLE[source], _TABLE[target]
    if kind != other:
        raise UnitError(f"Cannot convert {source} ({kind}) to {target} ({other}).")
    return float(numerator / denominator)


def convert(value: Any, from_unit: Any, to_unit: Any) -> Any:
    """Convert `value` (a number or an array of any library) from one unit to another.

    The factor is computed exactly and rounded once; equal units return `value` itself.
    Raises `UnitError` for an unknown unit or for two different kinds of quantity.
    """
    multiplier = factor(from_unit, to_unit)
    return value if multiplier == 1.0 else value * multiplier
