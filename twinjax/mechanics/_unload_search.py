"""The search for a shape at rest: Newton's method, damped, along a load that grows.

The same as the [search for an equilibrium](_search.py), whose comments say why, on another balance:
a step s along the correction d is taken if the next correction with the same stiffness is shorter,
|d'| ≤ (1 - s/4) |d|, and a stiffness is kept while corrections shrink to less than a third.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from twinjax._results import RESULTS
from twinjax.mechanics._inverse import (
    Image,
    InverseCoupling,
    inverse_residual,
    inverse_stiffness,
    shrinkage,
)
from twinjax.mechanics._search import Options, _greatest, _plus, _size, _where
from twinjax.mechanics._wall import Deformation, Load, Wall

_REUSE = 0.3  # a stiffness is kept while it makes corrections shrink to less than this
_LEAST = 1 / 64  # the shortest step along a correction
_QUICK = 8  # after a load step of at most so many corrections the next one is longer
_FAR = 1e6  # walls that are held do not go so many times their own size


class _Task(eqx.Module):
    wall: Wall
    image: Image
    last: Load
    options: Options

    def load(self, share: Array) -> Load:
        return jax.tree.map(lambda leaf: share * leaf, self.last)


class _Way(NamedTuple):
    at: Deformation
    correction: Deformation
    matrix: Array
    coupling: InverseCoupling
    damping: Array
    stale: Array  # the stiffness is of an earlier shape
    fresh: Array  # a stiffness is wanted here
    tries: Array  # since the share was last raised
    share: Array
    done: Array
    before: Array
    step: Array
    there: Deformation  # at the share `done`
    former: Deformation  # at the share `before`
    code: Array
    counts: dict[str, Array]


def search_rest(
    wall: Wall, load: Load, options: Options, progress: Callable[[float], Any] | None
) -> tuple[Deformation, dict[str, Array], Array]:
    """From the loaded shape itself, at rest without a load, to that at rest under the whole load.

    **Returns:** the deformation (for the last share of the load that was reached), statistics, and
    a `RESULTS` code.
    """
    given = jax.tree.leaves((wall, load, options))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in given):
        return _in_one_program(wall, load, options)
    task, way = _begin(wall, load, options)
    while way.code == RESULTS.successful and way.done < 1:
        way = _with_stiffness(task, way) if way.fresh else way
        trial, right, force = _tried(task, way)
        u = wall.sparsity.solve_here(way.matrix, force)
        way = _judged(task, way, trial, right, u)
        if progress is not None:
            progress(float(way.done))
    return _end(task, way)


@eqx.filter_jit
def _in_one_program(
    wall: Wall, load: Load, options: Options
) -> tuple[Deformation, dict[str, Array], Array]:
    task, way = _begin(wall, load, options)

    def unfinished(way: _Way) -> Array:
        return (way.done < 1) & (way.code == RESULTS.successful)

    def advance(way: _Way) -> _Way:
        way = jax.lax.cond(way.fresh, lambda w: _with_stiffness(task, w), lambda w: w, way)
        trial, right, force = _tried(task, way)
        return _judged(task, way, trial, right, wall.sparsity.solve(way.matrix, force))

    return _end(task, jax.lax.while_loop(unfinished, advance, way))


@eqx.filter_jit
def _begin(wall: Wall, load: Load, options: Options) -> tuple[_Task, _Way]:
    task = _Task(wall, Image(wall), load, options)
    start = wall.at_rest()
    shapes = jax.eval_shape(lambda: inverse_stiffness(wall, task.image, load, start))
    matrix, coupling = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    no, none, zero = jnp.array(False), jnp.array(0), jnp.zeros(())
    way = _Way(
        at=start,
        correction=start,
        matrix=matrix,
        coupling=coupling,
        damping=jnp.ones(()),
        stale=no,
        fresh=jnp.array(True),
        tries=none,
        share=zero,
        done=zero,
        before=zero,
        step=jnp.asarray(options.step, float),
        there=start,
        former=start,
        code=jnp.array(int(RESULTS.successful)),
        counts=dict.fromkeys(("load_steps", "cuts", "corrections", "factorisations"), none),
    )
    return task, _onward(task, way)


def _counted(way: _Way, name: str) -> dict[str, Array]:
    return way.counts | {name: way.counts[name] + 1}


@eqx.filter_jit
def _with_stiffness(task: _Task, way: _Way) -> _Way:
    matrix, coupling = inverse_stiffness(task.wall, task.image, task.load(way.share), way.at)
    counts = _counted(way, "factorisations")
    return way._replace(coupling=coupling, matrix=matrix, counts=counts)


@eqx.filter_jit
def _tried(task: _Task, way: _Way) -> tuple[Deformation, Deformation, Array]:
    """A step along the correction, or none where that is not made yet; what is out of balance."""
    trial = _plus(way.at, way.correction, jnp.where(way.fresh, 0.0, way.damping))
    left = inverse_residual(task.wall, task.image, task.load(way.share), trial)
    right = jax.tree.map(jnp.negative, left)
    return trial, right, way.coupling.before_solve(task.wall, right)


@eqx.filter_jit
def _judged(
    task: _Task, way: _Way, trial: Deformation, right: Deformation, displacement: Array
) -> _Way:
    """Goes to the trial if the correction after it is shorter, else damps it more."""
    after = way.coupling.solved(task.wall, right, displacement)
    sound = jnp.all(shrinkage(task.wall, task.image, trial.displacement) > 0)
    before, size = _size(way.correction), _size(after)
    made = way._replace(correction=after, fresh=jnp.array(False), stale=jnp.array(False))
    bad = ~(sound & (size < _FAR * task.options.size))
    # At rest a correction without bounds is that of a wall that nothing holds.
    floating = way.fresh & sound & bad & (way.done == 0)
    tiny = (size <= task.options.rtol * task.options.size) & (way.damping == 1)
    # Where nothing is left to correct, both are roundings.
    rounding = 1e-14 * jnp.max(way.coupling.give) * jnp.sqrt(jnp.max(task.image.cells.measure))
    pressure = 1e2 * task.options.rtol * _greatest(trial.pressure) + rounding
    ended = ~way.fresh & tiny & sound & (_greatest(after.pressure) <= pressure)
    good = sound & ((size <= (1 - way.damping / 4) * before) | tiny)
    enough = good & (way.damping == 1) & ((size <= _REUSE * before) | tiny)
    # Pressures that lag behind want a stiffness of their own.
    enough = enough & ~(way.stale & tiny & ~ended)
    wider, closer = jnp.minimum(2 * way.damping, 1), way.damping / 2
    tested = way._replace(
        at=_where(good, _where(ended, _plus(trial, after, 1.0), trial), way.at),
        correction=_where(enough, after, way.correction),
        damping=jnp.where(good, wider, jnp.where(way.stale, 1.0, closer)),
        fresh=jnp.where(good, ~enough, way.stale),
        stale=way.stale | (good & enough),
        tries=way.tries + 1,
        counts=_counted(way, "corrections"),
    )
    too_long = (tested.damping < _LEAST) | (tested.tries >= task.options.most)
    lost = jnp.where(way.fresh, bad, ~ended & too_long) & ~floating
    way = _where(way.fresh, made, tested)
    way = way._replace(code=jnp.where(floating, RESULTS.not_held, way.code))
    way = jax.lax.cond(ended, lambda w: _reached(task, w), lambda w: w, way)
    return jax.lax.cond(lost, lambda w: _cut(task, w), lambda w: w, way)


def _reached(task: _Task, way: _Way) -> _Way:
    factor = jnp.where(way.tries <= _QUICK, 2.0, jnp.where(way.tries <= 2 * _QUICK, 1.0, 0.5))
    way = way._replace(
        former=way.there,
        before=way.done,
        there=way.at,
        done=way.share,
        step=factor * way.step,
        counts=_counted(way, "load_steps"),
    )
    return _onward(task, way)


def _cut(task: _Task, way: _Way) -> _Way:
    step = (way.share - way.done) / 4
    code = jnp.where(step < task.options.least, RESULTS.no_rest, way.code)
    way = way._replace(step=step, code=code, counts=_counted(way, "cuts"))
    return _onward(task, way, trust=0.0)


def _onward(task: _Task, way: _Way, trust: float = 1.0) -> _Way:
    """To a further share of the load, from a guess along the way so far, or none without trust."""
    share = jnp.minimum(way.done + way.step, 1.0)
    # No sliver of a step at the end.
    share = jnp.where(1 - share < 0.1 * way.step, 1.0, share)
    known = way.done > way.before
    ratio = jnp.where(known, (share - way.done) / jnp.where(known, way.done - way.before, 1), 0)
    guess = jax.tree.map(lambda a, b: a + trust * ratio * (a - b), way.there, way.former)
    held = jnp.where(task.wall.fixed, task.load(share).displacement, guess.displacement)
    return way._replace(
        at=Deformation(held, guess.pressure),
        share=share,
        damping=jnp.ones_like(way.damping),
        fresh=jnp.array(True),
        stale=jnp.array(False),
        tries=jnp.array(0),
    )


@eqx.filter_jit
def _end(task: _Task, way: _Way) -> tuple[Deformation, dict[str, Array], Array]:
    least = 1 / jnp.max(shrinkage(task.wall, task.image, way.there.displacement))
    return way.there, way.counts | {"load": way.done, "least_volume": least}, way.code
