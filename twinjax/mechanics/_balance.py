"""The balance of a wall with its load: residual, stiffness, and solves with the stiffness."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.mechanics._cells import Cells, Coupling, cell_forces, cell_stiffness
from twinjax.mechanics._reference import reference
from twinjax.mechanics._springs import area_vectors
from twinjax.mechanics._wall import Deformation, Load, Wall


def residual(wall: Wall, cells: Cells, load: Load, at: Deformation) -> Deformation:
    """What is out of balance: forces [mN] at free components, and excess volumes [mm^{3/2}].

    At components that are held it is the displacement less that of the load [mm].
    """
    whole = cell_forces(wall, cells, load, at)
    force = whole.displacement - load.force
    for spring in wall.springs:
        shares = spring.shares(wall.elements.points)
        pulled = spring.stiffness * at.displacement
        if load.motion is not None:
            velocity = load.motion.rate * at.displacement + load.motion.drift
            pulled = pulled + spring.damping * velocity
        local = jnp.einsum("faibk,fbk->fai", shares, pulled[spring.facets])
        force = force.at[spring.facets].add(local)
    where = wall.elements.points + at.displacement
    for facets, pressure in zip(wall.cavities, load.pressure, strict=True):
        force = force.at[facets].add(pressure * _push(where[facets]))
    held = at.displacement - load.displacement
    return Deformation(jnp.where(wall.fixed, held, force), whole.pressure)


def push(wall: Wall, displacement: Float[Array, "node 3"]) -> Float[Array, "cavity node 3"]:
    """The derivative of the residual by the pressure in each cavity [mm²]."""
    where = wall.elements.points + displacement
    none = jnp.zeros_like(where)
    each = [none.at[facets].add(_push(where[facets])) for facets in wall.cavities]
    return jnp.where(wall.fixed[None], 0.0, jnp.stack(each))


def _push(corners: Float[Array, "facet m 3"]) -> Float[Array, "facet m 3"]:
    """∫ Nᵢ n da over each facet [mm²], n being the wall's outward normal."""
    ref = _rule(corners.shape[1])
    area = area_vectors(corners, ref.slopes)
    return jnp.einsum("q,qa,fqi->fai", jnp.asarray(ref.weights), jnp.asarray(ref.values), area)


def _push_slope(corners: Float[Array, "facet m 3"]) -> Float[Array, "facet m m 3 3"]:
    """The derivative of `_push` by the corners: the stiffness of a pressure that follows."""
    ref = _rule(corners.shape[1])
    slopes = jnp.asarray(ref.slopes)
    tangents = jnp.einsum("fai,qar->fqri", corners, slopes)
    one, two = (_cross(tangents[:, :, r]) for r in (0, 1))
    weights, values = jnp.asarray(ref.weights), jnp.asarray(ref.values)

    def term(axis: int, turn: Array) -> Array:
        return jnp.einsum("q,qa,qb,fqik->fabik", weights, values, slopes[:, :, axis], turn)

    return term(1, one) - term(0, two)


def _cross(vector: Array) -> Array:
    """The matrix of v ×."""
    x, y, z = jnp.moveaxis(vector, -1, 0)
    o = jnp.zeros_like(x)
    rows = [[o, -z, y], [z, o, -x], [-y, x, o]]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def _rule(kind: int) -> Any:
    return reference(kind, 4 if kind == 6 else 5)


def stiffness(
    wall: Wall, cells: Cells, coupling: Coupling, load: Load, at: Deformation
) -> Float[Array, "block 3 3"]:
    """The derivative of the forces by displacements, pressures of the wall eliminated.

    Symmetric but for pressures on cavities whose rim is free to move.
    """
    total = cell_stiffness(wall, cells, coupling, load, at)
    for spring, slots in zip(wall.springs, wall.spring_slots, strict=True):
        firm = spring.stiffness
        if load.motion is not None:
            firm = firm + spring.damping * load.motion.rate
        matrices = firm * spring.shares(wall.elements.points)
        total = total.at[slots].add(jnp.moveaxis(matrices, 3, 2))
    where = wall.elements.points + at.displacement
    pressed = zip(wall.cavities, wall.cavity_slots, load.pressure, strict=True)
    for facets, slots, pressure in pressed:
        total = total.at[slots].add(pressure * _push_slope(where[facets]))
    return total


def product(
    wall: Wall,
    cells: Cells,
    coupling: Coupling,
    matrix: Float[Array, "block 3 3"],
    x: Deformation,
) -> Deformation:
    """The linearised residual of x, by the eliminated stiffness: K u + Gᵀ p and G u - D p."""
    u = x.displacement
    rows, columns = wall.pairs.T
    force = jnp.zeros_like(u).at[rows].add(jnp.einsum("bik,bk->bi", matrix, u[columns]))
    volumes = coupling.volumes(wall, cells, u)
    behind = jnp.einsum("cmk,ck->cm", coupling.give, volumes)
    force = force + coupling.forces(wall, cells, x.pressure - behind)
    volumes = volumes - jnp.einsum("cmk,ck->cm", coupling.softness, x.pressure)
    return Deformation(jnp.where(wall.fixed, u, force), volumes)


def before_solve(
    wall: Wall, cells: Cells, coupling: Coupling, right: Deformation
) -> Float[Array, "node 3"]:
    """What the eliminated stiffness is solved with: a + Gᵀ D⁻¹ b, 0 where components are held."""
    behind = jnp.einsum("cmk,ck->cm", coupling.give, right.pressure)
    return jnp.where(wall.fixed, 0.0, right.displacement + coupling.forces(wall, cells, behind))


@eqx.filter_jit
def solved(
    wall: Wall,
    cells: Cells,
    coupling: Coupling,
    right: Deformation,
    displacement: Float[Array, "node 3"],
) -> Deformation:
    """The displacement, with the pressure that belongs to it: p = D⁻¹ (G u - b)."""
    ahead = coupling.volumes(wall, cells, displacement) - right.pressure
    return Deformation(displacement, jnp.einsum("cmk,ck->cm", coupling.give, ahead))


def solve(
    wall: Wall,
    cells: Cells,
    coupling: Coupling,
    matrix: Float[Array, "block 3 3"],
    right: Deformation,
    *,
    transpose: bool = False,
) -> Deformation:
    """x of the linearised balance = right, by the eliminated stiffness `matrix`.

    K u + Gᵀ p = a and G u - D p = b: (K + Gᵀ D⁻¹ G) u = a + Gᵀ D⁻¹ b, then p = D⁻¹ (G u - b).
    Components of `right` that are held are taken for 0. NaN if the matrix is singular.
    """
    force = before_solve(wall, cells, coupling, right)
    u = wall.sparsity.solve(matrix, force, transpose=transpose)
    return solved(wall, cells, coupling, right, u)
