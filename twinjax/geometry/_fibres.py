"""Fibres and sheets by rule, from the harmonic fields of the ventricles.

Bayer et al. 2012, Ann Biomed Eng 40:2243. In every cell (or node), with ψ the field from apex to
base and φ one across the wall,

    axis(∇ψ, ∇φ): e₁ = ∇ψ/|∇ψ|, e₂ = ∇φ without its part along e₁, e₀ = e₁ × e₂
    orient(Q, α, β) = Q Rz(α) Rx(-β)

turn the circumferential e₀ by the helix angle α towards the base, and the sheets by β about the
fibre. With d = φ_epi and s = φ_right / (φ_left + φ_right)

    inside  = bislerp(orient(axis(∇ψ, -∇φ_left), α_s, β_s), orient(axis(∇ψ, ∇φ_right), α_s, β_s), s)
    outside = orient(axis(∇ψ, ∇φ_epi), α_w, β_w)
    frame   = bislerp(inside, outside, d)
    α_s = α_endo (1 - 2 s),    α_w = α_endo (1 - d) + α_epi d,    and β alike.

bislerp interpolates quaternions after the half turns that leave axes alike. As `inside` keeps
α_endo, the helix angle of this profile, `bayer`, is about α_endo + (α_epi - α_endo) d² through a
free wall (with the defaults 17.5° in its middle), fibres leave the wall's layers by up to 7.6°,
and where bislerp changes to another half turn, near d = 0.85, they jump by some 30°. The profile
`linear`, our default, has the same angles at the surfaces and α = α_endo (1 - d) + α_epi d in
between: it blends the axes first and turns them then.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.fem import P1
from twinjax.geometry._coordinates import Fields, fields
from twinjax.geometry._mesh import Mesh, replace

BAYER = "Bayer et al. 2012, Ann Biomed Eng 40:2243"


class FibreRule(eqx.Module):
    """Helix angles α (from the circumference towards the base) and sheet angles β.

    Defaults: 40° and -50° for α at the endocardium and epicardium, -65° and 25° for β (Bayer et
    al. 2012, after Streeter et al. 1969 and LeGrice et al. 1995). `profile` is `linear`, in
    which angles go linearly through the wall, or `bayer`, the published algorithm to the letter.
    """

    helix_endo: Float[Array, ""] = parameter(40.0, unit="deg", bounds=(-90.0, 90.0), cite=BAYER)
    helix_epi: Float[Array, ""] = parameter(-50.0, unit="deg", bounds=(-90.0, 90.0), cite=BAYER)
    sheet_endo: Float[Array, ""] = parameter(-65.0, unit="deg", bounds=(-90.0, 90.0), cite=BAYER)
    sheet_epi: Float[Array, ""] = parameter(25.0, unit="deg", bounds=(-90.0, 90.0), cite=BAYER)
    profile: str = eqx.field(default="linear", static=True)

    def __check_init__(self):
        if self.profile not in ("bayer", "linear"):
            raise ValueError(f"unknown profile '{self.profile}'; valid choices: bayer, linear")

    def frames(
        self, mesh: Mesh, *, at: str = "cells", solved: Fields | None = None
    ) -> Float[Array, "place 3 3"]:
        """The frame at each cell's centre, or at each node: columns fibre, sheet, sheet normal.

        Orthonormal and right-handed. Differentiable in the angles. At nodes gradients are means
        over the cells around them. Raises `ValueError` if surfaces are not tagged
        ([`Surface`][twinjax.geometry.Surface]), or for another place.
        """
        if at not in ("cells", "nodes"):
            raise ValueError(f"unknown place '{at}'; valid choices: cells, nodes")
        p1 = P1(mesh.points, mesh.cells)
        return _frames(self, p1, fields(mesh, p1) if solved is None else solved, at)

    def turned(self, frame: Array, inside: Array, depth: Array, sign: Array | float = 1.0) -> Array:
        """Axes turned by the angles: `inside` times the endocardium's, at a depth of the wall."""
        α = self.helix_endo * inside * (1 - depth) + sign * self.helix_epi * depth
        β = self.sheet_endo * inside * (1 - depth) + sign * self.sheet_epi * depth
        α, β = jnp.deg2rad(α), jnp.deg2rad(β)
        o, l = jnp.zeros_like(α), jnp.ones_like(α)
        ca, sa, cb, sb = jnp.cos(α), jnp.sin(α), jnp.cos(β), jnp.sin(β)
        about_depth = _matrix([[ca, -sa, o], [sa, ca, o], [o, o, l]])
        about_fibre = _matrix([[l, o, o], [o, cb, sb], [o, -sb, cb]])
        return frame @ about_depth @ about_fibre


@eqx.filter_jit
def _frames(rule: FibreRule, p1: P1, solved: Fields, at: str) -> Array:
    def value(field: Array) -> Array:
        return field if at == "nodes" else jnp.mean(field[p1.cells], axis=1)

    def slope(field: Array) -> Array:
        gradient = p1.gradient(field)
        return gradient if at == "cells" else p1.to_nodes(gradient)

    depth = jnp.clip(value(solved.epi), 0, 1)
    left, right = (jnp.maximum(value(f), 0) for f in (solved.left, solved.right))
    both = left + right
    share = jnp.where(both > 0, right / jnp.where(both > 0, both, 1), 0.0)
    up = slope(solved.apex)
    from_left = _axis(up, -slope(solved.left))
    from_right = _axis(up, slope(solved.right))
    wall = _axis(up, slope(solved.epi))
    inside, surface = 1 - 2 * share, jnp.zeros_like(depth)
    if rule.profile == "linear":
        # Axes that look the other way across the wall are turned half about e₁ before they are
        # blended, and their angles change sign. So it is between the axes of both cavities in
        # the right free wall, but not in the septum.
        from_right, sign = _alongside(from_right, from_left)
        inside = 1 - share - sign * share
        axes = _slerp(from_left, from_right, share)
        wall, sign = _alongside(wall, axes)
        return rule.turned(_slerp(axes, wall, depth), inside, depth, sign)
    left_frame = rule.turned(from_left, inside, surface)
    right_frame = rule.turned(from_right, inside, surface)
    outside = rule.turned(wall, jnp.ones_like(depth), depth)
    return _blend(_blend(left_frame, right_frame, share), outside, depth)


def with_fibres(mesh: Mesh, rule: FibreRule | None = None) -> Mesh:
    """The mesh with the frames of a rule, by default `FibreRule()`, in its cells."""
    return replace(mesh, frames=(FibreRule() if rule is None else rule).frames(mesh))


def _matrix(rows: list[list[Array]]) -> Array:
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _unit(vector: Array, instead: Array) -> Array:
    """Of length 1; `instead` where there is next to nothing."""
    square = jnp.sum(vector**2, axis=-1, keepdims=True)
    there = square > 1e-24
    return jnp.where(there, vector / jnp.sqrt(jnp.where(there, square, 1.0)), instead)


def _axis(up: Array, across: Array) -> Array:
    """Columns: around, towards the base, across the wall.

    At a point where both gradients are parallel or vanish (an apex) the directions are arbitrary.
    """
    base = _unit(up, jnp.broadcast_to(jnp.array([0.0, 0.0, 1.0], up.dtype), up.shape))
    spare = jnp.eye(3, dtype=up.dtype)[jnp.argmin(jnp.abs(base), axis=-1)]
    spare = _unit(spare - jnp.sum(spare * base, -1, keepdims=True) * base, spare)
    # In units of its own length, since a flat field has a gradient of roundings only.
    depth = _unit(across, jnp.zeros_like(across))
    depth = _unit(depth - jnp.sum(depth * base, axis=-1, keepdims=True) * base, spare)
    return jnp.stack([jnp.cross(base, depth), base, depth], axis=-1)


def _alongside(axes: Array, others: Array) -> tuple[Array, Array]:
    """Axes turned half about the second where that brings the third nearer, and -1 there."""
    sign = jnp.where(jnp.sum(axes[..., 2] * others[..., 2], axis=-1) < 0, -1.0, 1.0)
    flip = jnp.stack([sign, jnp.ones_like(sign), sign], axis=-1)
    return axes * flip[..., None, :], sign


def _blend(one: Array, two: Array, share: Array) -> Array:
    """From one frame to the other by the shortest way between them as axes (bislerp)."""
    w, x, y, z = jnp.moveaxis(_quaternion(one), -1, 0)
    # Times 1, i, j and k: the frame itself, and after a half turn about each of its axes.
    alike = jnp.stack(
        [
            jnp.stack([w, x, y, z], axis=-1),
            jnp.stack([-x, w, z, -y], axis=-1),
            jnp.stack([-y, -z, w, x], axis=-1),
            jnp.stack([-z, y, -x, w], axis=-1),
        ],
        axis=-2,
    )
    end = _quaternion(two)
    best = jnp.argmax(jnp.abs(jnp.einsum("...qk,...k->...q", alike, end)), axis=-1)
    start = jnp.take_along_axis(alike, best[..., None, None], axis=-2)[..., 0, :]
    return _rotation(_between(start, end, share))


def _slerp(one: Array, two: Array, share: Array) -> Array:
    """From one frame to the other by one turn."""
    return _rotation(_between(_quaternion(one), _quaternion(two), share))


def _between(start: Array, end: Array, share: Array) -> Array:
    """Spherical interpolation of unit quaternions, whose signs mean nothing."""
    cosine = jnp.sum(start * end, axis=-1, keepdims=True)
    start = jnp.where(cosine < 0, -start, start)
    # Closer than this the arc is a straight line to all digits, and its derivative is safe.
    close = jnp.abs(cosine) > 1 - max(1e-9, 10 * float(jnp.finfo(cosine.dtype).eps))
    angle = jnp.arccos(jnp.where(close, 0.5, jnp.abs(cosine)))
    share = share[..., None]
    far = jnp.sin((1 - share) * angle) * start + jnp.sin(share * angle) * end
    mixed = jnp.where(close, (1 - share) * start + share * end, far / jnp.sin(angle))
    return mixed / jnp.linalg.norm(mixed, axis=-1, keepdims=True)


def _quaternion(frame: Array) -> Array:
    """(w, x, y, z) of a rotation matrix, by the largest of the four components."""
    m = frame
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    a, b, c = m[..., 2, 1], m[..., 0, 2], m[..., 1, 0]
    d, e, f = m[..., 1, 2], m[..., 2, 0], m[..., 0, 1]
    # Rows are the quaternion times 4 w, 4 x, 4 y and 4 z.
    rows = _matrix(
        [
            [1 + xx + yy + zz, a - d, b - e, c - f],
            [a - d, 1 + xx - yy - zz, c + f, b + e],
            [b - e, c + f, 1 - xx + yy - zz, a + d],
            [c - f, b + e, a + d, 1 - xx - yy + zz],
        ]
    )
    best = jnp.argmax(jnp.diagonal(rows, axis1=-2, axis2=-1), axis=-1)
    row = jnp.take_along_axis(rows, best[..., None, None], axis=-2)[..., 0, :]
    return row / jnp.linalg.norm(row, axis=-1, keepdims=True)


def _rotation(q: Array) -> Array:
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    return _matrix(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
