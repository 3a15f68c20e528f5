"""Mitchell and Schaeffer 2003: two currents and one gate."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractSwitchingCell, Gate

CITE = "Mitchell and Schaeffer 2003, Bull Math Biol 65:767"
SCALE = "convention: resting potential -80 mV and amplitude 100 mV of Aliev and Panfilov 1996"


class State(NamedTuple):
    """Potential [mV]; gate of the inward current."""

    v: Any
    h: Any


class MitchellSchaeffer2003(AbstractSwitchingCell):
    """Mitchell and Schaeffer 2003, Bull Math Biol 65:767.

    With u = (V - v_rest) / v_span:

        du/dt = h u² (1 - u) / tau_in - u / tau_out
        dh/dt = (1 - h) / tau_open where u < u_gate, else -h / tau_close

    Where tau_in ≪ tau_out ≪ tau_open, tau_close, an action potential after a diastolic interval DI
    lasts tau_close log(h / h_min) with h_min = 4 tau_in / tau_out and
    h = 1 - (1 - h_min) e^{-DI / tau_open}. The paper has no millivolts: the scale is a convention.
    Currents are those of a membrane of 1 µF/cm².
    """

    about: ClassVar[About] = About(
        title="Mitchell-Schaeffer 2003",
        species="generic",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-20.0, 2.0),
    )

    tau_in: Float[Array, ""] = parameter(0.3, unit="ms", bounds=(0.003, 1.5), cite=CITE)
    tau_out: Float[Array, ""] = parameter(6.0, unit="ms", bounds=(0.06, 30.0), cite=CITE)
    tau_open: Float[Array, ""] = parameter(120.0, unit="ms", bounds=(10.0, 600.0), cite=CITE)
    tau_close: Float[Array, ""] = parameter(150.0, unit="ms", bounds=(10.0, 600.0), cite=CITE)
    u_gate: Float[Array, ""] = parameter(0.13, unit="1", bounds=(0.02, 0.4), cite=CITE)
    v_rest: Float[Array, ""] = parameter(-80.0, unit="mV", bounds=(-100.0, -50.0), cite=SCALE)
    v_span: Float[Array, ""] = parameter(100.0, unit="mV", bounds=(50.0, 160.0), cite=SCALE)

    def initial_state(self) -> State:
        return State(v=-80.0, h=1.0)

    def currents(self, state: State) -> dict[str, Any]:
        u = (state.v - self.v_rest) / self.v_span
        return {
            "Iin": -self.v_span * state.h * u**2 * (1 - u) / self.tau_in,
            "Iout": self.v_span * u / self.tau_out,
        }

    def rates(self, state: State, stimulus: Any) -> State:
        u = (state.v - self.v_rest) / self.v_span
        opens = u < self.u_gate
        return State(
            v=-(sum(self.currents(state).values()) + stimulus),
            h=Gate(
                jnp.where(opens, 1.0, 0.0),
                jnp.where(opens, self.tau_open, self.tau_close),
            ),
        )

    def switches(self) -> tuple[Any, ...]:
        return (self.v_rest + self.v_span * self.u_gate,)

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()
