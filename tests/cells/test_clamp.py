"""Voltage clamp: against the exact relaxation of a gate, and between schemes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import (
    ForwardEuler,
    Gate,
    GeneralisedRushLarsen2,
    LuoRudy1991,
    RushLarsen,
    voltage_clamp,
)

POTENTIALS = np.array([[-80.0, v, -50.0] for v in (-40.0, -10.0, 20.0)])
DURATIONS = [50.0, 120.0, 80.0]


@pytest.fixture(scope="module")
def cell():
    return LuoRudy1991()


@pytest.fixture(scope="module")
def record(cell):
    return voltage_clamp(cell, POTENTIALS, DURATIONS)


@pytest.mark.parametrize("gate", ["m", "h", "j", "d", "f", "x"])
def test_gates_relax_exactly_to_their_steady_state(cell, record, gate):
    start = jax.tree.map(jnp.asarray, cell.initial_state())
    where = start._fields.index(gate)
    for row, potentials in enumerate(POTENTIALS):
        value = start[where]
        for number, v in enumerate(potentials):
            rate = cell.rates(start._replace(v=jnp.asarray(v)), 0.0)[where]
            assert isinstance(rate, Gate)
            nodes = record.segment(number)
            t = record.times[nodes] - record.times[nodes][0]
            exact = rate.steady + (value - rate.steady) * np.exp(-t / rate.time_constant)
            np.testing.assert_allclose(
                getattr(record.states, gate)[row, nodes], exact, rtol=1e-9, atol=1e-15
            )
            value = exact[-1]


@pytest.mark.parametrize("scheme", [RushLarsen(), GeneralisedRushLarsen2()])
def test_schemes_agree_on_gates_that_see_one_potential(cell, record, scheme):
    other = voltage_clamp(cell, POTENTIALS, DURATIONS, scheme=scheme)
    np.testing.assert_allclose(other.states.x, record.states.x, rtol=1e-9)


def test_the_potential_is_imposed_at_every_node(cell, record):
    assert record.potentials.shape == (3, len(record.times))
    for number, end in enumerate(np.cumsum(DURATIONS)):
        nodes = record.segment(number)
        held = np.asarray(record.potentials)[:, nodes]
        np.testing.assert_array_equal(held, np.broadcast_to(POTENTIALS[:, [number]], held.shape))
        np.testing.assert_allclose(record.times[nodes][-1], end, rtol=1e-12)
        np.testing.assert_allclose(record.times[nodes][0], end - DURATIONS[number], atol=1e-9)


def test_currents_are_those_of_the_states(cell, record):
    again = cell.currents(record.states)
    for name in cell.about.conductances:
        np.testing.assert_allclose(record.currents[name], again[name], rtol=1e-12)
    assert set(record.currents) == set(again)


def test_a_row_of_a_batch_is_that_clamp_alone(cell, record):
    alone = voltage_clamp(cell, POTENTIALS[1], DURATIONS)
    assert alone.potentials.ndim == 1
    np.testing.assert_allclose(alone.currents["Isi"], record.currents["Isi"][1], rtol=1e-12)


def test_peaks_and_ends_of_currents(record):
    sodium = np.asarray(record.currents["INa"])[:, record.segment(1)]
    peaks = np.asarray(record.peak("INa", 1))
    np.testing.assert_array_equal(peaks, sodium.min(axis=1))
    assert np.all(peaks < 0)
    # Inactivated at the end of the test, to within a hundred thousandth.
    assert np.all(np.abs(record.last("INa", 1)) < 1e-5 * np.abs(peaks))
    np.testing.assert_array_equal(record.last("IK", -1), record.currents["IK"][:, -1])


def test_calcium_evolves_under_the_clamp(cell, record):
    # The slow inward current fills the cell during the test, and its decay is 0.07 / ms at rest.
    cai = np.asarray(record.states.cai)[2]
    assert cai[record.segment(1)].max() > 5 * cai[0]
    fine = voltage_clamp(cell, POTENTIALS[2], DURATIONS, scheme=ForwardEuler())
    np.testing.assert_allclose(fine.states.cai[-1], cai[-1], rtol=0.1)


def test_the_clamp_is_differentiable(cell):
    def tail(v):
        return voltage_clamp(cell, jnp.stack([-80.0 + 0 * v, v, -50.0 + 0 * v]), DURATIONS).last(
            "IK", 1
        )

    step = 1e-3
    differences = (tail(20.0 + step) - tail(20.0 - step)) / (2 * step)
    for mode in (jax.jacfwd, jax.jacrev):
        np.testing.assert_allclose(mode(tail)(20.0), differences, rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c: voltage_clamp(c, [-80.0], [0.0]), "must be positive times in ms"),
        (lambda c: voltage_clamp(c, [-80.0], []), "must be positive times in ms"),
        (lambda c: voltage_clamp(c, [-80.0, 0.0], [10.0]), "1 durations needs as many potentials"),
        (lambda c: voltage_clamp(c, [np.nan], [10.0]), "potentials of a clamp must be finite"),
        (lambda c: voltage_clamp(c, [-80.0], [1.0]).segment(1), "has 1 segments, so 1 is not"),
        (lambda c: voltage_clamp(c, [-80.0], [1.0]).peak("IKK", 0), "did you mean 'IK'"),
    ],
)
def test_bad_input_gets_one_sentence(cell, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(cell)
