"""Lead fields of a bounded torso, by reciprocity and linear tetrahedra."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.electro._lead_field import LeadField, _names
from twinjax.electro._twelve_leads import ELECTRODES
from twinjax.fem import P1, PaddedRows, gradients
from twinjax.fem._neumann import solve_neumann
from twinjax.geometry import Mesh, boundary
from twinjax.geometry._locate import Interpolation, locate

_WILSON = ("RA", "LA", "LL")


class Torso(eqx.Module):
    """A volume conductor: tetrahedra, heart and cavities included, each with its conductivity.

    No current leaves it except through electrodes. The potential Z_k [kΩ] that a current of 1 µA
    from the reference to electrode k makes in it,

        ∇·(σ ∇Z_k) = 0,    n · σ ∇Z_k = δ_k - δ_reference on the surface,

    is the electrode's lead field: with sources in the heart the electrode is at

        φ_k - φ_reference = -∫ σ_i ∇V · ∇Z_k dΩ

    (reciprocity: McFee and Johnston 1953, Circulation 8:554; of the bidomain equations: Geselowitz
    1989, IEEE Trans Biomed Eng 36:1129). σ is σ_i + σ_e in the heart. The reference is Wilson's
    central terminal if there are RA, LA and LL, else the mean of all electrodes.

    **Arguments:** `mesh`, tetrahedra in mm, connected; `conductivity` of each cell [S/m], numbers
    (cell) or tensors (cell, 3, 3).
    """

    p1: P1
    facets: Int[Array, "facet 3"]
    conductivity: Float[Array, "cell *more"]

    def __init__(self, mesh: Mesh, conductivity: Float[np.ndarray | Array, "cell *more"]):
        """Raises `ValueError` for hexahedra, inverted cells, or a number of conductivities that
        is not that of cells.
        """
        if len(conductivity) != len(mesh.cells):
            raise ValueError(f"{len(mesh.cells)} cells have {len(conductivity)} conductivities")
        self.p1 = P1(mesh.points, mesh.cells)
        self.facets = jnp.asarray(boundary(mesh)[0], jnp.int32)
        self.conductivity = jnp.asarray(conductivity, self.p1.points.dtype)

    def stiffness(self) -> PaddedRows:
        """K of ∫ ∇v · σ ∇u [mS]."""
        return self.p1.stiffness(self.conductivity)

    def loads(
        self, electrodes: Float[np.ndarray | Array, "electrode 3"]
    ) -> Float[Array, "node electrode"]:
        """The shape functions at the points of the surface that are nearest to the electrodes."""

        def one(place: Array) -> Array:
            corners = self.p1.points[self.facets]
            weights = _on_facets(corners, place)
            there = jnp.einsum("fa,fai->fi", weights, corners)
            nearest = jnp.argmin(jnp.sum((there - place[None]) ** 2, axis=1))
            load = jnp.zeros(len(self.p1.points), weights.dtype)
            return load.at[self.facets[nearest]].add(weights[nearest])

        return jax.vmap(one, out_axes=1)(jnp.asarray(electrodes, self.p1.points.dtype))

    def fields(
        self,
        electrodes: Float[np.ndarray | Array, "electrode 3"],
        *,
        names: Sequence[str] = ELECTRODES,
        rtol: float | None = None,
    ) -> Float[Array, "node electrode"]:
        """Z [kΩ] of each electrode [mm], that is moved to the surface."""
        names = _names(names, len(electrodes))
        weights = np.full(len(names), 1 / len(names))
        if set(_WILSON) <= set(names):
            weights = np.array([1 / 3 if name in _WILSON else 0.0 for name in names])
        return _fields(self, electrodes, weights, rtol)


def bounded_lead_field(
    torso: Torso,
    heart: Mesh,
    intracellular: Float[Array, "cell 3 3"],
    electrodes: Float[np.ndarray | Array, "electrode 3"],
    *,
    names: Sequence[str] = ELECTRODES,
    place: Interpolation | None = None,
    slack: float = 1.0,
    rtol: float | None = None,
) -> LeadField:
    """The lead field of electrodes on a torso [mm] for V at the nodes of a mesh of the heart.

    The heart need not be a part of the torso's mesh: Z is taken at the heart's nodes, and its
    gradient is that in the heart's cells. Differentiable in conductivities, in the points of the
    torso and in the electrodes as long as these stay in the facets where they are.

    **Arguments:** `intracellular` σ_i of the heart's cells [S/m]; `place`, the heart's nodes in
    the torso's mesh (`locate`) if they are at hand; `slack`, how far outside of the torso's mesh
    a node of the heart may lie [mm]; `rtol` of the solution.
    Raises `ValueError` if one lies farther.
    """
    if place is None:
        mesh = Mesh(np.asarray(torso.p1.points), np.asarray(torso.p1.cells))
        place = locate(mesh, np.asarray(heart.points))
    worst = float(place.distances.max(initial=0.0))
    if worst > slack:
        raise ValueError(
            f"{int(np.sum(place.distances > slack))} nodes of the heart lie outside of the torso's "
            f"mesh, up to {worst:.3g} mm: it has to fill the heart and its cavities"
        )
    z = torso.fields(electrodes, names=names, rtol=rtol)
    matrix = _matrix(place, z, heart.points, heart.cells, intracellular)
    return LeadField(matrix, _names(names, len(electrodes)))


@eqx.filter_jit
def _fields(torso: Torso, electrodes: Any, weights: Any, rtol: float | None) -> Array:
    loads = torso.loads(electrodes)
    loads = loads - (loads @ jnp.asarray(weights, loads.dtype))[:, None]
    return solve_neumann(torso.stiffness(), loads, rtol=rtol)


@eqx.filter_jit
def _matrix(place: Interpolation, z: Array, points: Any, cells: Any, intracellular: Any) -> Array:
    z = place(z)
    slope, volume = gradients(jnp.asarray(points, z.dtype)[cells])
    field = jnp.einsum("cai,cae->cie", slope, z[cells])
    flow = jnp.einsum("c,cij,cje->cie", volume, jnp.asarray(intracellular, z.dtype), field)
    local = -jnp.einsum("cai,cie->cae", slope, flow)
    return jax.ops.segment_sum(local.reshape(-1, z.shape[1]), jnp.ravel(cells), len(points)).T


def _on_facets(corners: Any, place: Array) -> Array:
    """The weights (facet, 3) of the point of each facet that is about the nearest."""
    a, b, c = jnp.moveaxis(corners, 1, 0)
    one, two, away = b - a, c - a, place[None] - a
    normal = jnp.cross(one, two)
    square = jnp.sum(normal**2, axis=1)
    second = jnp.sum(jnp.cross(away, two) * normal, axis=1) / square
    third = jnp.sum(jnp.cross(one, away) * normal, axis=1) / square
    weights = jnp.maximum(jnp.stack([1 - second - third, second, third], axis=1), 0)
    return weights / jnp.sum(weights, axis=1, keepdims=True)
