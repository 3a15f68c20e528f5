"""Finite differences, forward and reverse mode agree, on small problems.

An activation time bends where its crossing moves into another step, and jumps a little where
a potential at which rates change form does. So differences are taken over so small a change that
neither happens.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import LuoRudy1991
from twinjax.electro import Stimulus, Tissue, propagate, slab


def _problem(mass):
    tissue = Tissue(slab((3.0, 0.5), 0.25), LuoRudy1991(), fibres=np.array([0.9, 0.3]), mass=mass)
    return tissue, Stimulus(tissue.grid.points[:, 0] < 0.6, -50.0)


def _agree(function, x, change):
    forward = jax.jacfwd(function)(x)
    reverse = jax.jit(jax.grad(function))(x)
    f = jax.jit(function)
    difference = (f(x * (1 + change)) - f(x * (1 - change))) / (2 * change * x)
    assert abs(float(forward)) > 0
    assert float(reverse) == pytest.approx(float(forward), rel=1e-9)
    assert float(difference) == pytest.approx(float(forward), rel=1e-4)


@pytest.mark.parametrize(
    ("mass", "field"), [("lumped", "conductivity_along"), ("blended", "conductivity_across")]
)
def test_activation_by_a_conductivity(mass, field):
    tissue, stimulus = _problem(mass)

    def last(sigma):
        t = eqx.tree_at(lambda t: getattr(t, field), tissue, sigma)
        done = propagate(t, [stimulus], duration=8.0, step=0.05, substeps=2)
        return done.observations.activation[-1]

    _agree(last, getattr(tissue, field), 1e-5)


def test_action_potential_duration_by_a_conductance():
    tissue, stimulus = _problem("blended")
    ahead = propagate(tissue, [stimulus], duration=12.0, step=0.05)
    assert np.isfinite(ahead.observations.activation).all()

    def duration(g):
        t = eqx.tree_at(lambda t: t.cells[0].g_k, tissue, g)
        seen = propagate(t, [stimulus], duration=420.0, step=0.1, substeps=2).observations
        return seen.repolarisation[-1] - seen.activation[-1]

    _agree(duration, tissue.cells[0].g_k, 1e-6)


def test_reverse_mode_keeps_few_states():
    """What a backward pass holds grows with the root of the number of steps, not with it."""
    tissue, stimulus = _problem("lumped")

    def held(duration):
        def total(sigma):
            t = eqx.tree_at(lambda t: t.conductivity_along, tissue, sigma)
            done = propagate(t, [stimulus], duration=duration, step=0.05, substeps=1)
            return jnp.sum(done.state[0].v)

        compiled = jax.jit(jax.grad(total)).lower(tissue.conductivity_along).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert held(320.0) < 6 * held(20.0)
