"""The loop, its schemes and grids, what is read from a beat, and the periodic orbit."""

import inspect
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax import RESULTS, Solution
from twinjax.cells import (
    ACCURATE,
    MODELS,
    About,
    AbstractCell,
    ForwardEuler,
    Gate,
    GeneralisedRushLarsen,
    GeneralisedRushLarsen2,
    LuoRudy1991,
    RushLarsen,
    RushLarsen2,
    Setting,
    beat_grid,
    biomarkers,
    cycle_length,
    even_grid,
    join,
    net_current,
    pace,
    periodic,
)
from twinjax.cells._pace import scheme_of

CONDUCTANCES = tuple(LuoRudy1991.about.conductances.values())


@pytest.mark.parametrize("cycle", [300.0, 1000.0, 1234.5])
@pytest.mark.parametrize("duration", [0.0, 0.5, 2.0, 10.0])
def test_a_grid_fills_the_cycle_and_meets_the_end_of_the_stimulus(cycle, duration):
    grid = beat_grid(cycle, duration)
    assert np.sum(grid.lengths) == pytest.approx(cycle, rel=1e-12)
    assert np.sum(grid.lengths * grid.stimulated) == pytest.approx(duration, abs=1e-12)
    assert grid.lengths.min() > 0
    assert grid.lengths.max() <= 1.05
    assert len(beat_grid(cycle, duration, setting=ACCURATE).lengths) > 4 * len(grid.lengths)


def test_a_stimulus_that_outlasts_the_beat_is_refused():
    with pytest.raises(ValueError, match="a stimulus of 5 ms does not fit into a cycle of 4 ms"):
        beat_grid(4, 5)


def test_joined_grids_follow_one_another():
    first, second = beat_grid(600.0, 2.0), beat_grid(300.0, 2.0)
    both = join([first, second])
    cell = LuoRudy1991()
    apart = pace(cell, state=pace(cell, grid=first).state, grid=second)
    assert jnp.allclose(pace(cell, grid=both).state.v, apart.state.v, rtol=1e-12, atol=1e-12)


class Pair(NamedTuple):
    """A fast variable and its recovery."""

    v: Any
    w: Any


class Swing(AbstractCell):
    """A relaxation oscillator with one gate, smooth and quick to compile."""

    about: ClassVar[About] = About("swing", "none", "none", "none", "1")
    drive: Any = 0.4

    def initial_state(self):
        return Pair(-1.2, 0.1)

    def currents(self, state):
        return {"I": state.v**3 / 3 - state.v + 2 * state.w}

    def rates(self, state, stimulus):
        relax = Gate(jax.nn.sigmoid(2 * state.v), 1 + state.v**2)
        return Pair(self.drive - self.currents(state)["I"] - stimulus, relax)

    def conserved(self, state):
        return ()


@pytest.mark.parametrize(
    ("scheme", "steps"),
    [
        (ForwardEuler(), (0.04, 0.02, 0.01)),
        (RushLarsen(), (0.08, 0.04, 0.02)),
        (GeneralisedRushLarsen(), (0.08, 0.04, 0.02)),
        (RushLarsen2(), (0.08, 0.04, 0.02)),
        (GeneralisedRushLarsen2(), (0.08, 0.04, 0.02)),
    ],
    ids=lambda x: type(x).__name__,
)
def test_order_of_convergence(scheme, steps):
    def end(scheme, step):
        return np.array(pace(Swing(), grid=even_grid(8.0, step), scheme=scheme).state)

    exact = end(RushLarsen2(), 0.0005)
    errors = [np.max(np.abs(end(scheme, step) - exact)) for step in steps]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > scheme.order - 0.15), (errors, orders)
    assert np.all(orders < scheme.order + 0.6), (errors, orders)


def _drawn(t, v, slope, **more):
    seen = {"v": jnp.asarray(v), "slope": jnp.asarray(slope), **more}
    return Solution(jnp.asarray(t), seen, None, {}, jnp.asarray(0))


def test_biomarkers_of_a_drawn_action_potential():
    # Up as a cubic from -80 to 40 mV between 1 and 3 ms, down as a cubic from 3 to 303 ms: both
    # pieces are what Hermite interpolation reproduces, on any nodes.
    t = np.concatenate([np.linspace(0, 3, 61), 3 + np.geomspace(0.5, 397, 300)])
    up, down = np.clip((t - 1) / 2, 0, 1), np.clip((t - 3) / 300, 0, 1)
    t = np.sort(np.append(t, [303.0]))
    up, down = np.clip((t - 1) / 2, 0, 1), np.clip((t - 3) / 300, 0, 1)
    v = -80 + 120 * (up**2 * (3 - 2 * up)) - 120 * (down**2 * (3 - 2 * down))
    slope = 60 * 6 * up * (1 - up) - 0.4 * 6 * down * (1 - down)
    found = biomarkers(_drawn(t, v, slope, net=jnp.ones(t.size)))
    assert float(found["resting_potential"]) == -80
    assert float(found["peak_potential"]) == pytest.approx(40, abs=1e-9)
    assert float(found["upstroke_velocity"]) == pytest.approx(90, rel=1e-6)
    assert float(found["upstroke_time"]) == pytest.approx(2, abs=1e-6)
    for percent in (30, 50, 90):
        u = np.roots([-2, 3, 0, -percent / 100])
        u = float(next(x.real for x in u if abs(x.imag) < 1e-12 and 0 < x.real < 1))
        assert float(found[f"apd{percent}"]) == pytest.approx(1 + 300 * u, abs=1e-6)
    assert float(found["qnet"]) == pytest.approx(t[-1] / 1000, rel=1e-12)
    assert float(found["repolarised"]) == 1
    assert float(found["early_afterdepolarisation"]) < 0


def test_a_potential_that_never_falls_is_a_failure_of_repolarisation():
    t = np.linspace(0.0, 300.0, 301)
    v = np.where(t < 2, -80 + 50 * t, 20 - 0.01 * (t - 2))
    found = biomarkers(_drawn(t, v, np.gradient(v, t)))
    assert np.isnan(found["apd90"])
    assert float(found["repolarised"]) == 0


def test_an_early_afterdepolarisation_shows():
    t = np.linspace(0.0, 600.0, 1201)
    v = np.where(t < 2, -80 + 50 * t, 20 - 0.2 * (t - 2)) + 15 * np.exp(-(((t - 250) / 20) ** 2))
    found = biomarkers(_drawn(t, v, np.gradient(v, t)))
    assert float(found["early_afterdepolarisation"]) > 0.1


def test_cycle_length_of_a_drawn_rhythm():
    t = np.linspace(0.0, 3000.0, 3001)
    v = -60 + 30 * np.sin(2 * np.pi * t / 813.4)
    slope = 30 * 2 * np.pi / 813.4 * np.cos(2 * np.pi * t / 813.4)
    assert float(cycle_length(_drawn(t, v, slope))) == pytest.approx(813.4, abs=1e-4)
    assert np.isnan(cycle_length(_drawn(t[:900], v[:900], slope[:900])))


def test_a_broken_cell_is_told_and_not_passed_on():
    broken = eqx.tree_at(lambda c: c.g_na, LuoRudy1991(), jnp.asarray(jnp.nan))
    assert int(pace(broken, throw=False).result) == RESULTS.nonfinite
    with pytest.raises(Exception, match="finite"):
        pace(broken)


def test_single_precision_stays_single():
    cell = jax.tree.map(lambda x: x.astype(jnp.float32), LuoRudy1991())
    low, high = pace(cell, beats=3), pace(LuoRudy1991(), beats=3)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(low.state))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(low.observations))
    assert abs(float(biomarkers(low)["apd90"] - biomarkers(high)["apd90"])) < 0.2


def test_a_population_is_the_cells_one_by_one():
    scales = jnp.array([0.7, 1.0, 1.3])

    def run(scale):
        cell = eqx.tree_at(lambda c: c.g_k, LuoRudy1991(), 0.282 * scale)
        return biomarkers(pace(cell, beats=2))["apd90"]

    together = jax.vmap(run)(scales)
    assert jnp.allclose(together, jnp.array([run(s) for s in scales]), rtol=1e-9)
    assert float(together[0]) > float(together[2]) + 10


def _outputs(run):
    """APD90 and calcium amplitude as a function of the conductances' scales."""

    def outputs(scales):
        cell = LuoRudy1991()
        cell = eqx.tree_at(
            lambda c: [getattr(c, name) for name in CONDUCTANCES],
            cell,
            [getattr(cell, name) * s for name, s in zip(CONDUCTANCES, scales, strict=True)],
        )
        found = biomarkers(run(cell))
        return jnp.stack([found["apd90"], 1e4 * found["calcium_amplitude"]])

    return outputs


@pytest.mark.parametrize(
    "run",
    [lambda cell: pace(cell, beats=2), lambda cell: periodic(cell, rtol=1e-12, max_beats=30)],
    ids=["paced beat", "periodic orbit"],
)
def test_gradients_agree_three_ways(run):
    outputs = jax.jit(_outputs(run))
    at = jnp.ones(len(CONDUCTANCES))
    forward = jax.jit(jax.jacfwd(outputs))(at)
    reverse = jax.jit(jax.jacrev(outputs))(at)
    step = 1e-4
    steps = step * jnp.eye(at.size)
    differences = jnp.stack([(outputs(at + d) - outputs(at - d)) / (2 * step) for d in steps], 1)
    size = jnp.max(jnp.abs(forward), axis=1, keepdims=True)
    assert jnp.all(size > 1)
    assert jnp.max(jnp.abs(forward - reverse) / size) < 1e-9
    assert jnp.max(jnp.abs(forward - differences) / size) < 1e-4


def test_the_periodic_orbit_is_where_pacing_leads():
    cell = LuoRudy1991()
    found = periodic(cell, grid=beat_grid(500.0, 2.0))
    assert float(found.stats["beats"]) < 20
    long = pace(cell, beats=300, grid=beat_grid(500.0, 2.0))
    for name, ours, theirs in zip(found.state._fields, found.state, long.state, strict=True):
        assert float(ours) == pytest.approx(float(theirs), rel=1e-6, abs=1e-9), name


def test_an_orbit_that_is_not_reached_is_told():
    found = periodic(LuoRudy1991(), max_beats=1, warm_up=0, rtol=1e-14, throw=False)
    assert int(found.result) == RESULTS.not_periodic


@pytest.mark.parametrize("beats", [0, -5, 1.5])
def test_beats_are_counted(beats):
    with pytest.raises((ValueError, TypeError), match=r"beats"):
        pace(Swing(), beats=beats)


def test_a_beat_that_is_not_captured_has_no_duration():
    found = biomarkers(pace(LuoRudy1991(), amplitude=-3.0, throw=False))
    assert float(found["peak_potential"]) < -20
    assert np.isnan(found["apd90"])
    assert float(found["repolarised"]) == 0


def test_a_model_without_the_six_currents_has_no_net_current():
    with pytest.raises(ValueError, match="Luo-Rudy 1991: it has no INaL and no ICaL"):
        pace(LuoRudy1991(), record=net_current)


def test_a_grid_has_steps_of_some_length():
    with pytest.raises(ValueError, match="must be positive"):
        beat_grid(1000.0, 1.0, setting=Setting(0.01, 5.0, 0.0))
    with pytest.raises(ValueError, match="does not fit"):
        beat_grid(np.inf, 1.0)


@pytest.mark.parametrize(
    ("duration", "step"), [(5.0, 0.0), (-5.0, 0.1), (0.0, 0.1), (np.inf, 0.1), (5.0, np.nan)]
)
def test_an_even_grid_needs_a_duration_and_a_step(duration, step):
    with pytest.raises(ValueError, match=f"finite lengths above 0, not {duration} ms in"):
        even_grid(duration, step)


@pytest.mark.parametrize("state", [MODELS["noble-1962"]().initial_state(), [0.0, 0.0], (0.0, 0.0)])
def test_a_state_of_another_model_is_refused(state):
    kind = type(state)
    with pytest.raises(TypeError, match=f"state of swing is a .*Pair.* not a .*{kind.__name__}$"):
        pace(Swing(), state=state)


@pytest.mark.parametrize("scheme", [RushLarsen2, "RushLarsen2"])
def test_a_scheme_is_an_instance(scheme):
    # The undecorated function: in tests, annotations refuse it before a user would see this.
    with pytest.raises(TypeError, match=r"a scheme is one of .*RushLarsen2\(\), .*, not .*Rush"):
        inspect.unwrap(scheme_of)(scheme)
