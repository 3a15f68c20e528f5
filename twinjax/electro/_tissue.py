"""Tissue: cells on the nodes of a grid, coupled by an anisotropic conductivity."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter
from twinjax.cells import AbstractCell
from twinjax.electro._grid import VoxelGrid
from twinjax.electro._stencil import Stencil

CITE = "Niederer et al. 2011, Phil Trans R Soc A 369:4331: intra- and extracellular in series"
MASSES = ("lumped", "blended")


class Tissue(eqx.Module):
    """The monodomain equation ∂V/∂t = ∇·(D∇V) + dV/dt of the cells,  D = σ / (χ C_m) [mm²/ms].

    Along fibres σ is `conductivity_along`, across them `conductivity_across`; no flux leaves the
    tissue. With the mass "lumped", ∇·(D∇V) is the plain second-order stencil K. It conducts too
    slowly where the front is not resolved: across fibres by a third at 0.2 mm. With "blended" it is

        K - Σ_a (∂_a E_a ∂_a)²,   E_a = w h √(θ D_aa / 6) for each axis a of the grid,
        θ = ½ + ¾ s + ¼ s² / (1 + s / 12),   s = h / √(D_aa · 1 ms),
        w = max(0, 1 - 4 r⁴),   r² = 1 - 1 / (D_aa (D⁻¹)_aa),

    which for a plane wave along a are the first two terms of the Neumann series of the inverse of
    a mass 1 + θ h² ∂²/6: θ = 0 is the lumped one, 1 the consistent one of linear elements, and ½
    is exact to the fourth order. θ is fitted to plane waves of the epicardial cell of ten Tusscher
    and Panfilov 2006, for s up to 3.6; it tends to ½ with h, so that errors along the axes fall
    with h³. w is 1 where fibres lie along an axis, and 0 from where they are so oblique that the
    plain stencil no longer conducts too slowly across them. Either operator is symmetric in the
    inner product of nodal volumes, conserves ∫V and raises no energy.
    """

    grid: VoxelGrid = eqx.field(static=True)
    cells: tuple[AbstractCell, ...]
    fibres: Float[Array, "..."] | None
    axis: int = eqx.field(static=True)
    scale: Float[Array, "..."]
    mass: str = eqx.field(static=True)
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
        grid: VoxelGrid,
        *cells: AbstractCell,
        fibres: Any = 0,
        scale: Any = 1.0,
        mass: str = "lumped",
        conductivity_along: Any = 0.1334177,
        conductivity_across: Any = 0.0176062,
        surface_to_volume: float = 140.0,
        capacitance: float = 0.01,
    ) -> None:
        """**Arguments:** `cells`, one for each region; a parameter of a cell is a number or an
        array (nodes of its region). `fibres`, an axis of the grid, a vector (d), or one for each
        voxel (voxels, d); their lengths do not matter. `scale`, a factor of the conductivities, a
        number or an array (voxels), so that 0 is a scar that does not conduct.

        Raises `ValueError` for a number of cells other than that of regions, an unknown mass, or
        fibres that do not fit the grid.
        """
        if len(cells) != len(grid.counts):
            raise ValueError(
                f"a grid of {len(grid.counts)} regions needs as many cell models, not {len(cells)}"
            )
        if mass not in MASSES:
            raise ValueError(unknown_name("mass", mass, MASSES))
        d = grid.dimensions
        aligned = isinstance(fibres, int)
        if aligned and not 0 <= fibres < d:
            raise ValueError(f"fibres lie along an axis from 0 to {d - 1}, not {fibres}")
        if not aligned and np.shape(fibres) not in ((d,), (*grid.tags.shape, d)):
            raise ValueError(
                f"fibres have the shape {(d,)} or {(*grid.tags.shape, d)}, not {np.shape(fibres)}"
            )
        self.grid, self.cells, self.mass = grid, cells, mass
        self.scale = jnp.asarray(scale, jnp.result_type(scale, float))
        self.axis = fibres if aligned else -1
        self.fibres = None if aligned else jnp.asarray(fibres, jnp.result_type(fibres, float))
        self.surface_to_volume, self.capacitance = surface_to_volume, capacitance
        self.conductivity_along = conductivity_along
        self.conductivity_across = conductivity_across

    @property
    def counts(self) -> tuple[int, ...]:
        """The number of nodes of each region; nodes of a region follow each other."""
        return self.grid.counts

    def initial_state(self) -> tuple[Any, ...]:
        """The published state of every region's cell, as numbers."""
        return tuple(cell.initial_state() for cell in self.cells)

    def conduction(self, dtype: Any = float) -> "Conduction":
        """The operator ∇·(D∇V)."""
        per_area = self.surface_to_volume * self.capacitance
        along = self.conductivity_along * self.scale / per_area
        across = self.conductivity_across * self.scale / per_area
        plain = Stencil(self.grid, self._tensor(along, across), dtype)
        if self.mass == "lumped":
            return Conduction(self.grid, plain, None)
        h, axes = self.grid.spacing, range(self.grid.dimensions)
        tensor, inverse = self._tensor(along, across), self._tensor(_over(along), _over(across))
        values = {
            (a, a): _aligned(tensor[a, a] * inverse[a, a]) * _correction(tensor[a, a], h)
            for a in axes
        }
        return Conduction(self.grid, plain, Stencil(self.grid, values, dtype))

    def _tensor(self, along: Any, across: Any) -> dict[tuple[int, int], Any]:
        d = range(self.grid.dimensions)
        if self.fibres is None:
            return {(a, a): along if a == self.axis else across for a in d}
        f = self.fibres / jnp.linalg.norm(self.fibres, axis=-1, keepdims=True)
        return {
            (a, b): (along - across) * f[..., a] * f[..., b] + (across if a == b else 0.0)
            for a in d
            for b in d
            if a <= b
        }


class Conduction(eqx.Module):
    """∇·(D∇V) between the nodes of a grid."""

    grid: VoxelGrid = eqx.field(static=True)
    plain: Stencil
    correction: Stencil | None

    def __call__(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """In mV/ms."""
        box = self._to_box(v)
        rate = self.plain(box)
        if self.correction is not None:
            rate = rate - self.correction.squared(box)
        return self._from_box(rate)

    def advance(
        self, v: Float[Array, " n"], time: float, substeps: int, *, second_order: bool
    ) -> Float[Array, " n"]:
        """V after conduction alone for a while [ms]: forward Euler steps, or Heun's."""
        length = time / substeps
        for _ in range(substeps):
            rate = self(v)
            if second_order:
                v = v + length / 2 * (rate + self(v + length * rate))
            else:
                v = v + length * rate
        return v

    def longest_step(self) -> Float[Array, ""]:
        """What the forward Euler method is stable up to at least [ms]."""
        rate = self.plain.largest_rate()
        if self.correction is not None:
            rate = rate + self.correction.largest_square()
        return 2 / rate

    def _to_box(self, v: Array) -> Array:
        if self._full:
            return v.reshape(self.grid.shape)
        flat = jnp.zeros(math.prod(self.grid.shape), v.dtype)
        return flat.at[self.grid.nodes].set(v).reshape(self.grid.shape)

    def _from_box(self, box: Array) -> Array:
        flat = box.reshape(-1)
        return flat if self._full else flat[self.grid.nodes]

    @property
    def _full(self) -> bool:
        """Whether the nodes are all corners of the box, in their order."""
        return len(self.grid.counts) == 1 and len(self.grid.nodes) == math.prod(self.grid.shape)


def _over(d: Any) -> Any:
    """1 / d, and 1 where d is 0."""
    return 1 / jnp.where(d > 0, d, 1.0)


def _aligned(product: Any) -> Any:
    """w for D_aa (D⁻¹)_aa, which is 1 for an axis of D and above it for others."""
    return jnp.maximum(0.0, 1 - 4 * (1 - 1 / jnp.maximum(product, 1.0)) ** 2)


def _correction(d: Any, h: float) -> Any:
    """h √(θ D / 6) with its derivative, where D > 0; 0 where D is 0."""
    safe = jnp.where(d > 0, d, 1.0)
    s = h / jnp.sqrt(safe)
    theta = 0.5 + 0.75 * s + 0.25 * s**2 / (1 + s / 12)
    return jnp.where(d > 0, h * jnp.sqrt(theta * safe / 6), 0.0)
