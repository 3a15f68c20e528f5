"""Reference elements of second order, and quadrature on them.

Nodes are means of corners: of one (a corner), two (the middle of an edge), four (of a face or a
square) or eight (of a cube). With barycentric coordinates λ the quadratic functions of a simplex
are λᵢ (2 λᵢ - 1) at corners and 4 λᵢ λⱼ on edges; on cubes they are products of the parabolas
through -1, 0 and 1 (Hughes 2000, The Finite Element Method, chapter 3).

Rules of quadrature: Gauss on cubes; on simplices those of Keast 1986, Comput Methods Appl Mech Eng
55:339 (4 points), Walkington 2000 (14 points of degree 5, all weights positive) and Dunavant 1985,
Int J Numer Methods Eng 21:1129 (triangles, 6 points of degree 4).
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

Corners = tuple[tuple[int, ...], ...]

# The corners of which each node is the mean, in VTK's order of nodes.
TETRAHEDRON: Corners = (
    *((i,) for i in range(4)),
    *((0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)),
)
TRIANGLE: Corners = ((0,), (1,), (2,), (0, 1), (1, 2), (0, 2))
SQUARE: Corners = (
    *((i,) for i in range(4)),
    *((0, 1), (1, 2), (2, 3), (0, 3)),
    (0, 1, 2, 3),
)
HEXAHEDRON: Corners = (
    *((i,) for i in range(8)),
    *((0, 1), (1, 2), (2, 3), (0, 3), (4, 5), (5, 6), (6, 7), (4, 7)),
    *((0, 4), (1, 5), (2, 6), (3, 7)),
    *((0, 3, 4, 7), (1, 2, 5, 6), (0, 1, 4, 5), (2, 3, 6, 7), (0, 1, 2, 3), (4, 5, 6, 7)),
    tuple(range(8)),
)
_SQUARE = ((-1, -1), (1, -1), (1, 1), (-1, 1))
_CUBE = tuple((x, y, z) for z in (-1, 1) for x, y in _SQUARE)


@dataclasses.dataclass(frozen=True)
class Reference:
    """Shape functions at the points of a rule: `values` (q, n), `slopes` (q, n, d), `weights`."""

    places: Float[np.ndarray, "q d"]
    weights: Float[np.ndarray, " q"]
    values: Float[np.ndarray, "q n"]
    slopes: Float[np.ndarray, "q n d"]
    corners: Corners


def reference(kind: int, degree: int) -> Reference:
    """The element whose cells have `kind` nodes: 10 or 27, or facets 6 or 9.

    The rule integrates polynomials up to `degree`: 2 or 5 on tetrahedra, 4 on triangles; on cubes
    and squares each coordinate up to 3 (two points) or 5 (three).
    Raises `ValueError` for another kind or degree.
    """
    if kind not in (6, 9, 10, 27):
        raise ValueError(f"no element of second order has {kind} nodes; valid: 6, 9, 10, 27")
    corners = {6: TRIANGLE, 9: SQUARE, 10: TETRAHEDRON, 27: HEXAHEDRON}[kind]
    if kind in (6, 10):
        places, weights = _simplex_rule(2 if kind == 6 else 3, degree)
        return Reference(places, weights, *simplex_shapes(corners, places), corners)
    places, weights = _cube_rule(2 if kind == 9 else 3, degree)
    return Reference(places, weights, *cube_shapes(corners, places), corners)


def simplex_shapes(corners: Corners, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of the quadratic functions at places (p, d) of the unit simplex."""
    axes = places.shape[1]
    λ = np.concatenate([1 - places.sum(axis=1, keepdims=True), places], axis=1)
    dλ = np.concatenate([-np.ones((1, axes)), np.eye(axes)])
    values, slopes = [], []
    for at in corners:
        if len(at) == 1:
            one = λ[:, at[0]]
            values.append(one * (2 * one - 1))
            slopes.append((4 * one - 1)[:, None] * dλ[at[0]][None])
        else:
            one, two = λ[:, at[0]], λ[:, at[1]]
            values.append(4 * one * two)
            slopes.append(4 * (one[:, None] * dλ[at[1]][None] + two[:, None] * dλ[at[0]][None]))
    return np.stack(values, axis=1), np.stack(slopes, axis=1)


def cube_shapes(corners: Corners, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and slopes of the products of parabolas at places (p, d) of the cube [-1, 1]^d."""
    axes = places.shape[1]
    ends = np.array(_CUBE if axes == 3 else _SQUARE, float)
    nodes = np.stack([ends[list(at)].mean(axis=0) for at in corners])
    x, at = places[:, None], nodes[None]
    value = np.where(at == 0, 1 - x**2, x * (x + at) / 2)
    slope = np.where(at == 0, -2 * x, x + at / 2)
    slopes = []
    for axis in range(axes):
        others = [a for a in range(axes) if a != axis]
        slopes.append(slope[..., axis] * value[..., others].prod(axis=2))
    return value.prod(axis=2), np.stack(slopes, axis=2)


def _cube_rule(axes: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    if degree not in (3, 5):
        raise ValueError(f"no rule of degree {degree} on squares and cubes; valid: 3, 5")
    place, weight = np.polynomial.legendre.leggauss((degree + 1) // 2)
    places = np.array(list(itertools.product(place, repeat=axes)))
    weights = np.array(list(itertools.product(weight, repeat=axes))).prod(axis=1)
    return places, weights


def _simplex_rule(axes: int, degree: int) -> tuple[np.ndarray, np.ndarray]:
    rules: dict[tuple[int, int], Sequence[tuple[float, float]]] = {
        (2, 4): ((0.445948490915965, 0.223381589678011), (0.091576213509771, 0.109951743655322)),
        (3, 2): ((0.1381966011250105, 0.25),),
        (3, 5): (
            (0.3108859192633006, 0.1126879257180158),
            (0.0927352503108912, 0.0734930431163619),
        ),
    }
    if (axes, degree) not in rules:
        valid = ", ".join(str(d) for a, d in rules if a == axes)
        raise ValueError(f"no rule of degree {degree} on simplices of {axes} axes; valid: {valid}")
    places, weights = [], []
    for near, weight in rules[axes, degree]:
        for corner in range(axes + 1):
            λ = np.full(axes + 1, near)
            λ[corner] = 1 - axes * near
            places.append(λ[1:])
            weights.append(weight)
    if (axes, degree) == (3, 5):
        near, weight = 0.0455037041256497, 0.0425460207770815
        for pair in itertools.combinations(range(4), 2):
            λ = np.full(4, 0.5 - near)
            λ[list(pair)] = near
            places.append(λ[1:])
            weights.append(weight)
    return np.array(places), np.array(weights) / (2 if axes == 2 else 6)
