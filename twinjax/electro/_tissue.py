"""Tissue: cells on the nodes of a grid or a mesh, coupled by an anisotropic conductivity."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter
from twinjax.cells import AbstractCell
from twinjax.electro._conduction import Conduction, LinkConduction
from twinjax.electro._elements import ElementConduction, TissueMesh
from twinjax.electro._grid import VoxelGrid
from twinjax.electro._lattice import Lattice
from twinjax.electro._stencil import Stencil
from twinjax.geometry import Mesh

CITE = "Niederer et al. 2011, Phil Trans R Soc A 369:4331: intra- and extracellular in series"
MASSES = ("lumped", "blended")  # of grids and meshes
MESH_MASSES = (*MASSES, "consistent")
STEPPINGS = ("explicit", "implicit")


class Tissue(eqx.Module):
    """The monodomain equation ∂V/∂t = ∇·(D∇V) + dV/dt of the cells,  D = σ / (χ C_m) [mm²/ms].

    Along fibres σ is `conductivity_along`, across them `conductivity_across`; no flux leaves the
    tissue. With the mass "lumped", ∇·(D∇V) is the plain second-order operator K: on voxels
    `Stencil`, on meshes linear or trilinear elements. It conducts at a wrong speed where the front
    is not resolved: across fibres too slow by a third at 0.2 mm. With "blended" it is, on voxels,

        Σ_e λ_e ∂_e² - Σ_e (∂_e E_e ∂_e)²,   E_e = h √(θ λ_e / 6),
        θ = ½ + ¾ s + ¼ s² / (1 + s / 12),   s = h √(e · D⁻¹ e / 1 ms),

    with ∂_e V = (V(x + h e) - V(x)) / h, over the lattice vectors e of D = Σ λ_e e eᵀ, λ_e > 0
    (`Lattice`): the axes where fibres lie along one. For a plane wave along e these are the first
    two terms of the Neumann series of the inverse of a mass 1 + θ h² ∂_e²/6: θ = 0 is the lumped
    one, 1 the consistent one of linear elements, and ½ is exact to the fourth order. θ is fitted
    to plane waves of the epicardial cell of ten Tusscher and Panfilov 2006, for s up to 3.6; it
    tends to ½ with h. Links are those for the fibres and conductivities of the tissue as made.

    On meshes "blended" is the same idea with one tensor in each cell (`ElementConduction`), and
    there are a "consistent" mass and weights between 0, lumped, and 1, consistent, each with a
    solve. `stepping="implicit"`, on meshes, is stable at any step: for slivers. Every operator is
    symmetric in the inner product of nodal volumes (or of its mass), keeps ∫V and raises no energy.
    """

    grid: VoxelGrid | TissueMesh
    cells: tuple[AbstractCell, ...]
    fibres: Float[Array, "..."] | None
    axis: int = eqx.field(static=True)
    lattice: Lattice | None
    scale: Float[Array, "..."]
    mass: str | float = eqx.field(static=True)
    stepping: str = eqx.field(static=True)
    # No parameters: a propagation shows only the quotients of σ by them.
    surface_to_volume: float = eqx.field(static=True)  # χ [1/mm]
    capacitance: float = eqx.field(static=True)  # C_m [µF/mm²]
    conductivity_along: Float[Array, ""] = parameter(
        0.1334177, unit="S/m", bounds=(0.0, 2.0), cite=CITE
    )
    conductivity_across: Float[Array, ""] = parameter(
        0.0176062, unit="S/m", bounds=(0.0, 2.0), cite=CITE
    )

    def __init__(
        self,
        grid: VoxelGrid | TissueMesh | Mesh,
        *cells: AbstractCell,
        fibres: Any = None,
        scale: Any = 1.0,
        mass: str | float = "lumped",
        stepping: str = "explicit",
        conductivity_along: Any = 0.1334177,
        conductivity_across: Any = 0.0176062,
        surface_to_volume: float = 140.0,
        capacitance: float = 0.01,
    ) -> None:
        """**Arguments:** `cells`, one for each region; a parameter of a cell is a number or an
        array (nodes of its region). `fibres`, an axis, a vector (d), or one for each voxel
        (voxels, d) or cell of the mesh (cells, 3), whose lengths do not matter; by default those
        of the mesh's frames, and the first axis of a grid. `scale`, a factor of the
        conductivities, a number or an array (voxels) or (cells), so that 0 is a scar that does not
        conduct. Arrays over cells are in the order of the mesh; those over nodes are in that of
        `TissueMesh`, which a `Mesh` is made into.

        Raises `ValueError` for a number of cells other than that of regions, an unknown mass or
        stepping, one that a grid has not, fibres that do not fit or have no length, a mesh
        without frames where fibres are not given, a scale that does not fit, and traced values
        where links are made.
        """
        if isinstance(grid, Mesh):
            grid = TissueMesh(grid)
        if len(cells) != len(grid.counts):
            raise ValueError(
                f"a grid of {len(grid.counts)} regions needs as many cell models, not {len(cells)}"
            )
        self.grid, self.cells = grid, cells
        self.mass, self.stepping = _known(mass, stepping, isinstance(grid, TissueMesh))
        places = grid.cells.shape if isinstance(grid, TissueMesh) else grid.tags.shape
        self.scale = jnp.asarray(scale, jnp.result_type(scale, float))
        if self.scale.shape not in ((), places):
            raise ValueError(f"a scale has the shape () or {places}, not {self.scale.shape}")
        if isinstance(grid, TissueMesh) and self.scale.ndim:
            self.scale = self.scale[grid.cells]
        self.axis, self.fibres = _directions(grid, places, fibres)
        self.surface_to_volume, self.capacitance = surface_to_volume, capacitance
        self.conductivity_along = conductivity_along
        self.conductivity_across = conductivity_across
        self.lattice = None
        if isinstance(grid, VoxelGrid) and mass == "blended" and self.fibres is not None:
            self.lattice = self._linked(grid)

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of nodes of each region; nodes of a region follow each other."""
        return self.grid.counts

    def initial_state(self) -> tuple[Any, ...]:
        """The published state of every region's cell, as numbers."""
        return tuple(cell.initial_state() for cell in self.cells)

    def astype(self, dtype: Any) -> "Tissue":
        """The same tissue with its numbers in another precision, such as "float32"."""
        return jax.tree.map(lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, self)

    def conduction(self, dtype: Any = float) -> Conduction | LinkConduction | ElementConduction:
        """The operator ∇·(D∇V)."""
        per_area = self.surface_to_volume * self.capacitance
        along = self.conductivity_along * self.scale / per_area
        across = self.conductivity_across * self.scale / per_area
        if isinstance(self.grid, TissueMesh):
            return self._between_elements(self.grid, along, across, dtype)
        if self.lattice is not None:
            return self._by_links(self.grid, self.lattice, along, across, dtype)
        plain = Stencil(self.grid, self._tensor(along, across), dtype)
        if self.mass == "lumped":
            return Conduction(self.grid, plain, None)
        h, axes = self.grid.spacing, range(self.grid.dimensions)
        diagonal = self._tensor(along, across)
        values = {(a, a): _correction(diagonal[a, a], h) for a in axes}
        return Conduction(self.grid, plain, Stencil(self.grid, values, dtype))

    def _linked(self, grid: VoxelGrid) -> Lattice:
        """The links for the fibres and conductivities that there are now."""
        if any(isinstance(x, jax.core.Tracer) for x in jax.tree.leaves(self)):
            raise ValueError(
                "tissue with a blended mass and fibres that are no axis cannot be made of traced "
                "values: make it first, and put the traced values into it by eqx.tree_at"
            )
        f = np.asarray(self._unit_fibres()).reshape(-1, grid.dimensions)
        if len(f) > 1:
            f = f[np.flatnonzero(grid.tags.reshape(-1) > 0)]
        along, across = float(self.conductivity_along), float(self.conductivity_across)
        outer = f[:, :, None] * f[:, None, :]
        return Lattice(grid, (along - across) * outer + across * np.eye(grid.dimensions))

    def _by_links(
        self, grid: VoxelGrid, lattice: Lattice, along: Array, across: Array, dtype: Any
    ) -> LinkConduction:
        d, n = grid.dimensions, len(lattice.voxels)
        f = self._unit_fibres().astype(dtype)
        f = f if f.ndim == 1 else f.reshape(-1, d)[lattice.voxels]
        f = jnp.broadcast_to(f, (n, d))
        if self.scale.ndim:
            along, across = (x.reshape(-1)[lattice.voxels] for x in (along, across))
        along, across = (jnp.broadcast_to(x.astype(dtype), (n,)) for x in (along, across))
        outer = f[:, :, None] * f[:, None, :]
        rest = jnp.eye(d, dtype=dtype)[None] - outer
        tensors = along[:, None, None] * outer + across[:, None, None] * rest
        # The square of a vector's length as D⁻¹ measures it.
        vectors = jnp.asarray(lattice.vectors, dtype)
        on = jnp.einsum("cpd,cd->cp", vectors, f) ** 2
        off = jnp.maximum(jnp.sum(vectors**2, axis=2) - on, 0.0)
        square = on * _over(along)[:, None] + off * _over(across)[:, None]
        shares = jnp.asarray(grid.shares.reshape(-1)[grid.nodes], dtype)
        return LinkConduction(lattice.rows(tensors, square, _theta, grid.spacing, shares))

    def _between_elements(
        self, grid: TissueMesh, along: Array, across: Array, dtype: Any
    ) -> ElementConduction:
        count = len(grid.cells)
        fibre = self._unit_fibres() if self.fibres is not None else jnp.eye(3)[self.axis]
        fibre = jnp.broadcast_to(fibre, (count, 3))
        along, across = jnp.broadcast_to(along, (count,)), jnp.broadcast_to(across, (count,))
        outer = fibre[:, :, None] * fibre[:, None, :]
        rest = jnp.eye(3)[None] - outer

        def tensor(a: Array, b: Array) -> Array:
            return a[:, None, None] * outer + b[:, None, None] * rest

        spread = None
        if self.mass == "blended":
            extents = grid.extents()
            h_along = jnp.einsum("cx,cxy,cy->c", fibre, extents, fibre)
            h_across = (jnp.trace(extents, axis1=1, axis2=2) - h_along) / 2
            root = tensor(
                jnp.sqrt(_theta(h_along * _over(along))),
                jnp.sqrt(_theta(h_across * _over(across))),
            )
            spread = root @ extents @ root / 6
        weight = {"lumped": 0.0, "blended": 0.0, "consistent": 1.0}.get(self.mass, self.mass)
        implicit = self.stepping == "implicit"
        return grid.operator(tensor(along, across), spread, weight, implicit, dtype)

    def _unit_fibres(self) -> Array:
        return self.fibres / jnp.linalg.norm(self.fibres, axis=-1, keepdims=True)

    def _tensor(self, along: Any, across: Any) -> dict[tuple[int, int], Any]:
        d = range(self.grid.dimensions)
        if self.fibres is None:
            return {(a, a): along if a == self.axis else across for a in d}
        f = self._unit_fibres()
        return {
            (a, b): (along - across) * f[..., a] * f[..., b] + (across if a == b else 0.0)
            for a in d
            for b in d
            if a <= b
        }


def _known(mass: str | float, stepping: str, on_mesh: bool) -> tuple[str | float, str]:
    """Mass and stepping, if the tissue can have them together."""
    if stepping not in STEPPINGS:
        raise ValueError(unknown_name("stepping", stepping, STEPPINGS))
    masses = MESH_MASSES if on_mesh else MASSES
    if isinstance(mass, str) and mass not in masses:
        raise ValueError(unknown_name("mass", mass, masses))
    if not isinstance(mass, str) and not on_mesh:
        raise ValueError(f"the masses of a grid are {' and '.join(MASSES)}, weights are for meshes")
    if not isinstance(mass, str) and not 0 <= mass <= 1:
        raise ValueError(f"the weight of the consistent mass lies between 0 and 1, not at {mass}")
    if stepping == "implicit" and not on_mesh:
        raise ValueError("a grid is stepped explicitly: implicit steps are for meshes")
    if stepping == "implicit" and mass == "blended":
        raise ValueError("implicit steps need a mass that is lumped, consistent or a weight")
    return mass if isinstance(mass, str) else float(mass), stepping


def _directions(
    grid: VoxelGrid | TissueMesh, places: tuple[int, ...], fibres: Any
) -> tuple[int, Array | None]:
    """An axis, or -1 and the vectors."""
    d = grid.dimensions
    if fibres is None:
        if isinstance(grid, VoxelGrid):
            return 0, None
        if grid.frames is None:
            raise ValueError("the mesh has no frames: give fibres, an axis or vectors")
        return -1, jnp.asarray(grid.frames[:, :, 0])
    if isinstance(fibres, int):
        if not 0 <= fibres < d:
            raise ValueError(f"fibres lie along an axis from 0 to {d - 1}, not {fibres}")
        return fibres, None
    if np.shape(fibres) not in ((d,), (*places, d)):
        raise ValueError(f"fibres have the shape {(d,)} or {(*places, d)}, not {np.shape(fibres)}")
    vectors = jnp.asarray(fibres, jnp.result_type(fibres, float))
    if not isinstance(vectors, jax.core.Tracer):
        tissue = grid.tags > 0 if isinstance(grid, VoxelGrid) and vectors.ndim > 1 else ...
        lengths = np.linalg.norm(np.asarray(vectors), axis=-1)[tissue]
        if not np.all((lengths > 0) & np.isfinite(lengths)):
            raise ValueError(f"{np.sum(~(lengths > 0))} fibres have no length")
    if isinstance(grid, TissueMesh) and vectors.ndim > 1:
        vectors = vectors[grid.cells]
    return -1, vectors


def _over(d: Any) -> Any:
    """1 / d, and 1 where d is 0."""
    return 1 / jnp.where(d > 0, d, 1.0)


def _theta(resolution: Any) -> Any:
    """θ of s², s = h / √D over √(1 ms)."""
    square = jnp.where(resolution > 0, resolution, 0.0)
    s = jnp.sqrt(jnp.where(square > 0, square, 1.0))
    return jnp.where(square > 0, 0.5 + 0.75 * s + 0.25 * square / (1 + s / 12), 0.5)


def _correction(d: Any, h: float) -> Any:
    """h √(θ D / 6) with its derivative, where D > 0; 0 where D is 0."""
    safe = jnp.where(d > 0, d, 1.0)
    return jnp.where(d > 0, h * jnp.sqrt(_theta(h**2 / safe) * safe / 6), 0.0)
