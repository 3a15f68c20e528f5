"""The loop of tissue: cells and conduction in turn, activation times found on the way."""

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twinjax._names import unknown_name
from twinjax._results import RESULTS
from twinjax._solve import Solution, _finish
from twinjax.cells import AbstractScheme, RushLarsen, RushLarsen2
from twinjax.cells._cell import as_arrays
from twinjax.electro._tissue import Tissue

SPLITTINGS = ("godunov", "strang")
# Rounding may put an eigenvalue a little above its bound.
_MARGIN = 0.999


class Stimulus(eqx.Module):
    """A current into some nodes for a while.

    `amplitude` is a current in the unit of the cells' `about.current_unit`, as for one cell: a
    depolarising one is negative. An S1-S2 protocol is two stimuli.
    """

    where: Bool[np.ndarray | Array, " n"]
    amplitude: Any
    start: Any = 0.0  # [ms]
    duration: Any = 2.0  # [ms]


class Propagation(eqx.Module):
    """What leaves the loop. A time is infinite where it did not come."""

    activation: Float[Array, " n"]  # first upward crossing of the threshold [ms]
    repolarisation: Float[Array, " n"]  # first downward crossing of the other one after that [ms]
    potentials: Float[Array, "s n"]  # V [mV] at the solution's times
    traces: Float[Array, "steps k"]  # V [mV] of chosen nodes at the end of every step


def propagate(
    tissue: Tissue,
    stimuli: Sequence[Stimulus],
    *,
    duration: float,
    step: float = 0.05,
    substeps: int | None = None,
    splitting: str = "godunov",
    scheme: AbstractScheme | None = None,
    state: Any = None,
    after: Solution | None = None,
    threshold: float = 0.0,
    recovered: float = -70.0,
    since: float = 0.0,
    save_every: float | None = None,
    trace: Sequence[int] = (),
    memory: float = 1.0,
    throw: bool = True,
) -> Solution:
    """Runs tissue for a while.

    A step is one of the cells and `substeps` of conduction: after it with "godunov" (forward
    Euler, first order in time), half before and half after it with "strang" (Heun's method, second
    order with a second-order scheme). Both are explicit, and stable up to `longest_step`.

    **Arguments:** `duration` and `step` [ms]; `substeps` (default: as few as are stable); `scheme`
    of the cells (default: `RushLarsen` for "godunov", `RushLarsen2` for "strang"; it does not stop
    at the switches of models that have them); `state` of another solution to begin with at 0 ms
    (default: the published one), or `after`, a solution to go on from: at the time where it ended,
    with the crossings that it saw; `threshold` and `recovered` [mV] of the two times, which count
    from `since` [ms] on; `save_every` [ms] keeps potentials, `trace` those of a few nodes at every
    step. With `throw=False` a failure is only in the solution's result.

    **Returns:** `Solution` with a `Propagation`, times [ms] of its potentials (the end, if none
    are asked for), and the state of every region's cells. Its `stats` have the number of `steps`
    since 0 ms, and of `substeps`. Crossings are interpolated linearly in time.

    Reverse mode keeps the states of all steps where these need no more than `memory` [GB], else
    about 2 √n states of n steps, and takes every step once more.

    Raises `ValueError` for lengths of time that do not fit each other, an unknown splitting, a
    stimulus or a solution of another tissue, too few substeps, or none where they cannot be chosen.
    """
    if splitting not in SPLITTINGS:
        raise ValueError(unknown_name("splitting", splitting, SPLITTINGS))
    steps = _whole(duration, step, "duration")
    saved = None if save_every is None else _whole(save_every, step, "save_every")
    if saved is not None and steps % saved:
        raise ValueError(f"{duration} ms is no whole number of save_every = {save_every} ms")
    n = sum(tissue.counts)
    for stimulus in stimuli:
        if len(stimulus.where) != n:
            raise ValueError(f"a stimulus names {len(stimulus.where)} nodes, the tissue has {n}")
    share = step if splitting == "godunov" else step / 2
    substeps = _enough(tissue, share, substeps)
    if scheme is None:
        scheme = RushLarsen() if splitting == "godunov" else RushLarsen2()
    dtype = _dtype(tissue)
    if after is None:
        state = tissue.initial_state() if state is None else state
        crossings, first = (jnp.full(n, jnp.inf, dtype),) * 2, jnp.asarray(0, int)
    else:
        if state is not None:
            raise ValueError("give a state to begin with or a solution to go on after, not both")
        _fits(after, n, step)
        state, first = after.state, after.stats["steps"]
        seen = after.observations
        crossings = (seen.activation.astype(dtype), seen.repolarisation.astype(dtype))
    parts = zip(state, tissue.counts, strict=True)
    state = tuple(as_arrays(s, jnp.zeros(count, dtype)) for s, count in parts)
    all_states = 1e-9 * steps * sum(x.nbytes for x in jax.tree.leaves((state, crossings)))
    strang, chunked = splitting == "strang", all_states > memory
    loop = _Loop(scheme, steps, saved, step, substeps, strang, tuple(trace), chunked)
    limits = (threshold, recovered, since)
    return _propagated(tissue, tuple(stimuli), state, crossings, first, loop, limits, throw)


def longest_step(tissue: Tissue) -> Float[Array, ""]:
    """The step [ms] that explicit conduction is stable up to: 2 over a bound of the largest rate.

    On a grid of d dimensions with isotropic D that is h² / (2 d D) for the lumped mass, and less
    for the blended one.
    """
    return _longest_step(tissue)


@eqx.filter_jit
def _longest_step(tissue: Tissue) -> Array:
    return tissue.conduction(_dtype(tissue)).longest_step()


def _enough(tissue: Tissue, share: float, substeps: int | None) -> int:
    limit = _longest_step(tissue)
    if isinstance(limit, jax.core.Tracer):
        if substeps is None:
            raise ValueError(
                "substeps cannot be chosen while conductivities are traced: give a number that "
                "longest_step of the untraced tissue admits"
            )
        return substeps  # the loop looks at the values and records a step that is too long
    needed = max(1, math.ceil(share / (_MARGIN * float(limit))))
    if substeps is not None and substeps < needed:
        raise ValueError(
            f"{substeps} substeps of {share / substeps:.3g} ms are unstable, for conduction allows "
            f"{float(limit):.3g} ms at most: ask for {needed} or for a shorter step"
        )
    return needed if substeps is None else substeps


def _whole(length: float, step: float, name: str) -> int:
    count = round(length / step) if step > 0 else 0
    if count < 1 or abs(count * step - length) > 1e-6 * length:
        raise ValueError(f"{name} = {length} ms is no whole number of steps of {step} ms")
    return count


def _fits(after: Solution, n: int, step: float) -> None:
    nodes = len(after.observations.activation)
    if nodes != n:
        raise ValueError(f"the solution to go on after has {nodes} nodes, the tissue has {n}")
    if isinstance(after.times, jax.core.Tracer):
        return
    steps, end = int(after.stats["steps"]), float(after.times[-1])
    if abs(steps * step - end) > 1e-5 * end:
        raise ValueError(
            f"the solution to go on after took {steps} steps for {end:g} ms: go on with a step of "
            f"{end / steps:.6g} ms, not {step:g}"
        )


class _Loop(eqx.Module):
    """What a compiled loop is made for."""

    scheme: AbstractScheme
    steps: int = eqx.field(static=True)
    saved: int | None = eqx.field(static=True)
    step: float = eqx.field(static=True)
    substeps: int = eqx.field(static=True)
    strang: bool = eqx.field(static=True)
    trace: tuple[int, ...] = eqx.field(static=True)
    chunked: bool = eqx.field(static=True)  # whether reverse mode keeps states between chunks only


def _dtype(tissue: Tissue) -> Any:
    return jnp.result_type(*jax.tree.leaves(eqx.filter(tissue, eqx.is_inexact_array)), float)


@eqx.filter_jit
def _propagated(
    tissue: Tissue,
    stimuli: tuple,
    state: Any,
    crossings: tuple[Array, Array],
    first: Array,
    loop: _Loop,
    limits: tuple,
    throw: bool,
) -> Solution:
    dtype = _dtype(tissue)
    conduction = tissue.conduction(dtype)
    counts = tissue.counts
    places = jnp.asarray([s.where for s in stimuli], dtype).reshape(-1, sum(counts))
    threshold, recovered, since = (jnp.asarray(x, dtype) for x in limits)
    share = loop.step / 2 if loop.strang else loop.step
    end = first + loop.steps

    def conduct(v: Array) -> Array:
        return conduction.advance(v, share, loop.substeps, second_order=loop.strang)

    def react(cells: Any, current: Array) -> Any:
        parts = zip(tissue.cells, cells, _split(current, counts), strict=True)
        return tuple(loop.scheme.step(c, s, inward, loop.step)[0] for c, s, inward in parts)

    def step(carry: Any, number: Array) -> Any:
        cells, activation, repolarisation = carry
        time = number.astype(dtype) * loop.step
        before = _potential(cells)
        if loop.strang:
            cells = _with_potential(cells, conduct(before))
        current = _current(stimuli, places, time + loop.step / 2)
        cells = react(cells, current)
        v = conduct(_apart(number >= 0, _potential(cells)))

        def crossing(level: Array) -> Array:
            rise = v - before
            return time + loop.step * (level - before) / jnp.where(rise == 0, 1.0, rise)

        up = (before < threshold) & (v >= threshold) & jnp.isinf(activation) & (time >= since)
        down = (before >= recovered) & (v < recovered) & jnp.isinf(repolarisation)
        down = down & jnp.isfinite(activation)
        activation = jnp.where(up, crossing(threshold), activation)
        repolarisation = jnp.where(down, crossing(recovered), repolarisation)
        seen = v[jnp.asarray(loop.trace, int)]
        return (_with_potential(cells, v), activation, repolarisation), seen

    # Reverse mode keeps the state between chunks, then within one, then what a step needs.
    def run(carry: Any, numbers: Array) -> Any:
        carry, seen = jax.lax.scan(jax.checkpoint(step), carry, numbers)
        return carry, (seen, None if loop.saved is None else _potential(carry[0]))

    run = jax.checkpoint(run) if loop.chunked else run
    chunk = _chunk(loop.steps) if loop.saved is None else loop.saved
    whole = loop.steps - loop.steps % chunk
    numbers = first + jnp.arange(loop.steps)
    carry = (state, *crossings)
    carry, (seen, potentials) = jax.lax.scan(run, carry, numbers[:whole].reshape(-1, chunk))
    seen = seen.reshape(whole, len(loop.trace))
    if whole < loop.steps:
        carry, (rest, _) = run(carry, numbers[whole:])
        seen = jnp.concatenate([seen, rest])
    final, activation, repolarisation = carry
    if potentials is None:
        potentials, chunk = _potential(final)[None], loop.steps
    ends = first + chunk * jnp.arange(1, len(potentials) + 1)
    times = ends.astype(dtype) * loop.step
    finite = jnp.all(jnp.isfinite(_potential(final)))
    stable = share / loop.substeps <= conduction.longest_step()
    result = jnp.where(finite, int(RESULTS.successful), int(RESULTS.nonfinite))
    result = jnp.where(stable, result, int(RESULTS.step_too_long))
    observed = Propagation(activation, repolarisation, potentials, seen)
    stats = {"steps": end, "substeps": jnp.asarray(loop.substeps, int)}
    return _finish(Solution(times, observed, final, stats, result), throw)


def _chunk(steps: int) -> int:
    """Steps of a chunk: about √n, and a divisor of n where one is near, so that nothing is left."""
    root = math.isqrt(steps)
    return next((d for d in range(root, root // 2, -1) if steps % d == 0), root)


def _apart(always: Array, v: Array) -> Array:
    """V, in a buffer of its own.

    Otherwise XLA's CPU compiler, which drops optimisation barriers early, repeats the sum of
    currents in every term of the stencil: twice the time. What goes into a branch it computes once.
    """
    return jax.lax.cond(always, lambda x: x, lambda x: jnp.full_like(x, jnp.nan), v)


def _potential(cells: Any) -> Array:
    return cells[0].v if len(cells) == 1 else jnp.concatenate([s.v for s in cells])


def _split(values: Array, counts: tuple[int, ...]) -> list[Array]:
    return jnp.split(values, np.cumsum(counts)[:-1])


def _with_potential(cells: Any, v: Array) -> tuple[Any, ...]:
    parts = _split(v, tuple(len(s.v) for s in cells))
    return tuple(s._replace(v=part) for s, part in zip(cells, parts, strict=True))


def _current(stimuli: tuple, places: Array, time: Array) -> Array:
    """Of every node, at the middle of a step."""
    total = jnp.zeros(places.shape[1], places.dtype)
    for stimulus, place in zip(stimuli, places, strict=True):
        on = (time >= stimulus.start) & (time < stimulus.start + stimulus.duration)
        total = total + jnp.where(on, jnp.asarray(stimulus.amplitude, places.dtype), 0.0) * place
    return total
