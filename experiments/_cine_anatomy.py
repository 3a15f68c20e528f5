"""The ventricles of a person from the contours of cine MRI, as tetrahedra with tagged surfaces.

In each image the contours of the left cavity, of the left ventricle with the septum, and of the
right cavity are closed to polygons. Signed distances to them, in the planes of the images, are
continued into space by radial basis functions (Turk and O'Brien 2002, ACM Trans Graph 21:855; in
parallel slices Raya and Udupa 1990, IEEE Trans Med Imaging 9:33). Ventricles are cut by one plane
at the height of the valves, whose place and tilt give the cavities the volumes that are asked for.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import map_coordinates, spline_filter
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from twinjax.geometry import Mesh, Surface, areas, boundary, coarsened, replace, within
from twinjax.io import GuidePoints
from twinjax.units import factor

RIGHT_WALL = 3.5  # mm, assumed: images show no more than that it is thin
THINNEST = 4.0  # mm, of the left ventricle's wall, where contours of two images disagree
ABOVE = 25.0  # mm, by which contours that are open at the valves go on beyond them
GAP = 12.0  # mm, between the ends of a contour that is open
REACH = 12.0  # mm, beyond which distances to a polygon say nothing
LATTICE, SAMPLES, GRID = 2.5, 5.0, 3.0  # mm: of the mesh, in the images, for volumes
SMOOTHING = 0.3  # of the radial functions, against images that disagree
_ROUNDS, _FADES = 4, 8.0  # corrections of the volumes, and the depth [mm] at which they end
LV, RV, OUTER = "left cavity", "right cavity", "left ventricle with septum"
Level = Callable[[Float[np.ndarray, "n 3"]], Float[np.ndarray, " n"]]


@dataclasses.dataclass(frozen=True, eq=False)
class Ventricles:
    """What images tell: levels of three bodies, below 0 inside, in mm.

    Points are in the heart's own axes [mm]: z along the short-axis images' normal, towards the
    base, x towards the right ventricle, and the origin between apex and valves of the left one.
    """

    levels: dict[str, Level]
    low: Float[np.ndarray, "3"]
    high: Float[np.ndarray, "3"]
    valves: float
    control: Float[np.ndarray, "388 3"]


def ventricles(guide: GuidePoints, control: Float[np.ndarray, "388 3"]) -> Ventricles:
    """Levels from contours; the control points of the fitted model come along, to compare with."""
    turn, origin = _axes(guide)
    moved = dataclasses.replace(guide, points=(guide.points - origin) @ turn)
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {LV: [], RV: [], OUTER: []}
    for image in np.unique(moved.slices):
        for body, polygon in _polygons(moved, int(image)).items():
            found[body].append(_samples(polygon))
    levels: dict[str, Level] = {}
    for body, parts in found.items():
        places, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        levels[body] = RBFInterpolator(places, values, kernel="linear", smoothing=SMOOTHING)
    low, high = moved.points.min(axis=0) - 12.0, moved.points.max(axis=0) + 12.0
    valves = float(np.mean(moved.of("VALVE")[:, 2]))
    return Ventricles(levels, low, high, valves, (control - origin) @ turn)


def _axes(guide: GuidePoints) -> tuple[np.ndarray, np.ndarray]:
    """Columns x, y, z, and the origin [mm]."""
    short = guide.slices[[str(label).startswith("SAX") for label in guide.labels]][0]
    flat = guide.of("", slice=int(short))
    normal = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][2]
    apex, mitral = guide.of("APEX_POINT")[0], guide.of("MITRAL_VALVE").mean(axis=0)
    z = normal * np.sign(normal @ (mitral - apex))
    left, right = (guide.of(name).mean(axis=0) for name in ("LV_ENDOCARDIAL", "RV_FREEWALL"))
    x = right - left - ((right - left) @ z) * z
    x /= np.linalg.norm(x)
    height = (apex + mitral) @ z / 2
    return np.stack([x, np.cross(z, x), z], axis=1), left + (height - left @ z) * z


def _polygons(guide: GuidePoints, image: int) -> dict[str, np.ndarray]:
    """Closed polygons in one image (corner, 3) [mm]."""
    flat = guide.of("", slice=image)
    normal = np.linalg.svd(flat - flat.mean(axis=0), full_matrices=False)[2][2]
    centre = -normal * (normal @ -flat.mean(axis=0))  # the origin, moved into the image
    # A cut through the long axis goes on above the valves; one across it does not.
    up = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    lengthwise = np.linalg.norm(up) > 0.5
    if not lengthwise:
        up = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    up /= np.linalg.norm(up)

    def sorted_(points: np.ndarray, about: np.ndarray) -> np.ndarray:
        off = points - about
        seam = up if lengthwise else -up  # where the contour is open, or opposite to the right
        angle = np.arctan2(off @ np.cross(normal, seam), off @ seam) % (2 * np.pi)
        return points[np.argsort(angle)]

    def closed(*chains: np.ndarray) -> np.ndarray:
        corners = np.concatenate(chains)
        first, last = corners[0], corners[-1]
        if lengthwise and np.linalg.norm(first - last) > GAP:
            corners = np.concatenate([corners, [last + ABOVE * up, first + ABOVE * up]])
        return corners

    polygons = {}
    inner, outer = guide.of("LV_ENDOCARDIAL", slice=image), guide.of("LV_EPICARDIAL", slice=image)
    wall, septum = guide.of("RV_FREEWALL", slice=image), guide.of("RV_SEPTUM", slice=image)
    if len(inner):
        centre = inner.mean(axis=0)
        polygons[LV] = closed(sorted_(inner, centre))
        polygons[OUTER] = closed(sorted_(np.concatenate([outer, septum]), centre))
    if len(wall):
        # Seen from the left ventricle, each side of the right one is met once. Both go upwards.
        sides = [sorted_(side, centre) for side in (wall, septum)]
        if not lengthwise:
            polygons[RV] = np.concatenate([sides[0], sides[1][::-1]])
        else:
            sides = [s if s[0] @ up < s[-1] @ up else s[::-1] for s in sides]
            polygons[RV] = closed(sides[0][::-1], sides[1])
    return polygons


def _samples(polygon: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places in the plane of a polygon and signed distances [mm] to it there, and its corners."""
    middle = polygon.mean(axis=0)
    axes = np.linalg.svd(polygon - middle, full_matrices=False)[2][:2]
    flat = (polygon - middle) @ axes.T
    low, high = flat.min(axis=0) - REACH, flat.max(axis=0) + REACH
    places = np.stack(
        np.meshgrid(*(np.arange(a, b, SAMPLES) for a, b in zip(low, high, strict=True))), axis=-1
    ).reshape(-1, 2)
    a, b = flat, np.roll(flat, -1, axis=0)
    along = b - a
    off = places[:, None] - a
    share = np.einsum("pki,ki->pk", off, along) / np.maximum((along**2).sum(1), 1e-12)
    nearest = off - np.clip(share, 0, 1)[..., None] * along
    distance = np.linalg.norm(nearest, axis=2).min(axis=1)
    rises = (a[:, 1] > places[:, 1:]) != (b[:, 1] > places[:, 1:])
    slope = along[:, 0] / np.where(along[:, 1] == 0, 1e-12, along[:, 1])
    right = places[:, :1] < a[:, 0] + (places[:, 1:] - a[:, 1]) * slope
    inside = (rises & right).sum(axis=1) % 2 == 1
    kept = distance < np.where(inside, np.inf, REACH)
    signed = np.where(inside, -np.minimum(distance, REACH), distance)
    every = flat[::2]
    corners = np.concatenate([places[kept], every])
    values = np.concatenate([signed[kept], np.zeros(len(every))])
    return corners @ axes + middle, values


def cut_plane(
    heart: Ventricles, volumes: tuple[float, float]
) -> tuple[np.ndarray, float, dict[str, float]]:
    """The plane below which both cavities hold the `volumes` [mL]: unit normal and height [mm].

    **Returns** also the volumes that it gives [mL].
    """
    axes = [np.arange(a, b, GRID) for a, b in zip(heart.low, heart.high, strict=True)]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    soft = {body: _share(heart.levels[body](grid)) for body in (LV, RV)}

    def held(plane: np.ndarray) -> np.ndarray:
        normal = np.array([plane[1], 0.0, 1.0]) / np.hypot(plane[1], 1.0)
        below = _share(grid @ normal - plane[0])
        return np.array([GRID**3 * factor("mm3", "mL") * (s * below).sum() for s in soft.values()])

    found = least_squares(
        lambda plane: held(plane) - volumes, [heart.valves, 0.0], diff_step=1e-3, x_scale=[10, 0.1]
    ).x
    normal = np.array([found[1], 0.0, 1.0]) / np.hypot(found[1], 1.0)
    return normal, float(found[0]), dict(zip((LV, RV), held(found).tolist(), strict=True))


def _share(level: np.ndarray) -> np.ndarray:
    """Of a cell of the grid, that is below the level 0."""
    return np.clip(0.5 - level / GRID, 0.0, 1.0)


def wall(
    heart: Ventricles,
    normal: np.ndarray,
    height: float,
    spacing: float,
    volumes: tuple[float, float],
) -> Mesh:
    """Tetrahedra [mm] below the plane, which becomes z = 0, with edges of about `spacing` [mm].

    Its cavities hold the `volumes` [mL]. Surfaces are tagged; regions are 1, the left ventricle
    with the septum, and 2, the free wall of the right one, whose thickness is assumed.
    """
    tilt = np.array([[normal[2], 0.0, normal[0]], [0.0, 1.0, 0.0], [-normal[0], 0.0, normal[2]]])
    # Columns of `tilt` are the new axes; the plane's height is along its normal.
    shift = height * normal
    corners = (np.stack([heart.low, heart.high]) - shift) @ tilt
    low, high = corners.min(axis=0) - 10.0, corners.max(axis=0) + 10.0
    high[2] = 2 * LATTICE

    def turned(level: Level) -> Level:
        return lambda points: level(points @ tilt.T + shift)

    distance = {body: _distance(turned(level), low, high) for body, level in heart.levels.items()}

    def parts(points: np.ndarray) -> np.ndarray:
        left, right, outer = (distance[body](points) for body in (LV, RV, OUTER))
        whole = np.minimum(np.minimum(outer, left - THINNEST), right - RIGHT_WALL)
        return np.stack([whole, -left, -right])

    def below(points: np.ndarray) -> np.ndarray:
        return points[:, 2]

    mesh = within([lambda p: parts(p).max(axis=0), below], low, high, LATTICE)
    facets, _ = boundary(mesh)
    corners = mesh.points[facets]
    found = np.array([Surface.EPI, Surface.LV_ENDO, Surface.RV_ENDO])[
        parts(corners.mean(axis=1)).argmax(axis=0)
    ]
    found[(np.abs(corners[:, :, 2]) < 1e-6).all(axis=1)] = Surface.BASE
    mesh = coarsened(replace(mesh, facets=facets, facet_tags=found), spacing)
    mesh = _filled_up(mesh, distance, volumes)
    centres = mesh.centres()
    inner = np.minimum(distance[OUTER](centres), distance[LV](centres) - THINNEST)
    return replace(mesh, regions=np.where(inner < 0.5, 1, 2))


def cavities(mesh: Mesh) -> Float[np.ndarray, "2"]:
    """What the left and the right cavity hold below the base, which lies in z = 0 [mL]."""
    held = []
    for surface in (Surface.LV_ENDO, Surface.RV_ENDO):
        facets = mesh.facets[mesh.facet_tags == surface]
        normal, middle = areas(mesh.points, facets), mesh.points[facets].mean(axis=1)
        held.append(-float((normal * middle).sum()) / 3 * factor("mm3", "mL"))
    return np.array(held)


def _filled_up(mesh: Mesh, distance: dict[str, Level], volumes: tuple[float, float]) -> Mesh:
    """Endocardia moved outwards: chords of a coarse mesh cut off some of the cavities.

    The right free wall goes along; through the left wall the motion ends at its outside.
    """
    for _ in range(_ROUNDS):
        off, points = np.asarray(volumes) - cavities(mesh), mesh.points
        moved = np.zeros_like(points)
        for body, surface, thick, missing in (
            (LV, Surface.LV_ENDO, 0.0, off[0]),
            (RV, Surface.RV_ENDO, RIGHT_WALL, off[1]),
        ):
            facets = mesh.facets[mesh.facet_tags == surface]
            area = np.linalg.norm(areas(points, facets), axis=1).sum()
            level = distance[body]
            fades = np.clip(1 - (level(points) - thick) / _FADES, 0.0, 1.0)
            slope = np.stack(
                [level(points + step) - level(points - step) for step in 0.5 * np.eye(3)], axis=1
            )
            moved += missing * factor("mL", "mm3") / area * fades[:, None] * slope
        moved[np.abs(points[:, 2]) < 1e-6, 2] = 0.0
        mesh = replace(mesh, points=points + moved)
    return mesh


def _distance(level: Level, low: np.ndarray, high: np.ndarray) -> Level:
    """A signed distance [mm] to where the level is 0, of which the level is a rough one.

    To the cuts of the edges of a grid, which lie within a fraction of a millimetre of it; between
    the grid's nodes by splines.
    """
    n = np.ceil((high - low) / GRID).astype(int) + 1
    grid = low + GRID * np.stack(np.meshgrid(*map(np.arange, n), indexing="ij"), axis=-1)
    values = level(grid.reshape(-1, 3)).reshape(n)
    cuts = []
    for axis in range(3):
        places, at = (np.moveaxis(each, axis, 0) for each in (grid, values))
        crossing = at[:-1] * at[1:] < 0
        a, b = at[:-1][crossing], at[1:][crossing]
        share = (a / (a - b))[:, None]
        cuts.append((1 - share) * places[:-1][crossing] + share * places[1:][crossing])
    far = cKDTree(np.concatenate(cuts)).query(grid)[0]
    signed = spline_filter(np.sign(values) * far)

    def distance(points: np.ndarray) -> np.ndarray:
        return map_coordinates(signed, ((points - low) / GRID).T, prefilter=False, mode="nearest")

    return distance
