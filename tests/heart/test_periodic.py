"""The periodic beat of a heart with a wall, and the Jacobian that leads to it."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from twinjax import equilibrate, simulate
from twinjax.cells import Land2017
from twinjax.geometry import Surface
from twinjax.heart import CalciumTransient, ClosedLoop, WholeHeart, beat, settle
from twinjax.heart._periodic import _residual, _sensitivity
from twinjax.mechanics import Ellipsoid, Guccione, QuadraticVolume, Springs, Wall


def adult():
    """A left ventricle of an adult in five hexahedra, and calcium that rises and falls."""
    shape = Ellipsoid(endo=(22.0, 54.0), epi=(33.0, 63.0), base=16.0)
    elements = shape.hexahedra(1, 1, 1, apex=0.4)
    wall = Wall(
        elements,
        Guccione(0.5, 18.5, 3.6, 1.6),
        frames=shape.frames(elements, 60.0, -60.0),
        volume=QuadraticVolume(bulk=1e3, local=50.0),
        cavities=(Surface.LV_ENDO,),
        springs=(
            Springs(elements, Surface.EPI, stiffness=0.05, normal=True),
            Springs(elements, Surface.BASE, stiffness=0.5, normal=False),
        ),
        viscosity=10.0,
    )
    times = jnp.linspace(0.0, 1000.0, 1001)
    calcium = 1e-4 * (0.8 + 4 * (times / 60) * jnp.exp(1 - times / 60))
    return WholeHeart(
        wall=wall,
        tension=Land2017(t_ref=200.0, ca50=0.5),
        calcium=CalciumTransient(times, calcium, 1000.0),
        activation=20.0,
        circulation=ClosedLoop(heart_rate=60.0),
    )


def test_one_step_of_newton_leads_a_lumped_heart_to_its_periodic_beat():
    loop = ClosedLoop()
    exact, unravel = ravel_pytree(equilibrate(loop).state)
    away = loop.restore(unravel(exact * (1 + 1e-3 * np.cos(np.arange(exact.size)))))
    before = ravel_pytree(away)[0]
    after = ravel_pytree(simulate(loop, state=away).state)[0]
    found = before + _sensitivity(loop) @ (after - before)
    assert np.abs(found - exact).max() < 0.02 * np.abs(before - exact).max()


@pytest.mark.slow
def test_the_periodic_beat_comes_back_to_where_it_started():
    heart = adult()
    done = settle(heart, step=8.0, beats=8, rtol=0.01)
    assert 2 <= int(done.stats["beats"]) <= 8
    again = beat(heart, start=done.state, step=8.0, steps=125)
    assert float(_residual(done.state.circulation, again.state.circulation)) < 0.015
    volumes = np.asarray(again.observations["left_ventricle.volume"])
    assert volumes.min() < 0.85 * volumes.max()
    np.testing.assert_allclose(done.times[-1] - done.times[0], 1000.0)


def test_calcium_of_another_period_is_refused():
    heart = adult()
    with pytest.raises(ValueError, match=r"calcium has a period of 1000 ms .* one of 800 ms"):
        WholeHeart(
            wall=heart.wall,
            tension=heart.tension,
            calcium=heart.calcium,
            circulation=ClosedLoop(heart_rate=75.0),
        )


def test_beats_and_steps_that_make_no_sense_are_refused():
    heart = adult()
    with pytest.raises(ValueError, match="one beat at least, not 0"):
        settle(heart, beats=0)
    with pytest.raises(ValueError, match="steps must be above 0"):
        settle(heart, step=-4.0)
