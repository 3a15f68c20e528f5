"""Noble 1962: the first model of a heart cell."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, gate
from twinjax.cells._functions import boltzmann, linoid

CITE = "Noble 1962, J Physiol 160:317"


class State(NamedTuple):
    """Potential [mV] and gates."""

    v: Any
    m: Any
    h: Any
    n: Any


class Noble1962(AbstractCell):
    """Noble 1962, J Physiol 160:317: the Purkinje fibre, which beats by itself.

    C_m dV/dt = -(INa + INab + IK1 + IK + Ileak + Istim), C_m = 12 µF/cm²:

        INa = g_na m³ h (V - e_na)    INab  = g_nab (V - e_na)
        IK  = g_k n⁴ (V - e_k)        Ileak = g_leak (V - e_leak)
        IK1 = g_k1 (e^{-(V + 90)/50} + e^{(V + 90)/60} / 80) (V - e_k)

    INab is the sodium conductance of 0.14 mS/cm² that has no gates; the leak is the anion current.
    """

    about: ClassVar[About] = About(
        title="Noble 1962",
        species="mammal",
        tissue="Purkinje fibre",
        cite=CITE,
        current_unit="µA/cm2",
        conductances={
            "INa": "g_na",
            "INab": "g_nab",
            "IK": "g_k",
            "IK1": "g_k1",
            "Ileak": "g_leak",
        },
    )

    g_na: Float[Array, ""] = parameter(400.0, unit="mS/cm2", bounds=(0.0, 4e3), cite=CITE)
    g_nab: Float[Array, ""] = parameter(0.14, unit="mS/cm2", bounds=(0.0, 1.4), cite=CITE)
    g_k: Float[Array, ""] = parameter(1.2, unit="mS/cm2", bounds=(0.0, 12.0), cite=CITE)
    g_k1: Float[Array, ""] = parameter(1.2, unit="mS/cm2", bounds=(0.0, 12.0), cite=CITE)
    g_leak: Float[Array, ""] = parameter(0.075, unit="mS/cm2", bounds=(0.0, 0.75), cite=CITE)
    e_na: Float[Array, ""] = parameter(40.0, unit="mV", bounds=(0.0, 80.0), cite=CITE)
    e_k: Float[Array, ""] = parameter(-100.0, unit="mV", bounds=(-120.0, -60.0), cite=CITE)
    e_leak: Float[Array, ""] = parameter(-60.0, unit="mV", bounds=(-100.0, 0.0), cite=CITE)
    c_m: Float[Array, ""] = parameter(12.0, unit="µF/cm2", bounds=(0.5, 30.0), cite=CITE)

    def initial_state(self) -> State:
        return State(v=-81.4147357, m=0.0438066719, h=0.854216896, n=0.593071543)

    def currents(self, state: State) -> dict[str, Any]:
        v = state.v
        # Rectification: falling with V, then a slow rise.
        rectified = jnp.exp(-(v + 90) / 50) + jnp.exp((v + 90) / 60) / 80
        return {
            "INa": self.g_na * state.m**3 * state.h * (v - self.e_na),
            "INab": self.g_nab * (v - self.e_na),
            "IK": self.g_k * state.n**4 * (v - self.e_k),
            "IK1": self.g_k1 * rectified * (v - self.e_k),
            "Ileak": self.g_leak * (v - self.e_leak),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        v = state.v
        slow = jnp.exp(-(v + 90) / 80)
        return State(
            v=-(sum(self.currents(state).values()) + stimulus) / self.c_m,
            m=gate(1.5 * linoid(-(v + 48) / 15), 0.6 * linoid((v + 8) / 5)),
            h=gate(0.17 * slow**4, boltzmann(v, -42.0, -10.0)),
            n=gate(1e-3 * linoid(-(v + 50) / 10), 2e-3 * slow),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()
