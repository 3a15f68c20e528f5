"""Factors of a sparse matrix by dense ones: the multifrontal method.

Duff and Reid 1983, ACM Trans Math Softw 9:302. Of each part of a nested dissection the matrix

    ( A  B )        with the rows and columns of its own nodes first and those of its rim behind
    ( C  D )

gathers entries of the whole and what the parts below have left; A = L U is factorised with row
interchanges within the part, B becomes L⁻¹ B and C becomes C U⁻¹, and D - C B is left to the part
above. Nearly all arithmetic is products of dense matrices. No rows change places between parts:
that suits stiffness matrices, which are definite or close to it.
"""

import contextlib
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.linalg.blas import get_blas_funcs
from scipy.linalg.lapack import get_lapack_funcs
from threadpoolctl import ThreadpoolController

from twinjax.mechanics._dissection import Part

_LARGE = 1500  # rows of a dense matrix from which several threads are worth their while


class _Front(NamedTuple):
    own: Int[np.ndarray, " own"]  # degrees of freedom
    rim: Int[np.ndarray, " rim"]
    source: Int[np.ndarray, " entry"]  # which values go
    place: Int[np.ndarray, " entry"]  # where, columns one after the other
    below: tuple[tuple[int, Int[np.ndarray, " rim_below"]], ...]


class Fronts:
    """Where values go in the dense matrices: found once a pattern.

    **Arguments:** parts of a graph; the nodes `row` and `column` of each block of three by three;
    `held` (node, 3) whether a component is held: its row and column are those of the identity.
    """

    def __init__(self, parts: list[Part], row: np.ndarray, column: np.ndarray, held: np.ndarray):
        count = len(held)
        owner = np.empty(count, np.int64)
        for number, part in enumerate(parts):
            owner[part.nodes] = number
        first = np.minimum(owner[row], owner[column])
        order = np.argsort(first, kind="stable")
        ends = np.searchsorted(first[order], np.arange(len(parts) + 1))
        at = np.empty(count, np.int64)
        three = np.arange(3)
        known: list[_Front] = []
        for number, part in enumerate(parts):
            nodes = np.concatenate([part.nodes, part.rim])
            at[nodes] = np.arange(len(nodes))
            blocks = order[ends[number] : ends[number + 1]]
            i = 3 * at[row[blocks]][:, None, None] + three[None, :, None]
            k = 3 * at[column[blocks]][:, None, None] + three[None, None, :]
            source = 9 * blocks[:, None, None] + 3 * three[None, :, None] + three[None, None]
            free = ~(held[row[blocks]][:, :, None] | held[column[blocks]][:, None, :])
            below = tuple((b, _degrees(at[parts[b].rim])) for b in part.below)
            place = i + 3 * len(nodes) * k
            known.append(
                _Front(_degrees(part.nodes), _degrees(part.rim), source[free], place[free], below)
            )
        self.fronts = known
        self.held = held.ravel()

    def factorise(
        self, values: Float[np.ndarray, "block 3 3"], kind: type = np.float64
    ) -> "Factors":
        """Factors in numbers of a kind. Raises `RuntimeError` where a part is singular."""
        flat: np.ndarray = np.ascontiguousarray(values, kind).ravel()
        (getrf,) = get_lapack_funcs(("getrf",), dtype=kind)
        (trsm,) = get_blas_funcs(("trsm",), dtype=kind)
        waiting: dict[int, np.ndarray] = {}
        done: list[tuple[np.ndarray, ...]] = []
        for number, front in enumerate(self.fronts):
            own, size = len(front.own), len(front.own) + len(front.rim)
            store: np.ndarray = np.zeros(size * size, kind)
            store[front.place] = flat[front.source]
            matrix = store.reshape(size, size).T  # columns one after the other, as LAPACK has them
            fixed = np.flatnonzero(self.held[front.own])
            matrix[fixed, fixed] = 1.0
            for which, at in front.below:
                _add(matrix, at, waiting.pop(which))
            if not own:
                done.append(())
                waiting[number] = matrix
                continue
            with _threads(size):
                lu, swaps, singular = getrf(np.asfortranarray(matrix[:own, :own]))
                if singular:
                    raise RuntimeError("the matrix is singular")
                rows = _order(swaps)
                right = trsm(1.0, lu, np.asfortranarray(matrix[:own, own:][rows]), lower=1, diag=1)
                low = trsm(1.0, lu, np.asfortranarray(matrix[own:, :own]), side=1)
                done.append((lu, rows, right, low))
                waiting[number] = matrix[own:, own:] - low @ right
        return Factors(self.fronts, done, kind)


class Factors:
    """A = L U, part by part."""

    def __init__(self, fronts: list[_Front], parts: list[tuple[np.ndarray, ...]], kind: type):
        self.fronts, self.parts, self.kind = fronts, parts, kind

    def solve(
        self, right: Float[np.ndarray, "degree side"], *, transpose: bool = False
    ) -> Float[np.ndarray, "degree side"]:
        """x of A x = right, or Aᵀ x = right."""
        with _threads(0):
            return self._solve(np.array(right, self.kind), transpose)

    def _solve(self, x: np.ndarray, transpose: bool) -> np.ndarray:
        (trsm,) = get_blas_funcs(("trsm",), dtype=self.kind)
        for front, part in zip(self.fronts, self.parts, strict=True):
            if not part:
                continue
            lu, rows, up, low = part
            mine = x[front.own]
            if transpose:
                mine = trsm(1.0, lu, mine, trans_a=1)
                x[front.rim] -= up.T @ mine
            else:
                mine = trsm(1.0, lu, mine[rows], lower=1, diag=1)
                x[front.rim] -= low @ mine
            x[front.own] = mine
        for front, part in zip(reversed(self.fronts), reversed(self.parts), strict=True):
            if not part:
                continue
            lu, rows, up, low = part
            later = x[front.rim]
            if transpose:
                mine = x[front.own] - low.T @ later
                found = trsm(1.0, lu, mine, lower=1, diag=1, trans_a=1)
                x[front.own[rows]] = found
            else:
                x[front.own] = trsm(1.0, lu, x[front.own] - up @ later)
        return x


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _threads(rows: int) -> contextlib.AbstractContextManager:
    """One thread for a small dense matrix, as many as there are for a large one.

    The threads of OpenBLAS wait for each other without rest: where other programs keep them from
    their processors, many small products with two took thirty times as long as with one.
    """
    if rows >= _LARGE:
        return contextlib.nullcontext()
    return _controller().limit(limits=1, user_api="blas")


def _degrees(nodes: np.ndarray) -> np.ndarray:
    return (3 * nodes[:, None] + np.arange(3)[None]).ravel()


def _order(swaps: np.ndarray) -> np.ndarray:
    """The order of rows after LAPACK's interchanges."""
    rows = np.arange(len(swaps))
    for one, other in enumerate(swaps):
        rows[one], rows[other] = rows[other], rows[one]
    return rows


def _add(matrix: np.ndarray, at: np.ndarray, left: np.ndarray) -> None:
    """Adds what a part has left; runs of neighbouring columns are copied as they are."""
    starts = np.flatnonzero(np.diff(at, prepend=-2) != 1)
    ends = np.append(starts[1:], len(at))
    into, what = matrix.T, left.T
    for start, end in zip(starts, ends, strict=True):
        here = slice(at[start], at[start] + end - start)
        into[at, here] += what[:, start:end]
