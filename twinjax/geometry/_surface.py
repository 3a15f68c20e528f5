"""The surfaces of a heart: their tags, and how they are found where a mesh has none."""

import enum
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Int, Integer

from twinjax.geometry._cavities import inside_of_cavities
from twinjax.geometry._mesh import Mesh, replace
from twinjax.geometry._topology import areas, boundary, parts, tags_of

# Two facets that meet at more than this angle lie on different surfaces.
_SHARP = np.cos(np.deg2rad(40.0))
_FLAT = 0.97  # the share of a patch's area that its mean normal keeps, if it is a base


class Surface(enum.IntEnum):
    """Facet tags of ventricles, numbered as in Schuler et al. 2021, Med Image Anal 74:102247."""

    BASE = 1
    EPI = 2
    LV_ENDO = 3
    RV_ENDO = 4


def with_surfaces(mesh: Mesh, names: Mapping[int, Surface]) -> Mesh:
    """The facets whose tags are in `names`, retagged as surfaces of a heart.

    Raises `ValueError` for a tag that no facet has.
    """
    there = np.unique(mesh.facet_tags)
    for tag in names:
        if tag not in there:
            choices = ", ".join(str(t) for t in there) or "none"
            raise ValueError(f"no facet has the tag {tag}; valid choices: {choices}")
    keep = np.isin(mesh.facet_tags, list(names))
    tags = np.array([int(names[int(tag)]) for tag in mesh.facet_tags[keep]], np.int32)
    return replace(mesh, facets=mesh.facets[keep], facet_tags=tags)


def surfaces_from_points(
    mesh: Mesh,
    points: Float[np.ndarray, "label 3"],
    labels: Integer[np.ndarray, " label"],
) -> Mesh:
    """Each facet of the boundary takes the label most frequent among its corners.

    A corner has the label of the nearest of `points` [mm]: those of a labelled triangle surface,
    of which the mesh was made. Ties go to the lower label.
    """
    from scipy.spatial import cKDTree  # slow to import, and rarely needed

    facets, _ = boundary(mesh)
    nearest = labels[cKDTree(points).query(np.asarray(mesh.points)[facets])[1]]
    votes = (nearest[:, :, None] == nearest[:, None, :]).sum(axis=2)
    best = np.argmax(votes - 1e-3 * nearest / (1 + np.abs(labels).max()), axis=1)
    return replace(mesh, facets=facets, facet_tags=nearest[np.arange(len(facets)), best])


def find_surfaces(mesh: Mesh) -> Mesh:
    """Base, epicardium and endocardia of one or two ventricles.

    Where they are cut off flat, the boundary is divided into patches at edges sharper than 40°.
    The flat patch of greatest area is the base; other flat patches in its plane belong to it. What
    remains falls into connected parts, the largest of which is the epicardium. Without a flat base,
    as where valves were cut off, endocardia are what a ball of 0.35 of the longest side does not
    reach from outside, and the base is the rim around their mouths; on two such meshes whose tags
    are known 2 and 4 % of the area differed, at the rims. Of two endocardia, that farther from the
    epicardium (median distance of its nodes, the wall's thickness) is the left one.

    Raises `ValueError` if other than one or two endocardia are found: then tag the facets, for
    example by `surfaces_from_points`.
    """
    facets, _ = boundary(mesh)
    found = _by_flat_base(np.asarray(mesh.points), facets)
    if found is None:
        found = _by_cavities(mesh, facets)
    return replace(mesh, facets=facets, facet_tags=found)


def _by_cavities(mesh: Mesh, facets: np.ndarray) -> np.ndarray:
    found = inside_of_cavities(mesh)
    points = np.asarray(mesh.points)
    tags = np.where(found == -2, int(Surface.BASE), int(Surface.EPI)).astype(np.int32)
    outside = points[np.unique(facets[found == -1])]
    inside = [points[np.unique(facets[found == which])] for which in range(int(found.max()) + 1)]
    for which, surface in zip(_thickest_first(outside, inside), _INSIDE_OUT[1:], strict=False):
        tags[found == which] = int(surface)
    return tags


def _thickest_first(outside: np.ndarray, inside: list[np.ndarray]) -> list[int]:
    """The endocardia by the thickness of their walls: the left one comes first."""
    from scipy.spatial import cKDTree

    epi = cKDTree(outside)
    depth = [np.median(epi.query(points)[0]) for points in inside]
    return [int(i) for i in np.argsort(depth)[::-1]]


def _by_flat_base(points: np.ndarray, facets: np.ndarray) -> np.ndarray | None:
    """The tags of facets, if there is a flat base and one or two ventricles below it."""
    vector = areas(points, facets)
    area = np.linalg.norm(vector, axis=1)
    normal = vector / np.maximum(area, 1e-300)[:, None]
    base = _base(points, facets, vector, area, normal)
    if base is None:
        return None
    tags = np.full(len(facets), int(Surface.BASE), np.int32)
    others = np.flatnonzero(~base)
    part = parts(facets[others], len(points))
    # A few facets that the rim cuts off belong to the base.
    counts = np.bincount(part, weights=area[others])
    real = np.flatnonzero(counts > 0.01 * counts.sum())
    if len(real) not in (2, 3):
        return None
    real = real[np.argsort(-counts[real], kind="stable")]
    surfaces = [points[np.unique(facets[others[part == p]])] for p in real]
    inside = real[1:][_thickest_first(surfaces[0], surfaces[1:])]
    for number, surface in zip([real[0], *inside], _INSIDE_OUT, strict=False):
        tags[others[part == number]] = int(surface)
    return tags


_INSIDE_OUT = (Surface.EPI, Surface.LV_ENDO, Surface.RV_ENDO)


def _base(
    points: np.ndarray,
    facets: np.ndarray,
    vector: np.ndarray,
    area: np.ndarray,
    normal: np.ndarray,
) -> np.ndarray | None:
    """Which facets are the base's, if any patch is flat."""
    label = _patches(facets, normal)
    total = np.bincount(label, weights=area)
    mean = np.stack([np.bincount(label, weights=vector[:, i]) for i in range(3)], axis=1)
    flatness = np.linalg.norm(mean, axis=1) / np.maximum(total, 1e-300)
    flat = (flatness > _FLAT) & (total > 0.01 * total.sum())
    if not flat.any():
        return None
    largest = int(np.argmax(np.where(flat, total, 0)))
    direction = mean[largest] / np.linalg.norm(mean[largest])
    height = points[facets].mean(axis=1) @ direction
    level = np.median(height[label == largest])
    reach = 0.05 * np.ptp(points @ direction)
    # By facet: at a blunt rim the patch of the base runs on into the walls.
    along = (normal @ direction > 0.9) & (np.abs(height - level) < reach)
    return (label == largest) & (normal @ direction > 0.7) | along


def _patches(facets: Int[np.ndarray, "facet edge"], normal: np.ndarray) -> np.ndarray:
    """The number of the smooth patch of each facet."""
    edge = facets.shape[1]
    ends = np.stack([facets, np.roll(facets, -1, axis=1)], axis=2).reshape(-1, 2)
    owner = np.repeat(np.arange(len(facets)), edge)
    ends = np.sort(ends, axis=1)
    order = np.lexsort((ends[:, 1], ends[:, 0]))
    ends, owner = ends[order], owner[order]
    pair = np.flatnonzero((ends[:-1] == ends[1:]).all(axis=1))
    one, two = owner[pair], owner[pair + 1]
    smooth = np.einsum("ij,ij->i", normal[one], normal[two]) > _SHARP
    # As chains of two "nodes" each; every facet is in a chain with itself too.
    own = np.arange(len(facets))
    chains = np.concatenate(
        [np.stack([own, own], axis=1), np.stack([one[smooth], two[smooth]], axis=1)]
    )
    return parts(chains, len(facets))[: len(facets)]


def require(mesh: Mesh, *wanted: Surface) -> None:
    """Raises `ValueError` if the mesh has no facets of a surface."""
    there = {int(tag) for tag in np.unique(mesh.facet_tags)}
    for surface in wanted:
        if int(surface) not in there:
            raise ValueError(
                f"no facet has the tag {int(surface)} ({surface.name}): tag the surfaces "
                "(with_surfaces), or have them found (find_surfaces)"
            )


__all__ = [
    "Surface",
    "find_surfaces",
    "require",
    "surfaces_from_points",
    "tags_of",
    "with_surfaces",
]
