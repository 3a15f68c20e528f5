"""Trovato 2020: its charge, and release that feeds itself."""

import jax
import jax.numpy as jnp

from twinjax.cells import Gate, Trovato2020


def at(cell, **changes):
    """The published state with some fields changed."""
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    return state._replace(**{name: jnp.asarray(value) for name, value in changes.items()})


def test_charge_is_conserved():
    cell = Trovato2020()
    for v in (-80.0, 10.0):
        state = at(cell, v=v, cass=2e-3, casl=6e-4, d=0.7, b=0.5, g=0.3, m=0.4, jrel1=0.1, y=0.5)
        # The stimulus is carried by K, so that it changes nothing.
        for stimulus in (0.0, -40.0):
            slopes = cell.derivatives(state, stimulus)
            _, (rate,) = jax.jvp(cell.conserved, (state,), (slopes,))
            assert abs(float(rate)) < 1e-14 * abs(float(slopes.v))


def test_release_grows_with_itself_once_it_is_triggered():
    # Its steady value is 15 times and more what flows into the subspace, of which it is a tenth.
    cell = Trovato2020()
    low, high = (cell.rates(at(cell, cass=1.05e-4, jrel1=x), 0.0) for x in (0.1, 0.2))
    assert not isinstance(low.jrel1, Gate)
    assert float(high.jrel1) > float(low.jrel1) > 0
