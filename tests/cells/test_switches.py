"""Cells whose rates jump at a potential, and whether pacing stays on a periodic orbit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax.cells import (
    MODELS,
    LuoRudy1991,
    MitchellSchaeffer2003,
    RushLarsen2,
    Setting,
    beat_grid,
    biomarkers,
    even_grid,
    multipliers,
    pace,
    periodic,
)

SWITCHING = ("mitchell-schaeffer-2003", "fenton-karma-1998", "bueno-orovio-2008-epi")


def _apd(cell, beats, cycle, setting):
    grid = beat_grid(cycle, cell.about.stimulus[1], setting=setting)
    return float(biomarkers(pace(cell, beats=beats, grid=grid))["apd90"])


@pytest.mark.parametrize("name", SWITCHING)
def test_beats_do_not_depend_on_where_the_steps_fall(name):
    cell, fine = MODELS[name](), Setting(0.0025, 10.0, 0.1)
    for beats in (9, 10):
        coarse = _apd(cell, beats, 400.0, Setting(0.01, 5.0, 0.75))
        assert coarse == pytest.approx(_apd(cell, beats, 400.0, fine), abs=0.025)


def test_a_scheme_of_second_order_keeps_it_through_a_switch():
    cell = MitchellSchaeffer2003()
    start = cell.initial_state()._replace(v=cell.v_rest + 30.0, h=jnp.asarray(0.1))

    def end(step):  # repolarises through the gate's switch, at -67 mV
        final = pace(cell, state=start, grid=even_grid(60.0, step), amplitude=0.0).state
        assert final.v < cell.switches()[0] - 5
        return np.array(final)

    exact = end(0.002)
    errors = [np.abs(end(step) / exact - 1).max() for step in (0.8, 0.4, 0.2, 0.1)]
    assert np.log2(np.array(errors[:-1]) / errors[1:]).min() > 1.8


def test_v_that_is_turned_back_at_a_switch_does_not_pass_it():
    """Half a step leads behind the switch, where a scheme would find slower rates and stay."""
    cell = MODELS["bueno-orovio-2008-epi"]()
    level = float(cell.switches()[3])
    start = cell.initial_state()._replace(v=level + 0.05)
    found = pace(cell, state=start, grid=even_grid(5.0, 0.7), amplitude=0.0)
    exact = pace(cell, state=start, grid=even_grid(5.0, 0.001), amplitude=0.0, scheme=RushLarsen2())
    assert found.state.v < level
    assert float(found.state.v) == pytest.approx(float(exact.state.v), abs=1e-4)


@pytest.mark.parametrize(
    ("name", "field"), list(zip(SWITCHING, ("tau_in", "tau_r", "theta_w"), strict=True))
)
def test_gradients_over_many_beats_know_that_the_moments_move(name, field):
    cell = MODELS[name]()
    grid = beat_grid(350.0, cell.about.stimulus[1])

    @jax.jit
    def apd(factor):
        changed = eqx.tree_at(lambda c: getattr(c, field), cell, getattr(cell, field) * factor)
        return biomarkers(pace(changed, beats=6, grid=grid))["apd90"]

    forward, reverse = float(jax.jacfwd(apd)(1.0)), float(jax.grad(apd)(1.0))
    step = 1e-5
    difference = float(apd(1 + step) - apd(1 - step)) / (2 * step)
    assert abs(forward) > 0.1
    assert reverse == pytest.approx(forward, rel=1e-9)
    assert forward == pytest.approx(difference, rel=1e-4)


def test_a_population_of_switching_cells_is_the_cells_one_by_one():
    cell = MODELS["fenton-karma-1998"]()

    def beat(tau):
        return pace(eqx.tree_at(lambda c: c.tau_r, cell, tau)).observations["v"]

    taus = jnp.array([40.0, 50.0, 60.0])
    assert np.allclose(jax.vmap(beat)(taus), [beat(tau) for tau in taus], rtol=1e-9, atol=1e-9)


def test_multipliers_are_the_rate_at_which_beats_approach_the_orbit():
    cell, grid = LuoRudy1991(), beat_grid(500.0, 2.0)
    orbit = periodic(cell, grid=grid, rtol=1e-11)
    found = multipliers(cell, orbit.state, grid=grid)
    assert found.shape == (8,)
    largest = found[0]
    assert abs(largest.imag) < 1e-12
    assert 0 < abs(largest) < 1
    distance = [
        float(pace(cell, beats=beats, grid=grid).state.cai - orbit.state.cai) for beats in (9, 10)
    ]
    assert distance[1] / distance[0] == pytest.approx(largest.real, rel=1e-2)


def test_a_multiplier_below_minus_one_is_an_orbit_that_alternating_beats_leave():
    cell = MitchellSchaeffer2003()
    for cycle, alternates in ((300.0, False), (260.0, True)):
        grid = beat_grid(cycle, cell.about.stimulus[1])
        orbit = periodic(cell, grid=grid)
        least = multipliers(cell, orbit.state, grid=grid).real.min()
        moved = orbit.state._replace(h=orbit.state.h * 1.001)
        late = [
            float(biomarkers(pace(cell, state=moved, beats=beats, grid=grid))["apd90"])
            for beats in (40, 41)
        ]
        assert (least < -1) == alternates
        assert (abs(late[1] - late[0]) > 1) == alternates
