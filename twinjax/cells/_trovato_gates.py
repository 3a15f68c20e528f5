"""Gates of the human Purkinje cell of Trovato et al. 2020, J Mol Cell Cardiol 142:24, supplement.

Potentials in mV, time constants in ms, concentrations in mM.
"""

from typing import Any

import jax.numpy as jnp

from twinjax.cells._cell import Gate
from twinjax.cells._functions import boltzmann

__all__ = ["calcium_gates", "potassium_gates", "sodium_gates"]


def sodium_gates(v: Any) -> dict[str, Gate]:
    """INa and INaL; p: phosphorylated."""
    fast = 1 / (6.765 * jnp.exp((v + 11.64) / 34.77) + 8.552 * jnp.exp(-(v + 77.42) / 5.955))
    slow = 1 / (0.009794 * jnp.exp(-(v + 17.95) / 28.05) + 0.3343 * jnp.exp((v + 5.73) / 56.66))
    closing = 3.686e-6 * jnp.exp(-(v + 3.8875) / 7.8579) + 16 * jnp.exp((v - 0.4963) / 9.1843)
    recovery = 4.859 + 1 / (
        0.8628 * jnp.exp(-(v + 116.7258) / 7.6005) + 1.1096 * jnp.exp((v + 6.2719) / 9.0358)
    )
    h = boltzmann(v, -78.5, 6.22)
    return {
        "m": Gate(boltzmann(v, -48.4264, -7.5653), fast),
        "hf": Gate(h, 1 / closing),
        "hs": Gate(h, slow),
        "j": Gate(h, recovery),
        "hsp": Gate(boltzmann(v, -84.7, 6.22), 3 * slow),
        "jp": Gate(h, 1.46 * recovery),
        "ml": Gate(boltzmann(v, -42.85, -5.264), fast),
        "hl": Gate(boltzmann(v, -87.61, 7.488), 200.0),
        "hlp": Gate(boltzmann(v, -93.81, 7.488), 600.0),
    }


def calcium_gates(s: Any) -> dict[str, Gate]:
    """ICaL, and ICaT (b, g)."""
    v, w = s.v, s.v + 15.19  # the times are those of O'Hara et al. 2011, shifted
    steady = boltzmann(v, -22.88, 3.696)
    sharp, wide = jnp.exp((w + 20) / 10), jnp.exp((w - 4) / 7)
    fast = 7 + 1 / (0.0045 / sharp + 0.0045 * sharp)
    slow = 1000 + 1 / (3.5e-5 * jnp.exp(-(w + 5) / 4) + 3.5e-5 * jnp.exp((w + 5) / 6))
    ca_fast = 0.72 * (7 + 1 / (0.04 / wide + 0.04 * wide))
    ca_slow = 0.49 * (100 + 1 / (0.00012 * jnp.exp(-w / 3) + 0.00012 * jnp.exp(w / 7)))
    opening = 0.6 + 1 / (jnp.exp(-0.05 * (v + 6)) + jnp.exp(0.09 * (v + 14)))
    t_type = jnp.exp((v + 16.3) / 30)
    t_closing = jnp.exp((v + 71.7) / 15.4) + jnp.exp(-(v + 71.7) / 83.3)
    return {
        "d": Gate(boltzmann(v, -7.24, -4.23), opening),
        "ff": Gate(steady, fast),
        "fs": Gate(steady, slow),
        "fcaf": Gate(steady, ca_fast),
        "fcas": Gate(steady, ca_slow),
        "jca": Gate(steady, 75.0),
        "ffp": Gate(steady, 2.5 * fast),
        "fcafp": Gate(steady, 2.5 * ca_fast),
        # Calmodulin bound to the channel: on at 1000 per ms, off at j_Ca per ms.
        "nca": Gate(1000 / (1000 + s.jca * (1 + 0.002 / s.cass) ** 4), 1 / s.jca),
        "b": Gate(boltzmann(v, -30.0, -7.0), 1 / (1.068 * (t_type + 1 / t_type))),
        "g": Gate(boltzmann(v, -61.0, 5.0), 1 / (0.015 * t_closing)),
    }


def potassium_gates(v: Any, k_o: Any) -> dict[str, Gate]:
    """Ito, IKr, IKs, IK1, and If (y)."""
    opening = 1.0515 / (
        boltzmann(v, 18.4099, -29.3814) / 1.2089 + 3.5 * boltzmann(v, -100.0, 29.3814)
    )
    shut = boltzmann(v, -27.0, 13.0)
    to_slow = 0.001416 * jnp.exp(-(v + 96.52) / 59.05) + 1.78e-8 * jnp.exp((v + 114.1) / 8.079)
    to_fast = 0.3933 * jnp.exp(-(v + 100) / 100) + 0.08004 * jnp.exp((v - 8) / 8.59)
    rapid = boltzmann(v, -8.337, -6.789)
    r_fast = 0.3652 * jnp.exp((v - 14.06) / 3.869) + 4.123e-5 * jnp.exp(-(v - 30.18) / 20.38)
    r_slow = 0.06629 * jnp.exp((v - 17.5) / 7.355) + 1.128e-5 * jnp.exp(-(v - 12.54) / 25.94)
    slow = boltzmann(v, -11.6, -8.932)
    s_first = 2.326e-4 * jnp.exp((v + 48.28) / 17.8) + 0.001292 * jnp.exp(-(v + 210) / 230)
    s_second = 0.01 * jnp.exp((v - 50) / 20) + 0.0193 * jnp.exp(-(v + 66.54) / 31)
    inward = jnp.exp(-(v + 127.2) / 20.36) + jnp.exp((v + 236.8) / 69.33)
    funny = jnp.exp((v + 57) / 60) + jnp.exp(-(v + 132) / 10)
    return {
        "a": Gate(boltzmann(v, 20.0, -13.0), opening),
        "i1": Gate(shut, 43 + 1 / to_slow),
        "i2": Gate(shut, 6.162 + 1 / to_fast),
        "xrf": Gate(rapid, 12.98 + 1 / r_fast),
        "xrs": Gate(rapid, 1.865 + 1 / r_slow),
        "xs1": Gate(slow, 817.3 + 1 / s_first),
        "xs2": Gate(slow, 1 / s_second),
        "xk1": Gate(boltzmann(v, -2.5538 * k_o - 144.59, -(1.5692 * k_o + 3.8115)), 122.2 / inward),
        "y": Gate(boltzmann(v, -87.0, 9.5), 2000 / funny),
    }
