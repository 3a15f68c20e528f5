"""What is wrong with a mesh, in sentences that say what to do about it."""

import dataclasses

import numpy as np

from twinjax.geometry._mesh import Mesh
from twinjax.geometry._topology import edges, faces, parts, volumes

# A human heart's longest side [mm]; a single ventricle is shorter, and so is a child's heart.
_HEART = (80.0, 200.0)
_PLAUSIBLE = (15.0, 400.0)
_UNITS = {"µm": 1e-3, "cm": 10.0, "m": 1000.0}  # [mm]


@dataclasses.dataclass(frozen=True)
class MeshReport:
    """The counts and sizes of a mesh.

    `size` [mm] are the sides of its box, `volume` [mL] that of all cells, `edge` [mm] the
    shortest, mean and longest edge. `quality` is that of the worst tetrahedron: 1 for a regular
    one, 0 for a flat one (radius ratio of volume and edges, 12 (3V)^⅔ / Σ l²); NaN for hexahedra.
    `without_fibre` counts frames whose columns are not of length 1.
    `likely_unit` is the unit in which the box would be a heart's, if mm is not.
    """

    kind: str
    nodes: int
    cells: int
    regions: dict[int, int]
    surfaces: dict[int, int]
    frames: bool
    size: tuple[float, float, float]
    volume: float
    edge: tuple[float, float, float]
    quality: float
    inverted: int
    flat: int
    orphans: int
    parts: int
    repeated: int
    overfull: int
    not_finite: int
    without_fibre: int
    likely_unit: str | None

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, each in one sentence; empty for a sound mesh."""
        found = []
        if self.not_finite:
            found.append(f"{self.not_finite} nodes have a coordinate that is not a finite number")
        if self.inverted:
            found.append(
                f"{self.inverted} of {self.cells} cells are inverted (flip_inverted turns them)"
            )
        if self.flat:
            found.append(f"{self.flat} cells have no volume")
        if self.orphans:
            found.append(f"{self.orphans} nodes belong to no cell (drop_orphans removes them)")
        if self.parts > 1:
            found.append(f"the mesh falls into {self.parts} parts (largest_part keeps one)")
        if self.repeated:
            found.append(f"{self.repeated} cells are there twice (drop_repeated removes them)")
        if self.overfull:
            found.append(f"{self.overfull} faces belong to more than two cells")
        if self.without_fibre:
            found.append(
                f"{self.without_fibre} of {self.cells} cells have a frame without direction"
            )
        return tuple(found)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What may be meant, but rarely is."""
        if self.likely_unit is None:
            return ()
        return (
            f"the longest side is {max(self.size):.4g} mm, but would be a heart's in "
            f"{self.likely_unit}: read the file with the unit '{self.likely_unit}'",
        )


def inspect(mesh: Mesh) -> MeshReport:
    """Counts, sizes and defects of a mesh; raises nothing."""
    points = np.asarray(mesh.points)
    finite = np.isfinite(points).all(axis=1)
    size = np.ptp(points[finite], axis=0) if finite.any() else np.zeros(3)
    signed = volumes(mesh)
    pairs = edges(mesh)
    length = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    typical = np.nanmean(length) if len(length) else 0.0
    flat = np.abs(signed) <= 1e-9 * typical**3
    count = np.unique(np.sort(mesh.cells, axis=1), axis=0, return_counts=True)[1]
    all_faces = np.sort(faces(mesh).reshape(-1, mesh.facets.shape[1]), axis=1)
    shared = np.unique(all_faces, axis=0, return_counts=True)[1]
    return MeshReport(
        kind=mesh.kind,
        nodes=len(points),
        cells=len(mesh.cells),
        regions=_counts(mesh.regions),
        surfaces=_counts(mesh.facet_tags),
        frames=mesh.frames is not None,
        size=(float(size[0]), float(size[1]), float(size[2])),
        volume=float(np.abs(signed).sum() / 1000),
        edge=(float(length.min()), float(typical), float(length.max()))
        if len(length)
        else (0,) * 3,
        quality=_quality(points[mesh.cells], signed),
        inverted=int(np.sum((signed < 0) & ~flat)),
        flat=int(np.sum(flat)),
        orphans=len(points) - len(np.unique(mesh.cells)),
        parts=int(parts(mesh.cells, len(points)).max(initial=-1)) + 1,
        repeated=int(np.sum(count - 1)),
        overfull=int(np.sum(shared > 2)),
        not_finite=int(np.sum(~finite)),
        without_fibre=_without_direction(mesh),
        likely_unit=_likely_unit(float(size.max())),
    )


def check(mesh: Mesh) -> Mesh:
    """The mesh itself, if it is sound; raises `ValueError` with the first problem if not."""
    problems = inspect(mesh).problems
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ValueError(f"the mesh cannot be used: {problems[0]}{more}")
    return mesh


def _without_direction(mesh: Mesh) -> int:
    if mesh.frames is None:
        return 0
    lengths = np.linalg.norm(np.asarray(mesh.frames), axis=1)
    return int(np.sum(~(np.abs(lengths - 1) < 1e-3).all(axis=1)))


def _quality(corners: np.ndarray, signed: np.ndarray) -> float:
    if corners.shape[1] != 4 or not len(corners):
        return float("nan")
    square = sum(
        np.sum((corners[:, i] - corners[:, j]) ** 2, axis=1) for i in range(4) for j in range(i)
    )
    return float(np.min(12 * np.cbrt(3 * np.abs(signed)) ** 2 / np.maximum(square, 1e-300)))


def _likely_unit(longest: float) -> str | None:
    """A slab of 20 mm or a torso may be meant: only a box that no mm can explain is refused."""
    if longest == 0 or _PLAUSIBLE[0] <= longest <= _PLAUSIBLE[1]:
        return None
    for unit, size in _UNITS.items():
        if 0.5 * _HEART[0] <= longest * size <= 1.5 * _HEART[1]:
            return unit
    return None


def _counts(tags: np.ndarray) -> dict[int, int]:
    found, count = np.unique(tags, return_counts=True)
    return {int(tag): int(n) for tag, n in zip(found, count, strict=True)}
