"""Courtemanche, Ramirez and Nattel 1998: the human atrial cell."""

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, Gate, gate
from twinjax.cells._functions import boltzmann, linoid, nernst

CITE = "Courtemanche, Ramirez and Nattel 1998, Am J Physiol Heart 275:H301"
_FARADAY = 96.4867  # [C/mmol]
_RTF = 8.3143 * 310.0 / _FARADAY  # [mV], at 37 °C


class State(NamedTuple):
    """Potential [mV]; gates; concentrations [mM] in cytosol, release (`ca_rel`) and uptake store.

    `u`, `v_rel` and `w` gate the release of calcium by flux, by flux again, and by potential.
    """

    v: Any
    m: Any
    h: Any
    j: Any
    oa: Any
    oi: Any
    ua: Any
    ui: Any
    xr: Any
    xs: Any
    d: Any
    f: Any
    f_ca: Any
    u: Any
    v_rel: Any
    w: Any
    nai: Any
    cai: Any
    ki: Any
    ca_rel: Any
    ca_up: Any


class Courtemanche1998(AbstractCell):
    """Courtemanche et al. 1998, Am J Physiol Heart 275:H301, appendix; currents [pA].

    cm dV/dt = -(ΣI + Istim), and per unit of capacitance

        INa = g_na m³ h j (V - E_Na)           IK1 = g_k1 (V - E_K) / (1 + e^{0.07 (V + 80)})
        Ito = g_to oa³ oi (V - E_K)            IKur = g_kur (0.1 + σ((V - 15)/13)) ua³ ui (V - E_K)
        IKr = g_kr xr (V - E_K) σ(-(V + 15)/22.4)             IKs = g_ks xs² (V - E_K)
        ICaL = g_cal d f f_ca (V - 65)         IpCa = i_pca_max Ca_i / (0.0005 + Ca_i)
        INaK = i_nak_max f_NaK Na^1.5/(Na^1.5 + 10^1.5) K_o/(K_o + 1.5),   and INaCa, backgrounds

    with σ(x) = 1/(1 + e^{-x}). Calcium is released by k_rel u² v_rel w (Ca_rel - Ca_i), pumped by
    i_up_max/(1 + 0.00092/Ca_i), and buffered in instantaneous equilibrium.

    As published the stimulus carries no ion, so that every stimulus lowers the charge that the
    ions hold, and sodium and potassium drift for as long as the cell is paced: there is no
    periodic beat. `stimulus_is_potassium` makes the stimulus a flow of potassium, which ends the
    drift and leaves the charge conserved.
    """

    about: ClassVar[About] = About(
        title="Courtemanche-Ramirez-Nattel 1998",
        species="human",
        tissue="atrium",
        cite=CITE,
        current_unit="pA",
        stimulus=(-2000.0, 2.0),
        conductances={
            "INa": "g_na",
            "IK1": "g_k1",
            "Ito": "g_to",
            "IKur": "g_kur",
            "IKr": "g_kr",
            "IKs": "g_ks",
            "ICaL": "g_cal",
            "INaK": "i_nak_max",
            "INaCa": "i_naca_max",
            "IpCa": "i_pca_max",
            "INab": "g_nab",
            "ICab": "g_cab",
            "IKb": "g_kb",
        },
    )

    g_na: Float[Array, ""] = parameter(7.8, unit="nS/pF", bounds=(0.0, 30.0), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.09, unit="nS/pF", bounds=(0.0, 0.9), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.1652, unit="nS/pF", bounds=(0.0, 1.6), cite=CITE)
    g_kur: Float[Array, ""] = parameter(0.05, unit="nS/pF", bounds=(0.0, 0.5), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.029411765, unit="nS/pF", bounds=(0.0, 0.3), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.12941176, unit="nS/pF", bounds=(0.0, 1.3), cite=CITE)
    g_cal: Float[Array, ""] = parameter(0.12375, unit="nS/pF", bounds=(0.0, 1.2), cite=CITE)
    i_nak_max: Float[Array, ""] = parameter(0.59933874, unit="pA/pF", bounds=(0.0, 6.0), cite=CITE)
    i_naca_max: Float[Array, ""] = parameter(1600.0, unit="pA/pF", bounds=(0.0, 16000.0), cite=CITE)
    i_pca_max: Float[Array, ""] = parameter(0.275, unit="pA/pF", bounds=(0.0, 2.7), cite=CITE)
    g_nab: Float[Array, ""] = parameter(0.0006744375, unit="nS/pF", bounds=(0.0, 0.007), cite=CITE)
    g_cab: Float[Array, ""] = parameter(0.001131, unit="nS/pF", bounds=(0.0, 0.011), cite=CITE)
    g_kb: Float[Array, ""] = parameter(0.0, unit="nS/pF", bounds=(0.0, 0.01), cite=CITE)
    k_rel: Float[Array, ""] = parameter(30.0, unit="1/ms", bounds=(0.0, 300.0), cite=CITE)
    i_up_max: Float[Array, ""] = parameter(0.005, unit="mM/ms", bounds=(0.0, 0.05), cite=CITE)
    leak: Float[Array, ""] = parameter(0.005 / 15, unit="1/ms", bounds=(0.0, 0.003), cite=CITE)
    tau_tr: Float[Array, ""] = parameter(180.0, unit="ms", bounds=(20.0, 1800.0), cite=CITE)
    tau_f_ca: Float[Array, ""] = parameter(2.0, unit="ms", bounds=(0.2, 20.0), cite=CITE)
    cmdn: Float[Array, ""] = parameter(0.05, unit="mM", bounds=(0.0, 0.5), cite=CITE)
    trpn: Float[Array, ""] = parameter(0.07, unit="mM", bounds=(0.0, 0.7), cite=CITE)
    csqn: Float[Array, ""] = parameter(10.0, unit="mM", bounds=(0.0, 100.0), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    cm: Float[Array, ""] = parameter(100.0, unit="pF", bounds=(20.0, 400.0), cite=CITE)
    cell_volume: Float[Array, ""] = parameter(
        2.01e-8, unit="mL", bounds=(4e-9, 8e-8), cite=CITE + ": 20 100 µm³"
    )
    stimulus_is_potassium: bool = eqx.field(static=True, default=False)

    def initial_state(self) -> State:
        return State(
            v=-81.18,
            m=0.002908,
            h=0.9649,
            j=0.9775,
            oa=0.03043,
            oi=0.9992,
            ua=0.004966,
            ui=0.9986,
            xr=3.296e-5,
            xs=0.01869,
            d=1.367e-4,
            f=0.9996,
            f_ca=0.7755,
            u=2.35e-112,
            v_rel=1.0,
            w=0.9992,
            nai=11.17,
            cai=1.013e-4,
            ki=139.0,
            ca_rel=1.488,
            ca_up=1.488,
        )

    def currents(self, state: State) -> dict[str, Any]:
        v, nai, cai = state.v, state.nai, state.cai
        to_na = v - nernst(_RTF, self.na_o, nai)
        to_k = v - nernst(_RTF, self.k_o, state.ki)
        to_ca = v - nernst(_RTF / 2, self.ca_o, cai)
        outward = jnp.exp(0.35 * v / _RTF)  # the exchanger senses 0.35 of the field
        down = jnp.exp(-v / _RTF)
        inward = outward * down
        sigma = jnp.expm1(self.na_o / 67.3) / 7
        f_nak = 1 / (1 + 0.1245 * jnp.exp(-0.1 * v / _RTF) + 0.0365 * sigma * down)
        ratio = 10.0 / nai
        exchange = (outward * nai**3 * self.ca_o - inward * self.na_o**3 * cai) / (
            (87.5**3 + self.na_o**3) * (1.38 + self.ca_o) * (1 + 0.1 * inward)
        )
        densities = {  # [pA/pF]
            "INa": self.g_na * state.m**3 * state.h * state.j * to_na,
            "IK1": self.g_k1 * boltzmann(v, -80.0, 1 / 0.07) * to_k,
            "Ito": self.g_to * state.oa**3 * state.oi * to_k,
            "IKur": self.g_kur * (0.1 + boltzmann(v, 15.0, -13.0)) * state.ua**3 * state.ui * to_k,
            "IKr": self.g_kr * state.xr * boltzmann(v, -15.0, 22.4) * to_k,
            "IKs": self.g_ks * state.xs**2 * to_k,
            "ICaL": self.g_cal * state.d * state.f * state.f_ca * (v - 65),
            "INaK": self.i_nak_max
            * f_nak
            / (1 + ratio * jnp.sqrt(ratio))
            * self.k_o
            / (self.k_o + 1.5),
            "INaCa": self.i_naca_max * exchange,
            "IpCa": self.i_pca_max * cai / (0.0005 + cai),
            "INab": self.g_nab * to_na,
            "ICab": self.g_cab * to_ca,
            "IKb": self.g_kb * to_k,
        }
        return {name: self.cm * density for name, density in densities.items()}

    def rates(self, state: State, stimulus: Any) -> State:
        s, v = state, state.v
        currents = i = self.currents(state)
        volume_i, volume_rel, volume_up = self._volumes()

        release = self.k_rel * s.u**2 * s.v_rel * s.w * (s.ca_rel - s.cai)
        transfer = (s.ca_up - s.ca_rel) / self.tau_tr
        uptake = self.i_up_max * s.cai / (s.cai + 0.00092) - self.leak * s.ca_up
        u_gate, v_gate, w_gate = self._release_gates(v, volume_rel * release, i)

        potassium = i["IK1"] + i["Ito"] + i["IKur"] + i["IKr"] + i["IKs"] + i["IKb"]
        if self.stimulus_is_potassium:
            potassium = potassium + stimulus
        calcium = i["ICaL"] + i["IpCa"] + i["ICab"] - 2 * i["INaCa"]
        buffered = (
            1
            + self.trpn * 0.0005 / (s.cai + 0.0005) ** 2
            + self.cmdn * 0.00238 / (s.cai + 0.00238) ** 2
        )
        return State(
            v=-(sum(currents.values()) + stimulus) / self.cm,
            **_sodium_gates(v),
            **_potassium_gates(v),
            **self._calcium_gates(v, s.cai),
            u=u_gate,
            v_rel=v_gate,
            w=w_gate,
            nai=-(3 * i["INaK"] + 3 * i["INaCa"] + i["INab"] + i["INa"]) / (volume_i * _FARADAY),
            cai=(
                -calcium / (2 * volume_i * _FARADAY)
                + (volume_rel * release - volume_up * uptake) / volume_i
            )
            / buffered,
            ki=(2 * i["INaK"] - potassium) / (volume_i * _FARADAY),
            ca_rel=(transfer - release) / (1 + self.csqn * 0.8 / (s.ca_rel + 0.8) ** 2),
            ca_up=uptake - transfer * volume_rel / volume_up,
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        """The charge of all ions less that of the membrane [fC], if the stimulus is potassium."""
        if not self.stimulus_is_potassium:
            return ()
        volume_i, volume_rel, volume_up = self._volumes()
        cai, rel = state.cai, state.ca_rel
        cytosol = cai * (1 + self.trpn / (cai + 0.0005) + self.cmdn / (cai + 0.00238))
        calcium = (
            volume_i * cytosol
            + volume_up * state.ca_up
            + volume_rel * rel * (1 + self.csqn / (rel + 0.8))
        )
        ions = _FARADAY * (volume_i * (state.nai + state.ki) + 2 * calcium)
        return (ions - self.cm * state.v,)

    def _volumes(self) -> tuple[Any, Any, Any]:
        """Cytosol, release and uptake store [µm³]."""
        volume = self.cell_volume * 1e12
        return 0.68 * volume, 0.0048 * volume, 0.0552 * volume

    def _calcium_gates(self, v: Any, cai: Any) -> dict[str, Gate]:
        y = (v + 10) / 6.24
        tau_d = 1 / (0.035 * 6.24 * linoid(-y) * (1 + jnp.exp(-y)))
        tau_f = 9 / (0.0197 * jnp.exp(-((0.0337 * (v + 10)) ** 2)) + 0.02)
        return {
            "d": Gate(boltzmann(v, -10.0, -8.0), tau_d),
            "f": Gate(boltzmann(v, -28.0, 6.9), tau_f),
            "f_ca": Gate(1 / (1 + cai / 0.00035), self.tau_f_ca),
        }

    def _release_gates(self, v: Any, released: Any, i: dict[str, Any]) -> tuple[Gate, Gate, Gate]:
        # F_n of the paper over the slope 13.67e-16 of its steady states.
        flux = (
            1e-12 * released - 5e-13 / _FARADAY * (0.5 * i["ICaL"] - 0.2 * i["INaCa"])
        ) / 13.67e-16
        opening = jax.nn.sigmoid(flux - 3.4175e-13 / 13.67e-16)
        z = (v - 7.9) / 5
        tau_w = 6 / (5 * linoid(-z) * (1 + 0.3 * jnp.exp(-z)))
        return (
            Gate(opening, 8.0),
            Gate(jax.nn.sigmoid(6.835e-14 / 13.67e-16 - flux), 1.91 + 2.09 * opening),
            Gate(boltzmann(v, 40.0, 17.0), tau_w),
        )


def _sodium_gates(v: Any) -> dict[str, Gate]:
    resting = v < -40  # h and j change form there
    # Exponents of the branch that is not taken are kept from overflowing.
    low = jnp.minimum(v, -40.0)
    high = jnp.maximum(v, -40.0)
    return {
        "m": gate(3.2 * linoid(-0.1 * (v + 47.13)), 0.08 * jnp.exp(-v / 11)),
        "h": gate(
            jnp.where(resting, 0.135 * jnp.exp((80 + low) / -6.8), 0.0),
            jnp.where(
                resting,
                3.56 * jnp.exp(0.079 * low) + 3.1e5 * jnp.exp(0.35 * low),
                boltzmann(high, -10.66, -11.1) / 0.13,
            ),
        ),
        "j": gate(
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
        ),
    }


def _potassium_gates(v: Any) -> dict[str, Gate]:
    # Activation of Ito and IKur is equally fast; 3 is the Q10 from room to body temperature.
    tau_a = 1 / (
        3
        * 0.65
        * (
            1 / (jnp.exp((v + 10) / -8.5) + jnp.exp((v - 30) / -59))
            + 1 / (2.5 + jnp.exp((v + 82) / 17))
        )
    )
    tau_oi = 1 / (
        3 * (1 / (18.53 + jnp.exp((v + 113.7) / 10.95)) + 1 / (35.56 + jnp.exp((v + 1.26) / -7.44)))
    )
    tau_ui = 1 / (3 * (1 / (21 + jnp.exp((v - 185) / -28)) + jnp.exp((v - 158) / 16)))
    tau_xr = 1 / (
        0.0003 * 5 * linoid((v + 14.1) / -5) + 7.3898e-5 * 5.1237 * linoid((v - 3.3328) / 5.1237)
    )
    tau_xs = 0.5 / (4e-5 * 17 * linoid((v - 19.9) / -17) + 3.5e-5 * 9 * linoid((v - 19.9) / 9))
    return {
        "oa": Gate(boltzmann(v, -20.47, -17.54), tau_a),
        "oi": Gate(boltzmann(v, -43.1, 5.3), tau_oi),
        "ua": Gate(boltzmann(v, -30.3, -9.6), tau_a),
        "ui": Gate(boltzmann(v, 99.45, 27.48), tau_ui),
        "xr": Gate(boltzmann(v, -14.1, -6.5), tau_xr),
        "xs": Gate(jnp.sqrt(boltzmann(v, 19.9, -12.7)), tau_xs),
    }
