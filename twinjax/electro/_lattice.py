"""∇·(D∇V) on voxels by links between nodes, along the lattice vectors that suit D.

Selling's reduction (Conway and Sloane 1992, Proc R Soc A 436:55; for diffusion Fehrenbach and
Mirebeau 2014, J Math Imaging Vis 49:123) finds for D a superbase b₀ … b_d of integer vectors with
sum 0 and b_i · D b_j <= 0, so that

    D = Σ_{i<j} λ_ij e_ij e_ijᵀ,   λ_ij = -b_i · D b_j >= 0,

with e_ij = ±b_k × b_l of the other two (in a plane, b_k turned by a right angle). These e are the
lattice vectors that are short where distance is measured by D⁻¹.
"""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.electro._grid import VoxelGrid
from twinjax.fem import PaddedRows, Pattern

# Weights below this share of the trace of D are those of rounding.
_NOTHING = 1e-9


def superbases(tensors: Float[np.ndarray, "c d d"]) -> Int[np.ndarray, "c b d"]:
    """An obtuse superbase of each tensor, in one to three dimensions."""
    count, d = tensors.shape[:2]
    first = np.concatenate([np.eye(d, dtype=int), -np.ones((1, d), int)])
    base = np.tile(first, (count, 1, 1))
    pairs = np.array(list(itertools.combinations(range(d + 1), 2)))
    slack = _NOTHING * np.trace(tensors, axis1=1, axis2=2)
    for _ in range(100):  # ends after a few turns unless D is nearly flat
        products = np.einsum("cid,cde,cje->cij", base, tensors, base)[:, pairs[:, 0], pairs[:, 1]]
        worst = np.argmax(products, axis=1)
        turn = np.flatnonzero(products[np.arange(count), worst] > slack)
        if d == 1 or not len(turn):
            return base
        i, j = pairs[worst[turn]].T
        old = base[turn]
        at = np.arange(len(turn))
        b_i, b_j = old[at, i], old[at, j]
        new = old + b_i[:, None] if d == 3 else np.repeat((b_i - b_j)[:, None], 3, axis=1)
        new[at, i], new[at, j] = -b_i, b_j
        base[turn] = new
    raise ValueError("the conductivity across fibres is too small beside that along them")


def directions(base: Int[np.ndarray, "c b d"]) -> Int[np.ndarray, "c pair d"]:
    """e of every pair of a superbase."""
    d = base.shape[2]
    found = []
    for pair in itertools.combinations(range(d + 1), 2):
        others = [k for k in range(d + 1) if k not in pair]
        if d == 3:
            found.append(np.cross(base[:, others[0]], base[:, others[1]]))
        elif d == 2:
            x, y = base[:, others[0]].T
            found.append(np.stack([-y, x], axis=1))
        else:
            found.append(base[:, 0])
    return np.stack(found, axis=1)


class Lattice(eqx.Module):
    """Which nodes are linked, for the D that a tissue is made with.

    The energy of a voxel is ½ h^d Σ_ij λ_ij (δV)²/h², δV over links along e_ij in boxes of tissue
    that have the voxel in them; where there is no such box, that of `Stencil` for e_ij e_ijᵀ.
    Either is exact for linear V, so that no flux leaves where the tissue ends.
    """

    base: Int[np.ndarray | Array, "c b d"]
    vectors: Float[np.ndarray | Array, "c pair d"]
    voxels: Int[np.ndarray | Array, " c"]  # of tissue, in the flattened box
    links: Int[np.ndarray | Array, " piece"]  # which link a piece of a voxel's energy goes to
    sources: Int[np.ndarray | Array, " piece"]  # voxel and pair that it comes from
    shares: Float[np.ndarray | Array, " piece"]
    spread: Float[np.ndarray | Array, " piece"]  # the same, 0 for pieces that are not corrected
    follows: Int[np.ndarray | Array, " triple"]  # link from the middle on, of three nodes in a row
    precedes: Int[np.ndarray | Array, " triple"]  # link to the middle, or the number of links: none
    middle: Int[np.ndarray | Array, " triple"]
    own: Float[np.ndarray | Array, " triple"]  # whether the triple carries its following link
    pattern: Pattern
    count: int = eqx.field(static=True)  # of links

    def __init__(self, grid: VoxelGrid, tensors: Float[np.ndarray, "c d d"]) -> None:
        """**Arguments:** `tensors`, D of every voxel of tissue (or of all of them, one)."""
        tissue = grid.tags > 0
        voxels = np.flatnonzero(tissue)
        d = grid.dimensions
        kinds, which = np.unique(tensors.reshape(len(tensors), -1), axis=0, return_inverse=True)
        which = np.broadcast_to(which.reshape(-1), voxels.shape)
        base = superbases(kinds.reshape(-1, d, d))
        vectors = directions(base)
        sign = np.sign(np.take_along_axis(vectors, np.argmax(vectors != 0, axis=2)[..., None], 2))
        vectors = vectors * sign
        self.base, self.vectors, self.voxels = base[which], vectors[which].astype(float), voxels
        weights = _weights(base, kinds.reshape(-1, d, d))[which]
        used = weights > _NOTHING * weights.sum(axis=1, keepdims=True)
        pieces = _pieces(tissue, grid.shape, voxels, vectors[which], used)
        self._join(grid, *pieces)

    def _join(self, grid: VoxelGrid, ends: Any, sources: Any, shares: Any, straight: Any) -> None:
        number = np.full(int(np.prod(grid.shape)), -1)
        number[grid.nodes] = np.arange(len(grid.nodes))
        first, last = number[ends[:, 0]], number[ends[:, 1]]
        # Straight links and those of the fallback are kept apart: only the first are corrected.
        n = len(grid.nodes)
        code = (first * n + last) * 2 + straight
        codes, links = np.unique(code, return_inverse=True)
        pairs, is_straight = np.divmod(codes, 2)
        start, end = np.divmod(pairs, n)
        self.links, self.sources, self.shares = links, sources, shares
        self.spread, self.count = shares * straight, len(codes)
        # Three nodes in a row: the link that ends where another one of the same vector starts.
        step = grid.nodes[end] - grid.nodes[start]
        wide = 2 * int(np.prod(grid.shape)) + 1
        begins, stops = start * wide + step, end * wide + step
        good = np.flatnonzero(is_straight)
        order = good[np.argsort(begins[good])]
        place = np.searchsorted(begins[order], stops[good])
        inside = np.minimum(place, len(order) - 1)
        meets = begins[order[inside]] == stops[good]
        following = np.where(meets, order[inside], len(codes))
        before = np.full(len(codes) + 1, len(codes))
        before[following] = good
        before = before[:-1]
        ends_here = good[~meets]
        # A triple for each link, with its start in the middle, and one for each free end.
        self.follows = np.concatenate([np.arange(len(codes)), np.full(len(ends_here), len(codes))])
        self.precedes = np.concatenate([before, ends_here])
        self.middle = np.concatenate([start, end[ends_here]])
        self.own = np.concatenate([np.ones(len(codes)), np.zeros(len(ends_here))])
        left = np.where(before < len(codes), start[np.minimum(before, len(codes) - 1)], start)
        nodes = np.stack([left, start, end], axis=1)
        free = np.stack([start[ends_here], end[ends_here], end[ends_here]], axis=1)
        self.pattern = Pattern(np.concatenate([nodes, free]), n)

    def rows(
        self,
        tensors: Float[Array, "c d d"],
        squares: Float[Array, "c pair"],
        theta: Any,
        spacing: float,
        volumes: Float[Array, " n"],
    ) -> PaddedRows:
        """Σ λ_e ∂_e² - Σ_e (∂_e E_e ∂_e)², E_e = h √(θ λ_e / 6), a row a node [1/ms].

        **Arguments:** `squares`, e · D⁻¹e of the vectors [ms/mm²]; `theta`, of h² times that;
        `volumes` of nodes, where that of a voxel is 1.
        """
        dtype = volumes.dtype
        weights = _weights(self.base, tensors)
        trace = jnp.trace(tensors, axis1=1, axis2=2)
        weights = eqx.error_if(
            weights,
            jnp.any(jnp.min(weights, axis=1) < -_NOTHING * 10 * trace),
            "conductivities have changed so much since the tissue was made that its links do not "
            "fit them: make the tissue anew",
        )
        real = weights > _NOTHING * trace[:, None]
        safe = jnp.where(real, weights, 1.0)
        root = jnp.where(real, spacing * jnp.sqrt(theta(spacing**2 * squares) * safe / 6), 0.0)

        def gathered(values: Array, shares: Any) -> Array:
            part = values.reshape(-1)[self.sources] * jnp.asarray(shares, dtype)
            total = jax.ops.segment_sum(part, self.links, self.count)
            return jnp.append(total, jnp.zeros(1, dtype)) / spacing**2

        stiff, bent = gathered(weights, self.shares), gathered(root, self.spread)
        own = stiff[self.follows] * jnp.asarray(self.own, dtype)
        after, before = bent[self.follows], bent[self.precedes]
        # ½ (own (V₂ - V₁)² + (before V₀ - (before + after) V₁ + after V₂)² / volume)
        row = jnp.stack([before, -(before + after), after], axis=1)
        along = jnp.asarray([0.0, -1.0, 1.0], dtype)
        matrix = own[:, None, None] * (along[:, None] * along[None])[None]
        matrix = matrix + row[:, :, None] * (row / volumes[self.middle][:, None])[:, None, :]
        whole = self.pattern.assemble(matrix)
        return PaddedRows(-whole.values / volumes[:, None], whole.columns)


def _weights(base: Any, tensors: Any) -> Any:
    """λ of every pair."""
    d = base.shape[2]
    pairs = np.array(list(itertools.combinations(range(d + 1), 2)))
    numpy = jnp if isinstance(tensors, Array) else np
    return -numpy.einsum("cpd,cde,cpe->cp", base[:, pairs[:, 0]], tensors, base[:, pairs[:, 1]])


def _pieces(
    tissue: np.ndarray, shape: tuple[int, ...], voxels: np.ndarray, vectors: np.ndarray, used: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ends of links, voxel x pair that each is of, share of its energy, whether it is straight."""
    d = tissue.ndim
    places = np.stack(np.unravel_index(voxels, tissue.shape), axis=1)
    strides = np.array([int(np.prod(shape[a + 1 :])) for a in range(d)])
    pairs = vectors.shape[1]
    ends, sources, shares, straight = [], [], [], []
    flat = vectors.reshape(-1, d)
    for vector in np.unique(flat[used.reshape(-1)], axis=0):
        mine = np.flatnonzero(np.all(flat == vector, axis=1) & used.reshape(-1))
        voxel = places[mine // pairs]
        # Along an axis that the vector does not move on, a voxel has links on both sides.
        options = [range(2) if e == 0 else range(abs(e)) for e in vector]
        shifts = np.array(list(itertools.product(*options)))
        starts, valid = [], []
        for shift in shifts:
            low = voxel - np.where(vector == 0, 0, shift)  # corner of the box of voxels
            high = low + np.maximum(np.abs(vector), 1)
            start = np.where(vector < 0, low - vector, low + np.where(vector == 0, shift, 0))
            starts.append(start)
            valid.append(_all_tissue(tissue, low, high))
        good = np.stack(valid)
        many = good.sum(axis=0)
        for start, ok in zip(starts, good, strict=True):
            chosen = np.flatnonzero(ok)
            ends.append(np.stack([start[chosen] @ strides, (start + vector)[chosen] @ strides], 1))
            sources.append(mine[chosen])
            shares.append(1 / many[chosen])
            straight.append(np.ones(len(chosen), int))
        alone = np.flatnonzero(many == 0)
        for one, two, weight in _plain(vector):
            first, last = voxel[alone] + one, voxel[alone] + two
            ends.append(np.stack([first @ strides, last @ strides], axis=1))
            sources.append(mine[alone])
            shares.append(np.full(len(alone), weight))
            straight.append(np.zeros(len(alone), int))
    joined = [np.concatenate(x) for x in (ends, sources, shares, straight)]
    return joined[0], joined[1], joined[2], joined[3]


def _all_tissue(tissue: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    inside = np.all((low >= 0) & (high <= np.array(tissue.shape)), axis=1)
    size = high[0] - low[0]
    for offset in itertools.product(*(range(n) for n in size)):
        at = np.clip(low + np.array(offset), 0, np.array(tissue.shape) - 1)
        inside &= tissue[tuple(at.T)]
    return inside


def _plain(vector: np.ndarray) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """The energy of `Stencil` in a voxel with D = e eᵀ, as links between its corners."""
    d = len(vector)
    corners = np.array(list(itertools.product((0, 1), repeat=d)))
    matrix = np.zeros((2**d, 2**d))
    slopes = []
    for a in range(d):
        rows = []
        for low in corners[corners[:, a] == 0]:
            row = np.zeros(2**d)
            row[np.all(corners == low, axis=1)] = -1
            row[np.all(corners == low + np.eye(d, dtype=int)[a], axis=1)] = 1
            rows.append(row)
        slopes.append(np.array(rows))
        matrix += vector[a] ** 2 * slopes[a].T @ slopes[a] / 2 ** (d - 1)
    for a, b in itertools.combinations(range(d), 2):
        mixed = np.outer(slopes[a].mean(axis=0), slopes[b].mean(axis=0))
        matrix += vector[a] * vector[b] * (mixed + mixed.T)
    return [
        (corners[i], corners[j], float(-matrix[i, j]))
        for i, j in itertools.combinations(range(2**d), 2)
        if abs(matrix[i, j]) > 1e-12
    ]
