"""Voxels of tissue, and the nodes at their corners where the potential lives."""

import dataclasses
from functools import cached_property

import jax
import numpy as np
from jaxtyping import Bool, Float, Int, Integer


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True, eq=False)
class VoxelGrid:
    """Cubic voxels in a box of one, two or three dimensions: of no tissue (0), or of a region.

    Nodes are the corners of tissue voxels: the surface of a slab is where its nodes are, and no
    flux leaves through the outside faces of voxels. A node between regions belongs to the one with
    the larger number. A grid is hashed by identity, so that one grid is compiled for once.

    Raises `ValueError` for a spacing that is not positive, tags that are no regions, or no tissue.
    """

    tags: Integer[np.ndarray, "..."] | Bool[np.ndarray, "..."]  # 0: none, else the region, from 1
    spacing: float  # edge of a voxel [mm]

    def __post_init__(self) -> None:
        if not 0 < self.spacing < np.inf:
            raise ValueError(f"the spacing of a grid must be positive, not {self.spacing} mm")
        if not 1 <= self.tags.ndim <= 3:
            raise ValueError(f"a grid has 1, 2 or 3 dimensions, not {self.tags.ndim}")
        if self.tags.min() < 0 or not self.tags.any():
            raise ValueError("the tags of a grid are 0 or more, and one at least is more than 0")

    @property
    def dimensions(self) -> int:
        return self.tags.ndim

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Of the box of corners: one more than voxels along each axis."""
        return tuple(n + 1 for n in self.tags.shape)

    @cached_property
    def shares(self) -> Float[np.ndarray, "..."]:
        """Tissue around each corner of the box, as a part of a voxel: 1 inside, 1/8 in a corner."""
        return _corner_sums((self.tags > 0).astype(float)) / 2**self.dimensions

    @cached_property
    def nodes(self) -> Int[np.ndarray, " n"]:
        """Where the nodes are in the flattened box of corners; those of region 1 come first."""
        region = self._regions.reshape(-1)
        nodes = np.flatnonzero(region > 0)
        return nodes[np.argsort(region[nodes], kind="stable")]

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """The number of nodes of each region, from 1."""
        return tuple(int(n) for n in np.bincount(self._regions.reshape(-1))[1:])

    @cached_property
    def _regions(self) -> Int[np.ndarray, "..."]:
        largest = self.tags.astype(int)
        for axis in range(self.dimensions):
            padded = np.pad(largest, [(int(a == axis),) * 2 for a in range(self.dimensions)])
            low, high = range(padded.shape[axis] - 1), range(1, padded.shape[axis])
            largest = np.maximum(padded.take(low, axis), padded.take(high, axis))
        return largest

    @cached_property
    def points(self) -> Float[np.ndarray, "n d"]:
        """Coordinates of the nodes [mm], from the corner of the box."""
        return self.spacing * np.stack(np.unravel_index(self.nodes, self.shape), axis=1)

    @cached_property
    def volumes(self) -> Float[np.ndarray, " n"]:
        """Tissue that each node stands for [mm^d]."""
        return self.shares.reshape(-1)[self.nodes] * self.spacing**self.dimensions

    def within(self, low: tuple[float, ...], high: tuple[float, ...]) -> Bool[np.ndarray, " n"]:
        """Which nodes lie in a box [mm], its faces included.

        Raises `ValueError` if none does.
        """
        slack = 1e-6 * self.spacing
        inside = np.all(
            (self.points >= np.array(low) - slack) & (self.points <= np.array(high) + slack), axis=1
        )
        if not inside.any():
            raise ValueError(f"no node of the grid lies between {low} and {high} mm")
        return inside

    def nearest(self, point: tuple[float, ...]) -> int:
        """The node nearest to a point [mm]."""
        return int(np.argmin(np.sum((self.points - np.array(point)) ** 2, axis=1)))


def slab(size: tuple[float, ...], spacing: float) -> VoxelGrid:
    """A box of tissue, or a sheet or a cable, with edges of so many mm.

    Raises `ValueError` if an edge is no whole number of voxels.
    """
    counts = [round(edge / spacing) for edge in size]
    for edge, count in zip(size, counts, strict=True):
        if count < 1 or abs(count * spacing - edge) > 1e-6 * edge:
            raise ValueError(f"an edge of {edge} mm is no whole number of voxels of {spacing} mm")
    return VoxelGrid(np.ones(counts, bool), spacing)


def _corner_sums(voxels: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """For each corner of the box the sum over the voxels that meet there."""
    for axis in range(voxels.ndim):
        ends = [(int(a == axis),) * 2 for a in range(voxels.ndim)]
        padded = np.pad(voxels, ends)
        count = padded.shape[axis]
        voxels = padded.take(range(count - 1), axis) + padded.take(range(1, count), axis)
    return voxels
