"""∇·(D∇V) between the nodes of a grid of voxels, explicit in time."""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.electro._grid import VoxelGrid
from twinjax.electro._stencil import Stencil
from twinjax.fem import PaddedRows


class Conduction(eqx.Module):
    """∇·(D∇V) between the nodes of a grid, by stencils."""

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
        return explicitly(self, v, time, substeps, second_order)

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


class LinkConduction(eqx.Module):
    """∇·(D∇V) between the nodes of a grid, by links, in padded rows."""

    rows: PaddedRows

    def __call__(self, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """In mV/ms."""
        return self.rows.apply(v)

    def advance(
        self, v: Float[Array, " n"], time: float, substeps: int, *, second_order: bool
    ) -> Float[Array, " n"]:
        """V after conduction alone for a while [ms]: forward Euler steps, or Heun's."""
        return explicitly(self, v, time, substeps, second_order)

    def longest_step(self) -> Float[Array, ""]:
        """What the forward Euler method is stable up to at least [ms], by Gershgorin."""
        return 2 / jnp.max(jnp.sum(jnp.abs(self.rows.values), axis=1))


def explicitly(
    rate: Callable[[Array], Array], v: Array, time: float, substeps: int, second_order: bool
) -> Array:
    """Forward Euler steps, or Heun's."""
    length = time / substeps

    def forward(v: Array) -> Array:
        slope = rate(v)
        if second_order:
            return v + length / 2 * (slope + rate(v + length * slope))
        return v + length * slope

    return repeated(forward, v, substeps)


def repeated(advance: Callable[[Array], Array], v: Array, count: int) -> Array:
    """So many substeps: more than two as a loop, for written out they take long to compile."""
    if count <= 2:
        for _ in range(count):
            v = advance(v)
        return v
    return jax.lax.scan(lambda v, _: (advance(v), None), v, None, length=count)[0]
