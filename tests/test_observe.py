import jax.numpy as jnp
import numpy as np
import pytest

from tests._problems import TwoReservoirs
from twinjax import equilibrate
from twinjax.observables import WAVEFORMS
from twinjax.observe import indices, peak, resample

N = 400
PHASE = np.arange(N + 1) / N
PERIOD = jnp.asarray(0.8)
FILLING = (jnp.asarray(0.34), jnp.asarray(0.83))


def wave(mean, swing, at=0.3137):
    """A cosine whose top lies between two samples."""
    return jnp.asarray(mean + swing * np.cos(2 * np.pi * (PHASE - at)))


def bump(height, at, width=0.03):
    return height * np.exp(-0.5 * ((PHASE - at) / width) ** 2)


@pytest.fixture(scope="module")
def found():
    waves = {name: wave(10.0, 1.0) for name in WAVEFORMS}
    waves["systemic_arteries.pressure"] = wave(95.0, 21.0)
    waves["pulmonary_arteries.pressure"] = wave(15.0, 7.0)
    waves["right_atrium.pressure"] = wave(5.0, 1.0)
    waves["left_atrium.pressure"] = wave(9.0, 2.0)
    waves["left_ventricle.pressure"] = wave(60.0, 50.0, at=0.0)
    waves["left_ventricle.volume"] = wave(100.0, 35.0, at=-0.25)
    waves["right_ventricle.volume"] = wave(120.0, 40.0)
    waves["mitral.flow"] = jnp.asarray(bump(600.0, 0.5013) + bump(400.0, 0.9021))
    return {k: float(v) for k, v in indices(waves, PERIOD, FILLING).items()}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("heart_rate", 75.0),
        ("systolic_blood_pressure", 116.0),
        ("diastolic_blood_pressure", 74.0),
        ("mean_arterial_pressure", 95.0),
        ("pulmonary_systolic_pressure", 22.0),
        ("pulmonary_diastolic_pressure", 8.0),
        ("pulmonary_mean_pressure", 15.0),
        ("right_atrial_pressure", 5.0),
        ("pulmonary_wedge_pressure", 9.0),
        ("lv_end_diastolic_volume", 135.0),
        ("lv_end_systolic_volume", 65.0),
        ("lv_stroke_volume", 70.0),
        ("lv_ejection_fraction", 100 * 70 / 135),
        ("rv_ejection_fraction", 50.0),
        ("cardiac_output", 5.25),
        ("left_ventricular_end_diastolic_pressure", 110.0),
        ("lv_stroke_work", np.pi * 50 * 35),
        ("lv_dpdt_max", 50 * 2 * np.pi / 0.8),
        ("mitral_e_to_a_ratio", 1.5),
        # 1 mmHg·min/L is 79.993 dyn·s/cm5 with 1 mmHg = 1333.22 dyn/cm².
        ("systemic_vascular_resistance", 79.993 * 90.0 / 5.25),
        ("pulmonary_vascular_resistance", 79.993 * 6.0 / 5.25),
    ],
)
def test_indices_of_made_up_waveforms(found, name, value):
    assert found[name] == pytest.approx(value, rel=1e-4)


def test_the_parabola_is_far_better_than_the_samples():
    coarse = np.arange(40) / 40
    y = jnp.asarray(np.cos(2 * np.pi * (coarse - 0.2625)))
    assert 1 - float(jnp.max(y)) > 3e-3  # the top lies midway between two samples
    assert abs(1 - float(peak(y))) < 5e-5


def test_the_top_may_lie_at_the_seam_of_the_beat():
    y = np.cos(2 * np.pi * (np.arange(40) / 40 - 0.99))
    assert float(peak(jnp.asarray(y))) == pytest.approx(1.0, abs=5e-5)


def test_a_masked_edge_is_taken_as_it_is():
    y = jnp.arange(10.0)
    assert float(peak(y, jnp.arange(10) < 5)) == 4.0


@pytest.mark.parametrize("samples", [25, 100, 32])
def test_waveforms_are_sampled_at_equal_phases(samples):
    """At nodes exactly, between them linearly, whatever the numbers of steps and samples."""
    nodes = equilibrate(TwoReservoirs(), steps_per_beat=100).observations["first.volume"]
    expected = np.interp(np.arange(samples) / samples, np.arange(101) / 100, nodes)
    np.testing.assert_allclose(resample(nodes, samples), expected, rtol=1e-13)
