"""The search for an equilibrium: Newton's method, damped, along a load that grows.

Deuflhard 2004, Newton Methods for Nonlinear Problems, 3.3: a step s along the correction d is taken
if the next correction with the *same* stiffness, d', is shorter, |d'| ≤ (1 - s/4) |d|; that test is
the same whatever the units of forces and volumes are. Corrections that shrink to less than a third
are used as they are, so that a stiffness is made and factorised only where one is needed. In large
walls in motion factors of an earlier stiffness serve as well, in a Krylov space, as long as a few
products suffice.

The search runs in Python, piece by compiled piece, so that compiled code is kept from program to
program, which JAX does not do where code calls back to the host. Inside of a program that is being
compiled, the same pieces make one loop.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._balance import before_solve, residual, solve, solved, stiffness
from twinjax.mechanics._cells import Cells, Coupling, least_volume
from twinjax.mechanics._wall import Deformation, Load, Wall

_REUSE = 0.3  # a stiffness is kept while it makes corrections shrink to less than this
_LEAST = 1 / 64  # the shortest step along a correction
_QUICK = 8  # after a load step of at most so many corrections the next one is longer
_INEXACT = 0.03  # of a correction may be wrong where an earlier factorisation serves
_FAR = 1e6  # walls that are held do not go so many times their own size


class Options(NamedTuple):
    """`step` is the first share of the load, `least` the smallest; `rtol` is of the `size`."""

    step: Any
    least: Any
    most: Any
    rtol: Any
    size: Any


class _Task(eqx.Module):
    """What does not change during a search."""

    wall: Wall
    cells: Cells
    first: Load
    last: Load
    options: Options

    def load(self, share: Array) -> Load:
        return jax.tree.map(lambda a, b: (1 - share) * a + share * b, self.first, self.last)


class _Way(NamedTuple):
    """Where the search is: between the share of the load that is done and the one it tries."""

    at: Deformation
    correction: Deformation
    matrix: Array
    coupling: Coupling
    damping: Array
    stale: Array  # the stiffness is of an earlier deformation
    fresh: Array  # a stiffness is wanted here
    ended: Array  # nothing is left to correct
    tries: Array  # since the share was last raised
    share: Array
    done: Array
    before: Array
    step: Array
    there: Deformation  # at the share `done`
    former: Deformation  # at the share `before`
    code: Array
    corrections: Array
    factorisations: Array
    cuts: Array
    steps: Array


def search(
    wall: Wall, start: Deformation, first: Load, last: Load, options: Options
) -> tuple[Deformation, dict[str, Array], Array]:
    """From equilibrium under the first load to that under the last one.

    **Returns:** the deformation (of the last share of the load that was reached), statistics, and
    a `RESULTS` code.
    """
    given = jax.tree.leaves((wall, start, first, last, options))
    if any(isinstance(leaf, jax.core.Tracer) for leaf in given):
        return _in_one_program(wall, start, first, last, options)
    task, way = _begin(wall, start, first, last, options)
    # Only with inertia, which makes factors of another time good ones. At rest, hearts of several
    # materials then stopped at a hundredth of a load that they bear.
    inexact = 0.0 if last.motion is None else _INEXACT
    while way.code == RESULTS.successful and way.done < 1:
        if way.fresh:
            way = _with_stiffness(task, way)
        trial, sound, right, force = _tried(task, way)
        u = wall.sparsity.solve_here(way.matrix, force, rtol=inexact)
        way = _judged(task, way, trial, sound, solved(wall, task.cells, way.coupling, right, u))
    return _end(task, way)


@eqx.filter_jit
def _in_one_program(
    wall: Wall, start: Deformation, first: Load, last: Load, options: Options
) -> tuple[Deformation, dict[str, Array], Array]:
    task, way = _begin(wall, start, first, last, options)

    def unfinished(way: _Way) -> Array:
        return (way.done < 1) & (way.code == RESULTS.successful)

    def advance(way: _Way) -> _Way:
        way = jax.lax.cond(way.fresh, lambda w: _with_stiffness(task, w), lambda w: w, way)
        trial, sound, right, _ = _tried(task, way)
        after = solve(wall, task.cells, way.coupling, way.matrix, right)
        return _judged(task, way, trial, sound, after)

    return _end(task, jax.lax.while_loop(unfinished, advance, way))


@eqx.filter_jit
def _begin(
    wall: Wall, start: Deformation, first: Load, last: Load, options: Options
) -> tuple[_Task, _Way]:
    task = _Task(wall, Cells(wall), first, last, options)
    shapes = jax.eval_shape(lambda: Coupling(wall, task.cells, start))
    no, none, zero = jnp.array(False), jnp.array(0), jnp.zeros(())
    way = _Way(
        at=start,
        correction=jax.tree.map(jnp.zeros_like, start),
        matrix=jnp.zeros((len(wall.pairs), 3, 3)),
        coupling=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes),
        damping=jnp.ones(()),
        stale=no,
        fresh=jnp.array(True),
        ended=no,
        tries=none,
        share=zero,
        done=zero,
        before=zero,
        step=jnp.asarray(options.step, float),
        there=start,
        former=start,
        code=jnp.array(int(RESULTS.successful)),
        corrections=none,
        factorisations=none,
        cuts=none,
        steps=none,
    )
    return task, _onward(task, way)


@eqx.filter_jit
def _with_stiffness(task: _Task, way: _Way) -> _Way:
    coupling = Coupling(task.wall, task.cells, way.at)
    matrix = stiffness(task.wall, task.cells, coupling, task.load(way.share), way.at)
    return way._replace(coupling=coupling, matrix=matrix, factorisations=way.factorisations + 1)


@eqx.filter_jit
def _tried(task: _Task, way: _Way) -> tuple[Deformation, Array, Deformation, Array]:
    """A step along the correction, or none where that is not made yet; what is out of balance."""
    trial = _plus(way.at, way.correction, jnp.where(way.fresh, 0.0, way.damping))
    sound = least_volume(task.wall, task.cells, trial.displacement) > 0
    left = residual(task.wall, task.cells, task.load(way.share), trial)
    right = jax.tree.map(jnp.negative, left)
    return trial, sound, right, before_solve(task.wall, task.cells, way.coupling, right)


@eqx.filter_jit
def _judged(task: _Task, way: _Way, trial: Deformation, sound: Array, after: Deformation) -> _Way:
    """Goes to the trial if the correction after it is shorter, else damps it more."""
    size = _size(after)
    made = way._replace(correction=after, fresh=jnp.array(False), stale=jnp.array(False))
    bad = ~(sound & (size < _FAR * task.options.size))
    tested = _tested(task, way, trial, after, sound)
    too_long = (tested.damping < _LEAST) | (tested.tries >= task.options.most)
    lost = jnp.where(way.fresh, bad, ~tested.ended & too_long)
    # At rest a correction without bounds is that of a wall that nothing holds.
    floating = way.fresh & sound & bad & (way.done == 0)
    ended = ~way.fresh & tested.ended
    way = _where(way.fresh, made, tested)
    way = way._replace(code=jnp.where(floating, RESULTS.not_held, way.code))
    way = jax.lax.cond(ended, lambda w: _reached(task, w), lambda w: w, way)
    return jax.lax.cond(lost & ~floating, lambda w: _cut(task, w), lambda w: w, way)


def _tested(task: _Task, way: _Way, trial: Deformation, after: Deformation, sound: Array) -> _Way:
    before, size = _size(way.correction), _size(after)
    shorter = size <= (1 - way.damping / 4) * before
    # Where nothing is left to correct, both are roundings.
    tiny = (size <= task.options.rtol * task.options.size) & (way.damping == 1)
    rounding = 1e-14 * jnp.max(way.coupling.give) * jnp.sqrt(jnp.max(task.cells.measure))
    pressure = 1e2 * task.options.rtol * _greatest(trial.pressure) + rounding
    ended = tiny & sound & (_greatest(after.pressure) <= pressure)
    good = sound & (shorter | tiny) & jnp.isfinite(size)
    enough = good & (way.damping == 1) & ((size <= _REUSE * before) | tiny)
    # Pressures that lag behind want a stiffness of their own.
    enough = enough & ~(way.stale & tiny & ~ended)
    wider, closer = jnp.minimum(2 * way.damping, 1), way.damping / 2
    return way._replace(
        at=_where(good, _where(ended, _plus(trial, after, 1.0), trial), way.at),
        correction=_where(enough, after, way.correction),
        damping=jnp.where(good, wider, jnp.where(way.stale, 1.0, closer)),
        fresh=jnp.where(good, ~enough, way.stale),
        stale=way.stale | (good & enough),
        ended=ended,
        tries=way.tries + 1,
        corrections=way.corrections + 1,
    )


def _reached(task: _Task, way: _Way) -> _Way:
    quick = way.tries <= _QUICK
    step = jnp.where(quick, 2.0, jnp.where(way.tries <= 2 * _QUICK, 1.0, 0.5)) * way.step
    way = way._replace(
        former=way.there,
        before=way.done,
        there=way.at,
        done=way.share,
        step=step,
        steps=way.steps + 1,
    )
    return _onward(task, way)


def _cut(task: _Task, way: _Way) -> _Way:
    step = (way.share - way.done) / 4
    code = jnp.where(step < task.options.least, RESULTS.no_equilibrium, way.code)
    return _onward(task, way._replace(step=step, code=code, cuts=way.cuts + 1), trust=0.0)


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
        ended=jnp.array(False),
        tries=jnp.array(0),
    )


@eqx.filter_jit
def _end(task: _Task, way: _Way) -> tuple[Deformation, dict[str, Array], Array]:
    stats = {
        "load": way.done,
        "load_steps": way.steps,
        "cuts": way.cuts,
        "corrections": way.corrections,
        "factorisations": way.factorisations,
        "least_volume": least_volume(task.wall, task.cells, way.there.displacement),
    }
    return way.there, stats, way.code


def _plus(at: Deformation, correction: Deformation, share: Any) -> Deformation:
    return jax.tree.map(lambda a, b: a + share * b, at, correction)


def _where(which: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), one, other)


def _size(correction: Deformation) -> Float[Array, ""]:
    """The greatest displacement [mm] of any node."""
    return jnp.sqrt(_greatest(jnp.sum(correction.displacement**2, axis=1)))


def _greatest(values: Array) -> Float[Array, ""]:
    """The greatest of all sizes; infinite if one is NaN, which XLA's maxima can lose."""
    return jnp.where(jnp.all(jnp.isfinite(values)), jnp.max(jnp.abs(values)), jnp.inf)
