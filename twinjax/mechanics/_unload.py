"""The verb: `unload` finds the shape at rest of a wall that is known under its load."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from twinjax._solve import Solution, _finish
from twinjax.mechanics._axes import orthonormal
from twinjax.mechanics._cells import Cells
from twinjax.mechanics._deform import _volumes
from twinjax.mechanics._implicit import moved, tangent_of
from twinjax.mechanics._inverse import (
    Image,
    InverseCoupling,
    inverse_residual,
    inverse_stiffness,
    wall_pressure,
)
from twinjax.mechanics._rest import rest_of
from twinjax.mechanics._search import Options, options_for, search
from twinjax.mechanics._wall import Deformation, Load, Wall


class Unloaded(eqx.Module):
    """A wall at rest, and its deformation in the loaded shape, an equilibrium there."""

    wall: Wall
    deformation: Deformation


def unload(
    wall: Wall,
    load: Load,
    *,
    first_step: float = 0.25,
    least_step: float = 1e-4,
    max_corrections: int = 40,
    rtol: float = 1e-9,
    progress: Callable[[float], Any] | None = None,
    throw: bool = True,
) -> Solution:
    """The shape at rest of which `deform` under the load makes the shape that is given.

    The points of `wall` are those of the loaded shape, an image for example, and its axes those of
    the tissue in that shape: fibres and sheets go back to rest with the points that they are made
    of, as [`carried`][twinjax.mechanics.carried] says. The energy, the tension and the springs are
    those of the wall at rest; what is fixed is there where `load.displacement` takes it to.

    The balance in the loaded shape is solved for the points at rest (Govindjee and Mihalic 1996,
    Comput Methods Appl Mech Eng 136:47), by Newton's method along a load that grows, as in
    `deform`: once, where the fixed point of Sellier 2011, Comput Math Appl 62:1767, loads the wall
    again and again. Derivatives, forward and reverse, of everything that is returned, by
    parameters, loads, axes and the points of the loaded shape, come from the implicit-function
    rule and cost one more linear solve.

    **Arguments** as for `deform`; `progress(share)` is told the share of the load that is done,
    except inside of compiled code. With `throw=False` a failure is only recorded: the shape is
    then that at rest for the share `stats["load"]` of the load.

    **Returns:** `Solution` whose state is [`Unloaded`][twinjax.mechanics.Unloaded]. Observations
    [mm³]: `volumes` (cavity) at rest, and `loaded_volumes`. Raises `ValueError` for a load that
    does not fit or has a motion or a contraction, and for a wall that nothing holds.
    """
    wall.check_held()
    if load.motion is not None:
        raise ValueError("a wall in motion is not unloaded: give the load without a motion")
    if load.contraction is not None:
        raise ValueError("a wall is not unloaded from a contraction: give it as tension")
    asked = load.on(wall)
    points = wall.elements.points
    options = options_for(wall, first_step, least_step, max_corrections, rtol)
    loaded, stats, code = _inverse((wall, asked), options, progress)
    state = _at_rest(wall, loaded)
    observations = {
        "volumes": _volumes(state.wall, jnp.zeros_like(points)),
        "loaded_volumes": _volumes(wall, jnp.zeros_like(points)),
    }
    times = jnp.reshape(stats["load"], (1,))
    return _finish(Solution(times, observations, state, stats, code), throw)


@eqx.filter_jit
def _at_rest(wall: Wall, loaded: Deformation) -> Unloaded:
    image = Image(wall)
    u = loaded.displacement[wall.elements.cells]
    back = jnp.einsum("cai,cqaA->cqiA", u, image.cells.slopes)
    rest = eqx.tree_at(
        lambda w: (w.elements.points, w.frames),
        wall,
        (wall.elements.points - loaded.displacement, orthonormal(wall.frames - back)),
    )
    cells = Cells(rest)
    pressure = wall_pressure(wall, image, loaded)
    own = jnp.einsum("cq,cqm,cq->cm", cells.measure, cells.modes, pressure)
    return Unloaded(rest, Deformation(loaded.displacement, own))


@eqx.filter_custom_jvp
def _inverse(problem: Any, options: Options, progress: Any) -> Any:
    wall, load = problem
    return search(rest_of(wall, load), wall.at_rest(), options, progress=progress)


@_inverse.def_jvp
def _rule(primals: Any, tangents: Any) -> Any:
    problem, options, progress = primals
    state, stats, code = _inverse(problem, options, progress)
    nothing = jax.tree.map(lambda _: None, (stats, code))
    return (state, stats, code), (_moved(problem, state, tangents[0]), *nothing)


def _moved(problem: tuple[Wall, Load], state: Deformation, tangent: Any) -> Deformation:
    """How the shape at rest moves with the problem, by the linearised balance."""
    push = _pushed(problem, state, tangent)
    wall = problem[0]
    matrix, coupling = _linearised(problem, state)

    def linear(x: Deformation) -> Deformation:
        return coupling.product(wall, matrix, x)

    def solve(right: Deformation, transpose: bool) -> Deformation:
        mine = coupling.transposed() if transpose else coupling
        force = mine.before_solve(wall, right)
        return mine.solved(wall, right, wall.sparsity.solve(matrix, force, transpose=transpose))

    return moved(wall, linear, solve, push)


@eqx.filter_jit
def _pushed(problem: tuple[Wall, Load], state: Deformation, tangent: Any) -> Deformation:
    def balance(problem: Any) -> Deformation:
        wall, load = problem
        return inverse_residual(wall, Image(wall), load, state)

    return tangent_of(balance, problem, tangent, state)


@eqx.filter_jit
def _linearised(problem: tuple[Wall, Load], state: Deformation) -> tuple[Array, InverseCoupling]:
    wall, load = problem
    return inverse_stiffness(wall, Image(wall), load, state)
