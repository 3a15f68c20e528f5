"""Bueno-Orovio, Cherry and Fenton 2008: the minimal human ventricular cell."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractSwitchingCell, Gate
from twinjax.cells._functions import boltzmann

CITE = "Bueno-Orovio, Cherry and Fenton 2008, J Theor Biol 253:544, table 1"
_U_S, _K_S = 0.9087, 2.0994
_TAU_V_PLUS, _TAU_S1 = 1.4506, 2.7342  # [ms]


class State(NamedTuple):
    """Potential [mV]; the gates v, w and s of the paper."""

    v: Any
    v_gate: Any
    w: Any
    s: Any


class BuenoOrovio2008(AbstractSwitchingCell):
    """Bueno-Orovio, Cherry and Fenton 2008, J Theor Biol 253:544, equations 1 to 14, table 1.

    With u = (V - v_rest) / v_span, V = 85.7 u - 84 mV, H a step, and
    T(x; a, b, k, c) = a + (b - a) (1 + tanh(k (x - c))) / 2:

        du/dt = -(J_fi + J_so + J_si)
        J_fi = -v H(u - θ_v) (u - θ_v) (u_u - u) / τ_fi
        J_so = u / τ_o below θ_w, else 1 / T(u; τ_so1, τ_so2, k_so, u_so)
        J_si = -H(u - θ_w) w s / τ_si
        dv/dt = (H(θ_v⁻ - u) - v) / τ_v⁻ below θ_v, else -v / 1.4506
        dw/dt = (w∞ - w) / T(u; τ_w1⁻, τ_w2⁻, k_w⁻, u_w⁻) below θ_w, else -w / τ_w⁺
        ds/dt = ((1 + tanh(2.0994 (u - 0.9087))) / 2 - s) / τ_s, τ_s = 2.7342 below θ_w, else τ_s2

    τ_v⁻ = τ_v1⁻ below θ_v⁻, else τ_v2⁻; below θ_o are τ_o = τ_o1 and w∞ = 1 - u / τ_w∞, else τ_o2
    and w∞*. The defaults are the epicardium. Currents are those of a membrane of 1 µF/cm².
    """

    about: ClassVar[About] = About(
        title="Bueno-Orovio-Cherry-Fenton 2008",
        species="human",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-30.0, 2.0),
    )

    u_u: Float[Array, ""] = parameter(1.55, unit="1", bounds=(0.8, 2.0), cite=CITE)
    theta_v: Float[Array, ""] = parameter(0.3, unit="1", bounds=(0.2, 0.5), cite=CITE)
    theta_w: Float[Array, ""] = parameter(0.13, unit="1", bounds=(0.05, 0.3), cite=CITE)
    theta_v_minus: Float[Array, ""] = parameter(0.006, unit="1", bounds=(0.001, 0.3), cite=CITE)
    theta_o: Float[Array, ""] = parameter(0.006, unit="1", bounds=(0.001, 0.1), cite=CITE)
    tau_v1_minus: Float[Array, ""] = parameter(60.0, unit="ms", bounds=(5.0, 600.0), cite=CITE)
    tau_v2_minus: Float[Array, ""] = parameter(1150.0, unit="ms", bounds=(0.5, 5000.0), cite=CITE)
    tau_w1_minus: Float[Array, ""] = parameter(60.0, unit="ms", bounds=(1.0, 600.0), cite=CITE)
    tau_w2_minus: Float[Array, ""] = parameter(15.0, unit="ms", bounds=(1.0, 1000.0), cite=CITE)
    k_w_minus: Float[Array, ""] = parameter(65.0, unit="1", bounds=(5.0, 1000.0), cite=CITE)
    u_w_minus: Float[Array, ""] = parameter(0.03, unit="1", bounds=(0.001, 0.2), cite=CITE)
    tau_w_plus: Float[Array, ""] = parameter(200.0, unit="ms", bounds=(20.0, 2000.0), cite=CITE)
    tau_fi: Float[Array, ""] = parameter(0.11, unit="ms", bounds=(0.01, 1.0), cite=CITE)
    tau_o1: Float[Array, ""] = parameter(400.0, unit="ms", bounds=(40.0, 4000.0), cite=CITE)
    tau_o2: Float[Array, ""] = parameter(6.0, unit="ms", bounds=(0.6, 60.0), cite=CITE)
    tau_so1: Float[Array, ""] = parameter(30.0181, unit="ms", bounds=(3.0, 300.0), cite=CITE)
    tau_so2: Float[Array, ""] = parameter(0.9957, unit="ms", bounds=(0.1, 10.0), cite=CITE)
    k_so: Float[Array, ""] = parameter(2.0458, unit="1", bounds=(0.5, 10.0), cite=CITE)
    u_so: Float[Array, ""] = parameter(0.65, unit="1", bounds=(0.2, 1.2), cite=CITE)
    tau_s2: Float[Array, ""] = parameter(16.0, unit="ms", bounds=(0.5, 160.0), cite=CITE)
    tau_si: Float[Array, ""] = parameter(1.8875, unit="ms", bounds=(0.2, 20.0), cite=CITE)
    tau_w_inf: Float[Array, ""] = parameter(0.07, unit="1", bounds=(0.001, 1.0), cite=CITE)
    w_inf: Float[Array, ""] = parameter(0.94, unit="1", bounds=(0.1, 1.0), cite=CITE)
    v_rest: Float[Array, ""] = parameter(-84.0, unit="mV", bounds=(-100.0, -50.0), cite=CITE)
    v_span: Float[Array, ""] = parameter(85.7, unit="mV", bounds=(50.0, 160.0), cite=CITE)

    def initial_state(self) -> State:
        return State(v=-84.0, v_gate=1.0, w=1.0, s=0.0)

    def currents(self, state: State) -> dict[str, Any]:
        u = (state.v - self.v_rest) / self.v_span
        plateau = u >= self.theta_w
        fast = state.v_gate * (u - self.theta_v) * (self.u_u - u) / self.tau_fi
        # (1 + tanh(y)) / 2 = 1 / (1 + exp(-2 y))
        tau_so = self.tau_so1 + (self.tau_so2 - self.tau_so1) * boltzmann(
            u, self.u_so, -0.5 / self.k_so
        )
        below = u / jnp.where(u < self.theta_o, self.tau_o1, self.tau_o2)
        return {
            "Ifi": -self.v_span * jnp.where(u >= self.theta_v, fast, 0.0),
            "Iso": self.v_span * jnp.where(plateau, 1 / tau_so, below),
            "Isi": -self.v_span * jnp.where(plateau, state.w * state.s / self.tau_si, 0.0),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        u = (state.v - self.v_rest) / self.v_span
        excited, plateau = u >= self.theta_v, u >= self.theta_w
        recovered = u < self.theta_v_minus
        tau_v_minus = jnp.where(recovered, self.tau_v1_minus, self.tau_v2_minus)
        tau_w_minus = self.tau_w1_minus + (self.tau_w2_minus - self.tau_w1_minus) * boltzmann(
            u, self.u_w_minus, -0.5 / self.k_w_minus
        )
        w_inf = jnp.where(u < self.theta_o, 1 - u / self.tau_w_inf, self.w_inf)
        return State(
            v=-(sum(self.currents(state).values()) + stimulus),
            v_gate=Gate(
                jnp.where(recovered & ~excited, 1.0, 0.0),
                jnp.where(excited, _TAU_V_PLUS, tau_v_minus),
            ),
            w=Gate(
                jnp.where(plateau, 0.0, w_inf), jnp.where(plateau, self.tau_w_plus, tau_w_minus)
            ),
            s=Gate(boltzmann(u, _U_S, -0.5 / _K_S), jnp.where(plateau, self.tau_s2, _TAU_S1)),
        )

    def switches(self) -> tuple[Any, ...]:
        thresholds = (self.theta_v, self.theta_w, self.theta_v_minus, self.theta_o)
        return tuple(self.v_rest + self.v_span * u for u in thresholds)

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()


def bueno_orovio_2008_epi() -> BuenoOrovio2008:
    """The epicardium of table 1."""
    return BuenoOrovio2008()


def bueno_orovio_2008_endo() -> BuenoOrovio2008:
    """The endocardium of table 1."""
    return BuenoOrovio2008(
        u_u=1.56,
        theta_v_minus=0.2,
        tau_v1_minus=75.0,
        tau_v2_minus=10.0,
        tau_w1_minus=6.0,
        tau_w2_minus=140.0,
        k_w_minus=200.0,
        u_w_minus=0.016,
        tau_w_plus=280.0,
        tau_fi=0.1,
        tau_o1=470.0,
        tau_so1=40.0,
        tau_so2=1.2,
        k_so=2.0,
        tau_s2=2.0,
        tau_si=2.9013,
        tau_w_inf=0.0273,
        w_inf=0.78,
    )


def bueno_orovio_2008_m() -> BuenoOrovio2008:
    """The midmyocardium of table 1."""
    return BuenoOrovio2008(
        u_u=1.61,
        theta_v_minus=0.1,
        theta_o=0.005,
        tau_v1_minus=80.0,
        tau_v2_minus=1.4506,
        tau_w1_minus=70.0,
        tau_w2_minus=8.0,
        k_w_minus=200.0,
        u_w_minus=0.016,
        tau_w_plus=280.0,
        tau_fi=0.078,
        tau_o1=410.0,
        tau_o2=7.0,
        tau_so1=91.0,
        tau_so2=0.8,
        k_so=2.1,
        u_so=0.6,
        tau_s2=4.0,
        tau_si=3.3849,
        tau_w_inf=0.01,
        w_inf=0.5,
    )
