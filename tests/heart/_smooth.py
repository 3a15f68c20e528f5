"""A sarcomere whose derivatives differences can tell to many digits."""

from typing import Any, ClassVar, NamedTuple

from twinjax._parameters import parameter
from twinjax.cells import AbstractActiveTension
from twinjax.cells._cell import About, Gate


class State(NamedTuple):
    """Share of sites that calcium has made active, and the distortion of bridges."""

    active: Any
    distortion: Any


class Smooth(AbstractActiveTension):
    """Tension without kinks. Where that of Land's bends, differences of a finite size see both of
    its slopes, and derivatives one."""

    about: ClassVar[About] = About("Smooth", "none", "none", "none", "none")
    t_ref: Any = parameter(120.0, unit="kPa", bounds=(10.0, 400.0), cite="a test")

    def initial_state(self):
        return State(0.0, 0.0)

    def rates(self, state, calcium, stretch, stretch_rate):
        bound = (calcium / 5e-4) ** 2
        return State(Gate(bound / (1 + bound), 20.0), Gate(20.0 * 4 * stretch_rate, 20.0))

    def tension(self, state, stretch):
        return self.t_ref * state.active * (1 + 2 * (stretch - 1)) * (1 + state.distortion)
