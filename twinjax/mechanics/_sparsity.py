"""Where the entries of the stiffness go, and its factorisation on the host.

Nodes are eliminated in an order of nested dissection (George 1973, SIAM J Numer Anal 10:345), found
once a mesh, and SuperLU keeps to it and to the diagonal where it can.
"""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Bool, Float, Int
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.sparse.linalg import splu

_HELD = 2  # factorisations that are kept: that of the search, and that of derivatives


class Sparsity:
    """The pattern of a mesh with some components held, and solves with matrices of that pattern.

    A matrix is the array `values` (block, 3, 3) of its blocks, one for each pair of nodes that
    meet in a cell; `slots` (cell, n, n) is the block of each pair. Patterns of the same cells and
    held components are equal, so that what is compiled for one serves the other.
    """

    def __init__(self, cells: Int[np.ndarray, "cell n"], held: Bool[np.ndarray, "node 3"]):
        count, corners = len(held), cells.shape[1]
        rows = np.repeat(cells, corners, axis=1).ravel().astype(np.int64)
        others = np.tile(cells, (1, corners)).ravel().astype(np.int64)
        pairs, slots = np.unique(rows * count + others, return_inverse=True)
        self.slots = slots.reshape(len(cells), corners, corners).astype(np.int32)
        self.pairs = pairs
        self.count = count
        self.blocks = len(pairs)
        row, column = np.divmod(pairs, count)
        graph = csr_array((np.ones(len(row), np.int8), (row, column)), shape=(count, count))
        rank = np.empty(count, np.int64)
        rank[nested_dissection(graph)] = np.arange(count)
        dof = (3 * rank[:, None] + np.arange(3)[None]).ravel()
        free = ~held.ravel()
        place = np.cumsum(free[np.argsort(dof)]) - 1  # of each degree in the order of elimination
        number = np.where(free, place[dof], -1).reshape(count, 3)
        self.number = number
        self.size = int(free.sum())
        i = np.broadcast_to(number[row][:, :, None], (len(row), 3, 3)).ravel()
        k = np.broadcast_to(number[column][:, None, :], (len(row), 3, 3)).ravel()
        keep = np.flatnonzero((i >= 0) & (k >= 0))
        order = keep[np.lexsort((i[keep], k[keep]))]
        self.entries = order
        self.indices = i[order].astype(np.int32)
        self.ends = np.concatenate([[0], np.cumsum(np.bincount(k[order], minlength=self.size))])
        self._key = hashlib.sha256(cells.tobytes() + held.tobytes()).digest()
        self._held: list[tuple[np.ndarray, Any]] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sparsity) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def slots_of(self, facets: Int[np.ndarray, "facet m"]) -> Int[np.ndarray, "facet m m"]:
        """The block of each pair of nodes of facets."""
        keys = facets[:, :, None].astype(np.int64) * self.count + facets[:, None, :]
        return np.searchsorted(self.pairs, keys).astype(np.int32)

    def matrix(self, values: Float[np.ndarray, "block 3 3"]) -> csc_array:
        """What is left for the free components, in the order of elimination."""
        data = np.ascontiguousarray(values).ravel()[self.entries]
        return csc_array((data, self.indices, self.ends), shape=(self.size, self.size))

    def solve(
        self,
        values: Float[Array, "block 3 3"],
        right: Float[Array, "node 3"],
        *,
        transpose: bool = False,
    ) -> Float[Array, "node 3"]:
        """x of A x = right at the free components, and 0 at those held; NaN if A is singular."""

        shape = jax.ShapeDtypeStruct(right.shape, right.dtype)

        def on_processor(values: Any, right: Any) -> Any:
            # Not pure_callback: it puts what it is given onto the device again, and where there is
            # one thread to do so, the callback itself occupies it and waits forever.
            def fill(_: Any, out: Any, values: Any, right: Any) -> None:
                np.asarray(out)[...] = self._solve(np.asarray(values), np.asarray(right), transpose)

            return buffer_callback(fill, shape, vmap_method="expand_dims")(values, right)

        def elsewhere(values: Any, right: Any) -> Any:
            def fetch(values: Any, right: Any) -> np.ndarray:
                return self._solve(np.asarray(values), np.asarray(right), transpose)

            return jax.pure_callback(fetch, shape, values, right, vmap_method="expand_dims")

        return jax.lax.platform_dependent(values, right, cpu=on_processor, default=elsewhere)

    def solve_here(
        self, values: Float[Array, "block 3 3"], right: Float[Array, "node 3"]
    ) -> Float[Array, "node 3"]:
        """The same outside of compiled code."""
        return jnp.asarray(self._solve(np.asarray(values), np.asarray(right), False))

    def _solve(self, values: np.ndarray, right: np.ndarray, transpose: bool) -> np.ndarray:
        many = right.shape[:-2]
        matrices = values.reshape(-1, self.blocks, 3, 3)
        sides = np.broadcast_to(
            right, (*np.broadcast_shapes(many, values.shape[:-3]), *right.shape[-2:])
        )
        result = np.zeros(sides.shape, right.dtype)
        free = self.number.ravel() >= 0
        order = self.number.ravel()[free]
        flat, found = sides.reshape(-1, free.size), result.reshape(-1, free.size)
        groups = (
            [slice(None)] if len(matrices) == 1 else [slice(i, i + 1) for i in range(len(flat))]
        )
        for which, group in enumerate(groups):
            vectors = np.empty((self.size, len(flat[group])))
            vectors[order] = flat[group][:, free].T
            answer = self._backward(matrices[which], vectors, "T" if transpose else "N")
            found[group, free] = answer[order].T
        return found.reshape(sides.shape)

    def _backward(self, values: np.ndarray, vectors: np.ndarray, side: str) -> np.ndarray:
        if not self.size:
            return vectors
        if not (np.isfinite(values).all() and np.isfinite(vectors).all()):
            return np.full_like(vectors, np.nan)
        factors = self._factors(values)
        return np.full_like(vectors, np.nan) if factors is None else factors.solve(vectors, side)

    def _factors(self, values: np.ndarray) -> Any:
        """A derivative is taken where a search has ended: its factorisation is still there."""
        for known, factors in self._held:
            if np.array_equal(known, values):
                return factors
        try:
            factors = splu(
                self.matrix(values),
                permc_spec="NATURAL",
                diag_pivot_thresh=1e-3,
                options={"SymmetricMode": True},
            )
        except RuntimeError:  # exactly singular
            factors = None
        self._held = [(values.copy(), factors), *self._held[: _HELD - 1]]
        return factors


def nested_dissection(graph: csr_array, leaf: int = 12) -> Int[np.ndarray, " node"]:
    """An order of elimination of little fill: halves first, what parts them last.

    A part is halved by the distance from a node at its rim, in edges. Nodes of the nearer half
    that touch the farther one are what parts them.
    """
    order: list[np.ndarray] = []
    # Children are written before what parts them: the stack holds parts and finished separators.
    stack: list[tuple[np.ndarray, bool]] = [(np.arange(graph.shape[0]), False)]
    while stack:
        nodes, done = stack.pop()
        if done or len(nodes) <= leaf:
            order.append(nodes)
            continue
        inside = graph[nodes][:, nodes]
        reach = _levels(inside)
        connected = reach >= 0
        if not connected.all():
            stack += [(nodes[~connected], False), (nodes[connected], False)]
            continue
        near = reach <= np.median(reach)
        if near.all():
            near = reach < reach.max()
        if not near.any():
            order.append(nodes)
            continue
        touching = near & ((inside @ (~near).astype(np.int32)) > 0)
        stack += [
            (nodes[touching], True),
            (nodes[~near], False),
            (nodes[near & ~touching], False),
        ]
    return np.concatenate(order)


def _levels(graph: csr_array) -> np.ndarray:
    """Distances in edges from a node at the rim; -1 where it does not reach."""
    start = 0
    level = np.full(graph.shape[0], -1)
    for _ in range(3):
        visited, before = breadth_first_order(graph, start, directed=False)
        level = np.full(graph.shape[0], -1)
        level[start] = 0
        for node in visited[1:]:
            level[node] = level[before[node]] + 1
        start = int(visited[-1])
    return level
