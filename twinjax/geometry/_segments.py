"""The 17 segments of the left ventricle."""

import numpy as np
from jaxtyping import Float, Int

from twinjax.geometry._coordinates import coordinates, long_axis
from twinjax.geometry._mesh import Mesh
from twinjax.geometry._surface import Surface

SEGMENTS = {
    1: "basal anterior",
    2: "basal anteroseptal",
    3: "basal inferoseptal",
    4: "basal inferior",
    5: "basal inferolateral",
    6: "basal anterolateral",
    7: "mid anterior",
    8: "mid anteroseptal",
    9: "mid inferoseptal",
    10: "mid inferior",
    11: "mid inferolateral",
    12: "mid anterolateral",
    13: "apical anterior",
    14: "apical septal",
    15: "apical inferior",
    16: "apical lateral",
    17: "apex",
}
# From the middle of the septum on, towards the anterior wall: against the clock seen from the base.
_SIXTHS = np.array([2, 1, 6, 5, 4, 3])
_QUARTERS = np.array([14, 13, 16, 15])
_ASIDE = 0.1  # the least sine between the long axis and the direction of the septum


def segments(
    mesh: Mesh, septum: Float[np.ndarray, "3"] | tuple[float, float, float] | None = None
) -> Int[np.ndarray, " cell"]:
    """The segment of each cell, 1 to 17, and 0 for the right ventricle.

    Cerqueira et al. 2002, Circulation 105:539. The cavity's long axis, from its apex to the centre
    of its rim at the base, is divided in three: base, middle and apical part; what lies beyond the
    cavity is the apex. Around it the septum is the third in the middle of which the right
    ventricle is seen; from there on segments go by 60°, in the apical part by 90°. Of the septum
    the left half counts, by the transventricular coordinate.

    **Arguments:** `septum`, the direction from the long axis to the middle of the septum, by
    default towards the mean of the right endocardium: towards the middle between the two lines
    where the right ventricle inserts, where these are known.

    Raises `ValueError` if surfaces are not tagged, if there is no right endocardium and no
    direction is given, or for one along the long axis.
    """
    points = np.asarray(mesh.points)
    apex, axis = long_axis(mesh)
    right = mesh.nodes(Surface.RV_ENDO)
    if septum is None and not len(right):
        raise ValueError("a mesh without a right ventricle needs the direction of the septum")
    towards = points[right].mean(axis=0) - apex if septum is None else np.asarray(septum, float)
    x = towards - (towards @ axis) * axis
    if not np.linalg.norm(x) > _ASIDE * float(np.linalg.norm(towards)):
        raise ValueError("the direction of the septum must lead away from the long axis")
    rim = np.intersect1d(mesh.nodes(Surface.LV_ENDO), mesh.nodes(Surface.BASE))
    from_apex = points[mesh.cells].mean(axis=1) - apex
    share = from_apex @ axis / ((points[rim].mean(axis=0) - apex) @ axis)
    angle = np.rad2deg(np.arctan2(from_apex @ np.cross(axis, x), from_apex @ x))
    sixth = _SIXTHS[np.floor(angle / 60).astype(int) % 6]
    quarter = _QUARTERS[np.floor((angle + 45) / 90).astype(int) % 4]
    found = np.where(share > 2 / 3, sixth, np.where(share > 1 / 3, sixth + 6, quarter))
    found = np.where(share < 0, 17, found)
    if len(right):
        side = np.asarray(coordinates(mesh).transventricular)
        found = np.where(side[mesh.cells].mean(axis=1) > 0.5, 0, found)
    return found.astype(np.int32)
