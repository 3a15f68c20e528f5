"""Fenton and Karma 1998: three currents that reproduce the restitution of larger models."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractSwitchingCell, Gate

CITE = "Fenton and Karma 1998, Chaos 8:20, table I"

# What each fit of table I changes of the defaults, the modified Beeler-Reuter model.
_FITS: dict[str, dict[str, float]] = {
    "modified-beeler-reuter": {},
    "beeler-reuter": {
        "tau_r": 33.33,
        "tau_si": 29.0,
        "tau_0": 12.5,
        "tau_v1_minus": 1250.0,
        "tau_v2_minus": 19.6,
        "tau_w_plus": 870.0,
        "tau_w_minus": 41.0,
        "u_v": 0.04,
    },
    "modified-luo-rudy": {
        "g_fi": 5.8,
        "tau_r": 130.0,
        "tau_si": 127.0,
        "tau_0": 12.5,
        "tau_v_plus": 10.0,
        "tau_v1_minus": 18.2,
        "tau_v2_minus": 18.2,
        "tau_w_plus": 1020.0,
        "tau_w_minus": 80.0,
        "u_v": 0.0,
    },
    "guinea-pig": {
        "g_fi": 8.7,
        "tau_r": 25.0,
        "tau_si": 22.22,
        "tau_0": 12.5,
        "tau_v_plus": 10.0,
        "tau_v1_minus": 333.0,
        "tau_v2_minus": 40.0,
        "tau_w_plus": 1000.0,
        "tau_w_minus": 65.0,
        "u_v": 0.025,
    },
}


class State(NamedTuple):
    """Potential [mV]; the gates v and w of the paper, of the fast and the slow inward current."""

    v: Any
    v_gate: Any
    w: Any


class FentonKarma1998(AbstractSwitchingCell):
    """Fenton and Karma 1998, Chaos 8:20, equations 3 to 10 and table I.

    With u = (V - v_rest) / v_span, p = 1 above u_c (else 0), q = 1 above u_v (else 0):

        du/dt = -(J_fi + J_so + J_si)
        J_fi = -v p (1 - u) (u - u_c) / τ_d,   τ_d = cm / g_fi with cm = 1 µF/cm²
        J_so = (1 - p) u / τ_0 + p / τ_r
        J_si = -w (1 + tanh(k (u - u_c_si))) / (2 τ_si)
        dv/dt = (1 - p) (1 - v) / (q τ_v1⁻ + (1 - q) τ_v2⁻) - p v / τ_v⁺
        dw/dt = (1 - p) (1 - w) / τ_w⁻ - p w / τ_w⁺

    V runs from the resting potential -85 mV to the fast current's reversal potential 15 mV.
    """

    about: ClassVar[About] = About(
        title="Fenton-Karma 1998",
        species="generic",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-20.0, 2.0),
        conductances={"Ifi": "g_fi"},
    )

    g_fi: Float[Array, ""] = parameter(4.0, unit="mS/µF", bounds=(0.0, 20.0), cite=CITE)
    tau_r: Float[Array, ""] = parameter(50.0, unit="ms", bounds=(5.0, 500.0), cite=CITE)
    tau_si: Float[Array, ""] = parameter(45.0, unit="ms", bounds=(5.0, 500.0), cite=CITE)
    tau_0: Float[Array, ""] = parameter(8.3, unit="ms", bounds=(1.0, 80.0), cite=CITE)
    tau_v_plus: Float[Array, ""] = parameter(3.33, unit="ms", bounds=(0.5, 30.0), cite=CITE)
    tau_v1_minus: Float[Array, ""] = parameter(1000.0, unit="ms", bounds=(5.0, 5000.0), cite=CITE)
    tau_v2_minus: Float[Array, ""] = parameter(19.2, unit="ms", bounds=(2.0, 200.0), cite=CITE)
    tau_w_plus: Float[Array, ""] = parameter(667.0, unit="ms", bounds=(50.0, 5000.0), cite=CITE)
    tau_w_minus: Float[Array, ""] = parameter(11.0, unit="ms", bounds=(1.0, 500.0), cite=CITE)
    u_c: Float[Array, ""] = parameter(0.13, unit="1", bounds=(0.05, 0.4), cite=CITE)
    u_v: Float[Array, ""] = parameter(0.055, unit="1", bounds=(0.0, 0.4), cite=CITE)
    u_c_si: Float[Array, ""] = parameter(0.85, unit="1", bounds=(0.3, 1.2), cite=CITE)
    k: Float[Array, ""] = parameter(10.0, unit="1", bounds=(1.0, 50.0), cite=CITE)
    v_rest: Float[Array, ""] = parameter(-85.0, unit="mV", bounds=(-100.0, -50.0), cite=CITE)
    v_span: Float[Array, ""] = parameter(100.0, unit="mV", bounds=(50.0, 160.0), cite=CITE)

    def initial_state(self) -> State:
        return State(v=-85.0, v_gate=1.0, w=1.0)

    def currents(self, state: State) -> dict[str, Any]:
        u = (state.v - self.v_rest) / self.v_span
        excited = u >= self.u_c
        fast = state.v_gate * (1 - u) * (u - self.u_c)
        slow = state.w * (1 + jnp.tanh(self.k * (u - self.u_c_si)))
        return {
            "Ifi": -self.v_span * self.g_fi * jnp.where(excited, fast, 0.0),
            "Iso": self.v_span * jnp.where(excited, 1 / self.tau_r, u / self.tau_0),
            "Isi": -self.v_span * slow / (2 * self.tau_si),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        u = (state.v - self.v_rest) / self.v_span
        excited = u >= self.u_c
        steady = jnp.where(excited, 0.0, 1.0)
        recovery = jnp.where(u >= self.u_v, self.tau_v1_minus, self.tau_v2_minus)
        return State(
            v=-(sum(self.currents(state).values()) + stimulus),
            v_gate=Gate(steady, jnp.where(excited, self.tau_v_plus, recovery)),
            w=Gate(steady, jnp.where(excited, self.tau_w_plus, self.tau_w_minus)),
        )

    def switches(self) -> tuple[Any, ...]:
        return tuple(self.v_rest + self.v_span * u for u in (self.u_c, self.u_v))

    def conserved(self, state: State) -> tuple[Any, ...]:
        return ()


def fenton_karma_1998(fit: str = "modified-beeler-reuter") -> FentonKarma1998:
    """The model with one of the four parameter sets of table I.

    **Arguments:** `fit` is `modified-beeler-reuter` (the default), `beeler-reuter`,
    `modified-luo-rudy` or `guinea-pig`. Raises `ValueError` for another.
    """
    if fit not in _FITS:
        raise ValueError(unknown_name("fit of Fenton and Karma", fit, _FITS))
    return FentonKarma1998(**_FITS[fit])
