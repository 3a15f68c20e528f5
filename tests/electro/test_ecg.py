"""Leads, action potentials by a formula, features of an ECG, and ECGs in files."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.electro import (
    ELECTRODES,
    LEADS,
    ActionPotential,
    ecg_agreement,
    ecg_features,
    lead_matrix,
    transfer_lead_field,
    twelve_leads,
)
from twinjax.io import EcgRecord, MeasurementError, median_beat, read_ecg
from twinjax.io._ecg import LEAD_NAMES


def test_the_leads_obey_einthoven_and_goldberger():
    rng = np.random.default_rng(0)
    potentials = jnp.asarray(rng.normal(size=(9, 7)))
    ecg = dict(zip(LEADS, twelve_leads(potentials), strict=True))
    np.testing.assert_allclose(ecg["I"] + ecg["III"], ecg["II"], atol=1e-14)
    np.testing.assert_allclose(ecg["aVR"] + ecg["aVL"] + ecg["aVF"], 0, atol=1e-14)
    np.testing.assert_allclose(ecg["aVF"], (ecg["II"] + ecg["III"]) / 2, atol=1e-14)
    ra, la, ll = potentials[:3]
    np.testing.assert_allclose(ecg["I"], la - ra, atol=1e-14)
    np.testing.assert_allclose(ecg["V4"], potentials[6] - (ra + la + ll) / 3, atol=1e-14)
    np.testing.assert_allclose(
        twelve_leads(potentials + 3.0), jnp.stack(list(ecg.values())), atol=1e-12
    )
    assert LEADS == LEAD_NAMES


def test_electrodes_may_come_in_another_order():
    order = tuple(reversed(ELECTRODES))
    potentials = jnp.asarray(np.random.default_rng(1).normal(size=(9, 3)))
    np.testing.assert_allclose(twelve_leads(potentials[::-1], order), twelve_leads(potentials))
    with pytest.raises(ValueError, match="lead V6 needs the electrode V6"):
        lead_matrix(ELECTRODES[:-1])
    with pytest.raises(ValueError, match="unknown lead 'V7'"):
        lead_matrix(ELECTRODES, ("I", "V7"))
    rows = transfer_lead_field(np.eye(9), names=ELECTRODES).twelve_leads()
    np.testing.assert_allclose(rows.matrix, lead_matrix())
    assert rows.names == LEADS


def test_an_action_potential_rests_rises_and_returns():
    shape = ActionPotential()
    times = jnp.array([-40.0, 10.0, 150.0, 600.0, 1500.0])
    v = shape(times, jnp.array([10.0, jnp.inf, 10.0]), jnp.array([300.0, 300.0, jnp.inf]))
    np.testing.assert_allclose(v[0], -85, atol=1e-3)
    assert -60 < v[1, 0] < -30  # half way up
    assert 0 < v[2, 0] < 15
    assert abs(float(v[4, 0]) + 85) < 0.01
    np.testing.assert_allclose(v[:, 1], -85, atol=1e-6)
    assert float(v[4, 2]) == pytest.approx(15, abs=1e-6)
    np.testing.assert_allclose(shape(times, jnp.array([10.0]))[-1], 15, atol=1e-6)
    fine = jnp.linspace(250.0, 350.0, 1001)
    fall = np.asarray(shape(fine, jnp.array([10.0]), jnp.array([300.0])))[:, 0]
    assert fall[500] == pytest.approx(-85 + 25, abs=1e-9)
    assert float(fine[np.argmin(np.gradient(fall))]) == pytest.approx(300 - 17.6, abs=0.2)


def test_derivatives_of_an_ecg_of_times_three_ways():
    rng = np.random.default_rng(2)
    field = transfer_lead_field(rng.normal(size=(9, 12)), names=ELECTRODES).twelve_leads()
    activation = jnp.asarray(rng.uniform(5, 60, 12)).at[3].set(jnp.inf)
    repolarisation = jnp.asarray(rng.uniform(260, 330, 12)).at[5].set(jnp.inf)
    times = jnp.linspace(0.0, 400.0, 50)

    @jax.jit
    def loss(theta):
        shape = ActionPotential(
            upstroke=theta[2], plateau_slope=theta[3], repolarisation_slope=theta[4]
        )
        seen = field.of_times(
            times, activation.at[0].add(theta[0]), repolarisation.at[1].add(theta[1]), shape
        )
        return jnp.sum(jnp.sin(seen / 50))

    theta = jnp.array([0.3, -0.2, 0.3, 0.02, 0.04])
    steps = 1e-6 * jnp.eye(5)
    finite = np.array([(loss(theta + s) - loss(theta - s)) / 2e-6 for s in steps])
    assert np.all(np.abs(finite) > 1e-4)
    np.testing.assert_allclose(jax.jacfwd(loss)(theta), finite, rtol=1e-5)
    np.testing.assert_allclose(jax.grad(loss)(theta), finite, rtol=1e-5)


def _beat(times, *, qrs=80.0, onset=200.0, t=0.3, axis=40.0):
    """A beat of known features: QRS is a raised cosine, T a wave about 330 ms later."""
    times = np.asarray(times)
    part = np.clip((times - onset) / qrs, 0, 1)
    deflection = np.sin(np.pi * part) ** 2
    wave = t * np.exp(-0.5 * ((times - onset - 330) / 25) ** 2)
    way = np.deg2rad(axis)
    left, down = np.cos(way), np.sin(way)
    i, avf = left, down * 3**0.5 / 2
    ii = avf + i / 2
    size = {"I": i, "II": ii, "III": ii - i, "aVR": -(i + ii) / 2, "aVL": i - ii / 2, "aVF": avf}
    size |= {"V1": -0.8, "V2": -0.3, "V3": 0.5, "V4": 1.2, "V5": 1.1, "V6": 0.8}
    return np.stack([size[lead] * (deflection + wave) for lead in LEADS])


TIMES = np.arange(0.0, 900.0)


@pytest.mark.parametrize(("qrs", "axis"), [(80.0, 40.0), (120.0, -60.0), (160.0, 170.0)])
def test_features_of_a_beat_that_is_known(qrs, axis):
    values = _beat(TIMES, qrs=qrs, axis=axis)
    found = ecg_features(TIMES, values)
    # A raised cosine begins and ends with slope 0: 5 % of the largest is passed 1.6 % later.
    assert found.qrs_onset == pytest.approx(200, abs=4 + 0.02 * qrs)
    assert found.qrs_duration == pytest.approx(qrs, abs=8)
    assert found.axis == pytest.approx(axis, abs=2)
    assert found.t_peak == pytest.approx(530, abs=3)
    # The tangent of a Gaussian at its steepest meets 0 two standard deviations after the peak.
    assert found.qt == pytest.approx(530 + 50 - 200, abs=6)
    assert found.t_amplitude["V4"] == pytest.approx(0.36, abs=0.01)
    assert found.r_amplitude["V4"] == pytest.approx(1.2, abs=0.02)
    assert found.s_amplitude["V1"] == pytest.approx(-0.8, abs=0.02)


def test_features_in_noise_and_without_a_t_wave():
    rng = np.random.default_rng(3)
    noisy = ecg_features(TIMES, _beat(TIMES, qrs=100.0) + 0.01 * rng.normal(size=(12, 900)))
    assert noisy.qrs_duration == pytest.approx(100, abs=15)
    assert noisy.qt == pytest.approx(380, abs=15)
    without = ecg_features(TIMES, _beat(TIMES, t=0.0))
    assert without.t_peak is without.t_end is without.qt is without.t_amplitude is None
    cut = ecg_features(TIMES[:555], _beat(TIMES[:555]))
    assert cut.t_peak is not None
    assert cut.qt is None
    limbs = ecg_features(TIMES, _beat(TIMES)[6:], LEADS[6:])
    assert limbs.axis is None
    with pytest.raises(ValueError, match="not finite"):
        ecg_features(TIMES, np.full((12, 900), np.nan))
    with pytest.raises(ValueError, match="no deflection"):
        ecg_features(TIMES, np.zeros((12, 900)))


def test_agreement_of_two_ecgs():
    one = _beat(TIMES)
    same = ecg_agreement(one, one)
    assert float(same.correlation) == pytest.approx(1)
    assert float(same.relative_error) < 1e-12
    half = ecg_agreement(0.5 * one, one)
    assert float(half.correlation) == pytest.approx(1)
    assert float(half.relative_error) == pytest.approx(0.5)
    assert float(half.rmse) == pytest.approx(0.5 * np.sqrt(np.mean(one**2)))
    flat = one.copy()
    flat[4] = 0.0
    assert float(ecg_agreement(flat, one).correlations[4]) == 0
    gradient = jax.grad(lambda x: ecg_agreement(x, one).relative_error)(jnp.asarray(flat))
    assert bool(jnp.isfinite(gradient).all())
    with pytest.raises(ValueError, match="do not compare"):
        ecg_agreement(one[:3], one)


def _record(rate=500.0, seconds=12.0, *, ectopic=True, seed=4):
    """Beats every 800 ms with drift and noise, one of them wide and early."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, 1000 * seconds, 1000 / rate)
    values = np.zeros((12, len(times)))
    starts = 100.0 + 800.0 * np.arange(int((1000 * seconds - 200) // 800))
    for k, start in enumerate(starts):
        if ectopic and k == 5:
            values -= 1.5 * _beat(times, onset=start - 250, qrs=170.0, t=0.0)
        else:
            values += _beat(times, onset=start)
    values += 0.2 * np.sin(2 * np.pi * 0.2 * times / 1000) + 0.01 * rng.normal(size=values.shape)
    return EcgRecord(times, values, LEADS)


def test_the_median_beat_of_a_record():
    beat = median_beat(_record())
    peak = 40.0  # of QRS after its onset
    expected = _beat(beat.times, onset=-peak)
    alike = ecg_agreement(beat.values, expected)
    assert float(alike.correlation) > 0.995
    assert float(alike.relative_error) < 0.12
    assert abs(float(beat.times[np.argmax(np.abs(beat.values[9]))])) <= 12
    assert "every 800 ms" in beat.source
    found = ecg_features(beat.times, beat.values, beat.leads)
    assert found.qrs_duration == pytest.approx(80, abs=10)
    assert found.axis == pytest.approx(40, abs=3)


def test_records_without_beats_are_refused():
    record = _record()
    flat = EcgRecord(record.times, 0 * record.values, record.leads)
    with pytest.raises(MeasurementError, match="beats were found"):
        median_beat(flat)
    short = EcgRecord(record.times[:500], record.values[:, :500], record.leads)
    with pytest.raises(MeasurementError, match="at least 2 s"):
        median_beat(short)


def test_csv_with_units(tmp_path):
    file = tmp_path / "ecg.csv"
    rows = ["time [s],i [mV],II [µV],V1 [mV],temperature [K]"]
    rows += [f"{0.002 * k:.3f},{0.1 * k},{500 * k},{-0.2 * k},300" for k in range(5)]
    file.write_text("\n".join(rows), encoding="utf-8")
    read = read_ecg(file)
    assert read.leads == ("I", "II", "III", "aVR", "aVL", "aVF", "V1")
    assert read.rate == pytest.approx(500)
    lead = dict(zip(read.leads, read.values, strict=True))
    np.testing.assert_allclose(lead["II"], 0.5 * np.arange(5), atol=1e-12)
    np.testing.assert_allclose(lead["III"], 0.4 * np.arange(5), atol=1e-12)
    np.testing.assert_allclose(lead["aVL"], -0.15 * np.arange(5), atol=1e-12)
    assert read.source.startswith("csv sha256:")


@pytest.mark.parametrize(
    ("header", "rows", "complaint"),
    [
        ("time,I", "0,1\n1,2", "has no unit"),
        ("time [ms],I [S]", "0,1\n1,2", "Lead I of"),
        ("time [mV],I [mV]", "0,1\n1,2", "The time of"),
        ("time [ms],X [mV]", "0,1\n1,2", "no standard lead"),
        ("time [ms],I [mV],i [mV]", "0,1,1\n1,2,2", "lead I twice"),
        ("time [ms],I [mV]", "0,1\n1,2\n5,2", "equal intervals"),
        ("time [ms],I [mV]", "0,1\n1,x", "row 2 is not 2 numbers"),
        ("time [ms],I [mV]", "0,1\n1,nan", "lacks 1 samples"),
        ("I [mV]", "1\n2", "needs one column 'time"),
        ("time [ms],I [mV]", "0,1", "at least two"),
    ],
)
def test_mistakes_in_csv_are_named(tmp_path, header, rows, complaint):
    file = tmp_path / "ecg.csv"
    file.write_text(f"{header}\n{rows}\n", encoding="utf-8")
    with pytest.raises(MeasurementError, match=complaint):
        read_ecg(file)


def test_a_record_of_a_patient(shared):
    """PTB s0010_re: 12 leads of 38 s at 1 kHz; right bundle branch block, inferolateral infarct."""
    pytest.importorskip("wfdb", reason="the extra formats is not installed")
    record = read_ecg(shared("data/ecg") / "s0010_re.hea")
    assert record.leads == LEADS
    assert record.values.shape == (12, 38400)
    lead = dict(zip(record.leads, record.values, strict=True))
    np.testing.assert_allclose(lead["I"] + lead["III"], lead["II"], atol=0.0011)
    beat = median_beat(record)
    assert beat.source.startswith("median of 51 beats of 51, every 733 ms")
    found = ecg_features(beat.times, beat.values, beat.leads)
    assert 110 < found.qrs_duration < 150
    assert 400 < found.qt < 480
    assert found.t_amplitude["III"] < -0.2
    with pytest.raises(MeasurementError, match="not a readable WFDB record"):
        read_ecg(shared("data/ecg") / "LICENSE")
