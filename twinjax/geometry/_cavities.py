"""The surfaces of ventricles without a flat base: cavities are where a large ball cannot go."""

import numpy as np
from jaxtyping import Float, Int

from twinjax.geometry._mesh import Mesh
from twinjax.geometry._topology import HEX_AS_TETS, areas, boundary, parts

_BALL = 0.35  # the ball's radius, as a share of the mesh's longest side
_VOXELS = 90  # along the longest side
_MOUTH = 8.0  # [mm]
_ISLAND = 0.02  # the share of the largest rim's facets that another one has
_SMALLEST = 0.05  # the share of the largest cavity's volume that another one has


def inside_of_cavities(mesh: Mesh) -> Int[np.ndarray, " facet"]:
    """For each facet of the boundary -1 outside, -2 on a rim, or the cavity that it looks into.

    Tissue and air are voxels. A ball of 0.35 of the longest side rolls over the outside; air that
    it does not reach is a cavity, or a groove, which lies apart from every wide cavity. A facet at
    the mouth of a cavity lies on a rim if the way to the nearest endocardium leads along the
    surface and not through the wall, or if there is far more tissue behind it than across the wall.
    Cavities are numbered by volume, the largest is 0.

    Raises `ValueError` for other than one or two cavities.
    """
    from scipy import ndimage  # slow to import, and rarely needed

    points = np.asarray(mesh.points)
    facets, _ = boundary(mesh)
    size = float(np.ptp(points, axis=0).max())
    h, radius = size / _VOXELS, _BALL * size
    margin = int(np.ceil(radius / h)) + 3
    origin = points.min(axis=0) - margin * h
    shape = np.ceil(np.ptp(points, axis=0) / h).astype(int) + 2 * margin + 1
    tissue = np.zeros(shape, bool)
    tissue[
        tuple(np.floor((_samples(points[_tetrahedra(mesh)], h / 2) - origin) / h).astype(int).T)
    ] = True
    room = ndimage.distance_transform_edt(~tissue) * h
    reached = ndimage.label(room >= radius)[0]
    outside = ndimage.distance_transform_edt(reached != reached[0, 0, 0]) * h <= radius
    # The ball needed room around the mesh; what follows does not.
    core = (slice(margin - 3, 3 - margin),) * 3
    tissue, outside, origin = tissue[core], outside[core], origin + (margin - 3) * h
    closed = ~tissue & ~outside
    within = ndimage.distance_transform_edt(~outside) * h
    cavity = _cavities(closed, within > 2.5 * h, h)
    count = int(cavity.max(initial=0))
    if count not in (1, 2):
        raise ValueError(f"{count} cavities were found, not 1 or 2: tag the facets of the mesh")
    vector = areas(points, facets)
    normal = vector / np.maximum(np.linalg.norm(vector, axis=1), 1e-300)[:, None]
    middle = points[facets].mean(axis=1)
    ahead = np.floor((middle + 1.5 * h * normal - origin) / h).astype(int)
    # A cavity's air reaches the wall and its mouth by a few voxels more.
    apart, near = ndimage.distance_transform_edt(cavity == 0, return_indices=True)
    owner = cavity[tuple(near)]
    found = np.where(closed & (apart <= 4), owner, 0)[tuple(ahead.T)] - 1
    open_ = closed & (within <= 1.5 * h) & (apart <= 4)
    mouth = (ndimage.distance_transform_edt(~open_) * h)[tuple(ahead.T)]
    # Along a wall there is more tissue behind a facet than across it: the facet is a rim's.
    behind = np.zeros(len(facets))
    inside = np.ones(len(facets), bool)
    for step in np.arange(1.0, 0.5 * _VOXELS):
        at = np.floor((middle - step * h * normal - origin) / h).astype(int)
        # Beyond the box the ray has long left the tissue.
        inside &= tissue[tuple(np.clip(at, 0, np.array(tissue.shape) - 1).T)]
        behind[inside] = step * h
    return _rims(points, facets, normal, behind, mouth, found)


def _cavities(closed: np.ndarray, deep: np.ndarray, h: float) -> np.ndarray:
    """Voxels of the first and the second cavity, by volume; 0 elsewhere."""
    from scipy import ndimage

    whole, count = ndimage.label(closed & deep)
    if not count:
        return whole
    # Eroded, since cavities may meet above the rim between them.
    core = ndimage.distance_transform_edt(closed & deep) * h
    number, cores = ndimage.label(core >= 0.3 * core.max())
    volume = np.bincount(number.ravel())[1:]
    order = np.argsort(-volume, kind="stable")
    real = 1 + order[volume[order] > _SMALLEST * volume.max()]
    rank = np.zeros(cores + 1, int)
    rank[real] = np.arange(1, len(real) + 1)
    near = ndimage.distance_transform_edt(rank[number] == 0, return_indices=True)[1]
    # Grooves are deep too, but apart from every core.
    held = np.zeros(count + 1, bool)
    held[whole[rank[number] > 0]] = True
    return np.where(held[whole] & (whole > 0), rank[number][tuple(near)], 0)


def _tetrahedra(mesh: Mesh) -> np.ndarray:
    return mesh.cells if mesh.cells.shape[1] == 4 else mesh.cells[:, HEX_AS_TETS].reshape(-1, 4)


def _samples(corners: Float[np.ndarray, "cell 4 3"], step: float) -> Float[np.ndarray, "sample 3"]:
    """Points in tetrahedra, no farther apart than `step`."""
    longest = np.linalg.norm(
        corners[:, [1, 2, 3, 2, 3, 3]] - corners[:, [0, 0, 0, 1, 1, 2]], axis=2
    )
    needed = np.ceil(longest.max(axis=1) / step).astype(int)
    made = []
    for n in np.unique(needed):
        i, j, k = np.meshgrid(*[np.arange(n + 1)] * 3, indexing="ij")
        keep = i + j + k <= n
        i, j, k = i[keep], j[keep], k[keep]
        share = np.stack([n - i - j - k, i, j, k], axis=1) / n
        made.append(np.einsum("sa,cai->csi", share, corners[needed == n]).reshape(-1, 3))
    return np.concatenate(made)


def _rims(
    points: np.ndarray,
    facets: np.ndarray,
    normal: np.ndarray,
    behind: np.ndarray,
    mouth: np.ndarray,
    found: np.ndarray,
) -> np.ndarray:
    """The facets with those on rims marked, from the tissue behind each and how far a mouth is."""
    from scipy.spatial import cKDTree

    found = found.copy()
    # A cavity's own facets at its mouth: along the wall there is more tissue than across it.
    for which in np.unique(found[found >= 0]):
        own = found == which
        found[own & (behind > 2 * np.median(behind[own])) & (mouth < _MOUTH)] = -2
    inner = points[np.unique(facets[found >= 0])]
    middle = points[facets].mean(axis=1)
    apart, nearest = cKDTree(inner).query(middle)
    way = (inner[nearest] - middle) / np.maximum(apart, 1e-300)[:, None]
    along = np.einsum("ij,ij->i", way, normal) > -0.6
    reach = 2.5 * np.median(apart[found == -1])
    found[(found == -1) & along & (apart < reach) & (mouth < reach)] = -2
    return _without_islands(facets, found, len(points))


def _without_islands(facets: np.ndarray, found: np.ndarray, count: int) -> np.ndarray:
    """Small pieces of a surface become what is most frequent around them.

    The outside and a cavity are each in one piece; rims are several, each not too small.
    """
    for which in (-2, -1, *np.unique(found[found >= 0])):
        own = np.flatnonzero(found == which)
        if not len(own):
            continue
        part = parts(facets[own], count)
        size = np.bincount(part)
        votes = np.zeros((count, 4))
        other = found != which
        for corner in facets[other].T:
            np.add.at(votes, (corner, found[other] + 2), 1)
        limit = _ISLAND * size[0] if which == -2 else size[0]
        for number in np.flatnonzero(size < limit):
            island = own[part == number]
            around = votes[np.unique(facets[island])].sum(axis=0)
            if around.any():
                found[island] = int(np.argmax(around)) - 2
    return found
