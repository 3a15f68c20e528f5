"""Registration: landmarks of known beats, and waveforms that survive the way there and back."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from surrogates.registration import (
    ORDER,
    SIDES,
    STARTS,
    even_table,
    fixed_phase,
    knots,
    landmarks,
    ordered,
    places,
    reference_nodes,
    register,
)

# closing of the inflow valve, opening and closing of the outflow valve, opening of the inflow valve
TRUE = np.array([-0.0517, 0.1043, 0.3478, 0.4832])


def _beat(k, n, side="left"):
    """Smooth pressures that cross at `k`; the drops are sines between the crossings."""
    phase = np.arange(n) / n

    def drop(opens, closes):
        middle, half = (opens + closes) / 2, (closes - opens) / 2
        return np.cos(np.pi * (phase - middle)) ** 2 - np.cos(np.pi * half) ** 2

    names = SIDES[side].waveforms
    waves = np.zeros((10, n))
    atrium, ventricle = (names.index(name) for name in SIDES[side].inflow)
    artery = names.index(SIDES[side].outflow[1])
    waves[atrium] = drop(k[3], k[0] + 1)
    waves[artery] = -drop(k[1], k[2])
    waves[ventricle] = 0.0
    return waves


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("n", [100, 500])
def test_landmarks_of_a_known_beat(side, n):
    found = landmarks(jnp.asarray(_beat(TRUE, n, side)), side)
    # Parabolas through three samples of a smooth curve are third order.
    assert np.abs(np.asarray(found) - TRUE).max() < 60 / n**3


def test_landmarks_are_differentiable_and_their_slopes_are_those_of_the_beat():
    def found(shift):
        k = TRUE + shift * np.array([1.0, -0.5, 0.3, 2.0])
        return landmarks(jnp.asarray(_beat(k, 500)), "left")

    waves, step = jnp.asarray(_beat(TRUE, 500)), 1e-6
    moved = (_beat(TRUE + step, 500) - _beat(TRUE - step, 500)) / (2 * step)
    _, slope = jax.jvp(lambda w: landmarks(w, "left"), (waves,), (jnp.asarray(moved),))
    assert slope == pytest.approx(np.ones(4), abs=1e-3)
    difference = (found(1e-4) - found(-1e-4)) / 2e-4
    assert difference == pytest.approx(np.array([1.0, -0.5, 0.3, 2.0]), abs=1e-3)


def test_order_is_kept_only_where_it_is_lost():
    assert ordered(jnp.asarray(TRUE)) == pytest.approx(TRUE)
    swapped = ordered(jnp.array([0.02, 0.01, 0.3, 0.25]))
    assert np.all(np.diff(swapped) > 0)


def _round_trip(waves, k, n_out, fixed=0.83):
    """Registers waveforms, keeps them as table rows, and reads them at equal phases again."""
    reference = knots(jnp.asarray(TRUE + 0.01), fixed)
    nodes = jnp.asarray(reference_nodes(np.asarray(reference)))
    registered = register(jnp.asarray(waves), jnp.asarray(k), fixed, reference, nodes)
    table = even_table(np.asarray(reference), np.asarray(nodes), np.asarray(registered).T)
    assert len(table) == STARTS[-1] + 1
    phases = jnp.arange(n_out) / n_out
    at = np.asarray(places(jnp.asarray(k), fixed, jnp.array(STARTS), phases))
    rows = np.arange(len(table))
    return np.stack([np.interp(at, rows, column) for column in table.T])


def test_smooth_waveforms_survive():
    phase = np.arange(500) / 500
    waves = np.stack([np.cos(2 * np.pi * (phase * m + 0.1 * m)) for m in range(10)])
    again = _round_trip(waves, TRUE, 100)
    assert np.abs(again - waves[:, ::5]).max() < 5e-3


def test_a_front_behind_an_opening_survives_and_is_aligned():
    """A jump within 3 ms, as aortic flow begins: it does not matter where between samples."""
    registered = []
    fixed, reference = 0.83, knots(jnp.asarray(TRUE), 0.83)
    nodes = jnp.asarray(reference_nodes(np.asarray(reference)))
    for shift in np.linspace(0, 1 / 500, 5):
        k = TRUE + np.array([0, shift, 0, 0])
        phase = np.arange(500) / 500
        after = phase - k[1]
        flow = np.where(after > 0, (1 - np.exp(-after / 0.003)) * np.exp(-after / 0.08), 0)
        waves = np.zeros((10, 500))
        waves[5] = flow
        again = _round_trip(waves, k, 100)[5]
        assert np.linalg.norm(again - flow[::5]) < 0.003 * np.linalg.norm(flow[::5])
        registered.append(register(jnp.asarray(waves), jnp.asarray(k), fixed, reference, nodes)[5])
    spread = np.ptp(np.array(registered), axis=0).max()
    assert spread < 0.15  # without anchored landmarks it is above 0.4


def test_the_fixed_phase_is_the_wanted_one_where_it_can_be():
    many = np.tile(TRUE, (10, 1))
    assert fixed_phase(many, 0.83) == 0.83
    assert fixed_phase(many, 0.3) == pytest.approx((TRUE[3] + 0.05 + TRUE[0] + 0.98) / 2)
    assert fixed_phase(many, None) == fixed_phase(many, 0.3)


def test_every_waveform_has_a_side():
    assert len(ORDER) == 20
    assert len(set(ORDER)) == 20
