"""Time-stepping schemes for cell models; a gate is solved exactly while its rates stand still."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from twinjax.cells._cell import AbstractCell, AbstractSwitchingCell, Gate, slopes_of
from twinjax.cells._functions import linoid
from twinjax.cells._markov import Occupancy, occupancies


class AbstractScheme(eqx.Module):
    """One step of a cell model."""

    order: eqx.AbstractClassVar[int]

    @abc.abstractmethod
    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        """The state after `length` [ms] under a constant stimulus, and dV/dt at the start."""


class ForwardEuler(AbstractScheme):
    """x + h f(x). For comparison: fast gates limit its step to about 0.01 ms."""

    order = 1

    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        rates = cell.rates(state, stimulus)
        slopes = slopes_of(rates, state)
        return jax.tree.map(lambda x, s: x + length * s, state, slopes), slopes[0]


class RushLarsen(AbstractScheme):
    """Rush and Larsen 1978, IEEE Trans Biomed Eng 25:389.

    A gate becomes steady + (x - steady) exp(-h / time constant); all else takes an Euler step.
    """

    order = 1

    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        rates = cell.rates(state, stimulus)
        return advance(state, rates, length), _slope(rates[0], state[0])


class RushLarsen2(AbstractScheme):
    """The second-order form: rates at the midpoint, which a half step of `RushLarsen` finds.

    Perego and Veneziani 2009, ETNA 35:234; Sundnes et al. 2009, IEEE Trans Biomed Eng 56:2546.
    """

    order = 2

    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        def stage(at: Any, ahead: Any) -> tuple[Any, Any]:
            rates = cell.rates(at, stimulus)
            return advance(state, rates, ahead), _slope(rates[0], at[0])

        return _twice(stage, state, length)


class GeneralisedRushLarsen(AbstractScheme):
    """Every variable is solved exactly for rates that are linearised in that variable alone.

    With f_i linearised as b_i + a_i (x_i - x_i⁰): x_i⁰ + b_i (e^{a_i h} - 1) / a_i. For variables
    that are stiff by themselves but are no gates; twice as dear as `RushLarsen2` and more.
    Sundnes, Artebrant, Skavhaug, Tveito 2009, IEEE Trans Biomed Eng 56:2546.
    """

    order = 1

    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        rates, diagonal = _with_diagonal(cell, state, stimulus)
        after = _advance_linearised(state, state, rates, diagonal, length)
        return after, _slope(rates[0], state[0])


class GeneralisedRushLarsen2(AbstractScheme):
    """The second-order form of `GeneralisedRushLarsen`: linearised at the midpoint."""

    order = 2

    def step(self, cell: AbstractCell, state: Any, stimulus: Any, length: Any) -> tuple[Any, Any]:
        def stage(at: Any, ahead: Any) -> tuple[Any, Any]:
            rates, diagonal = _with_diagonal(cell, at, stimulus)
            after = _advance_linearised(state, at, rates, diagonal, ahead)
            return after, _slope(rates[0], at[0])

        return _twice(stage, state, length)


def _twice(stage: Callable[[Any, Any], tuple[Any, Any]], state: Any, length: Any) -> Any:
    """Half a step, then the whole step with the rates found there.

    A loop of two: written out, the compiler repeats the arithmetic of the first stage wherever
    the second one uses it, which took three times as long to compile and four times to run.
    """
    after, slopes = jax.lax.scan(stage, state, jnp.stack([length / 2, length]))
    return after, slopes[0]


def step_to_switches(
    scheme: AbstractScheme, cell: AbstractCell, state: Any, stimulus: Any, length: Any
) -> tuple[Any, Any]:
    """A step of a scheme, cut where V reaches one of the cell's switches.

    The moment is a smooth function of the state, and V is set to just behind the switch. So the
    scheme keeps its order, and derivatives know that the moment moves: those of a step that
    jumps over it are wrong, and by more with every beat. Of several switches in one step, the
    first is met.
    """
    after, slope = scheme.step(cell, state, stimulus, length)
    if not isinstance(cell, AbstractSwitchingCell):
        return after, slope
    potentials = jnp.stack([jnp.asarray(v, state.v.dtype) for v in cell.switches()])
    # If V is behind a switch after half a step along its slope, the scheme has mixed both sides.
    straight = slope * length
    rise = jnp.where(_meets(potentials, state.v, straight / 2)[0], straight, after.v - state.v)
    met, target = _meets(potentials, state.v, rise)
    steep = jnp.where(met, rise, 1.0)

    def cut() -> Any:
        share = (target - state.v) / steep
        short = scheme.step(cell, state, stimulus, share * length)[0].v
        until = length * jnp.clip(share + (target - short) / steep, 0.0, 1.0)
        there = scheme.step(cell, state, stimulus, until)[0]
        # Rounding must not leave V on the near side.
        behind = target + jnp.sign(rise) * 16 * jnp.finfo(rise.dtype).eps * jnp.abs(target)
        return scheme.step(cell, there._replace(v=behind), stimulus, length - until)[0]

    return jax.lax.cond(met, cut, lambda: after), slope


def _meets(potentials: Any, v: Any, rise: Any) -> tuple[Any, Any]:
    """Whether V meets a potential while it rises (or falls) by so much, and the first one."""
    ahead = (potentials - v) * jnp.sign(rise)
    ahead = jnp.where(ahead > 0, ahead, jnp.inf)
    first = jnp.argmin(ahead)
    return ahead[first] < jnp.abs(rise), potentials[first]


def _slope(rate: Any, value: Any) -> Any:
    return rate.rate(value) if isinstance(rate, Gate | Occupancy) else rate


def _relaxed(rate: Gate, value: Any, length: Any) -> Any:
    return rate.steady + (value - rate.steady) * jnp.exp(-length / rate.time_constant)


def _like(state: Any, fields: Any) -> Any:
    return type(state)(*fields)


def _occupied(state: Any, rates: Any, length: Any) -> dict[str, Any]:
    """Fractions of every Markov scheme, by field."""
    schemes = {tuple(r.transitions): r.transitions for r in rates if isinstance(r, Occupancy)}
    found: dict[str, Any] = {}
    for transitions in schemes.values():
        found |= occupancies(state, transitions, length)
    return found


def advance(state: Any, rates: Any, length: Any) -> Any:
    """The state after `length` [ms] of these rates: gates relax, all else moves straight on."""
    fields = _occupied(state, rates, length)
    for name, r, x in zip(state._fields, rates, state, strict=True):
        if isinstance(r, Gate):
            fields[name] = _relaxed(r, x, length)
        elif name not in fields:
            fields[name] = x + length * r
    return state._replace(**fields)


def _with_diagonal(cell: AbstractCell, state: Any, stimulus: Any) -> tuple[Any, list[Any]]:
    """The rates, and d rate / d its own variable of those that are no gates."""
    rates = cell.rates(state, stimulus)
    diagonal: list[Any] = []
    for i, rate in enumerate(rates):

        def own(x: Any, i: int = i) -> Any:
            return cell.rates(_like(state, (*state[:i], x, *state[i + 1 :])), stimulus)[i]

        if isinstance(rate, Gate | Occupancy):
            diagonal.append(None)
        else:
            diagonal.append(jax.jvp(own, (state[i],), (jnp.ones_like(state[i]),))[1])
    return rates, diagonal


def _advance_linearised(start: Any, at: Any, rates: Any, diagonal: list[Any], length: Any) -> Any:
    fields = _occupied(start, rates, length)
    for name, x, where, rate, slope in zip(start._fields, start, at, rates, diagonal, strict=True):
        if isinstance(rate, Gate):
            fields[name] = _relaxed(rate, x, length)
        elif name not in fields:
            force = rate + slope * (x - where)
            fields[name] = x + length * force / linoid(slope * length)
    return start._replace(**fields)
