"""The search for an equilibrium: Newton's method, damped, along a load that grows.

Deuflhard 2004, Newton Methods for Nonlinear Problems, 3.3: a step s along the correction d is taken
if the next correction with the *same* stiffness, d', is shorter, |d'| ≤ (1 - s/4) |d|; that test is
the same whatever the units of forces and volumes are. Corrections that shrink to less than a third
are used as they are, so that a stiffness is made and factorised only where one is needed.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._balance import residual, solve, stiffness
from twinjax.mechanics._cells import Cells, Coupling, least_volume
from twinjax.mechanics._wall import Deformation, Load, Wall

_REUSE = 0.3  # a stiffness is kept while it makes corrections shrink to less than this
_LEAST = 1 / 64  # the shortest step along a correction
_QUICK = 8  # after a load step of at most so many corrections the next one is longer


class Options(NamedTuple):
    """`step` is the first share of the load, `least` the smallest; `tolerance` is of a length."""

    step: Any
    least: Any
    most: Any
    tolerance: Any


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
    tries: Array  # corrections since the share was last raised
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


@eqx.filter_jit
def search(
    wall: Wall, start: Deformation, first: Load, last: Load, options: Options
) -> tuple[Deformation, dict[str, Array], Array]:
    """From equilibrium under the first load to that under the last one.

    **Returns:** the deformation (of the last share of the load that was reached), statistics, and
    a `RESULTS` code.
    """
    cells = Cells(wall)

    def load(share: Array) -> Load:
        return jax.tree.map(lambda a, b: (1 - share) * a + share * b, first, last)

    def with_stiffness(way: _Way) -> _Way:
        coupling = Coupling(wall, cells, way.at)
        matrix = stiffness(wall, cells, coupling, load(way.share), way.at)
        return way._replace(coupling=coupling, matrix=matrix, factorisations=way.factorisations + 1)

    def advance(way: _Way) -> _Way:
        """Makes the stiffness and the correction here, or tries the correction that is there."""
        way = jax.lax.cond(way.fresh, with_stiffness, lambda same: same, way)
        trial = _plus(way.at, way.correction, jnp.where(way.fresh, 0.0, way.damping))
        left = residual(wall, cells, load(way.share), trial)
        right = jax.tree.map(jnp.negative, left)
        after = solve(wall, cells, way.coupling, way.matrix, right)
        sound = least_volume(wall, cells, trial.displacement) > 0
        tried = judged(way, trial, after, sound)
        made = way._replace(correction=after, fresh=jnp.array(False), stale=jnp.array(False))
        singular = way.fresh & ~(jnp.isfinite(_size(after)) & sound)
        ended = ~way.fresh & tried.ended
        lost = singular | (~way.fresh & ~ended & tried_too_long(tried))
        way = _where(way.fresh, made, tried)
        way = jax.lax.cond(ended, reached, lambda same: same, way)
        return jax.lax.cond(lost, cut, lambda same: same, way)

    def tried_too_long(way: _Way) -> Array:
        return (way.damping < _LEAST) | (way.tries >= options.most)

    def judged(way: _Way, trial: Deformation, after: Deformation, sound: Array) -> _Way:
        """Goes to the trial if the correction after it is shorter, else damps it more."""
        before, size = _size(way.correction), _size(after)
        shorter = size <= (1 - way.damping / 4) * before
        # Where nothing is left to correct, both are roundings.
        tiny = (size <= options.tolerance) & (way.damping == 1)
        good = sound & (shorter | tiny) & jnp.isfinite(size)
        enough = good & (way.damping == 1) & (size <= _REUSE * before)
        wider, closer = jnp.minimum(2 * way.damping, 1), way.damping / 2
        return way._replace(
            at=_where(good, _where(tiny, _plus(trial, after, 1.0), trial), way.at),
            correction=_where(enough, after, way.correction),
            damping=jnp.where(good, wider, jnp.where(way.stale, 1.0, closer)),
            fresh=jnp.where(good, ~enough, way.stale),
            stale=way.stale | (good & enough),
            ended=good & tiny,
            tries=way.tries + 1,
            corrections=way.corrections + 1,
        )

    def reached(way: _Way) -> _Way:
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
        return onward(way)

    def cut(way: _Way) -> _Way:
        step = (way.share - way.done) / 4
        code = jnp.where(step < options.least, RESULTS.no_equilibrium, way.code)
        # At rest a matrix that cannot be factorised is that of a wall that nothing holds.
        floating = ~jnp.isfinite(_size(way.correction)) & (way.done == 0)
        code = jnp.where(floating, RESULTS.not_held, code)
        return onward(way._replace(step=step, code=code, cuts=way.cuts + 1))

    def onward(way: _Way) -> _Way:
        share = jnp.minimum(way.done + way.step, 1.0)
        # No sliver of a step at the end.
        share = jnp.where(1 - share < 0.1 * way.step, 1.0, share)
        known = way.done > way.before
        ratio = jnp.where(known, (share - way.done) / jnp.where(known, way.done - way.before, 1), 0)
        guess = jax.tree.map(lambda a, b: a + ratio * (a - b), way.there, way.former)
        # After a cut no guess is trusted.
        guess = _where(way.cuts > 0, way.there, guess)
        held = jnp.where(wall.fixed, load(share).displacement, guess.displacement)
        return way._replace(
            at=Deformation(held, guess.pressure),
            share=share,
            damping=jnp.ones_like(way.damping),
            fresh=jnp.array(True),
            stale=jnp.array(False),
            ended=jnp.array(False),
            tries=jnp.array(0),
        )

    empty = jax.eval_shape(lambda: Coupling(wall, cells, start))
    zero, one = jnp.zeros(()), jnp.array(0)
    way = _Way(
        at=start,
        correction=jax.tree.map(jnp.zeros_like, start),
        matrix=jnp.zeros((wall.sparsity.blocks, 3, 3)),
        coupling=jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), empty),
        damping=jnp.ones(()),
        stale=jnp.array(False),
        fresh=jnp.array(True),
        ended=jnp.array(False),
        tries=one,
        share=zero,
        done=zero,
        before=zero,
        step=jnp.asarray(options.step, float),
        there=start,
        former=start,
        code=jnp.array(int(RESULTS.successful)),
        corrections=one,
        factorisations=one,
        cuts=one,
        steps=one,
    )

    def unfinished(way: _Way) -> Array:
        return (way.done < 1) & (way.code == RESULTS.successful)

    way = jax.lax.while_loop(unfinished, advance, onward(way))
    stats = {
        "load": way.done,
        "load_steps": way.steps,
        "cuts": way.cuts,
        "corrections": way.corrections,
        "factorisations": way.factorisations,
        "least_volume": least_volume(wall, cells, way.there.displacement),
    }
    return way.there, stats, way.code


def _plus(at: Deformation, correction: Deformation, share: Any) -> Deformation:
    return jax.tree.map(lambda a, b: a + share * b, at, correction)


def _where(which: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(which, a, b), one, other)


def _size(correction: Deformation) -> Float[Array, ""]:
    """The greatest displacement [mm] of any node."""
    return jnp.sqrt(jnp.max(jnp.sum(correction.displacement**2, axis=1)))
