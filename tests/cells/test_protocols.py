"""Restitution, steady pacing, spontaneous beating: against symmetries, simpler runs and SciPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from twinjax.cells import (
    MODELS,
    About,
    AbstractCell,
    Grid,
    LuoRudy1991,
    beat_grid,
    biomarkers,
    dynamic_restitution,
    pace,
    padded,
    s1_s2_restitution,
    spontaneous,
    steady_pacing,
)

DURATION = 2.0  # of the stimulus of Luo and Rudy 1991


@pytest.fixture(scope="module")
def cell():
    return LuoRudy1991()


@pytest.fixture(scope="module")
def curve(cell):
    intervals = [400.0, 450.0, 520.0, 600.0, 700.0, 800.0]
    return s1_s2_restitution(cell, intervals, cycle_length=800.0, beats=8)


def test_steps_of_no_length_change_nothing(cell):
    grid = beat_grid(400.0, DURATION)
    plain = pace(cell, grid=grid)
    more = pace(cell, grid=padded(grid, len(grid.lengths) + 300))
    for ours, theirs in zip(more.state, plain.state, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11)
    found, expected = biomarkers(more), biomarkers(plain)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-10, err_msg=name)


def test_gradients_survive_steps_of_no_length(cell):
    grid = beat_grid(400.0, DURATION)
    plain = pace(cell, grid=grid)
    extra = 10
    more = pace(cell, grid=padded(grid, len(grid.lengths) + extra))

    def read(seen, solution):
        found = biomarkers(eqx.tree_at(lambda s: s.observations, solution, seen))
        return found["apd90"] + 1e4 * found["calcium_amplitude"] + found["calcium_duration80"]

    expected = jax.grad(read)(plain.observations, plain)
    found = jax.grad(read)(more.observations, more)
    for name, slope in found.items():
        assert bool(jnp.isfinite(slope).all()), name
        np.testing.assert_allclose(slope[:-extra], expected[name], rtol=1e-6, atol=1e-9)


def test_restitution_curve_rises_with_the_diastolic_interval(curve):
    assert bool(curve.captured.all())
    assert np.all(np.diff(curve.diastolic_intervals) > 0)
    assert np.all(np.diff(curve.durations) > 0)
    slopes = np.asarray(curve.slopes())
    assert np.all(np.diff(slopes) < 0)  # ever flatter


def test_s2_at_the_basic_interval_is_one_more_s1(cell, curve):
    grid = beat_grid(800.0, DURATION)
    another = biomarkers(pace(cell, beats=9, grid=grid))
    last = curve.durations[-1]
    # Another resting potential moves the level by less than that of the S1 beat before.
    np.testing.assert_allclose(last, another["apd90"], rtol=1e-4)
    steady = s1_s2_restitution(cell, [400.0, 800.0], cycle_length=800.0, beats=60)
    np.testing.assert_allclose(steady.durations[-1], steady.basic["apd90"], rtol=1e-6)


def test_an_interval_in_a_batch_is_that_interval_alone(cell, curve):
    alone = s1_s2_restitution(cell, [450.0], cycle_length=800.0, beats=8)
    np.testing.assert_allclose(alone.durations[0], curve.durations[1], rtol=1e-10)


def test_s2_within_the_action_potential_is_not_captured(cell):
    short = s1_s2_restitution(cell, [150.0, 500.0], cycle_length=800.0, beats=3)
    assert short.captured.tolist() == [False, True]
    assert np.isnan(short.durations[0])
    assert short.diastolic_intervals[0] < 0


def test_dynamic_restitution_follows_until_the_cycle_is_shorter_than_the_beat(cell):
    found = dynamic_restitution(cell, [600.0, 400.0, 300.0], beats=40)
    assert bool(found.captured[:2].all())
    assert not bool(found.captured[2].all())  # an action potential outlasts 300 ms
    assert np.isnan(found.alternans()[2])
    assert np.all(np.asarray(found.alternans())[:2] < 0.1)
    assert np.diff(found.durations[:2, 1]) < 0  # shorter when faster
    # Beat 40 of the batch is beat 40 of the plain loop; the level is that of the slowest rate.
    plain = steady_pacing(cell, 600.0, beats=40)
    expected = [plain.before["apd90"], plain.biomarkers["apd90"]]
    np.testing.assert_allclose(found.durations[0], expected, rtol=1e-7)
    np.testing.assert_allclose(
        found.diastolic_intervals[:, 1], found.intervals - found.durations[:, 0]
    )


def test_in_sequence_each_cycle_length_starts_where_the_one_before_ended(cell):
    chain = dynamic_restitution(cell, [700.0, 500.0], beats=4, in_sequence=True)
    first = pace(cell, beats=4, grid=beat_grid(700.0, DURATION))
    second = dynamic_restitution(cell, [500.0], beats=4, state=first.state)
    # One level each: that of the longest cycle length.
    np.testing.assert_allclose(chain.durations[1], second.durations[0], rtol=2e-3)
    fresh = dynamic_restitution(cell, [700.0, 500.0], beats=4)
    np.testing.assert_allclose(chain.durations[0], fresh.durations[0], rtol=1e-10)
    assert abs(float(chain.durations[1, 0] - fresh.durations[1, 0])) > 1e-3


def test_steady_pacing_settles(cell):
    early, late = (steady_pacing(cell, 500.0, beats=n) for n in (5, 80))
    assert float(late.drift) < 1e-4 < float(early.drift)
    np.testing.assert_allclose(late.before["apd90"], late.biomarkers["apd90"], rtol=1e-5)


def test_a_cell_with_little_ik1_beats_as_often_as_scipy_says():
    # Without its inward rectifier a ventricular cell is a pacemaker: Miake et al. 2002,
    # Nature 419:132.
    cell = LuoRudy1991(g_k1=0.05)
    found = spontaneous(cell, window=4000.0, warm_up=4000.0)
    start = jax.tree.map(jnp.asarray, cell.initial_state())
    slopes = jax.jit(lambda y: jnp.stack(cell.derivatives(type(start)(*y), 0.0)))

    def up(_, y):
        return y[0] + 40.0

    up.direction = 1
    run = solve_ivp(
        lambda _, y: np.asarray(slopes(y)),
        (0, 8000),
        np.stack(start),
        "LSODA",
        rtol=1e-8,
        atol=1e-10,
        events=up,
    )
    crossings = run.t_events[0]
    assert len(crossings) > 3
    np.testing.assert_allclose(found.cycle_length, np.diff(crossings)[-1], rtol=2e-4)
    assert float(found.peak_potential) > 0 > -40 > float(found.diastolic_potential)


def test_a_resting_cell_has_no_cycle_length(cell):
    assert np.isnan(spontaneous(cell, window=200.0, warm_up=0.0).cycle_length)


class _Pacemaker(AbstractCell):
    about = About("pacemaker", "", "", "", "pA/pF")

    def initial_state(self):
        raise NotImplementedError

    def rates(self, state, stimulus):
        raise NotImplementedError

    def currents(self, state):
        raise NotImplementedError

    def conserved(self, state):
        return ()


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda c: s1_s2_restitution(c, []), "coupling intervals must be a list of times in ms"),
        (lambda c: s1_s2_restitution(c, [1.0]), "longer than the stimulus of 2 ms"),
        (lambda c: s1_s2_restitution(c, [np.nan]), "coupling intervals must be finite"),
        (lambda c: s1_s2_restitution(c, [300.0], beats=0), "beats must be at least 1, not 0"),
        (lambda c: s1_s2_restitution(c, [300.0], percent=100), "between 0 and 100, not 100"),
        (lambda c: dynamic_restitution(c, [500.0], beats=2), "beats must be at least 3, not 2"),
        (lambda c: dynamic_restitution(c, np.ones((2, 2))), "cycle lengths must be a list"),
        (lambda c: steady_pacing(c, 0.5), "cycle lengths must be finite and longer"),
        (lambda c: steady_pacing(c, 500.0, beats=1), "beats must be at least 2, not 1"),
        (lambda c: steady_pacing(_Pacemaker(), 500.0), "pacemaker beats by itself"),
        (lambda c: spontaneous(c, window=0.0), "0 < step < window"),
        (lambda c: padded(Grid(np.ones(3), np.zeros(3)), 2), "3 steps cannot be padded to 2"),
    ],
)
def test_bad_input_gets_one_sentence(cell, call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call(cell)


def test_alternans_is_the_difference_of_the_last_two_beats():
    # At 150 ms a cell with half the calcium current follows in full every other time.
    found = dynamic_restitution(LuoRudy1991(g_si=0.05), [300.0, 150.0], beats=60)
    low, high = np.sort(np.asarray(found.durations)[1])
    assert high - low > 50
    np.testing.assert_allclose(found.alternans()[1], high - low)
    assert float(found.alternans()[0]) < 1e-3


def test_alternans_needs_two_beats(curve):
    with pytest.raises(ValueError, match="use dynamic_restitution"):
        curve.alternans()


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in MODELS if MODELS[n]().about.stimulus is not None])
def test_every_paced_model_follows_a_second_stimulus(name):
    cell = MODELS[name]()
    found = s1_s2_restitution(cell, [700.0], beats=1)
    assert bool(found.captured[0]), name
    assert 100 < float(found.durations[0]) < 600
