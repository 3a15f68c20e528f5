"""Derivatives of beats by parameters: forward sensitivities, and the adjoint.

A step in time solves R(y; x, θ) = 0 for the deformation and the pressures y at its end, and then
goes from the state x to F(y, x, θ). With M = ∂R/∂y, of which one factorisation a step is made,

    forward   M ẏ = -∂R/∂x ẋ - ∂R/∂θ θ̇,   then ẋ of F;
    adjoint   Mᵀ λ = ȳ of F,   then x̄ and θ̄ less (∂R/∂x)ᵀ λ and (∂R/∂θ)ᵀ λ.

Steps are taken piece by compiled piece, as `beat` takes them, whose states are kept.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._solve import Solution
from twinjax.heart._whole_heart import (
    HeartState,
    WholeHeart,
    _after,
    _asked,
    _observed,
    beat,
    substeps_of,
)
from twinjax.mechanics._balance import before_solve, solved
from twinjax.mechanics._filled import Filled, FilledCoupling, Inflated, filled
from twinjax.mechanics._wall import Deformation


class _Step(NamedTuple):
    """What a step is a function of, but for parameters and state."""

    make: Callable
    length: Array
    observe: Callable | None
    substeps: int


def sensitivities(
    make: Callable,
    theta: Float[Array, " n"],
    *,
    start: HeartState,
    step: Any,
    steps: int | None = None,
    observe: Callable[[HeartState], Any] | None = None,
    moves: HeartState | None = None,
    progress: Callable[[float], Any] | None = None,
    rtol: float = 1e-6,
) -> tuple[Solution, Any, HeartState]:
    """A beat, and the derivatives of all that is observed in it.

    **Arguments:** `make(theta)` gives the [`WholeHeart`][twinjax.heart.WholeHeart] of parameters
    (n), for example `jax.tree_util.Partial(space.write, heart)`; `moves`, the derivatives (n, ...)
    of the start (default: it does not move), such as an earlier call returned: over some beats
    they become those of the periodic one. Others as for [`beat`][twinjax.heart.beat].

    **Returns:** the `Solution` of `beat`; the derivatives of its observations, of the same kind
    with a first axis (n); those of its final state. Raises `RuntimeError` where the beat fails.
    """
    run, states = _kept(make, theta, start, step, steps, observe, progress, rtol)
    along, sparsity = jnp.eye(len(theta)), _made(make, theta).wall.sparsity
    if moves is None:
        moves = jax.tree.map(lambda x: jnp.zeros((len(theta), *x.shape)), start)
    seen = [_seen_moves(make, theta, start, observe, along, moves)]
    for each, before, after in _walk(make, states, run, observe):
        matrix, coupling = _linear(each, theta, before, after)
        right, forces = _off(each, theta, before, after, coupling, along, moves)
        sides = jnp.concatenate([forces, coupling.push])
        found = sparsity.solve_here(matrix, sides)
        moves, told = _ahead(each, theta, before, after, coupling, right, found, along, moves)
        seen.append(told)
    observations = jax.tree.map(lambda *o: jnp.stack(o, axis=1), *seen)
    return run, observations, moves


def adjoint(
    make: Callable,
    theta: Float[Array, " n"],
    measure: Callable[[Any], Float[Array, " m"]],
    *,
    start: HeartState,
    step: Any,
    steps: int | None = None,
    observe: Callable[[HeartState], Any] | None = None,
    progress: Callable[[float], Any] | None = None,
    rtol: float = 1e-6,
) -> tuple[Float[Array, " m"], Float[Array, "m n"], Solution]:
    """Numbers of a beat, and their derivatives by parameters, whose number costs nothing.

    **Arguments:** `measure(observations)` gives m numbers of what `beat` observes; the start does
    not move; others as for [`sensitivities`][twinjax.heart.sensitivities].

    **Returns:** the numbers (m), their derivatives (m, n) and the `Solution`. Raises
    `RuntimeError` where the beat fails.
    """
    run, states = _kept(make, theta, start, step, steps, observe, progress, rtol)
    values = measure(run.observations)
    wanted = jax.jacrev(measure)(run.observations)
    sparsity = _made(make, theta).wall.sparsity
    pulled = jax.tree.map(lambda x: jnp.zeros((len(values), *x.shape)), states[-1])
    total = jnp.zeros((len(values), len(theta)))
    walk = list(_walk(make, states, run, observe))
    for number, (each, before, after) in reversed(list(enumerate(walk))):
        told = jax.tree.map(lambda w, at=number + 1: w[:, at], wanted)
        matrix, coupling = _linear(each, theta, before, after)
        found = _pulled(each, theta, before, after, coupling, pulled, told)
        by_theta, by_state, at, forces = found
        back = sparsity.solve_here(matrix, forces, transpose=True)
        less = _back(each, theta, before, after, coupling, at, back)
        total = total + by_theta + less[0]
        pulled = jax.tree.map(jnp.add, by_state, less[1])
    first = jax.tree.map(lambda w: w[:, 0], wanted)
    return values, total + _first_pull(make, theta, start, observe, first), run


def _kept(
    make: Callable,
    theta: Array,
    start: HeartState,
    step: Any,
    steps: int | None,
    observe: Callable | None,
    progress: Callable | None,
    rtol: float,
) -> tuple[Solution, list[HeartState]]:
    """The beat, and its states on the host."""
    states: list[HeartState] = []

    def keep(state: HeartState) -> None:
        states.append(jax.tree.map(np.asarray, state))

    run = beat(
        _made(make, theta),
        start=start,
        step=step,
        steps=steps,
        observe=observe,
        progress=progress,
        keep=keep,
        rtol=rtol,
    )
    return run, [start, *states]


def _walk(make: Callable, states: list[HeartState], run: Solution, observe: Callable | None) -> Any:
    lengths = np.diff(np.asarray(run.times))
    substeps = substeps_of(lengths)
    for length, before, after in zip(lengths, states[:-1], states[1:], strict=True):
        yield _Step(make, jnp.asarray(length), observe, substeps), before, after


@eqx.filter_jit
def _made(make: Callable, theta: Array) -> WholeHeart:
    return make(theta)


def _end(after: HeartState) -> Inflated:
    return Inflated(after.deformation, after.pressure)


def _balance(step: _Step, theta: Array, before: HeartState) -> Filled:
    heart = step.make(theta)
    load, exchange, _ = _asked(heart, before, step.length, step.substeps)
    return filled(heart.wall, before.deformation, load, load, exchange)


def _residual(step: _Step, theta: Array, before: HeartState, end: Inflated) -> Inflated:
    balance = _balance(step, theta, before)
    return balance.residual(balance.load(jnp.ones(())), end)


def _onward(step: _Step, theta: Array, before: HeartState, end: Inflated) -> tuple[HeartState, Any]:
    heart = step.make(theta)
    _, exchange, _ = _asked(heart, before, step.length, step.substeps)
    state = _after(heart, before, exchange, end, step.length)
    return state, _observed(heart, state, step.observe)


@eqx.filter_jit
def _linear(
    step: _Step, theta: Array, before: HeartState, after: HeartState
) -> tuple[Array, FilledCoupling]:
    balance = _balance(step, theta, before)
    return balance.linearised(balance.load(jnp.ones(())), _end(after))


@eqx.filter_jit
def _off(
    step: _Step,
    theta: Array,
    before: HeartState,
    after: HeartState,
    coupling: FilledCoupling,
    along: Array,
    moves: HeartState,
) -> tuple[Inflated, Array]:
    """By what parameters and the moves of the state bring a step out of balance, less that."""
    balance = _balance(step, theta, before)

    def one(along: Array, moves: HeartState) -> tuple[Inflated, Array]:
        off = jax.jvp(
            lambda t, s: _residual(step, t, s, _end(after)), (theta, before), (along, moves)
        )
        right = jax.tree.map(jnp.negative, off[1])
        force = before_solve(balance.wall, balance.cells, coupling.cells, right.deformation)
        return right, force

    return jax.vmap(one)(along, moves)


@eqx.filter_jit
def _ahead(
    step: _Step,
    theta: Array,
    before: HeartState,
    after: HeartState,
    coupling: FilledCoupling,
    right: Inflated,
    found: Array,
    along: Array,
    moves: HeartState,
) -> tuple[HeartState, Any]:
    balance, count = _balance(step, theta, before), len(along)
    ways = found[count:]

    def one(right: Inflated, u: Array, along: Array, moves: HeartState) -> Any:
        end = balance.solved(coupling, right, jnp.concatenate([u[None], ways]))
        at = (theta, before, _end(after))
        return jax.jvp(lambda *a: _onward(step, *a), at, (along, moves, end))[1]

    return jax.vmap(one)(right, found[:count], along, moves)


@eqx.filter_jit
def _seen_moves(
    make: Callable, theta: Array, state: HeartState, observe: Any, along: Array, moves: Any
) -> Any:
    def one(along: Array, moves: HeartState) -> Any:
        return jax.jvp(lambda t, s: _observed(make(t), s, observe), (theta, state), (along, moves))[
            1
        ]

    return jax.vmap(one)(along, moves)


@eqx.filter_jit
def _first_pull(make: Callable, theta: Array, state: HeartState, observe: Any, told: Any) -> Array:
    pull = jax.vjp(lambda t: _observed(make(t), state, observe), theta)[1]
    return jax.vmap(lambda t: pull(t)[0])(told)


@eqx.filter_jit
def _pulled(
    step: _Step,
    theta: Array,
    before: HeartState,
    after: HeartState,
    coupling: FilledCoupling,
    pulled: HeartState,
    told: Any,
) -> tuple[Array, HeartState, Inflated, Array]:
    """What the end of a step is pulled by, and what the transposed stiffness is solved with."""
    balance = _balance(step, theta, before)
    pull = jax.vjp(lambda *a: _onward(step, *a), theta, before, _end(after))[1]
    by_theta, by_state, at = jax.vmap(lambda s, o: pull((s, o)))(pulled, told)

    def force(right: Deformation) -> Array:
        return before_solve(balance.wall, balance.cells, coupling.cells, right)

    slopes = jax.vmap(lambda slope: force(_slope(balance, slope)))(coupling.slope)
    sides = [jax.vmap(force)(at.deformation), slopes]
    return by_theta, by_state, at, jnp.concatenate(sides)


def _slope(balance: Filled, slope: Array) -> Deformation:
    """∂V/∂u of a cavity, as a right side."""
    return Deformation(slope, balance.wall.at_rest().pressure)


@eqx.filter_jit
def _back(
    step: _Step,
    theta: Array,
    before: HeartState,
    after: HeartState,
    coupling: FilledCoupling,
    at: Inflated,
    found: Array,
) -> tuple[Array, HeartState]:
    """λ by the Schur complement of the pressures, and what it takes from θ̄ and x̄."""
    balance, count = _balance(step, theta, before), len(at.pressure)

    def whole(right: Deformation, u: Array) -> Deformation:
        return solved(balance.wall, balance.cells, coupling.cells, right, u)

    alone = jax.vmap(whole)(at.deformation, found[:count])
    ways = jax.vmap(lambda slope, u: whole(_slope(balance, slope), u))(
        coupling.slope, found[count:]
    )
    push = coupling.push
    seen = jnp.einsum("jni,kni->jk", push, ways.displacement) + coupling.compliance.T
    wanted = jnp.einsum("jni,mni->mj", push, alone.displacement) - at.pressure
    pressure = jnp.linalg.solve(seen, wanted.T).T
    wall = jax.tree.map(lambda a, w: a - jnp.tensordot(pressure, w, axes=1), alone, ways)
    pull = jax.vjp(lambda t, s: _residual(step, t, s, _end(after)), theta, before)[1]
    return jax.vmap(lambda d, p: jax.tree.map(jnp.negative, pull(Inflated(d, p))))(wall, pressure)
