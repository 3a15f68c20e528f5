"""Samplers against posteriors that are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from tests.training._analytic import QUANTITIES, measured, pump
from tests.training.test_calibrate import exact
from training._emulate import feature_count, fit_emulator
from training.calibrate import find_mode, problem_of
from training.infer import SAMPLERS, importance, sample_posterior


@pytest.fixture(scope="module")
def linear():
    problem = problem_of(pump(), measured(), names=QUANTITIES, discrepancy=0.0)
    return problem, find_mode(problem, jnp.zeros((1, 3)))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_draws_the_exact_posterior(linear, sampler):
    posterior = sample_posterior(*linear, sampler=sampler, draws=2000, seed=1)
    mean, covariance = exact(np.array([7.5, 95.0]), np.array([0.5, 8.0]))
    sd = np.sqrt(np.diag(covariance))
    # 2,000 draws, of NUTS at least 1,000 effective: an error of the mean of 0.032 SD, times 4.
    assert np.allclose(np.mean(posterior.z, axis=0), mean, atol=0.13 * sd)
    assert np.allclose(np.std(posterior.z, axis=0), sd, rtol=0.1)
    assert posterior.z.shape == (2000, 3)


def test_a_bent_posterior_is_corrected_by_the_simulator():
    problem = problem_of(pump(bend=2.0), measured(pressure=140.0), discrepancy=0.0)
    mode = find_mode(problem, jnp.zeros((1, 3)))
    posterior = sample_posterior(problem, mode, draws=4000, seed=2)
    # The exact marginals of a and b by quadrature; c is independent.
    z = np.linspace(-6, 6, 401)
    a, b = 5 + z[:, None], 20 + 5 * z[None, :]
    density = np.exp(
        -0.5 * ((a + 0.1 * b - 7.5) / 0.5) ** 2
        - 0.5 * ((4 * b + a + 2 * a * b - 140.0) / 8.0) ** 2
        - 0.5 * (z[:, None] ** 2 + z[None, :] ** 2)
    )
    density /= density.sum()
    for axis, marginal in ((0, density.sum(axis=1)), (1, density.sum(axis=0))):
        mean = np.sum(z * marginal)
        sd = np.sqrt(np.sum(z**2 * marginal) - mean**2)
        assert np.mean(posterior.z[:, axis]) == pytest.approx(mean, abs=0.1 * sd)
        assert np.std(posterior.z[:, axis]) == pytest.approx(sd, rel=0.1)
    assert posterior.diagnostics["pareto_k"] < 0.7
    assert posterior.diagnostics["rhat"] < 1.02


def test_no_draw_is_kept_where_the_model_fails():
    problem = problem_of(pump(breaks_at=5.2), measured(), discrepancy=0.0)
    mode = find_mode(problem, jnp.array([[-1.0, 0.0, 0.0]]))
    posterior = sample_posterior(problem, mode, draws=400, seed=3)
    assert np.all(posterior.observations.result == 0)
    assert np.all(5 + posterior.z[:, 0] <= 5.2)


def test_an_unknown_sampler_is_refused(linear):
    with pytest.raises(ValueError, match="unknown sampler 'gibbs'; valid choices: emulator"):
        sample_posterior(*linear, sampler="gibbs")


def test_importance_weights_and_their_warning():
    weights, k = importance(np.zeros(500))
    assert np.allclose(weights, 1 / 500)
    assert k == 0.0
    rng = np.random.default_rng(0)
    # Ratios with a Pareto tail of shape 1.5 have no mean; of shape 0.2 they do.
    _, heavy = importance(1.5 * rng.exponential(size=4000))
    _, light = importance(0.2 * rng.exponential(size=4000))
    assert heavy > 0.9
    assert light < 0.5


def test_emulator_is_exact_for_a_power_law_and_says_its_error_otherwise():
    rng = np.random.default_rng(0)
    w = rng.normal(size=(60, 2))
    exact_law = np.exp(0.3 * w[:, :1] - 0.2 * w[:, 1:] + 0.1 * w[:, :1] * w[:, 1:])
    rough = np.sin(3 * w[:, :1])
    emulator = fit_emulator(np.zeros(2), np.eye(2), w, np.concatenate([exact_law, rough], axis=1))
    at = jnp.array([0.4, -0.7])
    assert emulator(at)[0] == pytest.approx(np.exp(0.12 + 0.14 - 0.028), rel=1e-5)
    assert emulator.variance[0] < 1e-8
    assert emulator.variance[1] > 0.05


def test_emulator_needs_enough_successful_simulations():
    w = np.random.default_rng(0).normal(size=(20, 3))
    y = np.where(np.arange(20)[:, None] < 12, np.nan, 1.0)
    with pytest.raises(ValueError, match=f"with {feature_count(3)} coefficients"):
        fit_emulator(np.zeros(3), np.eye(3), w, y)
