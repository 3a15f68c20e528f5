"""Pressure records: beats of known pressures, artefacts, and the ICU record of MIMIC."""

import sys

import numpy as np
import pytest

from twinjax.io import MeasurementError, read_measurements
from twinjax.io._beats import good_beats, onsets

RATE = 125.0


def pressure(seconds=20.0, rate=70.0, low=80.0, high=120.0, notch=True, noise=0.0):
    """A made arterial pressure with a steep rise, a slow fall and a dicrotic wave."""
    phase = (np.arange(int(seconds * RATE)) / RATE * rate / 60) % 1.0
    rise = np.sin(0.5 * np.pi * np.clip(phase / 0.15, 0, 1))
    fall = np.exp(-3 * np.clip(phase - 0.15, 0, None)) - np.exp(-3 * 0.85)
    wave = np.where(phase < 0.15, rise, fall / (1 - np.exp(-3 * 0.85)))
    if notch:
        wave = wave + 0.12 * np.exp(-(((phase - 0.45) / 0.05) ** 2))
    trace = low + (high - low) * wave
    return trace + noise * np.random.default_rng(0).standard_normal(trace.size)


@pytest.mark.parametrize("rate", [45.0, 70.0, 110.0, 160.0])
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_made_beats_are_found(rate, noise):
    trace = pressure(rate=rate, noise=noise)
    starts = onsets(trace, RATE)
    beats = good_beats(trace, RATE, starts, low=10, high=320, pulse=8)
    assert abs(beats.found - (20 * rate / 60 - 1)) <= 1.5
    assert beats.interval.size >= 0.9 * beats.found
    assert 60 / np.median(beats.interval) == pytest.approx(rate, rel=0.02)
    assert np.median(beats.systolic) == pytest.approx(120, abs=1 + 3 * noise)
    assert np.median(beats.diastolic) == pytest.approx(80, abs=1 + 3 * noise)
    clean = pressure(seconds=60 / rate * 10, rate=rate)
    assert np.median(beats.mean) == pytest.approx(clean.mean(), abs=1)


def test_artefacts_are_rejected():
    trace = pressure(seconds=30.0)
    trace[500:760] = 300.0  # the line is flushed
    trace[1500:1700] = np.nan  # and disconnected
    trace[2500:2520] += 90.0  # and knocked
    starts = onsets(trace, RATE)
    beats = good_beats(trace, RATE, starts, low=10, high=320, pulse=8)
    assert beats.interval.size >= 20
    assert beats.interval.size < beats.found
    assert beats.systolic == pytest.approx(120, abs=2)
    assert beats.diastolic == pytest.approx(80, abs=2)


def test_no_pulse_no_beats():
    assert onsets(np.full(2000, 90.0), RATE).size == 0
    assert onsets(np.full(2000, np.nan), RATE).size == 0
    assert onsets(np.empty(0), RATE).size == 0


def write_record(folder, signals, units):
    wfdb = pytest.importorskip("wfdb")
    wfdb.wrsamp(
        "made",
        fs=RATE,
        units=list(units),
        sig_name=list(signals),
        p_signal=np.stack(list(signals.values()), axis=1),
        fmt=["16"] * len(signals),
        write_dir=str(folder),
        comments=["name: Ada Lovelace", "born 1815-12-10"],
    )
    return folder / "made.hea"


def test_made_record(tmp_path):
    path = write_record(tmp_path, {"ART": pressure() * 0.133322387415}, ["kPa"])
    person = read_measurements(path)
    scalars = person.scalars
    assert scalars["heart_rate"].value == pytest.approx(70, abs=1)
    assert scalars["systolic_blood_pressure"].value == pytest.approx(120, abs=1)
    assert scalars["diastolic_blood_pressure"].value == pytest.approx(80, abs=1)
    assert scalars["systolic_blood_pressure"].method == "arterial_line"
    assert scalars["systolic_blood_pressure"].sd > 2.39
    beat = person.waveforms[0]
    assert beat.name == "systemic_arteries.pressure"
    assert beat.values.argmin() in (0, 1, 2, 97, 98, 99)
    assert beat.period == pytest.approx(60 / 70, abs=0.01)
    assert "Ada" not in repr(person)
    assert "1815-12" not in repr(person)


def test_pulmonary_alone_gives_the_heart_rate(tmp_path):
    person = read_measurements(write_record(tmp_path, {"PAP": pressure(low=10, high=25)}, ["mmHg"]))
    assert set(person.scalars) == {
        "heart_rate",
        "pulmonary_systolic_pressure",
        "pulmonary_diastolic_pressure",
        "pulmonary_mean_pressure",
    }
    assert person.scalars["pulmonary_systolic_pressure"].value == pytest.approx(25, abs=0.5)


def test_record_faults(tmp_path, monkeypatch):
    flat = write_record(tmp_path, {"ABP": np.full(2500, 90.0) + 1e-3 * np.arange(2500)}, ["mmHg"])
    with pytest.raises(MeasurementError, match=r"Channel ABP .* has 0 good beats of .* at least 3"):
        read_measurements(flat)
    path = write_record(tmp_path, {"ABP": pressure()}, ["mV"])
    with pytest.raises(MeasurementError, match=r"Channel ABP: Cannot convert mV \(voltage\)"):
        read_measurements(path)
    (tmp_path / "made.dat").unlink()
    with pytest.raises(MeasurementError, match="is not a readable WFDB record"):
        read_measurements(path)
    path.write_text("nonsense\n")
    with pytest.raises(MeasurementError, match="is not a readable WFDB record"):
        read_measurements(path)
    monkeypatch.setitem(sys.modules, "wfdb", None)
    with pytest.raises(MeasurementError, match=r"needs the package wfdb: install twinjax\[formats"):
        read_measurements(path)


def test_an_ecg_has_no_pressure(shared):
    pytest.importorskip("wfdb")
    with pytest.raises(MeasurementError, match=r"no arterial pressure channel .* MLII, V5"):
        read_measurements(shared("data/ecg/100.hea"))


def test_icu_record(shared):
    """MIMIC record 041: 25 R waves in 15.1 s (95 bpm), a hypotensive patient on a ventilator."""
    pytest.importorskip("wfdb")
    person = read_measurements(shared("data/ecg/mimic041/041s.hea"))
    scalars = person.scalars
    assert scalars["heart_rate"].value == pytest.approx(95, abs=1)
    # read off the trace: peaks of 81 to 88, feet of 41 to 45 mmHg
    assert 81 < scalars["systolic_blood_pressure"].value < 88
    assert 41 <= scalars["diastolic_blood_pressure"].value < 45
    assert 50 < scalars["mean_arterial_pressure"].value < 60
    # pulmonary peaks of 26 to 33 mmHg; feet of 5 to 16 that swing with the ventilator
    assert 26 < scalars["pulmonary_systolic_pressure"].value < 33
    assert 5 < scalars["pulmonary_diastolic_pressure"].value < 16
    assert scalars["pulmonary_diastolic_pressure"].sd > 3
    names = {wave.name: wave for wave in person.waveforms}
    assert set(names) == {"systemic_arteries.pressure", "pulmonary_arteries.pressure"}
    for wave in names.values():
        assert wave.period == pytest.approx(0.632, abs=0.01)
        rising = np.argmax(np.diff(wave.values))
        assert wave.values[0] == pytest.approx(wave.values[: rising + 1].min(), abs=0.5)
        assert wave.time[wave.values.argmax()] < 0.25
    assert person.patient is None
