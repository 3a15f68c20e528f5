"""Points on surfaces of a heart: the nearest one, directions along it, sites spread over it."""

import dataclasses

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree

from twinjax.geometry import Mesh, Surface

_NEAR = 12  # facets whose nearest point is looked at


@dataclasses.dataclass(frozen=True, eq=False)
class HeartSurface:
    """The triangles of a surface, such as an endocardium, and a tree of their centres."""

    corners: Float[np.ndarray, "facet 3 3"]
    tree: cKDTree

    def project(
        self, points: Float[np.ndarray, "root 3"]
    ) -> tuple[Float[np.ndarray, "root 3"], Float[np.ndarray, "root 2 3"]]:
        """The nearest point of the surface to each point, and two unit vectors along it there."""
        _, near = self.tree.query(points, min(_NEAR, len(self.corners)))
        near = near.reshape(len(points), -1)
        candidates = _nearest(points[:, None], self.corners[near])
        best = np.argmin(np.sum((candidates - points[:, None]) ** 2, axis=2), axis=1)
        rows = np.arange(len(points))
        a, b, c = np.moveaxis(self.corners[near[rows, best]], 1, 0)
        along = (b - a) / np.linalg.norm(b - a, axis=1, keepdims=True)
        normal = np.cross(b - a, c - a)
        across = np.cross(normal, along)
        across = across / np.linalg.norm(across, axis=1, keepdims=True)
        return candidates[rows, best], np.stack([along, across], axis=1)

    def spread(self, spacing: float) -> Float[np.ndarray, "site 3"]:
        """Centres of facets, of which one is within `spacing` [mm] of each facet's.

        Each is farthest from those before. Not nodes: at a node the times of the nodes around it
        do not depend on where exactly a root is, as they are reached through it all the same.
        """
        centres = self.corners.mean(axis=1)
        chosen = [0]
        distance = np.linalg.norm(centres - centres[0], axis=1)
        while distance.max() > spacing:
            chosen.append(int(np.argmax(distance)))
            away = np.linalg.norm(centres - centres[chosen[-1]], axis=1)
            distance = np.minimum(distance, away)
        return centres[chosen]


def surface_of(mesh: Mesh, surface: Surface) -> HeartSurface:
    """That of a mesh which has facets of it."""
    corners = np.asarray(mesh.points)[mesh.facets[mesh.facet_tags == int(surface)]]
    return HeartSurface(corners, cKDTree(corners.mean(axis=1)))


def endocardia(mesh: Mesh) -> tuple[HeartSurface, ...]:
    """Those that the mesh has, the left one first."""
    both = (Surface.LV_ENDO, Surface.RV_ENDO)
    return tuple(surface_of(mesh, s) for s in both if np.any(mesh.facet_tags == int(s)))


def _nearest(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """The point of a triangle nearest to each point: inside of it, or on one of its edges."""
    a, b, c = np.moveaxis(corners, -2, 0)
    normal = np.cross(b - a, c - a)
    square = np.sum(normal**2, axis=-1)
    height = np.sum((points - a) * normal, axis=-1) / square
    foot = points - height[..., None] * normal
    inside = np.ones(foot.shape[:-1], bool)
    best, nearest = np.full(foot.shape[:-1], np.inf), foot
    for start, end in ((a, b), (b, c), (c, a)):
        edge = end - start
        inside &= np.sum(np.cross(edge, foot - start) * normal, axis=-1) >= 0
        share = np.sum((points - start) * edge, axis=-1) / np.sum(edge**2, axis=-1)
        on = start + np.clip(share, 0, 1)[..., None] * edge
        away = np.sum((on - points) ** 2, axis=-1)
        nearest = np.where((away < best)[..., None], on, nearest)
        best = np.minimum(best, away)
    return np.where(inside[..., None], foot, nearest)
