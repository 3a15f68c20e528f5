"""Laplace's equation with currents through the boundary and no prescribed value."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.fem._rows import PaddedRows


@eqx.filter_jit
def solve_neumann(
    operator: PaddedRows,
    load: Float[Array, "node source"],
    *,
    rtol: float | None = None,
    max_steps: int = 5000,
) -> Float[Array, "node source"]:
    """The solutions of A U = load whose mean over the nodes is 0.

    A is the stiffness matrix of a connected mesh: constants are its only null vectors, and each
    column of the load has to add up to 0, as the currents into a body do. Conjugate gradients
    with the diagonal as the preconditioner, kept free of the constant, all columns at once;
    positive semi-definite systems that have a solution are solved by them (Kaasschieter 1988, J
    Comput Appl Math 24:265). Derivatives are those of the solutions, by the implicit-function rule
    and with one more solve.

    **Arguments:** `rtol` bounds the residual relative to the load, by default 1e-10 in double and
    1e-5 in single precision. An error is raised at run time if `max_steps` do not suffice, or if
    a column of the load does not add up to 0.
    """
    dtype = operator.values.dtype
    if rtol is None:
        rtol = 1e-10 if dtype == jnp.float64 else 1e-5
    load = jnp.asarray(load, dtype)
    total, size = jnp.abs(jnp.sum(load, axis=0)), jnp.sum(jnp.abs(load), axis=0)
    unbalanced = jnp.any(total > 1e3 * jnp.finfo(dtype).eps * size)
    load = eqx.error_if(
        load, unbalanced, "the currents into a body must add up to 0: what goes in comes out"
    )
    diagonal = operator.diagonal()[:, None]

    def iterate(apply: Callable[[Array], Array], right: Array) -> Array:
        # A little less than asked for, as the recursive residual drifts from the true one.
        enough = (0.5 * rtol) ** 2 * jnp.sum(right * right, axis=0)

        def unfinished(carry: Any) -> Array:
            return jnp.any(jnp.sum(carry[1] ** 2, axis=0) > enough) & (carry[4] < max_steps)

        def advance(carry: Any) -> Any:
            x, r, p, square, count = carry
            ahead = apply(p)
            length = _over(square, jnp.sum(p * ahead, axis=0))
            x = x + length[None] * p
            r = _centred(r - length[None] * ahead)
            z = r / diagonal
            after = jnp.sum(r * z, axis=0)
            return x, r, z + _over(after, square)[None] * p, after, count + 1

        z = right / diagonal
        start = (jnp.zeros_like(right), right, z, jnp.sum(right * z, axis=0), 0)
        return jax.lax.while_loop(unfinished, advance, start)[0]

    right = _centred(load)
    x = jax.lax.custom_linear_solve(operator.apply, right, iterate, symmetric=True)
    left = jnp.sum((operator.apply(x) - right) ** 2, axis=0)
    limit = (100 * rtol) ** 2 * jnp.sum(right**2, axis=0)
    x = eqx.error_if(
        x,
        jnp.any(~(left <= limit)),
        "conjugate gradients did not reach rtol within max_steps; check the mesh for flat cells "
        "and for separate parts, or raise max_steps",
    )
    return _centred(x)


def _centred(x: Array) -> Array:
    return x - jnp.mean(x, axis=0, keepdims=True)


def _over(one: Array, other: Array) -> Array:
    """one / other, and 0 for a column that is solved exactly."""
    return jnp.where(other > 0, one / jnp.where(other > 0, other, 1.0), 0.0)
