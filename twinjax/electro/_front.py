"""The fixed point of all local updates, and its derivatives by the implicit-function rule.

Arrival times are the least that no update lowers: T_n = min(direct_n, min over simplices at n).
At the solution every node has one winning update, T_n = Σ λ_k T_k + s_n, with (up to) three nodes
k. By the envelope theorem its derivative is that with λ held, so that with Λ the matrix of λ

    dT = (I - Λ)⁻¹ (ds + d direct),

a system that is triangular along the order in which the tissue is reached. It is solved by
substitution, or transposed in reverse mode, until nothing changes; no iteration is unrolled.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.electro._local_update import from_segment, from_triangle, travel

# The edges of a simplex in the order of its squared lengths.
EDGES = {
    3: np.array([[0, 1], [0, 2], [1, 2]]),
    4: np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]),
}


def _seen_from_corners(corners: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each corner: the others, the edges to them, and the edges between them."""
    number = {frozenset(map(int, e)): i for i, e in enumerate(EDGES[corners])}
    others = np.array([[j for j in range(corners) if j != k] for k in range(corners)])
    own = np.array([[number[frozenset((k, int(j)))] for j in others[k]] for k in range(corners)])
    pairs = [(i, j) for i in range(corners - 1) for j in range(i + 1, corners - 1)]
    across = np.array(
        [[number[frozenset((int(o[i]), int(o[j])))] for i, j in pairs] for o in others]
    )
    return others, own, across


_SEEN = {corners: _seen_from_corners(corners) for corners in EDGES}


class Simplices(eqx.Module):
    """Tetrahedra or triangles, and for each node the updates that reach it.

    `rows` (node, width) numbers the updates by `corner * count + simplex`; padded with the number
    of all updates.
    """

    nodes: Int[Array, "simplex corner"]
    rows: Int[Array, "node width"]

    def __init__(self, nodes: Int[np.ndarray, "simplex corner"], count: int):
        owner = np.asarray(nodes).T.ravel()  # by corner, then by simplex
        order = np.argsort(owner, kind="stable")
        filled = np.bincount(owner, minlength=count)
        first = np.cumsum(filled) - filled
        rows = np.full((count, max(1, int(filled.max(initial=0)))), len(owner), np.int32)
        rows[owner[order], np.arange(len(owner)) - first[owner[order]]] = order
        self.nodes = jnp.asarray(nodes, jnp.int32)
        self.rows = jnp.asarray(rows)

    @property
    def corners(self) -> int:
        return self.nodes.shape[1]

    def arrivals(self, times: Float[Array, " node"], squares: Array) -> Float[Array, "node width"]:
        """The time of every update of every node; `squares` (simplex, edge) in ms²."""
        others, own, across = _SEEN[self.corners]
        at = [times[self.nodes[:, k]] for k in range(self.corners)]
        edges = [squares[:, e] for e in range(squares.shape[1])]
        update: Any = from_triangle if self.corners == 4 else from_segment
        found = [
            update(
                tuple(at[j] for j in others[k]),
                tuple(edges[e] for e in own[k]),
                tuple(edges[e] for e in across[k]),
            )[0]
            for k in range(self.corners)
        ]
        padded = jnp.concatenate([*found, jnp.full(1, jnp.inf, times.dtype)])
        return padded[self.rows]

    def winner(
        self, times: Float[Array, " node"], squares: Array, number: Int[Array, " node"]
    ) -> tuple[Int[Array, "node side"], Float[Array, "node side"], Float[Array, " node"]]:
        """Of one update a node: the nodes that it comes from, their λ, and the travel time.

        The travel time is differentiable in `squares`, with λ held.
        """
        others, own, across = (jnp.asarray(a) for a in _SEEN[self.corners])
        corner, simplex = jnp.divmod(number, len(self.nodes))
        corner = jnp.minimum(corner, self.corners - 1)
        simplex = jnp.minimum(simplex, len(self.nodes) - 1)
        from_ = jnp.take_along_axis(self.nodes[simplex], others[corner], axis=1)
        length = squares[simplex]
        own_squares = tuple(jnp.take_along_axis(length, own[corner], axis=1).T)
        across_squares = tuple(jnp.take_along_axis(length, across[corner], axis=1).T)
        held = jax.lax.stop_gradient((tuple(times[from_].T), own_squares, across_squares))
        update: Any = from_triangle if self.corners == 4 else from_segment
        weights = jax.lax.stop_gradient(update(*held)[1])
        return from_, jnp.stack(weights, axis=1), travel(weights, own_squares, across_squares)


class Front(NamedTuple):
    """A solution: times, how many sweeps they took, and whether these sufficed."""

    times: Float[Array, " node"]
    sweeps: Int[Array, ""]
    settled: Any


def solve_front(
    parts: tuple[tuple[Simplices, Array], ...],
    direct: Float[Array, " node"],
    guess: Float[Array, " node"] | None,
    max_sweeps: int,
) -> Front:
    """The fixed point from `direct`, the times at which nodes are reached from outside.

    `parts` are simplices with their squared lengths [ms²]. Differentiable in these and in
    `direct`, forward and reverse. Times that nothing reaches are infinite.
    """
    held = jax.lax.stop_gradient((parts, direct))
    start = held[1] if guess is None else _upper_bound(held[0], held[1], guess)
    times, sweeps, settled = _sweep(held[0], held[1], start, max_sweeps)
    sources, weights, offset = _policy(parts, direct, times)
    return Front(_attach(times, offset, sources, weights), sweeps, settled)


def _best(parts: tuple, direct: Array, times: Array) -> Array:
    for simplices, squares in parts:
        direct = jnp.minimum(direct, jnp.min(simplices.arrivals(times, squares), axis=1))
    return direct


def _sweep(parts: tuple, direct: Array, start: Array, max_sweeps: int) -> tuple:
    """Jacobi sweeps from above, until nothing sinks by more than rounding."""
    tiny = 8 * jnp.finfo(direct.dtype).eps

    def going(carry: tuple) -> Array:
        _, count, settled = carry
        return ~settled & (count < max_sweeps)

    def sweep(carry: tuple) -> tuple:
        times, count, _ = carry
        after = jnp.minimum(times, _best(parts, direct, times))
        slack = jnp.where(jnp.isfinite(times), tiny * jnp.abs(times), 0.0)
        return after, count + 1, ~jnp.any(after < times - slack)

    return jax.lax.while_loop(going, sweep, (start, jnp.asarray(0), jnp.asarray(False)))


def _policy(parts: tuple, direct: Array, times: Array) -> tuple[Array, Array, Array]:
    """The winning update of every node: where it comes from, λ, and what is added."""
    best, offset = jax.lax.stop_gradient(direct), direct
    count = len(direct)
    sources = jnp.zeros((count, 3), jnp.int32)
    weights = jnp.zeros((count, 3), direct.dtype)
    for simplices, squares in parts:
        found = simplices.arrivals(times, jax.lax.stop_gradient(squares))
        k = jnp.argmin(found, axis=1)
        first = jnp.take_along_axis(found, k[:, None], axis=1)[:, 0]
        number = jnp.take_along_axis(simplices.rows, k[:, None], axis=1)[:, 0]
        from_, share, length = simplices.winner(times, squares, number)
        blank = 3 - from_.shape[1]
        from_ = jnp.pad(from_, ((0, 0), (0, blank)))
        share = jnp.pad(share, ((0, 0), (0, blank)))
        less = first < best
        best = jnp.where(less, first, best)
        # Not where neither reaches the node: a derivative of infinity would be NaN.
        offset = jnp.where(less, length, offset)
        sources = jnp.where(less[:, None], from_, sources)
        weights = jnp.where(less[:, None], share, weights)
    return sources, weights, offset


def _apply(sources: Array, weights: Array, x: Array) -> Array:
    return jnp.sum(weights * x[sources], axis=1)


@jax.custom_jvp
def _attach(times: Array, offset: Array, sources: Array, weights: Array) -> Array:
    """The times, with the derivative of the system (I - Λ) T = offset that they solve."""
    return times


@_attach.defjvp
def _attach_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    times, _, sources, weights = primals
    change = jnp.where(jnp.isfinite(times), tangents[1], 0.0)

    def matrix(x: Array) -> Array:
        return x - _apply(sources, weights, x)

    def forward(_: Any, b: Array) -> Array:
        return _substitute(lambda x: _apply(sources, weights, x), b)

    def backward(_: Any, b: Array) -> Array:
        def transposed(x: Array) -> Array:
            spread = weights * x[:, None]
            return jnp.zeros_like(x).at[sources.ravel()].add(spread.ravel())

        return _substitute(transposed, b)

    return times, jax.lax.custom_linear_solve(matrix, change, forward, backward)


def _substitute(apply: Any, b: Array) -> Array:
    """x = b + A x for a nilpotent A, as Σ Aᵏ b until the terms have vanished."""
    tiny = jnp.finfo(b.dtype).eps

    def going(carry: tuple) -> Array:
        x, term, count = carry
        large = jnp.max(jnp.abs(term)) > 0.01 * tiny * jnp.max(jnp.abs(x))
        return large & (count < 10 * len(b))

    def add(carry: tuple) -> tuple:
        x, term, count = carry
        term = apply(term)
        return x + term, term, count + 1

    return jax.lax.while_loop(going, add, (b, b, jnp.asarray(0)))[0]


def _upper_bound(parts: tuple, direct: Array, guess: Array) -> Array:
    """Times along the paths that a guess suggests: true ones of some path, so never too early.

    Nodes to which the guess leads in circles stay infinite.
    """
    sources, weights, offset = _policy(parts, direct, jnp.asarray(guess, direct.dtype))
    own = jnp.where(jnp.sum(weights, axis=1) > 0, jnp.inf, direct)

    def going(carry: tuple) -> Array:
        _, changed, count = carry
        return changed & (count < len(direct))

    def follow(carry: tuple) -> tuple:
        times, _, count = carry
        terms = jnp.where(weights > 0, weights * times[sources], 0.0)
        after = jnp.minimum(times, jnp.where(own < jnp.inf, own, jnp.sum(terms, axis=1) + offset))
        # Nodes become finite one after the other along each path, and then are final.
        return after, jnp.any(jnp.isfinite(after) & ~jnp.isfinite(times)), count + 1

    return jax.lax.while_loop(going, follow, (own, jnp.asarray(True), jnp.asarray(0)))[0]
