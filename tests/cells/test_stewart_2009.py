"""Stewart 2009: charge balance of the paced and of the spontaneous cell."""

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import Stewart2009, stewart_2009_spontaneous


def charge_rate(cell, slopes, state):
    _, (rate,) = jax.jvp(cell.conserved, (state,), (slopes,))
    return float(rate)


@pytest.mark.parametrize(
    ("cell", "stimulus"),
    [
        (stewart_2009_spontaneous(), 0.0),
        (Stewart2009(stimulus_is_potassium=True), 0.0),
        (Stewart2009(stimulus_is_potassium=True), -52.0),
    ],
)
def test_charge_is_conserved(cell, stimulus):
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(
        v=jnp.asarray(-30.0), cass=jnp.asarray(0.02), y=jnp.asarray(0.4), m=jnp.asarray(0.9)
    )
    moved = sum(abs(float(x)) for x in cell.currents(state).values())
    assert abs(charge_rate(cell, cell.derivatives(state, stimulus), state)) < 1e-15 * moved


def test_as_published_the_stimulus_carries_no_ion():
    published, closed = Stewart2009(), Stewart2009(stimulus_is_potassium=True)
    state = jax.tree.map(jnp.asarray, published.initial_state())
    assert published.conserved(state) == ()
    shifted = charge_rate(closed, published.derivatives(state, -52.0), state)
    expected = -52.0 * 185.0 / (96.4853415 * 16404.0)
    assert shifted == pytest.approx(expected, rel=1e-12)


def test_the_variants_share_their_equations():
    paced, spontaneous = Stewart2009(), stewart_2009_spontaneous()
    assert paced.about.stimulus == (-52.0, 1.0)
    assert spontaneous.about.stimulus is None
    state = jax.tree.map(jnp.asarray, paced.initial_state())
    assert paced.derivatives(state, 0.0) == spontaneous.derivatives(state, 0.0)
    assert spontaneous.initial_state() != paced.initial_state()
