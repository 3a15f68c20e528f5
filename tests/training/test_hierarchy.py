"""Cohorts drawn from known populations, on a simulator that is a formula."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from training.calibrate import Descent, Problem, each_person
from training.hierarchy import (
    Population,
    estimate_population,
    find_modes,
    populations_without,
    predict_quantity,
    shrink,
)
from twinjax import RESULTS, AbstractSimulator, Observations, ParameterSpace, Prior, parameter

NAMES = ("first", "second", "both", "power")
SDS = np.array([0.5, 0.5, 0.5, 0.7])
CENTRE = np.array([0.8, -0.5, 0.3])
COVARIANCE = np.array([[0.5, 0.35, 0.0], [0.35, 0.6, -0.2], [0.0, -0.2, 0.8]])


class Toy(eqx.Module):
    """Three parameters, normal in themselves."""

    a: Array = parameter(0.0, unit="1", bounds=(-9, 9), prior=Prior.normal(0, 1), cite="exact")
    b: Array = parameter(0.0, unit="1", bounds=(-9, 9), prior=Prior.normal(0, 1), cite="exact")
    c: Array = parameter(0.0, unit="1", bounds=(-9, 9), prior=Prior.normal(0, 1), cite="exact")


class Formula(AbstractSimulator):
    """`curvature` zero is linear; it fails where the first parameter is above 5."""

    space: ParameterSpace
    curvature: Array

    def __call__(self, theta: Array) -> Observations:
        a, b, c = theta
        scalars = {
            "first": a,
            "second": b + c,
            "both": a + b,
            "power": jnp.exp(self.curvature * c) * (1 + c),
        }
        result = jnp.where(a > 5, int(RESULTS.nonfinite), int(RESULTS.successful))
        return Observations(scalars, {}, result)


def simulator(curvature: float = 0.2) -> Formula:
    return Formula(ParameterSpace(Toy(), ("a", "b", "c")), jnp.asarray(curvature))


def problem(values: np.ndarray, sds: np.ndarray, formula: Formula) -> Problem:
    values, sds = jnp.asarray(values), jnp.asarray(sds)
    return Problem(formula, NAMES, values, sds, (), jnp.zeros(3), jnp.eye(3))


def cohort(count: int, formula: Formula, seed: int = 0) -> tuple[np.ndarray, list[Problem]]:
    """True z (count, 3), and problems with errors and one value in five missing."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(CENTRE, COVARIANCE, size=count)
    scalars = jax.vmap(formula)(jnp.asarray(z)).scalars
    exact = np.stack([scalars[name] for name in NAMES], axis=1)
    values = exact + SDS * rng.normal(size=exact.shape)
    gone = rng.random(values.shape) < 0.2
    values, sds = np.where(gone, np.nan, values), np.where(gone, np.inf, SDS)
    return z, [problem(y, s, formula) for y, s in zip(values, sds, strict=True)]


@pytest.fixture(scope="module")
def curved() -> tuple[np.ndarray, list[Problem], Population]:
    z, problems = cohort(200, simulator())
    return z, problems, estimate_population(problems, weight=1.0, tolerance=1e-3, rounds=60)


def test_modes_of_a_linear_model_are_exact():
    _, problems = cohort(20, simulator(0.0))
    prior = Population(jnp.asarray(CENTRE), jnp.asarray(COVARIANCE))
    modes = find_modes([shrink(p, prior) for p in problems])
    design = np.array([[1.0, 0, 0], [0, 1, 1], [1, 1, 0], [0, 0, 1]])
    offset = np.array([0.0, 0, 0, 1])
    for p, mode in zip(problems, modes, strict=True):
        told = np.isfinite(p.sds)
        weighted = design[told] / np.asarray(p.sds)[told, None] ** 2
        covariance = np.linalg.inv(weighted.T @ design[told] + np.linalg.inv(COVARIANCE))
        data = weighted.T @ (np.asarray(p.values) - offset)[told]
        z = covariance @ (data + np.linalg.solve(COVARIANCE, CENTRE))
        assert mode.converged
        np.testing.assert_allclose(mode.z, z, atol=1e-7)
        np.testing.assert_allclose(mode.covariance, covariance, atol=1e-7)


def test_modes_agree_with_those_of_one_person_at_a_time(curved):
    _, problems, _ = curved
    for p, mode in zip(problems[:5], find_modes(problems[:5]), strict=True):
        _, cost, converged = eqx.filter_jit(Descent(p))(p.centre)
        assert converged
        assert mode.converged
        assert mode.cost == pytest.approx(float(cost), abs=1e-3)


def test_the_population_is_recovered(curved):
    z, _, found = curved
    # The truth of the 200 who were drawn, themselves within 1/sqrt(200) of the population.
    np.testing.assert_allclose(found.centre, np.mean(z, axis=0), atol=0.12)
    np.testing.assert_allclose(found.covariance, np.cov(z.T), atol=0.2)
    correlation = found.covariance[0, 1] / np.sqrt(found.covariance[0, 0] * found.covariance[1, 1])
    assert correlation > 0.3


def test_the_population_is_where_plain_em_stands_still(curved):
    _, problems, found = curved
    modes = find_modes([shrink(p, found) for p in problems])
    z = np.array([mode.z for mode in modes])
    away = z - np.asarray(found.centre)
    spread = np.sum([mode.covariance for mode in modes], axis=0)
    covariance = (np.eye(3) + spread + away.T @ away) / (len(z) + 1)
    known = len(z) * np.linalg.inv(found.covariance)
    centre = np.linalg.solve(known + np.eye(3), known @ np.mean(z, axis=0))
    np.testing.assert_allclose(found.centre, centre, atol=5e-3)
    np.testing.assert_allclose(found.covariance, covariance, atol=5e-3)


def test_shrinkage_brings_persons_nearer_to_the_truth(curved):
    z, problems, found = curved
    errors = {}
    for what, people in (("alone", problems), ("cohort", [shrink(p, found) for p in problems])):
        modes = np.array([mode.z for mode in find_modes(people)])
        errors[what] = np.sqrt(np.mean((modes - z) ** 2))
    assert errors["cohort"] < 0.95 * errors["alone"], errors


def test_few_persons_stay_near_the_literature():
    _, problems = cohort(2, simulator())
    strong = estimate_population(problems, weight=1e6)
    np.testing.assert_allclose(strong.centre, 0.0, atol=1e-4)
    np.testing.assert_allclose(strong.covariance, np.eye(3), atol=1e-4)
    default = estimate_population(problems)
    assert np.linalg.eigvalsh(default.covariance)[0] > 0.3


def test_a_person_whose_simulation_fails_changes_nothing_for_others():
    _, problems = cohort(30, simulator())
    broken = problems[0].with_prior(jnp.array([6.0, 0.0, 0.0]), jnp.eye(3))
    modes = find_modes([broken, *problems])
    assert not modes[0].converged
    assert np.isinf(modes[0].cost)
    assert all(mode.converged for mode in modes[1:])
    alone = estimate_population(problems)
    together = estimate_population([*problems[:10], broken, *problems[10:]])
    np.testing.assert_allclose(together.centre, alone.centre, atol=1e-9)
    np.testing.assert_allclose(together.covariance, alone.covariance, atol=1e-9)
    with pytest.raises(ValueError, match="no simulation succeeds for anyone"):
        estimate_population([broken, broken])


def test_steps_into_failure_are_taken_back():
    # The data ask for a first parameter of 20, but above 5 the simulation fails.
    far = problem(np.array([20.0, 0, 0, 0]), np.array([0.5, 5, 5, 5]), simulator())
    (mode,) = find_modes([far])
    assert np.isfinite(mode.cost)
    assert 4.0 < mode.z[0] <= 5.0


def test_leaving_a_group_out_uses_nothing_of_it():
    _, problems = cohort(24, simulator())
    groups = np.repeat([3, 5, 9], 8)
    found = populations_without(problems, groups)
    assert list(found) == [3, 5, 9]
    rest = [p for p, g in zip(problems, groups, strict=True) if g != 5]
    alone = estimate_population(rest)
    np.testing.assert_allclose(found[5].centre, alone.centre, atol=1e-9)
    np.testing.assert_allclose(found[5].covariance, alone.covariance, atol=1e-9)
    # Whatever the left out say, their own population is the same.
    other = [eqx.tree_at(lambda q: q.values, p, p.values + 3) for p in problems[8:16]]
    again = populations_without([*problems[:8], *other, *problems[16:]], groups)
    np.testing.assert_allclose(again[5].centre, found[5].centre, atol=1e-9)
    assert np.max(np.abs(again[3].centre - found[3].centre)) > 0.1
    with pytest.raises(ValueError, match="at least two groups"):
        populations_without(problems, np.zeros(24, dtype=int))


def test_the_interval_of_a_quantity_left_out():
    formula = simulator(0.0)
    hidden = problem(
        np.array([1.0, np.nan, np.nan, np.nan]), np.array([1.0, *[np.inf] * 3]), formula
    )
    prior = Population(jnp.asarray(CENTRE), jnp.asarray(COVARIANCE))
    (mode,) = find_modes([shrink(hidden, prior)])
    mean, sd = predict_quantity(hidden, mode, "both", discrepancy=0.1)
    gain = COVARIANCE[:, 0] / (COVARIANCE[0, 0] + 1)
    z = CENTRE + gain * (1.0 - CENTRE[0])
    left = COVARIANCE - np.outer(gain, COVARIANCE[0])
    assert mean == pytest.approx(z[0] + z[1], abs=1e-7)
    row = np.array([1.0, 1, 0])
    assert sd == pytest.approx(np.sqrt(row @ left @ row + (0.1 * mean) ** 2), abs=1e-7)
    with pytest.raises(ValueError, match="unknown quantity 'bothh'; did you mean 'both'"):
        predict_quantity(hidden, mode, "bothh")


def test_each_person_runs_as_alone():
    formulas = [simulator(0.1 * i) for i in range(5)]
    inputs = [np.array([0.1 * i, 0.2, 0.3]) for i in range(5)]
    for simulators in (formulas, formulas[2:3] * 5):
        people = [problem(np.arange(4.0) + i, SDS, s) for i, s in enumerate(simulators)]
        together = each_person(_residuals, people, inputs, chunk=2)
        for p, z, found in zip(people, inputs, together, strict=True):
            np.testing.assert_allclose(found, p.residuals(jnp.asarray(z)), rtol=1e-12)
    with pytest.raises(ValueError, match="there is no problem to run"):
        each_person(_residuals, [])


def _residuals(p: Problem, z: Array) -> Array:
    return p.residuals(z)
