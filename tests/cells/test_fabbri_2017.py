"""Fabbri 2017: its transmitters, worked out by hand, and the release channels' probabilities."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from twinjax.cells import Fabbri2017


def start(cell, **changes):
    state = cell.initial_state()._replace(**changes)
    return jax.tree.map(jnp.asarray, state)


def test_probabilities_of_release_channels_are_conserved():
    cell = Fabbri2017()
    state = start(cell, rest=0.5, open=0.2, inactive=0.1, closed=0.2, ca_sub=0.001)
    (total,), (rate,) = jax.jvp(cell.conserved, (state,), (cell.derivatives(state, 0.0),))
    assert float(total) == pytest.approx(1.0)
    assert abs(float(rate)) < 1e-15


def test_calcium_is_conserved_between_compartments():
    # Without membrane currents the moles of calcium, free and bound, stay where they are.
    cell = Fabbri2017(p_cal=0.0, p_cat=0.0, k_naca=0.0)
    state = start(cell, open=1e-5, ca_sub=0.002, cai=0.0003)
    slopes = cell.derivatives(state, 0.0)
    volume = jnp.pi * 3.9**2 * 67.0
    v_sub = 2 * jnp.pi * 0.02 * 3.89 * 67.0
    s = slopes
    moved = (
        (0.46 * volume - v_sub) * (s.cai + 0.045 * s.f_cmi + 0.031 * s.f_tc + 0.062 * s.f_tmc)
        + v_sub * (s.ca_sub + 0.045 * s.f_cms)
        + 0.0012 * volume * (s.ca_jsr + 10 * s.f_cq)
        + 0.0116 * volume * s.ca_nsr
    )
    assert abs(float(moved)) < 1e-12 * float(v_sub * abs(s.ca_sub))


def test_isoprenaline_enlarges_currents_and_shifts_gates():
    plain, excited = Fabbri2017(), Fabbri2017(isoprenaline=True)
    state = start(plain)
    ratio = {
        name: float(current / plain.currents(state)[name])
        for name, current in excited.currents(state).items()
        if name not in ("INaL", "IKACh")  # both are 0
    }
    assert ratio.pop("ICaL") == pytest.approx(1.23)
    assert ratio.pop("IKs") == pytest.approx(1.2)
    assert ratio.pop("INaK") == pytest.approx(1.2)
    assert set(ratio.values()) == {1.0}

    def gate(cell, field, v):
        rate = getattr(cell.rates(start(cell, v=v), 0.0), field)
        return float(rate.steady), float(rate.time_constant)

    for v in (-95.0, -60.0, 0.0):
        assert gate(excited, "y", v) == pytest.approx(gate(plain, "y", v - 7.5), rel=1e-12)
        assert gate(excited, "n", v) == pytest.approx(gate(plain, "n", v + 14.0), rel=1e-12)
    # Half activation of ICaL at -16.4508 - 8 mV.
    steady = excited.rates(start(excited, v=-24.4508), 0.0).d_l.steady
    assert float(steady) == pytest.approx(0.5)


def test_acetylcholine_blocks_calcium_current_and_opens_its_own():
    plain, slowed = Fabbri2017(), Fabbri2017(ach=9e-5)
    state = start(plain)
    before, after = plain.currents(state), slowed.currents(state)
    assert float(after["ICaL"] / before["ICaL"]) == pytest.approx(1 - 0.31 / 2)
    assert float(before["IKACh"]) == 0.0
    assert float(after["IKACh"]) > 0.0
    raised = 1e-5**0.618
    shift = 1 + 9.898 * raised / (raised + 1.22423e-3)
    y = Fabbri2017(ach=1e-5).rates(state, 0.0).y
    shifted = plain.rates(state._replace(v=state.v + shift), 0.0).y
    assert float(y.steady) == pytest.approx(float(shifted.steady), rel=1e-12)
    assert float(y.time_constant) == pytest.approx(float(shifted.time_constant), rel=1e-12)


@pytest.mark.parametrize("ach", [0.0, 1e-5])
def test_the_gradient_in_acetylcholine_is_finite_and_right(ach):
    cell = Fabbri2017()
    state = start(cell)

    def slopes(x):
        return jnp.stack(dataclasses.replace(cell, ach=x).derivatives(state, 0.0))

    forward = jax.jacfwd(slopes)(jnp.asarray(ach))
    reverse = jax.jacrev(slopes)(jnp.asarray(ach))
    assert jnp.all(jnp.isfinite(forward))
    assert jnp.allclose(forward, reverse, rtol=1e-12)
    if ach > 0:
        step = 1e-9
        difference = (slopes(ach + step) - slopes(ach - step)) / (2 * step)
        assert jnp.allclose(forward, difference, rtol=1e-5, atol=1e-6)
