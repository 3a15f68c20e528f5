"""Forces and stiffness of cells: stress and its slope by automatic differentiation.

With H = ∂u/∂X in the axes Q of the tissue, F = Q + H maps them into space, and a cell's energy is

    Π = ∫ W(E) + T e + P(λ) + p (J - 1) - U*(p),   E = ½ (FᵀF - 1),  J = det F,

with e = E_ff + κ (E_ss + E_nn), where a share κ of the tension acts across the fibre, and P the
potential of a contraction at the stretch λ = √(1 + 2 e), |F f₀| without that share. The first
derivatives by u and by the pressures' coefficients are the residuals here. The second ones by E,
six by six at every point of quadrature, are those of the energy by automatic differentiation, J
being √det C; with ∂E/∂u = sym(Fᵀ ∂H/∂u) they give K, to which the stress adds what it does where H
turns. Pressures are eliminated cell by cell: K + Gᵀ D⁻¹ G, with G = ∂²Π/∂p∂u and
D = ∫ ψψᵀ dJ*/dp, so the stiffness stays symmetric.

Cells come in chunks that fit into the processor's cache, and each adds to the result.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.mechanics._energy import Strain
from twinjax.mechanics._wall import Deformation, Load, Wall, stretched

CHUNK = 64


class Cells(eqx.Module):
    """What the rest state gives to every point of quadrature: made once a search."""

    slopes: Float[Array, "cell q n 3"]  # of the shape functions, along the axes of the tissue
    measure: Float[Array, "cell q"]
    modes: Float[Array, "cell q mode"]  # of the pressure, orthonormal in each cell

    def __init__(self, wall: Wall):
        slopes, self.measure = wall.elements.geometry()
        self.slopes = jnp.einsum("cqai,cqiA->cqaA", slopes, wall.frames)
        self.modes = _modes(wall, self.measure)

    def fibre_stretch(self, wall: Wall, displacement: Array) -> Float[Array, "cell q"]:
        """Of which the tension of sarcomeres is a function."""
        return stretched(wall, self.slopes, displacement)


def _modes(wall: Wall, measure: Array) -> Array:
    cells, places = measure.shape
    if wall.pressures == "pointwise":
        return jnp.eye(places)[None] / jnp.sqrt(measure)[:, :, None]
    one = jnp.ones((cells, places, 1), measure.dtype)
    if wall.pressures == "constant":
        return one / jnp.sqrt(jnp.sum(measure, axis=1))[:, None, None]
    x = wall.elements.at_quadrature(wall.elements.points)
    volume = jnp.sum(measure, axis=1)
    centre = jnp.einsum("cq,cqi->ci", measure, x) / volume[:, None]
    ahead = (x - centre[:, None]) / jnp.cbrt(volume)[:, None, None]
    plain = jnp.concatenate([one, ahead], axis=2)
    gram = jnp.einsum("cq,cqm,cqk->cmk", measure, plain, plain)
    factor = jnp.linalg.cholesky(gram)
    return jax.scipy.linalg.solve_triangular(
        factor, jnp.swapaxes(plain, 1, 2), lower=True
    ).swapaxes(1, 2)


Nine = tuple[Array, ...]

_AXES = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))  # of the components of strain
_COUNT = (1, 1, 1, 2, 2, 2)  # of equal components


def _strain(h: Nine, q: Nine) -> tuple[Strain, Array]:
    """E of H in the axes Q (both by rows), without losing digits where H is small; and J."""

    def product(a: int, b: int) -> Array:
        total = jnp.zeros_like(h[0])
        for i in (0, 3, 6):
            total = total + q[i + a] * h[i + b] + h[i + a] * q[i + b] + h[i + a] * h[i + b]
        return total / 2

    f = [one + two for one, two in zip(q, h, strict=True)]
    volume = (
        f[0] * (f[4] * f[8] - f[5] * f[7])
        - f[1] * (f[3] * f[8] - f[5] * f[6])
        + f[2] * (f[3] * f[7] - f[4] * f[6])
    )
    strain = Strain(
        product(0, 0), product(1, 1), product(2, 2), product(0, 1), product(0, 2), product(1, 2)
    )
    return strain, volume


def _energy(c: "_Chunk", strain: Strain, pressure: Array) -> Array:
    """Π per volume but for U*, in which J is √det C.

    A part turned inside out has the energy of its mirror image: the search looks at J.
    """
    squared = strain.squared_volume()
    own = c.local / 4 * (squared - jnp.log(squared))
    seen = strain.seen(c.across)
    total = c.energy.density(strain) + own + c.tension * seen + pressure * jnp.sqrt(squared)
    if c.contraction is None:
        return total
    return total + c.contraction.potential(jnp.sqrt(1 + 2 * seen))


def _stress(c: "_Chunk", h: Nine, q: Nine, pressure: Array) -> Strain:
    """∂Π/∂E, where off the diagonal both of two equal components count, and η dE/dt likewise."""

    def total(strain: Strain) -> Array:
        return jnp.sum(_energy(c, strain, pressure))

    stress = jax.grad(total)(_strain(h, q)[0])
    if c.rate is None:
        return stress
    f = [one + two for one, two in zip(q, h, strict=True)]
    speed = [c.rate * one + two for one, two in zip(h, _nine(c.drift), strict=True)]

    def slowed(a: int, b: int) -> Array:
        """η dE/dt."""
        total = jnp.zeros_like(pressure)
        for i in (0, 3, 6):
            total = total + f[i + a] * speed[i + b] + speed[i + a] * f[i + b]
        return c.viscosity / 2 * total

    return Strain(
        *(s + k * slowed(a, b) for s, k, (a, b) in zip(stress, _COUNT, _AXES, strict=True))
    )


def _matrix(stress: Strain) -> list[list[Array]]:
    """The second Piola-Kirchhoff stress."""
    fs, fn, sn = stress.fs / 2, stress.fn / 2, stress.sn / 2
    return [[stress.ff, fs, fn], [fs, stress.ss, sn], [fn, sn, stress.nn]]


def _nine(matrix: Array) -> Nine:
    return tuple(matrix[..., i, a] for i in range(3) for a in range(3))


class _Chunk(eqx.Module):
    """Some cells with all that belongs to them."""

    nodes: Array
    slots: Array
    slopes: Array
    measure: Array
    modes: Array
    frames: Array
    tension: Array
    pressure: Array
    energy: Any
    local: Array
    viscosity: Array
    across: Array
    contraction: Any = None
    rate: Array | None = None
    drift: Any = None

    def gradient(self, displacement: Array) -> Array:
        return jnp.einsum("cai,cqaA->cqiA", displacement[self.nodes], self.slopes)


def _chunks(
    wall: Wall, cells: Cells, load: Load, pressure: Array, contraction: Any = None
) -> tuple[Callable[[Any], tuple[_Chunk, Array, Array]], Array]:
    """A function that cuts out the cells from a first one on, and all first ones.

    The last chunk overlaps the one before it: there the measure is 0.
    """
    count = len(wall.elements.cells)
    parts = -(-count // CHUNK)
    size = -(-count // parts)
    places = _Chunk(
        wall.elements.cells,
        wall.slots,
        cells.slopes,
        cells.measure,
        cells.modes,
        wall.frames,
        load.tension,
        pressure,
        wall.energy.along(1),
        wall.volume.local,
        wall.viscosity,
        wall.across,
        contraction,
    )

    def cut(number: Any) -> tuple[_Chunk, Array, Array]:
        first = jnp.minimum(number * size, count - size)

        def part(leaf: Any) -> Any:
            is_shared = not eqx.is_array(leaf) or leaf.ndim == 0
            return leaf if is_shared else jax.lax.dynamic_slice_in_dim(leaf, first, size)

        mine = jax.tree.map(part, places)
        index = first + jnp.arange(size)
        new = (index >= number * size).astype(cells.measure.dtype)
        mine = eqx.tree_at(lambda c: c.measure, mine, mine.measure * new[:, None])
        if load.motion is not None:
            drift = mine.gradient(load.motion.drift)
            mine = dataclasses.replace(mine, rate=load.motion.rate, drift=drift)
        return mine, index, new

    return cut, jnp.arange(parts)


def _deformed(wall: Wall, cells: Cells, load: Load, at: Deformation) -> Any:
    """The chunks, and the contraction near the fibres' stretch."""
    contraction = load.contraction
    if contraction is not None:
        contraction = contraction.near(cells.fibre_stretch(wall, at.displacement))
    return _chunks(wall, cells, load, at.pressure, contraction)


def cell_forces(wall: Wall, cells: Cells, load: Load, at: Deformation) -> Deformation:
    """Derivatives of the energy of the cells by displacements and by pressures."""
    cut, numbers = _deformed(wall, cells, load, at)

    def add(total: Any, number: Any) -> tuple[Any, None]:
        c, index, new = cut(number)
        gradient = c.gradient(at.displacement)
        p = jnp.einsum("cqm,cm->cq", c.modes, c.pressure)
        h, q = _nine(gradient), _nine(c.frames)
        inside = _matrix(_stress(c, h, q, p))
        f = [one + two for one, two in zip(q, h, strict=True)]
        both = [
            sum(f[i + b] * inside[b][a] for b in range(3)) * c.measure
            for i in (0, 3, 6)
            for a in range(3)
        ]
        stress = jnp.stack(both, axis=-1).reshape(*c.measure.shape, 3, 3)
        force = jnp.einsum("cqiA,cqaA->cai", stress, c.slopes)
        if load.motion is not None:
            heavy = wall.density * load.motion.inertia * _masses(wall, c)
            force = force + jnp.einsum("cab,cbi->cai", heavy, at.displacement[c.nodes])
        excess = c.measure * (_strain(h, q)[1] - wall.volume.volume(p))
        own = new[:, None] * jnp.einsum("cqm,cq->cm", c.modes, excess)
        return (total[0].at[c.nodes].add(force), total[1].at[index].add(own)), None

    start = (jnp.zeros_like(at.displacement), jnp.zeros_like(at.pressure))
    return Deformation(*jax.lax.scan(add, start, numbers)[0])


def _masses(wall: Wall, c: _Chunk) -> Array:
    """∫ Nᵢ Nⱼ of each cell [mm³]."""
    values = wall.elements.values()
    return jnp.einsum("cq,qa,qb->cab", c.measure, values, values)


def least_volume(wall: Wall, cells: Cells, displacement: Float[Array, "node 3"]) -> Array:
    """The least J of all points of quadrature; minus infinity if one is NaN."""
    u = displacement[wall.elements.cells]
    gradient = jnp.einsum("cai,cqaA->cqiA", u, cells.slopes)
    found = _strain(_nine(gradient), _nine(wall.frames))[1]
    return jnp.where(jnp.all(jnp.isfinite(found)), jnp.min(found), -jnp.inf)


def _volume_slope(h: Nine, q: Nine) -> Array:
    """∂J/∂H."""
    slope = jax.grad(lambda *at: jnp.sum(_strain(at, q)[1]), range(9))(*h)
    return jnp.stack(slope, axis=-1).reshape(*h[0].shape, 3, 3)


class Coupling(eqx.Module):
    """G and D⁻¹ at some deformation: how volumes follow displacements, and pressures volumes."""

    slope: Float[Array, "cell q 3 3"]  # ∂J/∂H times the measure
    softness: Float[Array, "cell mode mode"]  # D [1/kPa]
    give: Float[Array, "cell mode mode"]  # D⁻¹ [kPa]

    def __init__(self, wall: Wall, cells: Cells, at: Deformation):
        gradient = jnp.einsum("cai,cqaA->cqiA", at.displacement[wall.elements.cells], cells.slopes)
        slope = _volume_slope(_nine(gradient), _nine(wall.frames))
        self.slope = slope * cells.measure[..., None, None]
        p = jnp.einsum("cqm,cm->cq", cells.modes, at.pressure)
        soft = jax.grad(lambda p: jnp.sum(wall.volume.volume(p)))(p) * cells.measure
        if wall.pressures == "pointwise":
            # Each mode is 1/√w at its own point: D is diagonal.
            diagonal = jnp.einsum("cqm,cq->cm", cells.modes**2, soft)
            self.softness = jnp.eye(p.shape[1])[None] * diagonal[..., None]
            self.give = jnp.eye(p.shape[1])[None] / diagonal[..., None]
        else:
            self.softness = jnp.einsum("cqm,cqk,cq->cmk", cells.modes, cells.modes, soft)
            self.give = jnp.linalg.inv(self.softness)

    def forces(self, wall: Wall, cells: Cells, pressure: Float[Array, "cell mode"]) -> Array:
        """Gᵀ p (node, 3)."""
        p = jnp.einsum("cqm,cm->cq", cells.modes, pressure)
        local = jnp.einsum("cq,cqiA,cqaA->cai", p, self.slope, cells.slopes)
        total = jnp.zeros_like(wall.elements.points)
        return total.at[wall.elements.cells].add(local)

    def volumes(self, wall: Wall, cells: Cells, displacement: Float[Array, "node 3"]) -> Array:
        """G u (cell, mode)."""
        gradient = jnp.einsum("cai,cqaA->cqiA", displacement[wall.elements.cells], cells.slopes)
        return jnp.einsum("cqm,cqiA,cqiA->cm", cells.modes, self.slope, gradient)


def _follow(f: Array, slopes: Array) -> Array:
    """How strain follows displacements (cell, q, 6, 3 n), component after component.

    `f` (cell, q, 3, 3) is F and `slopes` (cell, q, 3, n) those of the shape functions.
    """

    def both(a: int, b: int) -> Array:
        found = f[..., :, a, None] * slopes[..., None, b, :]
        if a != b:
            found = (found + f[..., :, b, None] * slopes[..., None, a, :]) / 2
        return found.reshape(*f.shape[:2], -1)

    return jnp.stack([both(a, b) for a, b in _AXES], axis=2)


def cell_stiffness(
    wall: Wall, cells: Cells, coupling: Coupling, load: Load, at: Deformation
) -> Float[Array, "block 3 3"]:
    """K + Gᵀ D⁻¹ G of all cells, by blocks of the pattern."""
    cut, numbers = _deformed(wall, cells, load, at)

    def add(total: Any, number: Any) -> tuple[Any, None]:
        c, index, _ = cut(number)
        gradient = c.gradient(at.displacement)
        h, q = _nine(gradient), _nine(c.frames)
        p = jnp.einsum("cqm,cm->cq", c.modes, c.pressure)
        strain = _strain(h, q)[0]

        def along(direction: Array) -> Array:
            def slope(strain: Strain) -> Strain:
                return jax.grad(lambda e: jnp.sum(_energy(c, e, p)))(strain)

            ahead = Strain(*(jnp.broadcast_to(d, p.shape) for d in direction))
            return jnp.stack(jax.jvp(slope, (strain,), (ahead,))[1])

        # One program for six directions: written out they take longer to compile.
        slope = jax.vmap(along)(jnp.eye(6, dtype=p.dtype)) * c.measure[None, None]
        slopes = jnp.swapaxes(c.slopes, 2, 3)
        left = _follow(c.frames + gradient, slopes)
        right = jnp.einsum("mkcq,cqkx->cqmx", slope, left)
        if c.rate is not None:
            sped = _follow(c.rate * gradient + c.drift, slopes) + c.rate * left
            weight = c.viscosity * c.measure[:, :, None] * jnp.asarray(_COUNT, p.dtype)[None, None]
            right = right + weight[..., None] * sped
        volume = coupling.slope[index] * (c.measure != 0)[..., None, None]
        g = jnp.einsum("cqiA,cqAa->cqia", volume, slopes).reshape(*left.shape[:2], -1)
        g = jnp.einsum("cqm,cqx->cmx", c.modes, g)
        stiff = jnp.einsum("cmk,ckx->cmx", coupling.give[index], g)

        def rows(points: Array, modes: Array) -> Array:
            return jnp.concatenate([points.reshape(len(index), -1, points.shape[-1]), modes], 1)

        local = jnp.einsum("crx,cry->cxy", rows(left, g), rows(right, stiff))
        n = c.nodes.shape[1]
        local = jnp.transpose(local.reshape(-1, 3, n, 3, n), (0, 2, 4, 1, 3))

        inside = jnp.array(_matrix(_stress(c, h, q, p))) * c.measure[None, None]
        pulled = jnp.einsum("ABcq,cqBa->cqAa", inside, slopes).reshape(len(index), -1, n)
        tense = jnp.einsum("cra,crb->cab", slopes.reshape(pulled.shape), pulled)
        local = local + tense[..., None, None] * jnp.eye(3)[None, None, None]
        if load.motion is not None:
            heavy = wall.density * load.motion.inertia * _masses(wall, c)
            local = local + heavy[..., None, None] * jnp.eye(3)[None, None, None]
        return total.at[c.slots].add(local), None

    start = jnp.zeros((wall.sparsity.blocks, 3, 3), at.displacement.dtype)
    return jax.lax.scan(add, start, numbers)[0]
