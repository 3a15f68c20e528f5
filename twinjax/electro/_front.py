"""The fixed point of all local updates, and its derivatives by the implicit-function rule.

Arrival times are the least that no update lowers: T_n = min(direct_n, min over simplices at n).
At the solution every node has one winning update, T_n = Σ λ_k T_k + s_n, with (up to) three nodes
k. By the envelope theorem its derivative is that with λ held, so that with Λ the matrix of λ

    dT = (I - Λ)⁻¹ (ds + d direct),

a system that is nearly triangular along the order in which the tissue is reached. It is solved by
substitution, or transposed in reverse mode, until nothing changes; no iteration is unrolled.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.electro._local_update import from_node, from_segment, from_triangle, travel

_CHUNK = 64  # simplices updated together on a CPU
_DEEPENINGS = 50  # rounds after which nodes are taken to come from each other in a circle
_WINDOW = 2.0  # mean travel times along an edge that are updated in one round

# The edges of a simplex in the order of its squared lengths.
EDGES = {
    2: np.array([[0, 1], [1, 0]]),  # a cable may conduct otherwise forth than back
    3: np.array([[0, 1], [0, 2], [1, 2]]),
    4: np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]),
}


def _seen_from_corners(corners: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each corner: the others, the edges to them, and the edges between them."""
    if corners == 2:  # from the first node to the second, and from the second to the first
        return np.array([[1], [0]]), np.array([[1], [0]]), np.zeros((2, 0), int)
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
    """Tetrahedra, triangles or cables, and their division into chunks of neighbours.

    `chunks` (chunk, place) are numbers of simplices. A chunk is updated as a whole: on a CPU
    small ones save most of the work, since the front is in few of them at a time; an accelerator
    is better served by one chunk of all.
    """

    nodes: Int[Array, "simplex corner"]
    chunks: Int[Array, "chunk place"]

    def __init__(
        self,
        nodes: Int[np.ndarray, "simplex corner"],
        points: Float[np.ndarray, "node 3"],
        chunk: int | None = None,
    ):
        if chunk is None:
            chunk = _CHUNK if jax.default_backend() == "cpu" else len(nodes)
        order = _along_a_curve(points[nodes].mean(axis=1))
        order = np.concatenate([order, np.repeat(order[-1:], -len(order) % chunk)])
        self.nodes = jnp.asarray(nodes, jnp.int32)
        self.chunks = jnp.asarray(order.reshape(-1, chunk), jnp.int32)

    @property
    def corners(self) -> int:
        return self.nodes.shape[1]

    def winner(
        self, times: Float[Array, " node"], squares: Array
    ) -> tuple[Array, Array, Array, Array]:
        """Of each node the best update from these simplices.

        **Returns:** its time (infinite without any); the nodes that it comes from and their λ,
        both (node, side); and the travel time, differentiable in `squares` with λ held.
        """
        held = jax.lax.stop_gradient(squares)
        found = arrivals(times, self.nodes.T, held.T).ravel()  # by corner, then by simplex
        owner = self.nodes.T.ravel()
        best = jnp.full(len(times), jnp.inf, times.dtype).at[owner].min(found)
        number = jnp.where(found == best[owner], jnp.arange(len(found)), 0)
        number = jnp.zeros(len(times), number.dtype).at[owner].max(number)
        others, own, across = (jnp.asarray(a) for a in _SEEN[self.corners])
        corner, simplex = jnp.divmod(number, len(self.nodes))
        from_ = jnp.take_along_axis(self.nodes[simplex], others[corner], axis=1)
        length = squares[simplex]
        own_squares = tuple(jnp.take_along_axis(length, own[corner], axis=1).T)
        across_squares = tuple(jnp.take_along_axis(length, across[corner], axis=1).T)
        still = jax.lax.stop_gradient((tuple(times[from_].T), own_squares, across_squares))
        weights = jax.lax.stop_gradient(_update(self.corners)(*still)[1])
        return best, from_, jnp.stack(weights, axis=1), travel(weights, own_squares, across_squares)


def _update(corners: int) -> Any:
    return {2: from_node, 3: from_segment, 4: from_triangle}[corners]


def arrivals(
    times: Float[Array, " node"], nodes: Int[Array, "corner simplex"], squares: Array
) -> Float[Array, "corner simplex"]:
    """When each corner is reached through each simplex; `squares` (edge, simplex) in ms²."""
    others, own, across = _SEEN[len(nodes)]
    at = times[nodes]
    # One stacked update for all corners: four in a row are compiled into four times the work.
    return _update(len(nodes))(
        tuple(at[others[:, i]] for i in range(others.shape[1])),
        tuple(squares[own[:, i]] for i in range(own.shape[1])),
        tuple(squares[across[:, i]] for i in range(across.shape[1])),
    )[0]


def _along_a_curve(centres: Float[np.ndarray, "simplex 3"]) -> Int[np.ndarray, " simplex"]:
    """Numbers along Morton's curve, on which neighbours in space are near each other."""
    span = np.ptp(centres, axis=0).max()
    place = ((centres - centres.min(axis=0)) / max(span, 1e-300) * 1023).astype(np.int64)
    code = np.zeros(len(centres), np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= ((place[:, axis] >> bit) & 1) << (3 * bit + axis)
    return np.argsort(code, kind="stable").astype(np.int32)


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
    return Front(differentiable(parts, direct, times), sweeps, settled)


def differentiable(
    parts: tuple[tuple[Simplices, Array], ...],
    direct: Float[Array, " node"],
    times: Float[Array, " node"],
) -> Float[Array, " node"]:
    """The fixed point `times` of the same problem, with its derivatives."""
    times = jax.lax.stop_gradient(times)
    sources, weights, offset = _policy(parts, direct, times)
    return _attach(times, offset, sources, weights)


def _sweep(parts: tuple, direct: Array, start: Array, max_sweeps: int) -> tuple:
    """Updates of chunks in about the order of time, until nothing sinks by more than rounding.

    A chunk waits from the earliest change at one of its nodes on. In every round those are
    updated, one after the other, that wait since not long after the first.
    """
    tiny = 8 * jnp.finfo(direct.dtype).eps
    window = _WINDOW * jnp.mean(jnp.sqrt(parts[0][1]))
    chunked = [
        (jnp.swapaxes(s.nodes[s.chunks], 1, 2), jnp.swapaxes(squares[s.chunks], 1, 2))
        for s, squares in parts
    ]

    def earliest(times: Array, changed: Array) -> tuple:
        trigger = jnp.where(changed, times, jnp.inf)
        return tuple(jnp.min(trigger[nodes], axis=(1, 2)) for nodes, _ in chunked)

    def going(carry: tuple) -> Array:
        _, waiting, count = carry
        return _any_left(waiting) & (count < max_sweeps)

    def round_(carry: tuple) -> tuple:
        times, waiting, count = carry
        limit = window + jnp.min(jnp.stack([jnp.min(w) for w in waiting]))
        after, left = times, []
        for (nodes, squares), since in zip(chunked, waiting, strict=True):
            after = _update_chunks(after, nodes, squares, since, limit)
            left.append(jnp.where(since <= limit, jnp.inf, since))
        slack = jnp.where(jnp.isfinite(times), tiny * jnp.abs(times), 0.0)
        new = earliest(after, after < times - slack)
        return after, tuple(map(jnp.minimum, left, new)), count + 1

    first = earliest(start, jnp.isfinite(start))
    times, waiting, count = jax.lax.while_loop(going, round_, (start, first, jnp.asarray(0)))
    return times, count, ~_any_left(waiting)


def _any_left(waiting: tuple) -> Array:
    return jnp.any(jnp.stack([jnp.any(w < jnp.inf) for w in waiting]))


def _update_chunks(times: Array, nodes: Array, squares: Array, since: Array, limit: Array) -> Array:
    """The chunks that wait since `limit` or before, the first first."""
    order, due = jnp.argsort(since), jnp.sum(since <= limit)

    def update(carry: tuple) -> tuple:
        times, i = carry
        at, lengths = nodes[order[i]], squares[order[i]]
        return times.at[at.ravel()].min(arrivals(times, at, lengths).ravel()), i + 1

    return jax.lax.while_loop(lambda c: c[1] < due, update, (times, jnp.asarray(0)))[0]


def _policy(parts: tuple, direct: Array, times: Array) -> tuple[Array, Array, Array]:
    """The winning update of every node: where it comes from, λ, and what is added."""
    best, offset = jax.lax.stop_gradient(direct), direct
    count = len(direct)
    sources = jnp.zeros((count, 3), jnp.int32)
    weights = jnp.zeros((count, 3), direct.dtype)
    for simplices, squares in parts:
        first, from_, share, length = simplices.winner(times, squares)
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

    def spread(x: Array) -> Array:
        terms = weights * x[:, None]
        return jnp.zeros_like(x).at[sources.ravel()].add(terms.ravel())

    if jax.default_backend() != "cpu":

        def forward(_: Any, b: Array) -> Array:
            return _series(lambda x: _apply(sources, weights, x), b)

        def backward(_: Any, b: Array) -> Array:
            return _series(spread, b)

    else:
        order = _downstream(sources, weights, jnp.argsort(times))

        def forward(_: Any, b: Array) -> Array:
            def sweep(i: Array, x: Array) -> Array:
                node = order[i]
                return x.at[node].add(jnp.sum(weights[node] * x[sources[node]]))

            return _in_order(lambda x: _apply(sources, weights, x), sweep, b)

        def backward(_: Any, b: Array) -> Array:
            def sweep(i: Array, x: Array) -> Array:
                node = order[len(order) - 1 - i]
                return x.at[sources[node]].add(weights[node] * x[node])

            return _in_order(spread, sweep, b)

    return times, jax.lax.custom_linear_solve(matrix, change, forward, backward)


def _downstream(sources: Array, weights: Array, order: Array) -> Int[Array, " node"]:
    """An order in which every node comes after those that it comes from.

    The order of time nearly is one: a node may come from one that is later than itself, if it
    also comes from an earlier one. Nodes are put in the order of their depth, one more than the
    greatest of those they come from. If nodes came from each other in a circle, none would exist.
    """
    comes = weights > 0

    def deepen(i: Array, depth: Array) -> Array:
        node = order[i]
        above = jnp.max(jnp.where(comes[node], depth[sources[node]] + 1, 0))
        return depth.at[node].max(above)

    def again(carry: tuple) -> tuple:
        depth, _, count = carry
        deeper = jax.lax.fori_loop(0, len(order), deepen, depth)
        return deeper, jnp.any(deeper > depth), count + 1

    none = jnp.zeros(len(order), jnp.int32)
    going = lambda carry: carry[1] & (carry[2] < _DEEPENINGS)  # noqa: E731
    depth = jax.lax.while_loop(going, again, (none, jnp.array(True), jnp.array(0)))[0]
    # Alike in depth: the earlier first, so that neighbours in the order are near each other.
    return order[jnp.argsort(depth[order])]


def _in_order(apply: Any, sweep: Any, b: Array) -> Array:
    """x = b + A x, node by node downstream, and again for what rounding or a circle leaves.

    Node by node suits a CPU: a sweep costs as much as a product with A for every unknown once, and
    the series as many of these as a path has edges.
    """
    tiny = 4 * jnp.finfo(b.dtype).eps

    def going(carry: tuple) -> Array:
        x, left, count = carry
        return (jnp.max(jnp.abs(left)) > tiny * jnp.max(jnp.abs(x))) & (count < len(b))

    def again(carry: tuple) -> tuple:
        x, left, count = carry
        x = x + jax.lax.fori_loop(0, len(b), sweep, left)
        return x, b - (x - apply(x)), count + 1

    return jax.lax.while_loop(going, again, (jnp.zeros_like(b), b, jnp.asarray(0)))[0]


def _series(apply: Any, b: Array) -> Array:
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

    found = jax.lax.while_loop(going, follow, (own, jnp.asarray(True), jnp.asarray(0)))[0]
    return jnp.minimum(found, direct)
