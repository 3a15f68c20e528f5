"""The balance of a wall at rest with the load on its deformed shape, for the search."""

from typing import ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._balance import before_solve, residual, solved, stiffness
from twinjax.mechanics._cells import Cells, Coupling, least_volume
from twinjax.mechanics._search import AbstractBalance
from twinjax.mechanics._wall import Deformation, Load, Wall


class Equilibrium(AbstractBalance):
    """Between a first and a last load."""

    wall: Wall
    cells: Cells
    first: Load
    last: Load
    failure: ClassVar[RESULTS] = RESULTS.no_equilibrium

    def load(self, share: Array) -> Load:
        return jax.tree.map(lambda a, b: (1 - share) * a + share * b, self.first, self.last)

    def deformation(self, at: Deformation) -> Deformation:
        return at

    def residual(self, load: Load, at: Deformation) -> Deformation:
        return residual(self.wall, self.cells, load, at)

    def linearised(self, load: Load, at: Deformation) -> tuple[Float[Array, "block 3 3"], Coupling]:
        coupling = Coupling(self.wall, self.cells, at)
        return stiffness(self.wall, self.cells, coupling, load, at), coupling

    def before_solve(self, coupling: Coupling, right: Deformation) -> Float[Array, "node 3"]:
        return before_solve(self.wall, self.cells, coupling, right)

    def solved(
        self, coupling: Coupling, right: Deformation, u: Float[Array, "node 3"]
    ) -> Deformation:
        return solved(self.wall, self.cells, coupling, right, u)

    def least_volume(self, at: Deformation) -> Float[Array, ""]:
        return least_volume(self.wall, self.cells, at.displacement)

    def measure(self) -> Float[Array, "cell q"]:
        return self.cells.measure


@eqx.filter_jit
def equilibrium(wall: Wall, first: Load, last: Load) -> Equilibrium:
    """With what is found of the cells once a search."""
    return Equilibrium(wall, Cells(wall), first, last)
