"""The measurement model: units, default SDs, combination, contradictions, HDF5."""

import math

import h5py
import numpy as np
import pytest

from twinjax.io import (
    DEFAULT_METHODS,
    DEFAULT_SDS,
    METHODS,
    Measurement,
    MeasurementError,
    Measurements,
    WaveformMeasurement,
    body_surface_area,
    checked,
    combine,
    find_default,
    from_hdf5,
    inconsistencies,
    measure,
    to_hdf5,
    waveform,
)
from twinjax.observables import OBSERVABLES


def test_values_and_sds_are_converted_once():
    item = measure("systolic_blood_pressure", 16.0, "kPa", sd=1.0)
    assert item.value == pytest.approx(16 / 0.133322387415)
    assert item.sd == pytest.approx(1 / 0.133322387415)
    assert item.unit == "mmHg"
    assert item.method == "cuff"


def test_relative_sd():
    item = measure("cardiac_output", 5000, "mL/min", relative_sd=0.2)
    assert (item.value, item.sd) == pytest.approx((5.0, 1.0))


def test_an_index_is_undone_by_body_surface_area():
    area = body_surface_area(170.0, 70.0)
    assert area == pytest.approx(1.810, abs=1e-3)  # Du Bois & Du Bois for 170 cm and 70 kg
    flow = measure("cardiac_output", 2.5, "L/min/m2", surface_area=area)
    volume = measure("lv_end_diastolic_volume", 80, "mL/m2", surface_area=area)
    resistance = measure("systemic_vascular_resistance", 2000, "dyn·s·m2/cm5", surface_area=area)
    assert flow.value == pytest.approx(2.5 * area)
    assert volume.value == pytest.approx(80 * area)
    assert resistance.value == pytest.approx(2000 / area)


def test_every_default_is_for_a_known_quantity_and_cited():
    for row in DEFAULT_SDS:
        assert row.names
        assert set(row.names) <= set(OBSERVABLES)
        assert row.absolute > 0 or row.relative > 0
        assert row.cite
        for name in row.names:
            assert find_default(name, row.method) is row  # no row hides another
    for name, method in DEFAULT_METHODS.items():
        assert find_default(name, method).sd(100.0) > 0


@pytest.mark.parametrize(
    ("name", "value", "method", "sd"),
    [
        ("systolic_blood_pressure", 120, "cuff", 8.0),
        ("systolic_blood_pressure", 80, "arterial_line", 2.0),
        ("systolic_blood_pressure", 150, "arterial_line", 3.0),
        ("cardiac_output", 5, "thermodilution", 0.5),
        ("right_atrial_pressure", 8, "echo_ivc", math.hypot(5, 5 / math.sqrt(12))),
        ("right_atrial_pressure", 15, "echo_ivc", math.hypot(5, 10 / math.sqrt(12))),
        ("lv_ejection_fraction", 62.5, "echo_visual", math.hypot(8.3, 5 / math.sqrt(12))),
        ("lv_end_diastolic_volume", 150, "cmr", 7.35),
    ],
)
def test_default_sds(name, value, method, sd):
    item = measure(name, value, OBSERVABLES[name].unit, method=method)
    assert item.sd == pytest.approx(sd)


def test_methods_have_other_names():
    assert measure("lv_ejection_fraction", 60, "%", method="Simpson").method == "echo_biplane"
    assert measure("pulmonary_wedge_pressure", 9, "mmHg", method="RHC").method in METHODS


@pytest.mark.parametrize(
    ("arguments", "keywords", "sentence"),
    [
        (("sistolic_blood_presure", 120, "mmHg"), {}, "did you mean 'systolic_blood_pressure'"),
        (("systolic_blood_pressure", 16, "mmHg"), {}, "range 30 to 300 mmHg; if it was .* kPa"),
        (("lv_ejection_fraction", 140, "%"), {}, "= 140 % is impossible: an ejection fraction"),
        (("lv_ejection_fraction", 0.58, "%"), {}, "range 3 to 95 %; if it was measured in 1, say"),
        (("lv_end_systolic_volume", -5, "mL"), {}, "impossible: a volume cannot be negative"),
        (("cardiac_output", 5000, "L/min"), {}, "if it was measured in mL/min, say so"),
        (("cardiac_output", math.nan, "L/min"), {}, "is not a finite number"),
        (("cardiac_output", "five", "L/min"), {}, r"must be a number \(got 'five'\)"),
        (("cardiac_output", True, "L/min"), {}, r"must be a number \(got True\)"),
        (("cardiac_output", 5, "mmHg"), {}, r"cardiac_output: Cannot convert mmHg \(pressure\)"),
        (("cardiac_output", 5, "L/mn"), {}, "Unknown unit 'L/mn'; the nearest match is 'L/min'"),
        (("cardiac_output", 5, 7), {}, "cardiac_output: A unit must be a string"),
        (("cardiac_output", 2.5, "L/min/m2"), {}, "indexed by body surface area: give height"),
        (("heart_rate", 70, "mL/m2"), {}, "Cannot convert mL/m2"),
        (("cardiac_output", 5, "L/min"), {"method": "thermodiluton"}, "mean 'thermodilution'"),
        (("cardiac_output", 5, "L/min"), {"method": "cmr"}, "no default SD: give sd.*fick"),
        (("lv_stroke_work", 8000, "mmHg·mL"), {}, "lv_stroke_work by 'other' has no default SD"),
        (("cardiac_output", 5, "L/min"), {"sd": 0}, "SD of 0 L/min: it must be positive"),
        (("cardiac_output", 5, "L/min"), {"sd": -1}, "it must be positive"),
        (("cardiac_output", 5, "L/min"), {"sd": 1, "relative_sd": 0.1}, "both sd and relative_sd"),
    ],
)
def test_refusals(arguments, keywords, sentence):
    with pytest.raises(MeasurementError, match=sentence) as caught:
        measure(*arguments, **keywords)
    assert "\n" not in str(caught.value)


def test_two_methods_are_weighted_and_disagreement_is_not_hidden():
    near = combine(
        [
            Measurement("right_atrial_pressure", 6.0, 2.0, "right_heart_catheter"),
            Measurement("right_atrial_pressure", 7.0, 4.0, "echo_ivc"),
        ]
    )
    assert near.value == pytest.approx((6 * 4 + 7) / 5)
    assert near.sd == pytest.approx(math.sqrt(1 / (1 / 4 + 1 / 16)))
    far = combine(
        [
            Measurement("right_atrial_pressure", 3.0, 2.0, "right_heart_catheter"),
            Measurement("right_atrial_pressure", 19.0, 2.0, "echo_ivc"),
        ]
    )
    assert far.value == pytest.approx(11)
    assert far.sd == pytest.approx(8)  # sqrt(2) times chi of 128 / 4 / 1, root 32
    derived = Measurement("right_atrial_pressure", 40.0, 0.1, "calculated", derived=True)
    assert combine([near, derived]) is near


def _scalars(**values):
    return Measurements(
        tuple(measure(name, value, OBSERVABLES[name].unit) for name, value in values.items())
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {"systolic_blood_pressure": 80, "diastolic_blood_pressure": 120},
            r"diastolic_blood_pressure \(120 mmHg\) must be below systolic.* \(80 mmHg\)",
        ),
        (
            {"systolic_blood_pressure": 80, "diastolic_blood_pressure": 80},
            "diastolic_blood_pressure .* must be below systolic_blood_pressure",
        ),
        (
            {"pulmonary_systolic_pressure": 20, "pulmonary_diastolic_pressure": 25},
            "pulmonary_diastolic_pressure .* must be below pulmonary_systolic_pressure",
        ),
        (
            {"lv_end_diastolic_volume": 100, "lv_end_systolic_volume": 120},
            "lv_end_systolic_volume .* must be below lv_end_diastolic_volume",
        ),
        (
            {"mean_arterial_pressure": 130, "systolic_blood_pressure": 120},
            "mean_arterial_pressure .* must be below systolic_blood_pressure",
        ),
        (
            {
                "rv_end_diastolic_volume": 150,
                "rv_end_systolic_volume": 60,
                "rv_ejection_fraction": 20,
            },
            r"rv_ejection_fraction \(20 %\) disagrees by more than 3 SD with the 60 %",
        ),
        (
            {"rv_end_diastolic_volume": 150, "rv_end_systolic_volume": 60, "rv_stroke_volume": 20},
            r"rv_stroke_volume \(20 mL\) disagrees by more than 3 SD with the 90 mL",
        ),
    ],
)
def test_contradictions(values, sentence):
    with pytest.raises(MeasurementError, match=sentence):
        checked(_scalars(**values))


def test_consistent_values_pass():
    values = _scalars(
        heart_rate=70,
        systolic_blood_pressure=120,
        diastolic_blood_pressure=75,
        lv_end_diastolic_volume=150,
        lv_end_systolic_volume=60,
        lv_ejection_fraction=55,
    )
    assert inconsistencies(values.scalars) == []
    assert checked(values) is values


def test_the_same_method_twice_is_refused():
    one = measure("heart_rate", 70, "bpm")
    with pytest.raises(MeasurementError, match="heart_rate by 'ecg' is given twice"):
        Measurements((one, one))


def test_a_patient_is_anonymous():
    with pytest.raises(MeasurementError, match="must be an anonymous id"):
        Measurements(patient="Ada Lovelace")
    with pytest.raises(MeasurementError, match="sex is 'x': the valid choices"):
        Measurements(sex="x")


def test_selection_and_vectors():
    values = _scalars(heart_rate=70, cardiac_output=5, systemic_vascular_resistance=1200)
    rest = values.without("cardiac_output")
    assert set(rest.scalars) == {"heart_rate", "systemic_vascular_resistance"}
    numbers, sds = rest.vectors(("heart_rate", "cardiac_output"))
    np.testing.assert_array_equal(numbers, [70, np.nan])
    np.testing.assert_array_equal(sds, [3.5, np.nan])
    with pytest.raises(MeasurementError, match="did you mean 'heart_rate'"):
        values.without("heart_rat")
    derived = measure("systemic_vascular_resistance", 1200, "dyn·s/cm5", derived=True)
    both = Measurements((measure("heart_rate", 70, "bpm"), derived))
    assert set(both.fitted) == {"heart_rate"}
    assert set(both.derived) == {"systemic_vascular_resistance"}


def _beat(**changes):
    time = np.arange(20) * 0.04
    values = 80 + 40 * np.sin(np.pi * time / 0.8)
    given = {"name": "systemic_arteries.pressure", "time": time, "values": values} | changes
    return waveform(**given)


def test_waveform_defaults():
    beat = _beat()
    assert beat.period == pytest.approx(0.8)
    assert beat.unit == "mmHg"
    np.testing.assert_allclose(beat.sd, np.maximum(2, 0.02 * beat.values))
    assert not beat.values.flags.writeable


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "systemic_artery.pressure", "sd": 1.0}, "did you mean 'systemic_arteries.press"),
        ({"name": "left_ventricle.volume"}, "has no default SD: give sd"),
        ({"time": np.zeros(20)}, "times of the waveform must increase"),
        ({"time": np.arange(4.0), "values": np.ones(4)}, "at least 8 times"),
        ({"values": np.full(20, np.nan)}, "a value that is not finite"),
        ({"values": np.full(20, 900.0)}, "outside the plausible range"),
        ({"sd": 0.0}, "SD of the waveform must be positive"),
        ({"period": 0.3}, "the period 0.3 s is shorter than the waveform"),
    ],
)
def test_waveform_refusals(changes, sentence):
    with pytest.raises(MeasurementError, match=sentence):
        _beat(**changes)


def _everything():
    return Measurements(
        (
            measure("heart_rate", 70, "bpm"),
            measure("right_atrial_pressure", 6, "mmHg", method="right_heart_catheter"),
            measure("right_atrial_pressure", 8, "mmHg", method="echo_ivc"),
            measure("systemic_vascular_resistance", 1200, "dyn·s/cm5", derived=True),
        ),
        (_beat(),),
        patient="A-17",
        sex="female",
        age=61.0,
        height=168.0,
        missing=("cardiac_output",),
        source="toml sha256:00",
    )


def test_hdf5_round_trip(tmp_path):
    original = _everything()
    with h5py.File(tmp_path / "twin.h5", "w") as file:
        to_hdf5(original, file.create_group("measurements"))
    with h5py.File(tmp_path / "twin.h5", "r") as file:
        copy = from_hdf5(file["measurements"])
        assert file["measurements/scalars/unit"].asstr()[0] == "bpm"
    assert copy.entries == original.entries
    assert (copy.patient, copy.sex, copy.age, copy.height, copy.weight) == (
        "A-17",
        "female",
        61.0,
        168.0,
        None,
    )
    assert (copy.missing, copy.source) == (original.missing, original.source)
    for field in ("time", "values", "sd"):
        np.testing.assert_array_equal(
            getattr(copy.waveforms[0], field), getattr(original.waveforms[0], field)
        )
    assert copy.waveforms[0].period == original.waveforms[0].period


def test_hdf5_of_nothing(tmp_path):
    with h5py.File(tmp_path / "twin.h5", "w") as file:
        to_hdf5(Measurements(), file.create_group("m"))
        assert from_hdf5(file["m"]) == Measurements()


def test_hdf5_faults(tmp_path):
    with h5py.File(tmp_path / "twin.h5", "w") as file:
        group = file.create_group("m")
        with pytest.raises(MeasurementError, match="does not hold measurements"):
            from_hdf5(group)
        to_hdf5(_everything(), group)
        with pytest.raises(MeasurementError, match="is not empty"):
            to_hdf5(_everything(), group)
        group.attrs["version"] = 99
        with pytest.raises(MeasurementError, match=r"of version 99.*update twinjax"):
            from_hdf5(group)
        group.attrs["version"] = 1
        del group["scalars/sd"]
        with pytest.raises(MeasurementError, match=r"are damaged \(KeyError"):
            from_hdf5(group)
        group["scalars"].create_dataset("sd", data=[1.0])
        with pytest.raises(MeasurementError, match="columns of unequal length"):
            from_hdf5(group)


def test_waveform_measurement_starts_at_zero():
    beat = WaveformMeasurement(
        "aortic.flow", np.arange(10) + 3.0, np.zeros(10), np.array(5.0), "other", 10.0
    )
    assert beat.time[0] == 0
    assert beat.sd.shape == (10,)
