"""Ten Tusscher and Panfilov 2006: human ventricular cells of three layers."""

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from twinjax._names import unknown_name
from twinjax._parameters import parameter, set_parameters
from twinjax.cells._cell import About, AbstractCell, Gate
from twinjax.cells._functions import boltzmann, ghk, nernst

CITE = "ten Tusscher and Panfilov 2006, Am J Physiol Heart 291:H1088"
FARADAY = 96485.3415  # [C/mol]
RTF = 8314.472 * 310.0 / FARADAY  # [mV], at 37 °C


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
    cai: Any
    casr: Any
    cass: Any
    r_prime: Any
    nai: Any
    ki: Any


# fmt: off
_INITIAL = {
    "epi": State(
        v=-85.23, m=0.00172, h=0.7444, j=0.7045, d=3.373e-5, f=0.7888, f2=0.9755, fcass=0.9953,
        r=2.42e-8, s=0.999998, xs=0.0095, xr1=0.00621, xr2=0.4712, cai=0.000126, casr=3.64,
        cass=0.00036, r_prime=0.9073, nai=8.604, ki=136.89,
    ),
    "endo": State(
        v=-86.709, m=0.00155, h=0.7573, j=0.7225, d=3.164e-5, f=0.8009, f2=0.9778, fcass=0.9953,
        r=2.235e-8, s=0.3212, xs=0.0087, xr1=0.00448, xr2=0.476, cai=0.00013, casr=3.715,
        cass=0.00036, r_prime=0.9068, nai=10.355, ki=138.4,
    ),
    "m": State(
        v=-85.423, m=0.00165, h=0.749, j=0.6788, d=3.288e-5, f=0.7026, f2=0.9526, fcass=0.9942,
        r=2.347e-8, s=0.999998, xs=0.0174, xr1=0.0165, xr2=0.473, cai=0.000153, casr=4.272,
        cass=0.00042, r_prime=0.8978, nai=10.132, ki=138.52,
    ),
}
# fmt: on
# What differs from the epicardial cell.
_LAYERS: dict[str, dict[str, float]] = {"epi": {}, "endo": {"g_to": 0.073}, "m": {"g_ks": 0.098}}


def _rises(power: Any, half: float) -> Any:
    """1 / (1 + exp((V½ - V) / k)) from power = exp(V / k) and half = V½ / k."""
    return 1 / (1 + math.exp(half) / power)


def _falls(power: Any, half: float) -> Any:
    """1 / (1 + exp((V - V½) / k)) from power = exp(V / k) and half = V½ / k."""
    return 1 / (1 + math.exp(-half) * power)


def kept_gates(v: Any, cass: Any) -> dict[str, Gate]:
    """The gates of INa, ICaL, IKs and IKr, which models built on this one take over unchanged."""
    # Most slopes are in simple ratios: five exponentials serve seventeen sigmoids.
    e20, e14, e6 = jnp.exp(v / 20), jnp.exp(v / 14), jnp.exp(v / 6)
    e10, e7 = e20 * e20, e14 * e14
    e5 = e10 * e10
    h_steady = boltzmann(v, -71.55, 7.43) ** 2
    resting = v < -40  # the rates of h and j change form there
    # Exponents of the branch that is not taken are kept from overflowing.
    low, high = jnp.minimum(v, -40.0), jnp.maximum(v, -40.0)
    h_rate = jnp.where(
        resting,
        0.057 * jnp.exp(-(low + 80) / 6.8)
        + 2.7 * jnp.exp(0.079 * low)
        + 3.1e5 * jnp.exp(0.3485 * low),
        0.77 / 0.13 / (1 + jnp.exp(-(high + 10.66) / 11.1)),
    )
    j_rate = jnp.where(
        resting,
        (-2.5428e4 * jnp.exp(0.2444 * low) - 6.948e-6 * jnp.exp(-0.04391 * low))
        * (low + 37.78)
        / (1 + jnp.exp(0.311 * (low + 79.23)))
        + 0.02424 * jnp.exp(-0.01052 * low) / (1 + jnp.exp(-0.1378 * (low + 40.14))),
        0.6 * jnp.exp(0.057 * high) / (1 + jnp.exp(-0.1 * (high + 32))),
    )
    slowed_at_rest = _falls(e10, -3.0)
    square = (v + 27) ** 2
    bound = 1 / (1 + (cass / 0.05) ** 2)
    return {
        "m": Gate(
            # Written out: on the plateau m∞ - m is 2e-8, and the last digit of m∞ shows in it.
            1 / (1 + jnp.exp((-56.86 - v) / 9.03)) ** 2,
            _rises(e5, -12.0) * 0.1 * (_falls(e5, -7.0) + boltzmann(v, 50.0, 200.0)),
        ),
        "h": Gate(h_steady, 1 / h_rate),
        "j": Gate(h_steady, 1 / j_rate),
        "d": Gate(
            boltzmann(v, -8.0, -7.5),
            (1.4 * boltzmann(v, -35.0, -13.0) + 0.25) * 1.4 * _falls(e5, -1.0) + _rises(e20, 2.5),
        ),
        "f": Gate(
            _falls(e7, -20 / 7),
            1102.5 * jnp.exp(-square / 225) + 200 * _rises(e10, 1.3) + 180 * slowed_at_rest + 20,
        ),
        "f2": Gate(
            0.67 * _falls(e7, -5.0) + 0.33,
            562 * jnp.exp(-square / 240) + 31 * _rises(e10, 2.5) + 80 * slowed_at_rest,
        ),
        "fcass": Gate(0.6 * bound + 0.4, 80 * bound + 2),
        "xs": Gate(
            _rises(e14, -5 / 14),
            1400 * jnp.sqrt(_rises(e6, 5 / 6)) * boltzmann(v, 35.0, 15.0) + 80,
        ),
        "xr1": Gate(
            _rises(e7, -26 / 7),
            450 * _rises(e10, -4.5) * 6 * boltzmann(v, -30.0, 11.5),
        ),
        "xr2": Gate(
            boltzmann(v, -88.0, 24.0),
            3 * _rises(e20, -3.0) * 1.12 * _falls(e20, 3.0),
        ),
    }


def kept_currents(cell: Any, state: Any, e_k: Any, e_na: Any) -> dict[str, Any]:
    """The currents [A/F] that models built on this one take over, from their own parameters."""
    v = state.v
    e_ks = RTF * jnp.log((cell.k_o + 0.03 * cell.na_o) / (state.ki + 0.03 * state.nai))
    open_cal = state.d * state.f * state.f2 * state.fcass
    tenth = jnp.exp(-0.1 * v / RTF)
    backward = jnp.exp(-0.65 * v / RTF)
    exchanged = state.nai**3 * cell.ca_o * (backward / tenth**10) - (
        2.5 * cell.na_o**3 * state.cai * backward
    )
    return {
        "INa": cell.g_na * state.m**3 * state.h * state.j * (v - e_na),
        "ICaL": cell.g_cal
        * open_cal
        * (2 * FARADAY)
        * ghk(2 * (v - 15) / RTF, 0.25 * state.cass, cell.ca_o),
        "IKr": cell.g_kr * jnp.sqrt(cell.k_o / 5.4) * state.xr1 * state.xr2 * (v - e_k),
        "IKs": cell.g_ks * state.xs**2 * (v - e_ks),
        "INaCa": cell.k_naca
        * exchanged
        / ((87.5**3 + cell.na_o**3) * (1.38 + cell.ca_o) * (1 + 0.1 * backward)),
        "INaK": cell.p_nak
        * (cell.k_o / (cell.k_o + 1))
        * state.nai
        / ((state.nai + 40) * (1 + 0.1245 * tenth + 0.0353 * tenth**10)),
        "IpCa": cell.g_pca * state.cai / (state.cai + 0.0005),
        "IpK": cell.g_pk * (v - e_k) * boltzmann(v, 25.0, -5.98),
        "INab": cell.g_nab * (v - e_na),
        "ICab": cell.g_cab * (v - nernst(RTF / 2, cell.ca_o, state.cai)),
    }


def per_current(cell: Any) -> Any:
    """Rate of change [mM/ms] that a current of 1 A/F of univalent ions gives the cytosol."""
    return cell.c_m / (1e-3 * FARADAY * cell.v_c)


def calcium_rates(cell: Any, state: Any, currents: dict[str, Any]) -> dict[str, Any]:
    """Calcium of cytosol, reticulum and subspace, and the fraction R' of release channels."""
    cai, casr, cass = state.cai, state.casr, state.cass
    k_casr = 2.5 - 1.5 / (1 + (1.5 / casr) ** 2)
    opened = 0.15 / k_casr * cass**2
    inactivation = 0.045 * k_casr * cass
    release = cell.v_rel * opened * state.r_prime / (0.06 + opened) * (casr - cass)
    leak = cell.v_leak * (casr - cai)
    uptake = cell.v_up / (1 + (cell.k_up / cai) ** 2)
    transfer = cell.v_xfer * (cass - cai)
    charge = per_current(cell) / 2
    cytosolic = currents["ICab"] + currents["IpCa"] - 2 * currents["INaCa"]
    return {
        "cai": _unbound(cai, cell.buf_c, 0.001)
        * ((leak - uptake) * (cell.v_sr / cell.v_c) + transfer - charge * cytosolic),
        "casr": _unbound(casr, 10.0, 0.3) * (uptake - leak - release),
        "cass": _unbound(cass, 0.4, 0.00025)
        * (release * cell.v_sr - (transfer + charge * currents["ICaL"]) * cell.v_c)
        / cell.v_ss,
        "r_prime": Gate(0.005 / (0.005 + inactivation), 1 / (0.005 + inactivation)),
    }


def total_charge(cell: Any, state: Any) -> Any:
    """Charge in the cell less that on its membrane [mM of univalent ions in the cytosol's volume].

    Na + K + 2 (Ca + Ca_SR V_SR / V_c + Ca_SS V_SS / V_c) - V C_m / (V_c F), with the total, free
    and bound, calcium of each compartment.
    """
    calcium = (
        _total(state.cai, cell.buf_c, 0.001)
        + _total(state.casr, 10.0, 0.3) * (cell.v_sr / cell.v_c)
        + _total(state.cass, 0.4, 0.00025) * (cell.v_ss / cell.v_c)
    )
    return state.nai + state.ki + 2 * calcium - per_current(cell) * state.v


def _unbound(calcium: Any, buffer: Any, affinity: float) -> Any:
    """d(free calcium) / d(total calcium) with a buffer in equilibrium."""
    return 1 / (1 + buffer * affinity / (calcium + affinity) ** 2)


def _total(calcium: Any, buffer: Any, affinity: float) -> Any:
    return calcium * (1 + buffer / (calcium + affinity))


class TenTusscherPanfilov2006(AbstractCell):
    """Ten Tusscher and Panfilov 2006: the appendix there, and ten Tusscher et al. 2004.

    dV/dt = -(Σ I + Istim), currents in A/F. With E the reversal potentials, K_o in mM:

        INa = g_na m³ h j (V - E_Na)             Ito = g_to r s (V - E_K)
        IK1 = g_k1 √(K_o/5.4) K1∞ (V - E_K)      IKs = g_ks xs² (V - E_Ks)
        IKr = g_kr √(K_o/5.4) xr1 xr2 (V - E_K)  IpK = g_pk (V - E_K) / (1 + e^{(25 - V)/5.98})
        ICaL = g_cal d f f2 f_cass 2 F u (¼ Ca_ss eᵘ - Ca_o) / (eᵘ - 1),  u = 2 (V - 15) F / RT

    and INaCa, INaK, IpCa, INab, ICab. Released calcium enters a subspace through channels open
    with O = k1 Ca_ss² R' / (k3 + k1 Ca_ss²), k1 = 0.15 / k_casr. The stimulus is carried by
    potassium. The time constant of f2 is that of the public CellML files,
    562 e^{-(V + 27)²/240} + 31 / (1 + e^{(25 - V)/10}) + 80 / (1 + e^{(V + 30)/10}); programs
    that descend from the authors' have 600 e^{-(V + 25)²/170}, the same second term, and 16 for 80.

    The defaults are those of the `layer`, "epi", "endo" or "m": g_to is 0.294 nS/pF in epicardium
    and M cells and 0.073 in endocardium, where Ito also inactivates slowly; g_ks is 0.098 in M
    cells (0.062 is the value of the model of 2004), else 0.392.
    """

    about: ClassVar[About] = About(
        title="ten Tusscher-Panfilov 2006",
        species="human",
        tissue="ventricle",
        cite=CITE,
        current_unit="A/F",
        stimulus=(-52.0, 1.0),
        conductances={
            "INa": "g_na",
            "ICaL": "g_cal",
            "Ito": "g_to",
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

    layer: str = eqx.field(static=True)

    g_na: Float[Array, ""] = parameter(14.838, unit="nS/pF", bounds=(0.0, 60.0), cite=CITE)
    g_cal: Float[Array, ""] = parameter(3.98e-5, unit="L/F/ms", bounds=(0.0, 4e-4), cite=CITE)
    g_to: Float[Array, ""] = parameter(0.294, unit="nS/pF", bounds=(0.0, 3.0), cite=CITE)
    g_kr: Float[Array, ""] = parameter(0.153, unit="nS/pF", bounds=(0.0, 1.5), cite=CITE)
    g_ks: Float[Array, ""] = parameter(0.392, unit="nS/pF", bounds=(0.0, 4.0), cite=CITE)
    g_k1: Float[Array, ""] = parameter(5.405, unit="nS/pF", bounds=(0.0, 50.0), cite=CITE)
    k_naca: Float[Array, ""] = parameter(1000.0, unit="pA/pF", bounds=(0.0, 1e4), cite=CITE)
    p_nak: Float[Array, ""] = parameter(2.724, unit="pA/pF", bounds=(0.0, 25.0), cite=CITE)
    g_pca: Float[Array, ""] = parameter(0.1238, unit="pA/pF", bounds=(0.0, 1.2), cite=CITE)
    g_pk: Float[Array, ""] = parameter(0.0146, unit="nS/pF", bounds=(0.0, 0.15), cite=CITE)
    g_nab: Float[Array, ""] = parameter(0.00029, unit="nS/pF", bounds=(0.0, 0.003), cite=CITE)
    g_cab: Float[Array, ""] = parameter(0.000592, unit="nS/pF", bounds=(0.0, 0.006), cite=CITE)
    v_up: Float[Array, ""] = parameter(0.006375, unit="mM/ms", bounds=(0.0, 0.06), cite=CITE)
    k_up: Float[Array, ""] = parameter(0.00025, unit="mM", bounds=(2.5e-5, 0.0025), cite=CITE)
    v_rel: Float[Array, ""] = parameter(0.102, unit="1/ms", bounds=(0.0, 1.0), cite=CITE)
    v_leak: Float[Array, ""] = parameter(0.00036, unit="1/ms", bounds=(0.0, 0.0036), cite=CITE)
    v_xfer: Float[Array, ""] = parameter(0.0038, unit="1/ms", bounds=(0.0, 0.038), cite=CITE)
    buf_c: Float[Array, ""] = parameter(0.2, unit="mM", bounds=(0.0, 1.0), cite=CITE)
    c_m: Float[Array, ""] = parameter(185.0, unit="pF", bounds=(50.0, 500.0), cite=CITE)
    v_c: Float[Array, ""] = parameter(16404.0, unit="µm3", bounds=(5e3, 5e4), cite=CITE)
    v_sr: Float[Array, ""] = parameter(1094.0, unit="µm3", bounds=(300.0, 4e3), cite=CITE)
    v_ss: Float[Array, ""] = parameter(54.68, unit="µm3", bounds=(15.0, 200.0), cite=CITE)
    na_o: Float[Array, ""] = parameter(140.0, unit="mM", bounds=(50.0, 200.0), cite=CITE)
    k_o: Float[Array, ""] = parameter(5.4, unit="mM", bounds=(1.0, 20.0), cite=CITE)
    ca_o: Float[Array, ""] = parameter(2.0, unit="mM", bounds=(0.2, 10.0), cite=CITE)

    def __init__(self, layer: str = "epi", **values: Any) -> None:
        """Parameters that are not among `values` are those of the layer.

        Raises `ValueError` for an unknown layer.
        """
        if layer not in _LAYERS:
            raise ValueError(unknown_name("layer", layer, _LAYERS))
        self.layer = layer
        set_parameters(self, _LAYERS[layer], values)

    def initial_state(self) -> State:
        return _INITIAL[self.layer]

    def currents(self, state: State) -> dict[str, Any]:
        v = state.v
        e_k = nernst(RTF, self.k_o, state.ki)
        e_na = nernst(RTF, self.na_o, state.nai)
        beyond = v - e_k
        tenth = jnp.exp(0.1 * beyond)
        opening = 0.1 * jax.nn.sigmoid(0.06 * (200 - beyond))
        closing = (3 * jnp.exp(0.0002 * (beyond + 100)) + math.exp(-1.0) * tenth) / (1 + tenth**-5)
        return kept_currents(self, state, e_k, e_na) | {
            "Ito": self.g_to * state.r * state.s * beyond,
            "IK1": self.g_k1 * jnp.sqrt(self.k_o / 5.4) * (opening / (opening + closing)) * beyond,
        }

    def rates(self, state: State, stimulus: Any) -> State:
        v = state.v
        i = self.currents(state)
        charge = per_current(self)
        if self.layer == "endo":
            s = Gate(boltzmann(v, -28.0, 5.0), 1000 * jnp.exp(-((v + 67) ** 2) / 1000) + 8)
        else:
            s = Gate(
                boltzmann(v, -20.0, 5.0),
                85 * jnp.exp(-((v + 45) ** 2) / 320) + 5 * boltzmann(v, 20.0, 5.0) + 3,
            )
        return State(
            v=-(sum(i.values()) + stimulus),
            r=Gate(boltzmann(v, 20.0, -6.0), 9.5 * jnp.exp(-((v + 40) ** 2) / 1800) + 0.8),
            s=s,
            nai=-charge * (i["INa"] + i["INab"] + 3 * (i["INaK"] + i["INaCa"])),
            ki=-charge
            * (i["IK1"] + i["Ito"] + i["IKr"] + i["IKs"] + i["IpK"] - 2 * i["INaK"] + stimulus),
            **kept_gates(v, state.cass),
            **calcium_rates(self, state, i),
        )

    def conserved(self, state: State) -> tuple[Any, ...]:
        return (total_charge(self, state),)


def tentusscher_panfilov_2006_endo() -> TenTusscherPanfilov2006:
    """The endocardial cell."""
    return TenTusscherPanfilov2006("endo")


def tentusscher_panfilov_2006_m() -> TenTusscherPanfilov2006:
    """The M cell; Ito is the epicardial one."""
    return TenTusscherPanfilov2006("m")
