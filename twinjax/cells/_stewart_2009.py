"""Stewart et al. 2009: the human Purkinje fibre cell."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, Gate
from twinjax.cells._functions import boltzmann, nernst
from twinjax.cells._tentusscher_panfilov_2006 import (
    CITE as BASIS,
)
from twinjax.cells._tentusscher_panfilov_2006 import (
    RTF,
    calcium_rates,
    kept_currents,
    kept_gates,
    per_current,
    total_charge,
)

CITE = "Stewart et al. 2009, Phil Trans R Soc A 367:2225"
_SODIUM = 0.3833  # share of If's conductance


class State(NamedTuple):
    """Potential [mV]; gates; calcium in cytosol, reticulum and subspace, sodium, potassium [mM]."""

    v: Any
    m: Any
    h: Any
    j: Any
    d: Any
    f: Any
    f2: Any
    fcass: Any
    r: Any
    s: Any
    xs: Any
    xr1: Any
    xr2: Any
    y: Any
    cai: Any
    casr: Any
    cass: Any
    r_prime: Any
    nai: Any
    ki: Any


_PACED = State(
    v=-71.28643849947525,
    m=0.028329347320328366,
    h=0.251110676365191,
    j=0.26568042280998555,
    d=0.00021629084283003862,
    f=0.9689697715029779,
    f2=0.9963284888885274,
    fcass=0.9999352887662061,
    r=0.0008842900837400649,
    s=0.9687497543336633,
    xs=0.008401270071653854,
    xr1=0.013462800907035123,
    xr2=0.3326973795771557,
    y=0.03840524872304444,
    cai=0.000102363913704158,
    casr=3.141498681386871,
    cass=0.0003812502455276172,
    r_prime=0.9840864935775854,
    nai=8.805053730549863,
    ki=136.77342684299867,
)
_SPONTANEOUS = State(
    v=-69.1370441635924,
    m=0.0417391656294997,
    h=0.190678733735145,
    j=0.238219836154029,
    d=0.000287906256206415,
    f=0.989328560287987,
    f2=0.995474890442185,
    fcass=0.999955429598213,
    r=0.00103618091196912,
    s=0.96386101799501,
    xs=0.00953708522974789,
    xr1=0.00550281999719088,
    xr2=0.313213286437995,
    y=0.0457562667986602,
    cai=0.000101878186157052,
    casr=3.10836886659417,
    cass=0.000446818714055411,
    r_prime=0.991580051907845,
    nai=8.80420286531673,
    ki=136.781894160227,
)
_ABOUT = About(
    title="Stewart et al. 2009",
    species="human",
    tissue="Purkinje fibre",
    cite=CITE,
    current_unit="A/F",
    stimulus=(-52.0, 1.0),
    conductances={
        "INa": "g_na",
        "ICaL": "g_cal",
        "Ito": "g_to",
        "Isus": "g_sus",
        "If": "g_f",
        "IKr": "g_kr",
        "IKs": "g_ks",
        "IK1": "g_k1",
        "INaCa": "k_naca",
        "INaK": "p_nak",
        "IpCa": "g_pca",
        "IpK": "g_pk",
        "INab": "g_nab",
        "ICab": "g_cab",
    },
)


class Stewart2009(AbstractCell):
    """Stewart et al. 2009, appendix: ten Tusscher-Panfilov 2006 changed to a Purkinje fibre cell.

    dV/dt = -(Σ I + Istim), currents in A/F. New are

        If   = y (g_fNa (V - E_Na) + g_fK (V - E_K)),  g_fNa = 0.3833 g_f, g_fK = 0.6167 g_f
        Isus = g_sus (V - E_K) / (1 + e^{(5 - V)/17})
        IK1  = g_k1 (V - 8 - E_K) / (1 + e^{0.1 (V + 75.44)})

    with y∞ = 1 / (1 + e^{(V + 80.6)/6.8}), τ_y = 4000 / (e^{-2.9 - 0.04 V} + e^{3.6 + 0.11 V}) ms,
    and the gates r and s of Ito; g_na, g_to, g_kr and g_ks have other values. All else is kept.

    The cell beats by itself, every 1.2 s, and follows a faster stimulus: with `paced` the initial
    state and `about.stimulus` are those of pacing at 1 Hz. As in the public files the stimulus
    carries no ion, unless `stimulus_is_potassium`.
    """

    paced: bool = eqx.field(default=True, static=True)
    stimulus_is_potassium: bool = eqx.field(default=False, static=True)

    g_na: Float[Array, ""] = parameter(130.5744, unit="nS/pF", bounds=(0.0, 600.0), cite=CITE)
    g_cal: Float[Array, ""] = parameter(3.98e-5, unit="L/F/ms", bounds=(0.0, 4e-4), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.08184, unit="nS/pF", bounds=(0.0, 0.8), cite=CITE)
    g_sus: Float[Array, ""] = parameter(0.0227, unit="nS/pF", bounds=(0.0, 0.2), cite=CITE)
    g_f: Float[Array, ""] = parameter(0.038, unit="nS/pF", bounds=(0.0, 0.4), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.0918, unit="nS/pF", bounds=(0.0, 1.0), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.2352, unit="nS/pF", bounds=(0.0, 2.5), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.065, unit="nS/pF", bounds=(0.0, 0.65), cite=CITE)
    k_naca: Float[Array, ""] = parameter(1000.0, unit="pA/pF", bounds=(0.0, 1e4), cite=BASIS)
    p_nak: Float[Array, ""] = parameter(2.724, unit="pA/pF", bounds=(0.0, 25.0), cite=BASIS)
    g_pca: Float[Array, ""] = parameter(0.1238, unit="pA/pF", bounds=(0.0, 1.2), cite=BASIS)
    g_pk: Float[Array, ""] = parameter(0.0146, unit="nS/pF", bounds=(0.0, 0.15), cite=BASIS)
    g_nab: Float[Array, ""] = parameter(0.00029, unit="nS/pF", bounds=(0.0, 0.003), cite=BASIS)
    g_cab: Float[Array, ""] = parameter(0.000592, unit="nS/pF", bounds=(0.0, 0.006), cite=BASIS)
    v_up: Float[Array, ""] = parameter(0.006375, unit="mM/ms", bounds=(0.0, 0.06), cite=BASIS)
    k_up: Float[Array, ""] = parameter(0.00025, unit="mM", bounds=(2.5e-5, 0.0025), cite=BASIS)
    v_rel: Float[Array, ""] = parameter(0.102, unit="1/ms", bounds=(0.0, 1.0), cite=BASIS)
    v_leak: Float[Array, ""] = parameter(0.00036, unit="1/ms", bounds=(0.0, 0.0036), cite=BASIS)
    v_xfer: Float[Array, ""] = parameter(0.0038, unit="1/ms", bounds=(0.0, 0.038), cite=BASIS)
    buf_c: Float[Array, ""] = parameter(0.2, unit="mM", bounds=(0.0, 1.0), cite=BASIS)
    c_m: Float[Array, ""] = parameter(185.0, unit="pF", bounds=(50.0, 500.0), cite=BASIS)
    v_c: Float[Array, ""] = parameter(16404.0, unit="µm3", bounds=(5e3, 5e4), cite=BASIS)
    v_sr: Float[Array, ""] = parameter(1094.0, unit="µm3", bounds=(300.0, 4e3), cite=BASIS)
    v_ss: Float[Array, ""] = parameter(54.68, unit="µm3", bounds=(15.0, 200.0), cite=BASIS)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=BASIS)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=BASIS)
    ca_o: Float[Array, ""] = parameter(2.0, unit="mM", bounds=(0.2, 10.0), cite=BASIS)

    @property
    def about(self) -> About:  # type: ignore[override]  # its stimulus is the instance's
        return _ABOUT if self.paced else dataclasses.replace(_ABOUT, stimulus=None)

    def initial_state(self) -> State:
        return _PACED if self.paced else _SPONTANEOUS

    def currents(self, state: State) -> dict[str, Any]:
        v = state.v
        e_k = nernst(RTF, self.k_o, state.ki)
        e_na = nernst(RTF, self.na_o, state.nai)
        return kept_currents(self, state, e_k, e_na) | {
            "Ito": self.g_to * state.r * state.s * (v - e_k),
            "Isus": self.g_sus * boltzmann(v, 5.0, -17.0) * (v - e_k),
            "If": self.g_f * state.y * (v - _SODIUM * e_na - (1 - _SODIUM) * e_k),
            "IK1": self.g_k1 * boltzmann(v, -75.44, 10.0) * (v - 8 - e_k),
        }

    def rates(self, state: State, stimulus: Any) -> State:
        v = state.v
        i = self.currents(state)
        charge = per_current(self)
        i_f_na = _SODIUM * self.g_f * state.y * (v - nernst(RTF, self.na_o, state.nai))
        potassium = (
            (i["IK1"] + i["Ito"] + i["Isus"] + (i["If"] - i_f_na))
            + (i["IKr"] + i["IKs"] + i["IpK"])
            - 2 * i["INaK"]
        )
        if self.stimulus_is_potassium:
            potassium = potassium + stimulus
        return State(
            v=-(sum(i.values()) + stimulus),
            r=Gate(boltzmann(v, 20.0, -13.0), 10.45 * jnp.exp(-((v + 40) ** 2) / 1800) + 7.3),
            s=Gate(
                boltzmann(v, -27.0, 13.0),
                85 * jnp.exp(-((v + 25) ** 2) / 320) + 5 * boltzmann(v, 40.0, 5.0) + 42,
            ),
            y=Gate(
                boltzmann(v, -80.6, 6.8),
                4000 / (jnp.exp(-2.9 - 0.04 * v) + jnp.exp(3.6 + 0.11 * v)),
            ),
            nai=-charge * (i["INa"] + i["INab"] + i_f_na + 3 * (i["INaK"] + i["INaCa"])),
            ki=-charge * potassium,
            **kept_gates(v, state.cass),
            **calcium_rates(self, state, i),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        # A stimulus without ions shifts the total charge at every beat.
        if self.paced and not self.stimulus_is_potassium:
            return ()
        return (total_charge(self, state),)


def stewart_2009_spontaneous() -> Stewart2009:
    """The cell that beats by itself."""
    return Stewart2009(paced=False)
