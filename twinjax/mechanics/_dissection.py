"""An order of elimination of little fill: nested dissection with the smallest separators.

George 1973, SIAM J Numer Anal 10:345. A part of the mesh is halved where fewest nodes have to part
the halves: by Menger's theorem as many as there are paths without a common node from one end to
the other, which is a problem of maximum flow (Ford and Fulkerson 1956, Can J Math 8:399) in which
every node of a band around the middle lets one path through.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    dijkstra,
    maximum_flow,
)

_BAND = 0.15  # how far from the middle a separator may be, as a share of the nodes
_WIDE = 2**20  # a capacity that no separator reaches


class Part(NamedTuple):
    """Nodes that are eliminated together, after those of the parts `below`.

    `rim` are the nodes eliminated later on which they depend then.
    """

    nodes: Int[np.ndarray, " node"]
    rim: Int[np.ndarray, " later"]
    below: tuple[int, ...]


def nested_dissection(graph: csr_array, leaf: int = 60) -> list[Part]:
    """Parts in the order of elimination; those of up to `leaf` nodes are not divided.

    The graph is symmetric; its values do not matter.
    """
    graph = csr_array((np.ones(graph.nnz, np.int32), graph.indices, graph.indptr), graph.shape)
    parts: list[Part] = []
    finished: list[int] = []  # parts that wait for the one above them
    # The halves are written before what parts them: the stack holds parts, and separators with
    # how many parts belong to them.
    stack: list[tuple[np.ndarray, np.ndarray, int]] = [
        (np.arange(graph.shape[0]), np.arange(graph.shape[0]), -1)
    ]
    while stack:
        nodes, whole, waits = stack.pop()
        halves = _halved(graph[nodes][:, nodes], leaf) if waits < 0 else None
        if halves is None:
            below = tuple(finished[len(finished) - waits :]) if waits > 0 else ()
            del finished[len(finished) - len(below) :]
            finished.append(len(parts))
            parts.append(Part(nodes, _rim(graph, whole), below))
            continue
        near, far = halves
        stack += [
            (nodes[~(near | far)], whole, 2),
            (nodes[far], nodes[far], -1),
            (nodes[near], nodes[near], -1),
        ]
    return _in_order(parts, graph.shape[0])


def _in_order(parts: list[Part], count: int) -> list[Part]:
    """The rims in the order of elimination, and that within parts such that rims have long runs."""
    upper = [len(parts) - 1]  # from the top
    for number in upper:
        upper += parts[number].below
    inside = np.zeros(count, np.uint64)  # a bit for each of the first rims
    for bit, number in zip(range(63, -1, -1), upper, strict=False):
        inside[parts[number].rim] += np.uint64(1 << bit)
    parts = [p._replace(nodes=p.nodes[np.argsort(inside[p.nodes], kind="stable")]) for p in parts]
    when = np.empty(count, np.int64)
    when[np.concatenate([part.nodes for part in parts])] = np.arange(count)
    return [part._replace(rim=part.rim[np.argsort(when[part.rim])]) for part in parts]


def _rim(graph: csr_array, nodes: np.ndarray) -> np.ndarray:
    inside = np.zeros(graph.shape[0], bool)
    inside[nodes] = True
    near = np.zeros(graph.shape[0], bool)
    near[graph[nodes].indices] = True
    return np.flatnonzero(near & ~inside)


def _halved(graph: csr_array, leaf: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Which nodes are in the one half and which in the other: the rest parts them."""
    count = graph.shape[0]
    if count <= leaf:
        return None
    pieces, piece = connected_components(graph, directed=False)
    if pieces > 1:
        largest = piece == np.bincount(piece).argmax()
        return largest, ~largest
    best, least = None, np.inf
    for along in _lengths(graph):
        near, far = _cut(graph, along)
        if near.any() and far.any():
            uneven = max(near.sum(), far.sum()) / count - 0.5
            size = (count - near.sum() - far.sum()) * (1 + 2 * uneven)
            if size < least:
                best, least = (near, far), size
    return best


def _lengths(graph: csr_array) -> list[Float[np.ndarray, " node"]]:
    """How far each node is along the part, and across it, in edges."""

    def distance(node: int) -> np.ndarray:
        return dijkstra(graph, unweighted=True, indices=node)

    one = distance(int(distance(0).argmax()))
    other = distance(int(one.argmax()))
    side = distance(int(np.minimum(one, other).argmax()))
    across = distance(int((side - np.abs(one - other)).argmax()))
    return [one - other, side - across]


def _cut(
    graph: csr_array, along: Float[np.ndarray, " node"]
) -> tuple[Bool[np.ndarray, " node"], Bool[np.ndarray, " node"]]:
    """The halves on both sides of the least separator in the middle."""
    count = len(along)
    place = np.empty(count)
    place[np.argsort(along, kind="stable")] = np.arange(count) / count
    near, far = place < 0.5 - _BAND, place >= 0.5 + _BAND
    near &= ~_beside(graph, far)
    band = np.flatnonzero(~(near | far))
    k = len(band)
    pairs = graph[band][:, band].tocoo()
    first = np.flatnonzero(_beside(graph, near)[band])
    last = np.flatnonzero(_beside(graph, far)[band])
    # Each node is an edge of capacity 1 from its entrance i to its exit k + i.
    source, sink = 2 * k, 2 * k + 1
    start = [np.arange(k), k + pairs.coords[0], np.full(len(first), source), k + last]
    end = [k + np.arange(k), pairs.coords[1], first, np.full(len(last), sink)]
    wide = np.full(len(pairs.data) + len(first) + len(last), _WIDE)
    room = np.concatenate([np.ones(k, int), wide]).astype(np.int32)
    shape = (2 * k + 2, 2 * k + 2)
    network = csr_array((room, (np.concatenate(start), np.concatenate(end))), shape)
    left = csr_array(network - maximum_flow(network, source, sink).flow)
    left.data = (left.data > 0).astype(np.int32)
    left.eliminate_zeros()
    reached = np.zeros(2 * k + 2, bool)
    reached[breadth_first_order(left, source, return_predecessors=False)] = True
    entered, left_again = reached[:k], reached[k : 2 * k]
    near[band[left_again]] = True
    far[band[~entered & ~left_again]] = True
    return near, far


def _beside(graph: csr_array, nodes: Bool[np.ndarray, " node"]) -> Bool[np.ndarray, " node"]:
    return graph @ nodes.astype(np.int32) > 0
