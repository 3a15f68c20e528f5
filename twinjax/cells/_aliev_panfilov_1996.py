"""Aliev and Panfilov 1996: two variables, the restitution of the canine ventricle."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell

CITE = "Aliev and Panfilov 1996, Chaos Solitons Fractals 7:293"


class State(NamedTuple):
    """Potential [mV]; recovery variable [1] (v in the paper)."""

    v: Any
    recovery: Any


class AlievPanfilov1996(AbstractCell):
    """Aliev and Panfilov 1996, Chaos Solitons Fractals 7:293, equations 1 to 3.

    With u = (V - v_rest) / v_span, the recovery r and time in units of `time_unit`:

        du/dt = -k u (u - a) (u - 1) - u r
        dr/dt = (ε0 + μ1 r / (u + μ2)) (-r - k u (u - a - 1))

    and V = 100 u - 80 mV, t = 12.9 ms per unit. Currents are those of a membrane of 1 µF/cm².
    Below u = -0.2, where the model never goes of itself, u + μ2 is held at its value there.
    """

    about: ClassVar[About] = About(
        title="Aliev-Panfilov 1996",
        species="dog",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-20.0, 2.0),
    )

    k: Float[Array, ""] = parameter(8.0, unit="1", bounds=(1.0, 40.0), cite=CITE)
    a: Float[Array, ""] = parameter(0.15, unit="1", bounds=(0.01, 0.4), cite=CITE)
    eps_0: Float[Array, ""] = parameter(0.002, unit="1", bounds=(1e-4, 0.05), cite=CITE)
    mu_1: Float[Array, ""] = parameter(0.2, unit="1", bounds=(0.01, 1.0), cite=CITE)
    mu_2: Float[Array, ""] = parameter(0.3, unit="1", bounds=(0.21, 1.0), cite=CITE)
    time_unit: Float[Array, ""] = parameter(12.9, unit="ms", bounds=(1.0, 50.0), cite=CITE)
    v_rest: Float[Array, ""] = parameter(-80.0, unit="mV", bounds=(-100.0, -50.0), cite=CITE)
    v_span: Float[Array, ""] = parameter(100.0, unit="mV", bounds=(50.0, 160.0), cite=CITE)

    def initial_state(self) -> State:
        return State(v=-80.0, recovery=0.0)

    def currents(self, state: State) -> dict[str, Any]:
        u = (state.v - self.v_rest) / self.v_span
        scale = self.v_span / self.time_unit
        return {
            "Ifast": scale * self.k * u * (u - self.a) * (u - 1),
            "Islow": scale * u * state.recovery,
        }

    def rates(self, state: State, stimulus: Any) -> State:
        u, r = (state.v - self.v_rest) / self.v_span, state.recovery
        rate = self.eps_0 + self.mu_1 * r / (jnp.maximum(u, -0.2) + self.mu_2)
        return State(
            v=-(sum(self.currents(state).values()) + stimulus),
            recovery=rate * (-r - self.k * u * (u - self.a - 1)) / self.time_unit,
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()
