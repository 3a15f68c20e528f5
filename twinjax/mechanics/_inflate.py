"""The verb: `inflate` finds the pressures at which cavities have given volumes."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _finish
from twinjax.mechanics._deform import _moved, _volumes, deform
from twinjax.mechanics._wall import Deformation, Load, Wall

_LEAST = 1e-4  # share of a step below which nothing is tried any more


class Inflated(eqx.Module):
    """A deformation, and the pressures (cavity) [kPa] under which it is an equilibrium."""

    deformation: Deformation
    pressure: Float[Array, " cavity"]


def inflate(
    wall: Wall,
    volumes: Any,
    load: Load | None = None,
    *,
    start: tuple[Deformation, Load] | None = None,
    max_steps: int = 40,
    rtol: float = 1e-9,
    throw: bool = True,
) -> Solution:
    """The equilibrium in which the cavities have given volumes, and the pressures that it takes:

        residual(u, p) = 0,   V(u) = V,

    by Newton's method on p, with u eliminated: V's derivative by p, the Schur complement of the
    stiffness, takes one solve a cavity, and u follows from equilibrium to equilibrium (`deform`).
    Volumes may be those of blood, which hardly changes its own. Derivatives, forward and reverse,
    by the wall, the load and the volumes come from the implicit-function rule, with one more solve
    a cavity than those of `deform`.

    **Arguments:** `volumes` [mm³], a number or one a cavity; `load`, whose tension and forces act,
    and whose pressure is the first guess; `start`, as for `deform`; `rtol` bounds the volumes'
    relative error. With `throw=False` a failure is only recorded.

    **Returns:** `Solution` whose state is [`Inflated`][twinjax.mechanics.Inflated]; observations:
    `volumes` (cavity) [mm³] and `pressure` (cavity) [kPa]; `stats["steps"]`. Raises `ValueError`
    for a wall without cavities or that nothing holds, and for volumes that do not fit or are not
    above 0.
    """
    if not wall.cavities:
        raise ValueError("the wall has no cavities to fill: name their surfaces in cavities=")
    wall.check_held()
    asked = jnp.asarray(volumes, wall.elements.points.dtype)
    if asked.shape not in ((), (len(wall.cavities),)):
        raise ValueError(f"volumes have shape {asked.shape}; valid: ({len(wall.cavities)},)")
    if not isinstance(asked, jax.core.Tracer) and not np.all(np.asarray(asked) > 0):
        raise ValueError(f"volumes must be above 0 mm³, not {np.asarray(asked).min():g}")
    asked = jnp.broadcast_to(asked, (len(wall.cavities),))
    first = (Load() if load is None else load).on(wall)
    begin = None if start is None else (start[0], start[1].on(wall))
    options = jax.lax.stop_gradient(jax.tree.map(jnp.asarray, (max_steps, rtol)))
    state, stats, code = _filled((wall, first, asked), begin, options)
    found = _volumes(wall, state.deformation.displacement)
    observations = {"volumes": found, "pressure": state.pressure}
    times = jnp.reshape(stats["steps"], (1,)).astype(found.dtype)
    return _finish(Solution(times, observations, state, stats, code), throw)


class _Way(NamedTuple):
    at: Deformation
    pressure: Array
    gap: Array  # volumes less those asked, as shares of these
    share: Array  # of Newton's step
    code: Array
    steps: Array


@eqx.filter_custom_jvp
def _filled(problem: Any, begin: Any, options: Any) -> Any:
    wall, load, volumes = problem
    most, rtol = options

    def off(at: Deformation) -> Array:
        return _volumes(wall, at.displacement) / volumes - 1

    def going(way: _Way) -> Array:
        wrong = jnp.max(jnp.abs(way.gap)) > rtol
        return wrong & (way.code == RESULTS.successful) & (way.steps < most)

    def onward(way: _Way) -> _Way:
        here = _under(load, way.pressure)
        slope = _by_pressure(wall, here, way.at)[1]
        step = -jnp.linalg.solve(slope, way.gap * volumes) * way.share
        there = _under(load, way.pressure + step)
        tried = deform(wall, there, start=(way.at, here), first_step=1.0, throw=False)
        gap = off(tried.state)
        nearer = jnp.max(jnp.abs(gap)) < jnp.max(jnp.abs(way.gap))
        good = (tried.result == RESULTS.successful) & nearer
        share = jnp.where(good, jnp.minimum(1.0, 4 * way.share), way.share / 4)
        after = _Way(tried.state, way.pressure + step, gap, share, way.code, way.steps + 1)
        stay = way._replace(share=share, steps=way.steps + 1)
        way = jax.tree.map(lambda a, b: jnp.where(good, a, b), after, stay)
        lost = (share < _LEAST) | ~jnp.all(jnp.isfinite(step))
        return way._replace(code=jnp.where(lost, RESULTS.no_filling, way.code))

    first = deform(wall, load, start=begin, throw=False)
    way = _Way(
        first.state, load.pressure, off(first.state), jnp.ones(()), first.result, jnp.array(0)
    )
    leaves = jax.tree.leaves((problem, begin))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
        way = jax.lax.while_loop(going, onward, way)
    else:
        while going(way):
            way = onward(way)
    full = jnp.max(jnp.abs(way.gap)) <= rtol
    code = jnp.where((way.code == RESULTS.successful) & ~full, RESULTS.no_filling, way.code)
    return Inflated(way.at, way.pressure), {"steps": way.steps}, code


@_filled.def_jvp
def _rule(primals: Any, tangents: Any) -> Any:
    problem, begin, options = primals
    state, stats, code = _filled(problem, begin, options)
    wall, load, _ = problem
    wall_moves, load_moves, asked_moves = tangents[0]
    here, at = _under(load, state.pressure), state.deformation
    # At constant pressure first; then the pressures that make up for what the volumes are off.
    still = eqx.tree_at(
        lambda l: l.pressure, load_moves, jnp.zeros_like(load.pressure), is_leaf=lambda x: x is None
    )
    ahead = _moved((wall, here), at, (wall_moves, still))
    off = eqx.filter_jvp(_volumes, (wall, at.displacement), (wall_moves, ahead.displacement))[1]
    columns, slope = _by_pressure(wall, here, at)
    wanted = -off if asked_moves is None else asked_moves - off
    push = jnp.linalg.inv(slope) @ wanted
    at_moves = jax.tree.map(
        lambda a, c: a + jnp.tensordot(push, c, axes=1), ahead, columns, is_leaf=eqx.is_array
    )
    nothing = jax.tree.map(lambda _: None, (stats, code))
    return (state, stats, code), (Inflated(at_moves, push), *nothing)


def _under(load: Load, pressure: Array) -> Load:
    return eqx.tree_at(lambda l: l.pressure, load, pressure)


def _by_pressure(wall: Wall, load: Load, at: Deformation) -> tuple[Deformation, Array]:
    """How the deformation (cavity, ...) and the volumes (volume, cavity) move with pressures."""
    none = jax.tree.map(lambda _: None, (wall, load))
    moves, slopes = [], []
    for unit in np.eye(len(wall.cavities)):
        along = eqx.tree_at(
            lambda p: p[1].pressure, none, jnp.asarray(unit), is_leaf=lambda x: x is None
        )
        moves.append(_moved((wall, load), at, along))
        slopes.append(jax.jvp(wall.volumes, (at.displacement,), (moves[-1].displacement,))[1])
    return jax.tree.map(lambda *m: jnp.stack(m), *moves), jnp.stack(slopes, axis=1)
