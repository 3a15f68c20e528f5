"""Markov schemes: a step keeps their sum, is of second order and does not mind fast transitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from twinjax.cells import CipaV1
from twinjax.cells._markov import markov, occupancies


@pytest.fixture(scope="module")
def scheme():
    """A state of hERG with a drug, its transitions, and the fields they connect."""
    cell = CipaV1(concentration=5.0, k_max=30.0, k_u=2e-3, n=0.8, half_max=50.0, v_half=-40.0)
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(v=jnp.asarray(-20.0))
    transitions = cell.rates(state, 0.0).o.transitions
    return state, transitions, sorted({name for pair in transitions for name in pair})


def matrix(transitions, names):
    """A of dx/dt = A x."""
    a = np.zeros((len(names), len(names)))
    for (origin, target), rate in transitions.items():
        i, j = names.index(origin), names.index(target)
        a[j, i] += float(rate)
        a[i, i] -= float(rate)
    return a


def test_slopes_are_those_of_the_transition_matrix(scheme):
    state, transitions, names = scheme
    slopes = markov(state, transitions)
    before = np.array([float(getattr(state, name)) for name in names])
    expected = matrix(transitions, names) @ before
    ours = np.array([float(slopes[name].slope) for name in names])
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-18)


def test_a_step_converges_with_the_third_power_of_its_length(scheme):
    state, transitions, names = scheme
    errors = []
    before = np.array([float(getattr(state, name)) for name in names])
    for length in (4e-3, 2e-3):
        after = occupancies(state, transitions, length)
        expected = scipy.linalg.expm(matrix(transitions, names) * length) @ before
        errors.append(max(abs(float(after[n]) - e) for n, e in zip(names, expected, strict=True)))
    assert errors[0] / errors[1] == pytest.approx(8.0, rel=0.05)


@pytest.mark.parametrize("length", [1e-3, 1.0, 1e4])
def test_a_step_keeps_the_sum(scheme, length):
    state, transitions, names = scheme
    after = occupancies(state, transitions, length)
    before = sum(float(getattr(state, name)) for name in names)
    assert sum(map(float, after.values())) == pytest.approx(before, rel=1e-14)


def test_a_long_step_reaches_the_equilibrium(scheme):
    state, transitions, names = scheme
    after = occupancies(state, transitions, 1e14)
    (expected,) = scipy.linalg.null_space(matrix(transitions, names)).T
    expected *= sum(float(getattr(state, name)) for name in names) / expected.sum()
    for name, value in zip(names, expected, strict=True):
        assert float(after[name]) == pytest.approx(value, rel=1e-6), name
