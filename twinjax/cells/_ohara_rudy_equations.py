"""What the models of O'Hara and Rudy 2011 and of CiPA have in common: all but the gating of IKr.

A cell that is given to these functions has the parameters of `OHaraRudy2011`, and its state the
fields of that model but for the gates of IKr.
"""

from typing import Any

import jax.numpy as jnp

from twinjax.cells._cell import Gate
from twinjax.cells._exchange import sodium_calcium_exchange, sodium_potassium_pump
from twinjax.cells._functions import boltzmann, linoid, nernst

__all__ = ["all_currents", "charge", "common_rates"]

_F = 96485.0  # [C/mol]
_RTF = 8314.0 * 310.0 / _F  # [mV], at 37 °C
# A cylinder of length 100 µm and radius 11 µm; the membrane is twice its surface, at 1 µF/cm².
_CELL = 1000 * 3.14 * 0.0011**2 * 0.01  # [µL]
_AREA = 2 * (2 * 3.14 * 0.0011**2 + 2 * 3.14 * 0.0011 * 0.01)  # [cm²], and so the [µF]
_MYO, _NSR, _JSR, _SS = 0.68 * _CELL, 0.0552 * _CELL, 0.0048 * _CELL, 0.02 * _CELL
_INTO_MYO, _INTO_SS = _AREA / (_F * _MYO), _AREA / (_F * _SS)  # current to [mM/ms]


def _camk(s: Any) -> tuple[Any, Any]:
    """Bound and active fraction of CaMK."""
    bound = 0.05 * (1 - s.camkt) * s.cass / (s.cass + 0.0015)
    return bound, bound + s.camkt


def all_currents(cell: Any, s: Any, rapid_open: Any) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Currents [A/F] by their names, and INaCa beside the cytosol and in the subspace.

    **Arguments:** `rapid_open` is the fraction of IKr's maximal conductance.
    """
    v = s.v
    u = v / _RTF
    e_na, e_k = nernst(_RTF, cell.na_o, s.nai), nernst(_RTF, cell.k_o, s.ki)
    e_ks = _RTF * jnp.log((cell.k_o + 0.01833 * cell.na_o) / (s.ki + 0.01833 * s.nai))
    active = _camk(s)[1]
    f = active / (active + 0.15)

    h = 0.99 * s.hf + 0.01 * s.hs
    hp = 0.99 * s.hf + 0.01 * s.hsp
    fast = boltzmann(v, 213.6, 151.2)
    i = fast * s.i_f + (1 - fast) * s.i_s
    ip = fast * s.i_fp + (1 - fast) * s.i_sp

    # Constant-field fluxes of a monovalent and a divalent ion from one exponential:
    # u / (eᵘ - 1) = L gives 2u / (e²ᵘ - 1) = 2L / (eᵘ + 1).
    e, single = jnp.exp(u), _F * linoid(u)
    double = 4 * single / (e + 1)
    fca_fast = 0.3 + 0.6 * boltzmann(v, 10.0, 10.0)
    f_v = 0.6 * s.ff + 0.4 * s.fs
    f_vp = 0.6 * s.ffp + 0.4 * s.fs
    f_ca = fca_fast * s.fcaf + (1 - fca_fast) * s.fcas
    f_cap = fca_fast * s.fcafp + (1 - fca_fast) * s.fcas
    shut, bound = 1 - s.nca, s.jca * s.nca
    share = (1 - f) * (f_v * shut + f_ca * bound) + 1.1 * f * (f_vp * shut + f_cap * bound)
    permeability = cell.p_ca * s.d * share

    ks_ca = 1 + 0.6 / (1 + (3.8e-5 / s.cai) ** 1.4)
    rectified = boltzmann(v, 2.6 * cell.k_o - 105.8, 9.493)
    outside = cell.na_o, cell.ca_o
    naca_i = 0.8 * cell.g_naca * sodium_calcium_exchange(u, s.nai, s.cai, *outside)
    naca_ss = 0.2 * cell.g_naca * sodium_calcium_exchange(u, s.nass, s.cass, *outside)
    currents = {
        "INa": cell.g_na * s.m**3 * ((1 - f) * h * s.j + f * hp * s.jp) * (v - e_na),
        "INaL": cell.g_na_l * s.ml * ((1 - f) * s.hl + f * s.hlp) * (v - e_na),
        "Ito": cell.g_to * ((1 - f) * s.a * i + f * s.ap * ip) * (v - e_k),
        "ICaL": permeability * double * (s.cass * e * e - 0.341 * cell.ca_o),
        "ICaNa": 0.00125 * permeability * single * 0.75 * (s.nass * e - cell.na_o),
        "ICaK": 3.574e-4 * permeability * single * 0.75 * (s.kss * e - cell.k_o),
        "IKr": cell.g_kr * jnp.sqrt(cell.k_o / 5.4) * rapid_open * (v - e_k),
        "IKs": cell.g_ks * ks_ca * s.xs1 * s.xs2 * (v - e_ks),
        "IK1": cell.g_k1 * jnp.sqrt(cell.k_o) * rectified * s.xk1 * (v - e_k),
        "INaCa": naca_i + naca_ss,
        "INaK": cell.p_nak * sodium_potassium_pump(u, s.nai, s.ki, cell.na_o, cell.k_o),
        "INab": cell.p_nab * single * (s.nai * e - cell.na_o),
        "ICab": cell.p_cab * double * (s.cai * e * e - 0.341 * cell.ca_o),
        "IKb": cell.g_kb * boltzmann(v, 14.48, -18.34) * (v - e_k),
        "IpCa": cell.g_pca * s.cai / (0.0005 + s.cai),
    }
    return currents, (naca_i, naca_ss)


def common_rates(
    cell: Any,
    s: Any,
    stimulus: Any,
    currents: dict[str, Any],
    exchange: tuple[Any, Any],
    *,
    epicardial: bool = False,
) -> dict[str, Any]:
    """Rates of all states but the gates of IKr, by field.

    **Arguments:** `currents` and `exchange` are of `all_currents`.
    """
    return {
        "v": -(sum(currents.values()) + stimulus),
        **_sodium_gates(s.v),
        **_outward_gates(s.v, epicardial),
        **_calcium_gates(s),
        **_potassium_gates(s.v, cell.k_o),
        **_concentrations(cell, s, stimulus, currents, exchange),
    }


def _sodium_gates(v: Any) -> dict[str, Gate]:
    h = boltzmann(v, -82.90, 6.086)
    fast = 1 / (6.765 * jnp.exp((v + 11.64) / 34.77) + 8.552 * jnp.exp(-(v + 77.42) / 5.955))
    slow = 1 / (0.009794 * jnp.exp(-(v + 17.95) / 28.05) + 0.3343 * jnp.exp((v + 5.730) / 56.66))
    recovery = 2.038 + 1 / (
        0.02136 * jnp.exp(-(v + 100.6) / 8.281) + 0.3052 * jnp.exp((v + 0.9941) / 38.45)
    )
    return {
        "m": Gate(boltzmann(v, -39.57, -9.871), fast),
        "hf": Gate(
            h,
            1 / (1.432e-5 * jnp.exp(-(v + 1.196) / 6.285) + 6.149 * jnp.exp((v + 0.5096) / 20.27)),
        ),
        "hs": Gate(h, slow),
        "j": Gate(h, recovery),
        "hsp": Gate(boltzmann(v, -89.1, 6.086), 3 * slow),
        "jp": Gate(h, 1.46 * recovery),
        "ml": Gate(boltzmann(v, -42.85, -5.264), fast),
        "hl": Gate(boltzmann(v, -87.61, 7.488), 200.0),
        "hlp": Gate(boltzmann(v, -93.81, 7.488), 600.0),
    }


def _outward_gates(v: Any, epicardial: bool) -> dict[str, Gate]:
    opening = 1.0515 / (
        boltzmann(v, 18.4099, -29.3814) / 1.2089 + 3.5 * boltzmann(v, -100.0, 29.3814)
    )
    steady = boltzmann(v, -43.94, 5.711)
    fast = 4.562 + 1 / (0.3933 * jnp.exp(-(v + 100) / 100) + 0.08004 * jnp.exp((v + 50) / 16.59))
    slow = 23.62 + 1 / (
        0.001416 * jnp.exp(-(v + 96.52) / 59.05) + 1.780e-8 * jnp.exp((v + 114.1) / 8.079)
    )
    if epicardial:
        quicker = 1 - 0.95 * boltzmann(v, -70.0, 5.0)
        fast, slow = quicker * fast, quicker * slow
    # Beyond e⁸⁰ the term is nothing beside 1.354, and single precision would overflow.
    steep = jnp.exp(jnp.minimum((12.23 - v) / 0.2154, 80.0))
    develop = 1.354 + 1e-4 / (jnp.exp((v - 167.4) / 15.89) + steep)
    recover = 1 - 0.5 * boltzmann(v, -70.0, 20.0)
    return {
        "a": Gate(boltzmann(v, 14.34, -14.82), opening),
        "i_f": Gate(steady, fast),
        "i_s": Gate(steady, slow),
        "ap": Gate(boltzmann(v, 24.34, -14.82), opening),
        "i_fp": Gate(steady, develop * recover * fast),
        "i_sp": Gate(steady, develop * recover * slow),
    }


def _calcium_gates(s: Any) -> dict[str, Gate]:
    v = s.v
    steady = boltzmann(v, -19.58, 3.696)
    sharp, wide = jnp.exp((v + 20) / 10), jnp.exp((v - 4) / 7)
    fast = 7 + 1 / (0.0045 / sharp + 0.0045 * sharp)
    slow = 1000 + 1 / (3.5e-5 * jnp.exp(-(v + 5) / 4) + 3.5e-5 * jnp.exp((v + 5) / 6))
    ca_fast = 7 + 1 / (0.04 / wide + 0.04 * wide)
    ca_slow = 100 + 1 / (0.00012 * jnp.exp(-v / 3) + 0.00012 * jnp.exp(v / 7))
    opening = 0.6 + 1 / (jnp.exp(-0.05 * (v + 6)) + jnp.exp(0.09 * (v + 14)))
    # Calmodulin bound to the channel: on at 1 per ms, off at j_Ca per ms.
    bound = 1000 / (1000 + s.jca * (1 + 0.002 / s.cass) ** 4)
    return {
        "d": Gate(boltzmann(v, -3.940, -4.230), opening),
        "ff": Gate(steady, fast),
        "fs": Gate(steady, slow),
        "fcaf": Gate(steady, ca_fast),
        "fcas": Gate(steady, ca_slow),
        "jca": Gate(steady, 75.0),
        "nca": Gate(bound, 1 / s.jca),
        "ffp": Gate(steady, 2.5 * fast),
        "fcafp": Gate(steady, 2.5 * ca_fast),
    }


def _potassium_gates(v: Any, k_o: Any) -> dict[str, Gate]:
    steady = boltzmann(v, -11.60, -8.932)
    slow = 817.3 + 1 / (
        2.326e-4 * jnp.exp((v + 48.28) / 17.80) + 0.001292 * jnp.exp(-(v + 210) / 230)
    )
    fast = 1 / (0.01 * jnp.exp((v - 50) / 20) + 0.0193 * jnp.exp(-(v + 66.54) / 31))
    inward = 122.2 / (jnp.exp(-(v + 127.2) / 20.36) + jnp.exp((v + 236.8) / 69.33))
    return {
        "xs1": Gate(steady, slow),
        "xs2": Gate(steady, fast),
        "xk1": Gate(
            boltzmann(v, -2.5538 * k_o - 144.59, -(1.5692 * k_o + 3.8115)),
            inward,
        ),
    }


def _concentrations(
    cell: Any, s: Any, stimulus: Any, current: dict[str, Any], exchange: tuple[Any, Any]
) -> dict[str, Any]:
    bound, active = _camk(s)
    f = active / (active + 0.15)
    naca_i, naca_ss = exchange

    # -ICaL / (1 + (1.5 / x)⁸) and 1 / (1 + 0.0123 / x) in terms of x, which may approach 0.
    gain = -current["ICaL"] * cell.release / (1 + (1.5 / s.cajsr) ** 8)
    quick = s.cajsr / (s.cajsr + 0.0123)
    release = (1 - f) * s.jrelnp + f * s.jrelp
    leak = cell.leak * s.cansr
    uptake = (1 - f) / (s.cai + 0.00092) + 2.75 * f / (s.cai + 0.00092 - 0.00017)
    uptake = cell.uptake * s.cai * uptake - leak
    transfer = (s.cansr - s.cajsr) / 100
    na, k, ca = (s.nass - s.nai) / 2, (s.kss - s.ki) / 2, (s.cass - s.cai) / 0.2
    outward = ("Ito", "IKr", "IKs", "IK1", "IKb")
    into_na = current["INa"] + current["INaL"] + current["INab"]
    into_na = into_na + 3 * (naca_i + current["INaK"])
    into_k = sum(current[name] for name in outward) + stimulus - 2 * current["INaK"]
    into_ca = current["IpCa"] + current["ICab"] - 2 * naca_i
    free_i, free_ss, free_jsr = _buffered(cell, s)[1]
    return {
        "camkt": 0.05 * bound * active - 0.00068 * s.camkt,
        "nai": -into_na * _INTO_MYO + na * _SS / _MYO,
        "nass": -(current["ICaNa"] + 3 * naca_ss) * _INTO_SS - na,
        "ki": -into_k * _INTO_MYO + k * _SS / _MYO,
        "kss": -current["ICaK"] * _INTO_SS - k,
        "cai": free_i * (-into_ca * _INTO_MYO / 2 - uptake * _NSR / _MYO + ca * _SS / _MYO),
        "cass": free_ss
        * (-(current["ICaL"] - 2 * naca_ss) * _INTO_SS / 2 + release * _JSR / _SS - ca),
        "cansr": uptake - transfer * _JSR / _NSR,
        "cajsr": free_jsr * (transfer - release),
        "jrelnp": Gate(0.5 * 4.75 * gain, jnp.maximum(4.75 * quick, 0.001)),
        "jrelp": Gate(0.5 * 5.9375 * gain, jnp.maximum(5.9375 * quick, 0.001)),
    }


def _buffered(cell: Any, s: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Total calcium of cytosol, subspace and junctional SR [mM]; how much of a change is free."""
    buffers = (
        (s.cai, ((cell.calmodulin, 0.00238), (cell.troponin, 0.0005))),
        (s.cass, ((0.047, 0.00087), (1.124, 0.0087))),
        (s.cajsr, ((cell.calsequestrin, 0.8),)),
    )
    total = tuple(ca + sum(b * ca / (k + ca) for b, k in kinds) for ca, kinds in buffers)
    free = tuple(1 / (1 + sum(b * k / (k + ca) ** 2 for b, k in kinds)) for ca, kinds in buffers)
    return total, free


def charge(cell: Any, s: Any) -> Any:
    """Charge of the ions less that on the membrane, as a concentration in the cytosol [mM]."""
    myo, ss, jsr = _buffered(cell, s)[0]
    inside = s.nai + s.ki + 2 * myo + (s.nass + s.kss + 2 * ss) * (_SS / _MYO)
    return inside + 2 * (s.cansr * (_NSR / _MYO) + jsr * (_JSR / _MYO)) - s.v * _INTO_MYO
