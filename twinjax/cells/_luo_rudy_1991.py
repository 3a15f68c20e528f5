"""Luo and Rudy 1991: the guinea-pig ventricular cell."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, gate
from twinjax.cells._functions import linoid, nernst

CITE = "Luo and Rudy 1991, Circ Res 68:1501"
_RTF = 8314.0 * 310.0 / 96484.6  # [mV], at 37 °C


class State(NamedTuple):
    """Potential [mV]; gates; calcium [mM]."""

    v: Any
    m: Any
    h: Any
    j: Any
    d: Any
    f: Any
    x: Any
    cai: Any


class LuoRudy1991(AbstractCell):
    """Luo and Rudy 1991, Circ Res 68:1501, tables and equations as printed there.

    Cm dV/dt = -(INa + Isi + IK + IK1 + IKp + Ib + Istim), Cm = 1 µF/cm²:

        INa = g_na m³ h j (V - E_Na)            Isi = g_si d f (V - E_si)
        IK  = g_k √(K_o/5.4) x x_i (V - E_K)    IK1 = g_k1 √(K_o/5.4) K1∞ (V - E_K1)
        IKp = g_kp K_p (V - E_K1)               Ib  = g_b (V - e_b)

    with E_si = 7.7 - 13.0287 log(Ca_i [mM]) and dCa_i/dt = -10⁻⁴ Isi + 0.07 (10⁻⁴ - Ca_i).
    """

    about: ClassVar[About] = About(
        title="Luo-Rudy 1991",
        species="guinea pig",
        tissue="ventricle",
        cite=CITE,
        current_unit="µA/cm2",
        stimulus=(-25.5, 2.0),
        conductances={
            "INa": "g_na",
            "Isi": "g_si",
            "IK": "g_k",
            "IK1": "g_k1",
            "IKp": "g_kp",
            "Ib": "g_b",
        },
    )

    g_na: Float[Array, ""] = parameter(23.0, unit="mS/cm2", bounds=(0.0, 100.0), cite=CITE)
    g_si: Float[Array, ""] = parameter(0.09, unit="mS/cm2", bounds=(0.0, 1.0), cite=CITE)
    g_k: Float[Array, ""] = parameter(0.282, unit="mS/cm2", bounds=(0.0, 3.0), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.6047, unit="mS/cm2", bounds=(0.0, 6.0), cite=CITE)
    g_kp: Float[Array, ""] = parameter(0.0183, unit="mS/cm2", bounds=(0.0, 0.2), cite=CITE)
    g_b: Float[Array, ""] = parameter(0.03921, unit="mS/cm2", bounds=(0.0, 0.4), cite=CITE)
    e_b: Float[Array, ""] = parameter(-59.87, unit="mV", bounds=(-100.0, 0.0), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    na_i: Float[Array, ""] = parameter(18.0, unit="mM", bounds=(2.0, 40.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    k_i: Float[Array, ""] = parameter(145.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)

    def initial_state(self) -> State:
        return State(
            v=-83.853,
            m=0.00187018,
            h=0.9804713,
            j=0.98767124,
            d=0.00316354,
            f=0.99427859,
            x=0.16647703,
            cai=2e-4,
        )

    def currents(self, state: State) -> dict[str, Any]:
        v = state.v
        e_na = nernst(_RTF, self.na_o, self.na_i)
        # The time-dependent current has its own reversal potential (PR_NaK = 0.01833).
        e_k = _RTF * jnp.log((self.k_o + 0.01833 * self.na_o) / (self.k_i + 0.01833 * self.na_i))
        e_k1 = nernst(_RTF, self.k_o, self.k_i)
        root = jnp.sqrt(self.k_o / 5.4)
        # x_i = 2.837 (e^{0.04 (V + 77)} - 1) / ((V + 77) e^{0.04 (V + 35)}) above -100 mV, else 1;
        # (e^y - 1) / y = 1 / linoid(y).
        rectified = 2.837 * 0.04 / linoid(0.04 * (v + 77)) * jnp.exp(-0.04 * (v + 35))
        x_i = jnp.where(v > -100, rectified, 1.0)
        opening = 1.02 / (1 + jnp.exp(0.2385 * (v - e_k1 - 59.215)))
        closing = (
            0.49124 * jnp.exp(0.08032 * (v - e_k1 + 5.476)) + jnp.exp(0.06175 * (v - e_k1 - 594.31))
        ) / (1 + jnp.exp(-0.5143 * (v - e_k1 + 4.753)))
        plateau = 1 / (1 + jnp.exp((7.488 - v) / 5.98))
        e_si = 7.7 - 13.0287 * jnp.log(state.cai)
        return {
            "INa": self.g_na * state.m**3 * state.h * state.j * (v - e_na),
            "Isi": self.g_si * state.d * state.f * (v - e_si),
            "IK": self.g_k * root * state.x * x_i * (v - e_k),
            "IK1": self.g_k1 * root * opening / (opening + closing) * (v - e_k1),
            "IKp": self.g_kp * plateau * (v - e_k1),
            "Ib": self.g_b * (v - self.e_b),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        v = state.v
        currents = self.currents(state)
        resting = v < -40  # α_h, β_h, α_j and β_j change form there
        # Exponents of the branch that is not taken are kept from overflowing.
        low = jnp.minimum(v, -40.0)
        high = jnp.maximum(v, -40.0)
        h = gate(
            jnp.where(resting, 0.135 * jnp.exp((80 + low) / -6.8), 0.0),
            jnp.where(
                resting,
                3.56 * jnp.exp(0.079 * low) + 3.1e5 * jnp.exp(0.35 * low),
                1 / (0.13 * (1 + jnp.exp((high + 10.66) / -11.1))),
            ),
        )
        j = gate(
            jnp.where(
                resting,
                (-1.2714e5 * jnp.exp(0.2444 * low) - 3.474e-5 * jnp.exp(-0.04391 * low))
                * (low + 37.78)
                / (1 + jnp.exp(0.311 * (low + 79.23))),
                0.0,
            ),
            jnp.where(
                resting,
                0.1212 * jnp.exp(-0.01052 * low) / (1 + jnp.exp(-0.1378 * (low + 40.14))),
                0.3 * jnp.exp(-2.535e-7 * high) / (1 + jnp.exp(-0.1 * (high + 32))),
            ),
        )
        return State(
            v=-(sum(currents.values()) + stimulus),
            m=gate(3.2 * linoid(-0.1 * (v + 47.13)), 0.08 * jnp.exp(-v / 11)),
            h=h,
            j=j,
            d=gate(
                0.095 * jnp.exp(-0.01 * (v - 5)) / (1 + jnp.exp(-0.072 * (v - 5))),
                0.07 * jnp.exp(-0.017 * (v + 44)) / (1 + jnp.exp(0.05 * (v + 44))),
            ),
            f=gate(
                0.012 * jnp.exp(-0.008 * (v + 28)) / (1 + jnp.exp(0.15 * (v + 28))),
                0.0065 * jnp.exp(-0.02 * (v + 30)) / (1 + jnp.exp(-0.2 * (v + 30))),
            ),
            x=gate(
                0.0005 * jnp.exp(0.083 * (v + 50)) / (1 + jnp.exp(0.057 * (v + 50))),
                0.0013 * jnp.exp(-0.06 * (v + 20)) / (1 + jnp.exp(-0.04 * (v + 20))),
            ),
            cai=-1e-4 * currents["Isi"] + 0.07 * (1e-4 - state.cai),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()
