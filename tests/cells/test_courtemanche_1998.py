"""Charge balance of the Courtemanche model, as published and with potassium as the stimulus."""

import jax
import jax.numpy as jnp

from twinjax.cells import Courtemanche1998


def charge_rate(cell, state, stimulus):
    charge, rate = jax.jvp(cell.conserved, (state,), (cell.derivatives(state, stimulus),))
    return float(charge[0]), float(rate[0])


def test_charge_is_conserved_if_the_stimulus_is_potassium():
    cell = Courtemanche1998(stimulus_is_potassium=True)
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(
        v=jnp.asarray(-10.0), u=jnp.asarray(0.2), ca_rel=jnp.asarray(0.2)
    )
    for stimulus in (0.0, -2000.0):
        charge, rate = charge_rate(cell, state, stimulus)
        moved = sum(abs(float(x)) for x in cell.currents(state).values())
        assert abs(rate) < 1e-12 * max(moved, charge)


def test_as_published_the_stimulus_carries_no_ion():
    published, closed = Courtemanche1998(), Courtemanche1998(stimulus_is_potassium=True)
    state = jax.tree.map(jnp.asarray, published.initial_state())
    assert published.conserved(state) == ()
    slopes = published.derivatives(state, -2000.0)
    _, (rate,) = jax.jvp(closed.conserved, (state,), (slopes,))
    assert abs(float(rate) / -2000.0 - 1) < 1e-6
