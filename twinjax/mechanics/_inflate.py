"""The verb: `inflate` finds the pressures at which cavities hold given volumes of blood."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._solve import Solution, _finish
from twinjax.mechanics._deform import _INEXACT, _moved, _volumes
from twinjax.mechanics._filled import Inflated, filled, under
from twinjax.mechanics._search import Options, options_for, search
from twinjax.mechanics._wall import Deformation, Load, Wall


class _Given(eqx.Module):
    """Blood of which neither goes in nor out."""

    volumes: Float[Array, " cavity"]

    def __call__(self, pressure: Float[Array, " cavity"]) -> Float[Array, " cavity"]:
        return self.volumes


def inflate(
    wall: Wall,
    blood: Any,
    load: Load | None = None,
    *,
    start: tuple[Deformation, Load] | None = None,
    first_step: float = 0.25,
    least_step: float = 1e-4,
    max_corrections: int = 40,
    rtol: float = 1e-9,
    throw: bool = True,
) -> Solution:
    """The equilibrium in which the cavities hold given volumes, and the pressures that it takes:

        residual(u, p) = 0,   V(u) = blood(p),

    both at once by Newton's method, in which the pressures come from the Schur complement of the
    stiffness at the price of one more solve a cavity. Volumes and load go from those at the start
    to those asked for in shares, as the load of `deform` does. Derivatives, forward and reverse,
    by the wall, the load and the blood come from the implicit-function rule.

    **Arguments:** `blood`, volumes [mm³], a number or one a cavity; or how much blood there is at
    pressures [kPa] in the cavities, a function as an `equinox.Module`, by whose numbers derivatives
    are taken too; `load`, whose tension and forces act, and whose pressure does not; `start`,
    an equilibrium and its load (default: rest, without a load); others as for `deform`.

    **Returns:** `Solution` whose state is [`Inflated`][twinjax.mechanics.Inflated], that of the
    last share which was reached, `stats["load"]`; observations: `volumes` (cavity) [mm³] and
    `pressure` (cavity) [kPa]. Raises `ValueError` for a wall without cavities or that nothing
    holds, and for volumes that do not fit or are not above 0.
    """
    if not wall.cavities:
        raise ValueError("the wall has no cavities to fill: name their surfaces in cavities=")
    wall.check_held()
    asked = (Load() if load is None else load).on(wall)
    rest = (wall.at_rest(), asked.none(wall)) if start is None else (start[0], start[1].on(wall))
    options = options_for(wall, first_step, least_step, max_corrections, rtol)
    state, stats, code = _filled((wall, asked, _blood(wall, blood)), rest, options)
    found = _volumes(wall, state.deformation.displacement)
    observations = {"volumes": found, "pressure": state.pressure}
    times = jnp.reshape(stats["load"], (1,))
    return _finish(Solution(times, observations, state, stats, code), throw)


def _blood(wall: Wall, blood: Any) -> Callable:
    if callable(blood):
        return blood
    volumes = jnp.asarray(blood, wall.elements.points.dtype)
    if volumes.shape not in ((), (len(wall.cavities),)):
        raise ValueError(f"volumes have shape {volumes.shape}; valid: ({len(wall.cavities)},)")
    if not isinstance(volumes, jax.core.Tracer) and not np.all(np.asarray(volumes) > 0):
        raise ValueError(f"volumes must be above 0 mm³, not {np.asarray(volumes).min():g}")
    return _Given(jnp.broadcast_to(volumes, (len(wall.cavities),)))


@eqx.filter_custom_jvp
def _filled(problem: Any, rest: Any, options: Options) -> Any:
    wall, load, blood = problem
    inexact = 0.0 if load.motion is None else _INEXACT  # as in `deform`
    balance = filled(wall, rest[0], rest[1], load, blood)
    return search(balance, Inflated(rest[0], rest[1].pressure), options, inexact=inexact)


@_filled.def_jvp
def _rule(primals: Any, tangents: Any) -> Any:
    problem, rest, options = primals
    state, stats, code = _filled(problem, rest, options)
    wall, load, blood = problem
    wall_moves, load_moves, blood_moves = tangents[0]
    here, at = under(load, state.pressure), state.deformation
    # At constant pressure first; then the pressures that make up for what the volumes are off.
    still = under(load_moves, jnp.zeros_like(load.pressure))
    ahead = _moved((wall, here), at, (wall_moves, still))
    off = eqx.filter_jvp(_volumes, (wall, at.displacement), (wall_moves, ahead.displacement))[1]
    columns, slope = _by_pressure(wall, here, at)
    wanted = eqx.filter_jvp(lambda b: b(state.pressure), (blood,), (blood_moves,))[1]
    wanted = -off if wanted is None else wanted - off
    raised = jnp.linalg.inv(slope - jax.jacfwd(blood)(state.pressure)) @ wanted
    at_moves = jax.tree.map(lambda a, c: a + jnp.tensordot(raised, c, axes=1), ahead, columns)
    nothing = jax.tree.map(lambda _: None, (stats, code))
    return (state, stats, code), (Inflated(at_moves, raised), *nothing)


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
