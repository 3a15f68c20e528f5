"""Where the nine standard electrodes are: on a torso, or about a heart that has none."""

import numpy as np
from jaxtyping import Float, Int

from twinjax.electro._twelve_leads import ELECTRODES
from twinjax.geometry import Mesh, Surface, find_surfaces, long_axis

# Left, posterior, superior, as in medical images.
LPS = np.eye(3)
# Mean direction of the long axis from base to apex in 94 healthy adults: 38° below the horizontal
# in the frontal plane, 46° in front of the left in the transverse one (Engblom et al. 2005, Am
# Heart J 150:507).
_AXIS = np.array([1.0, -np.tan(np.deg2rad(46.0)), -np.tan(np.deg2rad(38.0))])
# Left, posterior and superior of the centre of the ventricles [mm]: the normal male of ECGSIM
# (van Oosterom and Oostendorp 2004, Heart 90:165).
_OFFSETS = {
    "RA": (-268.0, 85.0, 135.0),
    "LA": (182.0, 87.0, 135.0),
    "LL": (61.0, -19.0, -229.0),
    "V1": (-69.0, -71.0, 10.0),
    "V2": (-12.0, -74.0, 10.0),
    "V3": (44.0, -81.0, -14.0),
    "V4": (92.0, -50.0, -39.0),
    "V5": (125.0, -6.0, -39.0),
    "V6": (136.0, 47.0, -40.0),
}
_STERNAL = 28.0  # V1 and V2 from the midline [mm]
# Degrees from the front to the left, about the middle of the trunk.
_AZIMUTH = {"V4": 54.0, "V5": 72.0, "V6": 90.0}


def heart_frame(
    heart: Mesh, *, apex_to_base: Float[np.ndarray, "3"] | None = None
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """The centre of the ventricles [mm], and the body's directions by the heart's own axes.

    The directions are three unit rows, left, posterior and superior, in the mesh's coordinates:
    such that the long axis has its mean direction in healthy adults (standard deviations 10° in
    the frontal and 7° in the transverse plane) and, of the directions across it, the one most to
    the right is that from the left to the right ventricle. A heart of one ventricle has no such
    direction: its x axis is taken.

    Raises `ValueError` if surfaces are neither tagged nor found.
    """
    if not len(heart.facets):
        heart = find_surfaces(heart)
    points = np.asarray(heart.points)
    base = long_axis(heart)[1] if apex_to_base is None else np.asarray(apex_to_base)
    right = heart.nodes(Surface.RV_ENDO)
    towards = np.array([1.0, 0.0, 0.0])
    if len(right):
        left = heart.nodes(Surface.LV_ENDO)
        towards = points[right].mean(axis=0) - points[left].mean(axis=0)
    ours = _axes(-base, towards)
    theirs = _axes(_AXIS, np.array([-1.0, 0.0, 0.0]))
    # Both are orthonormal rows: the same three directions in the mesh's and in the body's axes.
    return points[np.unique(heart.cells)].mean(axis=0), theirs.T @ ours


def _axes(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    one = first / np.linalg.norm(first)
    two = second - (second @ one) * one
    if np.linalg.norm(two) < 1e-6:
        two = np.cross(one, [0.0, 1.0, 0.0])
    two = two / np.linalg.norm(two)
    return np.stack([one, two, np.cross(one, two)])


def electrodes_of_heart(
    centre: Float[np.ndarray, "3"], directions: Float[np.ndarray, "3 3"] = LPS
) -> Float[np.ndarray, "9 3"]:
    """The electrodes `ELECTRODES` [mm] about a heart without a torso.

    They lie about the centre of the ventricles as on the normal male of ECGSIM.

    **Arguments:** `centre` of the ventricles [mm]; `directions`, unit rows left, posterior and
    superior: those of medical images by default, or those of `heart_frame`.
    """
    offsets = np.array([_OFFSETS[name] for name in ELECTRODES])
    return centre + offsets @ directions


def electrodes_on_torso(
    points: Float[np.ndarray, "node 3"],
    facets: Int[np.ndarray, "facet 3"],
    centre: Float[np.ndarray, "3"],
    directions: Float[np.ndarray, "3 3"] = LPS,
) -> Float[np.ndarray, "9 3"]:
    """The electrodes `ELECTRODES` [mm] on a closed surface of a torso.

    V1 and V2 are 28 mm beside the midline in front, 10 mm above the centre of the ventricles; V4,
    V5 and V6 40 mm below it, 54°, 72° and 90° to the left of the front about the middle of the
    trunk; V3 on the surface nearest to the middle of V2 and V4; RA and LA at the sides 135 mm
    above, LL 229 mm below and 57° to the left, or as far as the surface goes: the proportions of
    the normal male of ECGSIM. Ribs are not known, so these are typical places and no more.

    **Arguments:** `points` [mm] and `facets` of the torso's outside, `centre` of the ventricles
    [mm], `directions` as in `electrodes_of_heart`.
    Raises `ValueError` if the centre is not within the surface.
    """
    corners = ((np.asarray(points) - centre) @ directions.T)[facets]
    low, high = corners[:, :, 2].min(), corners[:, :, 2].max()
    if not (low < 0 < high):
        raise ValueError("the centre of the ventricles is above or below the torso's surface")
    edge = 0.04 * (high - low)

    def cast(origin: tuple[float, float], level: float, degrees: float) -> np.ndarray:
        level = float(np.clip(level, low + edge, high - edge))
        angle = np.deg2rad(degrees)
        ray = np.array([np.sin(angle), -np.cos(angle), 0.0])
        return _last_hit(corners, np.array([*origin, level]), ray)

    sides = [cast((0.0, 0.0), 10.0, degrees)[0] for degrees in (-90.0, 90.0)]
    ends = [cast((0.0, 0.0), 10.0, degrees)[1] for degrees in (0.0, 180.0)]
    middle = (float(np.mean(sides)), float(np.mean(ends)))
    found = {
        "RA": cast(middle, 135.0, -90.0),
        "LA": cast(middle, 135.0, 90.0),
        "LL": cast(middle, -229.0, 57.0),
        "V1": cast((middle[0] - _STERNAL, middle[1]), 10.0, 0.0),
        "V2": cast((middle[0] + _STERNAL, middle[1]), 10.0, 0.0),
        **{name: cast(middle, -40.0, degrees) for name, degrees in _AZIMUTH.items()},
    }
    between = (found["V2"] + found["V4"]) / 2
    away = np.rad2deg(np.arctan2(between[0] - middle[0], middle[1] - between[1]))
    found["V3"] = cast(middle, float(between[2]), float(away))
    return centre + np.stack([found[name] for name in ELECTRODES]) @ directions


def _last_hit(corners: np.ndarray, origin: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """The farthest point where a ray leaves the surface (Möller and Trumbore 1997)."""
    one, two = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    across = np.cross(ray, two)
    determinant = np.einsum("ij,ij->i", one, across)
    safe = np.where(np.abs(determinant) > 1e-12, determinant, np.inf)
    start = origin - corners[:, 0]
    u = np.einsum("ij,ij->i", start, across) / safe
    turned = np.cross(start, one)
    v = turned @ ray / safe
    distance = np.einsum("ij,ij->i", turned, two) / safe
    # With slack, for a ray may pass through an edge exactly.
    hit = (u > -1e-9) & (v > -1e-9) & (u + v < 1 + 1e-9) & (distance > 0)
    hit &= np.abs(determinant) > 1e-12
    if not hit.any():
        raise ValueError("the torso's surface is not closed about the centre of the ventricles")
    return origin + distance[hit].max() * ray
