"""Fabbri et al. 2017: the human sinus node cell."""

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, Gate, gate
from twinjax.cells._functions import boltzmann, ghk, linoid, nernst

CITE = "Fabbri et al. 2017, J Physiol 595:2365"
_F = 96485.3415  # [C/mol]
_RTF = 8314.472 * 310.0 / _F  # [mV], at 37 °C


class State(NamedTuple):
    """Potential [mV]; gates; release channels; calcium [mM]; fractions of buffers with calcium."""

    v: Any
    m: Any
    h: Any
    d_l: Any
    f_l: Any
    f_ca: Any
    d_t: Any
    f_t: Any
    y: Any
    r_ur: Any
    s_ur: Any
    q: Any
    r: Any
    pas: Any
    paf: Any
    piy: Any
    n: Any
    a: Any
    rest: Any
    open: Any
    inactive: Any
    closed: Any
    cai: Any
    ca_sub: Any
    ca_nsr: Any
    ca_jsr: Any
    f_tc: Any
    f_tmc: Any
    f_tmm: Any
    f_cmi: Any
    f_cms: Any
    f_cq: Any


class Fabbri2017(AbstractCell):
    """Fabbri et al. 2017, appendix: a pacemaker cell, after Severi et al. 2012 (rabbit).

    C dV/dt = -Σ I, currents in nA, rates printed per second:

        If   = y (g_fNa (V - E_Na) + g_fK (V - E_K)), g_fNa = 0.5927 g_fK, their sum g_f
        INa  = g_na m³ h (V - E_mh), INaL = g_nal m³ (V - E_mh)
        ICaL = p_cal d f f_Ca (GHK(Ca) + 3.65e-4 GHK(K) + 1.85e-5 GHK(Na)), ICaT = p_cat d f GHK(Ca)
        IKr  = g_kr (0.9 p_af + 0.1 p_as) p_iy (V - E_K), IKs = g_ks n² (V - E_Ks)
        Ito  = g_to q r (V - E_K), IKur = g_kur r s (V - E_K)
        IKACh = g_kach a (1 + e^{(V + 20)/20}) (V - E_K) where there is acetylcholine

    INaCa is the four-state exchanger; release channels have the four states of Shannon et al.
    Sodium and potassium inside are constants, as in the public files; there is no stimulus.

    Acetylcholine `ach` blocks ICaL and uptake, shifts If and opens IKACh. With `isoprenaline`
    the cell is in 1 µM of it: ICaL, IKs, INaK and uptake grow, and the gates of If, ICaL and IKs
    shift. As there, neither changes the calcium that ICaL brings in, only its charge.
    """

    about: ClassVar[About] = About(
        title="Fabbri et al. 2017",
        species="human",
        tissue="sinus node",
        cite=CITE,
        current_unit="nA",
        conductances={
            "INa": "g_na",
            "INaL": "g_nal",
            "ICaL": "p_cal",
            "ICaT": "p_cat",
            "If": "g_f",
            "Ito": "g_to",
            "IKur": "g_kur",
            "IKr": "g_kr",
            "IKs": "g_ks",
            "IKACh": "g_kach",
            "INaCa": "k_naca",
            "INaK": "i_nak",
        },
    )

    isoprenaline: bool = eqx.field(default=False, static=True)

    g_na: Float[Array, ""] = parameter(0.0223, unit="µS", bounds=(0.0, 0.2), cite=CITE)
    g_nal: Float[Array, ""] = parameter(0.0, unit="µS", bounds=(0.0, 0.01), cite=CITE)
    p_cal: Float[Array, ""] = parameter(0.4578, unit="nA/mM", bounds=(0.0, 4.0), cite=CITE)
    p_cat: Float[Array, ""] = parameter(0.04132, unit="nA/mM", bounds=(0.0, 0.4), cite=CITE)
    g_f: Float[Array, ""] = parameter(0.00427, unit="µS", bounds=(0.0, 0.04), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.0035, unit="µS", bounds=(0.0, 0.035), cite=CITE)
    g_kur: Float[Array, ""] = parameter(1.539e-4, unit="µS", bounds=(0.0, 1.5e-3), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.00424, unit="µS", bounds=(0.0, 0.04), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.00065, unit="µS", bounds=(0.0, 0.0065), cite=CITE)
    g_kach: Float[Array, ""] = parameter(0.00345, unit="µS", bounds=(0.0, 0.035), cite=CITE)
    k_naca: Float[Array, ""] = parameter(3.343, unit="nA", bounds=(0.0, 30.0), cite=CITE)
    i_nak: Float[Array, ""] = parameter(0.08105, unit="nA", bounds=(0.0, 0.8), cite=CITE)
    p_up: Float[Array, ""] = parameter(5.0, unit="mM/s", bounds=(0.0, 50.0), cite=CITE)
    k_up: Float[Array, ""] = parameter(2.86113e-4, unit="mM", bounds=(3e-5, 3e-3), cite=CITE)
    k_release: Float[Array, ""] = parameter(
        1.480410851e8, unit="1/s", bounds=(0.0, 1.5e9), cite=CITE
    )
    tau_diffusion: Float[Array, ""] = parameter(5.469e-5, unit="s", bounds=(5e-6, 5e-4), cite=CITE)
    tau_transfer: Float[Array, ""] = parameter(0.04, unit="s", bounds=(0.004, 0.4), cite=CITE)
    c_m: Float[Array, ""] = parameter(57.0, unit="pF", bounds=(15.0, 150.0), cite=CITE)
    length: Float[Array, ""] = parameter(67.0, unit="µm", bounds=(30.0, 150.0), cite=CITE)
    radius: Float[Array, ""] = parameter(3.9, unit="µm", bounds=(2.0, 8.0), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    na_i: Float[Array, ""] = parameter(5.0, unit="mM", bounds=(2.0, 20.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    k_i: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10.0), cite=CITE)
    mg_i: Float[Array, ""] = parameter(2.5, unit="mM", bounds=(0.2, 10.0), cite=CITE)
    ach: Float[Array, ""] = parameter(0.0, unit="mM", bounds=(0.0, 1e-4), cite=CITE)

    def initial_state(self) -> State:
        # fmt: off
        return State(
            v=-47.787168, m=0.447724, h=0.003058, d_l=0.001921, f_l=0.846702, f_ca=0.844449,
            d_t=0.268909, f_t=0.020484, y=0.009508, r_ur=0.011845, s_ur=0.845304, q=0.430836,
            r=0.014523, pas=0.283185, paf=0.011068, piy=0.709051, n=0.1162, a=0.00277,
            rest=0.9308, open=6.181512e-9, inactive=4.595622e-10, closed=0.069199,
            cai=9.15641e-6, ca_sub=6.226104e-5, ca_nsr=0.435148, ca_jsr=0.409551,
            f_tc=0.017929, f_tmc=0.259947, f_tmm=0.653777, f_cmi=0.217311, f_cms=0.158521,
            f_cq=0.138975,
        )
        # fmt: on

    def currents(self, state: State) -> dict[str, Any]:
        v, u = state.v, state.v / _RTF
        e_na = nernst(_RTF, self.na_o, self.na_i)
        e_k = nernst(_RTF, self.k_o, self.k_i)
        e_mh = nernst(_RTF, self.na_o + 0.12 * self.k_o, self.na_i + 0.12 * self.k_i)
        e_ks = nernst(_RTF, self.k_o + 0.12 * self.na_o, self.k_i + 0.12 * self.na_i)
        more = 1.0 if not self.isoprenaline else 1.2
        calcium = ghk(2 * u, state.ca_sub, self.ca_o)
        others = 3.65e-4 * ghk(u, self.k_i, self.k_o) + 1.85e-5 * ghk(u, self.na_i, self.na_o)
        i_cal = self.p_cal * state.d_l * state.f_l * state.f_ca * (calcium + others)
        i_cal = i_cal * (1 - 0.31 * self.ach / (self.ach + 9e-5))
        i_kach = self.g_kach * state.a * (v - e_k) * (1 + jnp.exp((v + 20) / 20))
        return {
            "If": self.g_f * state.y * ((v - e_k) + 0.5927 * (v - e_na)) / 1.5927,
            "INa": self.g_na * state.m**3 * state.h * (v - e_mh),
            "INaL": self.g_nal * state.m**3 * (v - e_mh),
            "ICaL": i_cal * (1.23 if self.isoprenaline else 1.0),
            "ICaT": self.p_cat * state.d_t * state.f_t * calcium,
            "Ito": self.g_to * state.q * state.r * (v - e_k),
            "IKur": self.g_kur * state.r_ur * state.s_ur * (v - e_k),
            "IKr": self.g_kr * (0.9 * state.paf + 0.1 * state.pas) * state.piy * (v - e_k),
            "IKs": more * self.g_ks * state.n**2 * (v - e_ks),
            "IKACh": jnp.where(self.ach > 0, i_kach, 0.0),
            "INaCa": self.k_naca * self._exchange(u, state.ca_sub),
            "INaK": more
            * self.i_nak
            / (1 + (1.4 / self.k_o) ** 1.2)
            / (1 + (14 / self.na_i) ** 1.3)
            * boltzmann(v, e_na - 110, -20.0),
        }

    def _exchange(self, u: Any, calcium: Any) -> Any:
        """Net rate of the four-state sodium-calcium exchanger, per its maximum."""
        na_i, na_o = self.na_i, self.na_o
        half = jnp.exp(0.4315 * u / 2)
        bound = calcium / 0.0207 * jnp.exp(-0.1369 * u)
        outside = self.ca_o / 3.663
        two_i, two_o = na_i / 395.3 * na_i / 2.289, na_o / 1628 * na_o / 561.4
        three_i, three_o = two_i * (1 + na_i / 26.44), two_o * (1 + na_o / 4.663)
        sum_i = 1 + bound + calcium / 0.0207 * (1 + na_i / 26.44) + na_i / 395.3 + three_i
        sum_o = 1 + 2 * outside + na_o / 1628 + three_o
        k12, k14 = bound / sum_i, three_i * half / sum_i
        k21, k23 = outside / sum_o, three_o / half / sum_o
        k34, k43 = na_o / (4.663 + na_o), na_i / (26.44 + na_i)
        k32, k41 = half, 1 / half
        x1 = k41 * k34 * (k23 + k21) + k21 * k32 * (k43 + k41)
        x2 = k32 * k43 * (k14 + k12) + k41 * k12 * (k34 + k32)
        x3 = k14 * k43 * (k23 + k21) + k12 * k23 * (k43 + k41)
        x4 = k23 * k34 * (k14 + k12) + k14 * k21 * (k34 + k32)
        return (x2 * k21 - x1 * k12) / (x1 + x2 + x3 + x4)

    def rates(self, state: State, stimulus: Any) -> State:
        currents = self.currents(state)
        return State(
            v=-1000 * (sum(currents.values()) + stimulus) / self.c_m,
            **self._gates(state),
            **self._calcium(state, currents["INaCa"]),
        )

    def _gates(self, state: State) -> dict[str, Gate]:
        v = state.v
        iso = self.isoprenaline
        activation = boltzmann(v, -10.0144, -7.6607)
        d_shift, d_slope = (-8.0, 0.73) if iso else (0.0, 1.0)
        n_v = v + 14.0 if iso else v
        unbound = 3.38e-4 / (3.38e-4 + state.ca_sub)
        t_v = jnp.exp((v + 38.3) / 30)
        opening = 0.025641 + _hill(self.ach, 1.6951, 1.2155e-6) * (3.5988 - 0.025641)
        return {
            "m": Gate(
                boltzmann(v, -42.0504, -8.3106),
                1 / (2 * linoid(-0.1 * (v + 41)) + 8 * jnp.exp(-0.056 * (v + 66))),
            ),
            "h": Gate(
                boltzmann(v, -69.804, 4.4565),
                1 / (0.02 * jnp.exp(-0.125 * (v + 75)) + 2 / (320 * jnp.exp(-0.1 * (v + 75)) + 1)),
            ),
            "d_l": Gate(
                boltzmann(v, d_shift - 16.4508, -4.3371 * d_slope),
                1
                / (
                    0.02839 * 2.5 * linoid(-(v + 41.8) / 2.5)
                    + 0.0849 * 4.8 * linoid(-(v + 6.8) / 4.8)
                    + 0.01143 * 2.5 * linoid((v + 1.8) / 2.5)
                ),
            ),
            "f_l": Gate(boltzmann(v, -37.4, 5.3), 44.3 + 230 * jnp.exp(-(((v + 36) / 10) ** 2))),
            "f_ca": Gate(unbound, unbound / 0.0075),
            "d_t": Gate(boltzmann(v, -38.3, -5.5), 1 / (1.068 * (t_v + 1 / t_v))),
            "f_t": Gate(
                boltzmann(v, -58.7, 3.8),
                1000 / (16.67 * (jnp.exp(-(v + 75) / 83.3) + jnp.exp((v + 75) / 15.38))),
            ),
            "y": self._funny(v),
            "r_ur": Gate(boltzmann(v, -6.0, -8.6), 9 * boltzmann(v, -5.0, 12.0) + 0.5),
            "s_ur": Gate(boltzmann(v, -7.5, 10.0), 590 * boltzmann(v, -60.0, 10.0) + 3050),
            "q": Gate(
                boltzmann(v, -49.0, 13.0),
                0.6
                * 65.17
                / (0.57 * jnp.exp(-0.08 * (v + 44)) + 0.065 * jnp.exp(0.1 * (v + 45.93)))
                + 0.6 * 10.1,
            ),
            "r": Gate(
                boltzmann(v, 19.3, -15.0),
                0.924
                * 15.59
                / (1.037 * jnp.exp(0.09 * (v + 30.61)) + 0.369 * jnp.exp(-0.12 * (v + 23.84)))
                + 0.924 * 2.98,
            ),
            "pas": Gate(
                activation, 846.55354 / (4.2 * jnp.exp(v / 17) + 0.15 * jnp.exp(-v / 21.6))
            ),
            "paf": Gate(activation, 1000 / (30 * jnp.exp(v / 10) + jnp.exp(-v / 12))),
            "piy": Gate(
                boltzmann(v, -28.6, 17.1),
                1000 / (100 * jnp.exp(-v / 54.645) + 656 * jnp.exp(v / 106.157)),
            ),
            "n": Gate(
                jnp.sqrt(boltzmann(n_v, -0.6383, -10.7071)),
                1000 / (28 * boltzmann(n_v, 40.0, -3.0) + jnp.exp(-(n_v - 5) / 25)),
            ),
            "a": gate(1e-3 * opening, 0.01 * jnp.exp(0.0133 * (v + 40))),
        }

    def _funny(self, v: Any) -> Gate:
        """Activation of If, shifted by acetylcholine and isoprenaline."""
        shift = -jnp.where(self.ach > 0, 1 + 9.898 * _hill(self.ach, 0.618, 1.22423e-3), 0.0)
        v = v - shift - (7.5 if self.isoprenaline else 0.0)
        rate = 0.36 / 0.066 * linoid(0.066 * (v + 148.8)) + 0.5 * linoid(-0.2 * (v + 87.3))
        low, high = jnp.minimum(v, -80.0), jnp.maximum(v, -80.0)
        steady = jnp.where(
            v < -80,
            0.01329 + 0.99921 * boltzmann(low, -97.134, 8.1752),
            2.501e-4 * jnp.exp(-high / 12.861),
        )
        return Gate(steady, 1000 / rate - 54)

    def _calcium(self, state: State, i_naca: Any) -> dict[str, Gate]:
        """Release channels, buffers and calcium."""
        sub, cai, jsr = state.ca_sub, state.cai, state.ca_jsr
        cell = math.pi * self.radius**2 * self.length  # [µm³]
        v_sub = 2 * math.pi * 0.02 * (self.radius - 0.01) * self.length
        v_i, v_jsr, v_nsr = 0.46 * cell - v_sub, 0.0012 * cell, 0.0116 * cell

        k_casr = 15 - 14 / (1 + (0.45 / jsr) ** 2.5)
        opening, inactivation = 10 / k_casr * sub**2, 0.5 * k_casr * sub
        closing, recovery = 0.66, 0.005
        release = 1e-3 * self.k_release * state.open

        # Binding and unbinding, [1/mM/ms] and [1/ms].
        f_tc = gate(88.8 * cai, 0.446)
        f_tmc = _linear(227.7 * cai * (1 - state.f_tmm), 227.7 * cai + 0.00751)
        f_tmm = _linear(2.277 * self.mg_i * (1 - state.f_tmc), 2.277 * self.mg_i + 0.751)
        f_cmi, f_cms = gate(1642 * cai, 0.542), gate(1642 * sub, 0.542)
        f_cq = gate(0.1754 * jsr, 0.445)

        blocked = 0.7 * self.ach / (9e-5 + self.ach)
        p_up = self.p_up * (1.25 if self.isoprenaline else 1 - blocked)
        uptake = 1e-3 * p_up * jax.nn.sigmoid((cai - self.k_up) / 5e-5)
        diffusion, transfer = 1e-3 / self.tau_diffusion, 1e-3 / self.tau_transfer
        per_current = 1e6 / (2 * _F * v_sub)  # [mM/ms/nA]
        u = 2 * state.v / _RTF
        permeable = per_current * (
            self.p_cal * state.d_l * state.f_l * state.f_ca + self.p_cat * state.d_t * state.f_t
        )
        # The fluxes that are linear in calcium itself are stiff through its buffers: with them as
        # outflow it is solved as a gate. Exchanger and uptake, which are not linear, are inflow.
        free_cms, free_cmi, free_cq = 1 - state.f_cms, 1 - state.f_cmi, 1 - state.f_cq
        return {
            "rest": _linear(recovery * state.closed + closing * state.open, inactivation + opening),
            "open": _linear(
                opening * state.rest + recovery * state.inactive, closing + inactivation
            ),
            "inactive": _linear(
                inactivation * state.open + opening * state.closed, recovery + closing
            ),
            "closed": _linear(
                closing * state.inactive + inactivation * state.rest, opening + recovery
            ),
            "cai": _linear(
                (diffusion * sub * v_sub - uptake * v_nsr) / v_i
                + 0.045 * 0.542 * state.f_cmi
                + 0.031 * 0.446 * state.f_tc
                + 0.062 * 0.00751 * state.f_tmc,
                diffusion * v_sub / v_i
                + 0.045 * 1642 * free_cmi
                + 0.031 * 88.8 * (1 - state.f_tc)
                + 0.062 * 227.7 * (1 - state.f_tmc - state.f_tmm),
            ),
            "ca_sub": _linear(
                release * jsr * v_jsr / v_sub
                + permeable * self.ca_o * linoid(u)
                + 2 * per_current * i_naca
                + diffusion * cai
                + 0.045 * 0.542 * state.f_cms,
                release * v_jsr / v_sub
                + permeable * linoid(-u)
                + diffusion
                + 0.045 * 1642 * free_cms,
            ),
            "ca_nsr": _linear(uptake + transfer * jsr * v_jsr / v_nsr, transfer * v_jsr / v_nsr),
            "ca_jsr": _linear(
                transfer * state.ca_nsr + release * sub + 10 * 0.445 * state.f_cq,
                transfer + release + 10 * 0.1754 * free_cq,
            ),
            "f_tc": f_tc,
            "f_tmc": f_tmc,
            "f_tmm": f_tmm,
            "f_cmi": f_cmi,
            "f_cms": f_cms,
            "f_cq": f_cq,
        }

    def conserved(self, state: State) -> tuple[Any, ...]:
        """The release channels' probabilities."""
        return (state.rest + state.open + state.inactive + state.closed,)


def _linear(inflow: Any, outflow: Any) -> Gate:
    """dx/dt = inflow - outflow x."""
    return Gate(inflow / outflow, 1 / outflow)


def _hill(ach: Any, power: float, half: float) -> Any:
    """x^p / (x^p + half); at 0 its derivative is given as 0, which for p < 1 is infinite."""
    raised = jnp.where(ach > 0, jnp.where(ach > 0, ach, 1.0) ** power, 0.0)
    return raised / (raised + half)
