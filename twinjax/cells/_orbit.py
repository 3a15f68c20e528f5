"""The periodic orbit of a paced cell, without pacing it a thousand times."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Complex, Float

from twinjax._results import RESULTS
from twinjax._solve import Solution, _broyden, _dense_solve, _finish
from twinjax.cells._cell import AbstractCell, as_arrays
from twinjax.cells._pace import Grid, calcium, dtype_of, final_state, pace, start_of, usual_protocol
from twinjax.cells._schemes import AbstractScheme

# The smallest scale of a state variable; gates below it may be wrong in their last digits.
_SMALLEST = 1e-6


class Near(NamedTuple):
    """What the orbit of one cell tells about that of another: see `periodic`."""

    state: Any
    inverse: Float[Array, "n n"]


def periodic(
    cell: AbstractCell,
    *,
    state: Any = None,
    grid: Grid | None = None,
    amplitude: Any = None,
    scheme: AbstractScheme | None = None,
    record: Callable[[AbstractCell, Any], dict[str, Any]] = calcium,
    warm_up: int = 3,
    near: Near | None = None,
    rtol: float = 1e-8,
    max_beats: int = 60,
    throw: bool = True,
) -> Solution:
    """Finds the state that one paced beat maps onto itself, and records that beat.

    A few plain beats, then Newton's method on the beat map with Broyden's updates of the exact
    Jacobian. Derivatives, forward and reverse, come from the implicit-function rule. Where the
    equations conserve something, c(x), the orbits form families, and that of the start is found:
    with P the beat and n the direction of ∇c, the root is that of P(x) - x + n (c(start) - c(x)).

    **Arguments:** as of `pace`; `rtol` bounds the change over a beat of each state variable,
    relative to its value; `max_beats` bounds the work. `near` is the orbit of a cell much like
    this one, `Near(orbit.state, orbit.stats["inverse"])`: it saves the warm-up and the Jacobian,
    which costs about as much as ten beats; what is conserved is still that of `state`.

    **Returns:** `Solution` with `stats["beats"]`, those run after the one Jacobian,
    `stats["residual"]`, and `stats["inverse"]`, that of I - ∂P/∂x as the updates left it. An orbit
    that pacing would leave (where beats alternate or are blocked) may be found too: `multipliers`
    tell.

    Raises `ValueError` for a cell that beats by itself, unless a grid is given.
    """
    if grid is None and cell.about.stimulus is None:
        raise ValueError(f"{cell.about.title} beats by itself: no paced beat of it is periodic")
    grid, amplitude, scheme = usual_protocol(cell, grid, amplitude, scheme)
    state = start_of(cell, state)
    return _periodic(
        cell, state, grid, amplitude, scheme, record, warm_up, near, rtol, max_beats, throw
    )


@eqx.filter_jit
def _periodic(
    cell: AbstractCell,
    state: Any,
    grid: Grid,
    amplitude: Any,
    scheme: AbstractScheme,
    record: Callable,
    warm_up: int,
    near: Near | None,
    rtol: float,
    max_beats: int,
    throw: bool,
) -> Solution:
    like = jnp.zeros(np.shape(state[0]), dtype_of(cell))
    start, unravel = ravel_pytree(as_arrays(state, like))
    c0 = jnp.array(cell.conserved(unravel(start)), dtype=start.dtype)
    if near is not None:
        start, warm_up = ravel_pytree(as_arrays(near.state, like))[0], 0
    beat, y0, scale = _beat_map(cell, start, unravel, c0, grid, amplitude, scheme)

    def residual(y: Array) -> Array:
        return beat(y) - y

    ratio = scale[None, :] / scale[:, None]
    guess = None if near is None else near.inverse * ratio

    def search(_: Any, y: Array) -> tuple[Array, dict[str, Array]]:
        return _broyden(beat, y, warm_up, rtol, max_beats, guess)

    y, stats = jax.lax.custom_root(residual, y0, search, _dense_solve, has_aux=True)
    orbit = unravel(y * scale)
    found = pace(
        cell,
        state=orbit,
        grid=grid,
        amplitude=amplitude,
        scheme=scheme,
        record=record,
        throw=False,
    )
    stats["inverse"] = stats["inverse"] / ratio
    result = jnp.where(stats["residual"] <= rtol, RESULTS.successful, RESULTS.not_periodic)
    result = jnp.where(found.result == RESULTS.successful, result, found.result)
    return _finish(Solution(found.times, found.observations, orbit, stats, result), throw)


def near_orbit(
    cell: AbstractCell,
    state: Any,
    *,
    grid: Grid | None = None,
    amplitude: Any = None,
    scheme: AbstractScheme | None = None,
) -> Near:
    """What the orbit through `state` tells of its neighbours, with the exact Jacobian there.

    The `stats["inverse"]` of a search is good enough along the way that this search took. Many
    cells near one orbit are found in half of the beats, or fewer, with the exact one, whose price
    is paid once. The other arguments are those of `periodic`.
    """
    grid, amplitude, scheme = usual_protocol(cell, grid, amplitude, scheme)
    state = as_arrays(start_of(cell, state), jnp.zeros((), dtype_of(cell)))
    return Near(state, _inverse(cell, state, grid, amplitude, scheme))


@eqx.filter_jit
def _inverse(
    cell: AbstractCell, state: Any, grid: Grid, amplitude: Any, scheme: AbstractScheme
) -> Array:
    start, unravel = ravel_pytree(state)
    c0 = jnp.array(cell.conserved(state), dtype=start.dtype)
    beat, y, scale = _beat_map(cell, start, unravel, c0, grid, amplitude, scheme)
    inverse = jnp.linalg.inv(jnp.eye(y.size) - jax.jacfwd(beat)(y))
    return inverse * scale[:, None] / scale[None, :]


def _beat_map(
    cell: AbstractCell,
    start: Array,
    unravel: Callable[[Array], Any],
    c0: Array,
    grid: Grid,
    amplitude: Any,
    scheme: AbstractScheme,
) -> tuple[Callable[[Array], Array], Array, Array]:
    """The map whose root is the orbit of charge `c0`, where it starts, and the scale of both."""
    scale = jnp.maximum(jnp.abs(start), _SMALLEST)

    def conserved(y: Array) -> Array:
        return jnp.array(cell.conserved(unravel(y * scale)), dtype=y.dtype)

    y0 = start / scale
    slopes = jax.lax.stop_gradient(jax.jacfwd(conserved)(y0))
    # Directions in which each conserved quantity grows by 1 and the others stay.
    directions = jnp.linalg.pinv(slopes) if c0.size else jnp.zeros((y0.size, 0))

    def beat(y: Array) -> Array:
        after = final_state(cell, unravel(y * scale), grid, amplitude, scheme)
        return ravel_pytree(after)[0] / scale + directions @ (c0 - conserved(y))

    return beat, y0, scale


def multipliers(
    cell: AbstractCell,
    state: Any,
    *,
    grid: Grid | None = None,
    amplitude: Any = None,
    scheme: AbstractScheme | None = None,
) -> Complex[np.ndarray, " n"]:
    """By what a small difference from a periodic orbit is multiplied in a beat.

    The Floquet multipliers: eigenvalues of the Jacobian of the beat map, greatest modulus first.
    Each quantity that the equations conserve adds a 1. Of the others, one beyond 1 in modulus means
    that pacing leaves the orbit: below -1 for beats that alternate. Guevara et al. 1984, Computers
    in Cardiology 167.

    **Arguments:** `state` of the orbit, and the rest as given to `periodic`. **Returns:** as many
    numbers as there are state variables.
    """
    grid, amplitude, scheme = usual_protocol(cell, grid, amplitude, scheme)
    start = as_arrays(start_of(cell, state), jnp.zeros((), dtype_of(cell)))
    found = np.linalg.eigvals(np.asarray(_beat_jacobian(cell, start, grid, amplitude, scheme)))
    return found[np.argsort(-np.abs(found), kind="stable")].astype(complex)


@eqx.filter_jit
def _beat_jacobian(
    cell: AbstractCell, state: Any, grid: Grid, amplitude: Any, scheme: AbstractScheme
) -> Array:
    y, unravel = ravel_pytree(state)

    def beat(y: Array) -> Array:
        return ravel_pytree(final_state(cell, unravel(y), grid, amplitude, scheme))[0]

    return jax.jacfwd(beat)(y)
