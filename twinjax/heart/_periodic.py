"""The periodic beat of a whole heart, without dozens of transient ones."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _Beat, _finish, equilibrate
from twinjax.heart._closed_loop import CirculationState, ClosedLoop
from twinjax.heart._whole_heart import HeartState, WholeHeart, beat
from twinjax.units import factor

_STEPS = 500  # of the lumped beat


def settle(
    heart: WholeHeart,
    *,
    start: HeartState | None = None,
    step: Any = 4.0,
    beats: int = 6,
    rtol: float = 0.01,
    observe: Callable[[HeartState], Any] | None = None,
    progress: Callable[[float], Any] | None = None,
    throw: bool = True,
) -> Solution:
    """The beat that brings the circulation back to where it started, to `rtol`.

    Between beats F of the heart, the circulation x is corrected as Newton's method would the
    lumped heart's beats G, which have nearly the same Jacobian and cost nothing:

        x ← x + (1 - ∂G/∂x)⁻¹ (F(x) - x)

    The wall goes on as it is, with what it holds: beats forget that soon.

    **Arguments:** `start` (default: the wall filled as the lumped heart's periodic beat begins);
    `step` [ms], rounded so that a beat is a whole number of them, or all steps of a beat; `beats`,
    at most; the change of each volume and pressure over a beat is relative to the largest; others
    as for [`beat`][twinjax.heart.beat].

    **Returns:** `Solution` of the last beat, with `stats["beats"]` and `stats["residual"]`; its
    result says where no periodic beat was found. Raises `ValueError` for steps or beats that make
    no sense.
    """
    if beats < 1:
        raise ValueError(f"a periodic beat needs one beat at least, not {beats}")
    period = float(heart.circulation.period()) * factor("s", "ms")
    lengths = np.asarray(step, float)
    if not np.all(lengths > 0):
        raise ValueError(f"steps must be above 0, not {step}")
    if lengths.ndim == 0:
        lengths = np.ones(max(1, round(period / step)))
    lengths = lengths * (period / lengths.sum())
    state = heart.filled() if start is None else start
    inverse = None
    for number in range(1, beats + 1):
        done = beat(
            heart,
            start=state,
            step=lengths,
            observe=observe,
            progress=progress,
            throw=False,
        )
        residual = _residual(state.circulation, done.state.circulation)
        stats = done.stats | {"beats": jnp.array(number), "residual": residual}
        code = jnp.where(residual <= rtol, done.result, RESULTS.not_periodic)
        code = jnp.where(done.ok, code, done.result)
        if not done.ok or residual <= rtol or number == beats:
            break
        inverse = _sensitivity(heart.circulation) if inverse is None else inverse
        state = _corrected(heart, state, done.state, inverse)
    whole = Solution(done.times, done.observations, done.state, stats, code)
    return _finish(whole, throw)


def _residual(before: CirculationState, after: CirculationState) -> Float[Array, ""]:
    """The greatest change of a volume or a pressure, of the greatest one."""
    pairs = ((before.volume, after.volume), (before.pressure, after.pressure))
    return jnp.max(jnp.stack([jnp.max(jnp.abs(b - a)) / jnp.max(jnp.abs(a)) for a, b in pairs]))


@eqx.filter_jit
def _sensitivity(lumped: ClosedLoop) -> Float[Array, "12 12"]:
    """(1 - ∂G/∂x)⁻¹ of the lumped heart's beat."""
    run = _Beat(lumped, _STEPS)
    at, unravel = ravel_pytree(equilibrate(lumped).state)

    def onward(x: Array) -> Array:
        return ravel_pytree(run.final(lumped.restore(unravel(x))))[0]

    return jnp.linalg.inv(jnp.eye(at.size) - jax.jacfwd(onward)(at))


def _corrected(
    heart: WholeHeart, before: HeartState, after: HeartState, inverse: Array
) -> HeartState:
    old, unravel = ravel_pytree(before.circulation)
    new = ravel_pytree(after.circulation)[0]
    found = unravel(old + inverse @ (new - old))
    walls = jnp.array(heart.numbers())
    volume = found.volume.at[walls].set(after.circulation.volume[walls])
    if np.all(np.asarray(volume) > 0):
        blood = heart.circulation.restore(found._replace(volume=volume))
        return eqx.tree_at(lambda s: s.circulation, after, blood)
    return after
