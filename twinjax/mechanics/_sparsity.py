"""Where the entries of the stiffness go, and its factorisation on the host.

The factorisation of a large matrix costs as much as some fifty solves. Where an approximate
solution is good enough, rough factors serve, of an earlier matrix and in single precision, as long
as a few products suffice, and until these have cost as much as new factors: they precondition a
Krylov space from the left (Saad and Schultz 1986, SIAM J Sci Stat Comput 7:856), in which the norm
is that of displacements.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Array, Bool, Float, Int
from scipy.sparse import bsr_array, csc_array, csr_array

from twinjax.mechanics._dissection import nested_dissection
from twinjax.mechanics._fronts import Factors, Fronts

_LARGE = 5_000  # nodes: below, factors cost little
_MOST = 9  # vectors of a Krylov space
_WORTH = 30  # products that cost as much as rough factors
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
        self.held = held
        self._key = hashlib.sha256(cells.tobytes() + held.tobytes()).digest()
        self._held: list[tuple[np.ndarray, Factors | None]] = []
        self._rough: Factors | None = None
        self._spent = 0  # products since it was made
        self._solved: tuple[np.ndarray, dict[bytes, np.ndarray]] | None = None
        self._too_rough: set[type] = set()  # kinds of numbers in which it has failed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sparsity) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    def forget(self) -> None:
        """Lets go of all factorisations."""
        self._held.clear()
        self._rough = self._solved = None

    def slots_of(self, facets: Int[np.ndarray, "facet m"]) -> Int[np.ndarray, "facet m m"]:
        """The block of each pair of nodes of facets."""
        keys = facets[:, :, None].astype(np.int64) * self.count + facets[:, None, :]
        return np.searchsorted(self.pairs, keys).astype(np.int32)

    @functools.cached_property
    def fronts(self) -> Fronts:
        """The order of elimination: found when a matrix is first factorised."""
        row, column = np.divmod(self.pairs, self.count)
        graph = csr_array((np.ones(len(row)), (row, column)), shape=(self.count, self.count))
        return Fronts(nested_dissection(graph), row, column, self.held)

    def matrix(self, values: Float[np.ndarray, "block 3 3"]) -> csc_array:
        """The matrix of the free components."""
        row, column = np.divmod(self.pairs, self.count)
        three, size = np.arange(3), 3 * self.count
        i = np.broadcast_to(3 * row[:, None, None] + three[None, :, None], values.shape)
        k = np.broadcast_to(3 * column[:, None, None] + three[None, None, :], values.shape)
        whole = csc_array((np.ravel(values), (i.ravel(), k.ravel())), shape=(size, size))
        free = np.flatnonzero(~self.held.ravel())
        return whole[:, free][free]

    def solve(
        self,
        values: Float[Array, "block 3 3"],
        right: Float[Array, "*side node 3"],
        *,
        transpose: bool = False,
    ) -> Float[Array, "*side node 3"]:
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
        self,
        values: Float[Array, "block 3 3"],
        right: Float[Array, "*side node 3"],
        *,
        rtol: float = 0.0,
        transpose: bool = False,
    ) -> Float[Array, "*side node 3"]:
        """The same outside of compiled code; with `rtol` that share of x may be wrong, of the
        transpose none."""
        known, wanted = np.asarray(values), np.asarray(right)
        if rtol and self.count > _LARGE and not transpose:
            sides = wanted.reshape(-1, *wanted.shape[-2:])
            found = [self._nearly(known, sides[0], rtol)]
            found += [self._again(known, side, rtol) for side in sides[1:]]
            if all(x is not None for x in found):
                return jnp.asarray(np.stack(found).reshape(wanted.shape))
        return jnp.asarray(self._solve(known, wanted, transpose))

    def _again(self, values: np.ndarray, right: np.ndarray, rtol: float) -> np.ndarray | None:
        """The same for sides that often come again with a matrix, as those of cavities do."""
        if self._solved is None or not np.array_equal(self._solved[0], values):
            self._solved = (values, {})
        known, key = self._solved[1], right.tobytes()
        if key not in known:
            found = self._nearly(values, right, rtol)
            if found is None:
                return None
            known[key] = found
        return known[key]

    def _nearly(self, values: np.ndarray, right: np.ndarray, rtol: float) -> np.ndarray | None:
        """x by rough factors and a small Krylov space; None where that does not suffice."""
        if not (np.isfinite(values).all() and np.isfinite(right).all()):
            return None
        row, column = np.divmod(self.pairs, self.count)
        ends = np.searchsorted(row, np.arange(self.count + 1))
        matrix = bsr_array((values, column, ends), shape=(3 * self.count, 3 * self.count))
        free = ~self.held.ravel()

        def preconditioned(vector: np.ndarray) -> np.ndarray:
            assert self._rough is not None
            self._spent += 1
            with np.errstate(over="ignore", invalid="ignore"):  # of a search that gets lost
                found = self._rough.solve(np.where(free, vector, 0)[:, None])
            return found[:, 0].astype(float)

        def attempt() -> np.ndarray | None:
            return krylov(lambda v: preconditioned(matrix @ v), preconditioned(right.ravel()), rtol)

        # Old ones are left when their products have cost as much as new ones do.
        old = self._rough is None or self._spent > _WORTH
        x = None if old else attempt()
        for kind in (np.float32, np.float64):
            if x is None and kind not in self._too_rough:
                self._rough = None  # before the next ones are made: they are large
                try:
                    with np.errstate(over="ignore", invalid="ignore"):
                        self._rough, self._spent = self.fronts.factorise(values, kind), 0
                except RuntimeError:
                    return None
                x = attempt()
                if x is None:
                    self._too_rough.add(kind)
        return None if x is None else x.reshape(right.shape)

    def _solve(self, values: np.ndarray, right: np.ndarray, transpose: bool) -> np.ndarray:
        many = right.shape[:-2]
        matrices = values.reshape(-1, self.blocks, 3, 3)
        sides = np.broadcast_to(
            right, (*np.broadcast_shapes(many, values.shape[:-3]), *right.shape[-2:])
        )
        result = np.zeros(sides.shape, right.dtype)
        free = ~self.held.ravel()
        flat, found = sides.reshape(-1, free.size), result.reshape(-1, free.size)
        groups = (
            [slice(None)] if len(matrices) == 1 else [slice(i, i + 1) for i in range(len(flat))]
        )
        for which, group in enumerate(groups):
            answer = self._backward(matrices[which], np.where(free, flat[group], 0).T, transpose)
            found[group] = np.where(free, answer.T, 0)
        return found.reshape(sides.shape)

    def _backward(self, values: np.ndarray, vectors: np.ndarray, transpose: bool) -> np.ndarray:
        factors = self._factors(values) if np.isfinite(vectors).all() else None
        if factors is None:
            return np.full_like(vectors, np.nan)
        return factors.solve(vectors, transpose=transpose)

    def _factors(self, values: np.ndarray) -> Factors | None:
        """A derivative is taken where a search has ended: its factorisation is still there."""
        for known, factors in self._held:
            if np.array_equal(known, values):
                return factors
        if not np.isfinite(values).all():
            return None
        factors = None
        if len(self._held) == _HELD:
            self._held.pop()  # before the next ones are made: they are large
        try:
            factors = self.fronts.factorise(values)
        except RuntimeError:  # exactly singular
            factors = None
        self._held.insert(0, (values.copy(), factors))
        return factors


def krylov(
    product: Callable[[np.ndarray], np.ndarray],
    right: Float[np.ndarray, " n"],
    rtol: float,
    most: int = _MOST,
) -> Float[np.ndarray, " n"] | None:
    """x with |right - product(x)| ≤ rtol |right| in the space of `most` products, or None."""
    if not np.isfinite(right).all():
        return None
    size = np.linalg.norm(right)
    if size == 0:
        return right
    basis = [right / size]
    heights = np.zeros((most + 1, most))
    aim = np.zeros(most + 1)
    aim[0] = size
    for k in range(most):
        new = product(basis[k])
        if not np.isfinite(new).all():
            return None
        for _ in range(2):  # once more for what rounding leaves
            for j, old in enumerate(basis):
                share = old @ new
                heights[j, k] += share
                new -= share * old
        heights[k + 1, k] = np.linalg.norm(new)
        weights = np.linalg.lstsq(heights[: k + 2, : k + 1], aim[: k + 2])[0]
        left = np.linalg.norm(aim[: k + 2] - heights[: k + 2, : k + 1] @ weights)
        if left <= rtol * size:
            return np.stack(basis, axis=1) @ weights
        basis.append(new / heights[k + 1, k])
    return None
