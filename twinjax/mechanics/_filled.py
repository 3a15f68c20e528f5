"""The balance of a wall whose cavities hold given volumes of blood, for the search.

Unknown are the deformation u and the pressures p in the cavities:

    residual(u, p) = 0,   V(u) = blood(p),

where `blood` is constant, or what a circulation takes in or gives at a pressure. Both are solved
at once: with K the stiffness, B = ∂residual/∂p and U = K⁻¹ B, one more solve a cavity, a step of
Newton's method is

    du = -K⁻¹ residual - U dp,   (∂V/∂u U + ∂blood/∂p) dp = V - blood - ∂V/∂u K⁻¹ residual.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._balance import before_solve, push, residual, solved, stiffness
from twinjax.mechanics._cells import Cells, Coupling, least_volume
from twinjax.mechanics._search import AbstractBalance
from twinjax.mechanics._wall import Deformation, Load, Wall


class Inflated(eqx.Module):
    """A deformation, and the pressures (cavity) [kPa] under which it is an equilibrium."""

    deformation: Deformation
    pressure: Float[Array, " cavity"]


class _Asked(NamedTuple):
    load: Load
    share: Array

    @property
    def displacement(self) -> Array:
        return self.load.displacement


class FilledCoupling(eqx.Module):
    """What pressures were eliminated by: those in the cells, and those in the cavities."""

    cells: Coupling
    push: Float[Array, "cavity node 3"]  # B
    slope: Float[Array, "cavity node 3"]  # ∂V/∂u
    compliance: Float[Array, "volume cavity"]  # ∂blood/∂p

    @property
    def give(self) -> Array:
        return self.cells.give


class Filled(AbstractBalance):
    """From a first load and the volumes that the wall had under it."""

    wall: Wall
    cells: Cells
    first: Load
    last: Load
    begin: Float[Array, " cavity"]
    blood: Callable
    failure: ClassVar[RESULTS] = RESULTS.no_filling

    def load(self, share: Array) -> _Asked:
        load = jax.tree.map(lambda a, b: (1 - share) * a + share * b, self.first, self.last)
        return _Asked(load, share)

    def deformation(self, at: Inflated) -> Deformation:
        return at.deformation

    def residual(self, load: _Asked, at: Inflated) -> Inflated:
        off = residual(self.wall, self.cells, under(load.load, at.pressure), at.deformation)
        asked = (1 - load.share) * self.begin + load.share * self.blood(at.pressure)
        return Inflated(off, self.wall.volumes(at.deformation.displacement) - asked)

    def linearised(
        self, load: _Asked, at: Inflated
    ) -> tuple[Float[Array, "block 3 3"], FilledCoupling]:
        wall, here, u = self.wall, under(load.load, at.pressure), at.deformation.displacement
        coupling = Coupling(wall, self.cells, at.deformation)
        compliance = load.share * jax.jacfwd(self.blood)(at.pressure)
        whole = FilledCoupling(coupling, push(wall, u), jax.jacrev(wall.volumes)(u), compliance)
        return stiffness(wall, self.cells, coupling, here, at.deformation), whole

    def before_solve(
        self, coupling: FilledCoupling, right: Inflated
    ) -> Float[Array, "side node 3"]:
        force = before_solve(self.wall, self.cells, coupling.cells, right.deformation)
        return jnp.concatenate([force[None], coupling.push])

    def solved(
        self, coupling: FilledCoupling, right: Inflated, u: Float[Array, "side node 3"]
    ) -> Inflated:
        alone, ways = u[0], u[1:]
        seen = jnp.einsum("jni,kni->jk", coupling.slope, ways) + coupling.compliance
        pressure = jnp.linalg.solve(
            seen, jnp.einsum("jni,ni->j", coupling.slope, alone) - right.pressure
        )
        whole = alone - jnp.tensordot(pressure, ways, axes=1)
        return Inflated(
            solved(self.wall, self.cells, coupling.cells, right.deformation, whole), pressure
        )

    def least_volume(self, at: Inflated) -> Float[Array, ""]:
        return least_volume(self.wall, self.cells, at.deformation.displacement)

    def measure(self) -> Float[Array, "cell q"]:
        return self.cells.measure


@eqx.filter_jit
def filled(wall: Wall, start: Deformation, first: Load, last: Load, blood: Any) -> Filled:
    """With what is found of the cells, and the volumes at the start, once a search."""
    return Filled(wall, Cells(wall), first, last, wall.volumes(start.displacement), blood)


def under(load: Load, pressure: Any) -> Load:
    """The load with other pressures in the cavities."""
    return eqx.tree_at(lambda l: l.pressure, load, pressure, is_leaf=lambda x: x is None)
