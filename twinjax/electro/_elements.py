"""Tissue on meshes: nodes in regions, and ∇·(D∇V) by finite elements."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from twinjax.electro._conduction import explicitly, repeated
from twinjax.fem import P1, Q1, PaddedRows, solve_symmetric
from twinjax.geometry import Mesh, reorder, select

# The smallest eigenvalue of the consistent mass relative to the lumped one, of a cell: of a
# tetrahedron exactly, of a box exactly.
_SMALLEST_MASS = {4: 1 / 5, 8: 1 / 27}
# Alexander 1977, SIAM J Numer Anal 14:1006: two stages, second order, L-stable.
_GAMMA = 1 - 0.5**0.5


class TissueMesh(eqx.Module):
    """The nodes of a mesh in the order of tissue, and the elements between them.

    Every tag of the mesh's cells is a region, in rising order, and a node between regions belongs
    to the one with the larger tag. Nodes of a region follow each other, neighbours near each
    other; nodes of no cell are left out. `nodes` has the mesh's number of each, so that its data
    follow as `values[grid.nodes]`, and `on_mesh` takes results back.

    **Arguments:** `mesh`; `regions`, groups of tags to be one region each, for example
    `[(1, 2), (5,)]` for two cell models.

    Raises `ValueError` for cells that are inverted or flat (`twinjax.geometry.check` says what
    else may be wrong), and for groups in which a tag of the mesh is missing or comes twice.
    """

    elements: P1 | Q1
    nodes: Int[np.ndarray | Array, " n"]
    cells: Int[np.ndarray | Array, " cell"]  # the mesh's number of each cell
    mesh_size: tuple[int, int] = eqx.field(static=True)  # nodes and cells of the mesh
    counts: tuple[int, ...] = eqx.field(static=True)
    frames: Float[np.ndarray | Array, "cell 3 3"] | None

    def __init__(self, mesh: Mesh, regions: Sequence[Sequence[int]] | None = None) -> None:
        whole, kept = select(mesh, np.ones(len(mesh.cells), bool))
        near, places, cells = reorder(whole)
        groups = [(int(tag),) for tag in np.unique(mesh.regions)] if regions is None else regions
        group = _group_of(near.regions, groups)
        largest = np.full(len(near.points), -1)
        np.maximum.at(largest, near.cells.ravel(), np.repeat(group, near.cells.shape[1]))
        order = np.argsort(largest, kind="stable")
        number = np.empty_like(order)
        number[order] = np.arange(len(order))
        # Cells by their lowest node again, for locality where the regions moved nodes.
        renamed = number[near.cells].astype(np.int32)
        first = np.argsort(renamed.min(axis=1), kind="stable")
        kind = P1 if renamed.shape[1] == 4 else Q1
        self.elements = kind(near.points[order], renamed[first])
        self.nodes = np.asarray(kept[places[order]], np.int32)
        self.cells = np.asarray(cells[first], np.int32)
        self.mesh_size = (len(mesh.points), len(mesh.cells))
        self.counts = tuple(int(n) for n in np.bincount(largest, minlength=len(groups)))
        self.frames = None if near.frames is None else np.asarray(near.frames)[first]

    @property
    def points(self) -> Float[Array, "n 3"]:
        """Coordinates of the nodes [mm]."""
        return self.elements.points

    @property
    def dimensions(self) -> int:
        """Always 3."""
        return 3

    @property
    def volumes(self) -> Float[Array, " n"]:
        """Tissue that each node stands for [mm³]."""
        return self.elements.lumped_mass()

    def on_mesh(self, values: Float[Array, " n"]) -> Float[np.ndarray, " node"]:
        """Values of nodes in the order of the mesh, NaN where it has a node of no cell."""
        whole = np.full(self.mesh_size[0], np.nan)
        whole[np.asarray(self.nodes)] = np.asarray(values)
        return whole

    def within(self, low: tuple[float, ...], high: tuple[float, ...]) -> Bool[np.ndarray, " n"]:
        """Which nodes lie in a box [mm], its faces included.

        Raises `ValueError` if none does.
        """
        points = np.asarray(self.points)
        slack = 1e-6 * np.ptp(points, axis=0).max()
        inside = np.all((points >= np.array(low) - slack) & (points <= np.array(high) + slack), 1)
        if not inside.any():
            raise ValueError(f"no node of the mesh lies between {low} and {high} mm")
        return inside

    def nearest(self, point: tuple[float, ...]) -> int:
        """The node nearest to a point [mm]."""
        return int(np.argmin(np.sum((np.asarray(self.points) - np.array(point)) ** 2, axis=1)))

    def extents(self) -> Float[Array, "cell 3 3"]:
        """H of each cell [mm²], so that n·Hn is the square of its extent along n: h² of a cube.

        By it (V/6) ∇u·H∇u is what the lumped mass of a linear u has above the consistent one.
        """
        corners = self.elements.points[self.elements.cells]
        size = corners.shape[1]
        edge = corners[:, :, None] - corners[:, None]
        # Of a box, half the sum over all pairs is 8 times the squares of each axis.
        share = 0.15 if size == 4 else 1 / 32
        return share * jnp.einsum("cijx,cijy->cxy", edge, edge)

    def operator(
        self,
        tensor: Float[Array, "cell 3 3"],
        spread: Float[Array, "cell 3 3"] | None,
        weight: float,
        implicit: bool,
        dtype: Any,
    ) -> "ElementConduction":
        """∇·(D∇V), with D [mm²/ms] and the spread [mm²] of a blended mass in every cell."""
        elements = self.elements.at(self.elements.points.astype(dtype))
        mass = elements.lumped_mass()
        stiffness = elements.stiffness(tensor.astype(dtype))
        whole = elements.mass() if weight else None
        spreading = None if spread is None else elements.stiffness(spread.astype(dtype))
        corners = elements.cells.shape[1]
        lightest = 1 - weight + weight * _SMALLEST_MASS[corners]
        return ElementConduction(stiffness, mass, whole, spreading, weight, lightest, implicit)


class ElementConduction(eqx.Module):
    """M dV/dt = -K V, with K the stiffness of D and M = (1 - w) lumped + w consistent mass.

    With a spread T, M⁻¹ is (1 + L⁻¹ S) L⁻¹, of the lumped mass L and the stiffness S of T: the
    first terms of the Neumann series of the inverse of L - S. All of these are symmetric, keep
    ∫V and raise no energy.
    """

    stiffness: PaddedRows
    lumped: Float[Array, " n"]
    whole: PaddedRows | None
    spreading: PaddedRows | None
    weight: float = eqx.field(static=True)
    lightest: float = eqx.field(static=True)
    implicit: bool = eqx.field(static=True)

    def __call__(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """In mV/ms."""
        return self._rate(v, 0.0)

    def advance(
        self, v: Float[Array, " n"], time: float, substeps: int, *, second_order: bool
    ) -> Float[Array, " n"]:
        """V after conduction alone for a while [ms].

        Explicit: forward Euler steps, or Heun's. Implicit: backward Euler, or the two stages of
        Alexander 1977, either of which damps what it does not resolve.
        """
        if not self.implicit:
            return explicitly(self, v, time, substeps, second_order)
        length = time / substeps

        def forward(v: Array) -> Array:
            if not second_order:
                return v + length * self._rate(v, length)
            first = self._rate(v, _GAMMA * length)
            second = self._rate(v + (1 - _GAMMA) * length * first, _GAMMA * length)
            return v + length * ((1 - _GAMMA) * first + _GAMMA * second)

        return repeated(forward, v, substeps)

    def _rate(self, v: Array, ahead: float) -> Array:
        """(M + ahead K)⁻¹ (-K v)."""
        flow = -self.stiffness.apply(v)
        if self.whole is None and not ahead:
            rate = flow / self.lumped
            if self.spreading is not None:
                rate = rate + self.spreading.apply(rate) / self.lumped
            return rate
        w, whole = self.weight, self.whole
        values = ahead * self.stiffness.values
        diagonal = ahead * self.stiffness.diagonal() + (1 - w) * self.lumped
        if whole is not None:
            values, diagonal = values + w * whole.values, diagonal + w * whole.diagonal()
        rows = PaddedRows(values, self.stiffness.columns)
        return solve_symmetric(lambda x: rows.apply(x) + (1 - w) * self.lumped * x, flow, diagonal)

    def longest_step(self) -> Float[Array, ""]:
        """What the explicit methods are stable up to at least [ms]; the others for ever."""
        if self.implicit:
            return jnp.asarray(jnp.inf, self.lumped.dtype)
        rate = _largest(self.stiffness, self.lumped) / self.lightest
        if self.spreading is not None:
            rate = rate * (1 + _largest(self.spreading, self.lumped))
        return 2 / rate


def _largest(matrix: PaddedRows, mass: Array) -> Array:
    """A bound of the largest eigenvalue relative to a lumped mass, by Gershgorin."""
    return jnp.max(jnp.sum(jnp.abs(matrix.values), axis=1) / mass)


def _group_of(tags: np.ndarray, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """The number of each cell's group."""
    listed = [tag for group in groups for tag in group]
    if sorted(listed) != [int(tag) for tag in np.unique(tags)]:
        raise ValueError(
            f"the groups name the region tags {sorted(listed)}, but the mesh has "
            f"{[int(tag) for tag in np.unique(tags)]}: name each of these once"
        )
    found = np.empty(len(tags), int)
    for number, group in enumerate(groups):
        found[np.isin(tags, list(group))] = number
    return found
