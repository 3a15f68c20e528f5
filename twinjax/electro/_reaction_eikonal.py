"""Action potentials behind an eikonal front: cells that activation times set off.

The reaction-eikonal method without diffusion (Neic et al. 2017, J Comput Phys 346:191): every node
has a cell that a stimulus fires so that it crosses a threshold when the front arrives,

    dV/dt = f(V, …) + stimulus(t - T + c),

with c the time from the stimulus to the crossing. As nothing couples the cells, each runs in its
own time, on steps that are fine in the upstroke and coarse later, and is moved to T afterwards. The
front's foot and the smoothing of repolarisation by diffusion are missing: the published variant
with diffusion is the monodomain equation with a source.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.cells import DEFAULT, AbstractCell, AbstractScheme, Grid, beat_grid, pace


class ActionPotentials(eqx.Module):
    """What cells do that a front set off."""

    times: Float[Array, " s"]  # [ms], those of the potentials
    potentials: Float[Array, "s node"]  # [mV]
    activation: Float[Array, " node"]  # as given [ms]
    repolarisation: Float[Array, " node"]  # downward crossing of `recovered`; infinite without [ms]
    state: Any  # of the cells, at the end of their own time


def action_potentials(
    cell: AbstractCell,
    activation: Float[Array | np.ndarray, " node"],
    times: Float[Array | np.ndarray, " s"],
    *,
    state: Any = None,
    duration: float = 600.0,
    grid: Grid | None = None,
    amplitude: Any = None,
    scheme: AbstractScheme | None = None,
    threshold: float = -40.0,
    recovered: float = -70.0,
) -> ActionPotentials:
    """Potentials of all nodes at given times, and when they recover.

    **Arguments:** `cell`, whose parameters are numbers or arrays (node): with numbers only, one
    cell is run for all nodes. `activation` [ms] of `activation_times`; a node that is never
    reached (infinite) rests. `times` [ms] of the potentials; `state` before the stimulus (default:
    the published one; take that of a paced cell); `duration` [ms] of a cell's own time, after
    which it keeps its potential; `grid` of steps of that time, `amplitude` and `scheme` as in
    [`pace`][twinjax.cells.pace]; `threshold` [mV], crossed upwards at the activation time, and
    `recovered` [mV], crossed downwards at the repolarisation time.

    **Returns:** `ActionPotentials`, differentiable in activation times and in the cell's
    parameters. Potentials are interpolated linearly between steps.

    Raises `ValueError` for a cell without a stimulus or arrays that do not fit; at run time an
    error if a cell does not cross the threshold.
    """
    activation = jnp.asarray(activation, jnp.result_type(float))
    usual = cell.about.stimulus
    if usual is None and grid is None:
        raise ValueError(f"{cell.about.title} beats by itself: give a grid with a stimulus")
    if grid is None:
        assert usual is not None
        grid = beat_grid(duration, usual[1], setting=DEFAULT.within(cell))
    count = len(activation)
    state = cell.initial_state() if state is None else state
    axes = jax.tree.map(lambda x: 0 if np.ndim(x) else None, (cell, state))
    for array in jax.tree.leaves((cell, state)):
        if np.ndim(array) and np.shape(array) != (count,):
            raise ValueError(
                f"a cell's parameters and its state are numbers or have the shape ({count},), one "
                f"a node, not {np.shape(array)}"
            )

    # One cell after the other in the eyes of `pace`, since its switches ask for that.
    def run(cell: AbstractCell, state: Any) -> tuple[Array, Any, Array]:
        done = pace(cell, state=state, grid=grid, amplitude=amplitude, scheme=scheme, record=_none)
        return done.observations["v"], done.state, done.times

    if any(axis == 0 for axis in jax.tree.leaves(axes)):
        v, final, own = eqx.filter_vmap(run, in_axes=axes, out_axes=(1, 0, None))(cell, state)
    else:
        v, final, own = run(cell, state)
        v = v[:, None]
    levels = (threshold, recovered)
    return _moved(own, v, final, activation, times, levels)


def _none(cell: AbstractCell, state: Any) -> dict[str, Array]:
    return {}


@eqx.filter_jit
def _moved(
    own: Array, v: Array, state: Any, activation: Array, times: Any, levels: tuple
) -> ActionPotentials:
    """`own` (step) and `v` (step, node or 1): potentials in the cells' own time."""
    up = _crossing(own, v, levels[0], None)
    up = eqx.error_if(
        up,
        jnp.any(~jnp.isfinite(up)),
        "a cell does not cross the threshold: raise the amplitude of its stimulus",
    )
    down = _crossing(own, -v, -levels[1], up)
    times = jnp.asarray(times, v.dtype)
    shift = jnp.broadcast_to(up, activation.shape) - activation
    shift = jnp.where(jnp.isfinite(activation), shift, -jnp.inf)

    def at(time: Array) -> Array:
        place = jnp.clip(time + shift, own[0], own[-1])
        k = jnp.clip(jnp.searchsorted(own, place, side="right") - 1, 0, len(own) - 2)
        share = (place - own[k]) / (own[k + 1] - own[k])
        node = jnp.arange(len(shift)) if v.shape[1] > 1 else jnp.zeros(len(shift), int)
        return (1 - share) * v[k, node] + share * v[k + 1, node]

    repolarisation = activation + jnp.broadcast_to(down - up, activation.shape)
    return ActionPotentials(times, jax.lax.map(at, times), activation, repolarisation, state)


def _crossing(own: Array, v: Array, level: Any, after: Array | None) -> Array:
    """The first upward crossing of each column, after a time; infinite where there is none."""
    rises = (v[:-1] < level) & (v[1:] >= level)
    if after is not None:
        rises = rises & (own[1:, None] > jax.lax.stop_gradient(after)[None])
    k = jnp.argmax(rises, axis=0)
    node = jnp.arange(v.shape[1])
    low, high = v[k, node], v[k + 1, node]
    there = jnp.any(rises, axis=0)
    share = (level - low) / jnp.where(there, high - low, 1.0)
    return jnp.where(there, own[k] + share * (own[k + 1] - own[k]), jnp.inf)
