"""The balance of a wall as its loaded shape sees it, whose shape at rest is what is unknown.

Govindjee and Mihalic 1996, Comput Methods Appl Mech Eng 136:47: forces balance in the loaded shape
x, which is known, and with f = ∂X/∂x = F⁻¹ of the unknown points X at rest they are

    ∫ t ∇N dv,   t = det f · (F Q) S (F Q)ᵀ + (p + det f · U_local'(J) J) 1,   J = 1 / det f,

with the second Piola-Kirchhoff stress S = ∂W/∂E + T f₀ ⊗ f₀ in the axes Q at rest. The axes q of
the loaded shape are known: f q = Q R with an upper triangle R, so F Q = q R⁻¹ and C = R⁻ᵀ R⁻¹, and
Q itself is not needed. Elements are the same as those of the forward problem, point of quadrature
by point of quadrature, so that what balances here is an equilibrium there, to the last digit.

Pressures p are constant in cells, or linear in the points at rest, and volumes obey
∫ φ (1 - det f J*(p)) dv = 0. They are eliminated cell by cell; the stiffness is not symmetric.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from twinjax.mechanics._balance import _push
from twinjax.mechanics._cells import Cells, Nine, _chunks, _nine
from twinjax.mechanics._energy import Strain
from twinjax.mechanics._springs import Springs
from twinjax.mechanics._wall import Deformation, Load, Wall


class Image(eqx.Module):
    """What the loaded shape gives to every point of quadrature: made once a search."""

    cells: Cells
    centre: Float[Array, "cell 3"]
    size: Float[Array, " cell"]  # [mm]

    def __init__(self, wall: Wall):
        self.cells = Cells(wall)
        measure = self.cells.measure
        volume = jnp.sum(measure, axis=1)
        x = wall.elements.at_quadrature(wall.elements.points)
        self.centre = jnp.einsum("cq,cqi->ci", measure, x) / volume[:, None]
        self.size = jnp.cbrt(volume)


class _Part(eqx.Module):
    """A chunk of cells, and where in them pressures are linear."""

    chunk: Any
    values: Array
    centre: Array
    size: Array
    law: Any
    linear: bool = eqx.field(static=True)

    def modes(self, at: tuple[Array, ...]) -> list[Array]:
        """φ at points of quadrature whose places at rest are `at`, one array a mode."""
        if not self.linear:
            modes = self.chunk.modes
            return [modes[:, :, m] for m in range(modes.shape[2])]
        one = jnp.broadcast_to((self.size**-1.5)[:, None], at[0].shape)
        ahead = [(at[k] - self.centre[:, k, None]) / self.size[:, None] for k in range(3)]
        return [one, *(one * a for a in ahead)]


def _stresses(part: _Part, h: Nine, at: tuple[Array, ...]) -> tuple[Nine, list[Array], Any]:
    """q t (nine arrays), φ (1 - det f J*) of every mode; and det f, p and φ. h is (f - 1) q."""
    c = part.chunk
    q = _nine(c.frames)
    f = [one + two for one, two in zip(q, h, strict=True)]
    modes = part.modes(at)
    p = sum((m * c.pressure[:, k, None] for k, m in enumerate(modes)), jnp.zeros_like(f[0]))
    one, two, three = ([f[3 * i + a] for i in range(3)] for a in range(3))
    # R of f q = Q R, and the columns of its inverse, which are those of F Q in the axes q.
    r_11 = jnp.sqrt(_dot(one, one))
    r_12, r_13 = _dot(one, two) / r_11, _dot(one, three) / r_11
    r_22 = jnp.sqrt(_dot(two, two) - r_12**2)
    r_23 = (_dot(two, three) - r_12 * r_13) / r_22
    shrunk = (
        one[0] * (two[1] * three[2] - two[2] * three[1])
        - two[0] * (one[1] * three[2] - one[2] * three[1])
        + three[0] * (one[1] * two[2] - one[2] * two[1])
    )
    r_33 = shrunk / (r_11 * r_22)
    zero = jnp.zeros_like(r_11)
    along = [
        [1 / r_11, zero, zero],
        [-r_12 / (r_11 * r_22), 1 / r_22, zero],
        [(r_12 * r_23 - r_13 * r_22) / (r_11 * r_22 * r_33), -r_23 / (r_22 * r_33), 1 / r_33],
    ]
    strain = Strain(
        (_dot(along[0], along[0]) - 1) / 2,
        (_dot(along[1], along[1]) - 1) / 2,
        (_dot(along[2], along[2]) - 1) / 2,
        _dot(along[0], along[1]) / 2,
        _dot(along[0], along[2]) / 2,
        _dot(along[1], along[2]) / 2,
    )

    def energy(strain: Strain) -> Array:
        return jnp.sum(c.energy.density(strain) + c.tension * strain.seen(c.across))

    s = jax.grad(energy)(strain)
    rows = ((s.ff, s.fs / 2, s.fn / 2), (s.fs / 2, s.ss, s.sn / 2), (s.fn / 2, s.sn / 2, s.nn))
    even = p + c.local / 2 * (1 / shrunk - shrunk)

    def t(a: int, b: int) -> Array:
        total = even if a == b else zero
        for m in range(a, 3):
            for n in range(b, 3):
                total = total + shrunk * along[m][a] * rows[m][n] * along[n][b]
        return total

    inside = [[t(a, b) for b in range(3)] for a in range(3)]
    whole = [_dot(q[i : i + 3], [row[b] for row in inside]) for i in (0, 3, 6) for b in range(3)]
    excess = 1 - shrunk * part.law.volume(p)
    return tuple(whole), [m * excess for m in modes], (shrunk, p, modes)


def _dot(a: Any, b: Any) -> Any:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def _parts(wall: Wall, image: Image, load: Load, pressure: Array) -> tuple[Any, Array]:
    cut, numbers = _chunks(wall, image.cells, load, pressure)
    linear = wall.pressures == "linear"

    def part(number: Any) -> tuple[_Part, Array, Array]:
        c, index, new = cut(number)
        values = wall.elements.values()
        where = (image.centre[index], image.size[index])
        return _Part(c, values, *where, wall.volume, linear), index, new

    return part, numbers


def _placed(part: _Part, rest: Array) -> tuple[Array, ...]:
    """Where points of quadrature are at rest."""
    at = jnp.einsum("qa,cak->cqk", part.values, rest[part.chunk.nodes])
    return tuple(jnp.moveaxis(at, -1, 0))


def inverse_residual(wall: Wall, image: Image, load: Load, at: Deformation) -> Deformation:
    """What is out of balance in the loaded shape `wall`, if it was `at` from its shape at rest.

    As for `residual`: forces [mN], excess volumes [mm^{3/2}], and where components are held the
    displacement less that of the load [mm].
    """
    part_of, numbers = _parts(wall, image, load, at.pressure)
    rest = wall.elements.points - at.displacement

    def add(total: Any, number: Any) -> tuple[Any, None]:
        part, index, new = part_of(number)
        c = part.chunk
        h = _nine(-c.gradient(at.displacement))
        stress, volumes, _ = _stresses(part, h, _placed(part, rest))
        stress = jnp.stack(stress, axis=-1) * c.measure[..., None]
        stress = stress.reshape(*c.measure.shape, 3, 3)
        force = jnp.einsum("cqiA,cqaA->cai", stress, c.slopes)
        own = jnp.einsum("cqm,cq->cm", jnp.stack(volumes, axis=-1), c.measure) * new[:, None]
        return (total[0].at[c.nodes].add(force), total[1].at[index].add(own)), None

    start = (jnp.zeros_like(at.displacement), jnp.zeros_like(at.pressure))
    (force, volumes), _ = jax.lax.scan(add, start, numbers)
    force = force - load.force
    x = wall.elements.points
    for spring in wall.springs:
        pulled = jax.vmap(_pull(spring))(at.displacement[spring.facets], x[spring.facets])
        force = force.at[spring.facets].add(pulled)
    for facets, pressure in zip(wall.cavities, load.pressure, strict=True):
        force = force.at[facets].add(pressure * _push(x[facets]))
    held = at.displacement - load.displacement
    return Deformation(jnp.where(wall.fixed, held, force), volumes)


def _pull(spring: Springs) -> Any:
    """The forces of one facet's springs, whose normals and areas are those at rest."""
    alone = eqx.tree_at(lambda s: s.facets, spring, jnp.arange(spring.facets.shape[1])[None])

    def forces(u: Array, x: Array) -> Array:
        return spring.stiffness * jnp.einsum("aibk,bk->ai", alone.shares(x - u)[0], u)

    return forces


class InverseCoupling(eqx.Module):
    """How forces follow pressures, volumes displacements, and pressures volumes."""

    push: Float[Array, "cell n 3 mode"]
    slope: Float[Array, "cell mode n 3"]
    softness: Float[Array, "cell mode mode"]
    give: Float[Array, "cell mode mode"]

    def transposed(self) -> "InverseCoupling":
        return InverseCoupling(
            jnp.moveaxis(self.slope, 1, 3),
            jnp.moveaxis(self.push, 3, 1),
            jnp.swapaxes(self.softness, 1, 2),
            jnp.swapaxes(self.give, 1, 2),
        )

    def product(self, wall: Wall, matrix: Float[Array, "block 3 3"], x: Deformation) -> Deformation:
        """The linearised balance of x, by the eliminated stiffness."""
        u = x.displacement
        rows, columns = wall.pairs.T
        force = jnp.zeros_like(u).at[rows].add(jnp.einsum("bik,bk->bi", matrix, u[columns]))
        volumes = jnp.einsum("cmai,cai->cm", self.slope, u[wall.elements.cells])
        pressure = x.pressure - jnp.einsum("cmk,ck->cm", self.give, volumes)
        own = jnp.einsum("caim,cm->cai", self.push, pressure)
        force = force.at[wall.elements.cells].add(own)
        volumes = volumes - jnp.einsum("cmk,ck->cm", self.softness, x.pressure)
        return Deformation(jnp.where(wall.fixed, u, force), volumes)

    def before_solve(self, wall: Wall, right: Deformation) -> Float[Array, "node 3"]:
        """What the eliminated stiffness is solved with, 0 where components are held."""
        behind = jnp.einsum("caim,cmk,ck->cai", self.push, self.give, right.pressure)
        force = right.displacement.at[wall.elements.cells].add(behind)
        return jnp.where(wall.fixed, 0.0, force)

    def solved(
        self, wall: Wall, right: Deformation, displacement: Float[Array, "node 3"]
    ) -> Deformation:
        """The displacement, with the pressure that belongs to it."""
        u = displacement[wall.elements.cells]
        ahead = jnp.einsum("cmai,cai->cm", self.slope, u) - right.pressure
        return Deformation(displacement, jnp.einsum("cmk,ck->cm", self.give, ahead))


def inverse_stiffness(
    wall: Wall, image: Image, load: Load, at: Deformation
) -> tuple[Float[Array, "block 3 3"], InverseCoupling]:
    """The derivative of the forces by displacements, pressures eliminated, and how they were."""
    part_of, numbers = _parts(wall, image, load, at.pressure)
    rest = wall.elements.points - at.displacement
    ways = 12 if wall.pressures == "linear" else 9

    def add(total: Any, number: Any) -> tuple[Any, None]:
        part, index, new = part_of(number)
        c = part.chunk
        h, place = _nine(-c.gradient(at.displacement)), _placed(part, rest)

        def towards(direction: Array) -> tuple[Array, Array]:
            def both(*at: Array) -> tuple[Array, Array]:
                stress, volumes, _ = _stresses(part, at[:9], at[9:])
                return jnp.stack(stress), jnp.stack(volumes)

            ahead = [jnp.broadcast_to(d, h[0].shape) for d in direction]
            ahead += [jnp.zeros_like(h[0])] * (12 - ways)
            return jax.jvp(both, (*h, *place), tuple(ahead))[1]

        # u lowers both the gradient and the places at rest.
        by_stress, by_volume = jax.vmap(towards)(-jnp.eye(ways, dtype=h[0].dtype))
        wide = [c.slopes]
        if ways == 12:
            value = part.values[None, :, :, None]
            wide.append(jnp.broadcast_to(value, (*c.slopes.shape[:3], 1)))
        shapes = jnp.concatenate(wide, axis=3)  # cell, q, node, L
        # Directions are rows k of h, then of the places: sorted to k, L.
        order = np.arange(9).reshape(3, 3)
        if ways == 12:
            order = np.concatenate([order, [[9], [10], [11]]], axis=1)
        slope = (by_stress * c.measure[None, None])[order]  # k, L, iA, cell, q
        slope = slope.reshape(3, -1, 3, 3, *c.measure.shape)
        half = jnp.einsum("kLiAcq,cqaA->caikqL", slope, c.slopes)
        cells, n = len(index), c.nodes.shape[1]
        other = jnp.moveaxis(shapes, 2, 1).reshape(cells, n, -1)
        local = jnp.einsum("cxy,cby->cxb", half.reshape(cells, n * 9, -1), other)
        local = jnp.moveaxis(local.reshape(cells, n, 3, 3, n), -1, 2)  # cell, a, b, i, k
        volume = (by_volume * c.measure[None, None])[order]  # k, L, mode, cell, q
        fall = jnp.einsum("kLmcq,cqbL->cmbk", volume, shapes)
        _, _, (shrunk, p, modes) = _stresses(part, h, place)
        φ = jnp.stack(modes, axis=-1) * jnp.ones_like(p)[..., None]
        softer = jax.grad(lambda p: jnp.sum(part.law.volume(p)))(p) * shrunk * c.measure
        # A cell that an earlier chunk has dealt with has no measure: its inverse must exist.
        again = (1 - new)[:, None, None] * jnp.eye(φ.shape[2])[None]
        soft = jnp.einsum("cqm,cqn,cq->cmn", φ, φ, softer) + again
        give = jnp.linalg.inv(soft)
        press = jnp.einsum("cq,cqm,cqiA,cqaA->caim", c.measure, φ, c.frames, c.slopes)
        local = local + jnp.einsum("caim,cmn,cnbk->cabik", press, give, fall)

        def put(total: Array, values: Array) -> Array:
            return total.at[index].add(values * new.reshape(-1, *[1] * (values.ndim - 1)))

        matrix, coupling = total
        coupling = jax.tree.map(put, coupling, InverseCoupling(press, fall, soft, give))
        return (matrix.at[c.slots].add(local), coupling), None

    cells, n = wall.elements.cells.shape
    m, kind = at.pressure.shape[1], at.displacement.dtype
    nothing = InverseCoupling(
        jnp.zeros((cells, n, 3, m), kind),
        jnp.zeros((cells, m, n, 3), kind),
        *jnp.zeros((2, cells, m, m), kind),
    )
    start = (jnp.zeros((wall.sparsity.blocks, 3, 3), kind), nothing)
    (matrix, coupling), _ = jax.lax.scan(add, start, numbers)
    x = wall.elements.points
    for spring, slots in zip(wall.springs, wall.spring_slots, strict=True):
        here = (at.displacement[spring.facets], x[spring.facets])
        slope = jax.vmap(jax.jacfwd(_pull(spring)))(*here)
        matrix = matrix.at[slots].add(jnp.moveaxis(slope, 3, 2))
    return matrix, coupling


def shrinkage(wall: Wall, image: Image, displacement: Float[Array, "node 3"]) -> Array:
    """det f at every point of quadrature: the volume at rest over that of the loaded shape."""
    moved = jnp.einsum("cai,cqaA->cqiA", displacement[wall.elements.cells], image.cells.slopes)
    return jnp.linalg.det(wall.frames - moved)


def wall_pressure(wall: Wall, image: Image, at: Deformation) -> Float[Array, "cell q"]:
    """p [kPa] at every point of quadrature."""
    if wall.pressures != "linear":
        return jnp.einsum("cqm,cm->cq", image.cells.modes, at.pressure)
    rest = wall.elements.at_quadrature(wall.elements.points - at.displacement)
    ahead = (rest - image.centre[:, None]) / image.size[:, None, None]
    slope = jnp.einsum("cqk,ck->cq", ahead, at.pressure[:, 1:])
    return (at.pressure[:, :1] + slope) * (image.size**-1.5)[:, None]
