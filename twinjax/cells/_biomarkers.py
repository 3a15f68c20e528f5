"""What is read from an action potential and a calcium transient, differentiably."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._solve import Solution

# A beat whose peak stays below it [mV] is not an action potential.
THRESHOLD = -20.0
FRACTIONS = (30, 40, 50, 90)


def biomarkers(solution: Solution) -> dict[str, Float[Array, ""]]:
    """Of one recorded beat that starts with the stimulus, as `pace` returns it.

    Between nodes the potential is the cubic Hermite polynomial of its values and slopes.

    - `resting_potential`, `peak_potential` [mV]: at the start of the beat, and the maximum.
    - `upstroke_velocity` [mV/ms]: maximum dV/dt, stimulus included, and `upstroke_time` [ms].
    - `apd30`, `apd40`, `apd50`, `apd90` [ms]: from the upstroke to where V has fallen by that share
      of the way from the peak to the resting potential, for the first time; `triangulation` is
      apd90 - apd30, `triangulation40` apd90 - apd40. NaN where it does not within the beat: a
      failure of repolarisation.
    - `calcium_diastolic`, `calcium_amplitude` [mM]: at the start, and the maximum less that;
      `calcium_duration80`, `calcium_duration90` [ms]: from the start of the beat to 80 and 90 %
      recovery.
    - `qnet` [current unit · s]: integral of `net`, where that was recorded.
    - `early_afterdepolarisation`: greatest dV/dt [mV/ms] from 100 ms after the upstroke on, above
      -60 mV; a positive one is an early afterdepolarisation; NaN where V is nowhere so high so
      late. `repolarised`: 1, or 0.

    A beat whose peak stays below -20 mV, or that falls from its start, is not captured: durations
    are NaN and `repolarised` is 0. Where a duration is NaN its gradient means nothing.
    """
    t, seen = solution.times, solution.observations
    v, slope = seen["v"], seen["slope"]
    upstroke, when = _upstroke(t, slope)
    height, summit = _peak(t, v, slope)
    found = {
        "resting_potential": v[0],
        "peak_potential": height,
        "upstroke_velocity": upstroke,
        "upstroke_time": when,
    }
    captured = (height > THRESHOLD) & (summit > when)
    for percent in FRACTIONS:
        level = height - percent / 100 * (height - v[0])
        duration = _falls_below(t, v, slope, level, summit) - when
        found[f"apd{percent}"] = jnp.where(captured, duration, jnp.nan)
    found["triangulation"] = found["apd90"] - found["apd30"]
    found["triangulation40"] = found["apd90"] - found["apd40"]
    late = (t > when + 100) & (v > -60)
    found["early_afterdepolarisation"] = jnp.where(
        jnp.any(late), jnp.max(jnp.where(late, slope, -jnp.inf)), jnp.nan
    )
    found["repolarised"] = jnp.isfinite(found["apd90"]).astype(v.dtype)
    if "cai" in seen:
        cai = seen["cai"]
        rate = _slopes(t, cai)
        most, when = _peak(t, cai, rate)
        found["calcium_diastolic"] = cai[0]
        found["calcium_amplitude"] = most - cai[0]
        for percent in (80, 90):
            level = most - percent / 100 * (most - cai[0])
            found[f"calcium_duration{percent}"] = _falls_below(t, cai, rate, level, when)
    if "net" in seen:
        found["qnet"] = _integral(t, seen["net"]) / 1000
    return found


def cycle_length(solution: Solution, level: float = -40.0) -> Float[Array, ""]:
    """Time [ms] between the last two upward crossings of `level` [mV]; NaN if there are not two."""
    t, v, slope = solution.times, solution.observations["v"], solution.observations["slope"]
    up = (v[:-1] < level) & (v[1:] >= level)
    count = up.shape[0]
    last = count - 1 - jnp.argmax(up[::-1])
    earlier = up & (jnp.arange(count) < last)
    before = count - 1 - jnp.argmax(earlier[::-1])
    both = jnp.any(up) & jnp.any(earlier)
    times = (_crossing(t, v, slope, level, i) for i in (last, before))
    late, early = times
    return jnp.where(both, late - early, jnp.nan)


def _upstroke(t: Array, slope: Array) -> tuple[Array, Array]:
    """The greatest slope and its time; both continuous as that moves from node to node."""
    return _peak(t, slope, _slopes(t, slope))


def _peak(t: Array, y: Array, slope: Array) -> tuple[Array, Array]:
    """Maximum of the cubic Hermite polynomials and its place."""
    top = jnp.argmax(y)
    # The maximum lies after the top node where it still rises there, else before it.
    i = jnp.clip(jnp.where(slope[top] > 0, top, top - 1), 0, y.shape[0] - 2)
    h = t[i + 1] - t[i]
    chord = (y[i + 1] - y[i]) / jnp.where(h > 0, h, 1.0)  # padded grids have steps of no length
    s0, s1 = slope[i], slope[i + 1]
    # y' = s0 + 2 (3 chord - 2 s0 - s1) u + 3 (s0 + s1 - 2 chord) u², u from 0 to 1.
    a, b, c = 3 * (s0 + s1 - 2 * chord), 3 * chord - 2 * s0 - s1, s0
    inside = (s0 > 0) & (s1 < 0)
    discriminant = jnp.where(inside, b * b - a * c, 1.0)
    # The root that a rising start and a falling end leave, in the form that never cancels.
    below = jnp.where(inside, jnp.sqrt(jnp.abs(discriminant)) - b, 1.0)
    u = jnp.where(inside, c / jnp.where(below == 0, 1.0, below), 0.0)
    u = jnp.where(inside, u, (y[i + 1] > y[i]).astype(y.dtype))
    return _hermite(h, y[i], y[i + 1], s0, s1, u), t[i] + u * h


def _falls_below(t: Array, y: Array, slope: Array, level: Array, after: Array) -> Array:
    """The first time after `after` at which y falls through the level; NaN if never."""
    down = (y[:-1] >= level) & (y[1:] < level) & (t[1:] > after)
    return jnp.where(jnp.any(down), _crossing(t, y, slope, level, jnp.argmax(down)), jnp.nan)


def _crossing(t: Array, y: Array, slope: Array, level: Any, i: Array) -> Array:
    """Where the polynomial of an interval meets a level that lies between its ends."""
    h, y0, y1, s0, s1 = t[i + 1] - t[i], y[i], y[i + 1], slope[i], slope[i + 1]
    gap = jnp.where(y1 == y0, 1.0, y1 - y0)
    u = jnp.clip((level - y0) / gap, 0.0, 1.0)
    for _ in range(4):  # Newton; its derivative is that of the implicit function
        value = _hermite(h, y0, y1, s0, s1, u) - level
        rise = h * (s0 * (1 - u) * (1 - 3 * u) - s1 * u * (2 - 3 * u)) + gap * 6 * u * (1 - u)
        steep = jnp.abs(rise) > 1e-3 * jnp.abs(gap)
        u = jnp.clip(u - jnp.where(steep, value / jnp.where(steep, rise, 1.0), 0.0), 0.0, 1.0)
    return t[i] + u * h


def _hermite(h: Array, y0: Array, y1: Array, s0: Array, s1: Array, u: Array) -> Array:
    ends = y0 * (1 + 2 * u) * (1 - u) ** 2 + y1 * u**2 * (3 - 2 * u)
    return ends + h * (s0 * u * (1 - u) ** 2 - s1 * u**2 * (1 - u))


def _slopes(t: Array, y: Array) -> Array:
    """Derivatives at nodes: of the parabola through each node and its neighbours.

    A step of no length, as padded grids have, is no neighbour: there the chord of the other side.
    """
    h = jnp.diff(t)
    chord = jnp.diff(y) / jnp.where(h > 0, h, 1.0)
    before, after = h[:-1] > 0, h[1:] > 0
    both = jnp.where(before & after, h[1:] + h[:-1], 1.0)
    inner = (chord[:-1] * h[1:] + chord[1:] * h[:-1]) / both
    inner = jnp.where(before & after, inner, jnp.where(before, chord[:-1], chord[1:]))
    return jnp.concatenate([chord[:1], inner, chord[-1:]])


def _integral(t: Array, y: Array) -> Array:
    return jnp.sum(0.5 * (y[1:] + y[:-1]) * jnp.diff(t))
