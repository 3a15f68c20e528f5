"""Calibration of virtual populations: cells are moved into experimental ranges by gradients."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twinjax._results import RESULTS
from twinjax._simulator import in_chunks
from twinjax.cells._cell import AbstractCell
from twinjax.cells._populations import (
    Pacing,
    Population,
    factor_bounds,
    paced_with,
    simulate_chunk,
    simulate_population,
)
from twinjax.cells._ranges import Range


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A population that was moved into ranges.

    - `before`, `after`: the cells, in the same order. A cell that was inside is left as it was, as
      is one that has no biomarkers to differentiate.
    - `inside` (n,): which are in every range now. `moved` (n,): root of the sum of squares of the
      changes of the logarithms of conductances.
    """

    before: Population
    after: Population
    inside: Bool[np.ndarray, " n"]
    moved: Float[np.ndarray, " n"]


def calibrate_population(
    cell: AbstractCell,
    population: Population,
    ranges: Mapping[str, Range],
    *,
    pacing: Pacing | None = None,
    iterations: int = 30,
    margin: float = 0.03,
    rigour: float = 100.0,
    chunk: int = 128,
) -> Calibration:
    """Moves each cell's conductances into the ranges, as little as possible.

    With z the logarithms of a cell's factors, z₀ where they were, y_i a biomarker, and
    [a_i, b_i] its range, narrowed by `margin` of its width w_i at both ends, minimises

        ½ |z - z₀|² + ½ rigour² Σ_i max(0, (y_i(z) - b_i)/w_i, (a_i - y_i(z))/w_i)²

    by damped Gauss-Newton steps (Levenberg-Marquardt; the damping of each cell follows its own
    success), each the least of that sum for linearised biomarkers. Jacobians are forward-mode
    derivatives through the paced beats. What the penalty leaves, of the order of 1/rigour², has
    the margin to stay in; where that is not enough, the rigour of that cell rises tenfold, at most
    a hundredfold. Only cells that are not finished are paced again. Conductances stay within the
    bounds of their parameters.

    **Arguments:** `population` as `simulate_population` returned it, with the same `pacing`.

    Raises `ValueError` for an unknown biomarker, a margin not in [0, 0.5), or a factor of 0, whose
    logarithm cannot move.
    """
    inside = population.within(ranges)
    if not 0 <= margin < 0.5:
        raise ValueError(f"margin must lie in [0, 0.5), not {margin}")
    if (population.scales[~inside] <= 0).any():
        raise ValueError("a conductance of 0 has no logarithm to move: sample factors above 0")
    pacing = Pacing() if pacing is None else pacing
    names = population.currents
    size = min(chunk, len(population.scales))  # one program, however few cells are left
    low, high = (np.log(np.maximum(b, 1e-6)) for b in factor_bounds(cell, names))
    wanted = _Targets.of(ranges, margin)

    def values(z: np.ndarray) -> np.ndarray:
        found, results = in_chunks(
            lambda rows: simulate_chunk(cell, names, pacing, rows), np.exp(z), size
        )
        return wanted.pick(found, results)

    def jacobians(z: np.ndarray) -> np.ndarray:
        found, results = in_chunks(lambda rows: _differentiate(cell, names, pacing, rows), z, size)
        return wanted.pick(found, results)

    y = wanted.pick(population.biomarkers, population.results)
    movable = ~inside & np.isfinite(y).all(axis=1)
    at = np.flatnonzero(movable)
    z = np.log(np.maximum(population.scales, 1e-300))
    z[at] = _least_change(z[at], y[at], values, jacobians, wanted, (low, high), iterations, rigour)
    scales = population.scales.copy()
    scales[at] = np.exp(z[at])
    after = population
    if at.size:
        fresh = simulate_population(cell, names, scales[at], pacing=pacing, chunk=size)
        markers = {name: value.copy() for name, value in population.biomarkers.items()}
        results = population.results.copy()
        results[at] = fresh.results
        for name, value in fresh.biomarkers.items():
            markers[name][at] = value
        after = Population(names, scales, markers, results)
    moved = np.zeros(len(scales))
    moved[at] = np.linalg.norm(np.log(scales[at] / population.scales[at]), axis=1)
    return Calibration(population, after, after.within(ranges), moved)


@dataclasses.dataclass(frozen=True)
class _Targets:
    names: tuple[str, ...]
    low: np.ndarray
    high: np.ndarray
    width: np.ndarray
    margin: float

    @staticmethod
    def of(ranges: Mapping[str, Range], margin: float) -> "_Targets":
        low, high = (np.array([getattr(r, e) for r in ranges.values()]) for e in ("low", "high"))
        width = high - low
        return _Targets(tuple(ranges), low + margin * width, high - margin * width, width, margin)

    def pick(self, found: Mapping[str, np.ndarray], results: np.ndarray) -> np.ndarray:
        """Values (n, p) or Jacobians (n, p, k), NaN where the simulation failed."""
        y = np.stack([found[name] for name in self.names], axis=1)
        failed = results != int(RESULTS.successful)
        return np.where(failed.reshape((-1,) + (1,) * (y.ndim - 1)), np.nan, y)

    def violation(self, y: np.ndarray) -> np.ndarray:
        """Signed, in widths; 0 inside."""
        return (np.maximum(y - self.high, 0) + np.minimum(y - self.low, 0)) / self.width


def _least_change(
    start: np.ndarray,
    y: np.ndarray,
    values: Callable[[np.ndarray], np.ndarray],
    jacobians: Callable[[np.ndarray], np.ndarray],
    wanted: _Targets,
    bounds: tuple[np.ndarray, np.ndarray],
    iterations: int,
    rigour: float,
) -> np.ndarray:
    """Levenberg-Marquardt for many cells at once; a step that fails or climbs is not taken."""

    def cost(z: np.ndarray, y: np.ndarray, cells: Any) -> np.ndarray:
        penalty = weight[cells] ** 2 * (wanted.violation(y) ** 2).sum(axis=1)
        return ((z - start[cells]) ** 2).sum(axis=1) + np.where(np.isnan(penalty), np.inf, penalty)

    z, y = start.copy(), y.copy()
    weight = np.full(len(z), rigour)
    damping = np.full(len(z), 1.0)
    jacobian = np.full((*y.shape, z.shape[1]), np.nan)
    stale = np.ones(len(z), dtype=bool)
    open_cells = np.ones(len(z), dtype=bool)
    for _ in range(iterations):
        renew = np.flatnonzero(stale & open_cells)
        if renew.size:
            jacobian[renew] = jacobians(z[renew])
            stale[renew] = False
        open_cells &= np.isfinite(jacobian).all(axis=(1, 2))
        cells = np.flatnonzero(open_cells)
        if not cells.size:
            break
        way = z[cells] - start[cells]
        step = _step(way, y[cells], jacobian[cells], wanted, weight[cells], damping[cells])
        trial = np.clip(z[cells] + step, *bounds)
        fresh = values(trial)
        old, new = cost(z[cells], y[cells], cells), cost(trial, fresh, cells)
        better = new < old
        took = cells[better]
        z[took], y[took], stale[took] = trial[better], fresh[better], True
        damping[cells] = np.where(better, damping[cells] / 10, damping[cells] * 10)
        # Finished: the step that was taken hardly pays, or none that would pay is long enough.
        settled = np.where(better, old - new < 1e-4 * old, damping[cells] > 1e6 * weight[cells])
        outside = (np.abs(wanted.violation(y[cells])) > wanted.margin).any(axis=1)
        harder = cells[settled & outside & (weight[cells] < 99 * rigour)]
        weight[harder] *= 10
        damping[harder] = 1.0
        open_cells[cells[settled]] = False
        open_cells[harder] = True
    return z


@eqx.filter_jit
def _differentiate(cell: AbstractCell, names: tuple[str, ...], pacing: Pacing, z: Array) -> Any:
    """Derivatives of biomarkers with respect to the logarithms of factors."""

    def of_logarithms(z: Array) -> Any:
        return paced_with(cell, names, pacing, jnp.exp(z))

    return jax.vmap(jax.jacfwd(of_logarithms, has_aux=True))(z)


def _step(
    way: np.ndarray,
    y: np.ndarray,
    jacobian: np.ndarray,
    wanted: _Targets,
    weight: np.ndarray,
    damping: np.ndarray,
) -> np.ndarray:
    """The damped least change for biomarkers that are linear in the step.

    The penalty is quadratic by pieces. Newton's method on it also sees the ranges that the step
    would leave, which a Gauss-Newton step from inside them does not: it would zigzag there.
    """
    slopes = jacobian / wanted.width[None, :, None] * weight[:, None, None]
    step = np.zeros_like(way)
    for _ in range(8):
        v = wanted.violation(y + np.einsum("npk,nk->np", jacobian, step))
        active = slopes * (v != 0)[:, :, None]
        gradient = way + step + damping[:, None] * step
        gradient += np.einsum("npk,np->nk", active, weight[:, None] * v)
        curve = np.einsum("npk,npl->nkl", active, active)
        curve += (1 + damping)[:, None, None] * np.eye(way.shape[1])
        step = step - np.linalg.solve(curve, gradient[:, :, None])[:, :, 0]
    return step
