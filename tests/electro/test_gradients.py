"""Finite differences, forward and reverse mode agree; reverse mode keeps few states.

An activation time bends where its crossing moves into another step, and jumps a little where
a potential at which rates change form does. So differences are taken over so small a change that
neither happens.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from twinjax.cells import LuoRudy1991, MitchellSchaeffer2003
from twinjax.electro import Stimulus, Tissue, propagate, slab


def test_activation_and_duration_by_conductivities_and_a_conductance():
    grid = slab((2.0, 0.5), 0.25)
    tissue = Tissue(grid, LuoRudy1991(), fibres=np.array([0.9, 0.3]), mass="blended")
    stimulus = Stimulus(grid.points[:, 0] < 0.6, -50.0)

    def chosen(t):
        return [t.conductivity_along, t.conductivity_across, t.cells[0].g_k]

    @jax.jit
    def seen(values):
        t = eqx.tree_at(chosen, tissue, list(values))
        times = propagate(t, [stimulus], duration=420.0, step=0.1, substeps=2).observations
        return jnp.stack([times.activation[-1], times.repolarisation[-1] - times.activation[-1]])

    values = jnp.stack(chosen(tissue))
    activation, duration = seen(values)
    assert 2 < activation < 10
    assert 200 < duration < 400
    forward, reverse = jax.jacfwd(seen)(values), jax.jacrev(seen)(values)
    np.testing.assert_allclose(reverse, forward, rtol=1e-8, atol=1e-12)
    columns = []
    for i, size in enumerate(1e-7 * values):
        change = jnp.zeros(3).at[i].set(size)
        columns.append((seen(values + change) - seen(values - change)) / (2 * size))
    difference = np.stack(columns, axis=1)
    assert np.all(np.abs(forward[0, :2]) > 1)
    assert abs(forward[1, 2]) > 100
    np.testing.assert_allclose(difference, forward, rtol=1e-4, atol=1e-5)


def test_reverse_mode_keeps_few_states():
    """What a backward pass holds grows with the root of the number of steps, not with it."""
    tissue = Tissue(slab((3.0, 0.5), 0.25), MitchellSchaeffer2003())
    stimulus = Stimulus(tissue.grid.points[:, 0] < 0.6, -50.0)

    def held(duration):
        def total(sigma):
            t = eqx.tree_at(lambda t: t.conductivity_along, tissue, sigma)
            done = propagate(t, [stimulus], duration=duration, step=0.05, substeps=1, memory=0.0)
            return jnp.sum(done.state[0].v)

        compiled = jax.jit(jax.grad(total)).lower(tissue.conductivity_along).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    # 16 times as many steps: 4 times the states, and what does not depend on their number.
    assert held(320.0) < 5 * held(20.0)
