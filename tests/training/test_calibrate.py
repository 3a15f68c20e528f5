"""Calibration on a problem with a known answer, and its gradient on the real one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.training._analytic import QUANTITIES, measured, pump
from training._waves import Wave, align
from training.calibrate import find_mode, identifiability, problem_of, starting_points
from twinjax import BeatSimulator, ParameterSpace
from twinjax.heart import ClosedLoop
from twinjax.io import Measurement, Measurements, waveform

# d predicted / dz of the linear pump: z is (theta - mean) / SD.
SLOPE = np.array([[1.0, 0.5, 0.0], [1.0, 20.0, 0.0]])
CENTRE = np.array([7.0, 85.0])


def exact(data, sds):
    """Mean and covariance of the posterior of the linear pump."""
    precision = np.eye(3) + SLOPE.T @ np.diag(1 / sds**2) @ SLOPE
    covariance = np.linalg.inv(precision)
    return covariance @ SLOPE.T @ ((data - CENTRE) / sds**2), covariance


def test_mode_and_covariance_of_a_linear_problem_are_exact():
    problem = problem_of(pump(), measured(), names=QUANTITIES, discrepancy=0.0)
    mode = find_mode(problem, starting_points(jax.random.key(0), 3, 3))
    mean, covariance = exact(np.array([7.5, 95.0]), np.array([0.5, 8.0]))
    assert np.allclose(mode.z, mean, atol=1e-4)
    assert np.allclose(mode.covariance, covariance, rtol=1e-6)
    assert bool(mode.converged)


def test_discrepancy_is_added_in_quadrature():
    problem = problem_of(pump(), measured(), names=QUANTITIES, discrepancy=0.1)
    assert np.allclose(problem.sds, [np.hypot(0.5, 0.75), np.hypot(8.0, 9.5)])


def test_a_quantity_that_was_not_measured_says_nothing():
    only_flow = Measurements(measured().entries[:1])
    problem = problem_of(pump(), only_flow, names=QUANTITIES, discrepancy=0.0)
    mode = find_mode(problem, jnp.zeros((1, 3)))
    slope = SLOPE[:1]
    covariance = np.linalg.inv(np.eye(3) + slope.T @ slope / 0.25)
    assert np.allclose(mode.covariance, covariance, rtol=1e-6)
    assert np.isfinite(mode.cost)


def test_derived_measurements_are_not_fitted():
    entries = (*measured().entries, Measurement("heart_rate", 70.0, 3.0, "ecg", derived=True))
    assert set(problem_of(pump(), Measurements(entries)).names) == set(QUANTITIES)


def test_nothing_to_fit_is_refused():
    with pytest.raises(ValueError, match="no measurement to fit"):
        problem_of(pump(), Measurements())


def test_identifiability_finds_the_silent_parameter():
    problem = problem_of(pump(), measured(), names=QUANTITIES, discrepancy=0.0)
    mode = find_mode(problem, jnp.zeros((1, 3)))
    directions = identifiability(problem, mode, ("a", "b", "c"))
    assert directions[-1].weights == {"c": pytest.approx(1.0)}
    assert directions[-1].shrinkage == pytest.approx(1.0)
    assert directions[0].fixed
    eigenvalues = np.linalg.eigvalsh(SLOPE.T @ np.diag([4.0, 1 / 64]) @ SLOPE)
    expected = np.sort(1 / np.sqrt(1 + np.maximum(eigenvalues, 0)))
    assert np.allclose([d.shrinkage for d in directions], expected)


def test_another_prior_moves_the_mode_to_it():
    problem = problem_of(pump(), measured(), names=QUANTITIES, discrepancy=0.0)
    tight = problem.with_prior(jnp.array([1.0, -1.0, 2.0]), 1e-6 * jnp.eye(3))
    mode = find_mode(tight, jnp.zeros((1, 3)))
    assert np.allclose(mode.z, [1.0, -1.0, 2.0], atol=0.01)


def test_a_start_where_the_model_fails_loses():
    problem = problem_of(pump(breaks_at=7.0), measured(), discrepancy=0.0)
    mode = find_mode(problem, jnp.array([[3.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert np.isfinite(mode.cost)
    with pytest.raises(ValueError, match="fails at every starting point"):
        find_mode(problem, jnp.array([[3.0, 0.0, 0.0]]))


def _wave(shift):
    phase = np.arange(200) / 200
    values = 90 + 20 * np.sin(2 * np.pi * (phase - shift)) + 6 * np.cos(4 * np.pi * (phase - shift))
    return waveform("systemic_arteries.pressure", phase * 0.8, values, sd=2.0, period=0.8)


@pytest.mark.parametrize("shift", [0.0, 0.137, 0.62])
def test_a_waveform_is_compared_whenever_it_arrived(shift):
    wave = Wave.of(_wave(shift), 32, 0.0)
    problem = problem_of(pump(), Measurements(waveforms=(_wave(shift),)), discrepancy=0.0)
    # Pressure 90 is predicted at b = 21.25.
    predicted, _ = problem.predict(jnp.array([0.0, 0.25, 0.0]))
    assert np.allclose(predicted, wave.values, atol=0.1)
    # Ten independent samples, not 32: the SD of the mean is 2 / sqrt(10).
    assert np.sqrt(1 / np.sum(1 / np.asarray(wave.sds) ** 2)) == pytest.approx(2 / np.sqrt(10))


def test_the_shift_does_not_enter_the_gradient():
    wave = Wave.of(_wave(0.137), 32, 0.0)
    phase = jnp.arange(32) / 32

    def misfit(amplitude):
        simulated = 88 + amplitude * jnp.sin(2 * jnp.pi * phase) + 5 * jnp.cos(4 * jnp.pi * phase)
        return jnp.sum((align(simulated, wave) - wave.values) ** 2)

    step = 1e-3
    difference = (misfit(18.0 + step) - misfit(18.0 - step)) / (2 * step)
    assert jax.grad(misfit)(18.0) == pytest.approx(float(difference), rel=1e-3)


@pytest.mark.slow  # compiles for half a minute; so does the experiment on such gradients
def test_gradient_of_the_log_posterior_through_the_periodic_beat():
    model = ClosedLoop()
    names = ("heart_rate", "left_ventricle.active_elastance", "systemic_arteries.resistance")
    simulator = BeatSimulator(model, ParameterSpace(model, names), steps_per_beat=400)
    data = Measurements(
        (
            Measurement("systolic_blood_pressure", 125.0, 5.0, "cuff"),
            Measurement("lv_ejection_fraction", 61.0, 5.0, "cmr"),
        )
    )
    problem = problem_of(simulator, data)
    z = jnp.array([0.3, -0.4, 0.5])
    density = jax.jit(lambda z: problem.log_density(z))
    reverse = jax.jit(jax.grad(problem.log_density))(z)
    forward = jax.jit(jax.jacfwd(problem.log_density))(z)
    step = 1e-5
    difference = np.array(
        [(density(z + step * e) - density(z - step * e)) / (2 * step) for e in np.eye(3)]
    )
    assert np.allclose(reverse, forward, rtol=1e-8)
    assert np.allclose(reverse, difference, rtol=1e-5)
