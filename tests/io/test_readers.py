"""One person's file: layouts, missing values, privacy, and a sentence for each fault."""

import numpy as np
import pytest

from twinjax.io import MeasurementError, body_surface_area, read_measurements

TOML = """
patient = "A17"
sex = "F"
age = 61
height = {value = 1.68, unit = "m"}
weight = {value = 70, unit = "kg"}

[measurements]
heart_rate = {value = 72, unit = "bpm"}
systolic_blood_pressure = {value = 122, unit = "mmHg", method = "cuff", sd = 5}
diastolic_blood_pressure = {value = 10.1, unit = "kPa"}
cardiac_index = {value = 2.8, unit = "L/min/m2"}
pulmonary_wedge_pressure = {value = "", unit = "mmHg"}
right_atrial_pressure = [
    {value = 6, unit = "mmHg", method = "right_heart_catheter"},
    {value = 8, unit = "mmHg", method = "echo_ivc"},
]
"""


def write(folder, text, name="person.toml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml(tmp_path):
    person = read_measurements(write(tmp_path, TOML))
    assert (person.patient, person.sex, person.age) == ("A17", "female", 61)
    assert (person.height, person.weight) == pytest.approx((168, 70))
    scalars = person.scalars
    assert scalars["systolic_blood_pressure"].sd == 5
    assert scalars["diastolic_blood_pressure"].value == pytest.approx(75.756, abs=1e-3)
    assert scalars["cardiac_output"].value == pytest.approx(2.8 * body_surface_area(168, 70))
    assert "echo_ivc" in scalars["right_atrial_pressure"].method
    assert person.missing == ("pulmonary_wedge_pressure",)
    assert person.source.startswith("toml sha256:")
    assert "person" not in person.source


def test_toml_waveform(tmp_path):
    time = np.arange(25) * 0.03
    pressure = 12 + 4 * np.sin(np.pi * time / 0.75)
    rows = "\n".join(f"{1000 * t},{p}" for t, p in zip(time, pressure, strict=True))
    write(tmp_path, f"time,value\n{rows}\n", "beat.csv")
    text = """
    [waveforms."systemic_arteries.pressure"]
    file = "beat.csv"
    time_unit = "ms"
    unit = "kPa"
    sd = 0.5
    """
    beat = read_measurements(write(tmp_path, text)).waveforms[0]
    np.testing.assert_allclose(beat.time, time, atol=1e-12)
    np.testing.assert_allclose(beat.values, pressure / 0.133322387415)
    np.testing.assert_allclose(beat.sd, 0.5 / 0.133322387415)
    assert beat.period == pytest.approx(0.75)
    bare = text.replace('unit = "kPa"', "")
    with pytest.raises(MeasurementError, match=r"systemic_arteries.pressure needs the key 'unit'"):
        read_measurements(write(tmp_path, bare))
    with pytest.raises(MeasurementError, match=r"There is no file .*absent\.csv"):
        read_measurements(write(tmp_path, text.replace("beat.csv", "absent.csv")))
    write(tmp_path, "time,value\n0,80\n1,x\n", "beat.csv")
    with pytest.raises(MeasurementError, match=r"beat.csv: row 2 is not two numbers"):
        read_measurements(write(tmp_path, text))
    write(tmp_path, "t,p\n0,80\n", "beat.csv")
    with pytest.raises(MeasurementError, match=r"must have the columns time,value \(it has t, p"):
        read_measurements(write(tmp_path, text))


def test_csv_says_the_same_as_toml(tmp_path):
    text = """name,value,unit,method,sd
# a comment
patient,A17,,,
age,61,year,,
height,168,cm,,
weight,70,kg,,
heart_rate,72,bpm,,
systolic_blood_pressure,122,mmHg,cuff,5
diastolic_blood_pressure,10.1,kPa,,
cardiac_index,2.8,L/min/m2,,
pulmonary_wedge_pressure,,mmHg,,
right_atrial_pressure,6,mmHg,right_heart_catheter,
right_atrial_pressure,8,mmHg,echo_ivc,
"""
    table = read_measurements(write(tmp_path, text, "person.csv"))
    person = read_measurements(write(tmp_path, TOML))
    assert set(table.scalars) == set(person.scalars)
    for name, item in person.scalars.items():
        assert table.scalars[name].value == pytest.approx(item.value), name
        assert table.scalars[name].sd == pytest.approx(item.sd), name
    assert (table.patient, table.age, table.missing) == (person.patient, 61, person.missing)


def test_csv_from_a_spreadsheet(tmp_path):
    path = tmp_path / "person.csv"
    path.write_bytes("\ufeffname,value,unit\r\nheart_rate, 72 ,bpm\r\n\r\n".encode())
    assert read_measurements(path).scalars["heart_rate"].value == 72


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "[measurements]\nheart_rate = 72",
            "heart_rate has no unit: write heart_rate = {value = 7",
        ),
        ("[measurements]\nheart_rate = {value = 72}", "heart_rate has no unit"),
        (
            '[measurements]\nhart_rate = {value = 72, unit = "bpm"}',
            r"Unknown key 'hart_rate' in \[measurements\]: did you mean 'heart_rate'",
        ),
        (
            '[measurements]\nheart_rate = {value = 72, unit = "bpm", sdd = 3}',
            "Unknown key 'sdd' in heart_rate: did you mean 'sd'",
        ),
        (
            '[measurements]\nheart_rate = {value = 72, unit = "bpm", derived = "no"}',
            r"derived of heart_rate must be true or false \(got 'no'\)",
        ),
        ("[measurement]\n", "Unknown key 'measurement' in person.toml: did you mean 'measurements"),
        ("[measurements]\nheart_rate = {", "is not valid TOML: Invalid"),
        (
            '[measurements]\nheart_rate = {value = 72, unit = "bpm"}\n'
            'heart_rate = {value = 75, unit = "bpm"}',
            "is not valid TOML: Cannot overwrite a value",
        ),
        ("[measurements]\n", "holds no measurement: give at least one of heart_rate"),
        ("  \n", "person.toml is empty"),
        ("measurements = 3", r"start it with \[measurements\]"),
        ('name = "Ada"', "'name' is refused: a twin carries no name, date of birth"),
        ('birth_date = "1815-12-10"', "'birth_date' is refused"),
        ("dob = 1815-12-10", "'dob' is refused"),
        ('mrn = "123"', "'mrn' is refused"),
        ('patientName = "Ada"', "'patientName' is refused"),
        ('patient = "Ada Lovelace"', "must be an anonymous id"),
        ("age = 61000", r"age = 61000 year is outside the plausible range 0 to 120 year"),
        (
            "height = 168",
            r'height needs a value and a unit: write height = {value = 168, unit = "c',
        ),
        ('height = {value = 168, unit = "m"}', "height = 168 m is outside the plausible range"),
        (
            '[measurements]\ncardiac_index = {value = 2.8, unit = "L/min/m2"}',
            "cardiac_output in L/min/m2 is indexed by body surface area: give height and weight",
        ),
        (
            '[measurements]\ncardiac_index = {value = 2.8, unit = "L/min"}',
            "cardiac_index is an index, but its unit 'L/min' is not per m2",
        ),
        (
            '[measurements]\nsystolic_blood_pressure = {value = 80, unit = "mmHg"}\n'
            'diastolic_blood_pressure = {value = 120, unit = "mmHg"}',
            "diastolic_blood_pressure .* must be below systolic_blood_pressure",
        ),
        (
            '[measurements]\nlv_ejection_fraction = {value = 140, unit = "%"}',
            "lv_ejection_fraction = 140 % is impossible",
        ),
        (
            "[measurements]\nheart_rate = {value = inf, unit = 'bpm'}",
            "value of heart_rate is not a finite number",
        ),
        ('[waveforms."aorta.flow"]\nfile = "x"', "Unknown key 'aorta.flow' in .*did you mean 'aor"),
        ('[waveforms]\n"aortic.flow" = 3', "The waveform aortic.flow needs a file"),
    ],
)
def test_toml_faults(tmp_path, text, sentence):
    with pytest.raises(MeasurementError, match=sentence) as caught:
        read_measurements(write(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "Ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name,value\nheart_rate,72\n", "lacks the column 'unit'"),
        ("name,value,unit\nheart_rate,72\n", "row 1 has 2 cells, but the header has 3"),
        ("name,value,unit\nheart_rate,fast,bpm\n", r"must be a number \(got 'fast'\)"),
        ("name,value,unit\nheart_rate,72,\n", "heart_rate has no unit"),
        ("name,value,unit\nheart_rate,72,bpm\nheart_rate,75,bpm\n", "'ecg' is given twice"),
        ("name,value,unit\nsurname,Ada,\n", "'surname' is refused"),
        ("name,value,unit,notes\n", "Unknown key 'notes' in the header"),
        ("name,value,unit,value\n", "has the column 'value' twice"),
        ("# nothing\n", "holds no table"),
        ("name;value;unit\nheart_rate;72;bpm\n", "must be separated by commas"),
        ("name,value,unit\n", "holds no measurement"),
        ("name,value,unit\nheart_rate,\x00,bpm\n", "is not a text file"),
    ],
)
def test_csv_faults(tmp_path, text, sentence):
    with pytest.raises(MeasurementError, match=sentence):
        read_measurements(write(tmp_path, text, "person.csv"))


def test_file_faults(tmp_path):
    with pytest.raises(MeasurementError, match="There is no file"):
        read_measurements(tmp_path / "absent.toml")
    with pytest.raises(MeasurementError, match="is a directory"):
        read_measurements(tmp_path)
    with pytest.raises(MeasurementError, match=r"must end in \.toml, \.csv, \.hea"):
        read_measurements(write(tmp_path, "x", "person.xlsx"))
    empty = write(tmp_path, "")
    with pytest.raises(MeasurementError, match=r"person\.toml is empty"):
        read_measurements(empty)
    latin = tmp_path / "latin.toml"
    latin.write_bytes('sex = "männlich"'.encode("latin-1"))
    with pytest.raises(MeasurementError, match=r"is not UTF-8 text .*save it as UTF-8"):
        read_measurements(latin)
