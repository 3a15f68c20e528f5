"""Where a point lies in the ventricles, in four numbers that every heart has."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from twinjax.fem import P1, solve_dirichlet
from twinjax.geometry._mesh import Mesh
from twinjax.geometry._surface import Surface, require

_BINS = 200


class Fields(eqx.Module):
    """The harmonic fields (node) that coordinates and fibres are made of.

    `epi`, `left` and `right` are 1 on the epicardium, the left and the right endocardium, and 0
    on the two others; `apex` is 0 at the apex and 1 at the base; elsewhere no flux leaves the
    wall. `right` is 0 everywhere if there is one ventricle.
    """

    epi: Float[Array, " node"]
    left: Float[Array, " node"]
    right: Float[Array, " node"]
    apex: Float[Array, " node"]


class Coordinates(eqx.Module):
    """Ventricular coordinates of every node.

    - `transmural`: 0 on the endocardia, 1 on the epicardium and midway through the septum.
    - `apicobasal`: 0 at the apex of the left ventricle, 1 at the base.
    - `rotational` [rad], in (-π, π]: the angle about the long axis of the left ventricle, against
      the clock seen from the base; 0 towards the right ventricle, or along x without one.
    - `transventricular`: 0 in the left, 1 in the right ventricle; each has half of the septum.
    """

    transmural: Float[Array, " node"]
    apicobasal: Float[Array, " node"]
    rotational: Float[Array, " node"]
    transventricular: Float[Array, " node"]


def fields(mesh: Mesh, p1: P1 | None = None) -> Fields:
    """Solves Laplace's equation for the fields of one or two ventricles.

    Differentiable in the points of `p1`, the linear elements of the mesh if they are at hand.
    Raises `ValueError` if base, epicardium or left endocardium are not tagged
    ([`Surface`][twinjax.geometry.Surface]).
    """
    require(mesh, Surface.BASE, Surface.EPI, Surface.LV_ENDO)
    p1 = P1(mesh.points, mesh.cells) if p1 is None else p1
    stiffness = p1.stiffness()
    walls = {s: _mask(mesh, s) for s in (Surface.EPI, Surface.LV_ENDO, Surface.RV_ENDO)}
    # At the rim of the base two surfaces share nodes: the cavity's side wins, as it is thinner.
    walls[Surface.EPI] &= ~(walls[Surface.LV_ENDO] | walls[Surface.RV_ENDO])
    walls[Surface.RV_ENDO] &= ~walls[Surface.LV_ENDO]
    fixed = walls[Surface.EPI] | walls[Surface.LV_ENDO] | walls[Surface.RV_ENDO]

    def one_on(surface: Surface) -> Array:
        if not walls[surface].any():
            return jnp.zeros(len(mesh.points), stiffness.values.dtype)
        return solve_dirichlet(stiffness, fixed, walls[surface].astype(float))

    base, apex = _mask(mesh, Surface.BASE), apex_nodes(mesh)
    return Fields(
        epi=one_on(Surface.EPI),
        left=one_on(Surface.LV_ENDO),
        right=one_on(Surface.RV_ENDO),
        apex=solve_dirichlet(stiffness, base | apex, base.astype(float)),
    )


def coordinates(mesh: Mesh, solved: Fields | None = None) -> Coordinates:
    """Ventricular coordinates, in the spirit of Bayer et al. 2018 and Schuler et al. 2021.

    With e the field that is 1 on the epicardium and v the harmonic one from 0 on the left to 1 on
    the right endocardium, transmural is 1 - (1 - e) |1 - 2 v|, and transventricular is v > ½. So
    both ventricles are treated alike, as in Schuler et al.; the value midway through the septum
    is exact, values between are those of these fields and not shares of the wall's thickness.
    Apicobasal is the harmonic field from apex to base, mapped so that it grows evenly along the
    mean path from apex to base (mean of 1/|∇a| over each level); rotational is a plain angle.

    Sources: Bayer et al. 2018, Med Image Anal 45:83; Schuler et al. 2021, Med Image Anal
    74:102247. Raises `ValueError` if surfaces are not tagged, as for `fields`.
    """
    p1 = P1(mesh.points, mesh.cells)
    solved = fields(mesh, p1) if solved is None else solved
    left, right = _mask(mesh, Surface.LV_ENDO), _mask(mesh, Surface.RV_ENDO)
    across = jnp.zeros_like(solved.epi)
    if right.any():
        across = solve_dirichlet(p1.stiffness(), left | right, (right & ~left).astype(float))
    # Linear elements with obtuse angles overshoot by a percent or so.
    depth, across = 1 - jnp.clip(solved.epi, 0, 1), jnp.clip(across, 0, 1)
    return Coordinates(
        transmural=1 - depth * jnp.abs(1 - 2 * across),
        apicobasal=_evenly(p1, solved.apex),
        rotational=_angle(mesh),
        transventricular=jnp.where(across > 0.5, 1.0, 0.0),
    )


def long_axis(mesh: Mesh) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """The long axis of the left ventricle: its apex [mm], and the unit vector to the base.

    The apex is the endocardial node farthest from the centre of the endocardium's rim.
    """
    points = np.asarray(mesh.points)
    endo = mesh.nodes(Surface.LV_ENDO)
    rim = np.intersect1d(endo, mesh.nodes(Surface.BASE))
    if not len(rim):
        raise ValueError("base and left endocardium share no nodes: check the tagged surfaces")
    centre = points[rim].mean(axis=0)
    apex = points[endo[np.argmax(np.linalg.norm(points[endo] - centre, axis=1))]]
    return apex, (centre - apex) / np.linalg.norm(centre - apex)


def apex_nodes(mesh: Mesh) -> Bool[np.ndarray, " node"]:
    """The nodes of the wall below the apex of the left cavity, around the long axis.

    They lie within the mean length of edges from the axis.
    """
    points = np.asarray(mesh.points)
    apex, axis = long_axis(mesh)
    along = (points - apex) @ axis
    aside = np.linalg.norm(points - apex - along[:, None] * axis, axis=1)
    pairs = mesh.cells[:, [[0, 1], [2, 3]]].reshape(-1, 2)
    near = np.mean(np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1))
    below = (along <= 0.5 * near) & (aside <= near)
    # A plane of constant height would be flat where the surfaces are round: hence the half edge.
    below[mesh.nodes(Surface.BASE)] = False
    return below


def _mask(mesh: Mesh, surface: Surface) -> np.ndarray:
    mask = np.zeros(len(mesh.points), bool)
    mask[mesh.nodes(surface)] = True
    return mask


def _evenly(p1: P1, field: Array) -> Array:
    """The field mapped to the share of the mean path length from 0 to 1 (on the host)."""
    volume = np.asarray(p1.geometry()[1])
    slope = np.linalg.norm(np.asarray(p1.gradient(field)), axis=1)
    value = np.asarray(field)
    centre = value[np.asarray(p1.cells)].mean(axis=1)
    # Levels with as many cells each; by the coarea formula the mean of 1/|∇a| over a level is
    # ΣV / ΣV|∇a| over the cells near it.
    edges = np.quantile(centre, np.linspace(0, 1, min(_BINS, max(10, len(centre) // 50)) + 1))
    edges = np.unique(np.concatenate([[0.0], edges[1:-1], [1.0]]))
    place = np.clip(np.searchsorted(edges, centre, side="right") - 1, 0, len(edges) - 2)
    total = np.bincount(place, volume, len(edges) - 1)
    rise = np.bincount(place, volume * slope, len(edges) - 1)
    steps = np.diff(edges) * total / np.maximum(rise, 1e-300)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    return jnp.asarray(np.interp(value, edges, length / length[-1]), field.dtype)


def _angle(mesh: Mesh) -> Array:
    points = np.asarray(mesh.points)
    apex, axis = long_axis(mesh)
    right = mesh.nodes(Surface.RV_ENDO)
    towards = points[right].mean(axis=0) - apex if len(right) else np.array([1.0, 0.0, 0.0])
    x = towards - (towards @ axis) * axis
    if np.linalg.norm(x) < 1e-6:
        x = np.cross(axis, [0.0, 1.0, 0.0])
    x = x / np.linalg.norm(x)
    from_apex = points - apex
    return jnp.asarray(np.arctan2(from_apex @ np.cross(axis, x), from_apex @ x))
