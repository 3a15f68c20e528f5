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
from twinjax.mechanics import Contraction, Load, fibre_stretch, inflate
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

    Between beats F of the heart, the circulation x is corrected,

        x ← x + H (F(x) - x),

    at first with H = (1 - ∂G/∂x)⁻¹ of the lumped heart's beats G, which have nearly the same
    Jacobian and cost nothing; each beat then tells by how much it was off (Broyden 1965, Math Comp
    19:577). The wall is filled to the corrected volumes; the rest of it, beats forget soon.

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
    search = _Search(heart)
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
        state = search.corrected(state, done.state)
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


class _Search:
    """Where beats should start, from how the last ones went."""

    def __init__(self, heart: WholeHeart):
        self.heart = heart
        self.inverse: np.ndarray | None = None
        self.last: tuple[np.ndarray, np.ndarray] | None = None

    def corrected(self, before: HeartState, after: HeartState) -> HeartState:
        """The state to start from; that after the beat where a correction makes no sense."""
        heart = self.heart
        old, unravel = ravel_pytree(before.circulation)
        x, off = np.asarray(old), np.asarray(ravel_pytree(after.circulation)[0] - old)
        if self.inverse is None:
            self.inverse = np.array(_sensitivity(heart.circulation))
        if self.last is not None:
            went, told = x - self.last[0], off - self.last[1]
            seen = self.inverse @ told
            if went @ seen:
                self.inverse -= np.outer(went + seen, went @ self.inverse) / (went @ seen)
        self.last = (x, off)
        found = heart.circulation.restore(unravel(jnp.asarray(x + self.inverse @ off)))
        if not np.all(np.asarray(found.volume) > 0):
            return after
        refilled = _refilled(heart, after, found.volume[jnp.array(heart.numbers())])
        if refilled is None:
            return after
        return eqx.tree_at(lambda s: s.circulation, refilled, found)


def _refilled(heart: WholeHeart, state: HeartState, volumes: Array) -> HeartState | None:
    """With other volumes [mL] in walled chambers, under the tension that there is; or None."""
    stretch = fibre_stretch(heart.wall, state.deformation.displacement)
    pull = Contraction(heart.tension.tension(state.sarcomeres, stretch))
    load = Load(state.pressure, contraction=pull)
    asked, rest = volumes * factor("mL", "mm3"), (state.deformation, load)
    done = inflate(heart.wall, asked, load, start=rest, throw=False)
    if not done.ok:
        return None
    found = done.state
    return eqx.tree_at(
        lambda s: (s.deformation, s.pressure), state, (found.deformation, found.pressure)
    )
