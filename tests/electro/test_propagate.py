"""The loop: orders in time, activation times, regions, restarts, results, and sentences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from twinjax import RESULTS
from twinjax.cells import (
    MODELS,
    AlievPanfilov1996,
    ForwardEuler,
    LuoRudy1991,
    MitchellSchaeffer2003,
    RushLarsen,
)
from twinjax.electro import Stimulus, Tissue, VoxelGrid, longest_step, propagate, slab


def _cable(cell=None, length=6.0, spacing=0.25, **options):
    grid = slab((length,), spacing)
    return Tissue(grid, MitchellSchaeffer2003() if cell is None else cell, **options)


def _stimulus(tissue, amplitude=-40.0, duration=2.0, start=0.0, reach=1.0):
    high = (reach,) * tissue.grid.dimensions
    where = tissue.grid.within((0.0,) * tissue.grid.dimensions, high)
    return Stimulus(where, amplitude, start, duration)


def test_activation_is_that_of_an_independent_cable():
    """Written out in NumPy: Luo-Rudy 1991 by Rush and Larsen, a three-point stencil, mirrored."""
    tissue = _cable(LuoRudy1991(), spacing=0.2)
    step, count, n = 0.02, 900, len(tissue.grid.nodes)
    cell, scheme = tissue.cells[0], RushLarsen()
    advance = jax.jit(lambda s, i: scheme.step(cell, s, i, step)[0])
    state = type(cell.initial_state())(*(np.full(n, x) for x in cell.initial_state()))
    current = np.where(np.arange(n) * 0.2 < 1.1, -40.0, 0.0)
    activation = np.full(n, np.inf)
    for i in range(count):
        before = np.array(state.v)
        state = advance(state, jnp.asarray(current if i < 100 else 0 * current))
        v = np.array(state.v)
        wide = np.concatenate([v[1:2], v, v[-2:-1]])
        v = v + step * (0.1334177 / 1.4) / 0.04 * (wide[2:] - 2 * v + wide[:-2])
        crossed = (before < 0) & (v >= 0) & np.isinf(activation)
        activation[crossed] = (step * (i - before / (v - before)))[crossed]
        state = state._replace(v=jnp.asarray(v))
    found = propagate(tissue, [_stimulus(tissue)], duration=count * step, step=step)
    assert np.isfinite(activation).all()
    np.testing.assert_allclose(found.observations.activation, activation, rtol=1e-10)


def test_a_slab_conducts_along_an_axis_as_a_cable_does():
    cell = MitchellSchaeffer2003()
    cable = _cable(cell, fibres=np.array([1.0]))
    grid = slab((6.0, 0.5, 0.5), 0.25)
    block = Tissue(grid, cell)
    where = grid.points[:, 0] < 1.1
    times = [
        propagate(t, [s], duration=30.0, step=0.05).observations.activation
        for t, s in ((cable, _stimulus(cable)), (block, Stimulus(where, -40.0)))
    ]
    along = np.rint(grid.points[:, 0] / 0.25).astype(int)
    np.testing.assert_allclose(times[1], np.array(times[0])[along], rtol=1e-11)


@pytest.mark.parametrize(("splitting", "order"), [("godunov", 1), ("strang", 2)])
def test_order_in_time(splitting, order):
    """A wave under way, of smooth kinetics, against steps eight times as fine."""
    tissue = _cable(AlievPanfilov1996(), spacing=0.5)
    ahead = propagate(tissue, [_stimulus(tissue)], duration=8.0, step=0.05)

    def after(step):
        found = propagate(
            tissue, [], duration=4.0, step=step, splitting=splitting, state=ahead.state, substeps=1
        )
        return np.array(found.state[0].v)

    exact = after(0.0125 / 8)
    errors = [np.abs(after(step) - exact).max() for step in (0.1, 0.05, 0.025)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(np.abs(orders - order) < 0.25), (errors, orders)


@pytest.mark.parametrize(("mass", "order"), [("lumped", 2), ("blended", 3)])
def test_order_in_space(mass, order):
    """Of the speed of a front that the grid resolves: conductivity is 16 times the usual one.

    One substep at every spacing, for a change of their number is one of the error in time.
    """
    speeds = []
    for spacing in (1.0, 0.5, 0.25):
        tissue = _cable(length=32.0, spacing=spacing, mass=mass, scale=16.0)
        stimulus = _stimulus(tissue, reach=4.0)
        done = propagate(tissue, [stimulus], duration=30.0, step=0.01, substeps=1)
        nodes = [tissue.grid.nearest((x,)) for x in (14.0, 24.0)]
        times = [float(done.observations.activation[node]) for node in nodes]
        speeds.append(10.0 / (times[1] - times[0]))
    found = np.log2((speeds[1] - speeds[0]) / (speeds[2] - speeds[1]))
    assert abs(found - order) < 0.4, (speeds, found)


@pytest.mark.parametrize("spacing", [0.2, 0.4])
def test_the_blended_mass_conducts_at_the_continuum_speed_across_fibres(spacing):
    """0.2237 m/s: grids of 0.0125 mm and a fourth-order stencil, D_t of Niederer et al. 2011."""
    cell = MODELS["tentusscher-panfilov-2006-epi"]()
    tissue = _cable(cell, length=8.0, spacing=spacing, mass="blended", conductivity_along=0.0176062)
    seen = propagate(
        tissue, [_stimulus(tissue, -35.714, reach=1.5)], duration=40.0, step=0.02
    ).observations
    times = [float(seen.activation[tissue.grid.nearest((x,))]) for x in (3.2, 6.4)]
    assert 3.2 / (times[1] - times[0]) == pytest.approx(0.2237, rel=0.02)


def test_conduction_alone_conserves_the_mean_and_decays_as_it_should():
    """Far below threshold Mitchell and Schaeffer's cell is a leak: V falls as e^{-t / tau_out}."""
    cell = MitchellSchaeffer2003(tau_in=1e6, tau_out=1e6)
    grid = VoxelGrid(np.array([[1, 1, 1, 1], [1, 0, 0, 1]], bool), 0.5)
    tissue = Tissue(grid, cell, fibres=np.array([0.6, 0.8]), mass="blended")
    start = -80.0 + grid.points[:, 0] + 2 * grid.points[:, 1]
    state = (cell.initial_state()._replace(v=jnp.asarray(start)),)
    end = propagate(tissue, [], duration=20.0, step=0.1, state=state, scheme=ForwardEuler())
    v = np.array(end.state[0].v)
    assert grid.volumes @ v == pytest.approx(grid.volumes @ start, rel=1e-5)
    assert np.ptp(v) < 0.9 * np.ptp(start)


def test_regions_have_their_own_cells():
    """A region whose cells close sooner recovers sooner; one where they cannot fire blocks."""
    tags = np.repeat([1, 2], 12)
    grid = VoxelGrid(tags, 0.25)
    usual = MitchellSchaeffer2003()
    quick = Tissue(grid, usual, MitchellSchaeffer2003(tau_close=75.0))
    where = grid.within((0.0,), (1.0,))
    seen = propagate(quick, [Stimulus(where, -40.0)], duration=350.0, step=0.1).observations
    duration = np.array(seen.repolarisation - seen.activation)
    left, right = duration[grid.nearest((0.25,))], duration[grid.nearest((5.75,))]
    assert left - right > 20
    dead = Tissue(grid, usual, AlievPanfilov1996(k=0.8))
    seen = propagate(dead, [Stimulus(where, -40.0)], duration=30.0, step=0.1).observations
    assert np.isfinite(seen.activation[: grid.counts[0] - 2]).all()


def test_a_parameter_of_every_node_is_the_same_as_one_of_all():
    tissue = _cable()
    every = eqx.tree_at(lambda t: t.cells[0].tau_in, tissue, jnp.full(len(tissue.grid.nodes), 0.3))
    times = [
        propagate(t, [_stimulus(t)], duration=20.0).observations.activation for t in (tissue, every)
    ]
    np.testing.assert_allclose(times[0], times[1], rtol=1e-12)


def test_a_run_goes_on_where_another_ended_and_keeps_what_is_asked_for():
    tissue = _cable()
    stimulus = _stimulus(tissue)
    whole = propagate(tissue, [stimulus], duration=12.0, save_every=3.0, trace=[5, 24])
    first = propagate(tissue, [stimulus], duration=6.0)
    second = propagate(tissue, [], duration=6.0, state=first.state)
    np.testing.assert_allclose(second.state[0].v, whole.state[0].v, rtol=1e-12)
    np.testing.assert_allclose(whole.times, [3.0, 6.0, 9.0, 12.0])
    np.testing.assert_allclose(whole.observations.potentials[1], first.state[0].v, rtol=1e-12)
    assert whole.observations.traces.shape == (240, 2)
    np.testing.assert_allclose(
        whole.observations.traces[59::60], whole.observations.potentials[:, jnp.array([5, 24])]
    )


def test_a_second_stimulus_is_seen_from_its_time_on():
    tissue = _cable()
    pair = [_stimulus(tissue), _stimulus(tissue, start=1200.0)]
    seen = propagate(tissue, pair, duration=1230.0, step=0.1, since=1190.0).observations
    first = propagate(tissue, pair[:1], duration=30.0, step=0.1).observations
    np.testing.assert_allclose(seen.activation - 1200.0, first.activation, atol=0.02)


def test_what_breaks_down_is_told():
    tissue = _cable()
    run = eqx.filter_jit(
        lambda t, s: propagate(t, [s], duration=10.0, substeps=1, step=0.25, throw=False)
    )
    wild = eqx.tree_at(lambda t: t.conductivity_along, tissue, jnp.asarray(2.0))
    assert run(wild, _stimulus(tissue)).result == RESULTS.step_too_long
    broken = eqx.tree_at(lambda t: t.cells[0].tau_out, tissue, jnp.asarray(jnp.nan))
    assert run(broken, _stimulus(tissue)).result == RESULTS.nonfinite


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"substeps": 1, "step": 1.0}, "1 substeps of 1 ms are unstable"),
        ({"splitting": "strong"}, "unknown splitting 'strong'; did you mean 'strang'"),
        ({"step": 0.03}, "duration = 10.0 ms is no whole number of steps of 0.03 ms"),
        ({"save_every": 3.0}, "no whole number of save_every = 3.0 ms"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(options, sentence):
    tissue = _cable()
    with pytest.raises(ValueError, match=sentence):
        propagate(tissue, [_stimulus(tissue)], duration=10.0, **options)


def test_substeps_are_as_few_as_are_stable():
    tissue = _cable(spacing=0.1)
    limit = float(longest_step(tissue))
    assert limit == pytest.approx(0.01 / (2 * 0.1334177 / 1.4), rel=1e-12)
    done = propagate(tissue, [_stimulus(tissue)], duration=2.0, step=0.1)
    assert int(done.stats["substeps"]) == int(np.ceil(0.1 / limit))


def test_a_stimulus_of_another_grid_is_refused():
    tissue = _cable()
    with pytest.raises(ValueError, match="a stimulus names 3 nodes, the tissue has 25"):
        propagate(tissue, [Stimulus(np.ones(3, bool), -40.0)], duration=1.0)


def test_traced_conductivities_need_a_number_of_substeps():
    tissue = _cable()

    def last(sigma):
        t = eqx.tree_at(lambda t: t.conductivity_along, tissue, sigma)
        return propagate(t, [], duration=1.0).state[0].v[-1]

    with pytest.raises(ValueError, match="substeps cannot be chosen while"):
        jax.grad(last)(tissue.conductivity_along)
