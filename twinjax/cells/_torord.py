"""ToR-ORd: human ventricle, with fixed (2019) and with dynamic chloride (2020)."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter, set_parameters
from twinjax.cells import _torord_currents as channels
from twinjax.cells._cell import About, AbstractCell, Gate
from twinjax.cells._exchange import sodium_calcium_exchange, sodium_potassium_pump
from twinjax.cells._functions import boltzmann, nernst
from twinjax.cells._torord_states import INITIAL, DynamicState, State

CITE = "Tomek et al. 2019, eLife 8:e48890"
CHLORIDE = "Tomek et al. 2020, bioRxiv 2020.06.01.127043"
KATP = f"{CITE}, published file with IKATP; form of Dutta et al. 2017, Prog Biophys Mol Biol 129:40"
_F = 96485.0
_RTF = 8314.0 * 310.0 / _F  # [mV]

# What differs from the endocardial cell, as factors.
_FACTORS: dict[str, dict[str, float]] = {
    "endo": {},
    "epi": {
        "g_na_l": 0.6,
        "g_to": 2.0,
        "p_ca": 1.2,
        "g_kr": 1.3,
        "g_ks": 1.4,
        "g_k1": 1.2,
        "g_naca": 1.1,
        "p_nak": 0.9,
        "g_kb": 0.6,
        "uptake": 1.3,
        "calmodulin": 1.3,
    },
    "mid": {
        "g_to": 2.0,
        "p_ca": 2.0,
        "g_kr": 0.8,
        "g_k1": 1.3,
        "g_naca": 1.4,
        "p_nak": 0.7,
        "release": 1.7,
    },
}


def _bound(maximum: Any, half: Any, calcium: Any) -> Any:
    """Calcium on a buffer [mM]."""
    return maximum * calcium / (half + calcium)


def _binding(maximum: Any, half: Any, calcium: Any) -> Any:
    """Its derivative by the free calcium."""
    return maximum * half / (half + calcium) ** 2


class ToRORd(AbstractCell):
    """Tomek, Bueno-Orovio, ..., Rodriguez 2019, eLife 8:e48890; [`torord`][twinjax.cells.torord].

    dV/dt = -(ΣI + Istim) with currents in A/F, in a cytosol (i), a subspace (ss) and a network and
    a junctional store (nsr, jsr). φ = 1 / (1 + 0.15 / CaMKa) of each channel is phosphorylated (p):

        INa   = g_na m³ ((1-φ) h j + φ hp jp) (V - E_Na)
        INaL  = g_na_l mL ((1-φ) hL + φ hLp) (V - E_Na)
        Ito   = g_to ((1-φ) a i + φ ap ip) (V - E_K)
        ICaL  = p_ca O 2 F GHK(2u, γ_i Ca, γ_o Ca_o), 80 % of it in the subspace
        ICaNa, ICaK: the same with 1.25e-3 and 3.574e-4 of p_ca, and F GHK(u, …)
        IKr   = g_kr √(K_o/5) O (V - E_K)
        IKs   = g_ks (1 + 0.6 / (1 + (38 nM/Ca)^1.4)) xs1 xs2 (V - E_Ks)
        IK1   = g_k1 √(K_o/5) K1∞ (V - E_K)      IKb = g_kb x_kb (V - E_K)
        IClCa = g_clca / (1 + 0.1 mM/Ca_ss) (V - E_Cl)      IClb = g_clb (V - E_Cl)
        IKATP = f_katp g_katp (K_o/5)^0.24 / 65 (V - E_K)

    INaCa (35 % of it in the subspace) and INaK are those of O'Hara et al. 2011 with the pump's
    cycle as printed there. The stimulus brings potassium. With chloride at 24 mM, as in 2019, the
    chloride currents change no concentration; with `dynamic_chloride` (Tomek et al. 2020) they do,
    and the total charge stands still. The defaults are those of the `cell_type` and the form.
    """

    about: ClassVar[About] = About(
        title="ToR-ORd",
        species="human",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-53.0, 1.0),
        conductances={
            "INa": "g_na",
            "INaL": "g_na_l",
            "Ito": "g_to",
            "ICaL": "p_ca",
            "IKr": "g_kr",
            "IKs": "g_ks",
            "IK1": "g_k1",
            "INaCa": "g_naca",
            "INaK": "p_nak",
            "IKb": "g_kb",
            "INab": "p_nab",
            "ICab": "p_cab",
            "IpCa": "g_pca",
            "IClCa": "g_clca",
            "IClb": "g_clb",
            "IKATP": "g_katp",
        },
    )

    cell_type: str = eqx.field(static=True)
    dynamic_chloride: bool = eqx.field(static=True)

    g_na: Float[Array, ""] = parameter(11.7802, unit="mS/µF", bounds=(0.0, 60.0), cite=CITE)
    g_na_l: Float[Array, ""] = parameter(0.0279, unit="mS/µF", bounds=(0.0, 0.3), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.16, unit="mS/µF", bounds=(0.0, 1.6), cite=CITE)
    ito_quickening: Float[Array, ""] = parameter(0.0, unit="1", bounds=(0.0, 0.95), cite=CITE)
    p_ca: Float[Array, ""] = parameter(8.3757e-5, unit="cm/s", bounds=(0.0, 8e-4), cite=CITE)
    tau_jca: Float[Array, ""] = parameter(75.0, unit="ms", bounds=(10.0, 500.0), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.0321, unit="mS/µF", bounds=(0.0, 0.3), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.0011, unit="mS/µF", bounds=(0.0, 0.011), cite=CITE)
    g_k1: Float[Array, ""] = parameter(0.6992, unit="mS/µF", bounds=(0.0, 7.0), cite=CITE)
    g_naca: Float[Array, ""] = parameter(0.0034, unit="µC/µF", bounds=(0.0, 0.034), cite=CITE)
    p_nak: Float[Array, ""] = parameter(15.4509, unit="µC/µF", bounds=(0.0, 150.0), cite=CITE)
    g_kb: Float[Array, ""] = parameter(0.0189, unit="mS/µF", bounds=(0.0, 0.19), cite=CITE)
    p_nab: Float[Array, ""] = parameter(1.9239e-9, unit="cm/s", bounds=(0.0, 2e-8), cite=CITE)
    p_cab: Float[Array, ""] = parameter(5.9194e-8, unit="cm/s", bounds=(0.0, 6e-7), cite=CITE)
    g_pca: Float[Array, ""] = parameter(5e-4, unit="A/F", bounds=(0.0, 5e-3), cite=CITE)
    g_clca: Float[Array, ""] = parameter(0.2843, unit="mS/µF", bounds=(0.0, 2.8), cite=CITE)
    g_clb: Float[Array, ""] = parameter(1.98e-3, unit="mS/µF", bounds=(0.0, 0.02), cite=CITE)
    g_katp: Float[Array, ""] = parameter(4.3195, unit="mS/µF", bounds=(0.0, 43.0), cite=KATP)
    f_katp: Float[Array, ""] = parameter(0.0, unit="1", bounds=(0.0, 1.0), cite=KATP)
    uptake: Float[Array, ""] = parameter(0.005425, unit="mM/ms", bounds=(0.0, 0.05), cite=CITE)
    leak: Float[Array, ""] = parameter(0.0048825 / 15, unit="1/ms", bounds=(0.0, 3e-3), cite=CITE)
    release: Float[Array, ""] = parameter(1.0, unit="1", bounds=(0.0, 10.0), cite=CITE)
    calmodulin: Float[Array, ""] = parameter(0.05, unit="mM", bounds=(0.0, 0.5), cite=CITE)
    troponin: Float[Array, ""] = parameter(0.07, unit="mM", bounds=(0.0, 0.7), cite=CITE)
    calsequestrin: Float[Array, ""] = parameter(10.0, unit="mM", bounds=(0.0, 100.0), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.0, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    ca_o: Float[Array, ""] = parameter(1.8, unit="mM", bounds=(0.2, 10.0), cite=CITE)
    cl_o: Float[Array, ""] = parameter(150.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    # The chloride of the cell, where it stands still.
    cl_i: Float[Array, ""] = parameter(24.0, unit="mM", bounds=(5.0, 60.0), cite=CITE)
    length: Float[Array, ""] = parameter(0.01, unit="cm", bounds=(0.002, 0.05), cite=CITE)
    radius: Float[Array, ""] = parameter(0.0011, unit="cm", bounds=(2e-4, 0.005), cite=CITE)

    def __init__(
        self, cell_type: str = "endo", *, dynamic_chloride: bool = False, **values: Any
    ) -> None:
        """As [`torord`][twinjax.cells.torord]."""
        if cell_type not in _FACTORS:
            raise ValueError(unknown_name("cell type", cell_type, _FACTORS))
        self.cell_type, self.dynamic_chloride = cell_type, dynamic_chloride
        fields = ToRORd.__dataclass_fields__
        variant = {
            name: factor * fields[name].metadata["parameter"].default
            for name, factor in _FACTORS[cell_type].items()
        }
        if cell_type == "epi":
            variant["ito_quickening"] = 0.95
        if dynamic_chloride:
            variant["tau_jca"] = 72.5
        set_parameters(self, variant, values)

    def initial_state(self) -> Any:
        state = DynamicState if self.dynamic_chloride else State
        return state(*INITIAL[self.dynamic_chloride, self.cell_type])

    def currents(self, state: Any) -> dict[str, Any]:
        parts = self._parts(state)
        whole: dict[str, Any] = {}
        for name, value in parts.items():
            name = name.split("_")[0]
            whole[name] = whole[name] + value if name in whole else value
        return whole

    def _chloride(self, s: Any) -> tuple[Any, Any]:
        """Chloride [mM] of the cytosol and of the subspace."""
        return (s.cli, s.clss) if self.dynamic_chloride else (self.cl_i, self.cl_i)

    def _active(self, s: Any) -> tuple[Any, Any, Any]:
        """Bound and active CaMK, and what it phosphorylates of each channel."""
        bound = 0.05 * (1 - s.camkt) * s.cass / (s.cass + 0.0015)
        active = bound + s.camkt
        return bound, active, active / (active + 0.15)

    def _parts(self, s: Any) -> dict[str, Any]:
        """The currents by compartment: `_ss` ends those of the subspace."""
        v, u = s.v, s.v / _RTF
        cli, clss = self._chloride(s)
        _, _, phi = self._active(s)
        e_na, e_k = nernst(_RTF, self.na_o, s.nai), nernst(_RTF, self.k_o, s.ki)
        e_ks = nernst(_RTF, self.k_o + 0.01833 * self.na_o, s.ki + 0.01833 * s.nai)
        root = jnp.sqrt(self.k_o / 5)

        one, two = channels.Driving.at(u), channels.Driving.at(2 * u)
        outer = channels.activity(self.na_o, self.k_o, self.cl_o, self.ca_o)
        inner = channels.activity(s.nai, s.ki, cli, s.cai)
        sub = channels.activity(s.nass, s.kss, clss, s.cass)
        open_ss, open_i = (self.p_ca * x for x in channels.calcium_open(s, phi))
        na_o, k_o, ca_o = outer * self.na_o, outer * self.k_o, outer**4 * self.ca_o
        ca_i = inner**4 * s.cai

        fast = boltzmann(v, 213.6, 151.2)
        i = s.a * (fast * s.i_f + (1 - fast) * s.i_s)
        ip = s.ap * (fast * s.i_fp + (1 - fast) * s.i_sp)
        ks = 1 + 0.6 / (1 + (3.8e-5 / s.cai) ** 1.4)
        katp = self.f_katp * self.g_katp * (self.k_o / 5) ** 0.24 / (1 + (2 / 0.25) ** 2)
        return {
            "INa": self.g_na * s.m**3 * ((1 - phi) * s.h * s.j + phi * s.hp * s.jp) * (v - e_na),
            "INaL": self.g_na_l * s.ml * ((1 - phi) * s.hl + phi * s.hlp) * (v - e_na),
            "Ito": self.g_to * ((1 - phi) * i + phi * ip) * (v - e_k),
            "ICaL_ss": open_ss * 2 * _F * two.flux(sub**4 * s.cass, ca_o),
            "ICaNa_ss": 0.00125 * open_ss * _F * one.flux(sub * s.nass, na_o),
            "ICaK_ss": 3.574e-4 * open_ss * _F * one.flux(sub * s.kss, k_o),
            "ICaL_i": open_i * 2 * _F * two.flux(ca_i, ca_o),
            "ICaNa_i": 0.00125 * open_i * _F * one.flux(inner * s.nai, na_o),
            "ICaK_i": 3.574e-4 * open_i * _F * one.flux(inner * s.ki, k_o),
            "IKr": self.g_kr * root * s.kr_o * (v - e_k),
            "IKs": self.g_ks * ks * s.xs1 * s.xs2 * (v - e_ks),
            "IK1": self.g_k1 * root * channels.inward_rectifier(v - e_k) * (v - e_k),
            "INaCa_i": 0.65
            * self.g_naca
            * sodium_calcium_exchange(u, s.nai, s.cai, self.na_o, self.ca_o),
            "INaCa_ss": 0.35
            * self.g_naca
            * sodium_calcium_exchange(u, s.nass, s.cass, self.na_o, self.ca_o),
            "INaK": self.p_nak * sodium_potassium_pump(u, s.nai, s.ki, self.na_o, self.k_o),
            "IKb": self.g_kb * boltzmann(v, 10.8968, -23.9871) * (v - e_k),
            "INab": self.p_nab * _F * one.flux(s.nai, self.na_o),
            "ICab": self.p_cab * 2 * _F * two.flux(ca_i, ca_o),
            "IpCa": self.g_pca * s.cai / (0.0005 + s.cai),
            "IClCa_ss": self.g_clca * s.cass / (s.cass + 0.1) * (v - nernst(_RTF, clss, self.cl_o)),
            "IClb": self.g_clb * (v - nernst(_RTF, cli, self.cl_o)),
            "IKATP": katp * (v - e_k),
        }

    def rates(self, state: Any, stimulus: Any) -> Any:
        s, v = state, state.v
        bound, active, phi = self._active(s)
        c = self._parts(s)
        myo, nsr, jsr, ss, per_charge = self._geometry()

        release = 1.5378 * ((1 - phi) * s.jrelnp + phi * s.jrelp)
        eighth = s.cajsr**8
        steady = -self.release * 0.5 * c["ICaL_ss"] * eighth / (eighth + 1.7**8)
        quick = s.cajsr / (s.cajsr + 0.0123)
        uptake = (1 - phi) / (s.cai + 0.00092) + 2.75 * phi / (s.cai + 0.00092 - 0.00017)
        uptake = self.uptake * s.cai * uptake - self.leak * s.cansr
        transfer = (s.cansr - s.cajsr) / 60
        from_ss = {x: (getattr(s, x + "ss") - getattr(s, x + "i")) / 2 for x in ("na", "k")}
        ca_from_ss = (s.cass - s.cai) / 0.2

        sodium = c["ICaNa_i"] + c["INa"] + c["INaL"] + 3 * (c["INaCa_i"] + c["INaK"]) + c["INab"]
        rectifiers = c["Ito"] + c["IKr"] + c["IKs"] + c["IK1"] + c["IKb"] + c["IKATP"]
        potassium = c["ICaK_i"] + rectifiers + stimulus - 2 * c["INaK"]
        calcium = c["ICaL_i"] + c["IpCa"] + c["ICab"] - 2 * c["INaCa_i"]
        sub_calcium = c["ICaL_ss"] - 2 * c["INaCa_ss"]
        buffers_i = _binding(self.calmodulin, 0.00238, s.cai) + _binding(self.troponin, 5e-4, s.cai)
        buffers_ss = _binding(0.047, 0.00087, s.cass) + _binding(1.124, 0.0087, s.cass)
        rates = {
            "v": -(sum(c.values()) + stimulus),
            "nai": -sodium * per_charge / myo + from_ss["na"] * ss / myo,
            "nass": -(c["ICaNa_ss"] + 3 * c["INaCa_ss"]) * per_charge / ss - from_ss["na"],
            "ki": -potassium * per_charge / myo + from_ss["k"] * ss / myo,
            "kss": -c["ICaK_ss"] * per_charge / ss - from_ss["k"],
            "cai": (-calcium * per_charge / (2 * myo) - uptake * nsr / myo + ca_from_ss * ss / myo)
            / (1 + buffers_i),
            "cass": (-sub_calcium * per_charge / (2 * ss) + release * jsr / ss - ca_from_ss)
            / (1 + buffers_ss),
            "cansr": uptake - transfer * jsr / nsr,
            "cajsr": (transfer - release) / (1 + _binding(self.calsequestrin, 0.8, s.cajsr)),
            "jrelnp": Gate(4.75 * steady, jnp.maximum(4.75 * quick, 0.001)),
            "jrelp": Gate(5.9375 * steady, jnp.maximum(5.9375 * quick, 0.001)),
            "camkt": 0.05 * bound * active - 0.00068 * s.camkt,
            **channels.sodium_gates(v),
            **channels.transient_outward_gates(v, self.ito_quickening),
            **channels.calcium_gates(v, s.jca, s.cass, s.cai, self.tau_jca),
            **channels.rapid_rectifier(v / _RTF, s),
            **channels.slow_rectifier_gates(v),
        }
        if not self.dynamic_chloride:
            return State(**rates)
        cl_from_ss = (s.clss - s.cli) / 2
        rates["cli"] = c["IClb"] * per_charge / myo + cl_from_ss * ss / myo
        rates["clss"] = c["IClCa_ss"] * per_charge / ss - cl_from_ss
        return DynamicState(**rates)

    def _geometry(self) -> tuple[Any, Any, Any, Any, Any]:
        """Volumes of cytosol, network, junctional store and subspace [µL]; membrane area / F."""
        # With 3.14 for π, as published.
        cell = 1000 * 3.14 * self.radius**2 * self.length
        area = 2 * (2 * 3.14 * self.radius**2 + 2 * 3.14 * self.radius * self.length)
        return 0.68 * cell, 0.0552 * cell, 0.0048 * cell, 0.02 * cell, area / _F

    def conserved(self, state: Any) -> tuple[Any, ...]:
        """The sum of the states of IKr; with dynamic chloride also charge [mM of the cytosol]."""
        s = state
        probability = s.kr_c3 + s.kr_c2 + s.kr_c1 + s.kr_o + s.kr_i
        if not self.dynamic_chloride:
            return (probability,)
        myo, nsr, jsr, ss, per_charge = self._geometry()
        cai = s.cai + _bound(self.calmodulin, 0.00238, s.cai) + _bound(self.troponin, 5e-4, s.cai)
        cass = s.cass + _bound(0.047, 0.00087, s.cass) + _bound(1.124, 0.0087, s.cass)
        cajsr = s.cajsr + _bound(self.calsequestrin, 0.8, s.cajsr)
        stored = 2 * (nsr * s.cansr + jsr * cajsr) / myo
        sub = ss / myo * (s.nass + s.kss - s.clss + 2 * cass)
        charge = s.nai + s.ki - s.cli + 2 * cai + sub + stored
        return probability, charge - s.v * per_charge / myo


def torord(cell_type: str = "endo", *, dynamic_chloride: bool = False, **values: Any) -> ToRORd:
    """ToR-ORd of the endocardium ("endo"), epicardium ("epi") or mid-wall ("mid").

    **Arguments:** `dynamic_chloride` chooses the form of 2020; `values` are parameters that replace
    those of the cell type. Raises `ValueError` for an unknown cell type.
    """
    return ToRORd(cell_type, dynamic_chloride=dynamic_chloride, **values)
