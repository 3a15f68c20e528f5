"""What every model of active tension is, and how calcium drives it."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax.cells._cell import About, as_arrays, slopes_of
from twinjax.cells._schemes import advance


class AbstractActiveTension(eqx.Module):
    """A model of the sarcomere: tension of activated fibres. Time in ms, calcium in mM.

    Calcium is that of the cytosol as every cell model here gives it (`cai` [mM]), whatever the
    unit in which the model was published. Stretch is length over resting length.
    """

    about: eqx.AbstractClassVar[About]

    @abc.abstractmethod
    def initial_state(self) -> Any:
        """The published state at rest, as Python floats."""

    @abc.abstractmethod
    def rates(self, state: Any, calcium: Any, stretch: Any, stretch_rate: Any) -> Any:
        """For each state variable a `Gate`, or its time derivative [1/ms]; a tuple like the state.

        **Arguments:** `calcium` [mM], `stretch` [1], `stretch_rate` [1/ms].
        """

    @abc.abstractmethod
    def tension(self, state: Any, stretch: Any) -> Any:
        """Active tension [kPa]."""

    def derivatives(self, state: Any, calcium: Any, stretch: Any, stretch_rate: Any) -> Any:
        """Time derivative of the state [1/ms]."""
        return slopes_of(self.rates(state, calcium, stretch, stretch_rate), state)


def contract(
    model: AbstractActiveTension,
    times: Float[Array, " n"],
    calcium: Float[Array, "n *shape"],
    stretch: Float[Array, "n *shape"] | float = 1.0,
    *,
    state: Any = None,
) -> tuple[Float[Array, "n *shape"], Any]:
    """The tension [kPa] that a course of calcium [mM] at given times [ms] evokes.

    Between the times calcium and stretch are linear. Rush-Larsen steps of second order; `pace`
    returns times and calcium that are close enough. Reverse mode stores one state a step.

    **Arguments:** `stretch` is constant or given at the times, `state` that at the first time
    (default: rest). **Returns:** tensions at the times, and the state at the last.
    """
    start = model.initial_state() if state is None else state
    start = as_arrays(start, calcium[0])
    stretch = jnp.broadcast_to(stretch, calcium.shape).astype(calcium.dtype)

    def step(state: Any, inputs: Any) -> Any:
        length, before, after, short, long = inputs
        following = contract_step(model, state, (before, after), (short, long), length)
        return following, model.tension(state, short)

    inputs = (jnp.diff(times), calcium[:-1], calcium[1:], stretch[:-1], stretch[1:])
    final, tensions = jax.lax.scan(jax.checkpoint(step), start, inputs)
    last = model.tension(final, stretch[-1])
    return jnp.concatenate([tensions, last[None]]), final


def contract_step(
    model: AbstractActiveTension,
    state: Any,
    calcium: tuple[Any, Any],
    stretch: tuple[Any, Any],
    length: Any,
) -> Any:
    """The state after a step of `length` [ms] from a calcium [mM] and a stretch to others.

    A Rush-Larsen step of second order; both are linear in time.
    """
    (before, after), (short, long) = calcium, stretch
    rate, halfway = (long - short) / length, ((before + after) / 2, (short + long) / 2)
    middle = advance(state, model.rates(state, before, short, rate), length / 2)
    return advance(state, model.rates(middle, *halfway, rate), length)
