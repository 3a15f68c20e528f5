"""∇·(D∇V) on voxels: symmetric, conservative, and no flux through the edge of the tissue."""

import functools
import operator
from itertools import combinations
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.electro._grid import VoxelGrid


class Stencil(eqx.Module):
    """The negative gradient, per unit of tissue, of the energy

        ½ Σ over voxels of h^d (Σ_a D_aa mean(δ_a V²) + Σ_{a≠b} D_ab mean(δ_a V) mean(δ_b V)),

    where δ_a V are the slopes [mV/mm] along the 2^(d-1) edges of a voxel in direction a. In three
    dimensions that couples 7 nodes where D is diagonal in the grid's axes, else 27. A mean of
    squares is no less than the square of the mean: the energy is never negative where D has no
    negative eigenvalue. Errors are of second order in the spacing.
    """

    edges: list[Float[Array, "..."]]  # for each axis, D_aa of edges x share of tissue / h²
    crossed: dict[
        tuple[int, int], Float[Array, "..."]
    ]  # for each pair of axes, D_ab / h² of voxels
    shares: Float[np.ndarray | Array, "..."]  # tissue around each corner, 1 where there is none

    def __init__(
        self, grid: VoxelGrid, tensor: dict[tuple[int, int], Any], dtype: Any = float
    ) -> None:
        """**Arguments:** `tensor` has the components (a, b), a <= b, of D [mm²/ms], each a number
        or an array (voxels); a pair of axes that is absent is 0."""
        tissue = jnp.asarray(grid.tags > 0, dtype) / grid.spacing**2
        edges = 2 ** (grid.dimensions - 1)
        self.edges = [_to_edges(tissue * tensor[a, a], a) / edges for a in range(grid.dimensions)]
        pairs = [pair for pair in combinations(range(grid.dimensions), 2) if pair in tensor]
        self.crossed = {pair: tissue * tensor[pair] for pair in pairs}
        self.shares = jnp.asarray(np.where(grid.shares > 0, grid.shares, 1.0), dtype)

    def __call__(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """∇·(D∇V) [mV/ms] at every corner of the box; 0 where there is no tissue."""
        slopes = [jnp.diff(v, axis=a) for a in range(v.ndim)]
        fluxes = [c * s for c, s in zip(self.edges, slopes, strict=True)]
        means = {a: _to_voxels(slopes[a], a) for a in {a for pair in self.crossed for a in pair}}
        for (a, b), d in self.crossed.items():
            fluxes[a] = fluxes[a] + _to_edges(d * means[b], a) / 2 ** (v.ndim - 1)
            fluxes[b] = fluxes[b] + _to_edges(d * means[a], b) / 2 ** (v.ndim - 1)
        return _sum([_divergence(flux, a) for a, flux in enumerate(fluxes)]) / self.shares

    def squared(self, v: Float[Array, "..."]) -> Float[Array, "..."]:
        """Σ_a (∂_a D_aa ∂_a)² V at every corner of the box, each axis by itself."""
        return _sum([self._along(a, self._along(a, v)) for a in range(v.ndim)])

    def _along(self, a: int, v: Array) -> Array:
        return _divergence(self.edges[a] * jnp.diff(v, axis=a), a) / self.shares

    def largest_rate(self) -> Float[Array, ""]:
        """A bound of the largest eigenvalue of minus the operator [1/ms], by Gershgorin.

        |D_ab mean(δ_a V) mean(δ_b V)| <= ½ |D_ab| (mean(δ_a V²) + mean(δ_b V²)).
        """
        edges = list(self.edges)
        for pair, d in self.crossed.items():
            for a in pair:
                edges[a] = edges[a] + _to_edges(jnp.abs(d), a) / 2 ** (d.ndim - 1)
        return 2 * jnp.max(_sum([_meeting(c, a) for a, c in enumerate(edges)]) / self.shares)

    def largest_square(self) -> Float[Array, ""]:
        """A bound of the largest eigenvalue of `squared`."""
        rates = [2 * jnp.max(_meeting(c, a) / self.shares) for a, c in enumerate(self.edges)]
        return _sum([rate**2 for rate in rates])


def _meeting(edges: Array, axis: int) -> Array:
    """The sum of the edges along an axis that meet in each corner."""
    ends = _at(axis, edges.ndim, (0, 1)), _at(axis, edges.ndim, (1, 0))
    return jnp.pad(edges, ends[0]) + jnp.pad(edges, ends[1])


def _sum(terms: list[Array]) -> Array:
    return functools.reduce(operator.add, terms)


def _at(axis: int, ndim: int, ends: tuple[int, int]) -> list[tuple[int, int]]:
    return [ends if a == axis else (0, 0) for a in range(ndim)]


def _divergence(flux: Array, axis: int) -> Array:
    return jnp.diff(jnp.pad(flux, _at(axis, flux.ndim, (1, 1))), axis=axis)


def _to_edges(voxels: Array, axis: int) -> Array:
    """Sums of voxels around each edge along an axis."""
    for a in range(voxels.ndim):
        if a != axis:
            ndim = voxels.ndim
            voxels = jnp.pad(voxels, _at(a, ndim, (0, 1))) + jnp.pad(voxels, _at(a, ndim, (1, 0)))
    return voxels


def _to_voxels(edges: Array, axis: int) -> Array:
    """Means of the edges along an axis of each voxel."""
    for a in range(edges.ndim):
        if a != axis:
            low = jnp.take(edges, jnp.arange(edges.shape[a] - 1), a)
            edges = (low + jnp.take(edges, jnp.arange(1, edges.shape[a]), a)) / 2
    return edges
