"""Volumes of cavities, also of open ones: a cone closes the mouth."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from twinjax.mechanics._reference import reference
from twinjax.mechanics._springs import area_vectors


def cavity_volume(corners: Float[Array, "facet m 3"], apex: Float[Array, "3"]) -> Float[Array, ""]:
    """-⅓ ∫ (x - c)·n da [mm³], with n out of the wall, that is into the cavity.

    A cone from the point c over the mouth closes the cavity: on it (x - c)·n is 0.
    """
    ref = reference(corners.shape[1], 4 if corners.shape[1] == 6 else 5)
    area = area_vectors(corners, ref.slopes)
    x = jnp.einsum("qa,fai->fqi", jnp.asarray(ref.values), corners)
    return -jnp.einsum("q,fqi,fqi->", jnp.asarray(ref.weights), x - apex[None, None], area) / 3


def rim(facets: Int[np.ndarray, "facet m"]) -> Int[np.ndarray, " node"]:
    """The corners at the mouth of a surface; none if it is closed.

    Raises `ValueError` if its edges do not meet in pairs elsewhere, or make more than one mouth.
    """
    corners = facets[:, : 3 if facets.shape[1] == 6 else 4]
    ends = np.stack([corners, np.roll(corners, -1, axis=1)], axis=2).reshape(-1, 2)
    edges, count = np.unique(np.sort(ends, axis=1), axis=0, return_counts=True)
    if count.max(initial=0) > 2:
        raise ValueError("the surface of a cavity branches: three of its facets share an edge")
    open_ = edges[count == 1]
    if not len(open_):
        return np.zeros(0, np.int32)
    nodes, degree = np.unique(open_, return_counts=True)
    follow = {int(n): [] for n in nodes}  # type: dict[int, list[int]]
    for one, two in open_.tolist():
        follow[one].append(two)
        follow[two].append(one)
    seen = {int(nodes[0])}
    ahead = [int(nodes[0])]
    while ahead:
        for other in follow[ahead.pop()]:
            if other not in seen:
                seen.add(other)
                ahead.append(other)
    if (degree != 2).any() or len(seen) < len(nodes):
        raise ValueError(
            "a cavity leaks: its surface has more than one mouth; tag the missing facets, or fill "
            "the holes of the mesh"
        )
    return nodes.astype(np.int32)
