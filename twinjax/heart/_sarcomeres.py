"""Sarcomeres at every point of a wall: tension that follows stretch and its rate."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.cells import AbstractActiveTension
from twinjax.cells._tension import contract_step
from twinjax.mechanics import Contraction


def contraction(
    model: AbstractActiveTension,
    state: Any,
    calcium: tuple[Float[Array, "*place"], Float[Array, "*place"]],
    stretch: Float[Array, "*place"],
    step: Any,
) -> Contraction:
    """What sarcomeres do over a step in time, as a function of the stretch at its end.

    The tension at the end, T(λ) with the rate (λ - λ₀) / h, is linearised at the stretch λ₀ at the
    beginning: a step of the wall with it is an implicit one. With the tension at λ₀ alone, tension
    that falls as fibres shorten makes walls oscillate, however short the step is (Regazzoni and
    Quarteroni 2021, Comput Methods Appl Mech Eng 373:113506, who add the same stiffness).

    **Arguments:** the sarcomeres' `state` and the fibres' `stretch` λ₀ at the beginning, `calcium`
    [mM] there and at the end, `step` h [ms].
    """

    def tension(after: Array) -> Array:
        return model.tension(contract_step(model, state, calcium, (stretch, after), step), after)

    force, stiffness = jax.jvp(tension, (stretch,), (jnp.ones_like(stretch),))
    return Contraction(force, stiffness, stretch)
