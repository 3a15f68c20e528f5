"""Cells set off by activation times: what they do, when, and derivatives three ways."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import (
    Fabbri2017,
    LuoRudy1991,
    MitchellSchaeffer2003,
    RushLarsen,
    beat_grid,
    pace,
)
from twinjax.electro import action_potentials

TIMES = jnp.arange(0.0, 500.0, 5.0)


def test_every_node_crosses_the_threshold_when_the_front_arrives():
    cell = LuoRudy1991()
    activation = jnp.array([0.0, 17.3, 60.0, jnp.inf])
    fine = activation[1] + jnp.array([-1.0, -1e-3, 1e-3, 1.0])
    seen = action_potentials(cell, activation, fine)
    before, just_before, just_after, after = seen.potentials[:, 1]
    assert before < just_before < -40.0 < just_after < after
    alone = pace(cell, grid=beat_grid(600.0, cell.about.stimulus[1])).observations["v"]
    np.testing.assert_allclose(seen.potentials[:, 3], alone[0])  # never reached: at rest
    duration = seen.repolarisation - activation
    np.testing.assert_allclose(duration[:3], duration[0])
    assert 300 < duration[0] < 400
    assert np.isinf(seen.repolarisation[3])


def test_each_node_has_its_own_parameters():
    cell = MitchellSchaeffer2003()
    factors = jnp.array([1.0, 1.2, 0.8])
    mixed = eqx.tree_at(lambda c: c.tau_close, cell, cell.tau_close * factors)
    activation = jnp.array([3.0, 8.0, 12.0])
    seen = action_potentials(mixed, activation, TIMES)
    for i, factor in enumerate(factors):
        one = eqx.tree_at(lambda c: c.tau_close, cell, cell.tau_close * factor)
        alone = action_potentials(one, activation[i : i + 1], TIMES)
        np.testing.assert_allclose(seen.potentials[:, i], alone.potentials[:, 0], atol=1e-9)
        np.testing.assert_allclose(seen.repolarisation[i], alone.repolarisation[0])
    assert seen.state.v.shape == (3,)


def test_the_scheme_is_the_callers():
    cell, activation = LuoRudy1991(), jnp.array([5.0])
    first, second = (
        action_potentials(cell, activation, TIMES, scheme=scheme) for scheme in (RushLarsen(), None)
    )
    difference = float(jnp.max(jnp.abs(first.potentials - second.potentials)))
    assert 1e-6 < difference < 2.0


def test_derivatives_three_ways():
    cell = MitchellSchaeffer2003()
    factors = jnp.array([1.0, 1.1, 0.9])

    @jax.jit
    def seen(x):
        mixed = eqx.tree_at(lambda c: c.tau_close, cell, x[0] * factors)
        found = action_potentials(mixed, x[1:], TIMES)
        potentials = 1e-4 * jnp.sum(found.potentials**2)
        return jnp.stack([found.repolarisation[1], jnp.sum(found.repolarisation), potentials])

    x = jnp.array([150.0, 0.3, 10.3, 51.2])
    forward, reverse = jax.jacfwd(seen)(x), jax.jacrev(seen)(x)
    np.testing.assert_allclose(reverse, forward, rtol=1e-9, atol=1e-12)
    columns = [(seen(x + c) - seen(x - c)) / 2e-5 for c in 1e-5 * np.eye(len(x))]
    np.testing.assert_allclose(np.stack(columns, axis=1), forward, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(forward[0, 1:], [0.0, 1.0, 0.0], atol=1e-12)
    assert (np.abs(forward[2]) > 0.01).all()


def test_bad_input_is_refused():
    cell = MitchellSchaeffer2003()
    with pytest.raises(ValueError, match="give a grid with a stimulus"):
        action_potentials(Fabbri2017(), jnp.zeros(2), TIMES)
    mixed = eqx.tree_at(lambda c: c.tau_close, cell, jnp.full(3, 150.0))
    with pytest.raises(ValueError, match="one a node"):
        action_potentials(mixed, jnp.zeros(2), TIMES)
    with pytest.raises(Exception, match="raise the amplitude"):
        action_potentials(cell, jnp.zeros(2), TIMES, amplitude=0.0)
