"""Factors of a sparse matrix by dense ones: the multifrontal method.

Duff and Reid 1983, ACM Trans Math Softw 9:302. Of each part of a nested dissection the matrix

    ( A  B )        with the rows and columns of its own nodes first and those of its rim behind
    ( C  D )

gathers entries of the whole and what the parts below have left; A is factorised, and D - C A⁻¹ B is
left to the part above. Nearly all arithmetic is products of dense matrices. Of a symmetric matrix
only what is on and below the diagonal is computed: where A is definite, A = L Lᵀ and C becomes
C L⁻ᵀ. Else A = L U with row interchanges within the part, and C becomes C A⁻¹. No rows change
places between parts: that suits stiffness matrices, which are definite or close to it.

Processors share the parts that wait for no other, and the rows of large ones; each computes with
one thread of BLAS. Results do not depend on how many there are.
"""

import concurrent.futures
import contextlib
import functools
import heapq
import itertools
import os
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from threadpoolctl import ThreadpoolController

from twinjax.mechanics import _blas
from twinjax.mechanics._dissection import Part

_ROWS = 256  # of a rim, that a processor takes at a time
_RUN = 600  # entries from which adding them in place is faster than by the numbers of rows
_ROUNDING = 1e-13  # of the largest entry, by which a symmetric matrix is not symmetric


class _Front(NamedTuple):
    own: Int[np.ndarray, " own"]  # degrees of freedom
    rim: Int[np.ndarray, " rim"]
    source: Int[np.ndarray, " entry"]  # which values go
    place: Int[np.ndarray, " entry"]  # where, in A, C and B one after the other
    lower: int  # so many of them, the first, are not in B
    below: tuple[tuple[int, Int[np.ndarray, " rim_below"]], ...]  # rows in increasing order


class _Part(NamedTuple):
    a: Float[np.ndarray, "own own"]  # L, or factors of the transpose of A
    swaps: Int[np.ndarray, " own"] | None  # None where A = L Lᵀ
    c: Float[np.ndarray, "rim own"]  # C L⁻ᵀ, or C A⁻¹
    b: Float[np.ndarray, "own rim"] | None  # None where the matrix is symmetric

    def before_rim(self, own: np.ndarray, transpose: bool) -> np.ndarray:
        """Solves with the first factors, in place; what that takes from the rim's sides."""
        if self.swaps is None:
            _blas.lower_solve(self.a, own)
        elif transpose and self.b is not None:
            _blas.lu_solve(self.a, self.swaps, own, transpose=True)
            return own @ self.b
        return own @ self.c.T

    def after_rim(self, own: np.ndarray, rim: np.ndarray, transpose: bool) -> None:
        """Solves with the others, in place, where the rim's x is known."""
        if self.swaps is None:
            own -= rim @ self.c
            _blas.lower_solve(self.a, own, transpose=True)
        elif self.b is None:
            _blas.lu_solve(self.a, self.swaps, own)
            own -= rim @ self.c
        elif transpose:
            own -= rim @ self.c
        else:
            own -= rim @ self.b.T
            _blas.lu_solve(self.a, self.swaps, own)


class Fronts:
    """Where values go in the dense matrices: found once a pattern.

    **Arguments:** parts of a graph; the nodes `row` and `column` of each block of three by three,
    sorted by both; `held` (node, 3) whether a component is held: its row and column are those of
    the identity.
    """

    def __init__(self, parts: list[Part], row: np.ndarray, column: np.ndarray, held: np.ndarray):
        count = len(held)
        self._mirror = np.searchsorted(row * count + column, column * count + row)
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
            blocks = blocks[np.argsort(owner[column[blocks]] > number, kind="stable")]
            i = 3 * at[row[blocks]][:, None, None] + three[None, :, None]
            k = 3 * at[column[blocks]][:, None, None] + three[None, None, :]
            source = 9 * blocks[:, None, None] + 3 * three[None, :, None] + three[None, None]
            free = ~(held[row[blocks]][:, :, None] | held[column[blocks]][:, None, :])
            below = tuple((b, _degrees(at[parts[b].rim])) for b in part.below)
            own, rim = _degrees(part.nodes), _degrees(part.rim)
            place = _place(i, k, len(own), len(rim))[free]
            lower = int(np.searchsorted(place >= len(own) * (len(own) + len(rim)), True))
            known.append(_Front(own, rim, source[free], place, lower, below))
        self.fronts = known
        self.held = held.ravel()

    def factorise(
        self, values: Float[np.ndarray, "block 3 3"], kind: type = np.float64
    ) -> "Factors":
        """Factors in numbers of a kind. Raises `RuntimeError` where a part is singular."""
        flat: np.ndarray = np.ascontiguousarray(values, kind).ravel()
        symmetric = self._symmetric(values)
        waiting: dict[int, np.ndarray] = {}
        done: list[_Part | None] = [None] * len(self.fronts)

        def work(number: int, share: Callable) -> None:
            front = self.fronts[number]
            own, rim = len(front.own), len(front.rim)
            entries = slice(front.lower if symmetric else None)
            store: np.ndarray = np.zeros(own * (own + (1 if symmetric else 2) * rim), kind)
            store[front.place[entries]] = flat[front.source[entries]]
            a, c, b = np.split(store, [own * own, own * (own + rim)])
            matrix = _Matrix(
                a.reshape(own, own),
                None if symmetric else b.reshape(own, rim),
                c.reshape(rim, own),
                np.zeros((rim, rim), kind),
            )
            fixed = np.flatnonzero(self.held[front.own])
            matrix.a[fixed, fixed] = 1.0
            for which, at in front.below:
                matrix.add(at, waiting.pop(which))
            waiting[number] = matrix.d
            if own:
                done[number] = matrix.eliminate(share)

        with _one_thread():
            _upwards([[which for which, _ in front.below] for front in self.fronts], work)
        return Factors(self.fronts, done, kind)

    def _symmetric(self, values: Float[np.ndarray, "block 3 3"]) -> bool:
        other = values[self._mirror].transpose(0, 2, 1)
        return bool(np.abs(values - other).max() <= _ROUNDING * np.abs(values).max())


class Factors:
    """The eliminated parts of a matrix."""

    def __init__(self, fronts: list[_Front], parts: list[_Part | None], kind: type):
        self.fronts, self.parts, self.kind = fronts, parts, kind

    def solve(
        self, right: Float[np.ndarray, "degree side"], *, transpose: bool = False
    ) -> Float[np.ndarray, "degree side"]:
        """x of A x = right, or Aᵀ x = right."""
        # A row for each side: those of a part's own are solved in place.
        x: np.ndarray = np.array(np.asarray(right).T, self.kind, order="C")
        pairs = [(f, p) for f, p in zip(self.fronts, self.parts, strict=True) if p is not None]
        with _one_thread():
            for front, part in pairs:
                own = np.ascontiguousarray(x[:, front.own])
                x[:, front.rim] -= part.before_rim(own, transpose)
                x[:, front.own] = own
            for front, part in reversed(pairs):
                own = np.ascontiguousarray(x[:, front.own])
                part.after_rim(own, x[:, front.rim], transpose)
                x[:, front.own] = own
        return x.T


class _Matrix(NamedTuple):
    """A part's own rows and columns and those of its rim; without B what is above the diagonal of
    A and D may be anything."""

    a: Float[np.ndarray, "own own"]
    b: Float[np.ndarray, "own rim"] | None
    c: Float[np.ndarray, "rim own"]
    d: Float[np.ndarray, "rim rim"]

    def add(self, at: Int[np.ndarray, " below"], left: Float[np.ndarray, "below below"]) -> None:
        """Adds what a part below has left in the rows and columns `at`, which increase."""
        own = len(self.a)
        mine = int(np.searchsorted(at, own))
        upper, lower = _runs(at[:mine], 0), _runs(at[mine:] - own, mine)
        whole = self.b is not None
        _add_runs(self.a, left, upper, upper, whole)
        if self.b is not None:
            _add_runs(self.b, left, upper, lower, True)
        _add_runs(self.c, left, lower, upper, True)
        _add_runs(self.d, left, lower, lower, whole)

    def eliminate(self, share: Callable) -> _Part:
        """Factorises A, and writes what a part keeps over C and D - C A⁻¹ B over D."""
        a, b, c, d = self
        pieces = [slice(i, i + _ROWS) for i in range(0, len(d), _ROWS)]
        if b is None:
            kept = a.copy()
            if _blas.cholesky(a):
                share(lambda rows: _blas.lower_solve(a, c[rows]), pieces)
                share(
                    lambda rows: _blas.subtract_product(
                        c[rows], c[: rows.stop], d[rows, : rows.stop], transpose=True
                    ),
                    pieces,
                )
                return _Part(a, None, c, None)
            a[...] = np.tril(kept) + np.tril(kept, -1).T
        behind = np.ascontiguousarray(c.T) if b is None else b
        swaps = _blas.lu(a)
        if swaps is None:
            raise RuntimeError("the matrix is singular")

        def some(rows: slice) -> None:
            _blas.lu_solve(a, swaps, c[rows], transpose=True)
            columns = slice(rows.stop if b is None else None)
            _blas.subtract_product(c[rows], behind[:, columns], d[rows, columns])

        share(some, pieces)
        return _Part(a, swaps, c, b)


def _runs(at: np.ndarray, first: int) -> list[tuple[slice, slice]]:
    """From which of neighbouring rows, counted from `first`, to which."""
    edges = [0, *(1 + np.flatnonzero(np.diff(at) != 1)).tolist(), len(at)]
    return [
        (slice(first + s, first + e), slice(int(at[s]), int(at[s]) + e - s))
        for s, e in itertools.pairwise(edges)
        if s < e
    ]


def _add_runs(block: np.ndarray, left: np.ndarray, rows: list, columns: list, whole: bool) -> None:
    """Adds runs of columns to runs of rows, those above the diagonal only if it is `whole`."""
    if not rows or not columns:
        return
    entries = (rows[-1][0].stop - rows[0][0].start) * (columns[-1][0].stop - columns[0][0].start)
    short = len(rows) * len(columns) * _RUN > entries
    if short:
        every = np.concatenate([np.arange(to.start, to.stop) for _, to in rows])
    for from_columns, to_columns in columns:
        if short:
            start = 0 if whole else from_columns.start - rows[0][0].start
            from_rows = slice(rows[0][0].start + start, rows[-1][0].stop)
            block[every[start:], to_columns] += left[from_rows, from_columns]
            continue
        for from_rows, to_rows in rows:
            if whole or from_rows.stop > from_columns.start:
                sum_ = block[to_rows, to_columns]
                np.add(sum_, left[from_rows, from_columns], out=sum_)


def _upwards(below: list[list[int]], work: Callable[[int, Callable], None]) -> None:
    """Does the work of each part after those below it, on all processors, lowest numbers first.

    Work is given a way to share: a function and a list, of which each processor takes some.
    """
    above = {low: number for number, lows in enumerate(below) for low in lows}
    missing = [len(lows) for lows in below]
    ready = [number for number, count in enumerate(missing) if not count]
    left = len(below)
    failures: list[BaseException] = []
    changed = threading.Condition()

    def work_on() -> None:
        nonlocal left
        while True:
            with changed:
                while left and not ready and not failures:
                    changed.wait()
                if not left or failures:
                    return
                number = heapq.heappop(ready)
            try:
                work(number, share)
            except BaseException as failure:  # raised again where all are awaited
                with changed:
                    failures.append(failure)
                    changed.notify_all()
                return
            with changed:
                left -= 1
                if number in above:
                    missing[above[number]] -= 1
                    if not missing[above[number]]:
                        heapq.heappush(ready, above[number])
                changed.notify_all()

    count = _processors()
    with concurrent.futures.ThreadPoolExecutor(count) as helpers:

        def share(some: Callable, pieces: list) -> None:
            # One piece less than others can take is not worth handing over.
            for _ in helpers.map(some, pieces) if len(pieces) > 1 else map(some, pieces):
                pass

        workers = [threading.Thread(target=work_on) for _ in range(count)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    if failures:
        raise failures[0]


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def _one_thread() -> contextlib.AbstractContextManager:
    """BLAS with one thread.

    The threads of OpenBLAS wait for each other without rest: where other programs keep them from
    their processors, many small products with two took thirty times as long as with one.
    """
    return _controller().limit(limits=1, user_api="blas")


def _degrees(nodes: np.ndarray) -> np.ndarray:
    return (3 * nodes[:, None] + np.arange(3)[None]).ravel()


def _place(i: np.ndarray, k: np.ndarray, own: int, rim: int) -> np.ndarray:
    """Where row i and column k are in A, C and B one after the other, each row by row."""
    above = np.where(k < own, i * own + k, own * (own + rim) + i * rim + (k - own))
    return np.where(i < own, above, own * own + (i - own) * own + k)
