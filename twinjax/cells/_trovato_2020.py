"""Trovato et al. 2020: the human Purkinje cell."""

from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._parameters import parameter
from twinjax.cells._cell import About, AbstractCell, Gate, gate
from twinjax.cells._exchange import sodium_calcium_exchange, sodium_potassium_pump
from twinjax.cells._functions import boltzmann, linoid, nernst
from twinjax.cells._trovato_gates import calcium_gates, potassium_gates, sodium_gates

CITE = "Trovato et al. 2020, J Mol Cell Cardiol 142:24"
_F = 96485.0  # [C/mol]
_RTF = 8314.0 * 310.0 / _F  # [mV], at 37 °C
# A cylinder of length 164 µm and radius 17.5 µm; the membrane is twice its surface, at 1 µF/cm².
_PI, _LENGTH, _RADIUS = 3.14159265, 0.0164, 0.00175
_CELL = 1000 * _PI * _RADIUS**2 * _LENGTH  # [µL]
_AREA = 2 * (2 * _PI * _RADIUS**2 + 2 * _PI * _RADIUS * _LENGTH)  # [cm²], and so the [µF]
_MYO, _SL, _SS = 0.6 * _CELL, 0.15 * _CELL, 0.02 * _CELL
_NSR, _JSR, _CSR = 0.04 * _CELL, 0.002 * _CELL, 0.008 * _CELL
_INTO_SL, _INTO_SS = _AREA / (_F * _SL), _AREA / (_F * _SS)  # current to [mM/ms]


class State(NamedTuple):
    """Potential [mV]; trapped CaMK; concentrations [mM]; gates, `…p` of phosphorylated channels."""

    v: Any
    camkt: Any
    nai: Any
    nasl: Any
    nass: Any
    ki: Any
    ksl: Any
    kss: Any
    cai: Any
    casl: Any
    cass: Any
    cansr: Any
    cajsr: Any
    cacsr: Any
    m: Any
    hf: Any
    hs: Any
    j: Any
    hsp: Any
    jp: Any
    ml: Any
    hl: Any
    hlp: Any
    a: Any
    i1: Any
    i2: Any
    d: Any
    ff: Any
    fs: Any
    fcaf: Any
    fcas: Any
    jca: Any
    ffp: Any
    fcafp: Any
    nca: Any
    b: Any
    g: Any
    xrf: Any
    xrs: Any
    xs1: Any
    xs2: Any
    y: Any
    xk1: Any
    jrel1: Any  # [mM/ms]
    jrel2: Any
    u: Any


class Trovato2020(AbstractCell):
    """Trovato, Passini, ..., Rodriguez 2020, J Mol Cell Cardiol 142:24, as in its supplement.

    dV/dt = -(sum of currents + Istim) at 1 µF/cm², with Istim carried by K. Currents pass into the
    subspace (ss: ICaL, ICaNa, ICaK, 20 % of INaCa) or below the sarcolemma (sl: all others), and
    from there ions diffuse into the cytosol (i). Three stores: the junctional one (jsr) releases
    into the subspace (J_rel1, and J_IP3 through the IP3 receptor), the corbular one (csr) into the
    cytosol (J_rel2), and the network (nsr) takes calcium up from sl and i. A fraction
    f = CaMK / (CaMK + 0.15) of a protein is phosphorylated (p):

        INa  = g_na m³ ((1 - f) h j + f hp jp) (V - E_Na),   h = 0.99 hf + 0.01 hs
        INaL = g_na_l mL ((1 - f) hL + f hLp) (V - E_Na)
        Ito  = g_to a i1 i2 (V - E_K),   Isus = g_sus a_sus (V - E_K)
        ICaL = p_ca d ((1 - f) s + 1.1 f sp) Ψ(Ca),   s = f_V (1 - n) + f_Ca j_Ca n
        ICaNa, ICaK: the same with Ψ(Na) and Ψ(K), times 1.25e-3 and 3.574e-4
        ICaT = g_cat b g (V - E_Ca),   If = g_f y² ((V - E_K) + (V - E_Na) / 2)
        IKr  = g_kr √(K_o/5.4) x_r R_r (V - E_K)
        IKs  = g_ks (1 + 0.6 / (1 + (3.8e-5/Ca_sl)^1.4)) xs1 xs2 (V - E_Ks)
        IK1  = 2.3238 g_k1 √(K_o/5.4) x_K1 R_K1 (V - E_K)
        INab, ICab: constant fields;   IpCa = g_pca Ca_sl / (Ca_sl + 5e-4)

    Ψ is the constant-field flux; INaCa and INaK are those of O'Hara et al. 2011, with the pump's
    cycle as printed there. A release J relaxes to a steady value that grows with J itself, as it is
    driven by what flows into its compartment: it is no gate.
    """

    about: ClassVar[About] = About(
        title="Trovato 2020",
        species="human",
        tissue="Purkinje fibre",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-40.0, 1.0),
        conductances={
            "INa": "g_na",
            "INaL": "g_na_l",
            "Ito": "g_to",
            "Isus": "g_sus",
            "ICaL": "p_ca",
            "ICaT": "g_cat",
            "IKr": "g_kr",
            "IKs": "g_ks",
            "IK1": "g_k1",
            "If": "g_f",
            "INaCa": "g_naca",
            "INaK": "p_nak",
            "INab": "p_nab",
            "ICab": "p_cab",
            "IpCa": "g_pca",
        },
    )

    g_na: Float[Array, ""] = parameter(39.4572, unit="mS/µF", bounds=(0, 200), cite=CITE)
    g_na_l: Float[Array, ""] = parameter(0.0189, unit="mS/µF", bounds=(0, 0.2), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.192, unit="mS/µF", bounds=(0, 2), cite=CITE)
    g_sus: Float[Array, ""] = parameter(0.0301, unit="mS/µF", bounds=(0, 0.3), cite=CITE)
    p_ca: Float[Array, ""] = parameter(7.7677e-5, unit="cm/s", bounds=(0, 8e-4), cite=CITE)
    g_cat: Float[Array, ""] = parameter(0.0754, unit="mS/µF", bounds=(0, 0.8), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.0342, unit="mS/µF", bounds=(0, 0.4), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.0029, unit="mS/µF", bounds=(0, 0.03), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.0455, unit="mS/µF", bounds=(0, 0.5), cite=CITE)
    g_f: Float[Array, ""] = parameter(0.0232, unit="mS/µF", bounds=(0, 0.3), cite=CITE)
    g_naca: Float[Array, ""] = parameter(9.5709e-4, unit="µC/µF", bounds=(0, 0.01), cite=CITE)
    p_nak: Float[Array, ""] = parameter(32.4872, unit="µC/µF", bounds=(0, 300), cite=CITE)
    p_nab: Float[Array, ""] = parameter(9.375e-10, unit="cm/s", bounds=(0, 1e-8), cite=CITE)
    p_cab: Float[Array, ""] = parameter(2.5e-8, unit="cm/s", bounds=(0, 2.5e-7), cite=CITE)
    g_pca: Float[Array, ""] = parameter(5e-4, unit="A/F", bounds=(0, 5e-3), cite=CITE)
    release_jsr: Float[Array, ""] = parameter(15.0, unit="1", bounds=(0, 150), cite=CITE)
    release_csr: Float[Array, ""] = parameter(91.0, unit="1", bounds=(0, 500), cite=CITE)
    ip3: Float[Array, ""] = parameter(1e-4, unit="mM", bounds=(0, 0.01), cite=CITE)
    uptake_sl: Float[Array, ""] = parameter(2e-4, unit="mM/ms", bounds=(0, 2e-3), cite=CITE)
    uptake: Float[Array, ""] = parameter(0.0026, unit="mM/ms", bounds=(0, 0.03), cite=CITE)
    leak_sl: Float[Array, ""] = parameter(0.00105 / 15, unit="1/ms", bounds=(0, 7e-4), cite=CITE)
    leak: Float[Array, ""] = parameter(0.0042 / 15, unit="1/ms", bounds=(0, 3e-3), cite=CITE)
    calmodulin: Float[Array, ""] = parameter(0.1125, unit="mM", bounds=(0, 1), cite=CITE)
    troponin: Float[Array, ""] = parameter(0.0315, unit="mM", bounds=(0, 0.3), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50, 200), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1, 20), cite=CITE)

    def initial_state(self) -> State:
        return State(
            v=-86.6814002878592,
            camkt=0.00505983330678751,
            nai=8.23183964616932,
            nasl=8.23153516580562,
            nass=8.23154325237268,
            ki=143.767359809132,
            ksl=143.767769906216,
            kss=143.767768218104,
            cai=4.36004404734282e-05,
            casl=0.000102004317781147,
            cass=0.000101777993438818,
            cansr=1.26350902016858,
            cajsr=1.24811940209535,
            cacsr=1.26516959198518,
            m=0.00632661703915808,
            hf=0.788611739889677,
            hs=0.788545979951331,
            j=0.790474358603666,
            hsp=0.579693514309867,
            jp=0.790947058236417,
            ml=0.000241925773627233,
            hl=0.463574582508218,
            hlp=0.240216198686475,
            a=0.000272851144435704,
            i1=0.649604795721571,
            i2=0.989965695822495,
            d=6.97735089296892e-09,
            ff=0.999999968230738,
            fs=0.926692153319136,
            fcaf=0.99999996819573,
            fcas=0.999999905741936,
            jca=0.999978907334662,
            ffp=0.999999968365903,
            fcafp=0.999999968278239,
            nca=0.00547252500964926,
            b=0.000304250912559619,
            g=0.994214357917907,
            xrf=0.000331691184084272,
            xrs=0.568716473334161,
            xs1=0.191165248085394,
            xs2=0.000222677365291219,
            y=0.233119011214908,
            xk1=0.997084813729909,
            jrel1=0.000108240945806962,
            jrel2=1.25045800437317e-69,
            u=0.466236137183558,
        )

    def currents(self, state: State) -> dict[str, Any]:
        parts, sodium_funny, inside, sub = self._parts(state)
        return parts | {"If": parts["If"] + sodium_funny, "INaCa": inside + sub}

    def _active(self, s: State) -> tuple[Any, Any, Any]:
        """Bound and active fractions of CaMK, and the phosphorylated one of what it acts upon."""
        bound = 0.05 * (1 - s.camkt) * s.cass / (s.cass + 0.0015)
        active = bound + s.camkt
        return bound, active, active / (active + 0.15)

    def _parts(self, s: State) -> tuple[dict[str, Any], Any, Any, Any]:
        """The currents, If that of K alone and no INaCa; then If of Na, INaCa of sl and of ss."""
        v, u = s.v, s.v / _RTF
        f = self._active(s)[2]
        e_na, e_k = nernst(_RTF, self.na_o, s.nasl), nernst(_RTF, self.k_o, s.ksl)
        e_ca = nernst(_RTF / 2, self.ca_o, s.casl)
        e_ks = nernst(_RTF, self.k_o + 0.01833 * self.na_o, s.ksl + 0.01833 * s.nasl)
        root = jnp.sqrt(self.k_o / 5.4)

        h = 0.99 * s.hf + 0.01 * s.hs
        hp = 0.99 * s.hf + 0.01 * s.hsp
        # Constant-field fluxes of a monovalent and a divalent ion from one exponential:
        # u / (eᵘ - 1) = L gives 2u / (e²ᵘ - 1) = 2L / (eᵘ + 1).
        e, single = jnp.exp(u), _F * linoid(u)
        double = 4 * single / (e + 1)
        share = 0.3 + 0.6 * boltzmann(v, 10.0, 10.0)
        fca = share * s.fcaf + (1 - share) * s.fcas
        fcap = share * s.fcafp + (1 - share) * s.fcas
        shut, bound = 1 - s.nca, s.jca * s.nca
        plain = (0.6 * s.ff + 0.4 * s.fs) * shut + fca * bound
        more = (0.6 * s.ffp + 0.4 * s.fs) * shut + fcap * bound
        permeability = self.p_ca * s.d * ((1 - f) * plain + 1.1 * f * more)

        fast = boltzmann(v, -54.81, 38.21)
        rapid = fast * s.xrf + (1 - fast) * s.xrs
        rapid = rapid * boltzmann(v, -55.0, 0.32 * 75) * boltzmann(v, 10.0, 0.32 * 30)
        ks_ca = 1 + 0.6 / (1 + (3.8e-5 / s.casl) ** 1.4)
        inward = boltzmann(v, 5.5 * self.k_o - 116, 11.0) * s.xk1
        outside = self.na_o, self.ca_o
        parts = {
            "INa": self.g_na * s.m**3 * ((1 - f) * h * s.j + f * hp * s.jp) * (v - e_na),
            "INaL": self.g_na_l * s.ml * ((1 - f) * s.hl + f * s.hlp) * (v - e_na),
            "Ito": self.g_to * s.a * s.i1 * s.i2 * (v - e_k),
            "Isus": self.g_sus * boltzmann(v, 12.0, -16.0) * (v - e_k),
            "ICaL": permeability * double * (s.cass * e * e - 0.341 * self.ca_o),
            "ICaNa": 0.00125 * permeability * single * 0.75 * (s.nass * e - self.na_o),
            "ICaK": 3.574e-4 * permeability * single * 0.75 * (s.kss * e - self.k_o),
            "ICaT": self.g_cat * s.b * s.g * (v - e_ca),
            "IKr": self.g_kr * root * rapid * (v - e_k),
            "IKs": self.g_ks * ks_ca * s.xs1 * s.xs2 * (v - e_ks),
            "If": self.g_f * s.y * s.y * (v - e_k),
            "IK1": 2.3238 * self.g_k1 * root * inward * (v - e_k),
            "INaK": self.p_nak * sodium_potassium_pump(u, s.nasl, s.ksl, self.na_o, self.k_o),
            "INab": self.p_nab * single * (s.nasl * e - self.na_o),
            "ICab": self.p_cab * double * (s.casl * e * e - 0.341 * self.ca_o),
            "IpCa": self.g_pca * s.casl / (0.0005 + s.casl),
        }
        exchange = self.g_naca * sodium_calcium_exchange(u, s.nasl, s.casl, *outside)
        exchange_ss = self.g_naca * sodium_calcium_exchange(u, s.nass, s.cass, *outside)
        funny = 0.5 * self.g_f * s.y * s.y * (v - e_na)
        return parts, funny, 0.8 * exchange, 0.2 * exchange_ss

    def rates(self, state: State, stimulus: Any) -> State:
        return State(
            **self._concentrations(state, stimulus),
            **sodium_gates(state.v),
            **calcium_gates(state),
            **potassium_gates(state.v, self.k_o),
        )

    def _concentrations(self, s: State, stimulus: Any) -> dict[str, Any]:
        """Rates of the potential, CaMK, concentrations and release."""
        c, funny, exchange, exchange_ss = self._parts(s)
        bound, active, f = self._active(s)
        na_gap, k_gap, ca_gap = ((x - y) / 12 for x, y in self._pairs(s, "sl", "i"))
        na, k, ca = ((x - y) / 0.2 for x, y in self._pairs(s, "ss", "sl"))

        affinity = 0.00028 - 0.00017 * f
        uptake_sl = self.uptake_sl * (0.75 * f + 1) * s.casl / (s.casl + affinity)
        uptake_sl = uptake_sl - self.leak_sl * s.cansr
        uptake = self.uptake * (0.75 * f + 1) * s.cai / (s.cai + affinity) - self.leak * s.cansr
        refill_jsr, refill_csr = (s.cansr - s.cajsr) / 120, (s.cansr - s.cacsr) / 120
        bound_ip3 = self.ip3 / (1 + self.ip3 * 96000 / 9.6)
        opened = 3.7 * bound_ip3 * s.cass * (1 - s.u) / (1 + s.cass * 150000 / 16.5)
        from_jsr = s.jrel1 + 10.92 * opened * (s.cajsr - s.cass)

        # Release follows what flows into its compartment, while that is positive.
        trigger = -c["ICaL"] * _INTO_SS / 2 + from_jsr * _JSR / _SS - ca
        trigger_csr = (ca_gap * _SL - uptake * _NSR + s.jrel2 * _CSR) / _MYO
        camk = 1 + active**8 / (active**8 + 0.28**8)
        jsr, csr = s.cajsr**8, s.cacsr**8
        steady1 = self.release_jsr * camk * jnp.maximum(trigger, 0.0) * jsr / (jsr + 1)
        steady2 = self.release_csr * camk * jnp.maximum(trigger_csr, 0.0) * csr / (csr + 1)
        tau1 = 2 * camk * s.cajsr / (s.cajsr + 0.0123)
        tau2 = 6 * camk * s.cacsr / (s.cacsr + 0.0123)

        sodium = c["INa"] + c["INaL"] + 3 * (exchange + c["INaK"]) + funny + c["INab"]
        outward = ("Ito", "Isus", "IKr", "IKs", "If", "IK1")
        potassium = sum(c[name] for name in outward) + stimulus - 2 * c["INaK"]
        calcium = c["IpCa"] + c["ICab"] + c["ICaT"] - 2 * exchange
        calcium_ss = c["ICaL"] - 2 * exchange_ss
        free_i, free_sl, free_ss, free_jsr, free_csr = self._buffered(s)[1]
        return {
            "v": -(sum(c.values()) + funny + exchange + exchange_ss + stimulus),
            "camkt": 0.05 * bound * active - 0.00068 * s.camkt,
            "nai": na_gap * _SL / _MYO,
            "nasl": -sodium * _INTO_SL + na * _SS / _SL - na_gap,
            "nass": _following(s.nasl, -(c["ICaNa"] + 3 * exchange_ss) * _INTO_SS, na),
            "ki": k_gap * _SL / _MYO,
            "ksl": -potassium * _INTO_SL + k * _SS / _SL - k_gap,
            "kss": _following(s.ksl, -c["ICaK"] * _INTO_SS, k),
            "cai": free_i * trigger_csr,
            "casl": free_sl
            * (-calcium * _INTO_SL / 2 - uptake_sl * _NSR / _SL - ca_gap + ca * _SS / _SL),
            "cass": free_ss * (-calcium_ss * _INTO_SS / 2 + from_jsr * _JSR / _SS - ca),
            "cansr": uptake_sl + uptake - (refill_jsr * _JSR + refill_csr * _CSR) / _NSR,
            "cajsr": free_jsr * (refill_jsr - from_jsr),
            "cacsr": free_csr * (refill_csr - s.jrel2),
            "jrel1": (steady1 - s.jrel1) / tau1,
            "jrel2": (steady2 - s.jrel2) / tau2,
            "u": gate(1800 * s.cass, 0.21),
        }

    def _pairs(self, s: State, near: str, far: str) -> list[tuple[Any, Any]]:
        """Na, K and Ca of two neighbouring compartments."""
        return [(getattr(s, ion + near), getattr(s, ion + far)) for ion in ("na", "k", "ca")]

    def _buffered(self, s: State) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Total calcium of i, sl, ss, jsr and csr [mM]; how much of a change of it is free."""
        # One part in ten of the calmodulin and the troponin lies below the sarcolemma.
        buffers = (
            (s.cai, ((self.calmodulin, 0.00238), (self.troponin, 0.0005))),
            (s.casl, ((self.calmodulin / 9, 0.00238), (self.troponin / 9, 0.0005))),
            (s.cass, ((0.019975, 0.00087), (0.4777, 0.0087))),
            (s.cajsr, ((1.2, 0.8),)),
            (s.cacsr, ((2.88, 0.8),)),
        )
        total = tuple(ca + sum(b * ca / (k + ca) for b, k in kinds) for ca, kinds in buffers)
        free = tuple(
            1 / (1 + sum(b * k / (k + ca) ** 2 for b, k in kinds)) for ca, kinds in buffers
        )
        return total, free

    def conserved(self, state: State) -> tuple[Any, ...]:
        """Charge of the ions less that on the membrane, as a concentration in the cytosol [mM]."""
        s = state
        cai, casl, cass, cajsr, cacsr = self._buffered(s)[0]
        charge = _MYO * (s.nai + s.ki + 2 * cai) + _SL * (s.nasl + s.ksl + 2 * casl)
        charge = charge + _SS * (s.nass + s.kss + 2 * cass)
        charge = charge + 2 * (_NSR * s.cansr + _JSR * cajsr + _CSR * cacsr)
        return ((charge - s.v * _AREA / _F) / _MYO,)


def _following(outside: Any, source: Any, loss: Any) -> Gate:
    """A concentration of the subspace that diffusion ties to the one outside within 0.2 ms.

    As a plain derivative it would limit the step to 0.35 ms.
    """
    return Gate(outside + 0.2 * source, 0.2, source - loss)
