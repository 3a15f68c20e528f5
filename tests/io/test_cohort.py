"""Tables of people: the clinical cohort, cells that cannot be, and groups of visits."""

import numpy as np
import pytest

from twinjax.io import (
    EHR_COLUMNS,
    EHR_NOT_MODELLED,
    MeasurementError,
    column_names,
    neighbourhoods,
    read_cohort,
)


def write(folder, text):
    path = folder / "people.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def cohort(shared):
    return read_cohort(shared("data/haemodynamics/ehr55/patients.csv"))


def test_clinical_cohort(cohort):
    assert len(cohort.patients) == 55
    assert cohort.empty == ("24", "51")
    assert cohort.excluded == ()
    assert set(cohort.not_modelled) == set(EHR_NOT_MODELLED)
    assert sum(len(person.entries) for person in cohort.patients) == 538
    first = cohort.patients[0].scalars
    assert first["cardiac_output"].value == 6.1
    assert first["cardiac_output"].sd == pytest.approx(0.61)
    assert first["pulmonary_wedge_pressure"].value == 6
    assert first["right_atrial_pressure"].method == "echo_ivc"
    both = cohort.patients[3].scalars["right_atrial_pressure"]
    assert 6 < both.value < 8  # a catheter says 6, the vena cava 8
    assert both.sd < 2
    assert "pulmonary_vascular_resistance" not in cohort.patients[0].fitted
    assert "pulmonary_vascular_resistance" in cohort.patients[0].derived
    values, sds = cohort.matrices(column_names(cohort))
    assert values.shape == sds.shape == (55, len(column_names(cohort)))
    assert (np.isfinite(values) == np.isfinite(sds)).all()


def test_resistances_of_the_cohort_are_derived(cohort):
    """80 (MAP - RAP) / CO and 80 (mPAP - wedge) / CO with (S + 2 D) / 3, to the last digit."""
    raw = dict(zip(cohort.raw_columns, cohort.raw.T, strict=True))

    def mean(systolic, diastolic):
        return (raw[systolic] + 2 * raw[diastolic]) / 3

    pulmonary = 80 * (mean("pap_systolic", "pap_diastolic") - raw["wedge_pressure"])
    error = raw["pulmonary_vascular_resista"] - pulmonary / raw["cardiac_output"]
    assert np.isfinite(error).sum() == 27
    np.testing.assert_allclose(error[np.isfinite(error)], 0, atol=1e-5)
    arterial = mean("systolic_bp_2", "diastolic_bp_2")
    implied = arterial - raw["systemic_vascular_resistan"] * raw["cardiac_output"] / 80
    implied = implied[np.isfinite(implied)]
    np.testing.assert_allclose(implied, np.round(implied), atol=1e-4)  # a catheter's whole mmHg


def test_groups_keep_repeated_visits_together(cohort):
    groups = neighbourhoods(cohort, 5)
    assert groups.shape == (55,)
    assert groups[0] == groups[4] != groups[5]
    assert groups[29] == groups[34] == groups[36]  # the same pressures and flow within rounding
    alone = neighbourhoods(cohort, 1)
    assert alone[47] == alone[48]
    assert len(set(alone)) < 55
    assert list(np.unique(groups)) == list(range(groups.max() + 1))
    with pytest.raises(MeasurementError, match="size must be at least 1"):
        neighbourhoods(cohort, 0)


def test_table_with_units_in_the_header(tmp_path):
    path = write(
        tmp_path,
        "patient,sex,age [year],height [m],weight [kg],systolic_blood_pressure [kPa],"
        "cardiac_output [L/min; fick],lv_end_diastolic_volume [mL/m2]\n"
        "a,f,50,1.7,70,16,5,80\n"
        "a,m,51,,,16,,80\n"
        "b,,,,,,,\n",
    )
    cohort = read_cohort(path)
    assert cohort.ids == ("a", "a", "b")
    assert cohort.empty == ("b",)
    first = cohort.patients[0]
    assert (first.sex, first.age, first.height) == ("female", 50, pytest.approx(170))
    assert first.scalars["systolic_blood_pressure"].value == pytest.approx(120.0, abs=0.05)
    assert first.scalars["cardiac_output"].sd == pytest.approx(1.0)
    assert first.scalars["lv_end_diastolic_volume"].value == pytest.approx(80 * 1.81, abs=0.1)
    (excluded,) = cohort.excluded
    assert excluded.patient == "a"
    assert "give height and weight" in excluded.reason
    assert list(neighbourhoods(cohort, 1)) == [0, 0, 1]
    assert cohort.patients[1].missing == ("cardiac_output",)


def test_cells_that_cannot_be_are_left_out_and_reported(tmp_path):
    path = write(
        tmp_path,
        "patient,systolic_bp_2,diastolic_bp_2,lvef,cardiac_output,wedge_pressure\n"
        "p0,120,80,60,5,9\n"
        "p1,80,120,60,5,9\n"
        "p2,120,80,140,5,9\n"
        "p3,16,,60,5,x\n"
        "p4,120,80,60,5\n"
        "Ada Lovelace,120,80,60,inf,9\n",
    )
    cohort = read_cohort(path)
    found = {(item.patient, item.column): item for item in cohort.excluded}
    assert set(found) == {
        ("p1", "systolic_bp_2"),
        ("p1", "diastolic_bp_2"),
        ("p2", "lvef"),
        ("p3", "systolic_bp_2"),
        ("p3", "wedge_pressure"),
        ("4", "*"),
        ("5", "cardiac_output"),
        ("5", "patient"),
    }
    assert "must be below" in found["p1", "systolic_bp_2"].reason
    assert found["p2", "lvef"].value == "140"
    assert "between 0 and 100 %" in found["p2", "lvef"].reason
    assert "kPa" in found["p3", "systolic_bp_2"].reason
    assert "'x' is not a number" in found["p3", "wedge_pressure"].reason
    assert "5 cells, but the header has 6" in found["4", "*"].reason
    assert "anonymous id" in found["5", "patient"].reason
    assert cohort.ids == ("p0", "p1", "p2", "p3", "5")
    assert len(cohort.patients[0]) == 5
    assert set(cohort.patients[1].scalars) == {
        "lv_ejection_fraction",
        "cardiac_output",
        "pulmonary_wedge_pressure",
    }
    assert "Ada" not in repr(cohort)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("patient,cardiac_outputt\n1,5\n", "Unknown column 'cardiac_outputt' .*'cardiac_output'"),
        ("patient,heart_rate\n1,70\n", r"'heart_rate' has no unit: write 'heart_rate \[bpm\]'"),
        ("patient,heart_rate [mmHg]\n1,70\n", r"column 'heart_rate \[mmHg\]': Cannot convert"),
        ("heart_rate [bpm; ecgg]\n70\n", "Unknown method 'ecgg'; did you mean 'ecg'"),
        ("lv_stroke_work [mmHg·mL]\n7000\n", "has no default SD: give sd"),
        ("surname,heart_rate [bpm]\nx,70\n", "'surname' is refused"),
        ("cvp,cvp\n5,5\n", "has the column 'cvp' twice"),
        ("patient,cvp\n", "holds no row of measurements"),
        ("", "is empty"),
    ],
)
def test_header_faults(tmp_path, text, sentence):
    with pytest.raises(MeasurementError, match=sentence):
        read_cohort(write(tmp_path, text))


def test_column_map_is_complete(shared):
    header = shared("data/haemodynamics/ehr55/patients.csv").read_text().splitlines()[0].split(",")
    assert set(header) == {"patient", *EHR_COLUMNS, *EHR_NOT_MODELLED}
