"""What every cell model is: rates of change of a state, knowing no space and no protocol."""

import abc
import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax.cells._markov import Occupancy

S = TypeVar("S", bound=tuple)
C = TypeVar("C", bound="AbstractCell")


class Gate(NamedTuple):
    """A rate that is linear in its own variable: dx/dt = (steady - x) / time_constant.

    Integrators solve it exactly while its coefficients stand still (Rush and Larsen 1978, IEEE
    Trans Biomed Eng 25:389). Any state of which this is true is one, channel gate or not.
    """

    steady: Any
    time_constant: Any  # [ms]
    # dx/dt at the state itself, given where the difference of steady and x would lose its digits.
    slope: Any = None

    def rate(self, value: Any) -> Any:
        """dx/dt [1/ms] at the variable's value in the state that the gate was made from."""
        return (self.steady - value) / self.time_constant if self.slope is None else self.slope


def gate(opening: Any, closing: Any) -> Gate:
    """dx/dt = α (1 - x) - β x, with opening rate α and closing rate β [1/ms]."""
    total = opening + closing
    return Gate(opening / total, 1 / total)


@dataclasses.dataclass(frozen=True)
class About:
    """What a model describes, and where it was published."""

    title: str
    species: str
    tissue: str
    cite: str
    current_unit: str  # of the currents and the stimulus
    stimulus: tuple[float, float] | None = None  # amplitude, duration [ms]; None: it beats itself
    # The model's maximal conductance (or permeability) of each current, by the current's name.
    conductances: dict[str, str] = dataclasses.field(default_factory=dict)
    # Where coupled fast reactions ask for it: a step [ms] that APD90 is right to 0.5 ms with.
    longest_step: float | None = None


class AbstractCell(eqx.Module):
    """A cell model. Time in ms, potentials in mV, concentrations in mM unless a field says else.

    The state is a NamedTuple of separate arrays of one shape: on a CPU that runs 2 to 2.5 times as
    fast as one stacked array. It has a field `v`, the membrane potential [mV], and where the model
    knows it a field `cai`, the free calcium of the cytosol [mM].

    Constructors do not hold parameters to their bounds, so that any value can be traced: the
    command line and virtual populations do, and `ParameterSpace.contains` tells.
    """

    about: eqx.AbstractClassVar[About]

    @abc.abstractmethod
    def initial_state(self) -> Any:
        """The published initial state, as Python floats."""

    @abc.abstractmethod
    def rates(self, state: Any, stimulus: Any) -> Any:
        """For each state variable a `Gate`, or its time derivative [1/ms]; a tuple like the state.

        States of a Markov scheme have what `markov` gives.

        **Arguments:** `stimulus` is a current in the model's unit; a depolarising one is negative.
        """

    @abc.abstractmethod
    def currents(self, state: Any) -> dict[str, Float[Array, "..."]]:
        """The membrane currents by their usual names, such as `IKr`, in the model's unit."""

    @abc.abstractmethod
    def conserved(self, state: Any) -> tuple[Any, ...]:
        """What the equations keep constant without a stimulus-free drift, such as total charge.

        Where a model accounts for the charge that every current carries, its periodic orbits form
        a family; these numbers tell which one a state belongs to. Empty where there is none.
        """

    def derivatives(self, state: S, stimulus: Any = 0.0) -> S:
        """Time derivative of the state [1/ms]."""
        return slopes_of(self.rates(state, stimulus), state)


class AbstractSwitchingCell(AbstractCell):
    """A cell whose rates jump or bend at potentials; paced steps end where V reaches one."""

    @abc.abstractmethod
    def switches(self) -> tuple[Any, ...]:
        """Those potentials [mV]."""


def conductance_of(cell: AbstractCell, current: str) -> str:
    """The field of a current's maximal conductance; `ValueError` if the model has none."""
    known = cell.about.conductances
    if not known:
        raise ValueError(f"{cell.about.title} has no conductance to scale, {current} or other")
    if current not in known:
        raise ValueError(unknown_name(f"current of {cell.about.title}", current, known))
    return known[current]


def scaled(cell: C, factors: Mapping[str, Any]) -> C:
    """The cell with maximal conductances times factors, by the currents' usual names.

    Raises `ValueError` for a current that has no conductance in this model.
    """
    fields = [conductance_of(cell, name) for name in factors]
    if len(set(fields)) < len(fields):
        raise ValueError(f"of {', '.join(factors)} two have the same conductance: name one of them")
    if not fields:
        return cell
    return eqx.tree_at(
        lambda c: [getattr(c, field) for field in fields],
        cell,
        [getattr(cell, f) * x for f, x in zip(fields, factors.values(), strict=True)],
    )


def slopes_of(rates: Any, state: Any) -> Any:
    """Time derivatives from rates: a tuple like the state."""
    return type(state)(
        *(
            r.rate(x) if isinstance(r, Gate | Occupancy) else r
            for r, x in zip(rates, state, strict=True)
        )
    )


def as_arrays(state: S, like: Any) -> S:
    """The state with every field an array of the dtype and shape of `like`."""
    return jax.tree.map(lambda x: jax.numpy.broadcast_to(x, like.shape).astype(like.dtype), state)
