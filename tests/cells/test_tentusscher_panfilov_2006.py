"""Ten Tusscher-Panfilov 2006: charge balance, and the layers."""

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import (
    TenTusscherPanfilov2006,
    tentusscher_panfilov_2006_endo,
    tentusscher_panfilov_2006_m,
)


@pytest.mark.parametrize("stimulus", [0.0, -52.0])
def test_charge_is_conserved_with_the_stimulus_as_potassium(stimulus):
    cell = TenTusscherPanfilov2006()
    state = jax.tree.map(jnp.asarray, cell.initial_state())._replace(
        v=jnp.asarray(-10.0), cass=jnp.asarray(0.02), m=jnp.asarray(0.9)
    )
    slopes = cell.derivatives(state, stimulus)
    (charge,), (rate,) = jax.jvp(cell.conserved, (state,), (slopes,))
    moved = sum(abs(float(x)) for x in cell.currents(state).values())
    assert charge > 100
    assert abs(float(rate)) < 1e-15 * moved


def test_layers_differ_in_ito_and_iks_only():
    epi, endo, m = (
        TenTusscherPanfilov2006(),
        tentusscher_panfilov_2006_endo(),
        tentusscher_panfilov_2006_m(),
    )
    state = jax.tree.map(jnp.asarray, epi.initial_state())
    slopes = [cell.derivatives(state, 0.0) for cell in (epi, endo, m)]
    differ = [
        {f for f, a, b in zip(state._fields, slopes[0], other, strict=True) if a != b}
        for other in slopes[1:]
    ]
    assert differ == [{"v", "s", "ki"}, {"v", "ki"}]
    currents = [cell.currents(state) for cell in (epi, endo, m)]
    assert float(currents[1]["Ito"] / currents[0]["Ito"]) == pytest.approx(0.073 / 0.294)
    assert float(currents[2]["IKs"] / currents[0]["IKs"]) == pytest.approx(0.25)


def test_the_layer_alone_makes_the_whole_variant():
    assert float(TenTusscherPanfilov2006(layer="endo").g_to) == 0.073
    assert float(TenTusscherPanfilov2006(layer="m").g_ks) == 0.098


def test_an_unknown_layer_is_refused():
    with pytest.raises(ValueError, match=r"unknown layer 'endoo'; did you mean 'endo'\?"):
        TenTusscherPanfilov2006(layer="endoo")
