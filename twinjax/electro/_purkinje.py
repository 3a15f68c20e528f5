"""Purkinje fibres: a network of cables that meets the tissue at its ends.

Along a cable |dT/ds| v = 1. At each end, a Purkinje-muscle junction, the impulse enters the tissue
after a delay, and tissue that is reached first excites the network with another delay. The network
and the tissue are solved together.
"""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax._parameters import parameter, set_parameters
from twinjax.electro._front import Simplices, solve_front
from twinjax.geometry import Mesh, Surface
from twinjax.geometry._surface import require

_SPEED = "Vigmond and Clements 2007, IEEE Trans Biomed Eng 54:389 (2 to 4 m/s are usual)"
_DELAY = (
    "Mendez et al. 1970, Circ Res 26:135 (junctions delay the impulse into the muscle by "
    "milliseconds, and less on the way back)"
)


class Purkinje(eqx.Module):
    """A network of cables: `Purkinje(points, edges)`.

    **Arguments:** `points` (fibre node, 3) [mm]; `edges` (cable, 2): its nodes; `root`: the node
    that is activated at `onset`; `ends`: nodes that meet the tissue, by default those of one edge
    but for the root. By keyword the `velocity` [m/s], a number or an array (cable), `delay` and
    `delay_back` [ms] of junctions into the tissue and out of it, and `onset` [ms].

    Raises `ValueError` for edges that name no node or have no length, a root that is none, or a
    network without ends.
    """

    points: Float[Array, "fibre_node 3"]
    cables: Simplices
    root: int = eqx.field(static=True)
    ends: Int[Array, " end"]
    velocity: Any = parameter(3.0, unit="m/s", bounds=(0.5, 6.0), cite=_SPEED)
    delay: Any = parameter(5.0, unit="ms", bounds=(0.01, 20.0), cite=_DELAY)
    delay_back: Any = parameter(2.0, unit="ms", bounds=(0.01, 20.0), cite=_DELAY)
    onset: Any = parameter(0.0, unit="ms", bounds=(-200.0, 1000.0), cite="the start of time")

    def __init__(self, points: Any, edges: Any, root: int = 0, ends: Any = None, **values: Any):
        edges, count = np.asarray(edges), len(points)
        if edges.ndim != 2 or edges.shape[1] != 2 or not len(edges):
            raise ValueError(f"edges of a network have the shape (cable, 2), not {edges.shape}")
        if not 0 <= edges.min() <= edges.max() < count or not 0 <= root < count:
            raise ValueError(
                f"the network has the nodes 0 to {count - 1}: edges or root name others"
            )
        if ends is None:
            degree = np.bincount(edges.ravel(), minlength=count)
            ends = np.setdiff1d(np.flatnonzero(degree == 1), [root])
        shortest = np.linalg.norm(np.diff(np.asarray(points)[edges], axis=1)[:, 0], axis=1).min()
        if not shortest > 0:
            raise ValueError("a cable of the network has no length: join its two nodes")
        if not len(ends):
            raise ValueError("a network needs at least one end, where it meets the tissue")
        set_parameters(self, {}, values)
        self.points = jnp.asarray(points, jnp.result_type(float))
        self.cables = Simplices(edges, np.asarray(points))
        self.root = int(root)
        self.ends = jnp.asarray(ends, jnp.int32)

    def lengths(self) -> Float[Array, " cable"]:
        """Of every cable [mm]."""
        ends = self.points[self.cables.nodes]
        return jnp.sqrt(jnp.sum((ends[:, 1] - ends[:, 0]) ** 2, axis=1))

    def squares(self) -> Float[Array, "cable 2"]:
        """Squared travel times [ms²] forth and back."""
        velocity = jnp.asarray(self.velocity, self.points.dtype)
        if velocity.shape not in ((), (len(self.cables.nodes),)):
            raise ValueError(
                f"velocity is a number or has the shape ({len(self.cables.nodes)},), not "
                f"{velocity.shape}"
            )
        time = (self.lengths() / velocity) ** 2
        return jnp.stack([time, time], axis=1)

    def start(self) -> Float[Array, " fibre_node"]:
        """The onset at the root, infinite elsewhere."""
        silent = jnp.full(len(self.points), jnp.inf, self.points.dtype)
        return silent.at[self.root].set(self.onset)

    def times(self) -> Float[Array, " fibre_node"]:
        """When each node of the network is reached [ms] by itself, without the tissue."""
        return _alone(self)


@eqx.filter_jit
def _alone(network: Purkinje) -> Array:
    parts = ((network.cables, network.squares()),)
    times = solve_front(parts, network.start(), None, 10 * len(network.points)).times
    return eqx.error_if(
        times, jnp.any(~jnp.isfinite(times)), "the root reaches not every node of the network"
    )


def grow_purkinje(
    mesh: Mesh,
    start: Any,
    ends: Mapping[Surface, int],
    **values: Any,
) -> Purkinje:
    """A network over endocardial surfaces, from one point to ends spread over each of them.

    From the start, such as the bundle of His, one cable runs to the nearest node of each surface;
    from there shortest paths along the edges of facets lead to ends that are chosen one after the
    other, each farthest (straight) from all before. Paths share their first parts, so that the
    network is a tree. Only its ends meet the tissue: the rest is insulated, as bundles are. Paths
    along edges are longer than geodesics, by some 10 % on triangles of good shape.

    **Arguments:** `start` (3) [mm]; `ends`: the number of ends on each surface; `values` for
    [`Purkinje`][twinjax.electro.Purkinje]. Raises `ValueError` if the mesh has no facets of a
    surface, or fewer nodes than ends.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    require(mesh, *ends)
    points = np.asarray(jax.lax.stop_gradient(mesh.points), float)
    places, pairs, tips = [np.asarray(start, float)[None]], [], []
    count = 1
    for surface, wanted in ends.items():
        facets = mesh.facets[mesh.facet_tags == int(surface)]
        nodes, local = np.unique(facets, return_inverse=True)
        local = local.reshape(facets.shape)
        at = points[nodes]
        first = int(np.argmin(np.sum((at - places[0]) ** 2, axis=1)))
        two = np.concatenate([local[:, [0, 1]], local[:, [1, 2]], local[:, [2, 0]]])
        two = np.unique(np.sort(two, axis=1), axis=0)
        length = np.linalg.norm(at[two[:, 1]] - at[two[:, 0]], axis=1)
        graph = coo_array((length, (two[:, 0], two[:, 1])), shape=(len(at), len(at)))
        far, before = dijkstra(graph, directed=False, indices=first, return_predecessors=True)
        chosen = _spread(at, first, np.flatnonzero(np.isfinite(far)), wanted, surface)
        used = {first}
        for tip in chosen:
            node = int(tip)
            while node not in used:
                used.add(node)
                node = int(before[node])
        others = np.array(sorted(used - {first}))
        number = np.full(len(at), -1)
        if np.sum((at[first] - places[0][0]) ** 2) > 0:
            kept = np.concatenate([[first], others])
            pairs.append(np.array([[0, count]]))
        else:  # the start is that node
            kept, number[first] = others, 0
        number[kept] = count + np.arange(len(kept))
        pairs.append(np.stack([number[before[others]], number[others]], axis=1))
        places.append(at[kept])
        tips.append(number[chosen])
        count += len(kept)
    return Purkinje(
        np.concatenate(places), np.concatenate(pairs), 0, np.concatenate(tips), **values
    )


def _spread(
    at: np.ndarray, first: int, among: np.ndarray, wanted: int, surface: Surface
) -> np.ndarray:
    """Nodes each farthest from the first node and from all before."""
    if not 1 <= wanted < len(among):
        raise ValueError(f"{surface.name} has {len(among)} connected nodes, not {wanted} and more")
    distance = np.sum((at[among] - at[first]) ** 2, axis=1)
    chosen = []
    for _ in range(wanted):
        far = int(np.argmax(distance))
        chosen.append(among[far])
        distance = np.minimum(distance, np.sum((at[among] - at[among[far]]) ** 2, axis=1))
    return np.array(chosen)
