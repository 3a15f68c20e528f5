"""Activation times from the anisotropic eikonal equation on tetrahedra.

√(∇T · V ∇T) = 1 with V = v_f² f⊗f + v_s² s⊗s + v_n² n⊗n in every cell, and on the triangles of
fast layers |∇T| v = 1 within the surface. T is linear in each simplex; nodes are shared, so that
the layer and the wall excite each other.
"""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax._parameters import parameter, set_parameters
from twinjax.electro._front import EDGES, Simplices, differentiable, solve_front
from twinjax.electro._purkinje import Purkinje
from twinjax.electro._roots import AbstractRoots, Near, root
from twinjax.fem._rows import segment_mean
from twinjax.geometry import Mesh, Surface
from twinjax.geometry._surface import require
from twinjax.geometry._topology import volumes

_WALL = (
    "Caldwell et al. 2009, Circ Arrhythm Electrophysiol 2:433 (pig, left ventricle: "
    "0.67, 0.30 and 0.17 m/s along fibres, across them in the sheet, and across sheets)"
)
_LAYER = "Gillette et al. 2021, Med Image Anal 71:102080 (a fast layer in place of Purkinje fibres)"


class Eikonal(eqx.Module):
    """Tissue in which a front moves with given velocities, for `activation_times`.

    **Arguments:** `mesh` of tetrahedra with frames; `fast_layers`, surfaces among
    `Surface.LV_ENDO` and `Surface.RV_ENDO` on whose facets activation also spreads within the
    surface, with velocities of their own: what Purkinje fibres do there. It has no thickness, so
    that the mesh does not matter; `purkinje`, a network that is solved together with the tissue:
    each of its ends is joined to the three nearest nodes. Velocities [m/s] by keyword: those of
    the wall are numbers or arrays (cell), those of layers numbers or arrays (facet of the layer).

    A layer is a triangle mesh, coupled to the wall through its nodes.

    Raises `ValueError` for hexahedra, a mesh without frames, cells without positive volume, or a
    layer that the mesh has no facets of.
    """

    points: Float[Array, "node 3"]
    frames: Float[Array, "cell 3 3"]
    wall: Simplices
    layer: Simplices | None
    purkinje: Purkinje | None
    fibres: Simplices | None  # cables and junctions; their nodes are numbered after the tissue's
    fast_layers: tuple[tuple[Surface, int], ...] = eqx.field(static=True)  # numbers of facets
    velocity_fibre: Any = parameter(0.67, unit="m/s", bounds=(0.05, 2.0), cite=_WALL)
    velocity_sheet: Any = parameter(0.30, unit="m/s", bounds=(0.05, 2.0), cite=_WALL)
    velocity_normal: Any = parameter(0.17, unit="m/s", bounds=(0.05, 2.0), cite=_WALL)
    velocity_lv_endo: Any = parameter(1.5, unit="m/s", bounds=(0.1, 5.0), cite=_LAYER)
    velocity_rv_endo: Any = parameter(1.5, unit="m/s", bounds=(0.1, 5.0), cite=_LAYER)

    def __init__(
        self,
        mesh: Mesh,
        *,
        fast_layers: Sequence[Surface] = (),
        purkinje: Purkinje | None = None,
        **velocities: Any,
    ):
        if mesh.cells.shape[1] != 4:
            raise ValueError("the eikonal equation needs tetrahedra: divide by as_tetrahedra")
        if mesh.frames is None:
            raise ValueError("the mesh has no frames: with_fibres gives fibres by rule")
        if not isinstance(mesh.points, jax.core.Tracer):
            bad = int(np.sum(~(volumes(mesh) > 0)))
            if bad:
                raise ValueError(f"{bad} cells have no positive volume: flip_inverted turns them")
        for layer in fast_layers:
            if layer not in _VELOCITY:
                raise ValueError(f"a fast layer is LV_ENDO or RV_ENDO, not {layer!r}")
        require(mesh, *fast_layers)
        set_parameters(self, {}, velocities)
        self.points = jnp.asarray(mesh.points)
        self.frames = jnp.asarray(mesh.frames)
        points = np.asarray(jax.lax.stop_gradient(mesh.points))
        self.wall = Simplices(mesh.cells, points)
        facets = [mesh.facets[mesh.facet_tags == int(layer)] for layer in fast_layers]
        self.layer = Simplices(np.concatenate(facets), points) if facets else None
        self.fast_layers = tuple(
            (layer, len(f)) for layer, f in zip(fast_layers, facets, strict=True)
        )
        self.purkinje, self.fibres = purkinje, None
        if purkinje is not None:
            self.fibres = _cables_and_junctions(purkinje, points)

    def squares(self) -> tuple[Float[Array, "simplex edge"], ...]:
        """Squared travel times [ms²] along the edges of the wall's cells, then of the layers'."""
        ends = self.points[self.wall.nodes]
        edges = ends[:, EDGES[4][:, 1]] - ends[:, EDGES[4][:, 0]]
        along = jnp.einsum("cei,cij->cej", edges, self.frames)
        slow = self._slowness(len(self.wall.nodes))
        found = [jnp.sum(along**2 * slow[:, None, :] ** 2, axis=2)]
        if self.layer is not None:
            ends = self.points[self.layer.nodes]
            edges = ends[:, EDGES[3][:, 1]] - ends[:, EDGES[3][:, 0]]
            found.append(jnp.sum(edges**2, axis=2) / self._layer_velocity()[:, None] ** 2)
        return tuple(found)

    def near(self) -> Near:
        """The tissue around each node, for roots that are points."""
        count, dtype = len(self.points), self.points.dtype
        ends = self.points[self.wall.nodes]
        a, b, c = (ends[:, k] - ends[:, 0] for k in (1, 2, 3))
        volume = jnp.abs(jnp.sum(jnp.cross(a, b) * c, axis=1))
        edges = ends[:, EDGES[4][:, 1]] - ends[:, EDGES[4][:, 0]]
        mean_edge = jnp.mean(jnp.sqrt(jnp.sum(edges**2, axis=2)))
        fast, layer = jnp.ones(count, dtype), jnp.zeros(count, bool)
        normal = jnp.zeros((count, 3, 3), dtype)
        if self.layer is not None:
            ends, velocity = self.points[self.layer.nodes], self._layer_velocity()
            vector = jnp.cross(ends[:, 1] - ends[:, 0], ends[:, 2] - ends[:, 0])
            area = jnp.sqrt(jnp.sum(vector**2, axis=1))
            unit = vector / area[:, None]
            outer = unit[:, :, None] * unit[:, None, :]
            layer = layer.at[self.layer.nodes.ravel()].set(True)
            normal = segment_mean(outer, self.layer.nodes, area, count)
            mean = segment_mean(velocity, self.layer.nodes, area, count)
            fast = jnp.where(layer, mean, fast)
        axes = jnp.einsum("cik,cjk->ckij", self.frames, self.frames)
        if all(jnp.ndim(velocity) == 0 for velocity in self._wall_velocities()):
            # The same sum in this order: derivatives by velocities then need no sum over cells.
            means = segment_mean(axes, self.wall.nodes, volume, count)
            tensors = jnp.einsum("k,nkij->nij", self._slowness(1)[0] ** 2, means)
        else:
            metric = jnp.einsum("ck,ckij->cij", self._slowness(len(volume)) ** 2, axes)
            tensors = segment_mean(metric, self.wall.nodes, volume, count)
        return Near(self.points, tensors, mean_edge, normal, layer, fast)

    def parts(self) -> tuple[tuple[Simplices, Array], ...]:
        """The wall, layers and Purkinje fibres, with their squared travel times."""
        simplices = (self.wall,) if self.layer is None else (self.wall, self.layer)
        parts = tuple(zip(simplices, self.squares(), strict=True))
        if self.purkinje is None or self.fibres is None:
            return parts
        network = self.purkinje
        pairs = self.fibres.nodes[len(network.cables.nodes) :]
        away = self.points[pairs[:, 1]] - network.points[pairs[:, 0] - len(self.points)]
        travel = root(jnp.einsum("ji,jik,jk->j", away, self.near().metric[pairs[:, 1]], away))
        junctions = jnp.stack([network.delay + travel, network.delay_back + travel], axis=1) ** 2
        return (*parts, (self.fibres, jnp.concatenate([network.squares(), junctions])))

    def _wall_velocities(self) -> tuple[Any, Any, Any]:
        return (self.velocity_fibre, self.velocity_sheet, self.velocity_normal)

    def _slowness(self, cells: int) -> Array:
        """(cell, 3) in ms/mm, of fibre, sheet and normal."""
        wall = self._wall_velocities()
        names = ("velocity_fibre", "velocity_sheet", "velocity_normal")
        columns = [_a_simplex(n, v, cells) for n, v in zip(names, wall, strict=True)]
        return 1 / jnp.stack(columns, axis=1)

    def _layer_velocity(self) -> Array:
        columns = [
            _a_simplex(_VELOCITY[layer], getattr(self, _VELOCITY[layer]), facets)
            for layer, facets in self.fast_layers
        ]
        return jnp.concatenate(columns)


def _cables_and_junctions(network: Purkinje, points: np.ndarray) -> Simplices:
    from scipy.spatial import cKDTree  # slow to import, and rarely needed

    places = np.asarray(jax.lax.stop_gradient(network.points))
    ends = np.asarray(network.ends)
    near = cKDTree(points).query(places[ends], k=3)[1]
    junctions = np.stack([np.repeat(ends + len(points), 3), near.ravel()], axis=1)
    nodes = np.concatenate([np.asarray(network.cables.nodes) + len(points), junctions])
    return Simplices(nodes, np.concatenate([points, places]))


_VELOCITY = {Surface.LV_ENDO: "velocity_lv_endo", Surface.RV_ENDO: "velocity_rv_endo"}


def _a_simplex(name: str, value: Any, count: int) -> Array:
    velocity = jnp.asarray(value, jnp.result_type(float))
    if velocity.shape not in ((), (count,)):
        raise ValueError(f"{name} is a number or has the shape ({count},), not {velocity.shape}")
    return jnp.broadcast_to(velocity, (count,))


def activation_times(
    tissue: Eikonal,
    roots: AbstractRoots | None = None,
    *,
    guess: Float[Array | np.ndarray, " node"] | None = None,
    max_sweeps: int | None = None,
    throw: bool = True,
) -> Float[Array, " node"]:
    """When the front from the roots, and from that of a Purkinje network, reaches each node [ms].

    The least times that no local update lowers: for every tetrahedron the earliest arrival at a
    corner from the opposite face, for every triangle of a layer from the opposite edge, minimised
    exactly (`twinjax.electro._local_update`). First order in the size of cells. Derivatives by
    velocities, frames, points of the mesh, onsets and points of roots, in forward and reverse
    mode, are those of the discrete solution, by the implicit-function rule.

    **Arguments:** `guess`: times of a similar case, such as the step before in an optimisation. It
    changes the work, not the result: paths are taken from it, not times. `max_sweeps` (default:
    ten times the number of nodes) bounds the work. With `throw=False` nodes that nothing reaches
    have an infinite time, and all have where sweeps did not suffice.

    Returns times of the tissue's nodes; those of the network's are not told.

    Raises an error at run time if a node is not reached, a velocity is not above 0, or sweeps do
    not suffice; `ValueError` for arrays that do not fit the mesh.
    """
    count = len(tissue.points)
    if roots is None and tissue.purkinje is None:
        raise ValueError("activation needs roots, or tissue with a Purkinje network")
    if guess is not None and guess.shape != (count,):
        raise ValueError(f"a guess has the shape ({count},), one time a node, not {guess.shape}")
    if roots is not None:
        roots.check(count)
    return _activation_times(tissue, roots, guess, max_sweeps or 10 * count, throw)


@eqx.filter_jit
def _activation_times(
    tissue: Eikonal, roots: AbstractRoots | None, guess: Array | None, max_sweeps: int, throw: bool
) -> Array:
    count, dtype = len(tissue.points), tissue.points.dtype
    parts = tissue.parts()
    direct = jnp.full(count, jnp.inf, dtype) if roots is None else roots.arrivals(tissue)
    if tissue.purkinje is not None:
        fibres = tissue.purkinje.start()
        direct = jnp.concatenate([direct, fibres])
        if guess is not None:
            guess = jnp.concatenate([guess, jnp.full(len(fibres), jnp.inf, dtype)])
    front = solve_front(parts, direct, guess, max_sweeps)
    times = jnp.where(front.settled, front.times, jnp.inf)[:count]
    if not throw:
        return times
    good = jnp.all(jnp.stack([jnp.all(jnp.isfinite(s) & (s > 0)) for _, s in parts]))
    wrong = jnp.stack([~good, ~front.settled, jnp.any(~jnp.isfinite(times))])
    return eqx.branched_error_if(times, jnp.any(wrong), jnp.argmax(wrong), _WRONG)


def reattached(
    times: Float[Array, " node"], tissue: Eikonal, roots: AbstractRoots
) -> Float[Array, " node"]:
    """Times that `activation_times` found for the same tissue and roots, with their derivatives.

    Nothing is solved again: for a Jacobian in groups of its columns. Raises `ValueError` for
    tissue with a Purkinje network, whose own times are not told.
    """
    if tissue.purkinje is not None:
        raise ValueError("times of a Purkinje network are not told: call activation_times again")
    return differentiable(tissue.parts(), roots.arrivals(tissue), times)


_WRONG = (
    "velocities must be above 0 m/s, delays above 0 ms, and points finite",
    "times did not settle within max_sweeps: raise it, or look for flat cells by inspect",
    "the front does not reach every node: give each connected part of the mesh a root (inspect "
    "counts the parts), or take throw=False, which leaves their times infinite",
)
