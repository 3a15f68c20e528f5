"""Units: exact factors, spellings, and one clear sentence for each mistake."""

import numpy as np
import pytest

from twinjax.observables import OBSERVABLES, WAVEFORMS, nearest
from twinjax.units import UnitError, alternatives, convert, dimension, factor, normalise


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        (1, "mmHg", "Pa", 133.322387415),
        (120, "mmHg", "kPa", 15.9986864898),
        (1, "cmH2O", "Pa", 98.0665),
        (6, "L/min", "mL/s", 100),
        (72, "bpm", "Hz", 1.2),
        (1, "mmHg·s/mL", "dyn·s/cm5", 1333.22387415),
        (1, "WU", "dyn·s/cm5", 79.993432449),
        (1, "WU", "mmHg·s/mL", 0.06),
        (0.58, "1", "%", 58),
        (1, "mmHg·mL", "J", 1.33322387415e-4),
        (1, "mmHg/mL", "kPa/mL", 0.133322387415),
        (1, "mL/mmHg", "mL/kPa", 1 / 0.133322387415),
        (3, "L/min/m2", "mL/s/m2", 50),
        (170, "cm", "m", 1.7),
        (180, "deg", "rad", np.pi),
        (2, "mS/cm", "S/m", 0.2),
    ],
)
def test_factors(value, source, target, expected):
    assert convert(value, source, target) == pytest.approx(expected, rel=1e-14)
    assert convert(expected, target, source) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("spelling", "canonical"),
    [
        ("dyn·s·cm⁻⁵", "dyn·s/cm5"),
        ("dyn s/cm5", "dyn·s/cm5"),
        ("dyne*s/cm^5", "dyn·s/cm5"),
        ("Wood units", "mmHg·min/L"),
        ("mm Hg", "mmHg"),
        ("ml/min", "mL/min"),
        ("mmHg·s^2/mL", "mmHg·s²/mL"),
        ("L/min/m²", "L/min/m2"),
        ("uF", "µF"),
        ("\u03bcF", "µF"),  # the Greek letter instead of the micro sign
        ("beats/min", "bpm"),
    ],
)
def test_spellings(spelling, canonical):
    assert normalise(spelling) == canonical


def test_case_is_kept_where_it_carries_meaning():
    assert dimension("ms") == "time"
    assert dimension("mS") == "conductance"


def test_every_factor_inverts_exactly():
    for unit in ("mmHg", "mL", "s", "bpm", "L/min", "dyn·s/cm5", "mmHg·mL", "m2", "mL/mmHg"):
        for other in alternatives(unit):
            assert factor(unit, other) * factor(other, unit) == pytest.approx(1, rel=4e-16)


def test_arrays_keep_their_type_and_equal_units_are_free():
    values = np.array([80, 120], np.float32)
    assert convert(values, "mmHg", "kPa").dtype == np.float32
    assert convert(values, "mmHg", "mm Hg") is values


@pytest.mark.parametrize(
    ("source", "target", "sentence"),
    [
        ("mmgH", "mmHg", "Unknown unit 'mmgH'; the nearest match is 'mmHg'"),
        ("zzz!", "mmHg", "Unknown unit 'zzz!'; the known units are 1, %, mmHg"),
        ("mmHg", "mL", r"Cannot convert mmHg \(pressure\) to mL \(volume\)\.$"),
        ("", "mL", "The unit is empty: write '1'"),
        (3, "mL", "A unit must be a string such as 'mmHg', but 3 was given"),
        ("L/min", "L/min/m2", r"Cannot convert L/min \(flow\) to L/min/m2 \(flow index\)"),
    ],
)
def test_mistakes(source, target, sentence):
    with pytest.raises(UnitError, match=sentence):
        convert(1.0, source, target)


def test_observables_have_known_units_and_ranges():
    assert len(WAVEFORMS) == 20
    for name, known in (OBSERVABLES | WAVEFORMS).items():
        assert normalise(known.unit) == known.unit, name
        assert known.low < known.high, name
        assert known.description, name


def test_nearest_name():
    assert nearest("sistolic_blood_presure", OBSERVABLES) == "systolic_blood_pressure"
    assert nearest("qqqqqq", OBSERVABLES) is None
