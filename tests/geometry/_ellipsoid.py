"""Directions on the truncated ellipsoid of `left_ventricle`, by geometry alone."""

import numpy as np

ENDO, EPI = (26.0, 60.0), (34.0, 68.0)


def directions(points):
    """Depth (0 to 1) of points, the angle from the apex, and around, up and outward vectors.

    The depth is that of the ellipsoid in between on which a point lies, by bisection.
    """
    low, high = np.full(len(points), -0.2), np.full(len(points), 1.2)
    ring = points[:, 0] ** 2 + points[:, 1] ** 2
    for _ in range(60):
        depth = (low + high) / 2
        r, l = ((1 - depth) * a + depth * b for a, b in zip(ENDO, EPI, strict=True))
        outside = ring / r**2 + points[:, 2] ** 2 / l**2 > 1
        low, high = np.where(outside, depth, low), np.where(outside, high, depth)
    out = points / np.stack([r**2, r**2, l**2], axis=1)
    out /= np.linalg.norm(out, axis=1)[:, None]
    angle = np.arctan2(points[:, 1], points[:, 0])
    around = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], axis=1)
    up = np.cross(out, around)
    up *= np.where(up[:, 2] < 0, -1, 1)[:, None]
    latitude = np.arccos(np.clip(-points[:, 2] / l, -1, 1))
    return depth, latitude, np.cross(up, out), up, out


def dot(a, b):
    return np.einsum("ij,ij->i", a, b)


def apart(a, b):
    """The angle between axes [deg] whose angles are a and b, from 0 to 90."""
    return np.abs((a - b + 90) % 180 - 90)
