"""The balance of a loaded shape with its load, for the search: the shape at rest is unknown.

It begins at the loaded shape itself, at rest without a load.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._results import RESULTS
from twinjax.mechanics._inverse import (
    Image,
    InverseCoupling,
    inverse_residual,
    inverse_stiffness,
    shrinkage,
)
from twinjax.mechanics._search import AbstractBalance
from twinjax.mechanics._wall import Deformation, Load, Wall


class Rest(AbstractBalance):
    """From no load to the whole."""

    wall: Wall
    image: Image
    whole: Load
    failure: ClassVar[RESULTS] = RESULTS.no_rest

    def load(self, share: Array) -> Load:
        return jax.tree.map(lambda leaf: share * leaf, self.whole)

    def deformation(self, at: Deformation) -> Deformation:
        return at

    def residual(self, load: Load, at: Deformation) -> Deformation:
        return inverse_residual(self.wall, self.image, load, at)

    def linearised(
        self, load: Load, at: Deformation
    ) -> tuple[Float[Array, "block 3 3"], InverseCoupling]:
        return inverse_stiffness(self.wall, self.image, load, at)

    def before_solve(self, coupling: InverseCoupling, right: Deformation) -> Float[Array, "node 3"]:
        return coupling.before_solve(self.wall, right)

    def solved(
        self, coupling: InverseCoupling, right: Deformation, u: Float[Array, "node 3"]
    ) -> Deformation:
        return coupling.solved(self.wall, right, u)

    def least_volume(self, at: Deformation) -> Float[Array, ""]:
        shrunk = shrinkage(self.wall, self.image, at.displacement)
        return jnp.where(jnp.all(shrunk > 0), 1 / jnp.max(shrunk), -jnp.inf)

    def measure(self) -> Float[Array, "cell q"]:
        return self.image.cells.measure


@eqx.filter_jit
def rest_of(wall: Wall, load: Load) -> Rest:
    """With what the loaded shape gives, found once a search."""
    return Rest(wall, Image(wall), load)
