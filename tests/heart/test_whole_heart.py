"""A wall, its sarcomeres and a circulation, step by step."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.heart._smooth import Smooth
from tests.mechanics._walls import small_ventricle
from twinjax import simulate
from twinjax._results import RESULTS
from twinjax.cells import Land2017, contract
from twinjax.cells._tension import contract_step
from twinjax.heart import CalciumTransient, ClosedLoop, WholeHeart, beat
from twinjax.heart._exchange import Exchange, walled
from twinjax.heart._sarcomeres import Pull
from twinjax.observables import CHAMBERS
from twinjax.units import factor

KPA, MM3 = factor("mmHg", "kPa"), factor("mL", "mm3")


def transient(period=833.0):
    """Calcium that rises and falls like that of a human ventricle, 0.1 to 0.6 µM."""
    times = jnp.linspace(0.0, period, 834)
    return CalciumTransient(times, 1e-4 * (1 + 5 * (times / 60) * jnp.exp(1 - times / 60)), period)


@pytest.fixture(scope="module")
def heart():
    return WholeHeart(
        wall=small_ventricle(viscosity=1.0),
        tension=Land2017(),
        calcium=transient(),
        circulation=ClosedLoop(),
    )


def test_blood_follows_the_pressure_of_a_chamber_as_in_the_closed_loop():
    """Given the pressures of a lumped ventricle, its volumes come out."""
    loop = ClosedLoop()
    whole = simulate(loop, steps_per_beat=2000)
    pressure = np.asarray(whole.observations["left_ventricle.pressure"]) * KPA
    step = float(whole.times[1]) * 1e3
    state, with_wall = loop.initial_state(), walled(loop, ("left_ventricle",))
    number = CHAMBERS.index("left_ventricle")

    @eqx.filter_jit
    def onward(state, before, after, begin):
        blood = Exchange(with_wall, state, before[None], begin, jnp.asarray(step), (number,), 1)
        return blood.after(after[None]), blood(after[None])

    for k in range(300):
        ends = jnp.asarray(pressure[k]), jnp.asarray(pressure[k + 1])
        state, volume = onward(state, *ends, jnp.asarray(k * step))
    expected = float(whole.observations["left_ventricle.volume"][300])
    np.testing.assert_allclose(state.volume[number], expected, rtol=1e-6)
    np.testing.assert_allclose(volume, [expected * MM3], rtol=1e-6)


def test_sarcomeres_are_of_second_order():
    """A fibre that shortens by a known course: tension against that of fine steps."""
    model, calcium, end = Land2017(), transient(), 300.0

    def stretch(times):
        return jnp.asarray(1.05 - 0.1 * (1 - np.cos(np.pi * times / end)) / 2)

    fine = np.linspace(0.0, end, 6001)
    exact, _ = contract(model, jnp.asarray(fine), calcium(jnp.asarray(fine)), stretch(fine))
    errors = []
    for step in (2.0, 1.0):
        times = np.arange(0.0, end + step / 2, step)

        def onward(state, ends, step=step):
            time, before, after = ends
            around = (calcium(time - step), calcium(time))
            tension = Pull(model, state, around, before, step).near(after).force
            return contract_step(model, state, around, (before, after), step), tension

        start = jax.tree.map(jnp.asarray, model.initial_state())
        course = (jnp.asarray(times[1:]), stretch(times)[:-1], stretch(times)[1:])
        found = jax.lax.scan(onward, start, course)[1]
        apart = found - exact[:: round(step / fine[1])][1:]
        errors.append(float(jnp.abs(apart).max() / exact.max()))
    assert errors[1] < 0.0025
    assert errors[0] / errors[1] > 3.5


def test_blood_is_conserved_and_the_wall_holds_its_share(heart):
    start = heart.filled(8.0)
    np.testing.assert_allclose(start.pressure, [8.0 * KPA])
    done = beat(heart, start=start, step=4.0, steps=20)
    volumes = [done.observations[f"{name}.volume"] for name in CHAMBERS]
    vessels = heart.circulation.total_volume(done.state.circulation)
    np.testing.assert_allclose(vessels, heart.circulation.stressed_volume, rtol=1e-10)
    inside = heart.wall.volumes(done.state.deformation.displacement)
    np.testing.assert_allclose(inside, [volumes[1][-1] * MM3], rtol=1e-6)
    pressure = np.asarray(done.observations["left_ventricle.pressure"])
    assert pressure[-1] > pressure[2]  # it contracts
    assert done.times.shape == (21,)


def test_beats_go_on_where_they_ended(heart):
    start = heart.filled(8.0)
    whole = beat(heart, start=start, step=4.0, steps=6)
    half = beat(heart, start=start, step=4.0, steps=3)
    rest = beat(heart, start=half.state, step=4.0, steps=3)
    for one, other in zip(jax.tree.leaves(whole.state), jax.tree.leaves(rest.state), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_derivatives_three_ways(heart):
    """Of the pressure after some steps, by the sarcomeres' tension and the wall's stiffness."""
    heart = eqx.tree_at(lambda h: h.tension, heart, Smooth())
    start = heart.filled(8.0)

    def pressure(theta):
        other = eqx.tree_at(
            lambda h: (h.tension.t_ref, h.wall.energy.stiffness), heart, (theta[0], theta[1])
        )
        return beat(other, start=start, step=8.0, steps=4, rtol=1e-12).state.pressure[0]

    at, along = jnp.array([120.0, 2.0]), jnp.array([5.0, 0.1])
    value, forward = jax.jvp(pressure, (at,), (along,))
    np.testing.assert_allclose(jax.grad(pressure)(at) @ along, forward, rtol=1e-8)
    difference = (pressure(at + 1e-3 * along) - pressure(at - 1e-3 * along)) / 2e-3
    np.testing.assert_allclose(difference, forward, rtol=1e-5)
    assert value > 0


def test_a_wall_that_gives_way_ends_the_beat(heart):
    weak = eqx.tree_at(lambda h: h.tension.t_ref, heart, jnp.asarray(1e6))
    done = beat(weak, start=heart.filled(8.0), step=20.0, steps=20, throw=False)
    assert int(done.result) == RESULTS.no_filling
    assert len(done.times) < 21
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(done.state))


def test_what_does_not_fit_is_told(heart):
    parts = {"tension": heart.tension, "calcium": heart.calcium, "circulation": ClosedLoop()}
    with pytest.raises(ValueError, match="1 cavities, and chambers names 2"):
        WholeHeart(wall=heart.wall, chambers=("left_ventricle", "right_ventricle"), **parts)
    with pytest.raises(ValueError, match="chambers with walls are some of left_atrium"):
        WholeHeart(wall=heart.wall, chambers=("left",), **parts)
    with pytest.raises(ValueError, match=r"activation has shape \(3,\)"):
        WholeHeart(wall=heart.wall, activation=np.zeros(3), **parts)
    with pytest.raises(ValueError, match="steps above 0"):
        beat(heart, start=heart.filled(8.0), step=0.0, steps=3)
