"""Symmetric systems, with prescribed values or without, by preconditioned conjugate gradients."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jaxtyping import Array, ArrayLike, Bool, Float

from twinjax.fem._rows import PaddedRows


@eqx.filter_jit
def solve_dirichlet(
    operator: PaddedRows,
    fixed: Bool[ArrayLike, " node"],
    values: Float[ArrayLike, " node"],
    load: Float[ArrayLike, " node"] | None = None,
    *,
    rtol: float | None = None,
    max_steps: int = 5000,
) -> Float[Array, " node"]:
    """Solves A u = load at the free nodes, with u = values at the fixed ones.

    A is symmetric, and positive definite on the free nodes: for a stiffness matrix at least one
    node of every connected part must be fixed. Conjugate gradients with the diagonal as the
    preconditioner. Derivatives with respect to A, the values and the load are those of the
    solution (one more solve, by the implicit-function rule), not of the iterations.

    **Arguments:** `rtol` bounds the residual relative to the right-hand side, by default 1e-10
    in double and 1e-5 in single precision. An error is raised at run time if `max_steps` do not
    suffice.
    """
    dtype = operator.values.dtype
    if rtol is None:
        rtol = 1e-10 if dtype == jnp.float64 else 1e-5
    free = jnp.where(jnp.asarray(fixed), 0, 1).astype(dtype)
    given = (1 - free) * jnp.asarray(values, dtype)
    source = jnp.zeros_like(given) if load is None else jnp.asarray(load, dtype)
    right = free * (source - operator.apply(given))
    diagonal = free * operator.diagonal() + (1 - free)

    def matrix(x: Array) -> Array:
        return free * operator.apply(free * x) + (1 - free) * x

    # Not lineax's: its CG measures the residual entry by entry against the right-hand side, which
    # is zero at all nodes away from the boundary.
    x, _ = cg(matrix, right, M=lambda r: r / diagonal, tol=rtol, maxiter=max_steps)
    left = jnp.linalg.norm(matrix(x) - right)
    # The recursive residual of CG drifts from the true one by some roundings: hence the factor.
    x = eqx.error_if(
        x,
        ~(left <= 100 * rtol * jnp.linalg.norm(right)),
        "conjugate gradients did not reach rtol within max_steps; check the mesh for flat cells "
        "and for parts without a fixed node, or raise max_steps",
    )
    return given + free * x


def solve_symmetric(
    matrix: Callable[[Array], Array],
    right: Float[Array, " node"],
    diagonal: Float[Array, " node"],
    *,
    rtol: float | None = None,
    max_steps: int = 500,
) -> Float[Array, " node"]:
    """Solves A x = b, with A symmetric and positive definite, as a part of a loop in time.

    Conjugate gradients with the diagonal as the preconditioner, from 0 (Hestenes and Stiefel 1952,
    J Res Nat Bur Stand 49:409). Derivatives are those of the solution, by the implicit-function
    rule and with one more solve; the iterations are not unrolled.

    **Arguments:** `matrix`, a linear function; `rtol` bounds √(r·P⁻¹r) of the residual r relative
    to that of b, P the diagonal: by default 1e-10 in double and 1e-6 in single precision.

    **Returns:** x, and NaN everywhere if `max_steps` do not suffice: an error raised in each of
    the many solves of a loop would cost more than the solves, so the loop looks at its end.
    """
    if rtol is None:
        rtol = 1e-10 if right.dtype == jnp.float64 else 1e-6

    def iterate(apply: Any, b: Array) -> Array:
        enough = rtol**2 * jnp.sum(b * b / diagonal)

        def unfinished(carry: Any) -> Array:
            return (carry[3] > enough) & (carry[4] < max_steps)

        def advance(carry: Any) -> Any:
            x, r, p, square, count = carry
            ahead = apply(p)
            length = square / jnp.sum(p * ahead)
            x, r = x + length * p, r - length * ahead
            z = r / diagonal
            after = jnp.sum(r * z)
            return x, r, z + after / square * p, after, count + 1

        z = b / diagonal
        start = (jnp.zeros_like(b), b, z, jnp.sum(b * z), 0)
        x, _, _, square, _ = jax.lax.while_loop(unfinished, advance, start)
        return jnp.where(square <= enough, x, jnp.nan)

    return jax.lax.custom_linear_solve(matrix, right, iterate, symmetric=True)
