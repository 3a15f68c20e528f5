"""The pseudo-ECG of tissue on voxels."""

import itertools
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.electro._grid import VoxelGrid
from twinjax.electro._lead_field import LeadField, _names
from twinjax.electro._twelve_leads import ELECTRODES

_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))


def voxel_lead_field(
    grid: VoxelGrid,
    conductivity: Float[Array, "*voxels 3 3"],
    electrodes: Float[np.ndarray | Array, "electrode 3"],
    *,
    medium: Float[Array, ""] | float = 0.22,
    names: Sequence[str] = ELECTRODES,
) -> LeadField:
    """The pseudo-ECG, as by `unbounded_lead_field`, for V at the nodes of a grid.

    The mean of ∇V over each voxel times ∇(1/r) at its centre, which is the mean of that harmonic
    field to the fourth order of the edge over the distance; V is trilinear, and the error of the
    product of the second order. Electrodes have to be outside of the tissue.

    **Arguments:** `conductivity` σ_i [S/m] of all voxels (3, 3), or of each (voxels, 3, 3);
    `electrodes` [mm] from the corner of the box. Differentiable in all numbers.
    Raises `ValueError` for a grid of less than three dimensions.
    """
    if grid.dimensions != 3:
        raise ValueError(f"a lead field needs three dimensions, not a grid of {grid.dimensions}")
    number = np.full(int(np.prod(grid.shape)), -1)
    number[grid.nodes] = np.arange(len(grid.nodes))
    voxels = np.argwhere(grid.tags > 0)
    corners = voxels[:, None] + _CORNERS[None]
    cells = number[np.ravel_multi_index(tuple(np.moveaxis(corners, 2, 0)), grid.shape)]
    tensor = jnp.asarray(conductivity)
    if tensor.ndim > 2:
        tensor = tensor[tuple(voxels.T)]
    else:
        tensor = jnp.broadcast_to(tensor, (len(voxels), 3, 3))
    centres = grid.spacing * (voxels + 0.5)
    matrix = _matrix(cells, centres, grid.spacing, len(grid.nodes), tensor, electrodes, medium)
    return LeadField(matrix, _names(names, len(electrodes)))


@eqx.filter_jit
def _matrix(
    cells: Any,
    centres: Any,
    spacing: float,
    count: int,
    tensor: Array,
    electrodes: Any,
    medium: Any,
) -> Array:
    # The volume of a voxel times the mean slope of its corners' shape functions.
    slope = jnp.asarray(spacing**2 * (2 * _CORNERS - 1) / 4, tensor.dtype)
    source = jnp.einsum("cij,aj->cai", tensor, slope)

    def row(place: Array) -> Array:
        away = jnp.asarray(centres, tensor.dtype) - place[None]
        square = jnp.sum(away**2, axis=1)
        gradient = -away / (square * jnp.sqrt(square))[:, None]
        local = jnp.einsum("cai,ci->ca", source, gradient)
        return jax.ops.segment_sum(local.ravel(), jnp.ravel(cells), count)

    rows = jax.lax.map(row, jnp.asarray(electrodes, tensor.dtype))
    return -rows / (4 * jnp.pi * jnp.asarray(medium, tensor.dtype))
