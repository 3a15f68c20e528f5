"""The search for an equilibrium: Newton's method, damped, along a load that grows.

Deuflhard 2004, Newton Methods for Nonlinear Problems, 3.3: a step s along the correction d is taken
if the next correction with the *same* stiffness, d', is shorter, |d'| ≤ (1 - s/4) |d|; that test is
the same whatever the units of forces and volumes are. As long as corrections shrink to less than a
half, the stiffness is kept, and brought up to date by what they have shown (Broyden's update of an
inverse; QNERR, 2.1.4 there), so that one is made and factorised only where it is needed. In large
walls in motion factors of an earlier stiffness serve as well, in a Krylov space, as long as a few
products suffice.

The search runs in Python, piece by compiled piece, so that compiled code is kept from program to
program, which JAX does not do where code calls back to the host. Inside of a program that is being
compiled, the same pieces make one loop.
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._wall import Deformation, Wall

_REUSE = 0.5  # a stiffness is kept while it makes corrections shrink to less than this
_TAKEN = 8  # corrections from which it is brought up to date
_LEAST = 1 / 64  # the shortest step along a correction
_QUICK = 8  # after a load step of at most so many corrections the next one is longer
_FAR = 1e6  # walls that are held do not go so many times their own size


class Options(NamedTuple):
    """`step` is the first share of the load, `least` the smallest; `rtol` is of the `size`."""

    step: Any
    least: Any
    most: Any
    rtol: Any
    size: Any


def options_for(wall: Wall, step: Any, least: Any, most: Any, rtol: Any) -> Options:
    """With the greatest extent of the wall [mm] for its size; nothing is differentiated by them."""
    points = wall.elements.points
    size = jnp.max(jnp.max(points, axis=0) - jnp.min(points, axis=0))
    options = Options(step, least, most, rtol, size)
    return jax.lax.stop_gradient(jax.tree.map(jnp.asarray, options))


class AbstractBalance(eqx.Module):
    """What is to be balanced: a wall under a load that grows with its share, 0 to 1.

    A `coupling` is how pressures were eliminated from a stiffness; it has `give` (cell, mode,
    mode), the derivative of pressures by volumes.
    """

    wall: eqx.AbstractVar[Wall]
    failure: eqx.AbstractClassVar[RESULTS]

    @abc.abstractmethod
    def load(self, share: Array) -> Any:
        """The load at a share of it; its `displacement` is that of what is held."""

    @abc.abstractmethod
    def deformation(self, at: Any) -> Deformation:
        """That of the unknown, which may have more to it."""

    @abc.abstractmethod
    def residual(self, load: Any, at: Any) -> Any:
        """What is out of balance, of the same kind as the unknown."""

    @abc.abstractmethod
    def linearised(self, load: Any, at: Any) -> tuple[Float[Array, "block 3 3"], Any]:
        """The stiffness without pressures, and the coupling."""

    @abc.abstractmethod
    def before_solve(self, coupling: Any, right: Any) -> Float[Array, "*side node 3"]:
        """What the stiffness is solved with."""

    @abc.abstractmethod
    def solved(self, coupling: Any, right: Any, u: Float[Array, "*side node 3"]) -> Any:
        """The displacement, with the pressures that belong to it."""

    @abc.abstractmethod
    def least_volume(self, at: Any) -> Float[Array, ""]:
        """The least volume of a part of the wall over that at rest; below 0 for NaN."""

    @abc.abstractmethod
    def measure(self) -> Float[Array, "cell q"]:
        """Volumes of points of quadrature [mm³]."""


class _Task(eqx.Module):
    """What does not change during a search."""

    balance: AbstractBalance
    options: Options


class _Way(NamedTuple):
    """Where the search is: between the share of the load that is done and the one it tries."""

    at: Any  # the unknown, as are those that follow
    correction: Any
    matrix: Array
    coupling: Any
    damping: Array
    stale: Array  # the stiffness is of an earlier deformation
    taken: Any  # the corrections that were taken since it was made
    updates: Array  # how many
    fresh: Array  # a stiffness is wanted here
    ended: Array  # nothing is left to correct
    tries: Array  # since the share was last raised
    share: Array
    done: Array
    before: Array
    step: Array
    there: Any  # at the share `done`
    former: Any  # at the share `before`
    code: Array
    corrections: Array
    factorisations: Array
    cuts: Array
    steps: Array


def search(
    balance: AbstractBalance,
    start: Any,
    options: Options,
    *,
    inexact: float = 0.0,
    progress: Callable[[float], Any] | None = None,
) -> tuple[Any, dict[str, Array], Array]:
    """From the balance at no share of the load, which is known, to that at the whole.

    `inexact` is the share of a correction that may be wrong where an earlier factorisation serves;
    `progress` is told the share of the load that is done, except inside of compiled code.

    **Returns:** the unknown (of the last share of the load that was reached), statistics, and
    a `RESULTS` code.
    """
    task, sparsity = _Task(balance, options), balance.wall.sparsity
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((task, start))):
        return _in_one_program(task, start)
    way = _begin(task, start)
    while way.code == RESULTS.successful and way.done < 1:
        if way.fresh:
            way = _with_stiffness(task, way)
        trial, right, force = _tried(task, way)
        way = _judged(task, way, trial, right, sparsity.solve_here(way.matrix, force, rtol=inexact))
        if progress is not None:
            progress(float(way.done))
    return _end(task, way)


@eqx.filter_jit
def _in_one_program(task: _Task, start: Any) -> tuple[Any, dict[str, Array], Array]:
    def unfinished(way: _Way) -> Array:
        return (way.done < 1) & (way.code == RESULTS.successful)

    def advance(way: _Way) -> _Way:
        way = jax.lax.cond(way.fresh, lambda w: _with_stiffness(task, w), lambda w: w, way)
        trial, right, force = _tried(task, way)
        u = task.balance.wall.sparsity.solve(way.matrix, force)
        return _judged(task, way, trial, right, u)

    return _end(task, jax.lax.while_loop(unfinished, advance, _begin(task, start)))


@eqx.filter_jit
def _begin(task: _Task, start: Any) -> _Way:
    balance = task.balance
    no, none, zero = jnp.array(False), jnp.array(0), jnp.zeros(())
    shapes = jax.eval_shape(lambda: balance.linearised(balance.load(zero), start))
    matrix, coupling = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    way = _Way(
        at=start,
        correction=jax.tree.map(jnp.zeros_like, start),
        matrix=matrix,
        coupling=coupling,
        damping=jnp.ones(()),
        stale=no,
        taken=jax.tree.map(lambda leaf: jnp.zeros((_TAKEN, *leaf.shape), leaf.dtype), start),
        updates=none,
        fresh=jnp.array(True),
        ended=no,
        tries=none,
        share=zero,
        done=zero,
        before=zero,
        step=jnp.asarray(task.options.step, float),
        there=start,
        former=start,
        code=jnp.array(int(RESULTS.successful)),
        corrections=none,
        factorisations=none,
        cuts=none,
        steps=none,
    )
    return _onward(task, way)


@eqx.filter_jit
def _with_stiffness(task: _Task, way: _Way) -> _Way:
    matrix, coupling = task.balance.linearised(task.balance.load(way.share), way.at)
    return way._replace(coupling=coupling, matrix=matrix, factorisations=way.factorisations + 1)


@eqx.filter_jit
def _tried(task: _Task, way: _Way) -> tuple[Any, Any, Array]:
    """A step along the correction, or none where that is not made yet; what is out of balance."""
    trial = _plus(way.at, way.correction, jnp.where(way.fresh, 0.0, way.damping))
    left = task.balance.residual(task.balance.load(way.share), trial)
    right = jax.tree.map(jnp.negative, left)
    return trial, right, task.balance.before_solve(way.coupling, right)


@eqx.filter_jit
def _judged(task: _Task, way: _Way, trial: Any, right: Any, displacement: Array) -> _Way:
    """Goes to the trial if the correction after it is shorter, else damps it more."""
    after = task.balance.solved(way.coupling, right, displacement)
    sound = task.balance.least_volume(trial) > 0
    size = _size(task, after)
    made = way._replace(
        correction=after,
        updates=jnp.array(0),
        fresh=jnp.array(False),
        stale=jnp.array(False),
    )
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


def _tested(task: _Task, way: _Way, trial: Any, after: Any, sound: Array) -> _Way:
    before = _size(task, way.correction)
    after, next_ = _brought_up(task, way, after)
    size, length = _size(task, next_), _size(task, after)
    shorter = length <= (1 - way.damping / 4) * before
    # Where nothing is left to correct, both are roundings.
    tiny = (size <= task.options.rtol * task.options.size) & (way.damping == 1)
    rounding = 1e-14 * jnp.max(way.coupling.give) * jnp.sqrt(jnp.max(task.balance.measure()))
    pressure = 1e2 * task.options.rtol * _greatest(task.balance.deformation(trial).pressure)
    left = _greatest(task.balance.deformation(next_).pressure)
    ended = tiny & sound & (left <= pressure + rounding)
    good = sound & (shorter | tiny) & jnp.isfinite(size)
    enough = good & (way.damping == 1) & ((length <= _REUSE * before) | tiny)
    enough = enough & (way.updates < _TAKEN)
    # Pressures that lag behind want a stiffness of their own.
    enough = enough & ~(way.stale & tiny & ~ended)
    wider, closer = jnp.minimum(2 * way.damping, 1), way.damping / 2
    return way._replace(
        at=_where(good, _where(ended, _plus(trial, next_, 1.0), trial), way.at),
        correction=_where(enough, next_, way.correction),
        taken=jax.tree.map(
            lambda known, one: known.at[way.updates].set(one), way.taken, way.correction
        ),
        updates=way.updates + (good & enough),
        damping=jnp.where(good, wider, jnp.where(way.stale, 1.0, closer)),
        fresh=jnp.where(good, ~enough, way.stale),
        stale=way.stale | (good & enough),
        ended=ended,
        tries=way.tries + 1,
        corrections=way.corrections + 1,
    )


def _brought_up(task: _Task, way: _Way, after: Any) -> tuple[Any, Any]:
    """A correction of the stiffness as it is after all corrections taken but the last one, and
    after that one too."""

    def share(one: Any, other: Any) -> Array:
        a, b = (task.balance.deformation(each).displacement for each in (one, other))
        square = jnp.sum(b * b)
        return jnp.sum(a * b) / jnp.where(square > 0, square, 1)

    def advance(i: Array, after: Any) -> Any:
        old = jax.tree.map(lambda known: known[i], way.taken)
        new = jax.tree.map(lambda known: known[i + 1], way.taken)
        new = _where(i + 1 < way.updates, new, way.correction)
        return _plus(after, new, share(after, old))

    after = jax.lax.fori_loop(0, way.updates, advance, after)
    # A step that was damped does not show what a whole one does.
    last = jnp.where(way.damping == 1, jnp.minimum(share(after, way.correction), 0.5), 0.0)
    return after, jax.tree.map(lambda leaf: leaf / (1 - last), after)


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
    code = jnp.where(step < task.options.least, int(task.balance.failure), way.code)
    return _onward(task, way._replace(step=step, code=code, cuts=way.cuts + 1), trust=0.0)


def _onward(task: _Task, way: _Way, trust: float = 1.0) -> _Way:
    """To a further share of the load, from a guess along the way so far, or none without trust."""
    share = jnp.minimum(way.done + way.step, 1.0)
    # No sliver of a step at the end.
    share = jnp.where(1 - share < 0.1 * way.step, 1.0, share)
    known = way.done > way.before
    ratio = jnp.where(known, (share - way.done) / jnp.where(known, way.done - way.before, 1), 0)
    guess = jax.tree.map(lambda a, b: a + trust * ratio * (a - b), way.there, way.former)
    held = jnp.where(
        task.balance.wall.fixed,
        task.balance.load(share).displacement,
        task.balance.deformation(guess).displacement,
    )
    return way._replace(
        at=eqx.tree_at(lambda at: task.balance.deformation(at).displacement, guess, held),
        share=share,
        damping=jnp.ones_like(way.damping),
        fresh=jnp.array(True),
        stale=jnp.array(False),
        ended=jnp.array(False),
        tries=jnp.array(0),
    )


@eqx.filter_jit
def _end(task: _Task, way: _Way) -> tuple[Any, dict[str, Array], Array]:
    stats = {
        "load": way.done,
        "load_steps": way.steps,
        "cuts": way.cuts,
        "corrections": way.corrections,
        "factorisations": way.factorisations,
        "least_volume": task.balance.least_volume(way.there),
    }
    return way.there, stats, way.code


def _plus(at: Any, correction: Any, share: Any) -> Any:
    return jax.tree.map(lambda a, b: a + share * b, at, correction)


def _where(which: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), one, other)


def _size(task: _Task, correction: Any) -> Float[Array, ""]:
    """The greatest displacement [mm] of any node."""
    moves = task.balance.deformation(correction).displacement
    return jnp.sqrt(_greatest(jnp.sum(moves**2, axis=1)))


def _greatest(values: Array) -> Float[Array, ""]:
    """The greatest of all sizes; infinite if one is NaN, which XLA's maxima can lose."""
    return jnp.where(jnp.all(jnp.isfinite(values)), jnp.max(jnp.abs(values)), jnp.inf)
