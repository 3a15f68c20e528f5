"""Derivatives of a beat by parameters of sarcomeres, wall and circulation."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.heart._smooth import Smooth
from tests.heart.test_whole_heart import transient
from tests.mechanics._walls import small_ventricle
from twinjax import ParameterSpace
from twinjax.heart import ClosedLoop, WholeHeart, adjoint, beat, sensitivities

NAMES = ("tension.t_ref", "wall.energy.stiffness", "circulation.systemic_arteries.resistance")


def measure(seen):
    pressure = seen["left_ventricle.pressure"]
    return jnp.stack([pressure[-1], seen["systemic_arteries.pressure"][-1], jnp.sum(pressure)])


@pytest.mark.slow
def test_three_ways():
    """Forward, adjoint and differences, of a start that does not move."""
    heart = WholeHeart(
        wall=small_ventricle(viscosity=1.0),
        tension=Smooth(),
        calcium=transient(),
        circulation=ClosedLoop(),
    )
    space = ParameterSpace(heart, NAMES)
    make, theta = jax.tree_util.Partial(space.write, heart), space.read(heart)
    run = {"start": heart.filled(8.0), "step": [8.0, 6.0, 8.0, 10.0], "rtol": 1e-11}
    values, rows, done = adjoint(make, theta, measure, **run)
    np.testing.assert_allclose(values, measure(done.observations), rtol=1e-14)
    whole, seen, moves = sensitivities(make, theta, **run)
    along = np.stack([eqx.filter_jvp(measure, (whole.observations,), (s,))[1] for s in each(seen)])
    np.testing.assert_allclose(along.T, rows, rtol=1e-9, atol=1e-9 * np.abs(rows).max())
    for k, value in enumerate(theta):
        step = 1e-4 * value
        ends = [measure(beat(make(theta.at[k].add(s * step)), **run).observations) for s in (1, -1)]
        difference = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(rows[:, k], difference, rtol=1e-5, atol=1e-7)
    # A second beat goes on with the derivatives of the first.
    run = run | {"start": whole.state}
    _, later, _ = sensitivities(make, theta, moves=moves, **run)
    twice = run | {"start": heart.filled(8.0), "step": 2 * [8.0, 6.0, 8.0, 10.0]}
    _, at_once, _ = sensitivities(make, theta, **twice)
    name = "left_ventricle.pressure"
    np.testing.assert_allclose(later[name], at_once[name][:, 4:], rtol=1e-9, atol=1e-12)


def each(seen):
    return [jax.tree.map(lambda s, k=k: s[k], seen) for k in range(len(NAMES))]
