"""Every model against independent programs, without an integrator."""

import jax
import jax.numpy as jnp
import pytest

from tests._cells import NAMES, checkpoints, worst
from twinjax.cells import MODELS, Gate

WITH_FOLDER = sorted(path.stem for path in NAMES.glob("*.toml"))


@pytest.mark.parametrize("name", WITH_FOLDER)
def test_derivatives_match_both_checkpoints(shared, name):
    cell = MODELS[name]()
    for state, slopes in checkpoints(shared, name, type(cell.initial_state())):
        ours = cell.derivatives(jax.tree.map(jnp.asarray, state), 0.0)
        field, error = worst(ours, slopes)
        assert error < 1e-9, f"{field}: {getattr(ours, field)} against {getattr(slopes, field)}"


@pytest.mark.parametrize("name", MODELS)
def test_rates_and_their_gradients_are_finite_at_every_potential(name):
    cell = MODELS[name]()
    start = jax.tree.map(jnp.asarray, cell.initial_state())
    field = start._fields.index("v")

    def at(v):
        return cell.derivatives(start._replace(v=v), 0.0)

    # Whole and half millivolts are where removable singularities sit.
    v = jnp.linspace(-120.0, 80.0, 2001)
    values, slopes = jax.vmap(lambda x: jax.jvp(at, (x,), (jnp.ones_like(x),)))(v)
    for part in (values, slopes):
        for name_of, leaf in zip(start._fields, part, strict=True):
            bad = v[~jnp.isfinite(jnp.broadcast_to(leaf, v.shape))]
            assert bad.size == 0, f"{name_of} at V = {bad[:5]}"
    assert field == 0


@pytest.mark.parametrize("name", MODELS)
def test_gates_relax_and_conductances_are_fields(name):
    cell = MODELS[name]()
    state = jax.tree.map(jnp.asarray, cell.initial_state())
    for field, rate in zip(state._fields, cell.rates(state, 0.0), strict=True):
        if isinstance(rate, Gate):
            assert float(rate.time_constant) > 0, field
    currents = cell.currents(state)
    for current, field in cell.about.conductances.items():
        assert current in currents
        assert float(getattr(cell, field)) >= 0
