"""The earliest arrival at a corner of a tetrahedron or triangle from the side opposite to it.

With the slowness metric M = V⁻¹ constant in a simplex, a front that leaves the opposite side
linearly interpolated reaches the corner x at

    T = min over λ ≥ 0, Σλ = 1 of  Σ λ_i T_i + |x - Σ λ_i x_i|_M.

Since Σλ = 1 the squared length is Σ λ_i d_i² - Σ_{i<j} λ_i λ_j d_ij², with d the lengths in M of
edges to the corner and across the side: the metric enters by six (three) squared lengths only. The
problem is convex. Where its stationary point lies inside the side, T is the larger root of

    (T 1 - t)ᵀ Q (T 1 - t) = 1,   Q = G⁻¹,   G_ij = (d_i² + d_j² - d_ij²) / 2,

which says that the linear interpolation has a gradient of length 1, and λ ∝ Q (T 1 - t).
Otherwise the minimum lies on an edge, where the same holds of two points, or in a corner: all are
tried. Fomel, Luo, Zhao 2009, J Comput Phys 228:6440 and Fu, Kirby, Whitaker 2013, SIAM J Sci
Comput 35:c473 have such updates; here it is written in Gram matrices.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

_EDGES = ((0, 1), (0, 2), (1, 2))


def from_triangle(
    times: tuple[Array, Array, Array],
    own: tuple[Array, Array, Array],
    across: tuple[Array, Array, Array],
) -> tuple[Array, tuple[Array, Array, Array]]:
    """The arrival [ms] from a triangle, and its λ.

    **Arguments:** `times` of its nodes; `own`: squared lengths [ms²] from these to the corner;
    `across`: those of its edges 01, 02, 12. All have one shape. Infinite times are allowed.
    """
    base, t = _shifted(times, own)
    g00, g11, g22 = own
    g01, g02, g12 = (own[i] + own[j] - d for (i, j), d in zip(_EDGES, across, strict=True))
    g01, g02, g12 = g01 / 2, g02 / 2, g12 / 2
    # The adjugate of G; its determinant is taken out of the quadratic.
    a00, a11, a22 = g11 * g22 - g12**2, g00 * g22 - g02**2, g00 * g11 - g01**2
    a01, a02, a12 = g02 * g12 - g01 * g22, g01 * g12 - g02 * g11, g01 * g02 - g00 * g12
    determinant = g00 * a00 + g01 * a01 + g02 * a02
    r0, r1, r2 = a00 + a01 + a02, a01 + a11 + a12, a02 + a12 + a22
    s0 = a00 * t[0] + a01 * t[1] + a02 * t[2]
    s1 = a01 * t[0] + a11 * t[1] + a12 * t[2]
    s2 = a02 * t[0] + a12 * t[1] + a22 * t[2]
    a, b = r0 + r1 + r2, s0 + s1 + s2
    c = t[0] * s0 + t[1] * s1 + t[2] * s2 - determinant
    inside = b * b - a * c
    root = jnp.sqrt(jnp.maximum(inside, 0.0))
    t_in = (b + root) / a
    l0, l1, l2 = r0 * t_in - s0, r1 * t_in - s1, r2 * t_in - s2
    fine = (inside > 0) & (l0 >= 0) & (l1 >= 0) & (l2 >= 0)
    total = jnp.where(fine, l0 + l1 + l2, 1.0)
    best = jnp.where(fine, t_in, jnp.inf)
    weights = (l0 / total, l1 / total, l2 / total)
    zero = jnp.zeros_like(best)
    for (i, j), d in zip(_EDGES, across, strict=True):
        time, share = _from_segment(t[i], t[j], own[i], own[j], d)
        less = time < best
        best = jnp.where(less, time, best)
        place = [zero, zero, zero]
        place[i], place[j] = share, 1 - share
        weights = (
            jnp.where(less, place[0], weights[0]),
            jnp.where(less, place[1], weights[1]),
            jnp.where(less, place[2], weights[2]),
        )
    return base + best, weights


def from_segment(
    times: tuple[Array, Array], own: tuple[Array, Array], across: tuple[Array]
) -> tuple[Array, tuple[Array, Array]]:
    """The arrival [ms] from a segment, and its λ: the same in a triangle."""
    base, t = _shifted(times, own)
    best, share = _from_segment(t[0], t[1], own[0], own[1], across[0])
    return base + best, (share, 1 - share)


def from_node(
    times: tuple[Array], own: tuple[Array], across: tuple[()]
) -> tuple[Array, tuple[Array]]:
    """The arrival [ms] along a cable, and λ, which is 1."""
    return times[0] + jnp.sqrt(own[0]), (jnp.ones_like(times[0]),)


def travel(
    weights: tuple[Array, ...], own: tuple[Array, ...], across: tuple[Array, ...]
) -> Float[Array, "..."]:
    """|x - Σ λ_i x_i|_M [ms], for one node to three."""
    pairs = {1: (), 2: ((0, 1),), 3: _EDGES}[len(weights)]
    square = sum((w * d for w, d in zip(weights, own, strict=True)), start=jnp.zeros(()))
    for (i, j), d in zip(pairs, across, strict=True):
        square = square - weights[i] * weights[j] * d
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def _shifted(times: tuple, own: tuple) -> tuple[Array, list[Array]]:
    """The least time, and what the others are later, cut where it no longer matters.

    A node that is later by more than the lengths of the edges cannot help, infinite or not.
    """
    base = times[0]
    for time in times[1:]:
        base = jnp.minimum(base, time)
    known = jnp.where(jnp.isfinite(base), base, 0.0)
    cap = 2 * jnp.sqrt(sum(own[1:], start=own[0]))
    return base, [jnp.minimum(time - known, cap) for time in times]


def _from_segment(ta: Array, tb: Array, a: Array, b: Array, across: Array) -> tuple[Array, Array]:
    """The arrival and the share of the first node; `a`, `b`, `across` are squared lengths.

    With s the distance along the segment from the first node in M, the corner lies at the foot
    p = (a + L² - b) / 2L and height² h² = a - p². The slope k = (tb - ta) / L of the times, if
    less than 1, shifts the point of departure to s = p - h k / √(1 - k²).
    """
    length = jnp.sqrt(across)
    foot = (a + across - b) / (2 * length)
    height = jnp.sqrt(jnp.maximum(a - foot * foot, 0.0))
    slope = (tb - ta) / length
    # At a slope of 1 and more the end is best, where any large shift leads.
    shift = slope / jnp.sqrt(jnp.maximum(1 - slope * slope, 1e-12))
    s = jnp.clip((foot - height * shift) / length, 0.0, 1.0)
    square = jnp.maximum(a * (1 - s) + b * s - across * s * (1 - s), 0.0)
    return (1 - s) * ta + s * tb + jnp.sqrt(square), 1 - s
