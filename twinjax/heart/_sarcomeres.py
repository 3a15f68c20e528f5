"""Sarcomeres at every point of a wall: tension that follows stretch and its rate."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.cells import AbstractActiveTension
from twinjax.cells._tension import contract_step
from twinjax.mechanics import AbstractContraction, Contraction


class Pull(AbstractContraction):
    """What sarcomeres do over a step in time, as a function T(λ) of the stretch at its end.

    It is the tension at the end, after a rate (λ - λ₀) / h from the stretch λ₀ at the beginning: a
    step of the wall with it is an implicit one. With the tension at λ₀ alone, tension that falls as
    fibres shorten makes walls oscillate, however short the step is (Regazzoni and Quarteroni 2021,
    Comput Methods Appl Mech Eng 373:113506).

    **Arguments:** the sarcomeres' `state` and the fibres' `stretch` λ₀ at the beginning, `calcium`
    [mM] there and at the end, `step` h [ms].
    """

    model: AbstractActiveTension
    state: Any
    calcium: tuple[Float[Array, "*place"], Float[Array, "*place"]]
    stretch: Float[Array, "*place"]
    step: Any

    def near(self, stretch: Float[Array, "*place"]) -> Contraction:
        """The tangent of T at stretches.

        Where they are those of the wall, the force and its first derivatives are exact, although
        the place of the tangent is held: what it adds vanishes there.
        """
        here = jax.lax.stop_gradient(stretch)
        force, stiffness = jax.jvp(self._tension, (here,), (jnp.ones_like(here),))
        return Contraction(force, stiffness, here)

    def on(self, spread: Callable[[str, Array], Array]) -> "Pull":
        return self

    def _tension(self, after: Array) -> Array:
        stretches = (self.stretch, after)
        state = contract_step(self.model, self.state, self.calcium, stretches, self.step)
        return self.model.tension(state, after)
