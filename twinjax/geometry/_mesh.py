"""The mesh: points, cells, tagged facets, regions and fibre frames. It knows no physics."""

from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int, Integer

# The corners of the faces of a cell, each seen from outside against the clock, in VTK's order of
# nodes. Right for a cell of positive volume.
FACES = {
    4: np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]),
    8: np.array(
        [[0, 3, 2, 1], [4, 5, 6, 7], [0, 1, 5, 4], [1, 2, 6, 5], [2, 3, 7, 6], [3, 0, 4, 7]]
    ),
}
KINDS = {4: "tetrahedra", 8: "hexahedra"}


class Mesh(eqx.Module):
    """A volume divided into tetrahedra or hexahedra.

    **Arguments:**

    - `points` (node, 3) [mm]: a JAX array is kept as it is, so that shapes can be differentiated.
    - `cells` (cell, 4) or (cell, 8): the nodes of each, in VTK's order.
    - `regions` (cell): an integer tag a cell; 0 if none are given.
    - `facets` (facet, 3) or (facet, 4) and `facet_tags` (facet): tagged faces of cells, for
      example the surfaces of a heart ([`Surface`][twinjax.geometry.Surface]).
    - `frames` (cell, 3, 3): columns are the directions of fibre, sheet and sheet normal.

    What can be wrong with the geometry is found by [`inspect`][twinjax.geometry.inspect], not
    here. Raises `ValueError` for arrays that do not fit together.
    """

    points: Float[np.ndarray | Array, "node 3"]
    cells: Integer[np.ndarray, "cell corner"]
    regions: Integer[np.ndarray, " cell"]
    facets: Integer[np.ndarray, "facet edge"]
    facet_tags: Integer[np.ndarray, " facet"]
    frames: Float[np.ndarray | Array, "cell 3 3"] | None

    def __init__(
        self,
        points: Any,
        cells: Any,
        *,
        regions: Any = None,
        facets: Any = None,
        facet_tags: Any = None,
        frames: Any = None,
    ):
        self.points = points if isinstance(points, Array) else np.asarray(points, float)
        self.cells = _integers("cells", cells)
        self.regions = np.zeros(len(self.cells), np.int32)
        if regions is not None:
            self.regions = _integers("regions", regions)
        edge = 4 if self.cells.ndim == 2 and self.cells.shape[1] == 8 else 3
        self.facets = np.empty((0, edge), np.int32)
        if facets is not None:
            self.facets = _integers("facets", facets)
        self.facet_tags = np.zeros(len(self.facets), np.int32)
        if facet_tags is not None:
            self.facet_tags = _integers("facet_tags", facet_tags)
        self.frames = None
        if frames is not None:
            self.frames = frames if isinstance(frames, Array) else np.asarray(frames, float)
        self._check(edge)

    def _check(self, edge: int) -> None:
        if self.points.ndim != 2 or self.points.shape[1] != 3:
            raise ValueError(f"points have shape {self.points.shape}, not (node, 3)")
        if self.cells.ndim != 2 or self.cells.shape[1] not in KINDS:
            raise ValueError(
                f"cells have shape {self.cells.shape}; valid: (cell, 4) for tetrahedra, "
                "(cell, 8) for hexahedra"
            )
        count = len(self.cells)
        if self.regions.shape != (count,):
            raise ValueError(f"regions have shape {self.regions.shape}, not ({count},)")
        if self.facets.ndim != 2 or self.facets.shape[1] != edge:
            raise ValueError(f"facets of {self.kind} have {edge} nodes, not {self.facets.shape}")
        if self.facet_tags.shape != (len(self.facets),):
            raise ValueError(
                f"facet_tags have shape {self.facet_tags.shape}, not ({len(self.facets)},)"
            )
        if self.frames is not None and self.frames.shape != (count, 3, 3):
            raise ValueError(f"frames have shape {self.frames.shape}, not ({count}, 3, 3)")
        for name, nodes in (("cells", self.cells), ("facets", self.facets)):
            if nodes.size and not 0 <= nodes.min() <= nodes.max() < len(self.points):
                raise ValueError(
                    f"{name} name the nodes {nodes.min()} to {nodes.max()}, "
                    f"but there are {len(self.points)} points"
                )

    @property
    def kind(self) -> str:
        """`tetrahedra` or `hexahedra`."""
        return KINDS[self.cells.shape[1]]

    def nodes(self, *tags: int) -> Int[np.ndarray, " chosen"]:
        """The nodes of all facets with one of the tags, in rising order."""
        return np.unique(self.facets[np.isin(self.facet_tags, tags)])

    def centres(self) -> Float[np.ndarray, "cell 3"]:
        """The mean of each cell's nodes [mm]."""
        return np.asarray(self.points)[self.cells].mean(axis=1)


def replace(mesh: Mesh, **changes: Any) -> Mesh:
    """The same mesh with some of its fields changed."""
    fields = ("points", "cells", "regions", "facets", "facet_tags", "frames")
    return Mesh(**({name: getattr(mesh, name) for name in fields} | changes))


def _integers(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"{name} are numbers of kind '{array.dtype}', not integers")
    # 64-bit indices would be cut down with a warning where JAX runs in single precision.
    return array.astype(np.int32)
