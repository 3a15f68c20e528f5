"""The verb: `deform` finds the equilibrium of a wall under a load."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from twinjax._solve import Solution, _finish
from twinjax.mechanics._balance import product, residual, solve, stiffness
from twinjax.mechanics._cells import Cells, Coupling
from twinjax.mechanics._equilibrium import equilibrium
from twinjax.mechanics._implicit import moved, tangent_of
from twinjax.mechanics._search import Options, options_for, search
from twinjax.mechanics._wall import Deformation, Load, Wall

_INEXACT = 0.03  # of a correction may be wrong where an earlier factorisation serves


# Its parts are compiled, and not the verb: so derivatives share the compiled search.
def deform(
    wall: Wall,
    load: Load,
    *,
    start: tuple[Deformation, Load] | None = None,
    first_step: float = 0.25,
    least_step: float = 1e-4,
    max_corrections: int = 40,
    rtol: float = 1e-9,
    throw: bool = True,
) -> Solution:
    """The equilibrium of a wall under a load: the stationary point of

        Π(u) = ∫ W(E) + U(J) + T E_ff dV + ½ ∫ k u² dA - Σ p V(u) - f·u

    with V the volume of a cavity, whose pressure follows its surface. The load is applied in
    shares, the first of which is `first_step`; each is solved by Newton's method with damping, and
    is cut to a quarter where that fails, down to `least_step`. Derivatives, forward and reverse,
    of everything that is returned come from the implicit-function rule at the equilibrium and cost
    one more linear solve with the stiffness there; iterations are not unrolled.

    **Arguments:** `start`, an equilibrium and its load, from which the load then goes on to the
    one asked for (default: rest, without a load); `max_corrections` a share; `rtol` bounds the
    last correction relative to the size of the wall. With `throw=False` a failure is only recorded.

    **Returns:** `Solution` whose state is a [`Deformation`][twinjax.mechanics.Deformation], that of
    the last share of the load which was reached, `stats["load"]`. Observations: `volumes`
    (cavity) [mm³]. Raises `ValueError` for a load that does not fit, and for a wall that nothing
    holds.
    """
    wall.check_held()
    asked = load.on(wall)
    rest = (wall.at_rest(), asked.none(wall)) if start is None else (start[0], start[1].on(wall))
    options = options_for(wall, first_step, least_step, max_corrections, rtol)
    state, stats, code = _equilibrium((wall, asked), rest, options)
    observations = {"volumes": _volumes(wall, state.displacement)}
    times = jnp.reshape(stats["load"], (1,))
    return _finish(Solution(times, observations, state, stats, code), throw)


@eqx.filter_custom_jvp
def _equilibrium(problem: Any, rest: Any, options: Options) -> Any:
    wall, load = problem
    # Only inertia makes factors of another time good ones. At rest, hearts of several materials
    # stopped with them at a hundredth of a load that they bear.
    inexact = 0.0 if load.motion is None else _INEXACT
    return search(equilibrium(wall, rest[1], load), rest[0], options, inexact=inexact)


@_equilibrium.def_jvp
def _rule(primals: Any, tangents: Any) -> Any:
    problem, rest, options = primals
    state, stats, code = _equilibrium(problem, rest, options)

    nothing = jax.tree.map(lambda _: None, (stats, code))
    return (state, stats, code), (_moved(problem, state, tangents[0]), *nothing)


@eqx.filter_jit
def _volumes(wall: Wall, displacement: Array) -> Array:
    return wall.volumes(displacement)


def _moved(problem: tuple[Wall, Load], state: Deformation, tangent: Any) -> Deformation:
    """How the equilibrium moves with the problem: x of ∂residual/∂state x = -∂residual."""
    push = _pushed(problem, state, tangent)
    wall = problem[0]
    cells, coupling, matrix = _linearised(problem, state)

    def linear(x: Deformation) -> Deformation:
        return product(wall, cells, coupling, matrix, x)

    def solved(right: Deformation, transpose: bool) -> Deformation:
        return solve(wall, cells, coupling, matrix, right, transpose=transpose)

    return moved(wall, linear, solved, push)


@eqx.filter_jit
def _pushed(problem: tuple[Wall, Load], state: Deformation, tangent: Any) -> Deformation:
    def balance(problem: Any) -> Deformation:
        wall, load = problem
        return residual(wall, Cells(wall), load, state)

    return tangent_of(balance, problem, tangent, state)


@eqx.filter_jit
def _linearised(problem: tuple[Wall, Load], state: Deformation) -> tuple[Cells, Coupling, Array]:
    wall, load = problem
    cells = Cells(wall)
    coupling = Coupling(wall, cells, state)
    return cells, coupling, stiffness(wall, cells, coupling, load, state)
